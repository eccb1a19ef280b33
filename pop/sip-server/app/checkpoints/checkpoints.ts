// Calls as they go into the checkpoint store: one field per Call-ID, written when something of it has changed, removed
// when nothing of it is left. And the way out of messages that may not leave before that.
//
// What may not leave early is whatever lets the peer stop repeating itself, for after our death its repetition is all that
// brings a message back: final responses, ACK, PRACK; and what obliges it to more: an INVITE that is to make a call, a
// reliable provisional. ADR 0014.
//
// Invariants:
//   (a) messages of one Call-ID leave in the order in which they were sent, but for a 100;
//   (b) between two commits of a call at most CSEQ_RESERVE requests leave in its dialogs.

import type { CheckpointStore } from "../../../checkpoint/boundary/checkpoint-store.ts";
import { hasHeader, type SipMessage } from "../../core/message/message.ts";
import { CSEQ_RESERVE } from "../../core/record/record.ts";

export interface CheckpointSource {
  /** Whether anything of this call lives here. */
  holds(callId: string): boolean;
  /** All of it, as the next owner reads it. */
  textOf(callId: string): string;
}

/** Beside the calls: whom applications have told us to hear. No Call-ID has a space (RFC 3261 §25.1). */
export const SOURCES_FIELD = "sources told";

/** Messages of one call that wait; the next is lost, as a datagram may be. */
const WAITING_PER_CALL_MAX = 128;
/** Counted between two texts: between two commits it may be twice as many. */
const REQUESTS_MAX = CSEQ_RESERVE / 2;

interface Leaving {
  /** Waits for a commit of its own. */
  readonly isHeld: boolean;
  readonly leave: () => void;
}

/** "lost": a copy of something while something else waits; its original, or another copy, will come. */
export type Way = "now" | "later" | "lost";

export class Checkpoints {
  readonly #store: CheckpointStore;
  readonly #source: CheckpointSource;
  /** Requests that left in dialogs of a call since its last text. */
  readonly #requests = new Map<string, number>();
  /** By call: the first waits for a commit, the others for the first. */
  readonly #waiting = new Map<string, Leaving[]>();

  constructor(store: CheckpointStore, source: CheckpointSource) {
    this.#store = store;
    this.#source = source;
  }

  readonly #text = (callId: string): string => {
    this.#requests.delete(callId);
    return this.#source.textOf(callId);
  };

  /** Something of this call has changed. */
  touched(callId: string): void {
    if (this.#source.holds(callId)) this.#store.save(callId, this.#text);
  }

  sourcesTold(all: readonly string[]): void {
    this.#store.save(SOURCES_FIELD, () => JSON.stringify(all));
  }

  /** Something of this call has ended. */
  ended(callId: string): void {
    if (this.#source.holds(callId)) return;
    this.#requests.delete(callId);
    this.#store.remove(callId);
  }

  /** Taken up from a record: no request leaves in its dialogs before the numbers it may use are written. */
  restored(callId: string): void {
    this.#requests.set(callId, REQUESTS_MAX);
  }

  /** What is to become of a message. @param again it is a copy */
  wayOf(message: SipMessage, again: boolean): Way {
    const { callId } = message;
    const isBehind = this.#waiting.size > 0 && this.#waiting.has(callId);
    if (again) return isBehind ? "lost" : "now";
    if (message.kind === "response" && message.status === 100) return "now";
    this.touched(callId);
    return isBehind || this.#mustWait(message) ? "later" : "now"; // behind others it is asked when it is put there
  }

  /** Of one that is to leave later: it may be at once. False: too many wait already, it is lost. */
  hold(message: SipMessage, leave: () => void): boolean {
    const { callId } = message;
    const known = this.#waiting.get(callId);
    if (known === undefined) {
      const waiting: Leaving[] = [{ isHeld: true, leave }];
      this.#waiting.set(callId, waiting);
      this.#next(callId, waiting);
      return true;
    }
    if (known.length >= WAITING_PER_CALL_MAX) return false;
    known.push({ isHeld: this.#mustWait(message), leave });
    return true;
  }

  #mustWait(message: SipMessage): boolean {
    if (message.kind === "response") return message.status >= 200 || hasHeader(message, "rseq");
    const { method, callId, toTag } = message;
    if (method === "ACK" || method === "PRACK") return true;
    if (toTag === "") return method === "INVITE";
    if (method === "CANCEL") return false;
    const sent = (this.#requests.get(callId) ?? 0) + 1;
    this.#requests.set(callId, sent);
    return sent > REQUESTS_MAX;
  }

  /** Lets all go up to the next that has to wait for a commit. */
  #next(callId: string, waiting: Leaving[]): void {
    for (let first = waiting[0]; first !== undefined; first = waiting[0]) {
      if (first.isHeld && !this.#isCommitted(callId, waiting)) return;
      waiting.shift();
      first.leave();
    }
    if (this.#waiting.get(callId) === waiting) this.#waiting.delete(callId);
  }

  #isCommitted(callId: string, waiting: Leaving[]): boolean {
    let isNow = true;
    let isCommitted = false;
    this.#store.committed(callId, () => {
      isCommitted = true;
      if (isNow) return;
      waiting.shift()?.leave();
      this.#next(callId, waiting);
    });
    isNow = false;
    return isCommitted;
  }
}
