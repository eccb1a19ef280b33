// The dialogs that one INVITE of an application has made, and the ACKs that went to them. RFC 3261 §12.1.2, §13.2.2.4.

import { dialogOfUac } from "../../core/dialog/dialog.ts";
import type { Flow } from "../../core/flow.ts";
import { isSdp, type SipRequest, type SipResponse } from "../../core/message/message.ts";
import { type CallRecord, requestFrom, requestText } from "../../core/record/record.ts";
import { described } from "../../core/session/offer-answer.ts";
import type { Owner } from "../applications/owners.ts";
import { type DialogEntry, type DialogStore, type Resolve, referenceTo } from "../dialogs/dialog-store.ts";

/** Early dialogs of one INVITE: more than a carrier's sequential hunt makes. */
const FORKS_MAX = 16;

interface KeptAck {
  readonly entry: DialogEntry;
  readonly ack: SipRequest;
  readonly flow: Flow;
}

export class Forks {
  readonly #dialogs: DialogStore;
  readonly #link: Owner;
  /** Each has a remote tag of its own. */
  readonly #entries: DialogEntry[] = [];
  /** Our ACKs, to answer copies of the 2xx they belong to: one per dialog that was answered. They go with the transaction. */
  readonly #acks: KeptAck[] = [];
  #chosen: DialogEntry | undefined;

  constructor(dialogs: DialogStore, link: Owner) {
    this.#dialogs = dialogs;
    this.#link = link;
  }

  /** The first that was answered; of a re-INVITE, its own dialog. */
  get chosen(): DialogEntry | undefined {
    return this.#chosen;
  }

  choose(entry: DialogEntry): void {
    this.#chosen = entry;
    this.#dialogs.prefer(entry);
  }

  byTag(tag: string): DialogEntry | undefined {
    return this.#entries.find(({ dialog }) => dialog.remoteTag === tag);
  }

  /** The dialog of this response, made if need be; undefined when none can be. */
  entryFor(request: SipRequest, response: SipResponse, from: Flow, isAnswered: boolean): DialogEntry | undefined {
    const known = this.byTag(response.toTag);
    // The callee's BYE has overtaken its 2xx: the dialog it ended is gone, so the 2xx makes a new one (§13.2.2.4).
    const isOvertaken = known?.dialog.phase === "terminated" && response.status >= 200 && !isAnswered;
    if (known !== undefined && !isOvertaken) {
      known.dialog = { ...known.dialog, flow: from };
      return known;
    }
    if (response.status < 200 && response.toTag === "") return undefined;
    if (!isOvertaken && this.#entries.length >= FORKS_MAX) return undefined;
    const entry = this.#dialogs.add(dialogOfUac(request, response, from), this.#link);
    if (isSdp(request)) entry.exchange = described(undefined, "us", "INVITE", request.cseq.number);
    if (known !== undefined) this.#entries.splice(this.#entries.indexOf(known), 1);
    this.#entries.push(entry);
    return entry;
  }

  /** Those that were not chosen are forgotten: one that answers as well is acknowledged and ended. */
  forgetOthers(): void {
    for (const entry of this.#entries.splice(0))
      if (entry === this.#chosen) this.#entries.push(entry);
      else this.#dialogs.remove(entry);
  }

  /** The INVITE goes once more: what came of the first try is void. */
  forgetAll(): void {
    for (const entry of this.#entries.splice(0)) this.#dialogs.remove(entry);
  }

  keepAck(entry: DialogEntry, ack: SipRequest, flow: Flow): void {
    const at = this.#acks.findIndex((kept) => kept.entry === entry);
    this.#acks.splice(at === -1 ? this.#acks.length : at, 1, { entry, ack, flow });
  }

  ackTo(entry: DialogEntry): KeptAck | undefined {
    return this.#acks.find((kept) => kept.entry === entry);
  }

  record(): Pick<CallRecord, "forks" | "chosen" | "acks"> {
    return {
      forks: this.#entries.map((entry) => ({ tag: entry.dialog.remoteTag, dialog: referenceTo(entry) })),
      chosen: this.#chosen && referenceTo(this.#chosen),
      acks: this.#acks.map(({ entry, ack, flow }) => ({ dialog: referenceTo(entry), ack: requestText(ack), flow })),
    };
  }

  resume(record: CallRecord, resolve: Resolve): void {
    for (const { dialog } of record.forks) {
      const entry = resolve(dialog, this.#link);
      if (entry !== undefined) this.#entries.push(entry);
    }
    this.#chosen = record.chosen === undefined ? undefined : resolve(record.chosen, this.#link);
    for (const { dialog, ack, flow } of record.acks) {
      const entry = resolve(dialog, this.#link);
      if (entry !== undefined) this.#acks.push({ entry, ack: requestFrom(ack), flow });
    }
  }
}
