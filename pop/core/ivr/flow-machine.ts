// The flow interpreter: one execution per call, one activity at a time. Pure.
//
// A. Every activity has a failure path: its onFailure, else the tenant's default treatment (played once, then the call
//    is released); a failure in the default treatment releases the call at once. Never dead air, never a call left up.
// B. In every state but "ended" something plays, or a timer runs, or somebody else has the caller: queue, agent, number.
// C. Whoever leaves a state stops what plays and runs in it.
// D. A `played` for any play but the newest is late news and changes nothing.
// E. Keys: one pressed during the prompt of a menu or collect stops the prompt and counts (barge-in). One pressed
//    during a play activity does not cut it short, but is kept for the next menu or collect, which then skips its
//    prompt. Kept keys are forgotten when they fit nothing, when an activity fails, and by queue and transfer.
// F. Notes never hold a hidden value or a telephone number (flow-values.ts).

import { asId } from "../../../kernel/ids.ts";
import { fail, type Outcome, succeed } from "../../../kernel/outcome.ts";
import { impossible, type Step } from "../../../kernel/step.ts";
import { type FlowFailure, showFlowFailure } from "../failure/flow-failure.ts";
import type { PlayId, Prompt } from "../media/prompt.ts";
import { compare } from "./comparison.ts";
import type { Activity, ActivityId, ActivityKind, Flow } from "./flow.ts";
import type { CallFacts, FlowContext, FlowEffect, FlowInput, FlowTimer } from "./flow-execution.ts";
import type { FlowState, In, Run } from "./flow-state.ts";
import { assign, readsHidden, renderFor, renderLeniently, renderPrompts, shown } from "./flow-values.ts";

export type FlowStep = Step<FlowState, FlowEffect>;

/** Set, condition, go-to and the like in a row, without one activity that takes time. */
export const INSTANT_ACTIVITIES_MAX = 100;
/** Failure paths taken in a row before the default treatment ends it: a failure path may fail as well. */
export const FAILURES_IN_A_ROW_MAX = 5;
export const TYPED_AHEAD_DIGITS_MAX = 32;
/** In queue with no music to be had: how long until we try to be heard again. */
export const QUEUE_SILENCE_RETRY_MS = 5_000;
export const MESSAGE_INTERVAL_MS_MIN = 1_000;
export const DEFAULT_MUSIC: Prompt = { kind: "file", name: "music/default" };

export function startFlow(ctx: FlowContext, facts: CallFacts): FlowStep {
  const run: Run = {
    facts,
    variables: { ...ctx.flow.variables },
    hidden: [],
    typedAhead: "",
    habitKey: "",
    plays: 0,
    failuresInRow: 0,
  };
  return enter(ctx, { kind: "goes-on", run, to: ctx.flow.start, why: "start of the flow", effects: [] });
}

