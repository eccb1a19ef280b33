// Templates: text with {{ names }} in it. Names only so far; an expression language takes the place of `readName` later.

import { fail, type Outcome, succeed } from "../../../kernel/outcome.ts";

/** One value, and anything rendered: longer is a flow that feeds itself. */
export const VALUE_CHARACTERS_MAX = 4_096;

export type TemplatePart =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "name"; readonly name: string };

/** In the words of whoever wrote the flow; never quotes a value. */
export interface TemplateInvalid {
  readonly detail: string;
}

const NAME = /^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*){0,7}$/;

/** What a variable may be called: "account", "customer.tier". At most 128 characters. */
export const isName = (text: string): boolean => text.length <= 128 && NAME.test(text);

export function parseTemplate(text: string): Outcome<readonly TemplatePart[], TemplateInvalid> {
  const parts: TemplatePart[] = [];
  let at = 0;
  for (;;) {
    const open = text.indexOf("{{", at);
    const plain = open < 0 ? text.slice(at) : text.slice(at, open);
    if (plain !== "") parts.push({ kind: "text", text: plain });
    if (open < 0) return succeed(parts);
    const close = text.indexOf("}}", open + 2);
    if (close < 0) return fail({ detail: `"{{" at character ${open + 1} is never closed` });
    const name = text.slice(open + 2, close).trim();
    if (!isName(name)) return fail({ detail: `what stands in "{{ }}" at character ${open + 1} is no variable name` });
    parts.push({ kind: "name", name });
    at = close + 2;
  }
}

export interface Rendered {
  readonly text: string;
  /** Every name read, so that what is private stays private in whatever it is copied to. */
  readonly names: readonly string[];
}

/** A name without a value is an error, not an empty text: a caller must not hear half a sentence. */
export function render(
  template: string,
  read: (name: string) => string | undefined,
): Outcome<Rendered, TemplateInvalid> {
  const parsed = parseTemplate(template);
  if (!parsed.ok) return parsed;
  const names: string[] = [];
  let text = "";
  for (const part of parsed.value) {
    const value = part.kind === "text" ? part.text : read(part.name);
    if (part.kind === "name") names.push(part.name);
    if (value === undefined) return fail({ detail: `the variable "${names.at(-1)}" has no value` });
    text += value;
    if (text.length > VALUE_CHARACTERS_MAX) {
      return fail({ detail: `the text is longer than ${VALUE_CHARACTERS_MAX} characters` });
    }
  }
  return succeed({ text, names });
}
