// What holds for every flow and every caller. Rehearsal itself checks after each step: no dead air, nothing left
// running at the end, released once, and the same continuation from a state that went through JSON.

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { asId } from "../../../kernel/ids.ts";
import type { Prompt } from "../media/prompt.ts";
import type { Activity, Comparison, Flow } from "./flow.ts";
import type { FlowInput } from "./flow-execution.ts";
import { FAILURES_IN_A_ROW_MAX, INSTANT_ACTIVITIES_MAX } from "./flow-machine.ts";
import { contextOf, file, Rehearsal, text } from "./rehearsal.ts";

const IDS = ["a", "b", "c", "d", "e", "f"];
const anyId = fc.constantFrom(...IDS, "nowhere");
const maybeId = fc.option(anyId, { nil: undefined });
const anyName = fc.constantFrom("x", "y", "pin", "__proto__");
const anyTemplate = fc.constantFrom(
  "",
  "1",
  "{{ x }}",
  "{{ pin }}{{ pin }}",
  "{{ nobody }}",
  "{{ call.callingNumber }}",
  "{{",
);
const anyPrompt: fc.Arbitrary<Prompt> = fc.oneof(
  fc.constantFrom("one", "two").map(file),
  fc.constantFrom("hello", "{{ x }}", "{{ queue.position }}").map(text),
);
const anyPrompts = fc.array(anyPrompt, { maxLength: 2 });
const anyKey = fc.constantFrom(..."0123456789*#");
const anyMs = fc.integer({ min: 0, max: 10_000 });
const comparisons: Comparison[] = [
  "equals",
  "not-equals",
  "less-than",
  "greater-than",
  "contains",
  "starts-with",
  "is-empty",
];

const anyActivity: fc.Arbitrary<Activity> = fc
  .tuple(
    maybeId,
    fc.oneof(
      fc.record({ kind: fc.constant("play" as const), prompts: anyPrompts, next: anyId }),
      fc.record({
        kind: fc.constant("menu" as const),
        prompts: anyPrompts,
        choices: fc.dictionary(anyKey, anyId),
        timeoutMs: anyMs,
        attemptsMax: fc.nat(3),
        noMatchPrompts: anyPrompts,
        onNoInput: maybeId,
        onNoMatch: maybeId,
      }),
      fc.record({
        kind: fc.constant("collect" as const),
        prompts: anyPrompts,
        variable: fc.constantFrom("x", "pin"),
        digitsMin: fc.nat(4),
        digitsMax: fc.nat(6),
        terminator: fc.option(anyKey, { nil: undefined }),
        firstDigitTimeoutMs: anyMs,
        interDigitTimeoutMs: anyMs,
        attemptsMax: fc.nat(3),
        next: anyId,
        onNoInput: maybeId,
        sensitive: fc.boolean(),
      }),
      fc.record({ kind: fc.constant("set" as const), variable: anyName, value: anyTemplate, next: anyId }),
      fc.record({
        kind: fc.constant("condition" as const),
        left: anyTemplate,
        comparison: fc.constantFrom(...comparisons),
        right: anyTemplate,
        // biome-ignore lint/suspicious/noThenProperty: the activity's own word
        then: anyId,
        otherwise: anyId,
      }),
      fc.record({ kind: fc.constant("go-to" as const), activity: anyId }),
      fc.record({
        kind: fc.constant("queue" as const),
        queueId: fc.constantFrom(asId<"queue">("support"), asId<"queue">("silent")),
        music: fc.option(anyPrompt, { nil: undefined }),
        messages: anyPrompts,
        messageIntervalMs: anyMs,
        waitMsMax: fc.constantFrom(0, 1_000),
        onWaitExceeded: maybeId,
        priority: fc.nat(9),
        next: maybeId,
      }),
      fc.record({
        kind: fc.constant("transfer" as const),
        number: anyTemplate,
        trunkId: fc.constant(undefined),
        ringTimeoutMs: anyMs,
        next: maybeId,
      }),
      fc.record({ kind: fc.constant("disconnect" as const) }),
    ),
  )
  .map(([onFailure, kind]) => ({ onFailure, ...kind }));

const flowFrom = (activities: readonly Activity[]): Flow => ({
  id: asId("any"),
  tenantId: asId("acme"),
  version: 1,
  start: "a",
  activities: Object.fromEntries(activities.map((activity, at) => [IDS[at], activity])),
  variables: { x: "1" },
});
const anyFlow: fc.Arbitrary<Flow> = fc.array(anyActivity, { maxLength: IDS.length }).map(flowFrom);

