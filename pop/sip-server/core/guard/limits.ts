export interface SourceRates {
  /** Messages that may open something. */
  readonly newPerSecond: number;
  readonly newBurst: number;
  /** Responses, and requests of calls that stand. */
  readonly goingOnPerSecond: number;
  readonly goingOnBurst: number;
}

export interface GuardLimits {
  readonly strangers: SourceRates;
  /** Trunks and networks that the configuration or an application names. Never banned but by an operator. */
  readonly trusted: SourceRates;
  /** Sources remembered at once; a forgotten one begins with a full bucket. */
  readonly sourcesMax: number;
  /** Points until a ban, and how long one point lasts. */
  readonly banPoints: number;
  readonly pointMs: number;
  /** The first ban; each further one is twice as long, up to the last. */
  readonly banMs: number;
  readonly banMsMax: number;
  /** After a ban has ended, so long until it no longer counts. */
  readonly forgiveMs: number;
  readonly bansMax: number;
  /** Part of the User-Agent, From or Server of a stranger's new request; compared without case. */
  readonly scanners: readonly string[];
}

export const GUARD_LIMITS: GuardLimits = {
  strangers: { newPerSecond: 50, newBurst: 200, goingOnPerSecond: 500, goingOnBurst: 2_000 },
  trusted: { newPerSecond: 2_000, newBurst: 8_000, goingOnPerSecond: 20_000, goingOnBurst: 80_000 },
  sourcesMax: 20_000,
  banPoints: 20,
  pointMs: 10_000,
  banMs: 60_000,
  banMsMax: 86_400_000,
  forgiveMs: 86_400_000,
  bansMax: 10_000,
  scanners: [
    "friendly-scanner",
    "sipvicious",
    "sundayddr",
    "pplsip",
    "sip-scan",
    "sipcli",
    "smap",
    "vaxsipuseragent",
    "iwar",
    "siparmyknife",
    "sivus",
  ],
};

/** What somebody is charged. */
export const POINTS = {
  /** Cannot be read. */
  malformed: 1,
  /** Credentials that an application refused. */
  credentials: 2,
} as const;
