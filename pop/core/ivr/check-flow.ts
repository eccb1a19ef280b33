// Proves that a flow is whole: every reference leads somewhere, every quantity is in range, every template can be read.
// Reports every mistake, each with where it is. What only the call can show (a variable that has no value yet, a trunk
// that cannot be dialled) is not held against a flow here: a snapshot is refused as a whole, for all tenants, and the
// machine has a failure path for each of these.

import type { Prompt } from "../media/prompt.ts";
import type { Flow } from "./flow.ts";
import { isReservedName } from "./flow-values.ts";
import { isName, parseTemplate, VALUE_CHARACTERS_MAX } from "./template.ts";

export const ACTIVITIES_MAX = 500;
export const PROMPTS_MAX = 20;
export const VARIABLES_MAX = 200;
export const ATTEMPTS_MAX = 20;
export const DIGITS_MAX = 64;
/** One hour: no question stays open longer. */
export const TIMEOUT_MS_MAX = 3_600_000;
/** A day: longer is a mistake in the unit. */
export const WAIT_MS_MAX = 86_400_000;
export const RING_TIMEOUT_MS_MIN = 1_000;
export const RING_TIMEOUT_MS_MAX = 300_000;
export const PRIORITY_MAX = 1_000;

/** What stands outside the flow and is named in it: both of the flow's tenant. */
export interface FlowSurroundings {
  queueExists(id: string): boolean;
  trunkExists(id: string): boolean;
}

