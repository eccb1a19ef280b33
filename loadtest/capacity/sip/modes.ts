// The runs: rates side by side, ceilings, dialogs that stand idle, memory, a soak, a profile.

import { join } from "node:path";
import { look } from "../process-usage.ts";
import { until } from "../run-step.ts";
import type { CpuProfile } from "../self-times.ts";
import { judge, type SipProfile, type SipStep, slope } from "./figures.ts";
import type { Party } from "./parties.ts";
import { type FlatRow, type MemoryRow, showSipStep } from "./report.ts";
import { answeredIn, runSipStep, type SipTraffic, startTraffic } from "./step.ts";

export interface SipRun {
  readonly profiles: readonly SipProfile[];
  readonly rates: readonly number[];
  readonly dialogs: readonly number[];
  readonly seconds: number;
  readonly warmUpSeconds: number;
  readonly rounds: number;
  readonly holdMs: number;
  readonly soakCalls: number;
  readonly far: string;
  readonly folder: string;
  say(line: string): void;
  /** Whoever breaks the run off ends these. */
  readonly traffics: SipTraffic[];
  readonly parties: Party[];
}

export type Opener = (profile: SipProfile) => Promise<Party>;

/** Code is compiled, buffers and connections are there: what comes after is not a cold start. */
const COLD = { callsPerSecond: 100, seconds: 6 };
/** After a step: the last BYEs, the application's garbage. */
const PAUSE_MS = 1_500;

async function opened(run: SipRun, open: readonly Opener[], profile: SipProfile): Promise<readonly Party[]> {
  const parties: Party[] = [];
  for (const one of open) {
    const party = await one(profile);
    parties.push(party);
    run.parties.push(party);
    run.say(
      `${party.name}, ${profile}: up; cold start, ${COLD.callsPerSecond} calls/s for ${COLD.seconds} s, not counted`,
    );
    await step(run, party, profile, COLD.callsPerSecond, { seconds: COLD.seconds, warmUpSeconds: 1 });
  }
  return parties;
}

async function closed(run: SipRun, parties: readonly Party[]): Promise<void> {
  for (const party of parties) {
    await party.stop();
    run.parties.splice(run.parties.indexOf(party), 1);
  }
}

async function step(
  run: SipRun,
  party: Party,
  profile: SipProfile,
  callsPerSecond: number,
  over: { readonly seconds?: number; readonly warmUpSeconds?: number; readonly during?: () => Promise<void> } = {},
): Promise<SipStep> {
  const { seconds, warmUpSeconds, holdMs, far, folder } = run;
  const plan = { profile, callsPerSecond, seconds, warmUpSeconds, holdMs, far, folder, ...over };
  const { during } = over;
  const done = await runSipStep(party, plan, {
    started: (traffic) => {
      run.traffics.push(traffic);
    },
    ...(during === undefined ? {} : { during }),
  });
  await until(performance.now() + PAUSE_MS);
  return done;
}

function tell(run: SipRun, done: SipStep): void {
  const rate = String(done.callsPerSecond).padStart(4);
  run.say(`${done.profile} ${rate} calls/s  ${done.server.padEnd(15)}  ${showSipStep(done)}`);
}

interface Steps {
  readonly steps: readonly SipStep[];
  readonly names: readonly string[];
}

/** Turn by turn: whatever else the machine does meets all of them. */
export async function rates(run: SipRun, open: readonly Opener[]): Promise<Steps> {
  const steps: SipStep[] = [];
  let names: readonly string[] = [];
  for (const profile of run.profiles) {
    const parties = await opened(run, open, profile);
    names = parties.map(({ name }) => name);
    for (const callsPerSecond of run.rates)
      for (let round = 0; round < run.rounds; round++)
        for (const party of round % 2 === 0 ? parties : parties.toReversed()) {
          const done = await step(run, party, profile, callsPerSecond);
          steps.push(done);
          tell(run, done);
        }
    await closed(run, parties);
  }
  return { steps, names };
}

export interface Ceiling {
  readonly server: string;
  readonly profile: SipProfile;
  /** The highest rate at which no call failed; 0: none. */
  readonly callsPerSecond: number;
  readonly why: string;
}

