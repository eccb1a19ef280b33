// From raw figures to verdicts, limit by limit. Pure.

import type { Drill } from "../drill-file.ts";
import { type ClassName, LOAD_CLASSES } from "../load-classes.ts";
import type { CallReport, ClassReport, DrillReport, LimitVerdict, Spread } from "./drill-report.ts";

/** Nearest rank. Infinity sorts last: a stream that never came back is the worst gap there is. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? 0;
}

export function spreadOf(values: readonly number[]): Spread | undefined {
  if (values.length === 0) return undefined;
  const round = (value: number) => Math.round(value * 10) / 10;
  return {
    count: values.length,
    p50: round(percentile(values, 0.5)),
    p99: round(percentile(values, 0.99)),
    max: round(Math.max(...values)),
  };
}

/** Fewer packets than this in the second before the fault: nobody was speaking in that direction. */
export const FLOWING_PACKETS_MIN = 40;

/**
 * Gaps of the directions that had audio, by the kernel's clock where it was captured. A call with a leg that was anchored anew is
 * another thing, told apart.
 */
export const gapsOf = (calls: readonly CallReport[], anew = false): readonly number[] =>
  calls
    .filter(({ survived, reanchored }) => survived && reanchored > 0 === anew)
    .flatMap(({ legs }) => legs.filter(({ packetsBefore }) => packetsBefore >= FLOWING_PACKETS_MIN))
    .map(({ gapMs, probeGapMs }) => (gapMs === undefined ? probeGapMs : gapMs) ?? Number.POSITIVE_INFINITY);

export function classReports(
  planned: ReadonlyMap<ClassName, number>,
  cannot: ReadonlyMap<ClassName, string>,
  calls: readonly CallReport[],
  expectedLoss: Drill["expectedLoss"],
): ClassReport[] {
  return [...planned].map(([className, count]) => {
    const own = calls.filter((call) => call.className === className);
    const up = own.filter(({ notUp }) => notUp === undefined);
    const survived = up.filter((call) => call.survived).length;
    const exercised = up.filter(({ exercise }) => exercise !== undefined);
    const why = cannot.get(className);
    const loss = expectedLoss.find(({ classes }) => classes.includes(className));
    return {
      className,
      title: LOAD_CLASSES[className].title,
      confirmed: LOAD_CLASSES[className].confirmed,
      planned: count,
      up: up.length,
      survived,
      survivalPercent: up.length === 0 ? 0 : (100 * survived) / up.length,
      exercised: exercised.length,
      exercisedWell: exercised.filter(({ exerciseFailure }) => exerciseFailure === undefined).length,
      unasked: own.reduce((sum, { unasked }) => sum + unasked, 0),
      reanchored: own.reduce((sum, { reanchored }) => sum + reanchored, 0),
      gap: spreadOf([...gapsOf(up), ...gapsOf(up, true)]),
      ...(why === undefined ? {} : { cannot: why }),
      ...(loss === undefined ? {} : { expectedLoss: loss.because }),
    };
  });
}

export type Measured = Omit<DrillReport, "limits" | "verdict">;

