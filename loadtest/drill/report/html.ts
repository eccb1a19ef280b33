// The report as one page that needs nothing else: verdict and figures, the fault's timeline, how long audio was away in each class, and
// every list that a person looks for next. No script; it prints, and reads in the dark.

import type { CallReport, ClassReport, DrillReport, Spread } from "./drill-report.ts";
import { gapPlot } from "./gap-plot.ts";
import { FLOWING_PACKETS_MIN } from "./judge.ts";
import { escapeText, type Html, html, join, raw } from "./markup.ts";
import { PAGE_STYLE } from "./page-style.ts";
import { timelinePlot } from "./timeline-plot.ts";

const REASONS_MAX = 12;
const LOG_MAX = 200;
const MESSAGES_MAX = 60;

export function htmlReport(report: DrillReport): string {
  const body = join([
    header(report),
    figures(report),
    limits(report),
    section(
      "What happened when",
      timelinePlot(report),
      "Moments after the fault, in milliseconds: what was done, what the system said, when calls inside their dialogs were answered, when audio was back.",
    ),
    section("How long audio was away", gapPlot(report), gapWords(report)),
    section("Classes", classTable(report)),
    newCalls(report),
    section("What went wrong", troubles(report)),
    messages(report),
    log(report),
    footer(report),
  ]);
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeText(report.drill)}: ${report.verdict}</title>
<style>${PAGE_STYLE}</style>
</head>
<body>
<main>
${body.text}
</main>
</body>
</html>
`;
}

const ms = (value: number | null | undefined): string =>
  value === undefined
    ? "–"
    : value === null || !Number.isFinite(value)
      ? "never"
      : `${Math.round(value).toLocaleString("en")} ms`;
const percent = (value: number): string => `${Math.round(value * 10) / 10} %`;

function section(title: string, content: Html, words = ""): Html {
  return html`<section><h2>${title}</h2>${words === "" ? "" : html`<p class="quiet">${words}</p>`}${content}</section>`;
}

function header(report: DrillReport): Html {
  const { drill, verdict, purpose, system, network, service, startedAtUnixMs, lastedMs, machine, aborted } = report;
  return html`<header>
<p class="over">Tollgate drill</p>
<h1>${drill} <span class="verdict ${verdict}">${verdict}</span></h1>
${aborted === undefined ? "" : html`<p class="bad">Broken off: ${aborted}</p>`}
<p>${purpose}</p>
<p class="quiet">${system} on ${network}, service ${service} · ${new Date(startedAtUnixMs).toISOString()} · ${Math.round(lastedMs / 1_000)} s · ${machine.cpus} × ${machine.model}, Linux ${machine.kernel}, Node ${machine.node}, load ${machine.loadAverage}</p>
</header>`;
}

function figures(report: DrillReport): Html {
  const possible = report.classes.filter(({ cannot }) => cannot === undefined);
  const share = (some: readonly ClassReport[]) => {
    const up = some.reduce((sum, one) => sum + one.up, 0);
    const survived = some.reduce((sum, one) => sum + one.survived, 0);
    return up === 0 ? "–" : `${percent((100 * survived) / up)}`;
  };
  const up = possible.reduce((sum, one) => sum + one.up, 0);
  const survived = possible.reduce((sum, one) => sum + one.survived, 0);
  const tiles: readonly (readonly [string, string, string])[] = [
    [
      "confirmed calls that survived",
      share(possible.filter(({ confirmed }) => confirmed)),
      `${survived} of ${up} of all`,
    ],
    [
      "SIP messages nobody caused",
      report.wire.sip === undefined ? "–" : String(report.wire.unasked.length),
      `${report.wire.reanchored.length} re-anchored legs apart`,
    ],
    [
      "audio away, p99",
      ms(report.gap?.p99),
      `p50 ${ms(report.gap?.p50)}, ${report.gap?.count ?? 0} streams${report.gapReanchored === undefined ? "" : `; anchored anew ${ms(report.gapReanchored.p99)}`}`,
    ],
    ["first 200 inside a dialog", ms(report.probes.firstInDialogMs), `${report.probes.sent.length} calls asked`],
    ["detected after", ms(report.milestones.detected), "as the survivor says"],
    [
      "contact records",
      report.records === undefined ? "–" : `${report.records.one} / ${report.records.wanted}`,
      "exactly one each",
    ],
  ];
  return html`<div class="tiles">${join(
    tiles.map(
      ([name, value, more]) => html`<div class="tile"><b>${value}</b><span>${name}</span><small>${more}</small></div>`,
    ),
  )}</div>`;
}

function limits({ limits: verdicts }: DrillReport): Html {
  if (verdicts.length === 0) return raw("");
  const rows = verdicts.map(
    ({ name, limit, measured, ok }) =>
      html`<tr class="${ok ? "" : "bad"}"><td>${ok ? "met" : "not met"}</td><td>${name}</td><td>${limit}</td><td>${measured}</td></tr>`,
  );
  return section(
    "Limits",
    html`<table><thead><tr><th></th><th>limit</th><th>wanted</th><th>measured</th></tr></thead><tbody>${join(rows)}</tbody></table>`,
  );
}

function gapWords({ wire, ownStallMs }: DrillReport): string {
  const by =
    wire.media === undefined
      ? "As the receiving processes saw it (nothing was captured)."
      : `By the kernel's time of each packet, from media.pcap (${wire.media.packets} packets, ${wire.media.dropped} dropped).`;
  const stalls =
    ownStallMs.length === 0
      ? ""
      : ` Own stalls of the party processes: ${ownStallMs.join(", ")} ms at most; nothing is subtracted.`;
  return `One mark for each direction of audio that flowed before the fault; the bar is p50, the longer one p99. ${by}${stalls}`;
}