/** Growing rates, until calls fail twice in a row at one rate; a rate that SIPp could not make ends it too. */
export async function ceilings(
  run: SipRun,
  open: readonly Opener[],
): Promise<Steps & { readonly clean: readonly Ceiling[] }> {
  const steps: SipStep[] = [];
  const clean: Ceiling[] = [];
  let names: readonly string[] = [];
  for (const profile of run.profiles) {
    const parties = await opened(run, open, profile);
    names = parties.map(({ name }) => name);
    const reached = new Map(parties.map((party) => [party, { callsPerSecond: 0, why: "" }]));
    for (const callsPerSecond of run.rates)
      for (const party of parties) {
        const mine = reached.get(party);
        if (mine === undefined || mine.why !== "") continue;
        let why = "";
        // A machine that others use spoils a step now and then: the second try decides.
        for (let attempt = 0; attempt < 2; attempt++) {
          const done = await step(run, party, profile, callsPerSecond);
          steps.push(done);
          tell(run, done);
          const { faults, spoilt } = judge(done);
          why = [...faults, ...(spoilt === undefined ? [] : [spoilt])].join("; ");
          if (why === "") break;
        }
        if (why === "") mine.callsPerSecond = callsPerSecond;
        else mine.why = `at ${callsPerSecond}/s ${why}`;
      }
    for (const [{ name: server }, { callsPerSecond, why }] of reached)
      clean.push({ server, profile, callsPerSecond, why: why || "the limit is higher" });
    await closed(run, parties);
  }
  return { steps, names, clean };
}

/** Held calls come up at this rate; it is not measured. */
const HOLD_RATE = 250;

/** Brings dialogs up and leaves them. SIPp holds them until it is stopped. */
async function holding(
  run: SipRun,
  party: Party,
  profile: SipProfile,
  dialogs: number,
  callsPerSecond: number,
): Promise<SipTraffic> {
  const folder = join(run.folder, `held-${party.name}-${dialogs}`);
  const calls = { calls: dialogs, callsPerSecond, holdMs: HELD_MS };
  const traffic = await startTraffic(party, { ...calls, profile, far: run.far, folder });
  run.traffics.push(traffic);
  await until(performance.now() + (dialogs / callsPerSecond) * 1_000 + UP_MS);
  const up = answeredIn(folder);
  if (up < dialogs) throw new Error(`only ${up} of ${dialogs} calls are up`);
  return traffic;
}

const HELD_MS = 900_000;
const UP_MS = 3_000;

/** Dialogs are added, the rate stays: what a call costs must not change. */
export async function flat(run: SipRun, open: readonly Opener[]): Promise<readonly FlatRow[]> {
  const rows: FlatRow[] = [];
  for (const profile of run.profiles) {
    const parties = await opened(run, open, profile);
    const up = new Map<Party, SipTraffic[]>(parties.map((party) => [party, []]));
    let before = 0;
    for (const dialogs of run.dialogs) {
      // A B2BUA's far end is one SIPp on one address: it cannot hold and take turns as well.
      for (const party of parties)
        up.get(party)?.push(await holding(run, party, "answer", dialogs - before, HOLD_RATE));
      before = dialogs;
      await until(performance.now() + LINGER_MS); // the transactions of those calls are over
      for (let round = 0; round < run.rounds; round++)
        for (const party of parties) {
          const done = await step(run, party, profile, run.rates[0] ?? 100);
          tell(run, done);
          rows.push({ server: party.name, dialogs, step: done });
        }
    }
    for (const traffics of up.values()) for (const traffic of traffics) traffic.stop();
    await closed(run, parties);
  }
  return merged(rows, run.rounds);
}

/** Of several rounds the middle one, by what it cost. */
function merged(rows: readonly FlatRow[], rounds: number): readonly FlatRow[] {
  const kinds = [...new Set(rows.map(({ server, dialogs }) => `${server} ${dialogs}`))];
  return kinds.flatMap((kind) => {
    const same = rows.filter(({ server, dialogs }) => `${server} ${dialogs}` === kind);
    const sorted = same.toSorted((a, b) => a.step.serverCpuMsPerCall - b.step.serverCpuMsPerCall);
    const middle = sorted[Math.floor((rounds - 1) / 2)];
    return middle === undefined ? [] : [middle];
  });
}

/** 64·T1 and some more: RFC 3261 lets a transaction stand that long. */
const LINGER_MS = 35_000;

