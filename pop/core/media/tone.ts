// Tones: made, and recognised.

/** @param amplitude peak, of 32767 */
export function toneSamples(hz: number, ms: number, sampleHz = 8_000, amplitude = 10_000): Int16Array {
  const samples = new Int16Array(Math.round((ms * sampleHz) / 1_000));
  for (let at = 0; at < samples.length; at++)
    samples[at] = Math.round(amplitude * Math.sin((2 * Math.PI * hz * at) / sampleHz));
  return samples;
}

/**
 * How much of the signal's power is at `hz`: 1 for a pure tone, 0 for none of it or for silence. Goertzel's algorithm.
 * Over N samples it tells apart frequencies that differ by more than about sampleHz / N.
 */
export function toneShare(samples: Int16Array, hz: number, sampleHz = 8_000): number {
  const coefficient = 2 * Math.cos((2 * Math.PI * hz) / sampleHz);
  let before = 0;
  let beforeThat = 0;
  let power = 0;
  for (let at = 0; at < samples.length; at++) {
    const sample = samples[at] as number;
    const now = sample + coefficient * before - beforeThat;
    beforeThat = before;
    before = now;
    power += sample * sample;
  }
  // Mean level under 8 of 32767 is what silence decodes to, not a signal.
  if (power <= 64 * samples.length || samples.length === 0) return 0;
  const atTone = before * before + beforeThat * beforeThat - coefficient * before * beforeThat;
  return Math.min(1, (2 * atTone) / (samples.length * power));
}

/** Root mean square, of 32767. */
export function levelOf(samples: Int16Array): number {
  if (samples.length === 0) return 0;
  let power = 0;
  for (const sample of samples) power += sample * sample;
  return Math.sqrt(power / samples.length);
}
