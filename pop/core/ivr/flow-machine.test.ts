import assert from "node:assert/strict";
import { test } from "node:test";
import { asId } from "../../../kernel/ids.ts";
import type { ActivityKind } from "./flow.ts";
import { FAILURES_IN_A_ROW_MAX, INSTANT_ACTIVITIES_MAX, QUEUE_SILENCE_RETRY_MS } from "./flow-machine.ts";
import { contextOf, file, flowOf, Rehearsal, text } from "./rehearsal.ts";

type Kind<Name extends ActivityKind["kind"]> = Extract<ActivityKind, { kind: Name }>;

const play = (name: string, next: string): ActivityKind => ({ kind: "play", prompts: [file(name)], next });
const set = (variable: string, value: string, next: string): ActivityKind => ({ kind: "set", variable, value, next });
const disconnect: ActivityKind = { kind: "disconnect" };
const menu = (more: Partial<Kind<"menu">> = {}): ActivityKind => ({
  kind: "menu",
  prompts: [file("menu")],
  choices: { "1": "sales", "2": "support" },
  timeoutMs: 4_000,
  attemptsMax: 2,
  noMatchPrompts: [file("wrong")],
  onNoInput: undefined,
  onNoMatch: undefined,
  ...more,
});
const collect = (more: Partial<Kind<"collect">> = {}): ActivityKind => ({
  kind: "collect",
  prompts: [file("digits")],
  variable: "account",
  digitsMin: 4,
  digitsMax: 4,
  terminator: "#",
  firstDigitTimeoutMs: 5_000,
  interDigitTimeoutMs: 2_000,
  attemptsMax: 2,
  next: "sales",
  onNoInput: undefined,
  sensitive: false,
  ...more,
});
const queue = (more: Partial<Kind<"queue">> = {}): ActivityKind => ({
  kind: "queue",
  queueId: asId("support"),
  music: undefined,
  messages: [],
  messageIntervalMs: 20_000,
  waitMsMax: 0,
  onWaitExceeded: undefined,
  priority: 0,
  next: undefined,
  ...more,
});
const condition = (left: string, comparison: Kind<"condition">["comparison"], right: string): ActivityKind => ({
  kind: "condition",
  left,
  comparison,
  right,
  // biome-ignore lint/suspicious/noThenProperty: the activity's own word
  then: "sales",
  otherwise: "support",
});
const ENDS = { sales: play("sales", "end"), support: play("support", "end"), end: disconnect };

const rehearse = (activities: Parameters<typeof flowOf>[0], variables?: Record<string, string>): Rehearsal =>
  new Rehearsal(contextOf(flowOf({ ...activities, ...ENDS }, variables)));

// ---- menu

test("a caller hears the greeting, picks from the menu, and the call ends by the flow", () => {
  const call = rehearse({ greet: play("hello", "pick"), pick: menu() });
  assert.equal(call.heard, "hello");
  call.finish();
  assert.equal(call.heard, "menu");
  call.finish();
  assert.equal(call.timers.get("flow.input"), 4_000);
  call.press("2");
  assert.equal(call.heard, "support");
  call.finish();
  assert.equal(call.because, "flow.disconnected");
});

test("a key pressed during the menu's prompt stops the prompt and counts", () => {
  const call = rehearse({ pick: menu() });
  call.press("1");
  assert.equal(call.heard, "sales");
});

test("a key pressed during a message does not cut it short, and answers the menu after it", () => {
  const call = rehearse({ greet: play("hello", "pick"), pick: menu() });
  call.press("1");
  assert.equal(call.heard, "hello");
  call.finish();
  assert.equal(call.heard, "sales");
  assert.ok(call.notes.includes("pick | menu: digit 1 → sales | typed ahead"));
});

test("a key pressed too early that the menu does not know is forgotten and costs no attempt", () => {
  const call = rehearse({ greet: play("hello", "pick"), pick: menu({ attemptsMax: 1 }) });
  call.press("91");
  call.finish();
  assert.equal(call.heard, "menu");
  call.press("1");
  assert.equal(call.heard, "sales");
});

test("silence after the menu plays it again, and after the last attempt the way for no input is taken", () => {
  const call = rehearse({ pick: menu({ onNoInput: "support" }) });
  call.finish();
  call.fire("flow.input");
  assert.equal(call.heard, "menu");
  call.finish();
  call.fire("flow.input");
  assert.equal(call.heard, "support");
});

test("a wrong key is answered with the no-match prompts and the menu again, then by the way for no match", () => {
  const call = rehearse({ pick: menu({ onNoMatch: "sales" }) });
  call.press("9");
  assert.equal(call.heard, "wrong + menu");
  call.press("8");
  assert.equal(call.heard, "sales");
});