export async function memory(run: SipRun, open: readonly Opener[]): Promise<readonly MemoryRow[]> {
  const rows: MemoryRow[] = [];
  const [callsPerSecond = 500] = run.rates;
  for (const profile of run.profiles)
    for (const one of open) {
      const dialogs = run.dialogs[0] ?? 20_000;
      const [party] = await opened(run, [one], profile);
      if (party === undefined) continue;
      const at = async () => {
        await until(performance.now() + LINGER_MS);
        const state = await party.state(true);
        const live = state === undefined ? undefined : state.memory.heapUsed + state.memory.external;
        return { live, rss: look(new Map([["server", party.pids.server]])).processes.get("server")?.rssBytes ?? 0 };
      };
      const before = await at();
      run.say(`${party.name}, ${profile}: bringing up ${dialogs} calls`);
      const traffic = await holding(run, party, profile, dialogs, callsPerSecond);
      const after = await at();
      run.say(
        `${party.name}, ${profile}: ${(await party.dialogs()) ?? "?"} dialogs; live ${before.live} and ${after.live}`,
      );
      const legs = profile === "b2bua" ? 2 * dialogs : dialogs;
      const row = {
        ...{ server: party.name, profile, dialogs: legs },
        rssBytesPerDialog: (after.rss - before.rss) / legs,
        liveBytesPerDialog:
          after.live === undefined || before.live === undefined ? undefined : (after.live - before.live) / legs,
      };
      rows.push(row);
      traffic.stop();
      await closed(run, [party]);
    }
  return rows;
}

export interface Soaked {
  readonly calls: number;
  readonly successful: number;
  /** SIPp's reasons for the others. */
  readonly failures: Readonly<Record<string, number>>;
  readonly retransmissions: number;
  readonly seconds: number;
  readonly rssFirstBytes: number;
  readonly rssLastBytes: number;
  /** After a collection. */
  readonly liveFirstBytes: number;
  readonly liveLastBytes: number;
  readonly rssBytesPerCall: number;
  readonly samples: readonly { readonly calls: number; readonly rssBytes: number }[];
}

const SOAK_LOOK_MS = 10_000;

export async function soak(run: SipRun, open: Opener): Promise<Soaked> {
  const [profile = "answer"] = run.profiles;
  const [callsPerSecond = 400] = run.rates;
  const { soakCalls: calls, holdMs, far, folder } = run;
  const [party] = await opened(run, [open], profile);
  if (party === undefined) throw new Error("no server");
  const rss = () => look(new Map([["server", party.pids.server]])).processes.get("server")?.rssBytes ?? 0;
  const live = async () => {
    const state = await party.state(true);
    return state === undefined ? 0 : state.memory.heapUsed + state.memory.external;
  };
  const traffic = await startTraffic(party, { profile, callsPerSecond, calls, holdMs, far, folder });
  run.traffics.push(traffic);
  const samples: { calls: number; rssBytes: number }[] = [];
  const startedAtMs = performance.now();
  const lastsMs = (calls / callsPerSecond) * 1_000;
  const firstAtMs = startedAtMs + lastsMs / 10;
  let [rssFirstBytes, liveFirstBytes] = [0, 0];
  const over = traffic.results();
  let ended = false;
  void over.then(() => {
    ended = true;
  });
  const everyMs = Math.min(SOAK_LOOK_MS, lastsMs / 20);
  for (let atMs = startedAtMs; !ended; atMs += everyMs) {
    await Promise.race([until(atMs + everyMs), over]);
    const sofar = Math.min(calls, ((performance.now() - startedAtMs) / 1_000) * callsPerSecond);
    const sample = { calls: sofar, rssBytes: rss() };
    if (liveFirstBytes === 0 && performance.now() >= firstAtMs) {
      liveFirstBytes = await live();
      rssFirstBytes = sample.rssBytes;
    }
    samples.push(sample);
    run.say(`${Math.round(sofar)} of ${calls} calls; RSS ${(sample.rssBytes / 1_048_576).toFixed(1)} MiB`);
  }
  const { caller, farEnd } = await over;
  const seconds = (performance.now() - startedAtMs) / 1_000;
  await until(performance.now() + LINGER_MS);
  const later = samples.filter((one) => one.calls >= calls / 10);
  return {
    ...{ calls, successful: caller.successful, seconds, rssFirstBytes, liveFirstBytes, samples },
    failures: caller.failures,
    retransmissions: caller.retransmissions + (farEnd?.retransmissions ?? 0),
    rssLastBytes: samples.at(-1)?.rssBytes ?? 0,
    liveLastBytes: await live(),
    rssBytesPerCall: slope(later.map((one) => ({ x: one.calls, y: one.rssBytes }))),
  };
}

export async function sample(
  run: SipRun,
  open: Opener,
): Promise<{ readonly profile: CpuProfile; readonly step: SipStep }> {
  const [profile = "answer"] = run.profiles;
  const [party] = await opened(run, [open], profile);
  if (party === undefined) throw new Error("no server");
  let taken: CpuProfile | undefined;
  const lookMs = (run.seconds - run.warmUpSeconds - 1) * 1_000;
  const done = await step(run, party, profile, run.rates[0] ?? 300, {
    during: async () => {
      taken = await party.sampled(() => until(performance.now() + lookMs));
    },
  });
  if (taken === undefined) throw new Error("no profile was taken");
  return { profile: taken, step: done };
}