/** @param report takes where, below the flow ("activities[menu].choices[1]"), and what is wrong there */
export function checkFlow(flow: Flow, around: FlowSurroundings, report: (path: string, message: string) => void): void {
  const ids = Object.keys(flow.activities);
  if (ids.length > ACTIVITIES_MAX) return report("activities", `${ids.length} activities, at most ${ACTIVITIES_MAX}`);
  const known = namesOf(flow);

  const target = (path: string, id: string | undefined): void => {
    if (id !== undefined && !Object.hasOwn(flow.activities, id)) report(path, `there is no activity "${id}"`);
  };
  const template = (path: string, text: string): void => {
    if (text.length > VALUE_CHARACTERS_MAX) report(path, `longer than ${VALUE_CHARACTERS_MAX} characters`);
    const parsed = parseTemplate(text);
    if (!parsed.ok) return report(path, parsed.failure.detail);
    for (const part of parsed.value) {
      // call.* and queue.* are the machine's to know; a name of theirs without a value fails the activity.
      if (part.kind === "name" && !isReservedName(part.name) && !known.has(part.name)) {
        report(path, `nothing sets the variable "${part.name}"`);
      }
    }
  };
  const prompt = (path: string, one: Prompt): void => {
    if (one.kind === "text") return template(`${path}.text`, one.text);
    if (one.kind !== "file") return report(`${path}.kind`, "a prompt is a file or a text");
    if (!isPromptName(one.name)) report(`${path}.name`, `"${one.name.slice(0, 80)}" is no name of a prompt file`);
  };
  const prompts = (path: string, all: readonly Prompt[]): void => {
    if (all.length > PROMPTS_MAX) report(path, `${all.length} prompts, at most ${PROMPTS_MAX}`);
    for (const [at, one] of all.entries()) prompt(`${path}[${at}]`, one);
  };
  const within = (path: string, value: number, min: number, max: number): void => {
    if (!Number.isInteger(value) || value < min || value > max) {
      report(path, `${value} is no whole number from ${min} to ${max}`);
    }
  };
  const variable = (path: string, name: string): void => {
    if (!isName(name)) report(path, `"${name.slice(0, 80)}" is no name of a variable`);
    else if (isReservedName(name)) report(path, `"${name}": names with "call." and "queue." are read-only`);
  };

  if (!Number.isInteger(flow.version) || flow.version < 1) report("version", `${flow.version} is no version`);
  target("start", flow.start);
  const initial = Object.entries(flow.variables);
  if (initial.length > VARIABLES_MAX) report("variables", `${initial.length} variables, at most ${VARIABLES_MAX}`);
  for (const [name, value] of initial) {
    variable(`variables[${name}]`, name);
    if (value.length > VALUE_CHARACTERS_MAX)
      report(`variables[${name}]`, `longer than ${VALUE_CHARACTERS_MAX} characters`);
  }

  for (const [id, activity] of Object.entries(flow.activities)) {
    const here = (field: string): string => `activities[${id}].${field}`;
    target(here("onFailure"), activity.onFailure);
    switch (activity.kind) {
      case "play":
        prompts(here("prompts"), activity.prompts);
        target(here("next"), activity.next);
        break;
      case "menu":
        prompts(here("prompts"), activity.prompts);
        prompts(here("noMatchPrompts"), activity.noMatchPrompts);
        if (Object.keys(activity.choices).length === 0) report(here("choices"), "a menu needs a choice");
        for (const [key, to] of Object.entries(activity.choices)) {
          if (!/^[0-9*#]$/.test(key)) report(here(`choices[${key}]`), "a choice is one of 0-9, * and #");
          target(here(`choices[${key}]`), to);
        }
        within(here("timeoutMs"), activity.timeoutMs, 1, TIMEOUT_MS_MAX);
        within(here("attemptsMax"), activity.attemptsMax, 1, ATTEMPTS_MAX);
        target(here("onNoInput"), activity.onNoInput);
        target(here("onNoMatch"), activity.onNoMatch);
        break;
      case "collect":
        prompts(here("prompts"), activity.prompts);
        variable(here("variable"), activity.variable);
        within(here("digitsMax"), activity.digitsMax, 1, DIGITS_MAX);
        within(here("digitsMin"), activity.digitsMin, 0, activity.digitsMax);
        if (activity.terminator !== undefined && !/^[0-9*#]$/.test(activity.terminator)) {
          report(here("terminator"), "a terminator is one of 0-9, * and #");
        }
        within(here("firstDigitTimeoutMs"), activity.firstDigitTimeoutMs, 1, TIMEOUT_MS_MAX);
        within(here("interDigitTimeoutMs"), activity.interDigitTimeoutMs, 1, TIMEOUT_MS_MAX);
        within(here("attemptsMax"), activity.attemptsMax, 1, ATTEMPTS_MAX);
        target(here("next"), activity.next);
        target(here("onNoInput"), activity.onNoInput);
        break;
      case "set":
        variable(here("variable"), activity.variable);
        template(here("value"), activity.value);
        target(here("next"), activity.next);
        break;
      case "condition":
        // is-empty may ask for what nothing sets: that is its answer.
        if (activity.comparison !== "is-empty") {
          template(here("left"), activity.left);
          template(here("right"), activity.right);
        } else if (!parseTemplate(activity.left).ok) template(here("left"), activity.left);
        target(here("then"), activity.then);
        target(here("otherwise"), activity.otherwise);
        break;
      case "go-to":
        target(here("activity"), activity.activity);
        break;
      case "queue":
        if (!around.queueExists(activity.queueId))
          report(here("queueId"), `the tenant has no queue "${activity.queueId}"`);
        if (activity.music !== undefined) prompt(here("music"), activity.music);
        prompts(here("messages"), activity.messages);
        if (activity.messages.length > 0)
          within(here("messageIntervalMs"), activity.messageIntervalMs, 1_000, TIMEOUT_MS_MAX);
        within(here("waitMsMax"), activity.waitMsMax, 0, WAIT_MS_MAX);
        within(here("priority"), activity.priority, 0, PRIORITY_MAX);
        target(here("onWaitExceeded"), activity.onWaitExceeded);
        target(here("next"), activity.next);
        break;
      case "transfer":
        template(here("number"), activity.number);
        within(here("ringTimeoutMs"), activity.ringTimeoutMs, RING_TIMEOUT_MS_MIN, RING_TIMEOUT_MS_MAX);
        target(here("next"), activity.next);
        if (activity.trunkId !== undefined && !around.trunkExists(activity.trunkId)) {
          report(here("trunkId"), `the tenant has no trunk "${activity.trunkId}"`);
        }
        break;
      case "disconnect":
        break;
      default:
        report(here("kind"), `there is no kind of activity "${String((activity as { kind?: unknown }).kind)}"`);
    }
  }
}

/** "music/default", "acme/welcome": relative, no way out of the prompt store's folder. */
export const isPromptName = (name: string): boolean =>
  name.length <= 200 && /^[A-Za-z0-9_-][A-Za-z0-9_.-]*(\/[A-Za-z0-9_-][A-Za-z0-9_.-]*)*$/.test(name);

/** Every variable that may have a value at some time. */
function namesOf(flow: Flow): ReadonlySet<string> {
  const names = new Set<string>(Object.keys(flow.variables));
  for (const activity of Object.values(flow.activities)) {
    if (activity.kind === "set" || activity.kind === "collect") names.add(activity.variable);
  }
  return names;
}
