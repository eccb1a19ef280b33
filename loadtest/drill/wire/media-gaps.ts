// How long each stream was silent, by the kernel's own time of each packet: no process of the drill stands in between. Pure.

import type { WirePacket } from "./pcap.ts";

export interface StreamGap {
  /** Packets in the second before the fault. */
  readonly before: number;
  /** The longest time between two packets around and after the fault; Infinity: it never came back. */
  readonly gapMs: number;
  /** From the fault to the first packet after that longest gap. */
  readonly backAfterMs: number;
  /** Packets in the last second that was watched. */
  readonly after: number;
}

const BEFORE_MS = 1_000;
/** A gap that began so long before the fault is still the fault's: the last packet of a stream of 20 ms frames. */
const EDGE_MS = 100;

/** @param times ascending, Unix ms */
export function gapAround(times: readonly number[], faultAtMs: number, untilMs: number): StreamGap {
  let before = 0;
  let after = 0;
  let gapMs = 0;
  let backAtMs = faultAtMs;
  let last: number | undefined;
  for (const atMs of times) {
    if (atMs > untilMs) break;
    if (atMs >= faultAtMs - BEFORE_MS && atMs < faultAtMs) before++;
    if (atMs > untilMs - BEFORE_MS) after++;
    if (atMs >= faultAtMs - EDGE_MS) {
      if (last !== undefined && atMs >= faultAtMs && atMs - last > gapMs) {
        gapMs = atMs - last;
        backAtMs = atMs;
      }
    }
    last = atMs;
  }
  if (last !== undefined && untilMs - last > Math.max(gapMs, BEFORE_MS)) {
    gapMs = Infinity;
    backAtMs = Infinity;
  }
  return { before, gapMs, backAfterMs: backAtMs - faultAtMs, after };
}

/** Times of arrival by "host:port" of the receiver. */
export function arrivalsBySocket(packets: Iterable<WirePacket>): ReadonlyMap<string, readonly number[]> {
  const times = new Map<string, number[]>();
  for (const { atMs, to } of packets) {
    const key = `${to.host}:${to.port}`;
    const known = times.get(key);
    if (known === undefined) times.set(key, [atMs]);
    else known.push(atMs);
  }
  return times;
}
