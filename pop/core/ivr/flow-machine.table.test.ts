import assert from "node:assert/strict";
import { test } from "node:test";
import { asId } from "../../../kernel/ids.ts";
import type { FlowEffect, FlowInput } from "./flow-execution.ts";
import { stepFlow } from "./flow-machine.ts";
import type { FlowState, Run } from "./flow-state.ts";
import { contextOf, FACTS, file, flowOf } from "./rehearsal.ts";

// Every state against every input. A cell that is not listed keeps its state and does nothing.
// Whoever changes the machine changes this page. Notes are left out.
const TABLE = `
playing              + digit 1             -> playing             :
playing              + digit 7             -> playing             :
playing              + digit #             -> playing             :
playing              + play over           -> menu                : play pick
playing              + play failed         -> default-treatment   : play sorry
menu, prompt         + digit 1             -> queued              : stop playing, play music/support for ever, start flow.message 20000, enqueue support, start flow.wait 60000
menu, prompt         + digit 7             -> menu                : stop playing, play wrong + pick
menu, prompt         + digit #             -> menu                : stop playing, play wrong + pick
menu, prompt         + play over           -> menu                : start flow.input 4000
menu, prompt         + play failed         -> default-treatment   : play sorry
menu, silence        + digit 1             -> queued              : stop flow.input, play music/support for ever, start flow.message 20000, enqueue support, start flow.wait 60000
menu, silence        + digit 7             -> menu                : stop flow.input, play wrong + pick
menu, silence        + digit #             -> menu                : stop flow.input, play wrong + pick
menu, silence        + flow.input          -> menu                : play pick
menu, last attempt   + digit 1             -> queued              : stop flow.input, play music/support for ever, start flow.message 20000, enqueue support, start flow.wait 60000
menu, last attempt   + digit 7             -> default-treatment   : stop flow.input, play sorry
menu, last attempt   + digit #             -> default-treatment   : stop flow.input, play sorry
menu, last attempt   + flow.input          -> playing             : play bye
collect, prompt      + digit 1             -> collecting          : stop playing, start flow.input 2000
collect, prompt      + digit 7             -> collecting          : stop playing, start flow.input 2000
collect, prompt      + digit #             -> collecting          : stop playing, play account
collect, prompt      + play over           -> collecting          : start flow.input 5000
collect, prompt      + play failed         -> default-treatment   : play sorry
collect, two keys    + digit 1             -> transferring        : stop flow.input, play music/default for ever, transfer
collect, two keys    + digit 7             -> transferring        : stop flow.input, play music/default for ever, transfer
collect, two keys    + digit #             -> transferring        : stop flow.input, play music/default for ever, transfer
collect, two keys    + flow.input          -> transferring        : play music/default for ever, transfer
queue, music         + digit 1             -> queued              :
queue, music         + digit 7             -> queued              :
queue, music         + digit #             -> queued              :
queue, music         + play over           -> queued              : play music/default for ever, start flow.message 20000
queue, music         + play failed         -> queued              : play music/default for ever, start flow.message 20000
queue, music         + flow.message        -> queued              : play patience
queue, music         + flow.wait           -> default-treatment   : stop flow.message, stop playing, leave queue, play sorry
queue, music         + position 2          -> queued              :
queue, music         + refused             -> default-treatment   : stop flow.message, stop playing, stop flow.wait, play sorry
queue, music         + agent connected     -> with-agent          : stop flow.message, stop playing, stop flow.wait
queue, message       + digit 1             -> queued              :
queue, message       + digit 7             -> queued              :
queue, message       + digit #             -> queued              :
queue, message       + play over           -> queued              : play music/support for ever, start flow.message 20000
queue, message       + play failed         -> queued              : play music/support for ever, start flow.message 20000
queue, message       + flow.wait           -> default-treatment   : stop flow.message, stop playing, leave queue, play sorry
queue, message       + position 2          -> queued              :
queue, message       + refused             -> default-treatment   : stop flow.message, stop playing, stop flow.wait, play sorry
queue, message       + agent connected     -> with-agent          : stop flow.message, stop playing, stop flow.wait
queue, silence       + digit 1             -> queued              :
queue, silence       + digit 7             -> queued              :
queue, silence       + digit #             -> queued              :
queue, silence       + flow.message        -> queued              : play patience
queue, silence       + flow.wait           -> default-treatment   : stop flow.message, leave queue, play sorry
queue, silence       + position 2          -> queued              :
queue, silence       + refused             -> default-treatment   : stop flow.message, stop flow.wait, play sorry
queue, silence       + agent connected     -> with-agent          : stop flow.message, stop flow.wait
with agent           + agent left          -> playing             : play bye
transferring         + play over           -> transferring        :
transferring         + play failed         -> transferring        :
transferring         + transfer answered   -> with-number         : stop playing
transferring         + transfer failed     -> playing             : stop playing, play bye
transferring         + transfer ended      -> ended               : stop playing, disconnect flow.disconnected
with number          + transfer failed     -> playing             : play bye
with number          + transfer ended      -> ended               : disconnect flow.disconnected
default treatment    + play over           -> ended               : disconnect flow.no-match
default treatment    + play failed         -> ended               : disconnect flow.no-match
`;

