// One service on this host: from a claim to its end. Which host may claim is decided in claim.ts.
//
// (a) A tenure begins with a compare-and-swap of ours on the record, or, home service only, without etcd by the twin's
//     grant or while the twin's keeper does not run. Each has an epoch of its own; one that has ended never comes back.
// (b) A write that was not answered is never built upon: its epoch is left unused, also if it turns out to have been written.
// (c) Its lease counts from when the renewal, the beat or the refused connect was sent.
// (d) A record with a larger epoch ends it.

import type { Outcome } from "../../../kernel/outcome.ts";
import { fail, succeed } from "../../../kernel/outcome.ts";
import type { InstantMs } from "../../../kernel/time.ts";
import type {
  AddressFailure,
  AfterEnd,
  ClaimReason,
  FenceFailure,
  FormerOwner,
  Giving,
  HandOverFailure,
  Held,
  KeeperEvent,
  PendingWrite,
  Tenure,
} from "./keeper-words.ts";
import { nextEpoch, type OwnerEntry, type OwnerRecord, type Role } from "./owner-record.ts";
import { runningFrom } from "./running.ts";
import type { Stance } from "./twin-talk.ts";
import type { Work } from "./work.ts";

type WithLease = Extract<Tenure, { held: Held }>;

export const hasLease = (tenure: Tenure): tenure is WithLease =>
  tenure.name === "opening" || tenure.name === "serving" || tenure.name === "emptying";

/** Processes are told of a longer lease when it has grown by this: not at every beat. */
const TELL_EVERY_MS = 200;
const KILL_AGAIN_MS = 500;

export function stanceOf(work: Work, role: Role): Stance {
  const { service, tenure, known, yieldUntilMs } = work.of(role);
  const yields = yieldUntilMs !== undefined;
  switch (tenure.name) {
    case "none":
      return { service, name: "idle", epoch: known, yields };
    case "asking":
      return { service, name: "asks", epoch: tenure.epoch, yields: false };
    case "opening":
    case "serving":
    case "emptying":
      return { service, name: "holds", epoch: tenure.held.epoch, yields: false };
    default:
      return { service, name: "busy", epoch: tenure.epoch, yields: false };
  }
}

// --- the record ----------------------------------------------------------------------------------------------------

/** @param askedAtMs of a read: what it shows then is newer than what was seen before it was asked, whatever its revision */
export function see(work: Work, role: Role, entry: OwnerEntry, askedAtMs?: InstantMs): void {
  const { seen, known, ended } = work.of(role);
  if (seen !== undefined && entry.revision === seen.entry.revision) return;
  const older = seen !== undefined && entry.revision < seen.entry.revision;
  if (older && (askedAtMs === undefined || askedAtMs < seen.atMs)) return;
  const epoch = entry.record?.epoch ?? 0;
  const givenToUs = entry.record?.state === "given" && entry.record.host === work.settings.host;
  work.change(role, {
    seen: { entry, atMs: work.now },
    known: Math.max(known, epoch),
    ended: givenToUs ? Math.max(ended, epoch) : ended, // it was written after their end
  });
}

export function storeAnswers(work: Work, answers: boolean, detail = ""): void {
  const name = answers ? "answering" : "away";
  if (work.store.name === name) return;
  if (!answers) work.note("error", "owner-store.away", { detail });
  else if (work.store.name === "away")
    work.note("info", "owner-store.back", { afterMs: work.now - work.store.sinceMs });
  work.store = { name, sinceMs: work.now };
}

export function ownerRead(work: Work, { service, id, outcome }: Extract<KeeperEvent, { kind: "owner-read" }>): void {
  const role = work.role(service);
  if (role === undefined) return;
  const { reading } = work.of(role);
  if (reading?.id !== id) return;
  work.change(role, { reading: undefined });
  storeAnswers(work, outcome.ok, outcome.ok ? "" : outcome.failure.detail);
  if (outcome.ok) see(work, role, outcome.value, reading.askedAtMs);
}

