// The tables of a run, for people. Pure.

import type { Paint } from "../../cli/terminal/colour.ts";
import { type Held, HOST_PARTS, hostSum, type PerPart, type Step } from "./measurements.ts";
import type { SelfTimes } from "./self-times.ts";
import { judgeStep, type Verdict } from "./verdict.ts";

export type Colour = "plain" | "good" | "bad" | "warn" | "dim" | "head";
export type Cell = readonly [text: string, colour: Colour];

export const cell = (text: string, colour: Colour = "plain"): Cell => [text, colour];

/** Numbers stand to the right; the widest cell of a column makes its width. */
export function grid(rows: readonly (readonly Cell[])[], paint: Paint): string {
  const widths = (rows[0] ?? []).map((_, at) => Math.max(...rows.map((row) => row[at]?.[0].length ?? 0)));
  return rows
    .map((row) => row.map(([text, colour], at) => painted(text.padStart(widths[at] ?? 0), colour, paint)).join("  "))
    .join("\n");
}

function painted(text: string, colour: Colour, paint: Paint): string {
  switch (colour) {
    case "good":
      return paint.green(text);
    case "bad":
      return paint.red(text);
    case "warn":
      return paint.yellow(text);
    case "dim":
      return paint.dim(text);
    case "head":
      return paint.bold(text);
    case "plain":
      return text;
  }
}

export const percent = (share: number): string => `${Math.round(share * 100)} %`;
const ms = (value: number | undefined): string =>
  value === undefined ? "-" : value >= 100 ? value.toFixed(0) : value.toFixed(value >= 10 ? 1 : 2);
const wholeMs = (value: number | undefined): string => (value === undefined ? "-" : value.toFixed(0));

const STEP_HEAD = [
  ...["calls/s", "calls", "failed", "retr", "p50 ms", "p99 ms"],
  ...["sip-server", "pop", "worker", "rtpengine", "host"],
  ...["control", "redis"],
  ...["SIPp", "cores", "rest"],
  ...["warm-up host", "p99"],
];

/** p50 and p99: INVITE to 200. From sip-server to redis: CPU-ms per call. Shares: SIPp's of one core, the others' of all. */
export function stepTable(steps: readonly Step[], paint: Paint): string {
  return grid([STEP_HEAD.map((text) => cell(text, "head")), ...steps.map(stepRow)], paint);
}

function stepRow(step: Step): readonly Cell[] {
  const { steady, warmUp, retransmissions } = step;
  const { spoilt, cores } = judgeStep(step);
  const failed = step.calls - step.successful;
  const cpu = steady.cpuMsPerCall;
  return [
    cell(String(step.callsPerSecond), "head"),
    cell(String(step.calls)),
    cell(String(failed), failed > 0 ? "bad" : "good"),
    cell(String(retransmissions), retransmissions > 0 ? "warn" : "plain"),
    cell(wholeMs(steady.setUp?.p50Ms)),
    cell(wholeMs(steady.setUp?.p99Ms)),
    ...HOST_PARTS.map((part) => cell(ms(cpu[part]))),
    cell(ms(hostSum(cpu)), "head"),
    cell(ms(cpu["control-plane"]), "dim"),
    cell(ms(cpu.redis), "dim"),
    cell(percent(steady.sippShare), spoilt === undefined ? "plain" : "bad"),
    cell(percent(steady.busyShare), cores === undefined ? "plain" : "warn"),
    cell(percent(steady.restShare), "dim"),
    cell(ms(hostSum(warmUp.cpuMsPerCall)), "dim"),
    cell(wholeMs(warmUp.setUp?.p99Ms), "dim"),
  ];
}

/** What is wrong with a step, or explains it, for the progress line. */
export function showStep(step: Step): string {
  const { faults, spoilt, cores } = judgeStep(step);
  const { setUp, cpuMsPerCall, stolenShare } = step.steady;
  const said = [...faults, ...[spoilt, cores].filter((text) => text !== undefined)];
  if (stolenShare > 0.03) said.push(`${percent(stolenShare)} of the machine went to other guests`);
  const figures = `set-up ${wholeMs(setUp?.p50Ms)}/${wholeMs(setUp?.p99Ms)} ms, host ${ms(hostSum(cpuMsPerCall))} CPU-ms per call`;
  return said.length === 0 ? figures : `${figures}; ${said.join("; ")}`;
}

const HELD_PARTS = [...HOST_PARTS, "redis", "control-plane"] as const;
const kib = (bytes: number | undefined): string => (bytes === undefined ? "-" : (bytes / 1_024).toFixed(1));
const mib = (bytes: number): string => (bytes / 1_048_576).toFixed(1);

export function heldTable({ calls, up, parts, cpuMsPerCallSecond }: Held, paint: Paint): string {
  const rows = HELD_PARTS.map((part) => [
    cell(part, "head"),
    cell(mib(parts[part].rssBeforeBytes)),
    cell(mib(parts[part].rssBytes)),
    cell(kib(parts[part].rssBytesPerCall), "head"),
    cell(kib(parts[part].liveBytesPerCall)),
    cell(ms(cpuMsPerCallSecond[part])),
  ]);
  const head = [
    "process",
    "RSS MiB, 0 calls",
    `${up} calls`,
    "RSS KiB/call",
    "live KiB/call",
    "CPU-ms per call-second",
  ];
  const table = grid([head.map((text) => cell(text, "head")), ...rows], paint);
  return up === calls ? table : `${table}\n${paint.red(`only ${up} of ${calls} calls were up`)}`;
}

export const idleLine = (idle: PerPart): string =>
  `idle, CPU-ms per second: ${Object.entries(idle)
    .map(([part, value]) => `${part} ${value.toFixed(1)}`)
    .join(", ")}`;

export function verdictLine({ worked, line }: Verdict, paint: Paint): string {
  return worked ? paint.green(line) : paint.red(line);
}

export function selfTimeTable(name: string, times: SelfTimes, file: string, paint: Paint): string {
  const rows = (list: SelfTimes["functions"], top: number) =>
    list.slice(0, top).map(({ name, share }) => `  ${`${(share * 100).toFixed(1)} %`.padStart(7)}  ${name}`);
  const busy = times.wallMs === 0 ? 0 : times.busyMs / times.wallMs;
  return [
    paint.bold(`${name}: busy ${percent(busy)} of a core, self time`),
    ...rows(times.places, 16),
    paint.bold(`${name}: by function`),
    ...rows(times.functions, 24),
    paint.dim(`the whole profile: ${file}`),
    "",
  ].join("\n");
}
