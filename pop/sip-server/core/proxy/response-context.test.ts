// The response context, input by input, and what holds for every order of responses and timers.

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { requestOf, responseOf } from "../../test/messages.ts";
import { header, headersOf } from "../message/message.ts";
import { DEFAULT_TIMING } from "../transaction/timing.ts";
import { chooseBest } from "./best-response.ts";
import * as context from "./response-context.ts";
import type { Target } from "./target.ts";

const invite = requestOf("INVITE");
const response = (status: number, headers: string[] = []) => responseOf(invite, status, { headers });

const SERIAL: context.SearchContext = {
  timing: DEFAULT_TIMING,
  isInvite: true,
  forking: "serial",
  followRedirects: false,
  provisionalTimeoutMs: undefined,
  finalTimeoutMs: undefined,
  timerCMs: 181_000,
  deadlineMs: 27_000,
  targetsMax: 8,
  breadth: 60,
};
const targets = (count: number): Target[] =>
  Array.from({ length: count }, (_, at) => ({ uri: `sip:t${at}@192.0.2.1`, isRequestUri: true }));

const inWords = (effects: readonly context.ContextEffect[]): string =>
  effects
    .map((effect) => {
      switch (effect.kind) {
        case "fork":
          return `fork ${effect.branch} ${effect.target.uri.slice(4, 6)}/${effect.breadth}`;
        case "cancel-branch":
        case "abandon":
        case "settle":
          return `${effect.kind} ${effect.branch}`;
        case "forward":
        case "report":
          return `${effect.kind} ${effect.response.status}`;
        case "refuse":
          return `refuse ${effect.status}`;
        case "start-timer":
          return `start ${effect.timer}${effect.branch} ${effect.afterMs}`;
        case "stop-timer":
          return `stop ${effect.timer}${effect.branch}`;
        default:
          return effect.kind;
      }
    })
    .join(", ");

type Line = [input: string, effects: string];
const hears = (branch: number, status: number, headers: string[] = []): context.ContextInput => ({
  kind: "response",
  branch,
  response: response(status, headers),
});
const rings = (timer: context.BranchTimer, branch: number): context.ContextInput => ({ kind: "timer", timer, branch });

function story(how: Partial<context.SearchContext>, count: number, inputs: [string, context.ContextInput][]): Line[] {
  const search = { ...SERIAL, ...how };
  const first = context.start(search, targets(count));
  const lines: Line[] = [["start", inWords(first.effects)]];
  let { state } = first;
  for (const [name, input] of inputs) {
    const next = context.step(search, state, input);
    state = next.state;
    lines.push([name, inWords(next.effects)]);
  }
  lines.push(["then", context.isOver(state) ? `${state.name}, over` : state.name]);
  return lines;
}

test("serial: one at a time, until one accepts", () => {
  assert.deepEqual(
    story({}, 2, [
      ["100", hears(0, 100)],
      ["180", hears(0, 180)],
      ["486", hears(0, 486)],
      ["200", hears(1, 200)],
      ["200 again", hears(1, 200)],
    ]),
    [
      ["start", "fork 0 t0/60, start C0 181000"],
      ["100", ""],
      ["180", "start C0 181000, forward 180"],
      ["486", "stop C0, report 486, fork 1 t1/60, start C1 181000"],
      ["200", "stop C1, forward 200, report 200, done"],
      ["200 again", "forward 200"],
      ["then", "answered, over"],
    ],
  );
});

test("simultaneous: the others are cancelled, one that has said nothing when it does", () => {
  assert.deepEqual(
    story({ forking: "simultaneous" }, 3, [
      ["180 of 0", hears(0, 180)],
      ["200 of 1", hears(1, 200)],
      ["183 of 2", hears(2, 183)],
      ["487 of 0", hears(0, 487)],
      ["200 of 2: it crossed", hears(2, 200)],
    ]),
    [
      ["start", "fork 0 t0/20, start C0 181000, fork 1 t1/20, start C1 181000, fork 2 t2/20, start C2 181000"],
      ["180 of 0", "start C0 181000, forward 180"],
      ["200 of 1", "stop C1, forward 200, report 200, done, settle 0, cancel-branch 0, start cancel0 32000, settle 2"],
      ["183 of 2", "start C2 181000, cancel-branch 2, start cancel2 32000"],
      ["487 of 0", "stop C0, stop cancel0"],
      ["200 of 2: it crossed", "stop C2, stop cancel2, forward 200"],
      ["then", "answered, over"],
    ],
  );
});

