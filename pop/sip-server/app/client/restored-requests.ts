// Requests of applications that were under way in another process, taken up from their records.

import type { SipRequest } from "../../core/message/message.ts";
import { type CallRecord, type ClientUserRecord, requestFrom } from "../../core/record/record.ts";
import type { Owner, Owners } from "../applications/owners.ts";
import type { DialogEntry, DialogStore, HeldRequest, Resolve, UnacknowledgedAnswer } from "../dialogs/dialog-store.ts";
import type { ClientRequest, ClientRequestUser } from "../next-hops/client-request.ts";
import type { ClientRequests } from "../next-hops/client-requests.ts";
import type { Shell } from "../shell/shell.ts";
import type { ClientUser } from "../transactions/client-transaction.ts";

import { ClientCall, type ClientCallUser } from "./client-call.ts";
import { Refresh, type SessionRefreshes } from "./session-refresh.ts";

interface ResumedUser {
  readonly user: ClientRequestUser;
  readonly outgoing: ClientRequest;
  /** Of the application's request. */
  readonly owner: Owner | undefined;
}

/** Whose calls they become. */
export interface RestoredCallUser extends ClientCallUser {
  readonly refreshes: SessionRefreshes;
  keep(call: ClientCall): void;
  ownBye(entry: DialogEntry, why: string): HeldRequest;
}

export interface RestoringParts {
  readonly shell: Shell;
  readonly dialogs: DialogStore;
  readonly requests: ClientRequests;
  readonly owners: Owners;
  readonly user: RestoredCallUser;
}

export class RestoredRequests {
  readonly #parts: RestoringParts;

  constructor(parts: RestoringParts) {
    this.#parts = parts;
  }

  /** Who waits for a response. */
  user(record: ClientUserRecord, request: SipRequest, resolve: Resolve, unixMs: number): ResumedUser | undefined {
    const { requests, owners, user } = this.#parts;
    const outgoing = requests.resumed(request, record.flow);
    const owner = owners.restored(record.owner);
    if (record.kind === "call") return { user: this.#call(record, outgoing, owner, resolve, unixMs), outgoing, owner };
    const entry = resolve(record.dialog, owner);
    if (entry === undefined) return undefined;
    return { user: user.refreshes.resume(record, entry, outgoing), outgoing, owner: undefined };
  }

  #call(record: CallRecord, outgoing: ClientRequest, owner: Owner, resolve: Resolve, unixMs: number): ClientCall {
    const { shell, dialogs, user } = this.#parts;
    const inside = record.inside === undefined ? undefined : resolve(record.inside, owner);
    const call = new ClientCall(shell, dialogs, owner, outgoing, inside, user, record.transactionId);
    call.resume(record, resolve, unixMs);
    if (!record.answered) user.keep(call);
    return call;
  }

  /** A 2xx without its ACK. @param user who heard it; undefined when its transaction has ended: no copies will come */
  unacknowledged(
    entry: DialogEntry,
    invite: SipRequest,
    endBecause: string | undefined,
    user: ClientUser | undefined,
    answer: UnacknowledgedAnswer | undefined,
  ): void {
    const isKeeper = user instanceof ClientCall || user instanceof Refresh;
    const keeper = isKeeper ? user : { request: invite, keepAck: NOTHING, expectOwner: NOTHING };
    entry.unacknowledged = { invite, endBecause, keeper, answer };
  }

  heldBye(entry: DialogEntry, record: CallRecord | string, resolve: Resolve, unixMs: number): void {
    const { requests, owners, user } = this.#parts;
    if (typeof record === "string") entry.heldBye = user.ownBye(entry, record);
    else {
      const outgoing = requests.resumed(requestFrom(record.request), record.flow);
      entry.heldBye = this.#call(record, outgoing, owners.restored(record.owner), resolve, unixMs);
    }
  }
}

const NOTHING = () => {};
