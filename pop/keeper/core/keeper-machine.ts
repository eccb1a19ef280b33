// Who serves a service, home and twin's alike: one machine per host.

import type { Step } from "../../../kernel/step.ts";
import type { InstantMs } from "../../../kernel/time.ts";
import { seekService } from "./claim.ts";
import type {
  KeeperEffect,
  KeeperEvent,
  KeeperInput,
  KeeperMemory,
  KeeperSettings,
  KeeperState,
} from "./keeper-words.ts";
import type { Role } from "./owner-record.ts";
import { forgivePause, keepRunning, pong, processDied, processServing } from "./running.ts";
import {
  addressTaken,
  endLapsed,
  fenceLater,
  giveHindrance,
  handOver,
  hasLease,
  keepReturns,
  keepTenure,
  lengthen,
  ownerRead,
  ownerWritten,
  persist,
  returnHome,
  see,
  servingEmptied,
  servingEnded,
  stanceOf,
  startGiving,
  stop,
  storeAnswers,
  storeFenced,
  supersededBy,
  tellLeases,
} from "./tenure.ts";
import { answered, beaten, closed, connected, hungUp, keepLink, refused, sendBeat, unreachable } from "./twin-side.ts";
import { Work } from "./work.ts";

export * from "./keeper-words.ts";

/** What a keeper begins with, once it listens for its twin. `boot`: of this run, never used before. */
export interface KeeperStart {
  readonly atMs: InstantMs;
  readonly boot: string;
  readonly memory: KeeperMemory;
}

/** Feed it "woke" at once: that asks for the first effects. */
export function initialKeeper(settings: KeeperSettings, { atMs, boot, memory }: KeeperStart): KeeperState {
  const service = (id: KeeperState["home"]["service"]): KeeperState["home"] => ({
    service: id,
    tenure: { name: "none" },
    seen: undefined,
    reading: undefined,
    readAtMs: atMs,
    known: memory.epochs[id] ?? 0,
    ended: 0,
    granted: undefined,
    twinSays: undefined,
    yieldUntilMs: undefined,
    waitsFor: undefined,
  });
  return {
    startedAtMs: atMs,
    steppedAtMs: atMs,
    boot,
    nextId: 1,
    stopping: "no",
    twin: {
      link: { name: "closed", connectAtMs: atMs },
      boot: undefined,
      heardAtMs: undefined,
      name: "unknown",
      everConnected: false,
      refusedAtMs: undefined,
      unreachable: undefined,
      hurryUntilMs: undefined,
      incoming: undefined,
      clearOfPast: false,
      wantsHome: false,
    },
    store: { name: "unknown", sinceMs: atMs },
    stateStore: "unknown",
    home: service(settings.host),
    guest: settings.twin === undefined ? undefined : service(settings.twin),
    returning: undefined,
    wakeAtMs: undefined,
  };
}

/** One input, one step. Effects are performed in their order. */
export function stepKeeper(
  settings: KeeperSettings,
  state: KeeperState,
  input: KeeperInput,
): Step<KeeperState, KeeperEffect> {
  const work = new Work(settings, state, Math.max(input.atMs, state.steppedAtMs));
  const epochsBefore = epochsOf(work);
  endLapsed(work);
  const pausedMs = work.now - state.steppedAtMs;
  if (pausedMs >= settings.timing.pauseMs && state.wakeAtMs !== undefined) {
    work.note("warn", "keeper.paused", { pausedMs: Math.round(pausedMs) });
    forgivePause(work, pausedMs);
  }
  if (settings.twin === undefined) lengthen(work, "home", work.now); // nobody else may have it
  hear(work, input);
  upkeep(work);
  if (epochsOf(work) !== epochsBefore && !work.effects.some(({ kind }) => kind === "persist")) persist(work, false);
  const wakeAtMs = nextWakeMs(work);
  if (work.stopping !== "finished") work.do({ kind: "wake", atMs: wakeAtMs });
  return work.done(wakeAtMs);
}

const epochsOf = (work: Work): string =>
  work
    .roles()
    .map((role) => work.of(role).known)
    .join();

