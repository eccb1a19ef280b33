// Sample-rate conversion by a windowed sinc: for prompts, made once and kept, so quality comes before speed.

/** Zero crossings of the sinc on each side. With the Kaiser window below: about 80 dB of rejection. */
const CROSSINGS = 24;
const KAISER_BETA = 8;
/** The pass band ends this far below half of the lower rate, so that the window's slope lies below it. */
const PASS_BAND = 0.93;

/** Modified Bessel function of the first kind, order 0. */
function bessel0(x: number): number {
  let sum = 1;
  let term = 1;
  for (let k = 1; term > sum * 1e-12; k++) {
    term *= (x / (2 * k)) ** 2;
    sum += term;
  }
  return sum;
}

const greatestDivisor = (a: number, b: number): number => (b === 0 ? a : greatestDivisor(b, a % b));

/**
 * @param fromHz, toHz whole numbers. What lies above half of `toHz` is removed, not folded back.
 * @returns as long as before in time, rounded to the nearest sample
 */
export function resample(samples: Int16Array, fromHz: number, toHz: number): Int16Array {
  const result = new Int16Array(resampledLength(samples.length, fromHz, toHz));
  let at = 0;
  for (const part of resampled(samples, fromHz, toHz, result.length || 1)) {
    result.set(part, at);
    at += part.length;
  }
  return result;
}

export const resampledLength = (samples: number, fromHz: number, toHz: number): number =>
  Math.round((samples * toHz) / fromHz);

/** The same in parts of `partSamples`, so that who has other work can do it in between. */
export function* resampled(
  samples: Int16Array,
  fromHz: number,
  toHz: number,
  partSamples: number,
): Generator<Int16Array, void> {
  const divisor = greatestDivisor(fromHz, toHz);
  const up = toHz / divisor;
  const down = fromHz / divisor;
  const { reach, tapsOf } = filterBank(fromHz, toHz, up);
  const length = resampledLength(samples.length, fromHz, toHz);
  for (let start = 0; start < length; start += partSamples) {
    const part = new Int16Array(Math.min(partSamples, length - start));
    for (let at = 0; at < part.length; at++) {
      const position = (start + at) * down;
      const centre = Math.floor(position / up);
      const taps = tapsOf(position % up);
      let sum = 0;
      for (let tap = -reach; tap <= reach; tap++) sum += (samples[centre + tap] ?? 0) * (taps[tap + reach] as number);
      part[at] = Math.max(-32_768, Math.min(32_767, Math.round(sum)));
    }
    yield part;
  }
}

/** One filter for each place that an output sample can have between two input samples. */
function filterBank(fromHz: number, toHz: number, up: number) {
  const cutoff = fromHz === toHz ? 0.5 : (PASS_BAND * Math.min(1, toHz / fromHz)) / 2; // cycles per input sample
  const reach = Math.ceil(CROSSINGS / (2 * cutoff));
  const filters = new Map<number, Float64Array>();
  const tapsOf = (phase: number): Float64Array => {
    const known = filters.get(phase);
    if (known !== undefined) return known;
    const taps = new Float64Array(2 * reach + 1);
    let sum = 0;
    for (let tap = -reach; tap <= reach; tap++) {
      const x = tap - phase / up;
      const inside = Math.max(0, 1 - (x / (reach + 1)) ** 2);
      const sinc = x === 0 ? 1 : Math.sin(2 * Math.PI * cutoff * x) / (2 * Math.PI * cutoff * x);
      const value = sinc * bessel0(KAISER_BETA * Math.sqrt(inside));
      taps[tap + reach] = value;
      sum += value;
    }
    for (let tap = 0; tap < taps.length; tap++) taps[tap] = (taps[tap] as number) / sum;
    filters.set(phase, taps);
    return taps;
  };
  return { reach, tapsOf };
}
