// RFC 3261 table 4. All of it scales with T1, so that a test can run a 32-second story in one.

export interface Timing {
  /** Round-trip estimate, ms: 500 unless the network is known to be better (RFC 3261 §17.1.1.1). */
  readonly t1Ms: number;
  /** The longest wait between copies of a non-INVITE request or an INVITE response. */
  readonly t2Ms: number;
  /** How long a message may linger in the network. */
  readonly t4Ms: number;
}

export const DEFAULT_TIMING: Timing = { t1Ms: 500, t2Ms: 4_000, t4Ms: 5_000 };

/** T2 and T4 keep their ratio to T1 (8 and 10), as in the RFC's defaults. */
export const timingFrom = (t1Ms: number): Timing => ({ t1Ms, t2Ms: 8 * t1Ms, t4Ms: 10 * t1Ms });

/** Timers B, F, H, J, L, M, and D over UDP (§17.1.1.2 asks at least 32 s there: with T1 500 it is that). */
export const giveUpMs = ({ t1Ms }: Timing): number => 64 * t1Ms;

/** What a transaction is told once and for all. */
export interface TransactionContext {
  readonly timing: Timing;
  /** TCP and TLS carry every message once: no retransmission, no lingering. */
  readonly reliable: boolean;
}
