import type { CallFailure, Verdict } from "./call-failure.ts";

/** Exhaustive by type: a new code without a verdict does not compile. */
type Judges = {
  readonly [Code in CallFailure["code"]]: (failure: Extract<CallFailure, { code: Code }>) => Verdict;
};

/** 503 with Retry-After: a carrier that has another way takes it at once (RFC 3261 §21.5.4). */
const busy = (blame: Verdict["blame"], retryAfterSeconds: number): Verdict => ({
  blame,
  sipStatus: 503,
  retryAfterSeconds,
});
/** Our own order of commands was wrong: trying again would not help. */
const OUR_BUG: Verdict = { blame: "us", sipStatus: 500 };

const judges: Judges = {
  // No answer at all: whoever scans for SIP servers learns nothing (V5).
  "source.unknown": () => ({ blame: "caller", sipStatus: 0 }),
  "trunk.at-capacity": () => busy("us", 10),
  // The bucket gives one call per 1/callsPerSecondMax s; a second is the shortest that can be said.
  "trunk.too-fast": () => busy("trunk", 1),
  "tenant.at-capacity": () => busy("us", 10),
  "pop.at-capacity": () => busy("us", 10),
  "pop.draining": () => busy("us", 120),
  "pop.no-snapshot": () => busy("us", 10),
  "number.unknown": () => ({ blame: "caller", sipStatus: 404 }),
  "number.unusable": () => ({ blame: "caller", sipStatus: 484 }),
  "sip.too-many-hops": () => ({ blame: "caller", sipStatus: 483 }),
  // An INVITE without an offer is the caller's right (RFC 3261 §13.2.1); that we cannot do it is ours.
  "sip.no-offer": () => ({ blame: "us", sipStatus: 488 }),
  "media.relay-away": () => busy("us", 10),
  "media.relay-refused": () => busy("us", 10),
  "media.not-anchored": () => OUR_BUG,
  "media.no-such-leg": () => OUR_BUG,
  "media.sdp-unreadable": () => ({ blame: "caller", sipStatus: 488 }),
  "media.no-common-codec": () => ({ blame: "caller", sipStatus: 488 }),
  // Encrypted media without a key exchange we know: legal, and not built yet.
  "media.transport-unsupported": () => ({ blame: "us", sipStatus: 488 }),
  "media.worker-away": () => busy("us", 10),
  "media.worker-refused": () => busy("us", 10),
  "media.endpoints-exhausted": () => busy("us", 10),
  "media.not-open": () => OUR_BUG,
  "media.prompt-unreadable": () => OUR_BUG,
};

export function judge(failure: CallFailure): Verdict {
  const judgeOne = judges[failure.code] as (failure: CallFailure) => Verdict;
  return judgeOne(failure);
}
