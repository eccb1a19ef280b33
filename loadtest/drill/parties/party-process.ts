// One party process: carriers' and agents' phones of its share of the calls. Does what the drill asks, and ends with it.

import { OwnStall } from "../../phones/own-stall.ts";
import { callingNumberOf, DrillCall, Phones } from "./drill-call.ts";
import { exerciseCall } from "./exercises.ts";
import type {
  Answered,
  Asked,
  Checked,
  Exercised,
  PartyAnswers,
  PartyRequest,
  PlannedCall,
  Probed,
  PutUp,
} from "./party-protocol.ts";

const calls = new Map<string, DrillCall>();
const stall = new OwnStall();
let phones: Phones | undefined;

const standing = (): Phones => {
  if (phones === undefined) throw new Error("not open");
  return phones;
};
const call = (id: string): DrillCall => {
  const found = calls.get(id);
  if (found === undefined) throw new Error(`no call ${id}`);
  return found;
};
const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, Math.max(0, ms)));
const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

type PutUpRequest = Extract<PartyRequest, { kind: "put-up" }>;

async function putUp({ calls: planned, callsPerSecond, withinMs, attemptsMax }: PutUpRequest): Promise<PutUp[]> {
  const startMs = performance.now();
  return Promise.all(
    planned.map(async (plan, at): Promise<PutUp> => {
      await sleep(startMs + (at * 1_000) / callsPerSecond - performance.now());
      return putUpOne(plan, withinMs, attemptsMax, 1);
    }),
  );
}

/** A machine that has too much to do may refuse one: that is no fault of the drill's making, so it is tried again. */
async function putUpOne(plan: PlannedCall, withinMs: number, attemptsMax: number, attempts: number): Promise<PutUp> {
  const one = new DrillCall(plan, standing());
  calls.set(plan.id, one);
  const said = () => ({ id: plan.id, callingNumber: plan.callingNumber, attempts, sipCallIds: one.sipCallIds });
  try {
    return { ...said(), setUpMs: await one.putUp(withinMs) };
  } catch (error) {
    if (attempts >= attemptsMax) return { ...said(), failure: messageOf(error) };
    one.hangUp();
    await sleep(AGAIN_AFTER_MS);
    return putUpOne(
      { ...plan, callingNumber: `${plan.callingNumber}${attempts}` },
      withinMs,
      attemptsMax,
      attempts + 1,
    );
  }
}

const AGAIN_AFTER_MS = 500;

/** Of each call what it does; a failure is said, not thrown. */
const ofEach = (act: (one: DrillCall) => Promise<void>): Promise<Checked[]> =>
  Promise.all(
    [...calls.values()].map(async (one): Promise<Checked> => {
      try {
        await act(one);
        return { id: one.plan.id };
      } catch (error) {
        return { id: one.plan.id, failure: messageOf(error) };
      }
    }),
  );
const check = (withinMs: number) => ofEach((one) => one.check(withinMs));
const eve = (withinMs: number) => ofEach((one) => one.eve(withinMs));

async function probe(id: string, atUnixMs: number): Promise<Probed> {
  const one = call(id);
  await sleep(atUnixMs - Date.now());
  const sentUnixMs = Date.now();
  try {
    const { status } = await one.probe();
    return { id, sentUnixMs, okUnixMs: status < 300 ? Date.now() : undefined, status };
  } catch (error) {
    return { id, sentUnixMs, okUnixMs: undefined, status: undefined, failure: messageOf(error) };
  }
}

async function answer(request: PartyRequest): Promise<PartyAnswers[PartyRequest["kind"]]> {
  switch (request.kind) {
    case "open":
      phones = await Phones.open(request, (invite) => {
        const number = callingNumberOf(invite);
        return [...calls.values()].find(({ plan }) => plan.callingNumber === number);
      });
      return { ready: true };
    case "put-up":
      return putUp(request);
    case "check":
      return check(request.withinMs);
    case "eve":
      return eve(request.withinMs);
    case "watch":
      stall.begin();
      return { ready: true };
    case "probe":
      return Promise.all(request.calls.map(({ id, atUnixMs }) => probe(id, atUnixMs)));
    case "collect": {
      const offsetMs = Date.now() - performance.now();
      const { faultUnixMs, untilUnixMs } = request;
      return {
        calls: [...calls.values()].map((one) => one.collect(faultUnixMs, untilUnixMs, offsetMs)),
        ownStallMs: stall.maxMs(),
        reconnected: standing().reconnected,
      };
    }
    case "exercise":
      return Promise.all(
        request.calls.map(async ({ id, exercise }, at): Promise<Exercised> => {
          await sleep(at * EXERCISE_EVERY_MS);
          return exerciseCall(call(id), exercise);
        }),
      );
    case "hang-up":
      for (const one of calls.values()) one.hangUp();
      await sleep(HANG_UP_WAIT_MS);
      return { left: [...calls.values()].filter((one) => !one.over).length };
    case "close":
      await phones?.close();
      return { ready: true };
  }
}

/** Not all at once: what is measured is whether it works, not the rate. */
const EXERCISE_EVERY_MS = 60;
const HANG_UP_WAIT_MS = 1_500;

process.on("message", (asked: Asked) => {
  const reply = (answered: Answered) => {
    if (process.connected) process.send?.(answered);
  };
  answer(asked.request).then(
    (value) => reply({ id: asked.id, ok: true, value }),
    (error: unknown) => reply({ id: asked.id, ok: false, message: messageOf(error) }),
  );
});
// The drill has ended, however it ended.
process.on("disconnect", () => process.exit(0));
// Ctrl-C at the terminal reaches the whole group: the drill says when it is over.
process.on("SIGINT", () => {});