function write(work: Work, role: Role, record: Omit<OwnerRecord, "host">, to?: "twin"): PendingWrite {
  const { service, seen } = work.of(role);
  const id = work.id();
  const host = (to === "twin" ? work.settings.twin : undefined) ?? work.settings.host;
  work.do({
    kind: "write-owner",
    service,
    id,
    record: { host, ...record },
    ifRevision: seen?.entry.revision ?? 0,
  });
  return { id, sentAtMs: work.now };
}

type Written = Extract<KeeperEvent, { kind: "owner-written" }>["outcome"];

export function ownerWritten(
  work: Work,
  { service, id, outcome }: Extract<KeeperEvent, { kind: "owner-written" }>,
): void {
  const role = work.role(service);
  if (role === undefined) return;
  const away = !outcome.ok && outcome.failure.code === "owner.store-away";
  storeAnswers(work, !away, away && !outcome.ok && "detail" in outcome.failure ? outcome.failure.detail : "");
  if (outcome.ok) see(work, role, outcome.value);
  else if (outcome.failure.code === "owner.conflict")
    see(work, role, outcome.failure.entry, pendingOf(work.of(role).tenure, id)?.sentAtMs);
  settle(work, role, id, outcome);
}

function pendingOf(tenure: Tenure, id: number): PendingWrite | undefined {
  const pending = hasLease(tenure) ? tenure.held.renewal : "write" in tenure ? tenure.write : undefined;
  return pending?.id === id ? pending : undefined;
}

function settle(work: Work, role: Role, id: number, outcome: Written): void {
  const { tenure } = work.of(role);
  switch (tenure.name) {
    case "claiming":
      if (tenure.write.id === id) claimSettled(work, role, tenure, outcome);
      return;
    case "opening":
    case "serving":
    case "emptying":
      if (tenure.held.renewal?.id === id) renewed(work, role, tenure, tenure.held.renewal, outcome);
      return;
    case "giving":
      if (tenure.write?.id === id) givingSettled(work, role, tenure, outcome);
      return;
    case "closing":
      if (tenure.write.id === id) work.change(role, { tenure: { name: "none" } });
      return;
    default:
  }
}

// --- beginning -----------------------------------------------------------------------------------------------------

export function claim(work: Work, role: Role, reason: ClaimReason): void {
  const { known, seen } = work.of(role);
  const epoch = nextEpoch(Math.max(known, seen?.entry.record?.epoch ?? 0), role);
  const former = formerOf(work, role);
  const pending = write(work, role, { epoch, state: "serving" });
  work.change(role, { tenure: { name: "claiming", epoch, write: pending, reason, former }, waitsFor: undefined });
  if (reason === "twin-died" || reason === "twin-silent")
    work.note("warn", "takeover.began", about(work, role, reason));
}

function formerOf(work: Work, role: Role): FormerOwner {
  const entry = work.of(role).seen?.entry;
  const ofTwin = entry?.record?.host === work.settings.twin;
  return {
    ...(ofTwin && work.twin.heardAtMs !== undefined ? { heardAtMs: work.twin.heardAtMs } : {}),
    ...(entry?.writtenAtUnixMs === undefined ? {} : { wroteAtUnixMs: entry.writtenAtUnixMs }),
  };
}

const about = (work: Work, role: Role, reason: ClaimReason) => ({
  service: work.of(role).service,
  reason,
  unheardMs: Math.round(work.now - (work.twin.heardAtMs ?? work.startedAtMs)),
});

function claimSettled(work: Work, role: Role, tenure: Extract<Tenure, { name: "claiming" }>, outcome: Written): void {
  const { epoch, write: sent, reason, former } = tenure;
  const { service } = work.of(role);
  work.change(role, { tenure: { name: "none" } });
  if (!outcome.ok) {
    if (outcome.failure.code === "owner.store-away")
      learn(work, role, epoch); // (b)
    else if (reason !== "own-record") work.note("info", "takeover.lost-race", { service, reason });
    return;
  }
  learn(work, role, epoch);
  const leaseUntilMs = sent.sentAtMs + work.settings.timing.leaseMs;
  if (work.stopping === "no" && leaseUntilMs > work.now) open(work, role, epoch, leaseUntilMs, reason, former);
}

