// The fault and what followed, on one axis: done by the drill, said by the system, asked inside dialogs, audio back.

import type { DrillReport } from "./drill-report.ts";
import { FLOWING_PACKETS_MIN } from "./judge.ts";
import { type Html, html, join } from "./markup.ts";
import { axisTo, drawAxis } from "./plot-axis.ts";

const WIDTH = 990;
const LEFT = 150;
const RIGHT = 930;
const ROW = 22;
const TOP = 8;
const PROBES_MAX = 40;

export function timelinePlot(report: DrillReport): Html {
  const { fault, milestones, probes, calls } = report;
  const named = Object.entries(milestones).sort((a, b) => a[1] - b[1]);
  const back = calls
    .filter(({ survived }) => survived)
    .flatMap(({ legs }) => legs)
    .filter(({ packetsBefore, backAfterMs }) => packetsBefore >= FLOWING_PACKETS_MIN && typeof backAfterMs === "number")
    .map(({ backAfterMs }) => backAfterMs ?? 0);
  const asked = probes.sent.slice(0, PROBES_MAX);
  const answered = asked.flatMap(({ okAfterMs }) => (okAfterMs === null ? [] : [okAfterMs]));
  const steps = fault.steps.filter(({ afterMs }) => afterMs >= 0);
  const latest = Math.max(
    500,
    ...named.map(([, at]) => at),
    ...back,
    ...answered,
    ...steps.map(({ afterMs }) => afterMs),
  );
  const axis = axisTo(Math.min(latest * 1.08, 60_000), LEFT, RIGHT);
  const rows: Html[] = [];
  let y = TOP + ROW / 2;
  const label = (text: string, shown = true) =>
    shown ? html`<text x="${LEFT - 10}" y="${y + 4}" text-anchor="end">${text}</text>` : "";
  for (const { afterMs, what, failure } of fault.steps) {
    const x = axis.x(afterMs).toFixed(1);
    const words = `${what}${failure === undefined ? "" : `: ${failure}`}${afterMs < 0 ? ` (${Math.round(-afterMs)} ms before)` : ""}`;
    rows.push(
      html`${label("the drill", afterMs === fault.steps[0]?.afterMs)}<line class="fault" x1="${x}" x2="${x}" y1="${y - 8}" y2="${y + 8}"/><text x="${Number(x) + 6}" y="${y + 4}">${words}</text>`,
    );
    y += ROW;
  }
  for (const [at, [name, afterMs]] of named.entries()) {
    const x = axis.x(afterMs);
    const isRight = x > RIGHT - 200;
    rows.push(
      html`${label("the system", at === 0)}<circle class="dot" cx="${x.toFixed(1)}" cy="${y}" r="4"/><text x="${(isRight ? x - 8 : x + 8).toFixed(1)}" y="${y + 4}" text-anchor="${isRight ? "end" : "start"}">${name}, ${Math.round(afterMs)} ms</text>`,
    );
    y += ROW;
  }
  for (const [at, { afterMs, okAfterMs, failure }] of asked.entries()) {
    const x1 = axis.x(afterMs).toFixed(1);
    rows.push(
      html`${label("200 in a dialog", at === 0)}${
        okAfterMs === null
          ? html`<text class="b" x="${x1}" y="${y + 3}">× ${failure ?? "no 200"}</text>`
          : html`<line class="wait" x1="${x1}" x2="${axis.x(okAfterMs).toFixed(1)}" y1="${y}" y2="${y}"/><circle class="dot" cx="${axis.x(okAfterMs).toFixed(1)}" cy="${y}" r="3"/>`
      }`,
    );
    y += 9;
  }
  if (asked.length > 0) y += ROW - 9;
  if (back.length > 0) {
    rows.push(
      html`${label("audio back")}${join(back.map((ms) => html`<line class="p50" stroke-opacity="0.35" x1="${axis.x(ms).toFixed(1)}" x2="${axis.x(ms).toFixed(1)}" y1="${y - 7}" y2="${y + 7}"/>`))}`,
    );
    y += ROW;
  }
  return html`<svg viewBox="0 0 ${WIDTH} ${y + 24}" role="img" aria-label="timeline of the fault">${drawAxis(axis, TOP, y)}${join(rows)}<text class="q" x="${RIGHT}" y="${y + 16}" text-anchor="start" dx="14">ms</text></svg>`;
}