test("flow.no-input: without a way for it, the default treatment is played once and the call released", () => {
  const call = rehearse({ pick: menu({ attemptsMax: 1 }) });
  call.finish();
  call.fire("flow.input");
  assert.equal(call.heard, "sorry");
  call.finish();
  assert.equal(call.because, "flow.no-input");
});

test("a menu without prompts listens at once", () => {
  const call = rehearse({ pick: menu({ prompts: [] }) });
  assert.equal(call.heard, "");
  assert.equal(call.timers.get("flow.input"), 4_000);
});

// ---- collect

test("digits are collected up to their number, and the first key stops the prompt", () => {
  const call = rehearse({
    ask: collect({ next: "say" }),
    say: { kind: "play", prompts: [text("{{ account }}")], next: "end" },
  });
  call.press("1");
  assert.equal(call.heard, "");
  assert.equal(call.timers.get("flow.input"), 2_000);
  call.press("234");
  assert.equal(call.heard, "1234");
});

test("the terminator ends a shorter number; a pause does as well", () => {
  for (const finish of [(call: Rehearsal) => call.press("#"), (call: Rehearsal) => call.fire("flow.input")]) {
    const call = rehearse({ ask: collect({ digitsMin: 2, digitsMax: 8 }) });
    call.press("12");
    finish(call);
    assert.equal(call.heard, "sales");
    assert.equal(call.state.run.variables.account, "12");
  }
});

test("too few digits are asked for again, and at the last attempt fail with flow.no-match", () => {
  const call = rehearse({ ask: { ...collect(), onFailure: "support" } });
  call.press("12#");
  assert.equal(call.heard, "digits");
  call.press("12");
  call.fire("flow.input");
  assert.equal(call.heard, "support");
  assert.match(call.notes.join("\n"), /flow\.no-match/);
});

test("a terminator out of habit after the last digit does not answer the next menu", () => {
  const call = rehearse({ ask: collect({ next: "pick" }), pick: menu({ choices: { "#": "support", "1": "sales" } }) });
  call.press("1234#");
  assert.equal(call.heard, "menu");
  call.press("#");
  assert.equal(call.heard, "support");
});

test("once the next prompt was heard to its end, the terminator is a key like any other", () => {
  const call = rehearse({ ask: collect({ next: "pick" }), pick: menu({ choices: { "#": "support", "1": "sales" } }) });
  call.press("1234");
  call.finish();
  call.press("#");
  assert.equal(call.heard, "support");
});

test("after a pause the terminator is a key like any other, also where nothing is played", () => {
  const silent = menu({ prompts: [], noMatchPrompts: [], choices: { "#": "support" } });
  const call = rehearse({ ask: collect({ next: "pick" }), pick: silent });
  call.press("1234");
  call.fire("flow.input");
  call.press("#");
  assert.equal(call.heard, "support");
});

test("an account number and a menu choice typed ahead are taken without a prompt", () => {
  const call = rehearse({ greet: play("hello", "ask"), ask: collect({ next: "pick" }), pick: menu() });
  call.press("1234#2");
  call.finish();
  assert.equal(call.heard, "support");
  assert.equal(call.state.run.variables.account, "1234");
});

test("half a number typed ahead is completed without a prompt", () => {
  const call = rehearse({ greet: play("hello", "ask"), ask: collect() });
  call.press("12");
  call.finish();
  assert.equal(call.heard, "");
  call.press("34");
  assert.equal(call.heard, "sales");
});

test("keys typed ahead are bounded: the 33rd is lost", () => {
  const call = rehearse({ greet: play("hello", "end") });
  call.press("1".repeat(40));
  assert.equal(call.state.run.typedAhead.length, 32);
});

test("what is collected as sensitive is in no note, nor is what is copied or compared with it", () => {
  const call = rehearse({
    ask: collect({ variable: "pin", sensitive: true, next: "copy" }),
    copy: set("copied", "x{{ pin }}", "check"),
    check: condition("{{ copied }}", "equals", "x4711"),
  });
  call.press("4711");
  assert.equal(call.heard, "sales");
  assert.ok(!call.notes.join("\n").includes("4711"));
  assert.ok(call.notes.some((line) => line.includes("4 digits → pin")));
  assert.ok(call.notes.some((line) => line.includes("(hidden) equals (hidden)")));
});

test("telephone numbers are in no note", () => {
  const call = rehearse({
    copy: set("who", "{{ call.callingNumber }}", "own"),
    own: set("hotline", "+49 89 123-456", "check"),
    check: condition("{{ call.calledNumber }}", "starts-with", "+4989"),
  });
  assert.equal(call.heard, "sales");
  assert.doesNotMatch(call.notes.join("\n"), /\d{4}|123-456/);
});

