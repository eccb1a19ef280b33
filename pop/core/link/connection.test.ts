import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  type ConnectionEffect,
  type ConnectionInput,
  type ConnectionPolicy,
  type ConnectionState,
  connectionStep,
  newConnection,
} from "./connection.ts";

const POLICY: ConnectionPolicy = {
  backoff: { firstMs: 200, factor: 2, waitMsMax: 5_000, jitter: 0.5 },
  openMsMax: 4_000,
  welcomeMsMax: 3_000,
  settledAfterMs: 10_000,
};

const STATES: readonly ConnectionState[] = [
  newConnection,
  { name: "away", failures: 2, hurried: false },
  { name: "away", failures: 2, hurried: true },
  { name: "connecting", failures: 2 },
  { name: "hello-sent", failures: 2 },
  { name: "linked", failures: 2 },
  { name: "closed" },
];

const INPUTS: readonly ConnectionInput[] = [
  { kind: "start" },
  { kind: "opened" },
  { kind: "welcomed" },
  { kind: "lost", detail: "reset", chance: 1 },
  { kind: "reachable" },
  { kind: "timer", timer: "retry", chance: 0 },
  { kind: "timer", timer: "deadline", chance: 0 },
  { kind: "timer", timer: "settled", chance: 0 },
  { kind: "close" },
];

function shown(effect: ConnectionEffect): string {
  switch (effect.kind) {
    case "start-timer":
      return `start ${effect.timer} ${effect.afterMs}`;
    case "stop-timer":
      return `stop ${effect.timer}`;
    case "away":
      return `tell away (${effect.detail})`;
    default:
      return effect.kind;
  }
}

const shownState = (state: ConnectionState): string =>
  `${state.name}${"failures" in state ? ` ${state.failures}` : ""}${"hurried" in state && state.hurried ? " hurried" : ""}`;

/** Every state against every input; what changes nothing is left out. */
const TABLE = `
idle               + start          -> connecting 0      : stop retry, start deadline 4000, open
idle               + close          -> closed            : stop retry, stop deadline, stop settled, drop
away 2             + reachable      -> away 2 hurried    : start retry 200
away 2             + timer retry    -> connecting 2      : stop retry, start deadline 4000, open
away 2             + close          -> closed            : stop retry, stop deadline, stop settled, drop
away 2 hurried     + timer retry    -> connecting 2      : stop retry, start deadline 4000, open
away 2 hurried     + close          -> closed            : stop retry, stop deadline, stop settled, drop
connecting 2       + opened         -> hello-sent 2      : start deadline 3000, say-hello
connecting 2       + lost           -> away 3            : stop deadline, stop settled, drop, start retry 800, tell away (reset)
connecting 2       + timer deadline -> away 3            : stop deadline, stop settled, drop, start retry 400, tell away (no connection within 4000 ms)
connecting 2       + close          -> closed            : stop retry, stop deadline, stop settled, drop
hello-sent 2       + welcomed       -> linked 2          : stop deadline, start settled 10000, linked
hello-sent 2       + lost           -> away 3            : stop deadline, stop settled, drop, start retry 800, tell away (reset)
hello-sent 2       + timer deadline -> away 3            : stop deadline, stop settled, drop, start retry 400, tell away (no welcome within 3000 ms)
hello-sent 2       + close          -> closed            : stop retry, stop deadline, stop settled, drop
linked 2           + lost           -> away 3            : stop deadline, stop settled, drop, start retry 800, tell away (reset)
linked 2           + timer settled  -> linked 0          : 
linked 2           + close          -> closed            : stop retry, stop deadline, stop settled, drop
`;

test("the connection, on one page", () => {
  const lines: string[] = [];
  for (const state of STATES)
    for (const input of INPUTS) {
      const next = connectionStep(POLICY, state, input);
      if (next.state === state && next.effects.length === 0) continue;
      const asked = input.kind === "timer" ? `timer ${input.timer}` : input.kind;
      const effects = next.effects.map(shown).join(", ");
      lines.push(
        `${shownState(state).padEnd(18)} + ${asked.padEnd(14)} -> ${shownState(next.state).padEnd(18)}: ${effects}`,
      );
    }
  assert.equal(lines.join("\n"), TABLE.trim());
});

const anyInput: fc.Arbitrary<ConnectionInput> = fc.oneof(
  fc.constantFrom<ConnectionInput>(...INPUTS.filter(({ kind }) => kind !== "close")),
  fc.record({
    kind: fc.constant("lost" as const),
    detail: fc.constant("reset"),
    chance: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
  }),
);

test("property: whatever happens, a started connection that is not linked always has something to wait for", () => {
  fc.assert(
    fc.property(fc.array(anyInput), (inputs) => {
      let state = connectionStep(POLICY, newConnection, { kind: "start" }).state;
      const timers = new Set<string>(["deadline"]);
      for (const input of inputs) {
        if (input.kind === "timer" && !timers.delete(input.timer)) continue; // only running timers fire
        const step = connectionStep(POLICY, state, input);
        for (const effect of step.effects) {
          if (effect.kind === "start-timer") timers.add(effect.timer);
          if (effect.kind === "stop-timer") timers.delete(effect.timer);
        }
        state = step.state;
        if (state.name === "away") assert.ok(timers.has("retry"));
        else if (state.name === "connecting" || state.name === "hello-sent") assert.ok(timers.has("deadline"));
        else assert.equal(state.name, "linked");
      }
    }),
  );
});

test("property: no wait is above the bound, and every open is dropped before the next", () => {
  fc.assert(
    fc.property(fc.array(anyInput), (inputs) => {
      let state: ConnectionState = newConnection;
      let open = false;
      for (const input of [{ kind: "start" } as const, ...inputs]) {
        const step = connectionStep(POLICY, state, input);
        for (const effect of step.effects) {
          if (effect.kind === "away") assert.ok(effect.retryAfterMs <= POLICY.backoff.waitMsMax);
          if (effect.kind === "open") assert.equal(open, false);
          if (effect.kind === "open" || effect.kind === "drop") open = effect.kind === "open";
        }
        state = step.state;
      }
    }),
  );
});
