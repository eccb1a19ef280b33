import type { Outcome } from "../../../kernel/outcome.ts";
import type { MediaFailure } from "../../core/media/media-failure.ts";
import type { Frames } from "../core/frames.ts";

/** Where encoded audio comes from. */
export interface AudioStore {
  /** One second of it, which is a whole number of cycles of any whole frequency. */
  tone(hz: number): Frames;
  /** @fails media.prompt-unreadable */
  file(path: string): Promise<Outcome<Frames, MediaFailure>>;
  /** Held in memory now. */
  readonly bytes: number;
}