const learn = (work: Work, role: Role, epoch: number): void =>
  work.change(role, { known: Math.max(work.of(role).known, epoch) });

/** Home service, without etcd. @param sinceMs when the beat or the connect was sent that says nobody else has it */
export function openUnrecorded(work: Work, epoch: number, sinceMs: InstantMs, reason: ClaimReason): void {
  const leaseUntilMs = sinceMs + work.settings.timing.leaseMs;
  if (leaseUntilMs <= work.now || work.stopping !== "no") return;
  learn(work, "home", epoch);
  persist(work, true); // before anybody writes under it: after a death of ours it is not used again
  open(work, "home", epoch, leaseUntilMs, reason, formerOf(work, "home"));
}

export function persist(work: Work, isNeeded: boolean): void {
  const epochs = Object.fromEntries(work.roles().map((role) => [work.of(role).service, work.of(role).known]));
  work.do({ kind: "persist", memory: { epochs }, isNeeded });
}

function open(
  work: Work,
  role: Role,
  epoch: number,
  leaseUntilMs: InstantMs,
  reason: ClaimReason,
  former: FormerOwner,
): void {
  const { service } = work.of(role);
  const held: Held = {
    epoch,
    leaseUntilMs,
    toldUntilMs: leaseUntilMs,
    renewal: undefined,
    renewAtMs: work.now + work.settings.timing.renewEveryMs,
    reason,
    beganAtMs: work.now,
    address: { name: "moving", sinceMs: work.now },
  };
  work.change(role, {
    tenure: { name: "opening", held, former, sinceMs: work.now },
    waitsFor: undefined,
    yieldUntilMs: undefined,
  });
  work.do({ kind: "take-address", service });
  work.do({ kind: "fence-store", service, epoch });
  work.note("info", "service.claimed", { ...about(work, role, reason), epoch });
  if (role === "home" && work.returning !== undefined) {
    work.do({ kind: "reply", id: work.returning.id, outcome: succeed(undefined) });
    work.returning = undefined;
  }
}

export function storeFenced(work: Work, event: Extract<KeeperEvent, { kind: "store-fenced" }>): void {
  const role = work.role(event.service);
  if (role === undefined) return;
  const { tenure } = work.of(role);
  if (tenure.name === "opening" && tenure.held.epoch === event.epoch) begin(work, role, event.outcome);
  if (tenure.name !== "serving" || tenure.held.epoch !== event.epoch) return;
  const { outcome } = event;
  if (outcome.ok) setHeld(work, role, { isStateless: false });
  else if (outcome.failure.code === "store.superseded") supersededBy(work, role, outcome.failure.by);
}

/** Redis answers again: a service that began without it is fenced now, and a relay that is restarted keeps its calls again. */
export function fenceLater(work: Work): void {
  for (const role of work.roles()) {
    const { tenure, service } = work.of(role);
    if (tenure.name === "serving" && tenure.held.isStateless)
      work.do({ kind: "fence-store", service, epoch: tenure.held.epoch });
  }
}

function begin(work: Work, role: Role, fenced: Outcome<void, FenceFailure>): void {
  const { service, tenure } = work.of(role);
  if (tenure.name !== "opening") return;
  const { held, former } = tenure;
  if (!fenced.ok && fenced.failure.code === "store.superseded") {
    learn(work, role, fenced.failure.by);
    work.note("warn", "service.superseded", { service, epoch: held.epoch, by: fenced.failure.by });
    work.change(role, { tenure: { name: "none" } }); // nothing runs yet; the next claim is above it
    return;
  }
  if (!fenced.ok) work.note("error", "service.stateless", { service, epoch: held.epoch });
  const untilMs = held.leaseUntilMs;
  work.change(role, {
    tenure: {
      name: "serving",
      held: { ...held, toldUntilMs: untilMs, isStateless: !fenced.ok },
      running: runningFrom(work),
    },
  });
  work.do({
    kind: "start-serving",
    service,
    epoch: held.epoch,
    untilMs,
    former,
    stateAtHand: fenced.ok,
  });
}

