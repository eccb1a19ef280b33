// How alike two pieces of audio are, wherever one lies in the other.

export interface Likeness {
  /** Normalised cross-correlation at the best place: 1 for the same audio at whatever volume, near 0 for another. */
  readonly score: number;
  /** Where in the received audio the sought begins. */
  readonly atMs: number;
}

/**
 * Looks for `sought` in `received`: every place is tried, sample by sample. Leading and trailing silence of the
 * sought audio does no harm. When less than the whole was received, put in what should have been received.
 */
export function findAudio(received: Int16Array, sought: Int16Array, sampleHz = 8_000): Likeness {
  const energy = energyOf(sought);
  if (energy === 0 || received.length === 0) return { score: 0, atMs: 0 };
  const places = Math.max(1, received.length - sought.length + 1);
  const products = correlate(received, sought, places);
  let window = energyOf(received.subarray(0, sought.length));
  let best: Likeness = { score: 0, atMs: 0 };
  for (let at = 0; at < places; at++) {
    const score = window > 0 ? (products[at] ?? 0) / Math.sqrt(window * energy) : 0;
    // A window with next to nothing in it would make a score out of rounding.
    if (score > best.score && window > energy * 1e-4)
      best = { score: Math.min(1, score), atMs: (1_000 * at) / sampleHz };
    window += (received[at + sought.length] ?? 0) ** 2 - (received[at] ?? 0) ** 2;
  }
  return best;
}

const energyOf = (samples: Int16Array): number => samples.reduce((sum, sample) => sum + sample * sample, 0);

/** Sum of received[at + i] * sought[i] for each `at`, through the frequency domain. */
function correlate(received: Int16Array, sought: Int16Array, places: number): Float64Array {
  let size = 1;
  while (size < received.length + sought.length) size *= 2;
  // Two real signals at once: received as the real part, sought as the imaginary part.
  const real = new Float64Array(size);
  const imaginary = new Float64Array(size);
  real.set(received);
  imaginary.set(sought);
  fourier(real, imaginary);
  const productReal = new Float64Array(size);
  const productImaginary = new Float64Array(size);
  for (let at = 0; at < size; at++) {
    const mirror = (size - at) % size;
    const a = real[at] as number;
    const b = imaginary[at] as number;
    const c = real[mirror] as number;
    const d = imaginary[mirror] as number;
    const [receivedReal, receivedImaginary] = [(a + c) / 2, (b - d) / 2];
    const [soughtReal, soughtImaginary] = [(b + d) / 2, (c - a) / 2];
    // received × conjugate of sought
    productReal[at] = receivedReal * soughtReal + receivedImaginary * soughtImaginary;
    // conjugated, so that the forward transform serves as the inverse
    productImaginary[at] = -(receivedImaginary * soughtReal - receivedReal * soughtImaginary);
  }
  fourier(productReal, productImaginary);
  return productReal.subarray(0, places).map((value) => value / size);
}

/** Fast Fourier transform in place, radix 2. The length is a power of two. */
function fourier(real: Float64Array, imaginary: Float64Array): void {
  const size = real.length;
  for (let at = 1, reversed = 0; at < size; at++) {
    let bit = size >> 1;
    for (; reversed & bit; bit >>= 1) reversed ^= bit;
    reversed ^= bit;
    if (at < reversed) {
      [real[at], real[reversed]] = [real[reversed] as number, real[at] as number];
      [imaginary[at], imaginary[reversed]] = [imaginary[reversed] as number, imaginary[at] as number];
    }
  }
  const cosines = Float64Array.from({ length: size / 2 }, (_, at) => Math.cos((2 * Math.PI * at) / size));
  const sines = Float64Array.from({ length: size / 2 }, (_, at) => -Math.sin((2 * Math.PI * at) / size));
  for (let half = 1; half < size; half *= 2) {
    const stride = size / (2 * half);
    for (let start = 0; start < size; start += 2 * half) {
      for (let at = 0; at < half; at++) {
        const cosine = cosines[at * stride] as number;
        const sine = sines[at * stride] as number;
        const low = start + at;
        const high = low + half;
        const turnedReal = (real[high] as number) * cosine - (imaginary[high] as number) * sine;
        const turnedImaginary = (real[high] as number) * sine + (imaginary[high] as number) * cosine;
        real[high] = (real[low] as number) - turnedReal;
        imaginary[high] = (imaginary[low] as number) - turnedImaginary;
        real[low] = (real[low] as number) + turnedReal;
        imaginary[low] = (imaginary[low] as number) + turnedImaginary;
      }
    }
  }
}
