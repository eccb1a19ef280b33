// What plays, and where it is: plain data, one frame of 20 ms at a time. Whoever has this can go on with the play.

import { FRAME_MS } from "../../core/media/g711.ts";
import type { PlayId } from "../../core/media/prompt.ts";

export type FrameSource =
  | { readonly kind: "tone"; readonly hz: number }
  | { readonly kind: "silence" }
  | { readonly kind: "file"; readonly path: string };

export interface PlayItem {
  readonly source: FrameSource;
  readonly frames: number;
}

export interface PlayPosition {
  readonly play: PlayId;
  readonly items: readonly PlayItem[];
  readonly repeat: "once" | "forever";
  /** The next frame to send: of which item, and which of its frames. */
  readonly item: number;
  readonly frame: number;
  /** Sent so far in this play, all passes. */
  readonly framesSent: number;
}

export const framesOf = (items: readonly PlayItem[]): number => items.reduce((sum, { frames }) => sum + frames, 0);

/** A last part that does not fill its frame is filled with silence. */
export const framesIn = (ms: number): number => Math.ceil(ms / FRAME_MS);

/** @param fromMs into one pass; beyond the end it is the end, or with "forever" as far into a later pass */
export function startPlay(
  play: PlayId,
  items: readonly PlayItem[],
  repeat: "once" | "forever",
  fromMs: number,
): PlayPosition {
  const total = framesOf(items);
  const asked = Math.floor(fromMs / FRAME_MS);
  let left = repeat === "forever" && total > 0 ? asked % total : Math.min(asked, total);
  let item = 0;
  for (
    let frames = items[item]?.frames ?? 0;
    item < items.length && left >= frames;
    frames = items[item]?.frames ?? 0
  ) {
    left -= frames;
    item++;
  }
  return { play, items, repeat, item, frame: left, framesSent: 0 };
}

export interface FrameToSend {
  readonly item: number;
  readonly frame: number;
  readonly next: PlayPosition;
}

/** undefined: there is no more, the play has come to its end. */
export function nextFrame(position: PlayPosition): FrameToSend | undefined {
  const { items, repeat } = position;
  let { item, frame } = position;
  // At most one way round: items may be empty.
  for (let tries = 0; tries <= items.length; tries++) {
    if (item >= items.length) {
      if (repeat === "once" || items.length === 0) return undefined;
      item = 0;
      frame = 0;
    }
    if (frame < (items[item]?.frames ?? 0))
      return { item, frame, next: { ...position, item, frame: frame + 1, framesSent: position.framesSent + 1 } };
    item++;
    frame = 0;
  }
  return undefined;
}

export const playedMs = ({ framesSent }: PlayPosition): number => framesSent * FRAME_MS;