export function addressTaken(work: Work, { service, outcome }: Extract<KeeperEvent, { kind: "address-taken" }>): void {
  const role = work.role(service);
  if (role === undefined) return;
  const { tenure } = work.of(role);
  if (!hasLease(tenure) || tenure.held.address.name !== "moving") return;
  addressSettled(work, role, tenure, outcome);
}

function addressSettled(work: Work, role: Role, tenure: WithLease, outcome: Outcome<void, AddressFailure>): void {
  const { service } = work.of(role);
  const { address } = tenure.held;
  const afterMs = address.name === "moving" ? Math.round(work.now - address.sinceMs) : 0;
  if (outcome.ok) {
    work.note("info", "address.taken", { service, afterMs });
    setHeld(work, role, { address: { name: "here" } });
  } else {
    work.note("error", "address.failed", { service, code: outcome.failure.code, afterMs });
    const retryAtMs = work.now + work.settings.timing.addressRetryMs;
    setHeld(work, role, { address: { name: "failed", retryAtMs } });
  }
}

// --- keeping -------------------------------------------------------------------------------------------------------

export function setHeld(work: Work, role: Role, change: Partial<Held>): void {
  const { tenure } = work.of(role);
  if (hasLease(tenure)) work.change(role, { tenure: { ...tenure, held: { ...tenure.held, ...change } } });
}

/** (c) */
export function lengthen(work: Work, role: Role, sentAtMs: InstantMs): void {
  const { tenure } = work.of(role);
  if (!hasLease(tenure)) return;
  const untilMs = sentAtMs + work.settings.timing.leaseMs;
  if (untilMs > tenure.held.leaseUntilMs) setHeld(work, role, { leaseUntilMs: untilMs });
}

function renewed(work: Work, role: Role, tenure: WithLease, sent: PendingWrite, outcome: Written): void {
  const again = sent.sentAtMs + work.settings.timing.renewEveryMs;
  if (outcome.ok) {
    setHeld(work, role, { renewal: undefined });
    return lengthen(work, role, sent.sentAtMs);
  }
  const conflict = outcome.failure.code === "owner.conflict";
  // What stands there decides: an earlier renewal of ours that went unanswered, or (d) a newer owner
  setHeld(work, role, { renewal: undefined, renewAtMs: conflict ? work.now : Math.max(again, tenure.held.renewAtMs) });
}

/** What has run out ends before anything else of a step: the host may have slept through it. */
export function endLapsed(work: Work): void {
  for (const role of work.roles()) {
    const { tenure, service } = work.of(role);
    if (!hasLease(tenure) || work.now < tenure.held.leaseUntilMs) continue;
    endNow(work, role, tenure, { kind: "none" });
    work.note("error", "service.lapsed", { service, epoch: tenure.held.epoch });
  }
}

function endNow(work: Work, role: Role, tenure: WithLease, next: AfterEnd): void {
  const { service } = work.of(role);
  const { epoch } = tenure.held;
  const againAtMs = work.now + KILL_AGAIN_MS;
  work.do({ kind: "kill-serving", service });
  if (tenure.name === "emptying" && tenure.next.kind === "give" && next.kind === "none")
    reply(work, tenure.next.replyTo, fail({ code: "hand-over.store-away" }));
  work.change(role, { tenure: { name: "ending", epoch, againAtMs, next, sinceMs: work.now } });
}

