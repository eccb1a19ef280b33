// The report for a terminal: verdict first, then limits, classes, what went wrong, and where everything lies.

import type { Paint } from "../../../cli/terminal/colour.ts";
import { table } from "../../../cli/terminal/table.ts";
import type { ClassReport, DrillReport, Spread } from "./drill-report.ts";

const REASONS_MAX = 8;
const TIMELINE_MAX = 24;

export function textReport(report: DrillReport, paint: Paint): string {
  const parts = [
    head(report, paint),
    report.limits.length === 0 ? "" : limits(report, paint),
    classTable(report, paint),
    figures(report),
    timeline(report),
    troubles(report, paint),
  ];
  return `${parts.filter((part) => part !== "").join("\n\n")}\n`;
}

export const showVerdict = ({ verdict }: DrillReport, paint: Paint): string =>
  verdict === "passed" ? paint.green("PASSED") : verdict === "failed" ? paint.red("FAILED") : paint.yellow("ABORTED");

function head(report: DrillReport, paint: Paint): string {
  const { drill, system, network, machine, lastedMs, startedAtUnixMs, aborted } = report;
  return [
    `${paint.bold(drill)}  ${showVerdict(report, paint)}${aborted === undefined ? "" : `: ${aborted}`}`,
    report.purpose,
    `${system} on ${network}, service ${report.service}; ${new Date(startedAtUnixMs).toISOString()}, ${seconds(lastedMs)}`,
    `${machine.cpus} × ${machine.model}, Linux ${machine.kernel}, Node ${machine.node}, load ${machine.loadAverage}`,
  ].join("\n");
}

function limits({ limits: verdicts }: DrillReport, paint: Paint): string {
  const rows = verdicts.map(({ name, limit, measured, ok }) => [ok ? "ok" : "NOT MET", name, limit, measured]);
  const [first = "", ...rest] = table(["", "limit", "wanted", "measured"], rows).split("\n");
  return [paint.dim(first), ...rest.map((line) => (line.startsWith("NOT MET") ? paint.red(line) : line))].join("\n");
}

const ms = (value: number): string => (Number.isFinite(value) ? `${Math.round(value)}` : "never");
const spread = (gap: Spread | undefined): readonly string[] =>
  gap === undefined ? ["-", "-", "-", "-"] : [String(gap.count), ms(gap.p50), ms(gap.p99), ms(gap.max)];

function classTable({ classes, gap, gapReanchored }: DrillReport, paint: Paint): string {
  const row = (one: ClassReport): string[] =>
    one.cannot === undefined
      ? [
          one.title,
          `${one.up}/${one.planned}`,
          one.up === 0 ? "-" : `${Math.round(one.survivalPercent * 10) / 10} %`,
          `${one.exercisedWell}/${one.exercised}`,
          String(one.unasked),
          String(one.reanchored),
          ...spread(one.gap),
        ]
      : [one.title, "cannot", "", "", "", "", "", "", "", ""];
  const rows = [...classes.map(row), ["all", "", "", "", "", "", ...spread(gap)]];
  if (gapReanchored !== undefined) rows.push(["anchored anew, apart", "", "", "", "", "", ...spread(gapReanchored)]);
  const columns = [
    "class",
    "up",
    "survived",
    "exercised",
    "messages",
    "re-anchored",
    "streams",
    "gap p50",
    "p99",
    "max ms",
  ];
  const [first = "", ...rest] = table(columns, rows).split("\n");
  return [paint.dim(first), ...rest].join("\n");
}

