// Owns every dialog: by the application's name for it and by what a peer's message says.
// What an entry holds while the dialog is idle is plain and small; what hangs on it for a while are references to drivers.

import type { AcceptedInviteState } from "../../core/dialog/accepted-invite.ts";
import { type Dialog, dialogKey } from "../../core/dialog/dialog.ts";
import type { Flow } from "../../core/flow.ts";
import type { SipRequest, SipResponse } from "../../core/message/message.ts";
import type { AcceptanceRecord, CallRecord, DialogReference } from "../../core/record/record.ts";
import type { Exchange } from "../../core/session/offer-answer.ts";
import * as sessionTimer from "../../core/session/session-timer.ts";
import type { Owner } from "../applications/owners.ts";
import { CallIdIndex } from "../shell/call-id-index.ts";
import type { WheelTimer } from "../shell/timer-wheel.ts";

/** A 2xx the application has yet to acknowledge. */
export interface UnacknowledgedInvite {
  readonly invite: SipRequest;
  /** The call is acknowledged only to be ended, for this reason. */
  readonly endBecause: string | undefined;
  /** Whoever hears copies of that 2xx, and answers them with the ACK. RFC 3261 §13.2.2.4. */
  readonly keeper: AckKeeper;
  /** For an application that comes back without it; undefined: no application has placed a call by this INVITE. */
  readonly answer?: UnacknowledgedAnswer | undefined;
}

export interface UnacknowledgedAnswer {
  readonly response: SipResponse;
  /** The application's name for the INVITE. */
  readonly transactionId: string;
}

export interface AckKeeper {
  readonly request: SipRequest;
  keepAck(entry: DialogEntry, ack: SipRequest, flow: Flow): void;
  /** The application has lost its connection before it acknowledged. */
  expectOwner(): void;
}

export interface Acceptance {
  readonly state: AcceptedInviteState["name"];
  /** Of the INVITE. */
  readonly cseq: number;
  /** The application's name for the INVITE. */
  readonly transactionId: string;
  acknowledge(): void;
  /** The call ended first. */
  over(): void;
  record(unixMs: number): AcceptanceRecord;
}

/** A request of the application that may not leave yet. */
export interface HeldRequest {
  release(): void;
  /** The application's request, or the reason of our own. */
  record(unixMs: number): CallRecord | string;
}

/** One dialog and what hangs on it. */
export interface DialogEntry {
  dialog: Dialog;
  owner: Owner;
  /** Our 2xx to an INVITE, until its ACK. */
  acceptance: Acceptance | undefined;
  unacknowledged: UnacknowledgedInvite | undefined;
  /** An INVITE of ours inside the dialog has no final response yet. */
  invitingOut: boolean;
  /** An INVITE of the peer has no final response yet. */
  invitingIn: boolean;
  /** Highest RSeq of the peer that went up. RFC 3262 §4. */
  rseq: number;
  /** The BYE of the application that waits for the ACK to our 2xx: §15 forbids it earlier. */
  heldBye: HeldRequest | undefined;
  /** A BYE of ours is out: nothing new begins in here. RFC 5407 §3.2. */
  ending: boolean;
  /** The session description we sent last and the peer took; "" when there was none. */
  localSdp: string;
  exchange: Exchange;
  /** The peer's Allow names UPDATE. RFC 3311 §4. */
  peerUpdates: boolean;
  session: sessionTimer.SessionState;
  /** What a 422 of the peer has asked for. RFC 4028 §7.3. */
  minSeSeconds: number;
  sessionTimer: WheelTimer | undefined;
}

/** Two seconds' worth at 500 calls per second. */
const ENDED_MAX = 1_024;

export class DialogStore {
  /** Early forks share the application's name: the entry found by it is the latest, or the confirmed one. */
  readonly #byId = new Map<string, DialogEntry>();
  /** Names that several entries have. */
  readonly #forks = new Map<string, DialogEntry[]>();
  readonly #byKey = new Map<string, DialogEntry>();
  /** For a record of one call. */
  readonly #byCallId = new CallIdIndex<DialogEntry>();
  /** Keys of dialogs that ended last; `#endedAt` is where the next one goes. */
  readonly #ended: string[] = [];
  #endedAt = 0;
  readonly dialogsMax: number;
  /** Of calls that have yet to be taken up. */
  reserved = 0;
  /** A dialog with a timer has ended. */
  onTimedDialogEnded: (entry: DialogEntry) => void = () => {};
  /** The last dialog of this Call-ID has ended. */
  onLastEnded: (callId: string) => void = () => {};
  /** Told of each dialog with subscriptions that goes. */
  onRemove: (entry: DialogEntry) => void = () => {};