export function judge(drill: Drill, measured: Measured): LimitVerdict[] {
  const { limits } = drill;
  const { classes, wire, probes, milestones } = measured;
  const verdicts: LimitVerdict[] = [];
  const say = (name: string, limit: string, value: string, ok: boolean) =>
    verdicts.push({ name, limit, measured: value, ok });
  const atMost = (name: string, limit: number | undefined, value: number | null | undefined, unit = "") => {
    if (limit === undefined) return;
    const known = value !== null && value !== undefined && Number.isFinite(value);
    say(name, `≤ ${limit}${unit}`, known ? `${round(value)}${unit}` : "never", known && value <= limit);
  };
  const possible = classes.filter(({ cannot }) => cannot === undefined);
  const survival = limits.survivalPercentMin;
  const down = possible.filter(({ up, planned }) => up < planned);
  say(
    "calls put up and steady before the fault",
    `≥ ${drill.abort.setUpPercentMin} % of each class`,
    down.length === 0 ? "all" : down.map(({ title, up, planned }) => `${title} ${up}/${planned}`).join(", "),
    possible.every(({ up, planned }) => planned === 0 || (100 * up) / planned >= drill.abort.setUpPercentMin),
  );
  for (const one of possible) {
    if (one.up === 0) continue;
    const loss = drill.expectedLoss.find(({ classes: names }) => names.includes(one.className));
    const wanted = loss?.survivalPercentMin ?? (one.confirmed ? survival?.confirmed : survival?.other);
    if (wanted === undefined || (loss !== undefined && wanted === 0)) continue;
    say(
      `survival: ${one.title}`,
      `≥ ${wanted} %`,
      `${round(one.survivalPercent)} % (${one.survived} of ${one.up})`,
      one.survivalPercent >= wanted,
    );
  }
  if (limits.exercisedPercentMin !== undefined) {
    const all = sum(possible, "exercised");
    const well = sum(possible, "exercisedWell");
    const share = all === 0 ? 0 : (100 * well) / all;
    say(
      "exercises that worked",
      `≥ ${limits.exercisedPercentMin} %`,
      `${round(share)} % (${well} of ${all})`,
      share >= limits.exercisedPercentMin,
    );
  }
  if (limits.messagesMax !== undefined && wire.sip === undefined)
    say("SIP messages nobody caused", `≤ ${limits.messagesMax}`, "not captured", false);
  else atMost("SIP messages nobody caused", limits.messagesMax, wire.unasked.length);
  atMost("legs anchored anew by re-INVITE", limits.reanchoredMax, wire.reanchored.length);
  atMost("RTP gap p99", limits.rtpGapP99MsMax, measured.gap?.p99, " ms");
  atMost("RTP gap p99 of legs anchored anew", limits.rtpGapReanchoredP99MsMax, measured.gapReanchored?.p99 ?? 0, " ms");
  atMost("first 200 inside a dialog", limits.firstInDialogMsMax, probes.firstInDialogMs, " ms");
  atMost("detection", limits.detectionMsMax, milestones.detected, " ms");
  if (limits.ghostsMax !== undefined) {
    const { counts, unknown } = measured.leftovers;
    const left = Object.values(counts).reduce((all, count) => all + count, 0);
    const which = Object.entries(counts)
      .filter(([, count]) => count > 0)
      .map(([what, count]) => `${what} ${count}`);
    // Who is to serve is to answer, too.
    const asked = Object.keys(counts).length > 0 && (unknown.length === 0 || drill.expect === "silence");
    say(
      "ghosts after all calls have ended",
      `≤ ${limits.ghostsMax}`,
      asked
        ? [String(left), ...which].join(", ") + (unknown.length > 0 ? ` (no answer: ${unknown.join(", ")})` : "")
        : `no answer: ${unknown.join(", ")}`,
      asked && left <= limits.ghostsMax,
    );
  }
  if (measured.held !== undefined && survival !== undefined) {
    const { calls, endedWell } = measured.held;
    const share = (100 * endedWell) / Math.max(1, calls);
    say(
      "survival: calls of the bulk load that stood",
      `≥ ${survival.confirmed} %`,
      `${round(share)} % (${endedWell} of ${calls})`,
      share >= survival.confirmed,
    );
  }
  if (measured.newCalls !== undefined) {
    const { asked, served } = measured.newCalls;
    const wanted = drill.expect === "silence" ? 0 : asked;
    say("new calls served afterwards", `${wanted} of ${asked}`, String(served), served === wanted);
  }
  if (limits.recordsMissingOrTwiceMax !== undefined) {
    const records = measured.records;
    const wrong = records === undefined ? undefined : records.none + records.several;
    say(
      "contact records: one for each call",
      `≤ ${limits.recordsMissingOrTwiceMax} wrong`,
      records === undefined
        ? "none kept"
        : `${records.one} of ${records.wanted}, ${records.none} missing, ${records.several} more than once`,
      wrong !== undefined && wrong <= limits.recordsMissingOrTwiceMax,
    );
  }
  if (limits.spokenMax !== undefined)
    if (wire.sip === undefined)
      say("what the address says after the fault", `≤ ${limits.spokenMax}`, "not captured", false);
    else atMost("messages and packets from the service address", limits.spokenMax, wire.spoken);
  if (limits.rescuedPercentMin !== undefined && measured.setUps !== undefined) {
    const { calls, answered, rescued } = measured.setUps.inFlight;
    const share = calls === 0 ? 100 : (100 * answered) / calls;
    say(
      "set-ups under way at the fault that succeeded",
      `≥ ${limits.rescuedPercentMin} %`,
      `${round(share)} % (${answered} of ${calls}, ${rescued} by a copy of their INVITE)`,
      calls > 0 && share >= limits.rescuedPercentMin,
    );
  }
  if (limits.failedElsewhereMax !== undefined && measured.setUps !== undefined)
    atMost("set-ups that failed though not under way", limits.failedElsewhereMax, measured.setUps.failedElsewhere);
  const cannot = classes.filter((one) => one.cannot !== undefined);
  if (cannot.length > 0)
    say(
      "classes the system cannot do",
      `≤ ${limits.cannotMax}`,
      `${cannot.length}: ${cannot.map(({ title }) => title).join(", ")}`,
      cannot.length <= limits.cannotMax,
    );
  return verdicts;
}

const round = (value: number): number => Math.round(value * 10) / 10;
const sum = (classes: readonly ClassReport[], key: "exercised" | "exercisedWell"): number =>
  classes.reduce((all, one) => all + one[key], 0);
