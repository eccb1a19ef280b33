// One rate for some seconds against one server: SIPp calls (and is called), looks at /proc frame the warm-up and the rest.

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { holderOf } from "../../../cli/up/ports.ts";
import { eventually } from "../../demo/operator.ts";
import { type RunningSipp, type SippResult, startSipp } from "../../sipp/run-sipp.ts";
import { percentiles } from "../../sipp/sipp-statistics.ts";
import { look, usedBetween } from "../process-usage.ts";
import { until } from "../run-step.ts";
import { readTimedResponses } from "../timed-responses.ts";
import type { SipProfile, SipStep, StoreFigures } from "./figures.ts";
import { CALLER_HOST, FAR_HOST, freePort, type Party, type Stored } from "./parties.ts";

const SCENARIOS = join(import.meta.dirname, "scenarios");
const CALLER = "caller-measures-trying";
const FAR_END = "callee-answers-and-is-released";
const SOCKET_BUFFER_BYTES = 4_194_304;
/** What calls have to end after the last one began, before they count as failed. */
const TAIL_MS = 10_000;
const FAR_END_TAIL_MS = 2_000;
/** Response time 1 is INVITE to 100, 2 is INVITE to 200. */
const [TRYING, ANSWER] = [1, 2];

export interface TrafficPlan {
  readonly profile: SipProfile;
  readonly callsPerSecond: number;
  readonly calls: number;
  readonly holdMs: number;
  /** "127.40.0.3:40001" */
  readonly far: string;
  readonly folder: string;
}

/** SIPp on both sides. Whoever started it stops it. */
export interface SipTraffic {
  readonly caller: RunningSipp;
  readonly farEnd: RunningSipp | undefined;
  readonly startedAtMs: number;
  readonly pids: ReadonlyMap<string, number>;
  results(): Promise<{ readonly caller: SippResult; readonly farEnd: SippResult | undefined }>;
  stop(): void;
}

export async function startTraffic(party: Party, plan: TrafficPlan): Promise<SipTraffic> {
  const { callsPerSecond, calls, holdMs, folder, profile } = plan;
  const withinMs = (calls / callsPerSecond) * 1_000 + holdMs + TAIL_MS;
  const common = { calls, callsPerSecond, socketBufferBytes: SOCKET_BUFFER_BYTES, target: party.target };
  let farEnd: RunningSipp | undefined;
  if (profile === "b2bua") {
    const [localHost = "", port] = plan.far.split(":");
    farEnd = startSipp({
      ...common,
      ...{ scenario: join(SCENARIOS, `${FAR_END}.xml`), localHost, localPort: Number(port), calledNumber: "nobody" },
      ...{ folder: join(folder, "far"), withinMs: withinMs + FAR_END_TAIL_MS },
    });
    await eventually("the far end listens", 5_000, async () =>
      holderOf({ transport: "udp", host: localHost, port: Number(port), what: "" }),
    );
  }
  const caller = startSipp({
    ...common,
    ...{ scenario: join(SCENARIOS, `${CALLER}.xml`), localHost: CALLER_HOST, holdMs, withinMs, folder },
    localPort: await freePort("udp", CALLER_HOST),
    calledNumber: "service",
  });
  return {
    caller,
    farEnd,
    startedAtMs: performance.now(),
    pids: new Map([
      ["sipp caller", caller.pid],
      ...(farEnd === undefined ? [] : [["sipp far end", farEnd.pid] as const]),
    ]),
    async results() {
      const called = await caller.result;
      if (farEnd === undefined) return { caller: called, farEnd: undefined };
      // It ends by itself when it has seen every call; when it has not, these are what it saw.
      const timer = setTimeout(() => farEnd.stop(), FAR_END_TAIL_MS);
      const answered = await farEnd.result;
      clearTimeout(timer);
      return { caller: called, farEnd: answered };
    },
    stop() {
      caller.stop();
      farEnd?.stop();
    },
  };
}

export interface StepPlan {
  readonly profile: SipProfile;
  readonly callsPerSecond: number;
  readonly seconds: number;
  readonly warmUpSeconds: number;
  readonly holdMs: number;
  readonly far: string;
  readonly folder: string;
}

