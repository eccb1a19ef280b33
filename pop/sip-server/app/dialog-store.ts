// Owns every dialog: by the application's name for it and by what a peer's message says.

import type { ApplicationLink } from "../boundary/application-link.ts";
import type { AcceptedInviteState } from "../core/dialog/accepted-invite.ts";
import { type Dialog, dialogKey } from "../core/dialog/dialog.ts";
import type { Flow } from "../core/flow.ts";
import type { SipRequest } from "../core/message/message.ts";

/** Our ACK to a 2xx, kept to answer copies of that 2xx. RFC 3261 §13.2.2.4. */
export interface SentAck {
  readonly cseq: number;
  readonly ack: SipRequest;
  readonly flow: Flow;
}

/** A 2xx the application has yet to acknowledge. */
export interface UnacknowledgedInvite {
  readonly invite: SipRequest;
  /** The call is acknowledged only to be ended, for this reason. */
  readonly endBecause: string | undefined;
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
}

/** One dialog and what hangs on it. */
export interface DialogEntry {
  dialog: Dialog;
  owner: ApplicationLink;
  /** Our latest 2xx to an INVITE, and whether its ACK has come. */
  acceptance: Acceptance | undefined;
  unacknowledged: UnacknowledgedInvite | undefined;
  ack: SentAck | undefined;
  /** An INVITE of ours inside the dialog has no final response yet. */
  invitingOut: boolean;
  /** An INVITE of the peer has no final response yet. */
  invitingIn: boolean;
  /** Highest RSeq of the peer that went up. RFC 3262 §4. */
  rseq: number;
  /** BYEs of the application that wait for the ACK to our 2xx: §15 forbids them earlier. One, unless it repeats itself. */
  readonly heldByes: (() => void)[];
}

export class DialogStore {
  /** Early forks share the application's name: the entry found by it is the latest, or the confirmed one. */
  readonly #byId = new Map<string, DialogEntry>();
  readonly #byKey = new Map<string, DialogEntry>();
  readonly dialogsMax: number;

  constructor(dialogsMax: number) {
    this.dialogsMax = dialogsMax;
  }

  get size(): number {
    return this.#byKey.size;
  }

  get full(): boolean {
    return this.#byKey.size >= this.dialogsMax;
  }

  add(dialog: Dialog, owner: ApplicationLink): DialogEntry {
    const entry: DialogEntry = {
      dialog,
      owner,
      acceptance: undefined,
      unacknowledged: undefined,
      ack: undefined,
      invitingOut: false,
      invitingIn: false,
      rseq: 0,
      heldByes: [],
    };
    this.#byKey.set(keyOf(dialog), entry);
    const known = this.#byId.get(dialog.id);
    if (known === undefined || known.dialog.phase !== "confirmed") this.#byId.set(dialog.id, entry);
    return entry;
  }

  byId(id: string): DialogEntry | undefined {
    return this.#byId.get(id);
  }

  byKey(callId: string, localTag: string, remoteTag: string): DialogEntry | undefined {
    return this.#byKey.get(dialogKey(callId, localTag, remoteTag));
  }

  /** This fork is the one the application means from now on. */
  prefer(entry: DialogEntry): void {
    this.#byId.set(entry.dialog.id, entry);
  }

  /** Safe to repeat. */
  remove(entry: DialogEntry): void {
    entry.dialog = { ...entry.dialog, phase: "terminated" };
    const key = keyOf(entry.dialog);
    if (this.#byKey.get(key) === entry) this.#byKey.delete(key);
    if (this.#byId.get(entry.dialog.id) === entry) this.#byId.delete(entry.dialog.id);
  }

  *ownedBy(link: ApplicationLink): Iterable<DialogEntry> {
    for (const entry of this.#byKey.values()) if (entry.owner === link) yield entry;
  }
}

const keyOf = (dialog: Dialog): string => dialogKey(dialog.callId, dialog.localTag, dialog.remoteTag);