test("a CANCEL says why: answered elsewhere, refused everywhere, too late, or what the caller said (RFC 3326)", () => {
  const why = (search: Partial<context.SearchContext>, input: context.ContextInput): string[] => {
    const plan: context.SearchContext = { ...SERIAL, forking: "simultaneous", ...search };
    let { state } = context.start(plan, targets(2));
    for (const each of [hears(0, 180), hears(1, 180)]) ({ state } = context.step(plan, state, each));
    return context
      .step(plan, state, input)
      .effects.flatMap((effect) => (effect.kind === "cancel-branch" ? effect.headers.map(({ value }) => value) : []));
  };
  assert.deepEqual(why({}, hears(1, 200)), ['SIP;cause=200;text="Call completed elsewhere"']);
  assert.deepEqual(why({}, hears(1, 603)), ['SIP;cause=603;text="Decline"']);
  assert.deepEqual(why({}, { kind: "timer", timer: "C", branch: 0 }), ['SIP;cause=408;text="Request Timeout"']);
  const reasons = [header("Reason", "reason", 'Q.850;cause=16;text="x"')];
  assert.deepEqual(why({}, { kind: "cancel", reasons }), [reasons[0]?.value, reasons[0]?.value]);
  assert.deepEqual(why({}, { kind: "cancel", reasons: [] }), []);
});

test("given up: a silent branch is left at once, a ringing one is waited for once cancelled", () => {
  assert.deepEqual(
    story({ provisionalTimeoutMs: 2_000, finalTimeoutMs: 9_000 }, 2, [
      ["silence", rings("provisional", 0)],
      ["180", hears(1, 180)],
      ["too long", rings("final", 1)],
      ["487", hears(1, 487)],
      ["late 200 of the silent one", hears(0, 200)],
    ]),
    [
      ["start", "fork 0 t0/60, start provisional0 2000, start final0 9000, start C0 181000"],
      [
        "silence",
        "stop final0, stop C0, settle 0, fork 1 t1/60, start provisional1 2000, start final1 9000, start C1 181000",
      ],
      ["180", "stop provisional1, start C1 181000, forward 180"],
      ["too long", "stop C1, settle 1, cancel-branch 1, start cancel1 32000"],
      ["487", "stop cancel1, report 487, refuse 408, done, settle 0"],
      ["late 200 of the silent one", "forward 200"],
      ["then", "refused, over"],
    ],
  );
});

test("Timer C cancels; a CANCEL that leads to nothing ends the branch (§16.8, §9.1)", () => {
  assert.deepEqual(
    story({}, 1, [
      ["180", hears(0, 180)],
      ["C", rings("C", 0)],
      ["nothing", rings("cancel", 0)],
    ]),
    [
      ["start", "fork 0 t0/60, start C0 181000"],
      ["180", "start C0 181000, forward 180"],
      ["C", "settle 0, cancel-branch 0, start cancel0 32000"],
      ["nothing", "abandon 0, refuse 408, done"],
      ["then", "refused, over"],
    ],
  );
});

test("the caller cancels: nobody further is asked, and 487 goes back whatever is left (§16.10)", () => {
  assert.deepEqual(
    story({}, 3, [
      ["404", hears(0, 404)],
      ["180", hears(1, 180)],
      ["cancel", { kind: "cancel", reasons: [] }],
      ["487", hears(1, 487)],
    ]),
    [
      ["start", "fork 0 t0/60, start C0 181000"],
      ["404", "stop C0, report 404, fork 1 t1/60, start C1 181000"],
      ["180", "start C1 181000, forward 180"],
      ["cancel", "settle 1, cancel-branch 1, start cancel1 32000"],
      ["487", "stop C1, stop cancel1, report 487, forward 487, done"],
      ["then", "refused, over"],
    ],
  );
});

test("a challenge ends a serial search: its target would be skipped when the caller comes back", () => {
  const lines = story({}, 2, [["407", hears(0, 407, ['Proxy-Authenticate: Digest realm="a"'])]]);
  assert.deepEqual(lines[1], ["407", "stop C0, report 407, forward 407, done"]);
});

test("what is no INVITE: no CANCEL, no Timer C, and an answer before its sender stops listening", () => {
  const how = { isInvite: false, forking: "simultaneous" } as const;
  assert.deepEqual(
    story(how, 2, [
      ["404", hears(0, 404)],
      ["deadline", { kind: "deadline" }],
    ]),
    [
      ["start", "start-deadline 27000, fork 0 t0/30, fork 1 t1/30".replace("start-deadline 27000", "start-deadline")],
      ["404", "report 404"],
      ["deadline", "abandon 1, forward 404, done, stop-deadline"],
      ["then", "refused, over"],
    ],
  );
  assert.equal(
    story(how, 1, [["deadline", { kind: "deadline" }]])[1]?.[1],
    "abandon 0, refuse 504, done, stop-deadline",
  );
  const accepted = story(how, 2, [["200", hears(1, 200)]])[1]?.[1];
  assert.equal(accepted, "forward 200, report 200, done, abandon 0, stop-deadline");
});