function figures(report: DrillReport): string {
  const { probes, milestones, wire, records, leftovers, setUps, ownStallMs } = report;
  const lines = [
    `detected after        ${at(milestones.detected)}`,
    `first 200 in a dialog ${probes.firstInDialogMs === null ? "never" : `${probes.firstInDialogMs} ms`} (${probes.sent.length} calls asked, one each)`,
    `contact records       ${records === undefined ? "none kept" : `${records.one} of ${records.wanted} calls have exactly one, ${records.none} none, ${records.several} several`}`,
    `left over             ${
      Object.entries(leftovers.counts)
        .map(([what, count]) => `${what} ${count}`)
        .join(", ") || "nobody answered"
    }${leftovers.unknown.length === 0 ? "" : `; no answer: ${leftovers.unknown.join(", ")}`}`,
    `SIP capture           ${wire.sip === undefined ? "none (tcpdump is not there, or may not)" : `${wire.sip.messages} messages, ${wire.sip.dropped} packets dropped, ${wire.strange} after the fault to no call of the mix`}`,
    `audio capture         ${wire.media === undefined ? "none: gaps are the party processes' own" : `${wire.media.packets} packets, ${wire.media.dropped} dropped; gaps are by the kernel's time`}`,
    `own stalls            ${ownStallMs.length === 0 ? "-" : `${ownStallMs.join(", ")} ms at most in each party process`}; nothing is subtracted`,
  ];
  if (setUps !== undefined) {
    const failed = Object.entries(setUps.failed).map(([status, count]) => `${count} × ${status}`);
    lines.push(
      `new calls             ${setUps.answered} of ${setUps.offered} answered${failed.length === 0 ? "" : `; failed: ${failed.join(", ")}`}`,
      `  under way at fault  ${setUps.inFlight.calls}: ${setUps.inFlight.answered} answered (${setUps.inFlight.rescued} by a copy of the INVITE), ${setUps.inFlight.failed} failed; ${setUps.failedElsewhere} failed that were not`,
    );
  }
  return lines.join("\n");
}

const at = (value: number | undefined): string => (value === undefined ? "not said" : `${value} ms`);

function timeline({ timeline: entries, fault, milestones }: DrillReport): string {
  const done = fault.steps.map(({ afterMs, what, failure }) => [
    `${Math.round(afterMs)}`,
    "drill",
    failure === undefined ? what : `${what}: ${failure}`,
  ]);
  const said = entries
    .filter(
      ({ milestone, where }) =>
        milestone !== undefined || Object.keys(milestones).length === 0 || where.endsWith("keeper"),
    )
    .slice(0, TIMELINE_MAX)
    .map(({ afterMs, where, what, detail }) => [`${Math.round(afterMs)}`, where, `${what} ${detail}`.slice(0, 110)]);
  const rows = [...done, ...said].sort((a, b) => Number(a[0]) - Number(b[0]));
  return rows.length === 0 ? "" : table(["after ms", "where", "what"], rows);
}

function troubles({ calls, classes, wire, expectedLoss }: DrillReport, paint: Paint): string {
  const parts: string[] = [];
  const list = (title: string, reasons: readonly string[]) => {
    if (reasons.length === 0) return;
    const counted = new Map<string, number>();
    for (const reason of reasons) counted.set(reason, (counted.get(reason) ?? 0) + 1);
    const lines = [...counted].sort((a, b) => b[1] - a[1]).map(([reason, count]) => `  ${count} × ${reason}`);
    parts.push(
      [paint.bold(title), ...lines.slice(0, REASONS_MAX), ...(lines.length > REASONS_MAX ? ["  …"] : [])].join("\n"),
    );
  };
  list(
    "cannot",
    classes.flatMap(({ title, cannot }) => (cannot === undefined ? [] : [`${title}: ${cannot}`])),
  );
  list(
    "not up",
    calls.flatMap(({ className, notUp }) => (notUp === undefined ? [] : [`${className}: ${notUp}`])),
  );
  list(
    "lost",
    calls.flatMap(({ className, lostBecause, notUp }) =>
      lostBecause === undefined || notUp !== undefined ? [] : [`${className}: ${lostBecause}`],
    ),
  );
  list(
    "exercises that failed",
    calls.flatMap(({ className, exercise, exerciseFailure }) =>
      exerciseFailure === undefined ? [] : [`${className}, ${exercise}: ${exerciseFailure}`],
    ),
  );
  list(
    "messages nobody caused",
    wire.unasked.map(({ className, summary }) => `${className}: ${summary}`),
  );
  for (const { classes: names, because } of expectedLoss)
    parts.push(`${paint.bold("loss that is expected")} (${names.join(", ")}): ${because}`);
  return parts.join("\n");
}

const seconds = (value: number): string => `${Math.round(value / 100) / 10} s`;