const spread = (gap: Spread | undefined): Html =>
  gap === undefined
    ? raw('<td class="n">–</td><td class="n">–</td><td class="n">–</td>')
    : html`<td class="n">${ms(gap.p50)}</td><td class="n">${ms(gap.p99)}</td><td class="n">${ms(gap.max)}</td>`;

function classTable({ classes }: DrillReport): Html {
  const rows = classes.map((one) =>
    one.cannot === undefined
      ? html`<tr><td>${one.title}</td><td class="n">${one.up} / ${one.planned}</td><td class="n ${one.survived < one.up ? "bad" : ""}">${one.up === 0 ? "–" : percent(one.survivalPercent)}</td><td class="n ${one.exercisedWell < one.exercised ? "bad" : ""}">${one.exercisedWell} / ${one.exercised}</td><td class="n ${one.unasked > 0 ? "bad" : ""}">${one.unasked}</td><td class="n">${one.reanchored}</td>${spread(one.gap)}<td class="quiet">${one.expectedLoss ?? ""}</td></tr>`
      : html`<tr><td>${one.title}</td><td colspan="8" class="quiet">cannot: ${one.cannot}</td></tr>`,
  );
  return html`<div class="wide"><table><thead><tr><th>class</th><th class="n">up</th><th class="n">survived</th><th class="n">exercised</th><th class="n">messages</th><th class="n">re-anchored</th><th class="n">gap p50</th><th class="n">p99</th><th class="n">max</th><th></th></tr></thead><tbody>${join(rows)}</tbody></table></div>`;
}

function newCalls({ setUps }: DrillReport): Html {
  if (setUps === undefined) return raw("");
  const { inFlight } = setUps;
  const failed = Object.entries(setUps.failed).map(([status, count]) => `${count} × ${status}`);
  const rows: readonly (readonly [string, string])[] = [
    ["offered", String(setUps.offered)],
    ["answered", String(setUps.answered)],
    ["failed", failed.length === 0 ? "none" : failed.join(", ")],
    ["INVITE under way at the fault, or sent while nobody served", String(inFlight.calls)],
    [
      "… of those answered",
      `${inFlight.answered}, ${inFlight.rescued} of them by a copy that the carrier sent by itself`,
    ],
    ["… of those failed", String(inFlight.failed)],
    ["failed though not under way", String(setUps.failedElsewhere)],
  ];
  return section(
    "New calls during the fault",
    html`<table><tbody>${join(rows.map(([name, value]) => html`<tr><td>${name}</td><td>${value}</td></tr>`))}</tbody></table>`,
  );
}