test("breadth: never more branches at once than Max-Breadth allows (RFC 5393 §5.3.3)", () => {
  assert.deepEqual(story({ forking: "simultaneous", breadth: 2 }, 3, [["486", hears(0, 486)]]).slice(0, 2), [
    ["start", "fork 0 t0/1, start C0 181000, fork 1 t1/1, start C1 181000"],
    ["486", "stop C0, report 486, fork 2 t2/1, start C2 181000"],
  ]);
});

test("redirects: each contact once, best first, no more than the bound", () => {
  const contact = "Contact: <sip:t0@192.0.2.1>, <sip:low@192.0.2.2>;q=0.1, <tel:+1>, <sip:high@192.0.2.3>;q=0.8";
  const how = { followRedirects: true, targetsMax: 4 }; // the response itself names bob as well, with q=1
  assert.deepEqual(
    story(how, 2, [
      ["302", hears(0, 302, [contact])],
      ["404", hears(1, 404)],
      ["404 as well", hears(2, 404)],
      ["404 at last", hears(3, 404)],
    ]).slice(1),
    [
      ["302", "stop C0, report 302, fork 1 bo/60, start C1 181000"],
      ["404", "stop C1, report 404, fork 2 hi/60, start C2 181000"],
      ["404 as well", "stop C2, report 404, fork 3 t1/60, start C3 181000"],
      ["404 at last", "stop C3, report 404, forward 302, done"],
      ["then", "refused, over"],
    ],
  );
});

test("the best response (§16.7 step 6)", () => {
  const best = (
    statuses: (number | "408 made" | "503 made")[],
    more: { cancelled?: boolean; isInvite?: boolean } = {},
  ) => {
    const collected = statuses.map((status) =>
      typeof status === "number"
        ? ({ kind: "received", response: response(status) } as const)
        : ({ kind: "made", status: Number(status.slice(0, 3)) } as const),
    );
    const one = chooseBest(collected, { cancelled: false, isInvite: true, ...more });
    return one.kind === "made" ? one.status : one.response.status;
  };
  assert.equal(best([]), 408);
  assert.equal(best([500, 404, 302, 600]), 600);
  assert.equal(best([500, 404, 302]), 302);
  assert.equal(best([404, 480, 401]), 401);
  assert.equal(best(["408 made", 486]), 486);
  assert.equal(best(["503 made", 504]), 504);
  assert.equal(best([503]), 500);
  assert.equal(best(["503 made"]), 500);
  assert.equal(best([404, 487], { cancelled: true }), 487);
  assert.equal(best(["408 made"], { cancelled: true }), 487);
  assert.equal(best([408], { isInvite: false }), 504);
});

test("every challenge goes along", () => {
  const one = { kind: "received", response: response(401, ['WWW-Authenticate: Digest realm="a"']) } as const;
  const two = { kind: "received", response: response(407, ['Proxy-Authenticate: Digest realm="b"']) } as const;
  const best = chooseBest([one, two], { cancelled: false, isInvite: true });
  assert.ok(best.kind === "received");
  assert.equal(headersOf(best.response, "www-authenticate").length, 1);
  assert.equal(headersOf(best.response, "proxy-authenticate").length, 1);
});

const anyInput: fc.Arbitrary<context.ContextInput> = fc.oneof(
  fc.record({
    kind: fc.constant("response" as const),
    branch: fc.nat(5),
    response: fc
      .constantFrom(100, 180, 183, 200, 302, 401, 404, 407, 408, 486, 487, 500, 503, 603)
      .map((status) => response(status, status === 302 ? ["Contact: <sip:n1@192.0.2.9>, <sip:n2@192.0.2.9>"] : [])),
  }),
  fc.record({ kind: fc.constant("failed" as const), branch: fc.nat(5), status: fc.constantFrom(408, 503, 482) }),
  fc.record({
    kind: fc.constant("timer" as const),
    timer: fc.constantFrom("provisional" as const, "final" as const, "C" as const, "cancel" as const),
    branch: fc.nat(5),
  }),
  fc.constant({ kind: "cancel" as const, reasons: [] }),
  fc.constant({ kind: "deadline" as const }),
);
const anySearch: fc.Arbitrary<context.SearchContext> = fc.record({
  timing: fc.constant(DEFAULT_TIMING),
  isInvite: fc.boolean(),
  forking: fc.constantFrom("serial" as const, "simultaneous" as const),
  followRedirects: fc.boolean(),
  provisionalTimeoutMs: fc.constantFrom(undefined, 2_000),
  finalTimeoutMs: fc.constantFrom(undefined, 9_000),
  timerCMs: fc.constant(181_000),
  deadlineMs: fc.constant(27_000),
  targetsMax: fc.constant(6),
  breadth: fc.integer({ min: 1, max: 60 }),
});

