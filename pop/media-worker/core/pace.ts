// When frames are due. One clock for all calls: frame n is due at origin + n * 20 ms, so lateness never adds up.

import { FRAME_MS } from "../../core/media/g711.ts";

export interface Pace {
  readonly originMs: number;
  /** Frames due and dealt with since the origin. */
  readonly frames: number;
}

/** A phone's jitter buffer takes so many at once. What is missed beyond is not sent later. */
export const FRAMES_AT_ONCE_MAX = 4;

export interface Due {
  readonly pace: Pace;
  /** Frames to send now, 0 … FRAMES_AT_ONCE_MAX. */
  readonly send: number;
  /** Frames that were due but are given up: time passed, plays wait. */
  readonly skip: number;
  /** How late the earliest due frame is. */
  readonly lateMs: number;
}

export const startPace = (nowMs: number): Pace => ({ originMs: nowMs, frames: 0 });

export function dueFrames(pace: Pace, nowMs: number): Due {
  const due = Math.max(0, Math.floor((nowMs - pace.originMs) / FRAME_MS) + 1 - pace.frames);
  const send = Math.min(due, FRAMES_AT_ONCE_MAX);
  const lateMs = due === 0 ? 0 : nowMs - dueAtMs(pace);
  return { pace: { ...pace, frames: pace.frames + due }, send, skip: due - send, lateMs };
}

export const dueAtMs = ({ originMs, frames }: Pace): number => originMs + frames * FRAME_MS;
