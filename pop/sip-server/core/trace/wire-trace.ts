// The last messages of the last calls, summarised: what a person needs to draw the ladder. No numbers dialled, no bodies.

import type { Flow } from "../flow.ts";
import type { SipMessage } from "../message/message.ts";
import { withoutUser } from "../message/uri.ts";

export interface TraceLine {
  /** Milliseconds since 1970. */
  readonly unixMs: number;
  readonly direction: "in" | "out";
  readonly local: string;
  readonly peer: string;
  readonly transport: string;
  /** "INVITE sip:127.0.0.1:5060" or "180 Ringing". */
  readonly start: string;
  readonly cseq: string;
  readonly bytes: number;
  readonly retransmission: boolean;
  readonly body: boolean;
}

/** How the call began, and how it stands: what lies between is forgotten first. */
interface Ring {
  readonly first: TraceLine[];
  /** Written round and round. */
  readonly last: TraceLine[];
  /** Where in `last` the next line goes once it is full. */
  next: number;
}

export interface TraceLimits {
  readonly callIdsMax: number;
  readonly linesPerCallMax: number;
}

/** Bounded twice: calls (the oldest goes first) and lines of a call (its middle goes first). */
export class WireTrace {
  readonly limits: TraceLimits;
  readonly #rings = new Map<string, Ring>();

  constructor(limits: TraceLimits) {
    this.limits = limits;
  }

  note(
    message: SipMessage,
    direction: "in" | "out",
    flow: Flow,
    at: { readonly unixMs: number; readonly bytes: number; readonly retransmission: boolean },
  ): void {
    if (this.limits.callIdsMax === 0) return;
    let ring = this.#rings.get(message.callId);
    if (ring === undefined) {
      if (this.#rings.size >= this.limits.callIdsMax) {
        const oldest = this.#rings.keys().next().value;
        if (oldest !== undefined) this.#rings.delete(oldest);
      }
      ring = { first: [], last: [], next: 0 };
      this.#rings.set(message.callId, ring);
    }
    this.#keep(ring, {
      unixMs: at.unixMs,
      direction,
      local: flow.pointId,
      peer: `${flow.address}:${flow.port}`,
      transport: flow.transport,
      start:
        message.kind === "request"
          ? `${message.method} ${withoutUser(message.uri)}`
          : `${message.status} ${message.reason}`,
      cseq: `${message.cseq.number} ${message.cseq.method}`,
      bytes: at.bytes,
      retransmission: at.retransmission,
      body: message.body !== "",
    });
  }

  #keep(ring: Ring, line: TraceLine): void {
    const { linesPerCallMax } = this.limits;
    const firstMax = Math.ceil(linesPerCallMax / 2);
    if (ring.first.length < firstMax) ring.first.push(line);
    else if (ring.last.length < linesPerCallMax - firstMax) ring.last.push(line);
    else if (ring.last.length > 0) {
      ring.last[ring.next] = line;
      ring.next = (ring.next + 1) % ring.last.length;
    }
  }

  /** In order of time; in a long call lines of its middle are missing. */
  of(callId: string): readonly TraceLine[] | undefined {
    const ring = this.#rings.get(callId);
    if (ring === undefined) return undefined;
    return [...ring.first, ...ring.last.slice(ring.next), ...ring.last.slice(0, ring.next)];
  }

  get size(): number {
    return this.#rings.size;
  }
}