test("property: any order of responses and timers ends in one final response (2xx apart), no branch and no timer left", () => {
  fc.assert(
    fc.property(
      anySearch,
      fc.integer({ min: 1, max: 4 }),
      fc.array(anyInput, { maxLength: 40 }),
      (search, count, inputs) => {
        const timers = new Set<string>();
        const alive = new Set<number>();
        const forked = new Set<number>();
        let [finals, accepted, dones, breadth] = [0, 0, 0, 0];
        const shares = new Map<number, number>();
        const take = ({ state, effects }: context.ContextStep) => {
          for (const effect of effects) {
            if (effect.kind === "fork") {
              assert.ok(!forked.has(effect.branch));
              forked.add(effect.branch);
              alive.add(effect.branch);
              shares.set(effect.branch, effect.breadth);
              assert.ok(effect.breadth >= 1);
            } else if (effect.kind === "start-timer") timers.add(`${effect.timer} ${effect.branch}`);
            else if (effect.kind === "stop-timer") timers.delete(`${effect.timer} ${effect.branch}`);
            else if (effect.kind === "start-deadline") timers.add("deadline");
            else if (effect.kind === "stop-deadline") timers.delete("deadline");
            else if (effect.kind === "abandon") alive.delete(effect.branch);
            else if (effect.kind === "cancel-branch") assert.ok(search.isInvite);
            else if (effect.kind === "done") dones++;
            else if (effect.kind === "refuse") finals++;
            else if (effect.kind === "forward") {
              const { status } = effect.response;
              if (status >= 300) finals++;
              else if (status >= 200) accepted++;
              else assert.equal(finals + accepted, 0); // no provisional after a final response
            }
          }
          breadth = state.branches.reduce((sum, branch) => sum + (branch.phase === "ended" ? 0 : branch.breadth), 0);
          assert.ok(breadth <= search.breadth);
          return state;
        };
        let state = take(context.start(search, targets(count)));
        /** As the world would: a branch that does not exist says nothing, a timer that does not run does not ring. */
        const happen = (input: context.ContextInput) => {
          if (input.kind === "deadline" && !timers.delete("deadline")) return;
          if (input.kind === "timer" && !timers.delete(`${input.timer} ${input.branch}`)) return;
          if (input.kind === "cancel" && !search.isInvite) return;
          if (input.kind === "failed" && !alive.delete(input.branch)) return;
          if (input.kind === "response") {
            if (!forked.has(input.branch)) return;
            const isCopy = !alive.has(input.branch);
            if (isCopy && (!search.isInvite || Math.floor(input.response.status / 100) !== 2)) return;
            if (input.response.status >= 200) alive.delete(input.branch);
          }
          state = take(context.step(search, state, input));
        };
        for (const input of inputs) happen(input);
        // In the end every transaction times out, and every timer rings.
        for (let round = 0; round < 12 && (alive.size > 0 || timers.size > 0); round++) {
          for (const branch of [...alive]) happen({ kind: "failed", branch, status: 408 });
          for (const name of [...timers]) {
            const [timer, branch] = name.split(" ");
            if (timer === "deadline") happen({ kind: "deadline" });
            else happen({ kind: "timer", timer: timer as context.BranchTimer, branch: Number(branch) });
          }
        }
        assert.ok(context.isOver(state));
        assert.equal(timers.size, 0);
        assert.equal(dones, 1);
        assert.ok(state.branches.every(({ phase }) => phase === "ended"));
        // A late 2xx may follow a failure (§16.7 step 5); but never two failures, and never a failure after a 2xx.
        assert.ok(finals === 1 || (finals === 0 && accepted >= 1));
        if (!search.isInvite) assert.equal(finals + accepted, 1);
        assert.deepEqual(JSON.parse(JSON.stringify(state)), state); // plain data
      },
    ),
    { numRuns: 3_000 },
  );
});