/** An input that the app may give at this moment is drawn from what plays and runs; some others come out of place. */
const anyMove = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.constantFrom("finished", "failed", "stopped").map((how) => ({ kind: "play", how }) as const),
  },
  { weight: 4, arbitrary: anyKey.map((digit) => ({ kind: "digit", digit }) as const) },
  { weight: 3, arbitrary: fc.nat(2).map((which) => ({ kind: "due", which }) as const) },
  {
    weight: 3,
    arbitrary: fc.constantFrom<FlowInput>(
      { kind: "played", play: asId("flow-1"), how: "failed" },
      { kind: "digit", digit: "xyz" },
      { kind: "timer", timer: "flow.message" },
      { kind: "queue-position", position: 2 },
      { kind: "queue-refused", code: "queue.full" },
      { kind: "agent-connected" },
      { kind: "agent-left" },
      { kind: "transfer-answered" },
      { kind: "transfer-failed", code: "trunk.rejected" },
      { kind: "transfer-ended" },
    ),
  },
);
type Move = typeof anyMove extends fc.Arbitrary<infer M> ? M : never;

function play(call: Rehearsal, move: Move): void {
  switch (move.kind) {
    case "play":
      if (call.playing) call.finish(move.how);
      return;
    case "due": {
      const timer = [...call.timers.keys()][move.which];
      if (timer !== undefined) call.fire(timer);
      return;
    }
    case "timer":
      if (call.timers.has(move.timer)) call.give(move);
      return;
    case "played":
      if (call.playing?.play !== move.play) call.give(move);
      return;
    default:
      call.give(move);
  }
}

test("property: whatever the flow and whatever the caller does, there is no dead air and no call left up", () => {
  fc.assert(
    fc.property(anyFlow, anyPrompts, fc.array(anyMove, { maxLength: 40 }), (flow, treatment, moves) => {
      const call = new Rehearsal(contextOf(flow, treatment));
      for (const move of moves) play(call, move);
    }),
    { numRuns: 1_500 },
  );
});

test("property: one input leads to a bounded number of effects", () => {
  const most = (FAILURES_IN_A_ROW_MAX + 2) * (INSTANT_ACTIVITIES_MAX + 5) * 2;
  fc.assert(
    fc.property(anyFlow, fc.array(anyMove, { maxLength: 20 }), (flow, moves) => {
      const call = new Rehearsal(contextOf(flow));
      let before = call.effects.length;
      assert.ok(before <= most);
      for (const move of moves) {
        play(call, move);
        assert.ok(call.effects.length - before <= most);
        before = call.effects.length;
      }
    }),
  );
});

test("property: a caller who only waits, with every prompt failing, is released or in queue", () => {
  fc.assert(
    fc.property(anyFlow, (flow) => {
      const call = new Rehearsal(contextOf(flow));
      for (let times = 0; times < 30 && call.playing; times++) call.finish("failed");
      assert.ok(call.playing === undefined || call.state.name === "queued");
    }),
  );
});

/** Never pressed otherwise: no generated template or attempt count reads like it. */
const PIN = "90909090";

test("property: a sensitive value and the parties' numbers are in no note and in no reason for the end", () => {
  const asksPin: Activity = {
    kind: "collect",
    prompts: [],
    variable: "pin",
    digitsMin: 8,
    digitsMax: 8,
    terminator: undefined,
    firstDigitTimeoutMs: 5_000,
    interDigitTimeoutMs: 2_000,
    attemptsMax: 1,
    next: "b",
    onNoInput: undefined,
    sensitive: true,
    onFailure: undefined,
  };
  fc.assert(
    fc.property(
      fc.array(anyActivity, { maxLength: 5 }),
      fc.array(fc.boolean(), { maxLength: 20 }),
      (activities, script) => {
        const call = new Rehearsal(contextOf(flowFrom([asksPin, ...activities])));
        call.press(PIN);
        for (const finish of script) {
          const timer = [...call.timers.keys()][0];
          if (finish && call.playing) call.finish();
          else if (timer !== undefined) call.fire(timer);
        }
        const told = `${call.notes.join("\n")}\n${call.because ?? ""}`;
        assert.ok(!told.includes(PIN));
        assert.ok(!told.includes("+49"));
      },
    ),
    { numRuns: 1_000 },
  );
});