export function stepFlow(ctx: FlowContext, state: FlowState, input: FlowInput): FlowStep {
  if (input.kind === "digit") {
    if (!/^[0-9*#A-D]$/.test(input.digit)) return stay(state);
    if (state.run.habitKey !== "") {
      const calm: FlowState = { ...state, run: { ...state.run, habitKey: "" } };
      return input.digit === state.run.habitKey ? stay(calm) : dispatch(ctx, calm, input);
    }
  }
  return dispatch(ctx, state, input);
}

function dispatch(ctx: FlowContext, state: FlowState, input: FlowInput): FlowStep {
  switch (state.name) {
    case "playing":
      return playing(ctx, state, input);
    case "menu":
      return menu(ctx, state, input);
    case "collecting":
      return collecting(ctx, state, input);
    case "queued":
      return queued(ctx, state, input);
    case "with-agent":
      return withAgent(ctx, state, input);
    case "transferring":
      return transferring(ctx, state, input);
    case "with-number":
      return withNumber(ctx, state, input);
    case "default-treatment":
      return defaultTreatment(state, input);
    case "ended":
      return stay(state);
    default:
      return impossible(state);
  }
}

// ---- from activity to activity

interface GoesOn {
  readonly kind: "goes-on";
  readonly run: Run;
  readonly to: ActivityId;
  /** For the trace: why we go there. */
  readonly why: string;
  readonly effects: readonly FlowEffect[];
}

interface Waits extends FlowStep {
  readonly kind: "waits";
}

interface Fails {
  readonly kind: "fails";
  readonly run: Run;
  readonly failure: FlowFailure;
  readonly effects: readonly FlowEffect[];
}

/** What became of an activity so far. */
type Turn = GoesOn | Waits | Fails;

/** Runs activities until one takes time. */
function enter(ctx: FlowContext, first: GoesOn): FlowStep {
  const effects: FlowEffect[] = [...first.effects];
  let next = first;
  for (let inRow = 0; ; inRow++) {
    const loops = inRow === INSTANT_ACTIVITIES_MAX;
    if (loops) inRow = 0; // its failure path gets a fresh count; failuresInRow bounds the whole
    let turn: Turn = loops
      ? fails(next.run, { code: "flow.loop", activitiesMax: INSTANT_ACTIVITIES_MAX })
      : begin(ctx, next);
    effects.push(...turn.effects);
    if (turn.kind === "fails") {
      turn = afterFailure(ctx, turn.run, next.to, turn.failure);
      effects.push(...turn.effects);
    }
    if (turn.kind === "waits") return { state: turn.state, effects };
    next = turn;
  }
}

function begin(ctx: FlowContext, { run, to, why }: GoesOn): Turn {
  const activity = activityOf(ctx.flow, to);
  if (activity === undefined) return fails(run, { code: "flow.activity-unknown" });
  switch (activity.kind) {
    case "play":
      return beginPlay(to, activity, run, why);
    case "menu":
      return beginMenu(to, activity, run, why);
    case "collect":
      return beginCollect(to, activity, run, why);
    case "set":
      return set(to, activity, run, why);
    case "condition":
      return decide(to, activity, run, why);
    case "go-to":
      return goesOn(run, activity.activity, `${to}: go to`, [note(to, `go to ${activity.activity}`, why)]);
    case "queue":
      return beginQueue(ctx, to, activity, run, why);
    case "transfer":
      return beginTransfer(to, activity, run, why);
    case "disconnect":
      return end(run, "flow.disconnected", [note(to, "entered: disconnect", why)]);
    default:
      return impossible(activity);
  }
}

/** Invariant A. */
function afterFailure(ctx: FlowContext, run: Run, id: ActivityId, failure: FlowFailure): GoesOn | Waits {
  const onFailure = activityOf(ctx.flow, id)?.onFailure;
  const failed: Run = { ...run, typedAhead: "", habitKey: "", failuresInRow: run.failuresInRow + 1 };
  const because = `${failure.code}: ${showFlowFailure(failure)}`;
  if (onFailure !== undefined && failed.failuresInRow <= FAILURES_IN_A_ROW_MAX) {
    return goesOn(failed, onFailure, `${id} failed`, [note(id, `failed → ${onFailure}`, because)]);
  }
  const why = onFailure === undefined ? because : `${because}; ${FAILURES_IN_A_ROW_MAX} failures in a row`;
  const noted = note(id, "failed → default treatment", why);
  const said = say(failed, ctx.defaultTreatment, "once");
  if (!said.ok || said.value.hearing.kind === "silence") return end(failed, failure.code, [noted]);
  const { run: after, hearing, effects } = said.value;
  return waits({ name: "default-treatment", run: after, activity: id, play: hearing.play, because: failure.code }, [
    noted,
    ...effects,
  ]);
}

/** The same, for an activity that had begun in an earlier step. @param leaving invariant C */
function failed(
  ctx: FlowContext,
  run: Run,
  id: ActivityId,
  failure: FlowFailure,
  leaving: readonly FlowEffect[],
): FlowStep {
  const turn = afterFailure(ctx, run, id, failure);
  const effects = [...leaving, ...turn.effects];
  return turn.kind === "waits" ? { state: turn.state, effects } : enter(ctx, { ...turn, effects });
}

// ---- play

function beginPlay(id: ActivityId, activity: Of<"play">, run: Run, why: string): Turn {
  const noted = note(id, "entered: play", why);
  const said = say(run, activity.prompts, "once");
  if (!said.ok) return fails(run, said.failure, [noted]);
  const { run: after, hearing, effects } = said.value;
  if (hearing.kind === "silence") return goesOn(run, activity.next, `${id}: nothing to play`, [noted]);
  return waits({ name: "playing", run: after, activity: id, play: hearing.play }, [noted, ...effects]);
}

/** A prompt of a play activity is being heard. */
function playing(ctx: FlowContext, state: In<"playing">, input: FlowInput): FlowStep {
  const { run, activity: id } = state;
  switch (input.kind) {
    case "digit":
      return stay({ ...state, run: typedAhead(run, input.digit) });
    case "played": {
      if (input.play !== state.play) return stay(state); // invariant D
      if (input.how !== "finished") return failed(ctx, run, id, { code: "flow.prompt-failed" }, []);
      const activity = activityOf(ctx.flow, id, "play");
      if (activity === undefined) return failed(ctx, run, id, { code: "flow.activity-unknown" }, []);
      return enter(ctx, goesOn(heard(run), activity.next, `${id}: played`, []));
    }
    default:
      return stay(state);
  }
}

// ---- menu

function beginMenu(id: ActivityId, activity: Of<"menu">, run: Run, why: string): Turn {
  const noted = note(id, "entered: menu", why);
  const digit = run.typedAhead.charAt(0);
  if (digit === "") return ask(id, activity, run, 1, activity.prompts, [noted]);
  const choice = choiceOf(activity, digit);
  if (choice !== undefined) {
    const rest = counted({ ...run, typedAhead: run.typedAhead.slice(1) });
    return goesOn(rest, choice, `${id}: digit ${digit}`, [
      noted,
      note(id, `menu: digit ${digit} → ${choice}`, "typed ahead"),
    ]);
  }
  // The caller was somewhere else in mind: forget it, and do not hold it against them.
  const forgotten = note(id, `menu: digit ${digit} forgotten`, "typed ahead, no such choice");
  return ask(id, activity, { ...run, typedAhead: "" }, 1, activity.prompts, [noted, forgotten]);
}

function menu(ctx: FlowContext, state: In<"menu">, input: FlowInput): FlowStep {
  const { run, activity: id, attempt, hearing } = state;
  const activity = activityOf(ctx.flow, id, "menu");
  if (activity === undefined) return failed(ctx, run, id, { code: "flow.activity-unknown" }, hush(hearing));
  switch (input.kind) {
    case "digit": {
      const choice = choiceOf(activity, input.digit);
      const when = hearing.kind === "prompt" ? "pressed during the prompt" : "pressed after the prompt";
      if (choice === undefined) {
        const noted = note(id, `menu: digit ${input.digit}, no such choice`, `${when}, attempt ${attempt}`);
        return again(ctx, state, activity, "no-match", [...hush(hearing), noted]);
      }
      const effects = [...hush(hearing), note(id, `menu: digit ${input.digit} → ${choice}`, when)];
      return enter(ctx, goesOn(counted(run), choice, `${id}: digit ${input.digit}`, effects));
    }
    case "played":
      if (hearing.kind !== "prompt" || input.play !== hearing.play) return stay(state);
      if (input.how !== "finished") return failed(ctx, run, id, { code: "flow.prompt-failed" }, []);
      return go({ ...state, run: heard(run), hearing: SILENCE }, [startTimer("flow.input", activity.timeoutMs)]);
    case "timer": {
      if (input.timer !== "flow.input" || hearing.kind !== "silence") return stay(state);
      const noted = note(id, "menu: no key pressed", `${activity.timeoutMs} ms, attempt ${attempt}`);
      return again(ctx, state, activity, "no-input", [noted]);
    }
    default:
      return stay(state);
  }
}

// ---- collect

function beginCollect(id: ActivityId, activity: Of<"collect">, run: Run, why: string): Turn {
  const noted = note(id, "entered: collect", why);
  if (run.typedAhead === "") return askDigits(id, activity, run, 1, [noted]);
  const taken = takeDigits(activity, "", run.typedAhead);
  const rest: Run = { ...run, typedAhead: taken.rest };
  if (!taken.complete) {
    // In the midst of typing: no prompt, go on listening.
    const state = { name: "collecting", run: counted(rest), activity: id, attempt: 1, digits: taken.digits } as const;
    return waits({ ...state, hearing: SILENCE }, [noted, startTimer("flow.input", activity.interDigitTimeoutMs)]);
  }
  if (taken.digits.length >= activity.digitsMin) return accept(id, activity, rest, taken, "typed ahead", [noted]);
  const forgotten = note(id, "collect: keys forgotten", "typed ahead, too few digits");
  return askDigits(id, activity, { ...run, typedAhead: "" }, 1, [noted, forgotten]);
}

function collecting(ctx: FlowContext, state: In<"collecting">, input: FlowInput): FlowStep {
  const { run, activity: id, attempt, hearing } = state;
  const activity = activityOf(ctx.flow, id, "collect");
  if (activity === undefined) return failed(ctx, run, id, { code: "flow.activity-unknown" }, hush(hearing));
  const take = (taken: Taken, why: string, leaving: readonly FlowEffect[]): FlowStep => {
    if (taken.digits.length >= activity.digitsMin) return enter(ctx, accept(id, activity, run, taken, why, leaving));
    const noted = note(id, `collect: ${digitCount(taken.digits)}, ${activity.digitsMin} needed`, why);
    return again(ctx, state, activity, "no-match", [...leaving, noted]);
  };
  switch (input.kind) {
    case "digit": {
      const taken = takeDigits(activity, state.digits, input.digit);
      if (taken.complete) return take(taken, taken.terminated ? "terminator pressed" : "all digits", hush(hearing));
      const listening: FlowState = { ...state, run: counted(run), digits: taken.digits, hearing: SILENCE };
      return go(listening, [
        ...(hearing.kind === "prompt" ? hush(hearing) : []), // starting a timer anew replaces it
        startTimer("flow.input", activity.interDigitTimeoutMs),
      ]);
    }
    case "played":
      if (hearing.kind !== "prompt" || input.play !== hearing.play) return stay(state);
      if (input.how !== "finished") return failed(ctx, run, id, { code: "flow.prompt-failed" }, []);
      return go({ ...state, run: heard(run), hearing: SILENCE }, [
        startTimer("flow.input", activity.firstDigitTimeoutMs),
      ]);
    case "timer": {
      if (input.timer !== "flow.input" || hearing.kind !== "silence") return stay(state);
      const { digits } = state;
      if (digits !== "") return take({ digits, rest: "", complete: true, terminated: false }, "no further digit", []);
      const noted = note(id, "collect: no key pressed", `${activity.firstDigitTimeoutMs} ms, attempt ${attempt}`);
      return again(ctx, state, activity, "no-input", [noted]);
    }
    default:
      return stay(state);
  }
}

interface Taken {
  readonly digits: string;
  /** Keys left over once complete. */
  readonly rest: string;
  readonly complete: boolean;
  readonly terminated: boolean;
}

function takeDigits(activity: Of<"collect">, before: string, keys: string): Taken {
  let digits = before;
  for (let at = 0; at < keys.length; at++) {
    const terminated = keys.charAt(at) === activity.terminator;
    if (!terminated) digits += keys.charAt(at);
    if (terminated || digits.length >= activity.digitsMax) {
      return { digits, rest: keys.slice(at + 1), complete: true, terminated };
    }
  }
  return { digits, rest: "", complete: false, terminated: false };
}

/** Many callers end even a full number with the terminator: then it must not answer the next question. */
function accept(
  id: ActivityId,
  activity: Of<"collect">,
  run: Run,
  { digits, rest, terminated }: Taken,
  why: string,
  before: readonly FlowEffect[],
): GoesOn {
  const full = !terminated && digits.length >= activity.digitsMax;
  const habit = full ? (activity.terminator ?? "") : "";
  const typed = habit !== "" && rest.startsWith(habit) ? rest.slice(1) : rest;
  const filled = assign(counted(run), activity.variable, digits, activity.sensitive);
  return goesOn(
    { ...filled, typedAhead: typed, habitKey: rest === "" ? habit : "" },
    activity.next,
    `${id}: ${digitCount(digits)} entered`,
    [...before, note(id, `collect: ${digitCount(digits)} → ${activity.variable}`, why)],
  );
}

// ---- menu and collect alike: ask, and ask again

type Listening = In<"menu"> | In<"collecting">;

function ask(
  id: ActivityId,
  activity: Of<"menu">,
  run: Run,
  attempt: number,
  prompts: readonly Prompt[],
  before: readonly FlowEffect[],
): Waits | Fails {
  const said = say(run, prompts, "once");
  if (!said.ok) return fails(run, said.failure, before);
  const { run: after, hearing, effects } = said.value;
  const listen = hearing.kind === "silence" ? [startTimer("flow.input", activity.timeoutMs)] : [];
  return waits({ name: "menu", run: after, activity: id, attempt, hearing }, [...before, ...effects, ...listen]);
}

function askDigits(
  id: ActivityId,
  activity: Of<"collect">,
  run: Run,
  attempt: number,
  before: readonly FlowEffect[],
): Waits | Fails {
  const said = say(run, activity.prompts, "once");
  if (!said.ok) return fails(run, said.failure, before);
  const { run: after, hearing, effects } = said.value;
  const listen = hearing.kind === "silence" ? [startTimer("flow.input", activity.firstDigitTimeoutMs)] : [];
  return waits({ name: "collecting", run: after, activity: id, attempt, digits: "", hearing }, [
    ...before,
    ...effects,
    ...listen,
  ]);
}

/** Nothing, or nothing of use, was entered: ask again, or take the way out for the last time it happened. */
function again(
  ctx: FlowContext,
  state: Listening,
  activity: Of<"menu"> | Of<"collect">,
  what: "no-input" | "no-match",
  before: readonly FlowEffect[],
): FlowStep {
  const { activity: id, attempt } = state;
  const run: Run = { ...state.run, habitKey: "" };
  if (attempt < activity.attemptsMax) {
    const prompts =
      activity.kind === "menu" && what === "no-match"
        ? [...activity.noMatchPrompts, ...activity.prompts]
        : activity.prompts;
    const asked =
      activity.kind === "menu"
        ? ask(id, activity, run, attempt + 1, prompts, before)
        : askDigits(id, activity, run, attempt + 1, before);
    return asked.kind === "waits" ? go(asked.state, asked.effects) : failed(ctx, run, id, asked.failure, asked.effects);
  }
  const wayOut = what === "no-input" ? activity.onNoInput : activity.kind === "menu" ? activity.onNoMatch : undefined;
  const why = what === "no-input" ? "no input" : "no match";
  if (wayOut !== undefined) return enter(ctx, goesOn(run, wayOut, `${id}: ${why}, attempt ${attempt}`, before));
  return failed(ctx, run, id, { code: `flow.${what}`, attempts: attempt }, before);
}

// ---- set, condition

function set(id: ActivityId, activity: Of<"set">, run: Run, why: string): Turn {
  const rendered = renderFor(run, activity.value);
  if (!rendered.ok) return fails(run, rendered.failure);
  const hide = readsHidden(run, rendered.value.names);
  const value = hide ? "(hidden)" : shown(rendered.value.text);
  const after = assign(run, activity.variable, rendered.value.text, hide);
  return goesOn(after, activity.next, `${id}: set`, [note(id, `set: ${activity.variable} = ${value}`, why)]);
}

function decide(id: ActivityId, activity: Of<"condition">, run: Run, why: string): Turn {
  const { comparison } = activity;
  const left = comparison === "is-empty" ? renderLeniently(run, activity.left) : renderFor(run, activity.left);
  if (!left.ok) return fails(run, left.failure);
  const right =
    comparison === "is-empty" ? succeed({ text: "", names: [] as readonly string[] }) : renderFor(run, activity.right);
  if (!right.ok) return fails(run, right.failure);
  const holds = compare(left.value.text, comparison, right.value.text);
  if (!holds.ok) return fails(run, holds.failure);
  // With one side hidden the other is hidden too: 'equals' would tell.
  const hide = readsHidden(run, [...left.value.names, ...right.value.names]);
  const show = (text: string): string => (hide ? "(hidden)" : shown(text));
  const sides = `${show(left.value.text)} ${comparison}${comparison === "is-empty" ? "" : ` ${show(right.value.text)}`}`;
  const [way, to] = holds.value ? ["then", activity.then] : ["otherwise", activity.otherwise];
  return goesOn(run, to, `${id}: ${way}`, [note(id, `condition: ${sides} → ${way} ${to}`, why)]);
}

// ---- queue

function beginQueue(ctx: FlowContext, id: ActivityId, activity: Of<"queue">, before: Run, why: string): Turn {
  const run: Run = { ...before, typedAhead: "", habitKey: "" };
  const waiting: In<"queued"> = {
    name: "queued",
    run,
    activity: id,
    hearing: SILENCE,
    music: "own",
    messagesPlayed: 0,
    position: 0,
    digitsIgnored: 0,
  };
  const music = startMusic(ctx, waiting, activity);
  const limit = activity.waitMsMax > 0 ? [startTimer("flow.wait", activity.waitMsMax)] : [];
  const enqueue: FlowEffect = { kind: "enqueue", queueId: activity.queueId, priority: activity.priority };
  const noted = note(id, `entered: queue ${activity.queueId}`, why);
  return waits(music.state, [noted, ...music.effects, enqueue, ...limit]);
}

/** Waiting for an agent: music for ever, a message now and then. Nothing that fails to play ends the wait. */
function queued(ctx: FlowContext, state: In<"queued">, input: FlowInput): FlowStep {
  const { run, activity: id, hearing } = state;
  const activity = activityOf(ctx.flow, id, "queue");
  const quiet = hushQueue(hearing);
  if (activity === undefined) return failed(ctx, run, id, { code: "flow.activity-unknown" }, quiet);
  switch (input.kind) {
    case "played":
      if (hearing.kind === "silence" || input.play !== hearing.play) return stay(state);
      return hearing.kind === "music" ? musicEnded(ctx, state, activity) : startMusic(ctx, state, activity);
    case "timer":
      if (input.timer === "flow.wait") {
        const leave: FlowEffect = { kind: "leave-queue", reason: "wait-exceeded" };
        const { waitMsMax, onWaitExceeded } = activity;
        if (waitMsMax === 0) return stay(state);
        const effects = [...quiet, leave];
        if (onWaitExceeded === undefined)
          return failed(ctx, run, id, { code: "flow.wait-exceeded", waitMsMax }, effects);
        const noted = note(id, `queue: waited ${waitMsMax} ms → ${onWaitExceeded}`, "the longest wait allowed");
        return enter(ctx, goesOn(run, onWaitExceeded, `${id}: waited too long`, [...effects, noted]));
      }
      if (input.timer !== "flow.message" || hearing.kind === "message") return stay(state);
      return startMessage(ctx, state, activity);
    case "queue-position":
      if (input.position === state.position) return stay(state);
      return go({ ...state, position: input.position }, [
        note(id, `queue: position ${input.position}`, "the region says"),
      ]);
    case "queue-refused":
      return failed(ctx, run, id, { code: "flow.queue-refused", queueCode: input.code }, [
        ...quiet,
        stopTimer("flow.wait"),
      ]);
    case "agent-connected":
      return go({ name: "with-agent", run: counted(run), activity: id }, [
        ...quiet,
        stopTimer("flow.wait"),
        note(id, "queue: connected to an agent", `place ${state.position === 0 ? "unknown" : state.position}`),
      ]);
    case "digit": {
      const told = state.digitsIgnored > 0 ? [] : [note(id, "queue: key ignored", "the caller is in queue")];
      return go({ ...state, digitsIgnored: state.digitsIgnored + 1 }, told);
    }
    default:
      return stay(state);
  }
}

/** Own music, else the default, else silence until we try again. The message timer runs beside music. */
function startMusic(ctx: FlowContext, state: In<"queued">, activity: Of<"queue">): FlowStep {
  const own = activity.music ?? ctx.musicOf(activity.queueId);
  const chosen = state.music === "own" && own !== undefined ? own : DEFAULT_MUSIC;
  const said = say(state.run, [chosen], "forever", state.position);
  const interval = Math.max(MESSAGE_INTERVAL_MS_MIN, activity.messageIntervalMs);
  if (said.ok && said.value.hearing.kind === "prompt") {
    const { run, hearing, effects } = said.value;
    const messages = activity.messages.length > 0 ? [startTimer("flow.message", interval)] : [];
    const music = chosen === DEFAULT_MUSIC ? "default" : "own";
    return go({ ...state, run, music, hearing: { kind: "music", play: hearing.play } }, [...effects, ...messages]);
  }
  return musicEnded(ctx, { ...state, music: chosen === DEFAULT_MUSIC ? "default" : "own" }, activity);
}

/** Music plays for ever: however it ended, it failed. */
function musicEnded(ctx: FlowContext, state: In<"queued">, activity: Of<"queue">): FlowStep {
  const { activity: id } = state;
  if (state.music === "own") {
    const next = startMusic(ctx, { ...state, music: "default" }, activity);
    return go(next.state, [note(id, "queue: default music", "the queue's music could not be played"), ...next.effects]);
  }
  // From here on the queue's own music is tried anew.
  return go({ ...state, music: "own", hearing: SILENCE }, [
    note(id, "queue: silence", `no music could be played; next try in ${QUEUE_SILENCE_RETRY_MS} ms`),
    startTimer("flow.message", QUEUE_SILENCE_RETRY_MS),
  ]);
}

/** The next message in turn. One that cannot be rendered (a position nobody has told yet) is left out this time. */
function startMessage(ctx: FlowContext, state: In<"queued">, activity: Of<"queue">): FlowStep {
  const { messages } = activity;
  const message = messages[state.messagesPlayed % Math.max(1, messages.length)];
  const told: In<"queued"> = { ...state, messagesPlayed: state.messagesPlayed + 1 };
  const said = message === undefined ? undefined : say(state.run, [message], "once", state.position);
  if (said?.ok && said.value.hearing.kind === "prompt") {
    const { run, hearing, effects } = said.value;
    return go({ ...told, run, hearing: { kind: "message", play: hearing.play } }, effects);
  }
  if (state.hearing.kind === "silence") return startMusic(ctx, told, activity);
  return go(told, [startTimer("flow.message", Math.max(MESSAGE_INTERVAL_MS_MIN, activity.messageIntervalMs))]);
}

/** The agent has the caller: nothing plays, keys are not ours. */
function withAgent(ctx: FlowContext, state: In<"with-agent">, input: FlowInput): FlowStep {
  switch (input.kind) {
    case "agent-left":
      return afterTalk(ctx, state, activityOf(ctx.flow, state.activity, "queue")?.next, "the agent left");
    default:
      return stay(state);
  }
}

// ---- transfer

function beginTransfer(id: ActivityId, activity: Of<"transfer">, before: Run, why: string): Turn {
  const run: Run = { ...before, typedAhead: "", habitKey: "" };
  const noted = note(id, "entered: transfer", why);
  const rendered = renderFor(run, activity.number);
  if (!rendered.ok) return fails(run, rendered.failure, [noted]);
  const number = rendered.value.text.replace(/[\s()./-]/g, "");
  if (!/^\+?[0-9*#]{1,32}$/.test(number)) return fails(run, { code: "flow.number-unusable" }, [noted]);
  // No ringback tone of our own yet: music says that something goes on, which a caller needs to know most.
  const said = say(run, [DEFAULT_MUSIC], "forever");
  if (!said.ok) return fails(run, said.failure, [noted]);
  const { trunkId, ringTimeoutMs } = activity;
  return waits({ name: "transferring", run: said.value.run, activity: id, hearing: said.value.hearing }, [
    noted,
    ...said.value.effects,
    { kind: "transfer", number, trunkId, ringTimeoutMs },
  ]);
}

/** The number is being called; how long it may ring is in the effect, and the call's to watch. */
function transferring(ctx: FlowContext, state: In<"transferring">, input: FlowInput): FlowStep {
  const { run, activity: id, hearing } = state;
  const quiet: FlowEffect[] = hearing.kind === "prompt" ? [STOP_PLAYING] : [];
  switch (input.kind) {
    case "played":
      if (hearing.kind !== "prompt" || input.play !== hearing.play) return stay(state);
      return stay({ ...state, hearing: SILENCE });
    case "transfer-answered":
      return go({ name: "with-number", run: counted(run), activity: id }, [
        ...quiet,
        note(id, "transfer: answered", "the called party picked up"),
      ]);
    case "transfer-failed":
      return failed(ctx, run, id, { code: "flow.transfer-failed", transferCode: input.code }, quiet);
    case "transfer-ended":
      return afterTalk(ctx, state, activityOf(ctx.flow, id, "transfer")?.next, "the called party left", quiet);
    default:
      return stay(state);
  }
}

function withNumber(ctx: FlowContext, state: In<"with-number">, input: FlowInput): FlowStep {
  switch (input.kind) {
    case "transfer-ended":
      return afterTalk(ctx, state, activityOf(ctx.flow, state.activity, "transfer")?.next, "the called party left");
    case "transfer-failed":
      return failed(ctx, state.run, state.activity, { code: "flow.transfer-failed", transferCode: input.code }, []);
    default:
      return stay(state);
  }
}

function afterTalk(
  ctx: FlowContext,
  state: In<"with-agent"> | In<"with-number"> | In<"transferring">,
  next: ActivityId | undefined,
  why: string,
  before: readonly FlowEffect[] = [],
): FlowStep {
  const { run, activity: id } = state;
  if (next === undefined) return end(run, "flow.disconnected", [...before, note(id, "disconnect", why)]);
  return enter(ctx, goesOn(counted(run), next, `${id}: ${why}`, before));
}

// ---- the end

/** Played once, whatever happens to it the call is then released. */
function defaultTreatment(state: In<"default-treatment">, input: FlowInput): FlowStep {
  switch (input.kind) {
    case "played":
      return input.play === state.play ? end(state.run, state.because, []) : stay(state);
    default:
      return stay(state);
  }
}

const end = (run: Run, because: string, before: readonly FlowEffect[]): Waits =>
  waits({ name: "ended", run, because }, [...before, { kind: "disconnect", because }]);

// ---- small things

type Of<Kind extends ActivityKind["kind"]> = Extract<Activity, { readonly kind: Kind }>;

function activityOf(flow: Flow, id: ActivityId): Activity | undefined;
function activityOf<Kind extends ActivityKind["kind"]>(flow: Flow, id: ActivityId, kind: Kind): Of<Kind> | undefined;
function activityOf(flow: Flow, id: ActivityId, kind?: string): Activity | undefined {
  const activity = Object.hasOwn(flow.activities, id) ? flow.activities[id] : undefined;
  return kind === undefined || activity?.kind === kind ? activity : undefined;
}

const choiceOf = ({ choices }: Of<"menu">, digit: string): ActivityId | undefined =>
  Object.hasOwn(choices, digit) ? choices[digit] : undefined;

interface Said {
  readonly run: Run;
  /** Silence: there was nothing to play. */
  readonly hearing: { readonly kind: "prompt"; readonly play: PlayId } | { readonly kind: "silence" };
  readonly effects: readonly FlowEffect[];
}

/** @fails flow.template-invalid */
function say(
  run: Run,
  templates: readonly Prompt[],
  repeat: "once" | "forever",
  position = 0,
): Outcome<Said, FlowFailure> {
  const prompts = renderPrompts(run, templates, position);
  if (!prompts.ok) return fail(prompts.failure);
  if (prompts.value.length === 0) return succeed({ run, hearing: SILENCE, effects: [] });
  const plays = run.plays + 1;
  const play: PlayId = asId(`flow-${plays}`);
  return succeed({
    run: { ...run, plays },
    hearing: { kind: "prompt", play },
    effects: [{ kind: "play", play, prompts: prompts.value, repeat }],
  });
}

/** A prompt was heard to its end: the flow gets through to the caller, and the caller's habit key is not coming. */
const heard = (run: Run): Run => ({ ...run, habitKey: "", failuresInRow: 0 });
/** The caller did something that counted. */
const counted = (run: Run): Run => ({ ...run, failuresInRow: 0 });

const typedAhead = (run: Run, digit: string): Run =>
  run.typedAhead.length < TYPED_AHEAD_DIGITS_MAX ? { ...run, typedAhead: run.typedAhead + digit } : run;

const SILENCE = { kind: "silence" } as const;
const STOP_PLAYING: FlowEffect = { kind: "stop-playing" };

const hush = (hearing: In<"menu">["hearing"]): FlowEffect[] =>
  hearing.kind === "prompt" ? [STOP_PLAYING] : [stopTimer("flow.input")];
const hushQueue = (hearing: In<"queued">["hearing"]): FlowEffect[] =>
  hearing.kind === "silence" ? [stopTimer("flow.message")] : [stopTimer("flow.message"), STOP_PLAYING];

const digitCount = (digits: string): string => (digits.length === 1 ? "1 digit" : `${digits.length} digits`);

const go = (state: FlowState, effects: readonly FlowEffect[]): FlowStep => ({ state, effects });
const stay = (state: FlowState): FlowStep => ({ state, effects: [] });
const waits = (state: FlowState, effects: readonly FlowEffect[]): Waits => ({ kind: "waits", state, effects });
const goesOn = (run: Run, to: ActivityId, why: string, effects: readonly FlowEffect[]): GoesOn => ({
  kind: "goes-on",
  run,
  to,
  why,
  effects,
});
const fails = (run: Run, failure: FlowFailure, effects: readonly FlowEffect[] = []): Fails => ({
  kind: "fails",
  run,
  failure,
  effects,
});
const startTimer = (timer: FlowTimer, afterMs: number): FlowEffect => ({ kind: "start-timer", timer, afterMs });
const stopTimer = (timer: FlowTimer): FlowEffect => ({ kind: "stop-timer", timer });
const note = (activity: ActivityId, what: string, why: string): FlowEffect => ({ kind: "note", activity, what, why });
