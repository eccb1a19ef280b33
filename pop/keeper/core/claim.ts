// Whether this host may claim a service that it does not hold, and for what reason. The heart of "never two".
//
// To claim is to be sure that nobody else has a lease under the record that we swap:
// (a) who the record names has ended: it is us (another run, dead since we listen where it listened), or the twin, which
//     said so, was refused, gave it, or whose lease has run out by our clock since the record last changed;
// (b) no promise of ours to the twin still runs, unless what we promised for has ended;
// (c) the twin's home service only: nothing runs there that began while we did not listen.
// What begins after that changes the record, and our swap fails.

import type { ClaimReason, ServiceState, WaitsFor } from "./keeper-words.ts";
import { nextEpoch, type OwnerRecord, type Role } from "./owner-record.ts";
import { claim, openUnrecorded } from "./tenure.ts";
import type { Work } from "./work.ts";

type Judged = { readonly reason: ClaimReason } | { readonly waitsFor: WaitsFor };

/** Claims, asks, or says what it waits for. */
export function seekService(work: Work, role: Role): void {
  const before = work.of(role);
  if (before.yieldUntilMs !== undefined && work.now >= before.yieldUntilMs)
    work.change(role, { yieldUntilMs: undefined });
  if (before.tenure.name !== "none" && before.tenure.name !== "asking") return;
  const service = work.of(role);
  if (work.stopping !== "no") return waitFor(work, role, "stopping");
  if (role === "home" && work.store.name === "away") return seekWithoutStore(work, service);
  if (service.tenure.name === "asking") work.change(role, { tenure: { name: "none" } });
  const judged = judge(work, role, service);
  if ("waitsFor" in judged) return waitFor(work, role, judged.waitsFor);
  if (work.store.name !== "answering")
    return waitFor(work, role, work.store.name === "away" ? "owner-store" : "reading");
  claim(work, role, judged.reason);
}

function waitFor(work: Work, role: Role, waitsFor: WaitsFor): void {
  const { service, waitsFor: before, tenure } = work.of(role);
  if (tenure.name === "asking") work.change(role, { tenure: { name: "none" } });
  if (before === waitsFor) return;
  work.change(role, { waitsFor });
  if (waitsFor === "owner-store" && role === "guest" && work.twinUnheard)
    work.note("error", "takeover.impossible", { service, because: waitsFor });
  if (waitsFor === "twin-serves" && role === "home") work.note("warn", "service.standing-by", { service });
}

/** The twin says it has the service or is about to, and what it says is not older than the record. */
function twinHas(work: Work, { twinSays, seen }: ServiceState): boolean {
  if (!work.twinHeard || twinSays === undefined) return false;
  if (twinSays.name !== "holds" && twinSays.name !== "busy") return false;
  return twinSays.epoch >= (seen?.entry.record?.epoch ?? 0);
}

function judge(work: Work, role: Role, service: ServiceState): Judged {
  const { seen, granted, ended } = service;
  if (seen === undefined) {
    if (role === "guest" && work.twinHeard) return { waitsFor: "twin-serves" };
    return { waitsFor: work.store.name === "away" ? "owner-store" : "reading" };
  }
  const wish = role === "home" ? judgeHome(work, service, seen) : judgeGuest(work, service, seen);
  if ("waitsFor" in wish) return wish;
  const promised = granted !== undefined && granted.untilMs > work.now && granted.epoch > ended; // (b)
  const past = role === "guest" && !work.twin.clearOfPast && work.now < work.startedAtMs + work.patienceMs; // (c)
  return promised || past ? { waitsFor: "lease" } : wish;
}

type Seen = NonNullable<ServiceState["seen"]>;

/** Silent, and nothing it held can still be valid, however its clock runs. */
const lapsedByOurClock = (work: Work, seen: Seen): boolean =>
  work.twinUnheard && work.now >= Math.max(seen.atMs, work.startedAtMs) + work.patienceMs;

function judgeHome(work: Work, service: ServiceState, seen: Seen): Judged {
  const { record } = seen.entry;
  if (work.settings.twin === undefined) return { reason: "alone" };
  if (twinHas(work, service)) return { waitsFor: "twin-serves" };
  if (service.yieldUntilMs !== undefined && work.twinHeard && work.twin.name === "heard")
    return { waitsFor: "twin-to-take" };
  if (record?.host === work.settings.host) return { reason: record.state === "given" ? "given" : "own-record" };
  if (hasEnded(work, service, record)) return { reason: work.twinHeard ? "twin-idle" : "twin-refused" };
  return lapsedByOurClock(work, seen) ? { reason: "twin-silent" } : { waitsFor: "lease" };
}

/** (a) for a record that names the twin, or nobody: then the largest epoch we know of counts, and that somebody has said something. */
function hasEnded(work: Work, { ended, known, twinSays }: ServiceState, record: OwnerRecord | undefined): boolean {
  if (record !== undefined) return record.epoch <= ended;
  const heardOf = twinSays !== undefined || work.twin.refusedAtMs !== undefined;
  return heardOf && known <= ended;
}

function judgeGuest(work: Work, service: ServiceState, seen: Seen): Judged {
  const { record } = seen.entry;
  const { twinSays } = service;
  const ours = record?.host === work.settings.host;
  if (twinHas(work, service)) return { waitsFor: "twin-serves" };
  if (ours && record.state === "given") return { reason: "given" };
  if (record?.state === "stopped" || work.twin.name === "left") return { waitsFor: "twin-stopped" };
  const somebodys = record !== undefined || service.known > 0;
  if (!somebodys) return { waitsFor: "twin-serves" }; // never begun: nothing to take over
  const ended = ours || hasEnded(work, service, record);
  if (work.twinHeard)
    return ended && twinSays?.name === "idle" && twinSays.yields ? { reason: "given" } : { waitsFor: "twin-serves" };
  if (work.twin.name === "died" && ended) return { reason: "twin-died" };
  return lapsedByOurClock(work, seen) ? { reason: "twin-silent" } : { waitsFor: "lease" };
}

/** Home service, etcd away: by the twin's word, or while the twin's keeper does not run. */
function seekWithoutStore(work: Work, service: ServiceState): void {
  const { leaseMs } = work.settings.timing;
  const { refusedAtMs } = work.twin;
  const epoch = nextEpoch(Math.max(service.known, service.seen?.entry.record?.epoch ?? 0), "home");
  if (work.settings.twin === undefined) return openUnrecorded(work, epoch, work.now, "alone");
  if (refusedAtMs !== undefined && refusedAtMs + leaseMs > work.now)
    return openUnrecorded(work, epoch, refusedAtMs, "twin-refused");
  if (!work.twinHeard || work.twin.name === "left") return waitFor(work, "home", "cut-off");
  if (twinHas(work, service)) return waitFor(work, "home", "twin-serves");
  if (service.yieldUntilMs !== undefined) return waitFor(work, "home", "twin-to-take");
  if (service.tenure.name !== "asking" || service.tenure.epoch !== epoch)
    work.change("home", { tenure: { name: "asking", epoch, sinceMs: work.now }, waitsFor: undefined });
}
