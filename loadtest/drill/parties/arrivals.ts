// When the packets of one stream came, kept in one flat ring: hundreds of streams for minutes must not make the collector work.

export class Arrivals {
  readonly #times: Float64Array;
  #count = 0;

  /** @param packetsMax default: five minutes at 50 a second */
  constructor(packetsMax = 16_384) {
    this.#times = new Float64Array(packetsMax);
  }

  add(atMs: number): void {
    this.#times[this.#count++ % this.#times.length] = atMs;
  }

  get count(): number {
    return this.#count;
  }

  /** Ascending; those of the last `packetsMax` that came at `fromMs` or later. */
  since(fromMs: number): readonly number[] {
    const kept = Math.min(this.#count, this.#times.length);
    const times: number[] = [];
    for (let at = this.#count - kept; at < this.#count; at++) {
      const time = this.#times[at % this.#times.length] ?? 0;
      if (time >= fromMs) times.push(time);
    }
    return times;
  }
}
