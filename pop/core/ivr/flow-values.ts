// What a running flow may read, what it may write, and what of it may be shown.

import { fail, type Outcome, succeed } from "../../../kernel/outcome.ts";
import type { FlowFailure } from "../failure/flow-failure.ts";
import type { Prompt } from "../media/prompt.ts";
import type { Run } from "./flow-state.ts";
import { type Rendered, render } from "./template.ts";

/** No variable of a flow may be called so. */
export const isReservedName = (name: string): boolean => /^(call|queue)\./.test(name);

/**
 * Facts are read-only; queue.position has a value only in queue, once the region has told it.
 * @param position 0: not in queue, or not known
 */
export function valueIn(run: Run, name: string, position: number): string | undefined {
  switch (name) {
    case "call.id":
      return run.facts.id;
    case "call.callingNumber":
      return run.facts.callingNumber;
    case "call.calledNumber":
      return run.facts.calledNumber;
    case "queue.position":
      return position > 0 ? String(position) : undefined;
    default:
      return Object.hasOwn(run.variables, name) ? run.variables[name] : undefined;
  }
}

/** @fails flow.template-invalid */
export function renderFor(run: Run, template: string, position = 0): Outcome<Rendered, FlowFailure> {
  const rendered = render(template, (name) => valueIn(run, name, position));
  return rendered.ok ? rendered : fail({ code: "flow.template-invalid", detail: rendered.failure.detail });
}

/** For is-empty only: a variable nobody has set yet is empty, which is how a flow asks whether it is set. */
export function renderLeniently(run: Run, template: string): Outcome<Rendered, FlowFailure> {
  const rendered = render(template, (name) => valueIn(run, name, 0) ?? "");
  return rendered.ok ? rendered : fail({ code: "flow.template-invalid", detail: rendered.failure.detail });
}

/** Texts filled in; a text that comes out blank is left out. @fails flow.template-invalid */
export function renderPrompts(
  run: Run,
  prompts: readonly Prompt[],
  position = 0,
): Outcome<readonly Prompt[], FlowFailure> {
  const ready: Prompt[] = [];
  for (const prompt of prompts) {
    if (prompt.kind === "file") {
      ready.push(prompt);
      continue;
    }
    const rendered = renderFor(run, prompt.text, position);
    if (!rendered.ok) return rendered;
    if (rendered.value.text.trim() !== "") ready.push({ ...prompt, text: rendered.value.text });
  }
  return succeed(ready);
}

/** Whether something made of these names may not be shown: sensitive, or a party's number. */
export const readsHidden = (run: Run, names: readonly string[]): boolean =>
  names.some((name) => name === "call.callingNumber" || name === "call.calledNumber" || run.hidden.includes(name));

export function assign(run: Run, variable: string, value: string, hide: boolean): Run {
  const others = run.hidden.filter((name) => name !== variable);
  return {
    ...run,
    variables: { ...run.variables, [variable]: value },
    hidden: hide ? [...others, variable] : others,
  };
}

const PHONE_LIKE = /\+?\d(?:[ ()./-]{0,2}\d){5,}/g;

/** For notes: short, and without anything that looks like a telephone number. */
export function shown(value: string): string {
  const masked = value.replace(PHONE_LIKE, "[number]");
  return `'${masked.length > 60 ? `${masked.slice(0, 60)}…` : masked}'`;
}
