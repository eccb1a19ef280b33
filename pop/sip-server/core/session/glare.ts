// Two re-INVITEs that cross: RFC 3261 §14.1.

/**
 * How long to wait after a 491, in steps of 10 ms.
 *
 * @param ownsCallId whether we made the Call-ID of the dialog: then 2.1 … 4 s, else 0 … 2 s
 * @param chance from 0 to 1, 1 excluded
 */
export const glareWaitMs = (ownsCallId: boolean, chance: number): number =>
  ownsCallId ? 2_100 + 10 * Math.floor(191 * chance) : 10 * Math.floor(201 * chance);

/** RFC 3261 §14.2, RFC 3311 §5.2: Retry-After of 0 … 10 s. */
export const retryAfterSeconds = (chance: number): number => Math.floor(11 * chance);
