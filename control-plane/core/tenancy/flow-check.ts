// What can be wrong with a flow although each of its activities is well written.

import type { ActivitySpec, FlowSpec, PromptSpec } from "./flow-document.ts";
import { readTemplate } from "./template.ts";

/** A finding about one object: where in it, and what. */
export interface Finding {
  readonly path: string;
  readonly message: string;
}

interface Edge {
  readonly path: string;
  readonly to: string;
  /** The caller may pass here without any time passing: these must not form a circle. */
  readonly instant: boolean;
}

/** Every way out of an activity. */
function edgesOf(activity: ActivitySpec): readonly Edge[] {
  const edges: Edge[] = [];
  const add = (path: string, to: string | undefined, instant: boolean) => {
    if (to !== undefined) edges.push({ path, to, instant });
  };
  add("play.next", activity.play?.next, false);
  for (const [key, to] of Object.entries(activity.menu?.choices ?? {})) add(`menu.choices.${key}`, to, false);
  add("menu.onNoInput", activity.menu?.onNoInput, false);
  add("menu.onNoMatch", activity.menu?.onNoMatch, false);
  add("collect.next", activity.collect?.next, false);
  add("collect.onNoInput", activity.collect?.onNoInput, false);
  add("set.next", activity.set?.next, true);
  add("if.then", activity.if?.then, true);
  add("if.else", activity.if?.else, true);
  add("goto", activity.goto, true);
  add("queue.onWaitExceeded", activity.queue?.onWaitExceeded, false);
  add("queue.next", activity.queue?.next, false);
  add("transfer.next", activity.transfer?.next, false);
  // Whatever fails may fail at once: a missing file, a queue that is full.
  add("onFailure", activity.onFailure, true);
  return edges;
}

const promptTexts = (prompts: readonly PromptSpec[] | undefined, path: string): readonly [string, string][] =>
  (prompts ?? []).flatMap((prompt, at) => (prompt.text === undefined ? [] : [[`${path}.${at}.text`, prompt.text]]));

function templatesOf({ play, menu, collect, set, if: condition, queue, transfer }: ActivitySpec) {
  const texts: [string, string][] = [
    ...promptTexts(play?.prompts, "play.prompts"),
    ...promptTexts(menu?.prompts, "menu.prompts"),
    ...promptTexts(menu?.noMatchPrompts, "menu.noMatchPrompts"),
    ...promptTexts(collect?.prompts, "collect.prompts"),
    ...promptTexts(queue?.messages, "queue.messages"),
    ...promptTexts(queue?.music ? [queue.music] : [], "queue.music"),
  ];
  if (set) texts.push(["set.value", set.value]);
  if (transfer) texts.push(["transfer.number", transfer.number]);
  for (const word of ["value", "equals", "notEquals", "lessThan", "greaterThan", "contains", "startsWith"] as const) {
    const text = condition?.[word];
    if (text !== undefined) texts.push([`if.${word}`, text]);
  }
  return texts;
}

/** Names a flow may always read: facts of the call, and its place in a queue. */
const GIVEN = new Set(["call.id", "call.callingNumber", "call.calledNumber", "queue.position"]);

export function checkFlow(flow: FlowSpec): readonly Finding[] {
  const findings: Finding[] = [];
  const known = new Set(Object.keys(flow.variables));
  for (const { collect, set } of Object.values(flow.activities)) {
    if (collect) known.add(collect.variable);
    if (set) known.add(set.variable);
  }
  if (flow.activities[flow.start] === undefined)
    findings.push({ path: "start", message: `there is no activity "${flow.start}"` });
  for (const [id, activity] of Object.entries(flow.activities)) {
    for (const { path, to } of edgesOf(activity))
      if (flow.activities[to] === undefined)
        findings.push({ path: `activities.${id}.${path}`, message: `there is no activity "${to}"` });
    for (const [path, text] of templatesOf(activity)) {
      const { names, mistakes } = readTemplate(text);
      for (const message of mistakes) findings.push({ path: `activities.${id}.${path}`, message });
      for (const name of names)
        if (!known.has(name) && !GIVEN.has(name))
          findings.push({ path: `activities.${id}.${path}`, message: `nothing in this flow sets "${name}"` });
    }
  }
  for (const circle of instantCircles(flow))
    findings.push({
      path: `activities.${circle[0]}`,
      message: `would go round for ever without any time passing: ${[...circle, circle[0]].join(" → ")}`,
    });
  return findings;
}

/** Each circle of activities that a call could run round in no time, once. */
function instantCircles(flow: FlowSpec): readonly (readonly string[])[] {
  const circles: string[][] = [];
  const done = new Set<string>();
  const walk = (id: string, way: string[]): void => {
    const seenAt = way.indexOf(id);
    if (seenAt !== -1) {
      circles.push(way.slice(seenAt));
      return;
    }
    const activity = flow.activities[id];
    if (activity === undefined || done.has(id)) return;
    for (const { to, instant } of edgesOf(activity)) if (instant) walk(to, [...way, id]);
    done.add(id);
  };
  for (const id of Object.keys(flow.activities)) walk(id, []);
  return circles;
}
