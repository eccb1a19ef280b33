// The music of those who bring none: broken chords, plucked, sixteen seconds that run into themselves without a seam.
// Made by arithmetic, so it is nobody's.

import { SAMPLES_PER_SECOND } from "./g711.ts";

const NOTE_SECONDS = 0.5;
const NOTES_PER_CHORD = 8;
const RING_SECONDS = 2.5;
/** Peak, of 32767: well below a voice, and with room for what a codec adds. */
const PEAK = 9_000;

/** Semitones above A3 (220 Hz): C, A minor, F, G, each as bass, middle, top and back. */
const CHORDS: readonly (readonly number[])[] = [
  [3, 10, 15, 19, 22, 19, 15, 10],
  [0, 7, 12, 15, 19, 15, 12, 7],
  [-4, 3, 8, 12, 15, 20, 15, 8],
  [-2, 5, 10, 14, 17, 22, 17, 14],
];

export const HOLD_MUSIC_SECONDS = CHORDS.length * NOTES_PER_CHORD * NOTE_SECONDS;

/** 8 kHz, one loop. */
export function holdMusic(): Int16Array {
  const length = HOLD_MUSIC_SECONDS * SAMPLES_PER_SECOND;
  const sum = new Float64Array(length);
  CHORDS.flat().forEach((semitone, note) => {
    const start = Math.round(note * NOTE_SECONDS * SAMPLES_PER_SECOND);
    const hz = 220 * 2 ** (semitone / 12);
    const strength = note % NOTES_PER_CHORD === 0 ? 1.3 : 1;
    for (let at = 0; at < RING_SECONDS * SAMPLES_PER_SECOND; at++) {
      // what still rings at the end of the loop rings on at its beginning
      const place = (start + at) % length;
      sum[place] = (sum[place] ?? 0) + strength * pluck(hz, at / SAMPLES_PER_SECOND);
    }
  });
  const peak = sum.reduce((highest, value) => Math.max(highest, Math.abs(value)), 0);
  return Int16Array.from(sum, (value) => Math.round((value / peak) * PEAK));
}

/** Overtones fade faster than the note: what a string does. */
function pluck(hz: number, seconds: number): number {
  const attack = Math.min(1, seconds / 0.008);
  let value = 0;
  for (const [overtone, share] of [1, 0.45, 0.2, 0.08].entries()) {
    const fade = Math.exp(-seconds * (2 + 1.6 * overtone));
    value += share * fade * Math.sin(2 * Math.PI * hz * (overtone + 1) * seconds);
  }
  const ending = Math.min(1, (RING_SECONDS - seconds) / 0.1); // no click where the note is cut off
  return attack * ending * value;
}
