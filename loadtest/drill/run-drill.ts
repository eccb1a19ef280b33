// One drill from beginning to end: the system comes up, calls stand, something is broken, everybody watches, the calls are used, and what was
// measured becomes a report. Whatever happens in between, nothing is left running.

import { cpSync, globSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { cpus, loadavg, release, tmpdir } from "node:os";
import { join } from "node:path";
import { BulkLoad } from "./bulk-load.ts";
import type { Drill, FaultStep, Network } from "./drill-file.ts";
import { apportion, CLASS_NAMES, type ClassName, EXERCISE_NEEDS, LOAD_CLASSES } from "./load-classes.ts";
import { Party } from "./parties/parties.ts";
import type { Collected, CollectedAll, Exercised, PlannedCall, Probed, PutUp } from "./parties/party-protocol.ts";
import type { CallReport, DrillReport, LegReport } from "./report/drill-report.ts";
import { classReports, FLOWING_PACKETS_MIN, gapsOf, judge, type Measured, spreadOf } from "./report/judge.ts";
import { timelineOf } from "./report/timeline.ts";
import type { LanePlan, Leftovers, RunningSystem, SystemUnderTest } from "./systems/system-under-test.ts";
import { type Capture, type CaptureEnd, hasTcpdump, startCapture } from "./wire/capture.ts";
import { arrivalsBySocket, gapAround } from "./wire/media-gaps.ts";
import { readPcap } from "./wire/pcap.ts";
import { judgeSetUps } from "./wire/set-ups.ts";
import { readSip, type SipCapture } from "./wire/sip-on-wire.ts";
import { unaskedMessages } from "./wire/unasked.ts";

export interface DrillRun {
  readonly drill: Drill;
  readonly system: SystemUnderTest;
  readonly network: Network;
  /** Instead of the file's own number. */
  readonly calls?: number;
  /** For report, captures, data and logs; made, and emptied. */
  readonly out: string;
  readonly onPhase: (phase: { readonly name: string; readonly said?: string; readonly lastedMs?: number }) => void;
  /** Aborted: the drill is broken off and everything stopped. */
  readonly signal: AbortSignal;
}

const CALLS_PER_LANE = 70;
const SET_UP_WITHIN_MS = 10_000;
const ATTEMPTS_MAX = 3;
const HELD_END_WITHIN_MS = 90_000;
const NEW_CALLS = 5;
const NEW_CALL_WITHIN_MS = 4_000;
const CHECK_WITHIN_MS = 6_000;
const PLAN_AHEAD_MS = 400;
const EXERCISES_WITHIN_MS = 90_000;
const RECORDS_WITHIN_MS = 12_000;
const MEDIA_CAPTURE_BEFORE_MS = 2_500;
const MEDIA_BYTES = 60;
const SIP_BYTES = 65_535;
const LOAD_HOST = "127.20.9.1";
const GONE_WITHIN_MS = 10_000;

interface Planned extends PlannedCall {
  readonly className: ClassName;
  readonly lane: number;
}

/** Stops the drill: what it would show from here on would mean nothing. */
export class Aborted extends Error {}

export async function runDrill(run: DrillRun): Promise<DrillReport> {
  rmSync(run.out, { recursive: true, force: true });
  mkdirSync(run.out, { recursive: true, mode: 0o700 });
  const drilling = new Drilling(run);
  try {
    return await drilling.run();
  } finally {
    await drilling.end();
  }
}

class Drilling {
  readonly #run: DrillRun;
  readonly #drill: Drill;
  readonly #startedAtUnixMs = Date.now();
  readonly #phases: { name: string; atMs: number; lastedMs: number; said: string }[] = [];
  readonly #planned: Planned[] = [];
  readonly #classes: ReadonlyMap<ClassName, number>;
  readonly #cannot = new Map<ClassName, string>();
  readonly #lanes: readonly LanePlan[];
  readonly #parties: Party[] = [];
  readonly #broken = new AbortController();
  readonly #deadline: NodeJS.Timeout;
  readonly #putUp = new Map<string, PutUp>();
  readonly #unsteady = new Map<string, string>();
  readonly #exercised = new Map<string, Exercised>();
  readonly #faultSteps: { afterMs: number; what: string; processes: number; failure?: string }[] = [];
  readonly #undo: (() => Promise<unknown>)[] = [];
  /** Short, because sockets have their paths in it; what it logged is kept beside the report. */
  readonly #data = ownFolder();
  #system: RunningSystem | undefined;
  #sip: Capture | undefined;
  #media: Capture | undefined;
  #sipEnd: CaptureEnd | undefined;
  #mediaEnd: CaptureEnd | undefined;
  #load: BulkLoad | undefined;
  #faultAtUnixMs = 0;
  #watchedUntilUnixMs = 0;

  constructor(run: DrillRun) {
    this.#run = run;
    this.#drill = run.drill;
    const { steadyState, abort } = run.drill;
    this.#classes = apportion(run.calls ?? steadyState.calls, steadyState.mix);
    for (const name of this.#classes.keys()) {
      const missing = LOAD_CLASSES[name].needs.filter((need) => !run.system.abilities.has(need));
      if (missing.length > 0) this.#cannot.set(name, `${run.system.name} has no ${missing.join(", no ")}`);
    }
    this.#lanes = this.#planLanes();
    this.#deadline = setTimeout(() => this.#broken.abort(new Aborted(`longer than ${abort.lasts} ms`)), abort.lasts);
    run.signal.addEventListener("abort", () => this.#broken.abort(new Aborted("interrupted")), { once: true });
  }

  async run(): Promise<DrillReport> {
    try {
      const system = await this.#phase("system", () => this.#bringUp());
      await this.#phase("calls", () => this.#putUpAll(system));
      await this.#phase("steady state", () => this.#steady(system));
      await this.#phase("fault", () => this.#fault(system));
      const collected = await this.#phase("watch", () => this.#watch());
      await this.#phase("exercises", () => this.#exercise(system));
      const after = await this.#phase("afterwards", () => this.#afterwards(system));
      return await this.#phase("report", async () => this.#report(system, collected, after));
    } catch (error) {
      if (this.#broken.signal.aborted && this.#run.signal.aborted) throw new Aborted("interrupted");
      return this.#abortedReport(error instanceof Error ? error.message : String(error));
    }
  }

  /** Everything undone, in the reverse order of its making; each within its time. */
  async end(): Promise<void> {
    clearTimeout(this.#deadline);
    this.#load?.stop();
    for (const undo of this.#undo.reverse()) await undo().catch(() => {});
    await Promise.all([this.#sip?.stop(), this.#media?.stop()]);
    for (const party of this.#parties) party.end();
    const killing = setTimeout(() => this.#system?.killAll(), GONE_WITHIN_MS);
    await this.#system?.stop().catch(() => this.#system?.killAll());
    clearTimeout(killing);
    const logs = globSync("*/logs", { cwd: this.#data })[0];
    if (logs !== undefined) cpSync(join(this.#data, logs), join(this.#run.out, "logs"), { recursive: true });
    rmSync(this.#data, { recursive: true, force: true });
  }

  // ---- phases ----

  async #bringUp(): Promise<RunningSystem> {
    const { system, network, out } = this.#run;
    const running = await system.start({
      drill: this.#drill,
      network,
      lanes: this.#lanes,
      folder: this.#data,
      signal: this.#broken.signal,
    });
    this.#system = running;
    const load = this.#drill.steadyState.load;
    if (load !== undefined) this.#load = new BulkLoad(running, this.#address(LOAD_HOST), join(out, "sipp"));
    for (const { lane, carrierHost, agentHost } of this.#lanes) {
      const party = new Party(lane);
      this.#parties.push(party);
      const tls = running.tls === undefined ? {} : { tls: running.tls };
      await party.ask({ kind: "open", carrierHost, agentHost, service: running.service, ...tls }, 10_000);
    }
    if (hasTcpdump())
      this.#sip = await startCapture({
        device: running.captureDevice,
        filter: `(udp or tcp) and (port ${running.service.sipPort} or port ${running.service.sipTlsPort})`,
        file: join(out, "sip.pcap"),
        bytesMax: SIP_BYTES,
      }).catch(() => undefined);
    return this.#say(`${system.name} on ${network}`, running);
  }

  async #putUpAll(system: RunningSystem): Promise<void> {
    const { callsPerSecond, load } = this.#drill.steadyState;
    for (const { lane, classes } of this.#lanes)
      for (const name of classes.keys())
        if (LOAD_CLASSES[name].entry === "agent" || LOAD_CLASSES[name].entry === "ringing-agent")
          await this.#alive(system.bringAgents(lane, name));
    if (load !== undefined) {
      const { watch } = this.#drill;
      const rampMs = (this.#planned.length / callsPerSecond) * 1_000;
      await this.#alive(
        this.#load?.hold(load.held, rampMs + watch + this.#drill.steadyState.lasts + 25_000) ?? Promise.resolve(),
      );
    }
    const withinMs = SET_UP_WITHIN_MS + (this.#planned.length / callsPerSecond) * 1_000;
    const rate = callsPerSecond / this.#parties.length;
    const answers = await this.#alive(
      Promise.all(
        this.#parties.map((party) => {
          const calls = this.#planned
            .filter(({ lane }) => lane === party.lane)
            .map((call) => ({ ...call, number: system.numberOf(call.lane, call.className), referTo: system.referTo }));
          return party.ask(
            { kind: "put-up", calls, callsPerSecond: rate, withinMs: SET_UP_WITHIN_MS, attemptsMax: ATTEMPTS_MAX },
            3 * withinMs + 10_000,
          );
        }),
      ),
    );
    for (const put of answers.flat()) this.#putUp.set(put.id, put);
    const down = [...this.#putUp.values()].filter(({ failure }) => failure !== undefined);
    this.#say(
      `${this.#putUp.size - down.length} of ${this.#planned.length} up${down.length === 0 ? "" : `; ${showFailures(down)}`}`,
      undefined,
    );
  }

  async #steady(system: RunningSystem): Promise<void> {
    await this.#sleep(this.#drill.steadyState.lasts);
    const answers = await this.#alive(
      Promise.all(
        this.#parties.map((party) => party.ask({ kind: "check", withinMs: CHECK_WITHIN_MS }, CHECK_WITHIN_MS + 20_000)),
      ),
    );
    const bad = answers
      .flat()
      .filter(({ failure, id }) => failure !== undefined && this.#putUp.get(id)?.failure === undefined);
    for (const { id, failure } of bad) this.#unsteady.set(id, failure ?? "");
    const good = this.#steadyCalls().length;
    const possible = this.#planned.length;
    this.#say(
      `${good} of ${possible} stand and hear what they should${bad.length === 0 ? "" : `; ${showFailures(bad)}`}`,
      undefined,
    );
    if (possible === 0) throw new Aborted("no class of the mix can be put up");
    const percent = (100 * good) / possible;
    const min = this.#drill.abort.setUpPercentMin;
    // A class that cannot be put up at all is shown red by its own limit; a system that stands on half of its calls shows nothing.
    if (percent < Math.min(min, 50)) throw new Aborted(`only ${good} of ${possible} calls stand before the fault`);
    await this.#eve();
    if (hasTcpdump()) {
      const parties = this.#lanes.flatMap(({ carrierHost, agentHost }) => [carrierHost, agentHost]);
      this.#media = await startCapture({
        device: system.captureDevice,
        filter: `udp and portrange 1024-65535 and not port ${system.service.sipPort} and not port ${system.service.sipTlsPort} and (${parties.map((host) => `dst host ${host}`).join(" or ")})`,
        file: join(this.#run.out, "media.pcap"),
        bytesMax: MEDIA_BYTES,
      }).catch(() => undefined);
    }
    const load = this.#drill.steadyState.load;
    if (load !== undefined && this.#load !== undefined) {
      this.#load.begin(load.newCallsPerSecond, load.lasts);
      await this.#sleep(load.from);
    }
    await this.#sleep(MEDIA_CAPTURE_BEFORE_MS);
    for (const party of this.#parties) await party.ask({ kind: "watch" }, 5_000);
  }

  async #eve(): Promise<void> {
    const answers = await this.#alive(
      Promise.all(
        this.#parties.map((party) =>
          party.ask({ kind: "eve", withinMs: CHECK_WITHIN_MS }, 2 * CHECK_WITHIN_MS + 20_000),
        ),
      ),
    );
    for (const { id, failure } of answers.flat())
      if (failure !== undefined && this.#putUp.get(id)?.failure === undefined) this.#unsteady.set(id, failure);
  }

  async #fault(system: RunningSystem): Promise<void> {
    const { fault, probes } = this.#drill;
    const early = Math.max(0, ...fault.map(({ before }) => before ?? 0));
    const faultAt = Date.now() + early + PLAN_AHEAD_MS;
    this.#faultAtUnixMs = faultAt;
    const steps = fault
      .map((step) => ({ step, offsetMs: step.at ?? -(step.before ?? 0) }))
      .sort((a, b) => a.offsetMs - b.offsetMs);
    const later: { step: FaultStep; offsetMs: number }[] = [];
    for (const one of steps) {
      if (one.offsetMs > 0) {
        later.push(one);
        continue;
      }
      await this.#sleep(faultAt + one.offsetMs - Date.now());
      const isFirst = one.offsetMs === 0 && this.#faultSteps.every(({ afterMs }) => afterMs < 0);
      const atUnixMs = await this.#step(system, one.step, Date.now() - this.#faultAtUnixMs);
      if (isFirst) this.#faultAtUnixMs = atUnixMs;
    }
    this.#probeFrom(Date.now() + 2, probes.inDialogCalls, probes.over);
    for (const { step, offsetMs } of later) {
      const timer = setTimeout(
        () => void this.#step(system, step, offsetMs),
        Math.max(0, faultAt + offsetMs - Date.now()),
      );
      this.#undo.push(async () => clearTimeout(timer));
    }
    const failed = this.#faultSteps.find(({ failure }) => failure !== undefined);
    if (failed !== undefined) throw new Aborted(`the fault could not be made: ${failed.what}: ${failed.failure}`);
    this.#say(this.#faultSteps.map(({ what, processes }) => `${what} (${processes} processes)`).join(", "), undefined);
  }

  async #step(system: RunningSystem, step: FaultStep, plannedMs: number): Promise<number> {
    const startedUnixMs = Date.now();
    let atUnixMs = startedUnixMs;
    const note = (what: string, processes: number, failure?: unknown) =>
      this.#faultSteps.push({
        afterMs: plannedMs,
        what,
        processes,
        ...(failure === undefined ? {} : { failure: failure instanceof Error ? failure.message : String(failure) }),
      });
    try {
      if ("kill" in step) {
        const sent = await system.signal(step.kill, step.signal, step.stayDown);
        atUnixMs = sent.atUnixMs;
        note(`${step.signal} ${step.kill}`, sent.pids.length);
      } else if ("pause" in step) {
        const { pids, atUnixMs: stoppedAt } = await system.signal(step.pause, "SIGSTOP", false);
        atUnixMs = stoppedAt;
        note(`SIGSTOP ${step.pause}`, pids.length);
        const go = async () => void (await system.signal(step.pause, "SIGCONT", false));
        this.#later(step.for, `SIGCONT ${step.pause}`, pids.length, go);
      } else if ("cut" in step) {
        const restore = await system.cut(step.cut);
        note(`cut between ${step.cut.join(" and ")}`, 0);
        this.#later(step.for, `link between ${step.cut.join(" and ")} back`, 0, restore);
      } else {
        await system.start(step.start);
        note(`start ${step.start}`, 1);
      }
    } catch (error) {
      note(
        "kill" in step
          ? `${step.signal} ${step.kill}`
          : "pause" in step
            ? `SIGSTOP ${step.pause}`
            : JSON.stringify(step),
        0,
        error,
      );
    }
    return atUnixMs;
  }

  /** Done in its time, or earlier when the drill ends earlier. */
  #later(afterMs: number, what: string, processes: number, act: () => Promise<void>): void {
    let done = false;
    const once = async () => {
      if (done) return;
      done = true;
      await act();
      this.#faultSteps.push({ afterMs: Date.now() - this.#faultAtUnixMs, what, processes });
    };
    const timer = setTimeout(() => void once().catch(() => {}), afterMs);
    this.#undo.push(async () => {
      clearTimeout(timer);
      await once();
    });
  }

  #probing: Promise<readonly Probed[]> = Promise.resolve([]);

  #probeFrom(fromUnixMs: number, count: number, overMs: number): void {
    const bridged = this.#steadyCalls().filter(({ className }) => className === "bridged");
    const chosen = bridged.slice(0, count);
    this.#probing = Promise.all(
      this.#parties.map((party) => {
        const own = chosen.flatMap((call, at) =>
          call.lane === party.lane
            ? [{ id: call.id, atUnixMs: fromUnixMs + Math.round((at * overMs) / Math.max(1, chosen.length)) }]
            : [],
        );
        return own.length === 0 ? [] : party.ask({ kind: "probe", calls: own }, overMs + 60_000);
      }),
    ).then((all) => all.flat());
    this.#probing.catch(() => {});
  }

  async #watch(): Promise<readonly CollectedAll[]> {
    await this.#sleep(this.#faultAtUnixMs + this.#drill.watch - Date.now());
    this.#watchedUntilUnixMs = Date.now();
    this.#mediaEnd = await this.#media?.stop();
    const collected = await this.#alive(
      Promise.all(
        this.#parties.map((party) =>
          party.ask(
            { kind: "collect", faultUnixMs: this.#faultAtUnixMs, untilUnixMs: this.#watchedUntilUnixMs },
            15_000,
          ),
        ),
      ),
    );
    const calls = collected.flatMap((one) => one.calls);
    for (const { id, ended } of calls) if (ended !== undefined) this.#endedIds.add(id);
    const steady = new Set(this.#steadyCalls().map(({ id }) => id));
    const standing = calls.filter(({ id, ended }) => steady.has(id) && ended === undefined).length;
    return this.#say(`${standing} of ${steady.size} still stand`, collected);
  }

  async #exercise(system: RunningSystem): Promise<void> {
    const collected = new Map<string, number>();
    const wanted = this.#steadyCalls().map((call) => {
      const at = collected.get(call.className) ?? 0;
      collected.set(call.className, at + 1);
      const possible = LOAD_CLASSES[call.className].exercises.filter((one) => {
        const need = EXERCISE_NEEDS[one];
        // Where a REFER leads to is a phone of the first lane.
        if (one === "refer" && call.lane !== this.#lanes[0]?.lane) return false;
        return need === undefined || this.#run.system.abilities.has(need);
      });
      return { call, exercise: possible[at % Math.max(1, possible.length)] };
    });
    if (this.#drill.expect === "silence") {
      await this.#dialNew(system);
      this.#say("none: nobody is to serve", undefined);
      return;
    }
    const asking = Promise.all(
      this.#parties.map((party) => {
        const calls = wanted.flatMap(({ call, exercise }) =>
          call.lane === party.lane && exercise !== undefined && !this.#endedIds.has(call.id)
            ? [{ id: call.id, exercise }]
            : [],
        );
        return calls.length === 0 ? [] : party.ask({ kind: "exercise", calls }, EXERCISES_WITHIN_MS);
      }),
    );
    asking.catch(() => {});
    for (const { lane, classes } of this.#lanes)
      if (classes.has("queued")) await this.#alive(system.bringAgents(lane, "queued")).catch(() => {});
    for (const one of (await this.#alive(asking)).flat()) this.#exercised.set(one.id, one);
    await this.#dialNew(system);
    const all = [...this.#exercised.values()];
    const bad = all.filter(({ failure }) => failure !== undefined);
    this.#say(
      `${all.length - bad.length} of ${all.length} worked${bad.length === 0 ? "" : `; ${showFailures(bad)}`}`,
      undefined,
    );
  }

  /** Is anybody there for new callers? Each is tried once. */
  async #dialNew(system: RunningSystem): Promise<void> {
    const [party] = this.#parties;
    if (party === undefined || this.#lanes[0]?.classes.has("in-prompt") !== true) return;
    const calls = Array.from({ length: NEW_CALLS }, (_, at) => ({
      id: `new-${at + 1}`,
      index: at,
      className: "in-prompt",
      loadClass: LOAD_CLASSES["in-prompt"],
      number: system.numberOf(party.lane, "in-prompt"),
      callingNumber: `+49309${String(1_000_000 + at)}`,
      referTo: "",
    }));
    const answers = await this.#alive(
      party.ask(
        { kind: "put-up", calls, callsPerSecond: 5, withinMs: NEW_CALL_WITHIN_MS, attemptsMax: 1 },
        2 * NEW_CALL_WITHIN_MS + 10_000,
      ),
    );
    this.#newCalls = { asked: NEW_CALLS, served: answers.filter(({ failure }) => failure === undefined).length };
  }

  #newCalls: DrillReport["newCalls"];
  #held: DrillReport["held"];
  readonly #endedIds = new Set<string>();

  async #afterwards(
    system: RunningSystem,
  ): Promise<{ leftovers: Leftovers; records: ReadonlyMap<string, number> | undefined }> {
    await this.#alive(Promise.all(this.#parties.map((party) => party.ask({ kind: "hang-up" }, 15_000))));
    this.#held = await this.#alive(this.#load?.held(HELD_END_WITHIN_MS) ?? Promise.resolve(undefined));
    this.#load?.stop();
    for (const undo of this.#undo.splice(0).reverse()) await undo().catch(() => {});
    const wanted = this.#steadyCalls().map((call) => this.#callingNumber(call));
    const records = await this.#records(system, wanted);
    const deadlineMs = performance.now() + GONE_WITHIN_MS;
    let leftovers = await this.#alive(system.leftovers());
    while (Object.values(leftovers.counts).some((count) => count > 0) && performance.now() < deadlineMs) {
      await this.#sleep(500);
      leftovers = await this.#alive(system.leftovers());
    }
    this.#sipEnd = await this.#sip?.stop();
    const left = Object.entries(leftovers.counts).filter(([, count]) => count > 0);
    return this.#say(
      `left over: ${left.length === 0 ? "nothing" : left.map(([what, count]) => `${what} ${count}`).join(", ")}`,
      { leftovers, records },
    );
  }

  /** How many records each caller has, once every call has one or the time is over. */
  async #records(system: RunningSystem, wanted: readonly string[]): Promise<ReadonlyMap<string, number> | undefined> {
    const deadlineMs = performance.now() + RECORDS_WITHIN_MS;
    for (;;) {
      const counts = new Map<string, number>();
      try {
        const records = await this.#alive(system.records());
        if (records === undefined) return undefined;
        for (const { callingNumber } of records) counts.set(callingNumber, (counts.get(callingNumber) ?? 0) + 1);
        if (wanted.every((number) => counts.has(number))) return counts;
      } catch {
        // asked again
      }
      if (performance.now() > deadlineMs) return counts;
      await this.#sleep(400);
    }
  }

  // ---- the report ----

  #report(
    system: RunningSystem,
    collected: readonly CollectedAll[],
    after: { leftovers: Leftovers; records: ReadonlyMap<string, number> | undefined },
  ): Promise<DrillReport> {
    return this.#probing
      .catch(() => [] as readonly Probed[])
      .then((probed) => {
        const measured = this.#measure(system, collected, after, probed);
        const limits = judge(this.#drill, measured);
        const verdict = limits.every(({ ok }) => ok) ? ("passed" as const) : ("failed" as const);
        return this.#say(verdict, { ...measured, limits, verdict });
      });
  }

  #measure(
    system: RunningSystem,
    collected: readonly CollectedAll[],
    after: { leftovers: Leftovers; records: ReadonlyMap<string, number> | undefined },
    probed: readonly Probed[],
  ): Measured {
    const byId = new Map(collected.flatMap(({ calls }) => calls.map((call) => [call.id, call] as const)));
    const sip =
      this.#sipEnd === undefined ? undefined : readSip(readPcap(readFileSync(join(this.#run.out, "sip.pcap"))));
    const arrivals =
      this.#mediaEnd === undefined
        ? undefined
        : arrivalsBySocket(readPcap(readFileSync(join(this.#run.out, "media.pcap"))));
    const touched = new Map<string, number>(probed.map(({ id, sentUnixMs }) => [id, sentUnixMs]));
    const ours = new Set([system.service.host]);
    const unasked = unaskedMessages(
      sip?.messages ?? [],
      this.#steadyCalls().map(({ id, className }) => ({
        id,
        className,
        sipCallIds: byId.get(id)?.sipCallIds ?? [],
        touchedAtMs: touched.get(id),
      })),
      ours,
      this.#faultAtUnixMs,
      this.#watchedUntilUnixMs,
    );
    const overTls = this.#unaskedOverTls(byId);
    const messages = [...unasked.messages, ...overTls];
    const calls = this.#planned.map(
      (plan): CallReport =>
        this.#callReport(plan, byId.get(plan.id), arrivals, messages, unasked.reanchored, after.records),
    );
    const up = calls.filter(({ notUp }) => notUp === undefined);
    const { timeline, milestones } = timelineOf(system.events, this.#faultAtUnixMs, this.#watchedUntilUnixMs);
    const firstOk = Math.min(
      ...probed.flatMap(({ okUnixMs }) => (okUnixMs === undefined || okUnixMs < this.#faultAtUnixMs ? [] : [okUnixMs])),
    );
    const records = after.records;
    const steady = this.#steadyCalls();
    const setUps = this.#setUps(sip);
    return {
      ...this.#head(),
      milestones,
      timeline,
      probes: {
        sent: probed.map(({ sentUnixMs, okUnixMs, status, failure }) => ({
          afterMs: sentUnixMs - this.#faultAtUnixMs,
          okAfterMs: okUnixMs === undefined ? null : okUnixMs - this.#faultAtUnixMs,
          ...(status === undefined ? {} : { status }),
          ...(failure === undefined ? {} : { failure }),
        })),
        firstInDialogMs: Number.isFinite(firstOk) ? firstOk - this.#faultAtUnixMs : null,
      },
      classes: classReports(this.#classes, this.#cannot, calls, this.#drill.expectedLoss),
      gap: spreadOf(gapsOf(up)),
      gapReanchored: spreadOf(gapsOf(up, true)),
      calls,
      wire: {
        sip:
          sip === undefined || this.#sipEnd === undefined
            ? undefined
            : { file: "sip.pcap", ...this.#sipEnd, messages: sip.messages.length, unread: sip.unread },
        media: this.#mediaEnd === undefined ? undefined : { file: "media.pcap", ...this.#mediaEnd },
        unasked: messages,
        reanchored: unasked.reanchored,
        strange: unasked.strange,
        spoken: this.#spoken(sip, arrivals, ours),
      },
      ...(setUps === undefined ? {} : { setUps }),
      newCalls: this.#newCalls,
      ...(this.#held === undefined ? {} : { held: this.#held }),
      ownStallMs: collected.map(({ ownStallMs }) => Math.round(ownStallMs)),
      reconnected: collected.reduce((sum, one) => sum + one.reconnected, 0),
      leftovers: after.leftovers,
      records:
        records === undefined
          ? undefined
          : {
              wanted: steady.length,
              one: steady.filter((call) => records.get(this.#callingNumber(call)) === 1).length,
              none: steady.filter((call) => !records.has(this.#callingNumber(call))).length,
              several: steady.filter((call) => (records.get(this.#callingNumber(call)) ?? 0) > 1).length,
            },
      expectedLoss: this.#drill.expectedLoss.map(({ classes, because }) => ({ classes, because })),
      rollBack: this.#drill.rollBack,
    };
  }

  #callReport(
    plan: Planned,
    seen: Collected | undefined,
    arrivals: ReadonlyMap<string, readonly number[]> | undefined,
    unasked: readonly { readonly callId: string }[],
    reanchored: readonly { readonly callId: string }[],
    records: ReadonlyMap<string, number> | undefined,
  ): CallReport {
    const put = this.#putUp.get(plan.id);
    const notUp = put?.failure ?? (put === undefined ? "never dialled" : this.#unsteady.get(plan.id));
    const legs = (seen?.legs ?? []).map((leg): LegReport => {
      const times = arrivals?.get(leg.socket);
      const kernel =
        arrivals === undefined ? undefined : gapAround(times ?? [], this.#faultAtUnixMs, this.#watchedUntilUnixMs);
      return {
        leg: leg.leg,
        socket: leg.socket,
        packetsBefore: kernel?.before ?? leg.before,
        ...(kernel === undefined ? {} : { gapMs: finite(kernel.gapMs), backAfterMs: finite(kernel.backAfterMs) }),
        probeGapMs: leg.gapMs,
        ssrcs: leg.ssrcs,
      };
    });
    const silent = legs.find(
      ({ packetsBefore, gapMs, probeGapMs }) =>
        packetsBefore >= FLOWING_PACKETS_MIN && (gapMs === undefined ? probeGapMs : gapMs) === null,
    );
    const exercised = this.#exercised.get(plan.id);
    // No answer at all, or from somebody who knows nothing of it.
    const dead =
      exercised?.failure !== undefined && exercised.statuses.every((status) => status === 0 || status === 481);
    const lostBecause =
      seen?.ended ??
      (silent !== undefined ? `no audio came back to the ${silent.leg}` : undefined) ??
      (dead ? `dead when it was used: ${exercised.failure}` : undefined) ??
      (exercised === undefined && legs.every(({ packetsBefore }) => packetsBefore < FLOWING_PACKETS_MIN)
        ? "nothing has shown that it lives"
        : undefined);
    return {
      id: plan.id,
      className: plan.className,
      lane: plan.lane,
      callingNumber: this.#callingNumber(plan),
      ...(put?.setUpMs === undefined ? {} : { setUpMs: Math.round(put.setUpMs) }),
      ...(notUp === undefined ? {} : { notUp }),
      survived: notUp === undefined && lostBecause === undefined,
      ...(lostBecause === undefined ? {} : { lostBecause }),
      ...(seen?.endedUnixMs === undefined ? {} : { endedAfterMs: Math.round(seen.endedUnixMs - this.#faultAtUnixMs) }),
      legs,
      ...(exercised === undefined ? {} : { exercise: exercised.exercise }),
      ...(exercised?.failure === undefined ? {} : { exerciseFailure: exercised.failure }),
      ...(exercised?.firstAnswerMs === undefined ? {} : { firstAnswerMs: Math.round(exercised.firstAnswerMs) }),
      statuses: exercised?.statuses ?? [],
      unasked: unasked.filter(({ callId }) => callId === plan.id).length,
      reanchored: reanchored.filter(({ callId }) => callId === plan.id).length,
      records: records?.get(this.#callingNumber(plan)) ?? 0,
    };
  }

  /** TLS hides them from the capture: the phones saw them. */
  #unaskedOverTls(byId: ReadonlyMap<string, Collected>) {
    return this.#steadyCalls()
      .filter(({ className }) => LOAD_CLASSES[className].transport === "tls")
      .flatMap(({ id, className }) =>
        (byId.get(id)?.heard ?? []).map(({ atUnixMs, summary }) => ({
          callId: id,
          className,
          afterMs: Math.round(atUnixMs - this.#faultAtUnixMs),
          summary,
          to: "seen by the phone (TLS)",
        })),
      );
  }

  #spoken(
    sip: SipCapture | undefined,
    arrivals: ReadonlyMap<string, readonly number[]> | undefined,
    ours: ReadonlySet<string>,
  ): number {
    const inTime = (atMs: number) => atMs > this.#faultAtUnixMs + SETTLED_MS && atMs <= this.#watchedUntilUnixMs;
    let spoken = (sip?.messages ?? []).filter(({ atMs, from }) => ours.has(from.host) && inTime(atMs)).length;
    for (const times of arrivals?.values() ?? []) for (const atMs of times) if (inTime(atMs)) spoken++;
    return spoken;
  }

  #setUps(sip: SipCapture | undefined) {
    if (this.#load === undefined || sip === undefined) return undefined;
    return judgeSetUps(sip.messages, new Set([this.#load.host]), this.#faultAtUnixMs);
  }

  /** What every report begins with, whatever came of the drill. */
  #head() {
    return {
      version: 1 as const,
      drill: this.#drill.name,
      purpose: this.#drill.purpose,
      system: this.#run.system.name,
      network: this.#run.network,
      service: this.#system?.service.host ?? "",
      startedAtUnixMs: this.#startedAtUnixMs,
      lastedMs: Date.now() - this.#startedAtUnixMs,
      machine: machine(),
      phases: this.#phases,
      fault: { atUnixMs: this.#faultAtUnixMs, steps: this.#faultSteps },
    };
  }

  #abortedReport(why: string): DrillReport {
    const calls = this.#planned.map((plan) => this.#callReport(plan, undefined, undefined, [], [], undefined));
    const classes = classReports(this.#classes, this.#cannot, calls, this.#drill.expectedLoss);
    return {
      ...this.#head(),
      verdict: "aborted",
      aborted: why,
      milestones: {},
      timeline: [],
      probes: { sent: [], firstInDialogMs: null },
      classes,
      gap: undefined,
      gapReanchored: undefined,
      calls,
      wire: { sip: undefined, media: undefined, unasked: [], reanchored: [], strange: 0, spoken: 0 },
      newCalls: undefined,
      ownStallMs: [],
      reconnected: 0,
      leftovers: { counts: {}, unknown: [] },
      records: undefined,
      limits: [],
      expectedLoss: this.#drill.expectedLoss.map(({ classes: names, because }) => ({ classes: names, because })),
      rollBack: this.#drill.rollBack,
    };
  }

  // ---- small things ----

  #planLanes(): readonly LanePlan[] {
    const possible = [...this.#classes].filter(([name]) => !this.#cannot.has(name));
    const total = possible.reduce((sum, [, count]) => sum + count, 0);
    const lanes = Math.max(1, Math.min(this.#run.system.lanesMax, Math.ceil(total / CALLS_PER_LANE)));
    const plans = Array.from({ length: lanes }, (_, lane) => ({
      lane,
      carrierHost: this.#address(`127.20.0.${10 + lane}`),
      agentHost: this.#address(`127.30.0.${10 + lane}`),
      classes: new Map<ClassName, number>(),
    }));
    let index = 0;
    // The class that stands on a phone that rings for 30 s goes last.
    const order: readonly ClassName[] = [...CLASS_NAMES.filter((name) => name !== "in-refer"), "in-refer"];
    for (const className of order) {
      const count = possible.find(([name]) => name === className)?.[1] ?? 0;
      for (let at = 0; at < count; at++) {
        const plan = plans[className === "in-refer" ? 0 : at % lanes];
        if (plan === undefined) continue;
        plan.classes.set(className, (plan.classes.get(className) ?? 0) + 1);
        index++;
        this.#planned.push({
          id: `${className}-${at + 1}`,
          index,
          className,
          lane: plan.lane,
          loadClass: LOAD_CLASSES[className],
          number: "",
          callingNumber: `+4930${String(1_000_000 + index)}`,
          referTo: "",
        });
      }
    }
    return plans;
  }

  /** The one of the attempt that stood. */
  #callingNumber({ id, callingNumber }: Planned): string {
    return this.#putUp.get(id)?.callingNumber ?? callingNumber;
  }

  #address(loopback: string): string {
    return this.#run.system.address(this.#run.network, loopback);
  }

  /** Put up and steady: what is measured from here on. */
  #steadyCalls(): readonly Planned[] {
    return this.#planned.filter(
      ({ id }) => this.#putUp.get(id)?.failure === undefined && this.#putUp.has(id) && !this.#unsteady.has(id),
    );
  }

  async #phase<Value>(name: string, act: () => Promise<Value>): Promise<Value> {
    this.#run.onPhase({ name });
    const startedMs = performance.now();
    const phase = { name, atMs: Date.now() - this.#startedAtUnixMs, lastedMs: 0, said: "" };
    this.#phases.push(phase);
    try {
      return await this.#alive(act());
    } finally {
      phase.lastedMs = Math.round(performance.now() - startedMs);
      this.#run.onPhase({ name, said: phase.said, lastedMs: phase.lastedMs });
    }
  }

  #say<Value>(said: string, value: Value): Value {
    const phase = this.#phases.at(-1);
    if (phase !== undefined) phase.said = said;
    return value;
  }

  /** Whatever is waited for ends when the drill does. */
  #alive<Value>(work: Promise<Value>): Promise<Value> {
    const { signal } = this.#broken;
    if (signal.aborted) {
      work.catch(() => {});
      return Promise.reject(signal.reason);
    }
    return new Promise((resolve, reject) => {
      const broken = () => reject(signal.reason);
      signal.addEventListener("abort", broken, { once: true });
      work.then(resolve, reject).finally(() => signal.removeEventListener("abort", broken));
    });
  }

  #sleep(ms: number): Promise<void> {
    return this.#alive(new Promise((resolve) => setTimeout(resolve, Math.max(0, ms))));
  }
}

/** What was in the socket buffers of a host that has died is still read. */
const SETTLED_MS = 50;

const OWN_FOLDER = "tg-drill-";
const OWN_FOLDERS = /^tg-drill-\d+-[a-z0-9]+$/;
const KEPT_MS = 86_400_000;

/** Named by our process. Those of drills that were killed are swept away after a day: a pid says nothing across pid namespaces. */
function ownFolder(): string {
  for (const name of readdirSync(tmpdir()).filter((one) => OWN_FOLDERS.test(one))) {
    const path = join(tmpdir(), name);
    const { mtimeMs } = statSync(path, { throwIfNoEntry: false }) ?? { mtimeMs: Date.now() };
    if (Date.now() - mtimeMs > KEPT_MS) rmSync(path, { recursive: true, force: true });
  }
  const folder = join(tmpdir(), `${OWN_FOLDER}${process.pid}-${Date.now().toString(36)}`);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  return folder;
}

const finite = (value: number): number | null => (Number.isFinite(value) ? Math.round(value * 10) / 10 : null);

function machine(): DrillReport["machine"] {
  const [first] = cpus();
  return {
    cpus: cpus().length,
    model: first?.model.trim() ?? "?",
    kernel: release(),
    node: process.version,
    loadAverage: Math.round((loadavg()[0] ?? 0) * 100) / 100,
  };
}

/** The most frequent reasons, with how often each. */
function showFailures(some: readonly { readonly id: string; readonly failure?: string | undefined }[]): string {
  const reasons = new Map<string, string[]>();
  for (const { id, failure = "" } of some) {
    const known = reasons.get(failure) ?? [];
    known.push(id);
    reasons.set(failure, known);
  }
  return [...reasons]
    .sort((a, b) => b[1].length - a[1].length)
    .slice(0, 3)
    .map(([why, ids]) => `${ids.length} × ${why} (${ids[0]})`)
    .join("; ");
}
