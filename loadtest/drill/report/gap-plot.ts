// How long each stream was silent: a strip for each class, and below it the share of streams that had audio again after so long.

import type { CallReport, DrillReport } from "./drill-report.ts";
import { FLOWING_PACKETS_MIN, percentile } from "./judge.ts";
import { type Html, html, join, raw } from "./markup.ts";
import { axisTo, drawAxis } from "./plot-axis.ts";

const WIDTH = 990;
const LEFT = 150;
const RIGHT = 930;
const ROW = 30;
const TOP = 8;
const CDF_HEIGHT = 150;

export function gapPlot({ calls, classes, limits }: DrillReport): Html {
  const rows = classes
    .map(({ className, title }) => ({
      title,
      gaps: gapsIn(calls.filter((call) => call.className === className && call.notUp === undefined)),
    }))
    .filter(({ gaps }) => gaps.length > 0);
  const all = rows.flatMap(({ gaps }) => gaps);
  if (all.length === 0) return raw('<p class="quiet">No direction had audio before the fault.</p>');
  const finite = all.filter(Number.isFinite);
  const limitMs = Number(
    /≤ (\d+)/.exec(limits.find(({ name }) => name === "RTP gap p99")?.limit ?? "")?.[1] ?? Number.NaN,
  );
  const axis = axisTo(Math.max(100, ...finite, Number.isNaN(limitMs) ? 0 : limitMs * 1.1), LEFT, RIGHT);
  const bottom = TOP + rows.length * ROW;
  const cdfTop = bottom + 44;
  const cdfBottom = cdfTop + CDF_HEIGHT;
  const strips = rows.map(({ title, gaps }, at) => strip(title, gaps, TOP + at * ROW + ROW / 2, (ms) => axis.x(ms)));
  const limit = (y1: number, y2: number) =>
    Number.isNaN(limitMs)
      ? raw("")
      : html`<line class="limit" x1="${axis.x(limitMs)}" x2="${axis.x(limitMs)}" y1="${y1}" y2="${y2}"/>`;
  return html`<svg viewBox="0 0 ${WIDTH} ${cdfBottom + 30}" role="img" aria-label="RTP gap by class">
${drawAxis(axis, TOP, bottom)}${limit(TOP, bottom)}${join(strips)}
${drawAxis(axis, cdfTop, cdfBottom)}${limit(cdfTop, cdfBottom)}${cdf(all, axis.x, cdfTop, cdfBottom)}
<text class="q" x="${LEFT - 10}" y="${cdfTop + 8}" text-anchor="end">100 % of streams</text><text class="q" x="${LEFT - 10}" y="${cdfTop + CDF_HEIGHT / 2 + 4}" text-anchor="end">50 %</text><text class="q" x="${LEFT - 10}" y="${cdfBottom}" text-anchor="end">0 %</text>
<text class="q" x="${RIGHT}" y="${cdfBottom + 28}" text-anchor="end">longest time without a packet, ms${Number.isNaN(limitMs) ? "" : " (dashed: the limit for p99)"}</text>
</svg>`;
}

const gapsIn = (calls: readonly CallReport[]): number[] =>
  calls
    .flatMap(({ legs }) => legs)
    .filter(({ packetsBefore }) => packetsBefore >= FLOWING_PACKETS_MIN)
    .map(({ gapMs, probeGapMs }) => (gapMs === undefined ? probeGapMs : gapMs) ?? Number.POSITIVE_INFINITY);

function strip(title: string, gaps: readonly number[], y: number, x: (ms: number) => number): Html {
  const marks = gaps.filter(Number.isFinite).map((gap, at) => {
    // Points of the same place are spread over the height, always the same way.
    const off = ((at * 7) % 15) - 7;
    return html`<circle class="dot" cx="${x(gap).toFixed(1)}" cy="${y + off}" r="2.6"/>`;
  });
  const never = gaps.filter((gap) => !Number.isFinite(gap)).length;
  const bar = (share: number, name: string, half: number) => {
    const at = percentile(gaps, share);
    return Number.isFinite(at)
      ? html`<line class="${name}" x1="${x(at).toFixed(1)}" x2="${x(at).toFixed(1)}" y1="${y - half}" y2="${y + half}"/>`
      : raw("");
  };
  return html`<text x="${LEFT - 10}" y="${y + 4}" text-anchor="end">${title}</text>${join(marks)}${bar(0.5, "p50", 7)}${bar(0.99, "p99", 12)}${never === 0 ? "" : html`<text class="b" x="${RIGHT + 6}" y="${y + 4}">${never} never</text>`}`;
}

function cdf(gaps: readonly number[], x: (ms: number) => number, top: number, bottom: number): Html {
  const sorted = [...gaps].sort((a, b) => a - b);
  let path = `M${x(0).toFixed(1)},${bottom}`;
  for (const [at, gap] of sorted.entries()) {
    if (!Number.isFinite(gap)) break;
    const y = (share: number) => (bottom - share * (bottom - top)).toFixed(1);
    path += `L${x(gap).toFixed(1)},${y(at / sorted.length)}L${x(gap).toFixed(1)},${y((at + 1) / sorted.length)}`;
  }
  return html`<path class="line" d="${path}"/>`;
}
