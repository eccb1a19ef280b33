import { FRAME_SAMPLES, ULAW_SILENCE } from "../../core/media/g711.ts";

/** Encoded audio: 8 kHz mu-law, filled up to whole frames of 160 bytes. */
export type Frames = Uint8Array;

export const SILENT_FRAME: Frames = new Uint8Array(FRAME_SAMPLES).fill(ULAW_SILENCE);