export function supersededBy(work: Work, role: Role, by: number): void {
  const { tenure, service } = work.of(role);
  if (!hasLease(tenure) || by <= tenure.held.epoch) return;
  learn(work, role, by);
  work.note("error", "service.superseded", { service, epoch: tenure.held.epoch, by });
  endNow(work, role, tenure, { kind: "none" });
}

export function keepTenure(work: Work, role: Role): void {
  const { timing } = work.settings;
  const { tenure, seen, service } = work.of(role);
  const tooOld = (sinceMs: InstantMs) => work.now - sinceMs >= timing.callWithinMs;
  const away = fail({ code: "owner.store-away", detail: "no answer" } as const);
  switch (tenure.name) {
    case "claiming":
    case "closing":
      if (tooOld(tenure.write.sentAtMs)) settle(work, role, tenure.write.id, away);
      return;
    case "opening":
    case "serving":
    case "emptying":
      supersededBy(work, role, seen?.entry.record?.epoch ?? 0);
      return keepHeld(work, role);
    case "ending":
      if (work.now < tenure.againAtMs) return;
      work.do({ kind: "kill-serving", service });
      return work.change(role, { tenure: { ...tenure, againAtMs: work.now + KILL_AGAIN_MS } });
    case "giving":
      return keepGiving(work, role, tenure);
    default:
  }
}

function keepHeld(work: Work, role: Role): void {
  const { timing } = work.settings;
  const { tenure, seen, service } = work.of(role);
  if (!hasLease(tenure)) return;
  const { held } = tenure;
  const tooOld = (sinceMs: InstantMs) => work.now - sinceMs >= timing.callWithinMs;
  if (held.renewal !== undefined && tooOld(held.renewal.sentAtMs)) setHeld(work, role, { renewal: undefined });
  else if (held.renewal === undefined && work.now >= held.renewAtMs && seen !== undefined) {
    const renewal = write(work, role, { epoch: held.epoch, state: "serving" });
    setHeld(work, role, { renewal, renewAtMs: work.now + timing.renewEveryMs });
  }
  if (held.address.name === "failed" && work.now >= held.address.retryAtMs) {
    work.do({ kind: "take-address", service });
    setHeld(work, role, { address: { name: "moving", sinceMs: work.now } });
  }
  if (held.address.name === "moving" && work.now - held.address.sinceMs >= 30 * timing.callWithinMs)
    addressSettled(work, role, tenure, fail({ code: "address.timed-out", afterMs: 30 * timing.callWithinMs }));
  if (tenure.name === "opening" && tooOld(tenure.sinceMs))
    begin(work, role, fail({ code: "store.away", forMs: timing.callWithinMs }));
  if (tenure.name === "emptying" && work.now >= tenure.untilMs) {
    const latest = work.of(role).tenure;
    if (hasLease(latest)) endNow(work, role, latest, tenure.next);
  }
}

export function tellLeases(work: Work): void {
  for (const role of work.roles()) {
    const { tenure, service } = work.of(role);
    if (tenure.name !== "serving" && tenure.name !== "emptying") continue;
    const { leaseUntilMs, toldUntilMs } = tenure.held;
    if (leaseUntilMs - toldUntilMs < TELL_EVERY_MS) continue;
    work.do({ kind: "extend-lease", service, untilMs: leaseUntilMs });
    setHeld(work, role, { toldUntilMs: leaseUntilMs });
  }
}

// --- ending on purpose ---------------------------------------------------------------------------------------------

export function reply(work: Work, id: string | undefined, outcome: Outcome<void, HandOverFailure>): void {
  if (id !== undefined) work.do({ kind: "reply", id, outcome });
}

