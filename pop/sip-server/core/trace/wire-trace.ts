// The last messages of the last calls, summarised: what a person needs to draw the ladder. No numbers dialled, no bodies.

import type { Flow } from "../flow.ts";
import type { SipMessage } from "../message/message.ts";
import { ownText } from "../message/own-text.ts";
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

/** A line as it is kept. Most are never looked at, so texts are made when one is. */
interface Kept {
  readonly unixMs: number;
  readonly direction: "in" | "out";
  readonly flow: Flow;
  /** 0: a request. */
  readonly status: number;
  /** The method, or the reason phrase. */
  readonly what: string;
  readonly uri: string;
  readonly cseqNumber: number;
  readonly cseqMethod: string;
  readonly bytes: number;
  readonly retransmission: boolean;
  readonly body: boolean;
}

/** How the call began, and how it stands: what lies between is forgotten first. */
interface Ring {
  readonly first: Kept[];
  /** Written round and round. */
  readonly last: Kept[];
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
      this.#rings.set(ownText(message.callId), ring);
    }
    const isRequest = message.kind === "request";
    this.#keep(ring, {
      unixMs: at.unixMs,
      direction,
      flow,
      status: isRequest ? 0 : message.status,
      what: ownText(isRequest ? message.method : message.reason),
      uri: isRequest ? ownText(message.uri) : "",
      cseqNumber: message.cseq.number,
      cseqMethod: ownText(message.cseq.method),
      bytes: at.bytes,
      retransmission: at.retransmission,
      body: message.body !== "",
    });
  }

  #keep(ring: Ring, line: Kept): void {
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
    return [...ring.first, ...ring.last.slice(ring.next), ...ring.last.slice(0, ring.next)].map(shown);
  }

  get size(): number {
    return this.#rings.size;
  }
}

function shown(line: Kept): TraceLine {
  const { unixMs, direction, flow, status, what, uri, cseqNumber, cseqMethod, bytes, retransmission, body } = line;
  return {
    unixMs,
    direction,
    local: flow.pointId,
    peer: `${flow.address}:${flow.port}`,
    transport: flow.transport,
    start: status === 0 ? `${what} ${withoutUser(uri)}` : `${status} ${what}`,
    cseq: `${cseqNumber} ${cseqMethod}`,
    bytes,
    retransmission,
    body,
  };
}