  constructor(dialogsMax: number) {
    this.dialogsMax = dialogsMax;
  }

  get size(): number {
    return this.#byKey.size;
  }

  get full(): boolean {
    return this.#byKey.size + this.reserved >= this.dialogsMax;
  }

  add(dialog: Dialog, owner: Owner): DialogEntry {
    const entry = detached(dialog, owner);
    this.put(entry);
    return entry;
  }

  put(entry: DialogEntry): void {
    const { dialog } = entry;
    this.#byKey.set(keyOf(dialog), entry);
    this.#byCallId.add(dialog.callId, entry);
    const known = this.#byId.get(dialog.id);
    if (known === undefined || known.dialog.phase !== "confirmed") this.#byId.set(dialog.id, entry);
    if (known === undefined) return;
    const forks = this.#forks.get(dialog.id);
    if (forks === undefined) this.#forks.set(dialog.id, [known, entry]);
    else forks.push(entry);
  }

  byId(id: string): DialogEntry | undefined {
    return this.#byId.get(id);
  }

  /** Every dialog that goes by this name: more than one while an INVITE has forked. */
  forksOf(id: string): readonly DialogEntry[] {
    const forks = this.#forks.get(id);
    if (forks !== undefined) return forks;
    const entry = this.#byId.get(id);
    return entry === undefined ? [] : [entry];
  }

  byKey(callId: string, localTag: string, remoteTag: string): DialogEntry | undefined {
    return this.#byKey.get(dialogKey(callId, localTag, remoteTag));
  }

  byKeyText(key: string): DialogEntry | undefined {
    return this.#byKey.get(key);
  }

  /** This fork is the one the application means from now on. */
  prefer(entry: DialogEntry): void {
    this.#byId.set(entry.dialog.id, entry);
  }

  /** Safe to repeat. */
  remove(entry: DialogEntry): void {
    entry.dialog = { ...entry.dialog, phase: "terminated" };
    if (entry.sessionTimer !== undefined) this.onTimedDialogEnded(entry);
    const key = keyOf(entry.dialog);
    const { id } = entry.dialog;
    if (this.#byKey.get(key) === entry) {
      this.#byKey.delete(key);
      this.#ended[this.#endedAt] = key;
      this.#endedAt = (this.#endedAt + 1) % ENDED_MAX;
    }
    this.#unlist(entry);
    if (entry.dialog.usages.subscriptions.length > 0) this.onRemove(entry);
    const forks = this.#forks.get(id)?.filter((other) => other !== entry);
    if (forks !== undefined && forks.length > 1) this.#forks.set(id, forks);
    else this.#forks.delete(id);
    if (this.#byId.get(id) !== entry) return;
    const left = forks?.at(-1);
    if (left === undefined) this.#byId.delete(id);
    else this.#byId.set(id, left);
  }

  #unlist(entry: DialogEntry): void {
    const { callId } = entry.dialog;
    if (this.#byCallId.remove(callId, entry)) this.onLastEnded(callId);
  }

  /** Of the last dialogs that ended: a Replaces may come too late. RFC 3891 §3. */
  hasEnded(key: string): boolean {
    return this.#ended.includes(key);
  }

  entries(): Iterable<DialogEntry> {
    return this.#byKey.values();
  }

  hasOf(callId: string): boolean {
    return this.#byCallId.has(callId);
  }

  ofCallId(callId: string): readonly DialogEntry[] {
    return this.#byCallId.of(callId);
  }

  *ownedBy(owner: Owner): Iterable<DialogEntry> {
    for (const entry of this.#byKey.values()) if (entry.owner === owner) yield entry;
  }
}

export const keyOf = (dialog: Dialog): string => dialogKey(dialog.callId, dialog.localTag, dialog.remoteTag);

/** An entry in no store: that of a dialog that has ended, or is about to be put into one. */
export const detached = (dialog: Dialog, owner: Owner): DialogEntry => ({
  dialog,
  owner,
  acceptance: undefined,
  unacknowledged: undefined,
  invitingOut: false,
  invitingIn: false,
  rseq: 0,
  heldBye: undefined,
  ending: false,
  localSdp: "",
  exchange: undefined,
  peerUpdates: false,
  session: sessionTimer.OFF,
  minSeSeconds: 90,
  sessionTimer: undefined,
});

/** How a record names a dialog. */
export const referenceTo = ({ dialog }: DialogEntry): DialogReference =>
  dialog.phase === "terminated" ? dialog : keyOf(dialog);

/** Finds the entry a record means: one in the store, or one that has ended and is only talked about. */
export type Resolve = (reference: DialogReference, owner: Owner) => DialogEntry | undefined;
