// Requests of the network that were under way in another process, taken up from their records.

import type { SipResponse } from "../../core/message/message.ts";
import { type AcceptanceRecord, type PendingRecord, requestFrom } from "../../core/record/record.ts";
import type { Owners } from "../applications/owners.ts";
import type { DialogEntry } from "../dialogs/dialog-store.ts";
import type { Shell } from "../shell/shell.ts";
import type { ServerTransaction } from "../transactions/server-transaction.ts";
import type { Answers } from "./answers.ts";
import type { PendingRequests } from "./pending-requests.ts";

export class RestoredAnswers {
  readonly #shell: Shell;
  readonly #owners: Owners;
  readonly #answers: Answers;
  readonly #pending: PendingRequests;

  constructor(shell: Shell, owners: Owners, answers: Answers, pending: PendingRequests) {
    this.#shell = shell;
    this.#owners = owners;
    this.#answers = answers;
    this.#pending = pending;
  }

  /** Takes a pending request up from its record. */
  pending(record: PendingRecord, transaction: ServerTransaction, entry: DialogEntry | undefined, unixMs: number): void {
    const { transactionId, from, pointId, startsDialog } = record;
    const { request } = transaction;
    const link = this.#owners.restored(record.owner);
    const facts = {
      transactionId,
      request,
      from,
      point: this.#shell.point(pointId),
      link,
      entry: startsDialog ? undefined : entry,
    };
    const pending = this.#answers.expect(facts);
    pending.entry = entry;
    pending.transaction = transaction;
    pending.resume(record, unixMs);
    this.#pending.add(pending);
  }

  /** Takes our 2xx up that has no ACK yet. @param transaction undefined when it has ended: the 2xx goes out by itself then */
  acceptance(
    entry: DialogEntry,
    record: AcceptanceRecord,
    transaction: ServerTransaction | undefined,
    unixMs: number,
  ): void {
    const { transactionId, cseq, flow } = record;
    const request = transaction?.request ?? requestFrom(record.invite);
    const respond = transaction ?? {
      request,
      flow,
      respond: (response: SipResponse) => this.#shell.send(response, flow, true, () => {}),
    };
    const acceptance = this.#answers.acceptanceOf(entry, respond, { transactionId, cseq });
    entry.acceptance = acceptance;
    acceptance.resume(record, unixMs);
  }
}