// ---- set, condition, go-to

test("conditions decide by what was set, and say why", () => {
  const call = rehearse(
    { tier: set("n", "{{ base }}2", "check"), check: condition("{{ n }}", "less-than", "50") },
    {
      base: "4",
    },
  );
  assert.equal(call.heard, "sales");
  assert.ok(call.notes.includes("check | condition: '42' less-than '50' → then sales | tier: set"));
});

test("a variable that nobody has set is-empty, and fails every other comparison", () => {
  assert.equal(rehearse({ check: condition("{{ nobody }}", "is-empty", "") }).heard, "sales");
  const call = rehearse({ check: condition("{{ nobody }}", "equals", "") });
  assert.equal(call.heard, "sorry");
  call.finish();
  assert.equal(call.because, "flow.template-invalid");
});

test("flow.not-a-number: less-than on a word takes the failure path", () => {
  assert.equal(rehearse({ check: { ...condition("ten", "less-than", "50"), onFailure: "support" } }).heard, "support");
});

test(`flow.loop: ${INSTANT_ACTIVITIES_MAX} activities in a row that take no time end in the failure path`, () => {
  const call = rehearse({
    a: { kind: "go-to", activity: "b", onFailure: "support" },
    b: { kind: "go-to", activity: "a", onFailure: "support" },
  });
  assert.equal(call.heard, "support");
});

test("a flow that does nothing but loop ends, even if its failure path is the loop", () => {
  const call = rehearse({
    a: { kind: "go-to", activity: "b", onFailure: "a" },
    b: { kind: "go-to", activity: "a", onFailure: "a" },
  });
  assert.equal(call.heard, "sorry");
  assert.ok(call.effects.length < (FAILURES_IN_A_ROW_MAX + 2) * (INSTANT_ACTIVITIES_MAX + 2));
});

test("a variable that doubles itself is stopped before it fills the memory", () => {
  const call = rehearse({ grow: set("x", "{{ x }}{{ x }}", "grow") }, { x: "0123456789" });
  call.finish();
  assert.equal(call.because, "flow.template-invalid");
});

// ---- failure paths

test("flow.prompt-failed: a prompt that cannot be played takes the activity's failure path", () => {
  const call = rehearse({ greet: { ...play("hello", "sales"), onFailure: "support" } });
  call.finish("failed");
  assert.equal(call.heard, "support");
});

test("a failure path that fails for ever ends in the default treatment, and that failing in release", () => {
  const call = rehearse({ greet: { ...play("hello", "end"), onFailure: "greet" } });
  for (let times = 0; times <= FAILURES_IN_A_ROW_MAX; times++) call.finish("failed");
  assert.equal(call.heard, "sorry");
  call.finish("failed");
  assert.equal(call.because, "flow.prompt-failed");
});

test("a tenant without a default treatment: the call is released at once", () => {
  const call = new Rehearsal(contextOf(flowOf({ greet: play("hello", "greet") }), []));
  call.finish("failed");
  assert.equal(call.because, "flow.prompt-failed");
});

test("a default treatment that cannot be rendered releases the call at once", () => {
  const call = new Rehearsal(contextOf(flowOf({ greet: play("hello", "greet") }), [text("{{ nobody }}")]));
  call.finish("failed");
  assert.equal(call.because, "flow.prompt-failed");
});

test("the end of an older play changes nothing", () => {
  const call = rehearse({ greet: play("hello", "pick"), pick: menu() });
  call.give({ kind: "played", play: asId("flow-0"), how: "failed" });
  assert.equal(call.heard, "hello");
});

test("a message without prompts is over at once, and blank texts are not played", () => {
  const call = rehearse({ greet: { kind: "play", prompts: [text(" {{ empty }} ")], next: "sales" } }, { empty: "" });
  assert.equal(call.heard, "sales");
});

test("keys pressed before an activity failed do not answer what its failure path asks", () => {
  const call = rehearse({ greet: { ...play("hello", "end"), onFailure: "pick" }, pick: menu() });
  call.press("1");
  call.finish("failed");
  assert.equal(call.heard, "menu");
});

// ---- queue

test("a late wait timer of an earlier queue does not end a wait without limit", () => {
  const call = rehearse({ wait: queue() });
  call.give({ kind: "timer", timer: "flow.wait" });
  assert.equal(call.state.name, "queued");
});

