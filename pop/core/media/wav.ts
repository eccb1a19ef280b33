// WAV files as callers upload them and espeak-ng writes them: 16-bit PCM, one or two channels.

import { fail, type Outcome, succeed } from "../../../kernel/outcome.ts";

export interface PcmAudio {
  /** Two channels are averaged. */
  readonly samples: Int16Array;
  readonly sampleHz: number;
}

export interface WavUnreadable {
  readonly code: "wav.unreadable";
  readonly detail: string;
}

export const WAV_RATES: readonly number[] = [8_000, 11_025, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000];
const PCM = 1;
const EXTENSIBLE = 0xfffe;

const unreadable = (detail: string) => fail<WavUnreadable>({ code: "wav.unreadable", detail });

/** @fails wav.unreadable with what is wrong, in words for whoever made the file */
export function readWav(bytes: Uint8Array): Outcome<PcmAudio, WavUnreadable> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const tag = (at: number): string =>
    at + 4 <= bytes.length ? String.fromCharCode(...bytes.subarray(at, at + 4)) : "";
  if (tag(0) !== "RIFF" || tag(8) !== "WAVE") return unreadable("not a WAV file");

  let format: { readonly channels: number; readonly sampleHz: number } | undefined;
  for (let at = 12; at + 8 <= bytes.length; ) {
    const name = tag(at);
    const size = view.getUint32(at + 4, true);
    const start = at + 8;
    if (name === "fmt ") {
      if (size < 16 || start + 16 > bytes.length) return unreadable("format chunk is cut off");
      const read = readFormat(view, start, size);
      if (!read.ok) return read;
      format = read.value;
    } else if (name === "data") {
      if (format === undefined) return unreadable("no format before the audio");
      // A program that writes to a pipe cannot know the size: it writes a huge one, or none. What is there counts.
      const end = size === 0 || start + size > bytes.length ? bytes.length : start + size;
      const samples = readSamples(view, start, end, format.channels);
      return samples.length === 0 ? unreadable("no audio in it") : succeed({ samples, sampleHz: format.sampleHz });
    }
    at = start + size + (size % 2);
  }
  return unreadable(format === undefined ? "no format chunk" : "no audio in it");
}

function readFormat(
  view: DataView,
  at: number,
  size: number,
): Outcome<{ readonly channels: number; readonly sampleHz: number }, WavUnreadable> {
  let coding = view.getUint16(at, true);
  if (coding === EXTENSIBLE && size >= 26 && at + 26 <= view.byteLength) coding = view.getUint16(at + 24, true);
  const channels = view.getUint16(at + 2, true);
  const sampleHz = view.getUint32(at + 4, true);
  const bits = view.getUint16(at + 14, true);
  if (coding !== PCM) return unreadable(`coding ${coding} is not PCM (1)`);
  if (bits !== 16) return unreadable(`${bits} bits a sample, not 16`);
  if (channels !== 1 && channels !== 2) return unreadable(`${channels} channels, not 1 or 2`);
  if (!WAV_RATES.includes(sampleHz))
    return unreadable(`${sampleHz} samples a second, not one of ${WAV_RATES.join(", ")}`);
  return succeed({ channels, sampleHz });
}

function readSamples(view: DataView, start: number, end: number, channels: number): Int16Array {
  const count = Math.max(0, Math.floor((end - start) / (2 * channels)));
  const samples = new Int16Array(count);
  for (let at = 0; at < count; at++) {
    let sum = 0;
    for (let channel = 0; channel < channels; channel++)
      sum += view.getInt16(start + 2 * (at * channels + channel), true);
    samples[at] = Math.round(sum / channels);
  }
  return samples;
}

export function writeWav({ samples, sampleHz }: PcmAudio): Uint8Array {
  const bytes = new Uint8Array(44 + 2 * samples.length);
  const view = new DataView(bytes.buffer);
  const text = (at: number, letters: string) =>
    bytes.set(
      [...letters].map((letter) => letter.charCodeAt(0)),
      at,
    );
  text(0, "RIFF");
  view.setUint32(4, 36 + 2 * samples.length, true);
  text(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, PCM, true);
  view.setUint16(22, 1, true);
  view.setUint32(24, sampleHz, true);
  view.setUint32(28, 2 * sampleHz, true);
  view.setUint16(32, 2, true);
  view.setUint16(34, 16, true);
  text(36, "data");
  view.setUint32(40, 2 * samples.length, true);
  for (let at = 0; at < samples.length; at++) view.setInt16(44 + 2 * at, samples[at] as number, true);
  return bytes;
}
