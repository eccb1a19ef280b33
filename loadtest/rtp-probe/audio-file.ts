import { readFileSync } from "node:fs";
import { decodeG711, SAMPLES_PER_SECOND } from "../../pop/core/media/g711.ts";
import { resample } from "../../pop/core/media/resample.ts";
import { readWav } from "../../pop/core/media/wav.ts";

/** A prompt as 8 kHz linear samples: raw mu-law (.ulaw, as in the prompt cache) or WAV. @throws Error when it is neither */
export function readAudioFile(path: string): Int16Array {
  const bytes = readFileSync(path);
  if (path.endsWith(".ulaw")) return decodeG711("PCMU", bytes);
  const wav = readWav(bytes);
  if (!wav.ok) throw new Error(`${path}: ${wav.failure.detail}`);
  return resample(wav.value.samples, wav.value.sampleHz, SAMPLES_PER_SECOND);
}
