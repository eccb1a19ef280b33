// The processes of a serving set: restarted in place when they die or their event loop does not turn.

import type { KeeperEvent, ProcessName, ProcessState, Running } from "./keeper-words.ts";
import type { Role } from "./owner-record.ts";
import type { Work } from "./work.ts";

export function runningFrom(work: Work): Running {
  const starting: ProcessState = { name: "starting", sinceMs: work.now };
  return {
    processes: Object.fromEntries(work.settings.processes.map((process) => [process, starting])),
    deaths: [],
    pingAtMs: work.now + work.settings.timing.pingEveryMs,
    failing: false,
    complete: false,
  };
}

const runningOf = (work: Work, role: Role): Running | undefined => {
  const { tenure } = work.of(role);
  return tenure.name === "serving" ? tenure.running : undefined;
};

function change(work: Work, role: Role, running: Running): void {
  const { tenure } = work.of(role);
  if (tenure.name === "serving") work.change(role, { tenure: { ...tenure, running } });
}

const withProcess = (running: Running, process: ProcessName, state: ProcessState): Running => ({
  ...running,
  processes: { ...running.processes, [process]: state },
});

export function processServing(work: Work, role: Role, process: ProcessName): void {
  const running = runningOf(work, role);
  if (running?.processes[process]?.name !== "starting") return;
  const settlesAtMs = work.now + work.settings.timing.settleMs;
  const next = withProcess(running, process, { name: "serving", pongAtMs: work.now, settlesAtMs });
  const complete = Object.values(next.processes).every(({ name }) => name === "serving");
  if (complete && !running.complete) {
    const { service, tenure } = work.of(role);
    const held = tenure.name === "serving" ? tenure.held : undefined;
    const afterMs = Math.round(work.now - (held?.beganAtMs ?? work.now));
    work.note("info", "service.serving", { service, epoch: held?.epoch ?? 0, afterMs });
  }
  change(work, role, { ...next, complete: running.complete || complete });
}

export function pong(work: Work, role: Role, process: ProcessName): void {
  const running = runningOf(work, role);
  const state = running?.processes[process];
  if (running === undefined || state?.name !== "serving") return;
  change(work, role, withProcess(running, process, { ...state, pongAtMs: work.now }));
}

/** @returns true once it has died so often that the service is better off at the twin's */
export function processDied(
  work: Work,
  role: Role,
  { service, process }: Pick<Extract<KeeperEvent, { kind: "process-died" }>, "service" | "process">,
): boolean {
  const running = runningOf(work, role);
  const before = running?.processes[process];
  if (running === undefined || before === undefined || before.name === "dead") return false;
  const { restart, deathWindowMs, deathsMax } = work.settings.timing;
  const deaths = [...running.deaths, { process, atMs: work.now }]
    .filter(({ atMs }) => work.now - atMs < deathWindowMs)
    .slice(-deathsMax);
  // The first of each at once: a spare waits for it
  const earlier = deaths.filter((death) => death.process === process).length - 1;
  const waitMs =
    earlier === 0 ? 0 : Math.min(restart.waitMsMax, restart.firstMs * restart.factor ** Math.max(0, earlier - 1));
  work.note("error", "process.died", { service, process, deaths: deaths.length, restartInMs: waitMs });
  const failing = deaths.length >= deathsMax;
  if (failing && !running.failing) work.note("error", "service.failing", { service, process });
  change(work, role, {
    ...withProcess(running, process, { name: "dead", diedAtMs: work.now, startAtMs: work.now + waitMs }),
    deaths,
    failing,
  });
  return failing;
}

export function keepRunning(work: Work, role: Role): void {
  const { timing } = work.settings;
  const { service, tenure } = work.of(role);
  if (tenure.name !== "serving") return;
  let running = tenure.running;
  for (const process of work.settings.processes) {
    const state = running.processes[process];
    if (state === undefined) continue;
    const kill = (event: "process.hung" | "process.slow-start") => {
      work.note("error", event, { service, process });
      work.do({ kind: "kill-process", service, process });
      running = withProcess(running, process, { name: "dying", sinceMs: work.now });
    };
    if (state.name === "dead" && work.now >= state.startAtMs) {
      const { epoch, leaseUntilMs: untilMs } = tenure.held;
      work.note("info", "process.restarting", { service, process });
      work.do({ kind: "start-process", service, process, epoch, untilMs, diedAtMs: state.diedAtMs });
      running = withProcess(running, process, { name: "starting", sinceMs: work.now });
    } else if (state.name === "serving" && work.now - state.pongAtMs >= patienceMs(work, state)) kill("process.hung");
    else if (state.name === "starting" && work.now - state.sinceMs >= timing.startWithinMs) kill("process.slow-start");
    else if (state.name === "dying" && work.now - state.sinceMs >= timing.callWithinMs) {
      work.do({ kind: "kill-process", service, process });
      running = withProcess(running, process, { name: "dying", sinceMs: work.now });
    }
  }
  if (work.now >= running.pingAtMs) {
    work.do({ kind: "ping", service });
    running = { ...running, pingAtMs: work.now + timing.pingEveryMs };
  }
  change(work, role, running);
}

const patienceMs = (
  { now, settings }: Work,
  { settlesAtMs = 0 }: Extract<ProcessState, { name: "serving" }>,
): number => (now < settlesAtMs ? settings.timing.firstPongWithinMs : settings.timing.pongWithinMs);

/** We were stopped ourselves: nobody is late by that time. */
export function forgivePause(work: Work, pausedMs: number): void {
  for (const role of work.roles()) {
    const running = runningOf(work, role);
    if (running === undefined) continue;
    const later = (state: ProcessState): ProcessState =>
      state.name === "serving"
        ? { ...state, pongAtMs: state.pongAtMs + pausedMs }
        : state.name === "starting"
          ? { ...state, sinceMs: state.sinceMs + pausedMs }
          : state;
    const processes = Object.fromEntries(
      Object.entries(running.processes).map(([process, state]) => [process, later(state)]),
    );
    change(work, role, { ...running, processes });
  }
}
