import { type Html, html, join } from "./markup.ts";

/** A time axis in round steps: from 0 to at least `maxMs`. */
export interface Axis {
  readonly endMs: number;
  readonly stepMs: number;
  x(ms: number): number;
}

const STEPS_MS = [20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 60_000];

export function axisTo(maxMs: number, left: number, right: number): Axis {
  const stepMs = STEPS_MS.find((step) => maxMs / step <= 10) ?? 120_000;
  const endMs = Math.max(stepMs, Math.ceil(maxMs / stepMs) * stepMs);
  return { endMs, stepMs, x: (ms) => left + (Math.min(Math.max(ms, 0), endMs) / endMs) * (right - left) };
}

export function drawAxis(axis: Axis, top: number, bottom: number): Html {
  const ticks: Html[] = [];
  for (let at = 0; at <= axis.endMs; at += axis.stepMs) {
    const x = axis.x(at).toFixed(1);
    ticks.push(
      html`<line class="grid" x1="${x}" x2="${x}" y1="${top}" y2="${bottom}"/><text class="q" x="${x}" y="${bottom + 16}" text-anchor="middle">${at >= 10_000 ? `${at / 1_000} s` : at}</text>`,
    );
  }
  return join(ticks);
}
