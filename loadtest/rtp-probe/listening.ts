// What was received, and what it says. Pure: packets in, answers out.

import type { RtpAddress } from "../../pop/core/media/addresses.ts";
import { showAddress } from "../../pop/core/media/addresses.ts";
import { digitOfEvent } from "../../pop/core/media/dtmf.ts";
import { decodeG711 } from "../../pop/core/media/g711.ts";
import { type RtpPacket, readTelephoneEvent, sequenceStep, timestampStep } from "../../pop/core/media/rtp.ts";
import { toneShare } from "../../pop/core/media/tone.ts";
import { findAudio, type Likeness } from "./similarity.ts";

export interface HeardPacket extends RtpPacket {
  /** On a monotonic clock. */
  readonly atMs: number;
  readonly from: RtpAddress;
}

/** Part of what was heard, by time of arrival. Absent: from the first, to the last. */
export interface HeardWindow {
  readonly fromMs?: number;
  readonly toMs?: number;
}

export interface HeardDigit {
  readonly digit: string;
  readonly durationMs: number;
  readonly atMs: number;
}

const within = (window: HeardWindow) => (packet: HeardPacket) =>
  packet.atMs >= (window.fromMs ?? -Infinity) && packet.atMs <= (window.toMs ?? Infinity);

const isAudio = ({ payloadType }: RtpPacket): boolean => payloadType === 0 || payloadType === 8;

/** Longest time a gap in the timestamps is filled with silence for; a longer one is a new talk spurt. */
const GAP_FILLED_SAMPLES_MAX = 8_000;

/** The received packets of one party, and the questions a test asks of them. */
export class Listening {
  readonly packets: HeardPacket[] = [];
  readonly packetsMax: number;
  /** Packets no longer kept, the oldest first. */
  forgotten = 0;

  /** @param packetsMax default: ten minutes of one stream */
  constructor(packetsMax = 30_000) {
    this.packetsMax = packetsMax;
  }

  hear(packet: HeardPacket): void {
    this.packets.push(packet);
    if (this.packets.length <= this.packetsMax) return;
    const drop = Math.ceil(this.packetsMax / 10);
    this.packets.splice(0, drop);
    this.forgotten += drop;
  }

  /**
   * Decoded audio, laid out by timestamp: what was lost is silence, what came twice counts once. A stream that
   * changes its SSRC, or jumps in time, goes on where the one before ended.
   */
  audio(window: HeardWindow = {}): Int16Array {
    const chosen = this.packets.filter((packet) => isAudio(packet) && within(window)(packet));
    const placed: { at: number; samples: Int16Array }[] = [];
    let end = 0;
    let origin = 0;
    let first: HeardPacket | undefined;
    for (const packet of chosen) {
      const samples = decodeG711(packet.payloadType === 0 ? "PCMU" : "PCMA", packet.payload);
      let at = first === undefined ? 0 : origin + timestampStep(first.timestamp, packet.timestamp);
      const jumps = at > end + GAP_FILLED_SAMPLES_MAX || at < end - GAP_FILLED_SAMPLES_MAX || at < 0;
      if (first === undefined || first.ssrc !== packet.ssrc || jumps) {
        first = packet;
        origin = end;
        at = end;
      }
      placed.push({ at, samples });
      end = Math.max(end, at + samples.length);
    }
    const audio = new Int16Array(end);
    for (const { at, samples } of placed) audio.set(samples, at);
    return audio;
  }

  /** Share of the power at `hz`, 0 … 1. */
  toneShare(hz: number, window: HeardWindow = {}): number {
    return toneShare(this.audio(window), hz);
  }

  /** How alike the best matching part is to `sought` (8 kHz linear). */
  likeness(sought: Int16Array, window: HeardWindow = {}): Likeness {
    return findAudio(this.audio(window), sought);
  }

  durationMs(window: HeardWindow = {}): number {
    return this.audio(window).length / 8;
  }

  /** Longest time between two packets, or between one and the edge of the window where the window has that edge. */
  longestGapMs(window: HeardWindow = {}): number {
    const times = this.packets.filter(within(window)).map(({ atMs }) => atMs);
    if (window.fromMs !== undefined) times.unshift(window.fromMs);
    if (window.toMs !== undefined) times.push(window.toMs);
    if (times.length < 2) return times.length === 0 ? 0 : Infinity;
    let longest = 0;
    for (let at = 1; at < times.length; at++) longest = Math.max(longest, (times[at] ?? 0) - (times[at - 1] ?? 0));
    return longest;
  }

  /** By sequence number, per SSRC. */
  losses(window: HeardWindow = {}): { readonly lost: number; readonly reordered: number; readonly duplicated: number } {
    const streams = new Map<number, number[]>();
    for (const { ssrc, sequence } of this.packets.filter(within(window))) {
      const steps = streams.get(ssrc) ?? [];
      streams.set(ssrc, steps);
      const last = steps.at(-1);
      // extended: never wraps
      steps.push(last === undefined ? sequence : last + sequenceStep(last & 0xffff, sequence));
    }
    let lost = 0;
    let reordered = 0;
    let duplicated = 0;
    for (const numbers of streams.values()) {
      const distinct = new Set(numbers);
      duplicated += numbers.length - distinct.size;
      let highest = -Infinity;
      let lowest = Infinity;
      for (const number of numbers) {
        if (number < highest) reordered++;
        highest = Math.max(highest, number);
        lowest = Math.min(lowest, number);
      }
      lost += highest - lowest + 1 - distinct.size;
    }
    return { lost, reordered, duplicated };
  }

  /** In order of appearance. */
  ssrcs(window: HeardWindow = {}): readonly number[] {
    return [...new Set(this.packets.filter(within(window)).map(({ ssrc }) => ssrc))];
  }

  /** "host:port", in order of appearance. */
  sources(window: HeardWindow = {}): readonly string[] {
    return [...new Set(this.packets.filter(within(window)).map(({ from }) => showAddress(from)))];
  }

  payloadTypes(window: HeardWindow = {}): readonly number[] {
    return [...new Set(this.packets.filter(within(window)).map(({ payloadType }) => payloadType))];
  }

  /** RFC 4733 digits: one for each event, however often its end was sent. */
  digits(dtmfPayloadType: number, window: HeardWindow = {}): readonly HeardDigit[] {
    const seen = new Map<string, HeardDigit>();
    for (const packet of this.packets.filter(within(window))) {
      if (packet.payloadType !== dtmfPayloadType) continue;
      const event = readTelephoneEvent(packet.payload);
      const digit = event?.end ? digitOfEvent(event.event) : undefined;
      const key = `${packet.ssrc}/${packet.timestamp}`;
      if (event !== undefined && digit !== undefined && !seen.has(key))
        seen.set(key, { digit, durationMs: event.duration / 8, atMs: packet.atMs });
    }
    return [...seen.values()];
  }
}