/** Why the service cannot be given to the twin now; undefined: it can. */
export function giveHindrance(work: Work, role: Role): HandOverFailure | undefined {
  const { tenure, twinSays } = work.of(role);
  if (work.settings.twin === undefined) return { code: "hand-over.no-twin" };
  if (tenure.name === "emptying" || tenure.name === "giving" || tenure.name === "ending")
    return { code: "hand-over.under-way" };
  if (tenure.name !== "serving") return { code: "hand-over.not-serving" };
  if (!work.twinHeard || work.twin.name !== "heard") return { code: "hand-over.twin-unheard" };
  if (twinSays?.name !== "idle" || twinSays.yields) return { code: "hand-over.twin-declines" };
  return work.store.name === "answering" ? undefined : { code: "hand-over.store-away" };
}

/** The same for a move that nobody is forced to: it takes the calls with it, or does not happen. */
const moveHindrance = (work: Work, role: Role): HandOverFailure | undefined =>
  giveHindrance(work, role) ?? (work.stateStore === "away" ? { code: "hand-over.state-away" } : undefined);

/** The processes write all they have; then they end, and the record goes to the twin. */
export function startGiving(work: Work, role: Role, giving: Giving): void {
  const { tenure, service } = work.of(role);
  if (tenure.name !== "serving") return;
  const untilMs = work.now + work.settings.timing.emptyWithinMs;
  work.note("info", "hand-over.began", { service, why: giving.why });
  work.do({ kind: "empty-serving", service });
  work.change(role, { tenure: { name: "emptying", held: tenure.held, untilMs, next: { kind: "give", ...giving } } });
}

export function handOver(work: Work, { id, service }: Extract<KeeperEvent, { kind: "hand-over" }>): void {
  const role = work.role(service);
  const hindrance: HandOverFailure | undefined =
    work.stopping !== "no"
      ? { code: "hand-over.stopping" }
      : role === undefined
        ? { code: "hand-over.not-serving" }
        : moveHindrance(work, role);
  if (hindrance !== undefined || role === undefined)
    return reply(work, id, fail(hindrance ?? { code: "hand-over.not-serving" }));
  startGiving(work, role, { why: "asked", replyTo: id });
}

export function returnHome(work: Work, { id }: Extract<KeeperEvent, { kind: "return-home" }>): void {
  const { tenure, twinSays } = work.home;
  const hindrance: HandOverFailure | undefined =
    work.stopping !== "no"
      ? { code: "hand-over.stopping" }
      : hasLease(tenure)
        ? { code: "hand-over.already-home" }
        : work.settings.twin === undefined
          ? { code: "hand-over.no-twin" }
          : work.returning !== undefined
            ? { code: "hand-over.under-way" }
            : !work.twinHeard
              ? { code: "hand-over.twin-unheard" }
              : twinSays?.name !== "holds"
                ? { code: "hand-over.twin-declines" }
                : work.stateStore === "away"
                  ? { code: "hand-over.state-away" }
                  : undefined;
  if (hindrance !== undefined) return reply(work, id, fail(hindrance));
  work.returning = { id, untilMs: work.now + work.settings.timing.returnWithinMs };
  work.change("home", { yieldUntilMs: undefined });
}

/** The twin asked for its service, or our own wish has waited too long. */
export function keepReturns(work: Work): void {
  if (work.returning !== undefined && work.now >= work.returning.untilMs) {
    const afterMs = work.settings.timing.returnWithinMs;
    reply(work, work.returning.id, fail({ code: "hand-over.timed-out", afterMs }));
    work.returning = undefined;
  }
  if (work.guest?.tenure.name === "serving" && work.twin.wantsHome && moveHindrance(work, "guest") === undefined)
    startGiving(work, "guest", { why: "asked", replyTo: undefined });
}

export function servingEmptied(work: Work, role: Role): void {
  const { tenure } = work.of(role);
  if (tenure.name === "emptying" && tenure.next.kind === "give") endNow(work, role, tenure, tenure.next);
}

export function servingEnded(work: Work, role: Role): void {
  const { tenure, service } = work.of(role);
  if (tenure.name === "emptying") return afterEnd(work, role, tenure.held.epoch, tenure.next);
  if (tenure.name !== "ending") return;
  work.note("info", "service.ended", { service, epoch: tenure.epoch });
  afterEnd(work, role, tenure.epoch, tenure.next);
}

