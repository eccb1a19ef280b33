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

interface Ring {
  readonly lines: TraceLine[];
  /** Lines that no longer fitted: the first half of a long call is kept, then its end is cut. */
  dropped: number;
}

export interface TraceLimits {
  readonly callIdsMax: number;
  readonly linesPerCallMax: number;
}

/** Bounded twice: calls (the oldest goes first) and lines of a call (later ones are counted only). */
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
      ring = { lines: [], dropped: 0 };
      this.#rings.set(message.callId, ring);
    }
    if (ring.lines.length >= this.limits.linesPerCallMax) {
      ring.dropped++;
      return;
    }
    ring.lines.push({
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

  of(callId: string): readonly TraceLine[] | undefined {
    return this.#rings.get(callId)?.lines;
  }

  get size(): number {
    return this.#rings.size;
  }
}