function hear(work: Work, event: KeeperEvent): void {
  switch (event.kind) {
    case "woke":
      return;
    case "twin-connected":
      return connected(work, event.link);
    case "twin-closed":
      return closed(work, event.link);
    case "twin-refused":
      return refused(work, event.link);
    case "twin-unreachable":
      return unreachable(work, event.link, event.because);
    case "answer":
      return answered(work, event.link, event.answer);
    case "beat":
      return beaten(work, event.from, event.beat);
    case "twin-hung-up":
      return hungUp(work, event.from);
    case "owner-read":
      return ownerRead(work, event);
    case "owner-written":
      return ownerWritten(work, event);
    case "store-fenced":
      return storeFenced(work, event);
    case "state-store":
      work.stateStore = event.answers ? "answering" : "away";
      return event.answers ? fenceLater(work) : undefined;
    case "address-taken":
      return addressTaken(work, event);
    case "hand-over":
      return handOver(work, event);
    case "return-home":
      return returnHome(work, event);
    case "stop":
      return stop(work);
    default: {
      const role = work.role(event.service);
      if (role !== undefined) hearOfService(work, role, event);
    }
  }
}

type ServiceEvent = Extract<
  KeeperEvent,
  {
    kind:
      | "owner-seen"
      | "process-serving"
      | "process-died"
      | "pong"
      | "serving-emptied"
      | "serving-ended"
      | "superseded";
  }
>;

function hearOfService(work: Work, role: Role, event: ServiceEvent): void {
  switch (event.kind) {
    case "owner-seen":
      return see(work, role, event.entry);
    case "process-serving":
      return processServing(work, role, event.process);
    case "process-died": {
      const failing = processDied(work, role, event);
      if (failing && work.stopping === "no" && giveHindrance(work, role) === undefined)
        startGiving(work, role, { why: "failing", replyTo: undefined });
      return;
    }
    case "pong":
      return pong(work, role, event.process);
    case "serving-emptied":
      return servingEmptied(work, role);
    case "serving-ended":
      return servingEnded(work, role);
    case "superseded":
      return supersededBy(work, role, event.by);
  }
}

/** What is due, whatever led to this step. */
function upkeep(work: Work): void {
  for (const role of work.roles()) {
    keepTenure(work, role);
    keepRunning(work, role);
    keepReading(work, role);
  }
  keepReturns(work);
  const stancesBefore = stancesOf(work);
  for (const role of work.roles()) seekService(work, role);
  finishStop(work);
  keepLink(work);
  if (stancesOf(work) !== stancesBefore) sendBeat(work); // the twin need not wait for the next one
  tellLeases(work);
}

const stancesOf = (work: Work): string =>
  work
    .roles()
    .map((role) => stanceOf(work, role).name)
    .join();

/** Where nothing is written, the record is read now and then; the watch is faster, and may end unnoticed. */
function keepReading(work: Work, role: Role): void {
  const { timing } = work.settings;
  const { service, reading, readAtMs, tenure, seen } = work.of(role);
  if (reading !== undefined && work.now - reading.askedAtMs >= timing.callWithinMs) {
    work.change(role, { reading: undefined });
    storeAnswers(work, false, "no answer");
  }
  if (work.of(role).reading !== undefined || work.now < readAtMs) return;
  if ((hasLease(tenure) && seen !== undefined) || work.stopping === "finished") return;
  const id = work.id();
  work.change(role, { reading: { id, askedAtMs: work.now }, readAtMs: work.now + timing.pollEveryMs });
  work.do({ kind: "read-owner", service, id });
}

/** Nothing is held any more: the twin hears it, then all ends. */
function finishStop(work: Work): void {
  if (work.stopping !== "ending" || work.roles().some((role) => work.of(role).tenure.name !== "none")) return;
  sendBeat(work);
  work.stopping = "finished";
  work.do({ kind: "finished" });
}

/** The next moment that matters, and never later than a beat from now. */
function nextWakeMs(work: Work): InstantMs {
  const { now, settings, twin } = work;
  let next = now + settings.timing.beatEveryMs;
  const at = (dueAtMs: InstantMs | undefined) => {
    if (dueAtMs !== undefined && dueAtMs > now && dueAtMs < next) next = dueAtMs;
  };
  if (twin.link.name === "closed") at(twin.link.connectAtMs);
  if (twin.link.name === "connected") at(twin.link.beatAtMs);
  for (const role of work.roles()) {
    const { tenure, seen, granted } = work.of(role);
    at(granted?.untilMs);
    if (seen !== undefined) at(seen.atMs + work.patienceMs);
    if (hasLease(tenure)) {
      at(tenure.held.leaseUntilMs);
      at(tenure.held.renewAtMs);
    }
    if (tenure.name === "serving")
      for (const process of Object.values(tenure.running.processes)) if (process.name === "dead") at(process.startAtMs);
  }
  return next;
}