function afterEnd(work: Work, role: Role, epoch: number, next: AfterEnd): void {
  switch (next.kind) {
    case "none":
      return work.change(role, { tenure: { name: "none" } });
    case "give": {
      const { why, replyTo } = next;
      const untilMs = work.now + work.settings.timing.yieldMs;
      return work.change(role, {
        tenure: { name: "giving", epoch, write: undefined, untilMs, giving: { why, replyTo } },
      });
    }
    case "close": {
      const recorded = work.of(role).seen !== undefined && work.store.name === "answering";
      const tenure: Tenure = recorded
        ? { name: "closing", epoch, write: write(work, role, { epoch, state: "stopped" }) }
        : { name: "none" };
      return work.change(role, { tenure });
    }
  }
}

function keepGiving(work: Work, role: Role, tenure: Extract<Tenure, { name: "giving" }>): void {
  const { service, known, seen } = work.of(role);
  const epoch = seen?.entry.record?.epoch ?? 0;
  // The twin has it, or has taken it already: also when the answer to our write was lost
  if (epoch > tenure.epoch) return given(work, role, tenure);
  if (work.now >= tenure.untilMs) {
    learn(work, role, nextEpoch(known, role === "home" ? "guest" : "home")); // (b)
    work.change(role, { tenure: { name: "none" } });
    work.note("error", "hand-over.failed", { service, code: "hand-over.store-away" });
    return reply(work, tenure.giving.replyTo, fail({ code: "hand-over.store-away" }));
  }
  if (tenure.write !== undefined) {
    if (work.now - tenure.write.sentAtMs >= work.settings.timing.callWithinMs)
      work.change(role, { tenure: { ...tenure, write: undefined } });
    return;
  }
  const theirs = nextEpoch(Math.max(known, epoch), role === "home" ? "guest" : "home");
  work.change(role, { tenure: { ...tenure, write: write(work, role, { epoch: theirs, state: "given" }, "twin") } });
}

function givingSettled(work: Work, role: Role, tenure: Extract<Tenure, { name: "giving" }>, outcome: Written): void {
  if (outcome.ok) return given(work, role, tenure);
  // Another try in the next step: after a conflict on what stands there now, else on the same, until it is too late
  if (outcome.failure.code === "owner.conflict") work.change(role, { tenure: { ...tenure, write: undefined } });
}

function given(work: Work, role: Role, { giving, epoch }: Extract<Tenure, { name: "giving" }>): void {
  const { timing } = work.settings;
  const yieldMs = giving.why === "failing" ? timing.failingYieldMs : timing.yieldMs;
  work.change(role, { tenure: { name: "none" }, yieldUntilMs: work.now + yieldMs });
  work.note("info", "hand-over.given", { service: work.of(role).service, epoch, why: giving.why });
  reply(work, giving.replyTo, succeed(undefined));
}

// --- stop ----------------------------------------------------------------------------------------------------------

export function stop(work: Work): void {
  if (work.stopping !== "no") return;
  for (const role of work.roles()) {
    const { tenure, service } = work.of(role);
    const giveable = role === "guest" && giveHindrance(work, role) === undefined;
    if (giveable) startGiving(work, role, { why: "stopping", replyTo: undefined });
    else if (tenure.name === "serving") {
      const untilMs = work.now + work.settings.timing.stopWithinMs;
      work.do({ kind: "stop-serving", service });
      work.change(role, { tenure: { name: "emptying", held: tenure.held, untilMs, next: { kind: "close" } } });
    } else if (tenure.name === "opening") endNow(work, role, tenure, { kind: "close" });
    else if (tenure.name === "asking") work.change(role, { tenure: { name: "none" } });
  }
  work.stopping = "ending";
  if (work.returning !== undefined) {
    reply(work, work.returning.id, fail({ code: "hand-over.stopping" }));
    work.returning = undefined;
  }
}
