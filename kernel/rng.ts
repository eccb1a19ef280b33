/** Source of every random choice: jitter, tags, branch ids, tie-breaks. */
export interface Rng {
  /** Uniform in [0, 1). */
  next(): number;
}

/** Same seed, same sequence, on every platform (mulberry32). */
export function seededRng(seed: number): Rng {
  let state = seed >>> 0;
  return {
    next() {
      state = (state + 0x6d2b79f5) >>> 0;
      let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
      mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
      return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
    },
  };
}

/** A stranger's chance, for the shell: tags, branches and ids that nobody can guess. */
export const systemRng: Rng = {
  next: () => (crypto.getRandomValues(words)[0] as number) / 4_294_967_296,
};
const words = new Uint32Array(1);