const ctx = contextOf(
  flowOf({
    greet: { kind: "play", prompts: [file("welcome")], next: "pick" },
    pick: {
      kind: "menu",
      prompts: [file("pick")],
      choices: { "1": "wait" },
      timeoutMs: 4_000,
      attemptsMax: 3,
      noMatchPrompts: [file("wrong")],
      onNoInput: "bye",
      onNoMatch: undefined,
    },
    number: {
      kind: "collect",
      prompts: [file("account")],
      variable: "account",
      digitsMin: 1,
      digitsMax: 3,
      terminator: "#",
      firstDigitTimeoutMs: 5_000,
      interDigitTimeoutMs: 2_000,
      attemptsMax: 2,
      next: "dial",
      onNoInput: undefined,
      sensitive: false,
    },
    wait: {
      kind: "queue",
      queueId: asId("support"),
      music: undefined,
      messages: [file("patience")],
      messageIntervalMs: 20_000,
      waitMsMax: 60_000,
      onWaitExceeded: undefined,
      priority: 0,
      next: "bye",
    },
    dial: {
      kind: "transfer",
      number: "+49301234",
      trunkId: undefined,
      ringTimeoutMs: 20_000,
      next: undefined,
      onFailure: "bye",
    },
    bye: { kind: "play", prompts: [file("bye")], next: "end" },
    end: { kind: "disconnect" },
  }),
);

const run: Run = {
  facts: FACTS,
  variables: {},
  hidden: [],
  typedAhead: "",
  habitKey: "",
  plays: 1,
  failuresInRow: 0,
};
const play = asId<"play">("flow-1");
const prompt = { kind: "prompt", play } as const;
const silence = { kind: "silence" } as const;
const menu = { name: "menu", run, activity: "pick", attempt: 1 } as const;
const queued = {
  name: "queued",
  run,
  activity: "wait",
  music: "own",
  messagesPlayed: 0,
  position: 0,
  digitsIgnored: 0,
} as const;

const STATES: Record<string, FlowState> = {
  playing: { name: "playing", run, activity: "greet", play },
  "menu, prompt": { ...menu, hearing: prompt },
  "menu, silence": { ...menu, hearing: silence },
  "menu, last attempt": { ...menu, attempt: 3, hearing: silence },
  "collect, prompt": { name: "collecting", run, activity: "number", attempt: 1, digits: "", hearing: prompt },
  "collect, two keys": { name: "collecting", run, activity: "number", attempt: 1, digits: "42", hearing: silence },
  "queue, music": { ...queued, hearing: { kind: "music", play } },
  "queue, message": { ...queued, hearing: { kind: "message", play } },
  "queue, silence": { ...queued, hearing: silence },
  "with agent": { name: "with-agent", run, activity: "wait" },
  transferring: { name: "transferring", run, activity: "dial", hearing: prompt },
  "with number": { name: "with-number", run, activity: "dial" },
  "default treatment": { name: "default-treatment", run, activity: "pick", play, because: "flow.no-match" },
  ended: { name: "ended", run, because: "flow.disconnected" },
};

const INPUTS: Record<string, FlowInput> = {
  "digit 1": { kind: "digit", digit: "1" },
  "digit 7": { kind: "digit", digit: "7" },
  "digit #": { kind: "digit", digit: "#" },
  "no digit": { kind: "digit", digit: "x" },
  "play over": { kind: "played", play, how: "finished" },
  "play failed": { kind: "played", play, how: "failed" },
  "older play over": { kind: "played", play: asId("flow-0"), how: "finished" },
  "flow.input": { kind: "timer", timer: "flow.input" },
  "flow.message": { kind: "timer", timer: "flow.message" },
  "flow.wait": { kind: "timer", timer: "flow.wait" },
  "position 2": { kind: "queue-position", position: 2 },
  refused: { kind: "queue-refused", code: "queue.full" },
  "agent connected": { kind: "agent-connected" },
  "agent left": { kind: "agent-left" },
  "transfer answered": { kind: "transfer-answered" },
  "transfer failed": { kind: "transfer-failed", code: "trunk.rejected" },
  "transfer ended": { kind: "transfer-ended" },
};

test("the flow machine, on one page", () => {
  const rows = Object.entries(STATES).flatMap(([from, state]) =>
    Object.entries(INPUTS).flatMap(([label, input]) => {
      const next = stepFlow(ctx, state, input);
      if (next.state === state && next.effects.length === 0) return [];
      const effects = next.effects.flatMap(inWords).join(", ");
      return [`${from.padEnd(20)} + ${label.padEnd(19)} -> ${next.state.name.padEnd(20)}: ${effects}`.trimEnd()];
    }),
  );
  assert.equal(rows.join("\n"), TABLE.trim());
});

function inWords(effect: FlowEffect): string[] {
  switch (effect.kind) {
    case "play": {
      const names = effect.prompts.map((one) => (one.kind === "file" ? one.name : one.text)).join(" + ");
      return [`play ${names}${effect.repeat === "forever" ? " for ever" : ""}`];
    }
    case "stop-playing":
      return ["stop playing"];
    case "start-timer":
      return [`start ${effect.timer} ${effect.afterMs}`];
    case "stop-timer":
      return [`stop ${effect.timer}`];
    case "enqueue":
      return [`enqueue ${effect.queueId}`];
    case "leave-queue":
      return ["leave queue"];
    case "transfer":
      return ["transfer"];
    case "disconnect":
      return [`disconnect ${effect.because}`];
    case "note":
      return [];
  }
}
