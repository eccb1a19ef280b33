// The tables of a run, for people. Pure.

import type { Paint } from "../../../cli/terminal/colour.ts";
import { cell, grid, percent } from "../report.ts";
import { judge, type SipProfile, type SipStep, type StoreFigures, type Summary, summarise } from "./figures.ts";

/** Ours may cost this many times what the C++ server costs. */
export const RATIO_MAX = 1.5;

const ms = (value: number | undefined): string =>
  value === undefined || Number.isNaN(value) ? "-" : value >= 100 ? value.toFixed(0) : value.toFixed(2);
const mib = (bytes: number): string => (Number.isNaN(bytes) ? "-" : (bytes / 1_048_576).toFixed(0));

/** One line of progress. */
export function showSipStep(step: SipStep): string {
  const { faults, spoilt } = judge(step);
  const { serverCpuMsPerCall, applicationCpuMsPerCall, trying, retransmissions, sippShare, restShare, store } = step;
  const said = [...faults, ...(spoilt === undefined ? [] : [`void: ${spoilt}`])];
  if (retransmissions > 0) said.push(`${retransmissions} retransmissions`);
  const figures = [
    `server ${ms(serverCpuMsPerCall)}, application ${ms(applicationCpuMsPerCall)} CPU-ms per call`,
    `100 after ${ms(trying?.p50Ms)}/${ms(trying?.p99Ms)} ms, 200 after ${ms(step.answer?.p50Ms)}/${ms(step.answer?.p99Ms)} ms`,
    ...(store === undefined ? [] : [storeText(store)]),
    `SIPp ${percent(sippShare)}, others ${percent(restShare)}`,
  ];
  return [...figures, ...said].join("; ");
}

const storeText = ({ cpuMs, characters, fields, groups, waits }: StoreFigures): string =>
  `Redis ${ms(cpuMs)} CPU-ms, ${(characters / 1_024).toFixed(1)} KiB in ${fields.toFixed(1)} records and ${groups.toFixed(1)} groups, ${waits.toFixed(1)} waits per call`;

const RATES_HEAD = [
  ...["profile", "calls/s", "server", "CPU-ms/call", "ratio", "app", "ratio"],
  ...["100: p50 ms", "p99 ms", "loop p99 ms", "failed", "retr", "of", "RSS MiB", "SIPp", "cores"],
];

export interface Compared {
  readonly profile: SipProfile;
  readonly callsPerSecond: number;
  readonly servers: readonly Summary[];
  /** Ours over the C++ server's CPU per call; undefined when only one was measured. */
  readonly ratio: number | undefined;
  readonly applicationRatio: number | undefined;
}

export function compare(steps: readonly SipStep[], names: readonly string[]): readonly Compared[] {
  const kinds = [...new Set(steps.map(({ profile, callsPerSecond }) => `${profile} ${callsPerSecond}`))];
  return kinds.map((kind) => {
    const [profile, rate] = kind.split(" ") as [SipProfile, string];
    const same = steps.filter((step) => step.profile === profile && step.callsPerSecond === Number(rate));
    const servers = names.map((name) => summarise(name, same));
    const [ours, theirs] = servers;
    const over = (value: (summary: Summary) => number) =>
      ours === undefined || theirs === undefined ? undefined : value(ours) / value(theirs);
    return {
      profile,
      callsPerSecond: Number(rate),
      servers,
      ratio: over((summary) => summary.serverCpuMsPerCall),
      applicationRatio: over((summary) => summary.applicationCpuMsPerCall),
    };
  });
}

/** Medians over the rounds. CPU-ms per call: user and system of the process. Shares: SIPp's of one core, cores of all. */
export function ratesTable(compared: readonly Compared[], paint: Paint): string {
  const rows = compared.flatMap(({ profile, callsPerSecond, servers, ratio, applicationRatio }) =>
    servers.map((summary, at) => {
      const isOurs = at === 0;
      const colour = ratio === undefined ? "plain" : ratio <= 1 ? "good" : ratio <= RATIO_MAX ? "warn" : "bad";
      return [
        cell(isOurs ? profile : "", "head"),
        cell(isOurs ? String(callsPerSecond) : "", "head"),
        cell(summary.server, isOurs ? "plain" : "dim"),
        cell(ms(summary.serverCpuMsPerCall), "head"),
        cell(isOurs && ratio !== undefined ? `${ratio.toFixed(2)} x` : "", colour),
        cell(ms(summary.applicationCpuMsPerCall)),
        cell(isOurs && applicationRatio !== undefined ? `${applicationRatio.toFixed(2)} x` : "", "dim"),
        cell(ms(summary.tryingP50Ms)),
        cell(ms(summary.tryingP99Ms)),
        cell(ms(summary.loopP99Ms)),
        cell(String(summary.failed), summary.failed > 0 ? "bad" : "good"),
        cell(String(summary.retransmissions), summary.retransmissions > 0 ? "warn" : "plain"),
        cell(String(summary.calls), "dim"),
        cell(mib(summary.rssBytes)),
        cell(Number.isNaN(summary.sippShare) ? "void" : percent(summary.sippShare), summary.spoilt > 0 ? "bad" : "dim"),
        cell(Number.isNaN(summary.busyShare) ? "-" : percent(summary.busyShare), "dim"),
      ];
    }),
  );
  return grid([RATES_HEAD.map((text) => cell(text, "head")), ...rows], paint);
}

export interface FlatRow {
  readonly server: string;
  readonly dialogs: number;
  readonly step: SipStep;
}

/** CPU per call while that many dialogs stand idle, against the first row of the same server. */
export function flatTable(rows: readonly FlatRow[], paint: Paint): string {
  const head = ["server", "dialogs", "calls/s", "CPU-ms/call", "to the first", "RSS MiB", "failed"];
  return grid(
    [
      head.map((text) => cell(text, "head")),
      ...rows.map(({ server, dialogs, step }) => {
        const first = rows.find((row) => row.server === server)?.step.serverCpuMsPerCall ?? Number.NaN;
        const change = step.serverCpuMsPerCall / first - 1;
        const failed = step.calls - step.successful;
        return [
          cell(server),
          cell(String(dialogs), "head"),
          cell(String(step.callsPerSecond)),
          cell(ms(step.serverCpuMsPerCall), "head"),
          cell(`${change >= 0 ? "+" : ""}${(change * 100).toFixed(0)} %`, Math.abs(change) <= 0.1 ? "good" : "bad"),
          cell(mib(step.rssBytes)),
          cell(String(failed), failed > 0 ? "bad" : "good"),
        ];
      }),
    ],
    paint,
  );
}

export interface MemoryRow {
  readonly server: string;
  readonly profile: SipProfile;
  readonly dialogs: number;
  readonly rssBytesPerDialog: number;
  /** On the heap and outside of it on its behalf, after a collection; undefined for a server that is not ours. */
  readonly liveBytesPerDialog: number | undefined;
}

export function memoryTable(rows: readonly MemoryRow[], paint: Paint): string {
  const kib = (bytes: number | undefined) => (bytes === undefined ? "-" : (bytes / 1_024).toFixed(2));
  const head = ["server", "profile", "dialogs", "RSS KiB/dialog", "live KiB/dialog"];
  return grid(
    [
      head.map((text) => cell(text, "head")),
      ...rows.map((row) => [
        cell(row.server),
        cell(row.profile),
        cell(String(row.dialogs)),
        cell(kib(row.rssBytesPerDialog), "head"),
        cell(kib(row.liveBytesPerDialog)),
      ]),
    ],
    paint,
  );
}