function troubles({ calls, expectedLoss }: DrillReport): Html {
  const lists = join([
    reasons("Not up before the fault", calls, ({ className, notUp }) =>
      notUp === undefined ? undefined : `${className}: ${notUp}`,
    ),
    reasons("Lost", calls, ({ className, lostBecause, notUp }) =>
      lostBecause === undefined || notUp !== undefined ? undefined : `${className}: ${lostBecause}`,
    ),
    reasons("Exercises that failed", calls, ({ className, exercise, exerciseFailure }) =>
      exerciseFailure === undefined ? undefined : `${className}, ${exercise ?? ""}: ${exerciseFailure}`,
    ),
    join(
      expectedLoss.map(
        ({ classes, because }) => html`<h3>Loss that is expected</h3><p>${classes.join(", ")}: ${because}</p>`,
      ),
    ),
  ]);
  return lists.text === "" ? raw('<p class="quiet">Nothing.</p>') : lists;
}

function reasons(
  title: string,
  calls: readonly CallReport[],
  reasonOf: (call: CallReport) => string | undefined,
): Html {
  const counted = new Map<string, number>();
  for (const call of calls) {
    const reason = reasonOf(call);
    if (reason !== undefined) counted.set(reason, (counted.get(reason) ?? 0) + 1);
  }
  if (counted.size === 0) return raw("");
  const rows = [...counted].sort((a, b) => b[1] - a[1]).slice(0, REASONS_MAX);
  return html`<h3>${title}</h3><table><tbody>${join(rows.map(([reason, count]) => html`<tr><td class="n">${count}</td><td>${reason}</td></tr>`))}</tbody></table>`;
}

function messages({ wire }: DrillReport): Html {
  const row = (one: DrillReport["wire"]["unasked"][number], kind: string) =>
    html`<tr><td>${kind}</td><td class="n">${ms(one.afterMs)}</td><td>${one.callId}</td><td>${one.summary}</td><td>${one.to}</td></tr>`;
  const rows = [
    ...wire.unasked.map((one) => row(one, "nobody's")),
    ...wire.reanchored.map((one) => row(one, "re-anchor")),
  ];
  if (rows.length === 0) return raw("");
  return section(
    "Messages from the service that no party caused",
    html`<div class="wide"><table><thead><tr><th></th><th class="n">after</th><th>call</th><th>message</th><th>to</th></tr></thead><tbody>${join(rows.slice(0, MESSAGES_MAX))}</tbody></table></div>`,
  );
}

function log({ timeline }: DrillReport): Html {
  if (timeline.length === 0) return raw("");
  const rows = timeline
    .slice(0, LOG_MAX)
    .map(
      ({ afterMs, where, what, detail, milestone }) =>
        html`<tr class="${milestone === undefined ? "" : "mark"}"><td class="n">${Math.round(afterMs)}</td><td>${where}</td><td>${what}</td><td class="quiet">${detail}</td></tr>`,
    );
  return html`<section><details><summary>What the system logged after the fault (${timeline.length})</summary><div class="wide"><table><thead><tr><th class="n">ms</th><th>process</th><th>event</th><th></th></tr></thead><tbody>${join(rows)}</tbody></table></div></details></section>`;
}

function footer({ wire, leftovers, calls, rollBack, phases }: DrillReport): Html {
  const links = [
    raw('<a href="report.json">report.json</a>'),
    raw('<a href="report.txt">report.txt</a>'),
    ...(wire.sip === undefined
      ? []
      : [
          html`<a href="${wire.sip.file}">${wire.sip.file}</a> (${wire.sip.messages} SIP messages, ${wire.sip.dropped} packets dropped)`,
        ]),
    ...(wire.media === undefined ? [] : [html`<a href="${wire.media.file}">${wire.media.file}</a>`]),
  ];
  const left = Object.entries(leftovers.counts).map(([what, count]) => `${what} ${count}`);
  const flowing = calls
    .flatMap(({ legs }) => legs)
    .filter(({ packetsBefore }) => packetsBefore >= FLOWING_PACKETS_MIN).length;
  return html`<footer>
<p>${join(links.flatMap((link, at) => (at === 0 ? [link] : [raw(" · "), link])))}</p>
<p class="quiet">Left over after all calls had ended: ${left.join(", ") || "nobody answered"}${leftovers.unknown.length === 0 ? "" : `; no answer: ${leftovers.unknown.join(", ")}`}. Directions with audio before the fault: ${flowing}.</p>
<p class="quiet">Phases: ${phases.map(({ name, lastedMs }) => `${name} ${(lastedMs / 1_000).toFixed(1)} s`).join(", ")}. Undone: ${rollBack.join("; ")}.</p>
</footer>`;
}