export interface StepWatch {
  /** To be stopped when the run is broken off. */
  started(traffic: SipTraffic): void;
  /** Called when the warm-up is over, and awaited: it lasts as long as it lasts. */
  during?(): Promise<void>;
}

export async function runSipStep(party: Party, plan: StepPlan, watch: StepWatch): Promise<SipStep> {
  const { callsPerSecond, seconds, warmUpSeconds, profile } = plan;
  const calls = Math.round(callsPerSecond * seconds);
  const traffic = await startTraffic(party, { ...plan, calls });
  watch.started(traffic);
  const pids = new Map<string, number>([
    ...Object.entries(party.pids).flatMap(([name, pid]) => (pid === undefined ? [] : [[name, pid] as const])),
    ...traffic.pids,
  ]);
  const { startedAtMs } = traffic;
  await until(startedAtMs + warmUpSeconds * 1_000);
  await party.state(false); // the warm-up's delays are not the step's
  const storedBefore = await party.stored();
  const from = look(pids);
  await watch.during?.();
  await until(startedAtMs + seconds * 1_000 - END_MS);
  const to = look(pids);
  const storedAfter = await party.stored();
  const state = await party.state(false);
  const { caller, farEnd } = await traffic.results();
  const used = usedBetween(from, to);
  const within = responsesOf(caller.folder).filter(
    ({ atMs }) => atMs >= from.atMs - startedAtMs && atMs < to.atMs - startedAtMs,
  );
  const timesOf = (kind: number | undefined) => within.filter((one) => one.kind === kind).map((one) => one.tookMs);
  const answers = timesOf(ANSWER);
  const cpuMs = (name: string) => used.cpuMs.get(name) ?? 0;
  const perCall = (name: string) => cpuMs(name) / Math.max(1, answers.length);
  return {
    server: party.name,
    profile,
    callsPerSecond,
    calls,
    successful: caller.successful,
    failed: caller.failed,
    failures: caller.failures,
    complaint: firstComplaint(caller.complaints),
    bridged: farEnd?.successful,
    retransmissions: caller.retransmissions + (farEnd?.retransmissions ?? 0),
    serverCpuMsPerCall: perCall("server"),
    applicationCpuMsPerCall: perCall("application"),
    store: storeFigures(storedBefore, storedAfter, perCall("store"), answers.length),
    trying: percentiles(timesOf(TRYING)),
    answer: percentiles(answers),
    cameAbout: answers.length / (used.wallMs / 1_000),
    sippShare: Math.max(cpuMs("sipp caller"), cpuMs("sipp far end")) / used.wallMs,
    busyShare: used.busyShare,
    restShare: used.restShare,
    stolenShare: used.stolenShare,
    rssBytes: to.processes.get("server")?.rssBytes ?? 0,
    loopDelay: state?.loopDelay,
  };
}

function storeFigures(
  before: Stored | undefined,
  after: Stored | undefined,
  cpuMs: number,
  calls: number,
): StoreFigures | undefined {
  if (before === undefined || after === undefined) return undefined;
  const per = (what: keyof Stored) => (after[what] - before[what]) / Math.max(1, calls);
  return { cpuMs, characters: per("characters"), fields: per("fields"), groups: per("groups"), waits: per("waits") };
}

/** Before SIPp's last call: the rate is still whole. */
const END_MS = 200;

/** The first status line that SIPp did not expect, for whoever has to find out why calls failed. */
const firstComplaint = (complaints: string): string =>
  /(?:unexpected|received)[\s\S]*?(SIP\/2\.0 \d{3}[^\r\n']*)/i.exec(complaints)?.[1] ?? "";

/** Calls of this traffic that have been answered so far. */
export const answeredIn = (folder: string): number => responsesOf(folder).filter(({ kind }) => kind === ANSWER).length;

function responsesOf(folder: string): readonly { kind: number; atMs: number; tookMs: number }[] {
  return readdirSync(folder)
    .filter((file) => file.startsWith(`${CALLER}_`) && file.endsWith("_rtt.csv"))
    .flatMap((file) => readTimedResponses(readFileSync(join(folder, file), "latin1")));
}

/** An address for the far end, kept for a whole run: the applications are told it once. */
export const farAddress = async (): Promise<string> => `${FAR_HOST}:${await freePort("udp", FAR_HOST)}`;