test("in queue: music, a message now and then, music again", () => {
  const call = rehearse({ wait: queue({ messages: [file("one"), text("place {{ queue.position }}")] }) });
  assert.equal(call.heard, "music/support");
  call.give({ kind: "queue-position", position: 3 });
  const heard = [];
  for (let times = 0; times < 3; times++) {
    assert.equal(call.timers.get("flow.message"), 20_000);
    call.fire("flow.message");
    heard.push(call.heard);
    call.finish();
    assert.equal(call.heard, "music/support");
  }
  assert.deepEqual(heard, ["one", "place 3", "one"]);
});

test("a message that reads a position nobody has told yet is left out, and the music goes on", () => {
  const call = rehearse({ wait: queue({ messages: [text("place {{ queue.position }}")] }) });
  call.fire("flow.message");
  assert.equal(call.heard, "music/support");
  assert.equal(call.timers.get("flow.message"), 20_000);
});

test("music that fails is replaced by the default, then by tries in silence; the caller keeps the place", () => {
  const call = rehearse({ wait: queue({ music: file("broken") }) });
  call.finish("failed");
  assert.equal(call.heard, "music/default");
  call.finish("failed");
  assert.equal(call.heard, "");
  assert.equal(call.timers.get("flow.message"), QUEUE_SILENCE_RETRY_MS);
  call.fire("flow.message");
  assert.equal(call.heard, "broken");
  call.give({ kind: "agent-connected" });
  assert.equal(call.state.name, "with-agent");
});

test("with all music broken the messages are still heard", () => {
  const call = rehearse({ wait: queue({ messages: [file("one")] }) });
  call.finish("failed");
  call.finish("failed");
  call.fire("flow.message");
  assert.equal(call.heard, "one");
});

test("a queue without music of its own plays the default", () => {
  assert.equal(rehearse({ wait: queue({ queueId: asId("silent") }) }).heard, "music/default");
});

test("who has waited too long leaves the queue and goes the way for it", () => {
  const call = rehearse({ wait: queue({ waitMsMax: 60_000, onWaitExceeded: "support" }) });
  call.fire("flow.wait");
  assert.equal(call.heard, "support");
  assert.ok(call.effects.some((one) => one.kind === "leave-queue"));
});

test("a queue that refuses takes the failure path; its code is in the notes", () => {
  const call = rehearse({ wait: { ...queue(), onFailure: "support" } });
  call.give({ kind: "queue-refused", code: "queue.full" });
  assert.equal(call.heard, "support");
  assert.match(call.notes.join("\n"), /flow\.queue-refused: the queue refused: queue\.full/);
});

test("keys in queue are ignored, told once, and answer no later menu", () => {
  const call = rehearse({ wait: queue({ waitMsMax: 60_000, onWaitExceeded: "pick" }), pick: menu() });
  call.press("111");
  assert.equal(call.notes.filter((line) => line.includes("key ignored")).length, 1);
  call.fire("flow.wait");
  assert.equal(call.heard, "menu");
});

test("when the agent has left, the caller goes on in the flow, or is released", () => {
  const survey = rehearse({ wait: queue({ next: "support" }) });
  survey.give({ kind: "agent-connected" });
  survey.press("5");
  survey.give({ kind: "agent-left" });
  assert.equal(survey.heard, "support");
  const plain = rehearse({ wait: queue() });
  plain.give({ kind: "agent-connected" });
  plain.give({ kind: "agent-left" });
  assert.equal(plain.because, "flow.disconnected");
});

// ---- transfer

test("a transfer rings with music, talks, and releases the caller when the other side leaves", () => {
  const dial: ActivityKind = {
    kind: "transfer",
    number: "{{ to }}",
    trunkId: undefined,
    ringTimeoutMs: 20_000,
    next: undefined,
  };
  const call = rehearse({ dial }, { to: "+49 (30) 12-34" });
  assert.equal(call.heard, "music/default");
  assert.deepEqual(
    call.effects.find((one) => one.kind === "transfer"),
    { kind: "transfer", number: "+49301234", trunkId: undefined, ringTimeoutMs: 20_000 },
  );
  call.give({ kind: "transfer-answered" });
  call.give({ kind: "transfer-ended" });
  assert.equal(call.because, "flow.disconnected");
});

test("flow.transfer-failed and flow.number-unusable take the failure path", () => {
  const dial = (number: string): ActivityKind => ({
    kind: "transfer",
    number,
    trunkId: undefined,
    ringTimeoutMs: 20_000,
    next: undefined,
  });
  const busy = rehearse({ dial: { ...dial("123"), onFailure: "support" } });
  busy.give({ kind: "transfer-failed", code: "trunk.rejected" });
  assert.equal(busy.heard, "support");
  const nonsense = rehearse({ dial: dial("call me; now") });
  nonsense.finish();
  assert.equal(nonsense.because, "flow.number-unusable");
});
