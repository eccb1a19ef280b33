// The `;name=value` tails of SIP values, and the comma lists around them. Hand-written scanners: each looks at a character once.

import { trimLws } from "./lws.ts";

const QUOTE = 34;
const BACKSLASH = 92;

/** Index just after the quoted string that begins at `at`; -1 when it never ends. */
export function afterQuoted(text: string, at: number): number {
  for (let index = at + 1; index < text.length; index++) {
    const code = text.charCodeAt(index);
    if (code === BACKSLASH) index++;
    else if (code === QUOTE) return index + 1;
  }
  return -1;
}

/**
 * The value of one parameter in `;a=b;c`, "" for a bare `;c`, undefined when absent.
 * Quoted values come back without their quotes. `name` is lower case.
 */
export function parameter(params: string, name: string): string | undefined {
  let at = params.indexOf(";");
  while (at !== -1 && at < params.length) {
    const end = endOfParameter(params, at + 1);
    const equals = params.indexOf("=", at + 1);
    const hasValue = equals !== -1 && equals < end;
    const own = trimLws(params.slice(at + 1, hasValue ? equals : end));
    if (own.length === name.length && own.toLowerCase() === name) {
      if (!hasValue) return "";
      const value = trimLws(params.slice(equals + 1, end));
      return value.startsWith('"') && value.endsWith('"') ? value.slice(1, -1) : value;
    }
    at = end;
  }
  return undefined;
}

/** The same parameters without one of them. */
export function withoutParameter(params: string, name: string): string {
  let kept = "";
  let at = params.indexOf(";");
  while (at !== -1 && at < params.length) {
    const end = endOfParameter(params, at + 1);
    const whole = params.slice(at, end);
    const equals = whole.indexOf("=");
    const own = whole
      .slice(1, equals === -1 ? undefined : equals)
      .trim()
      .toLowerCase();
    if (own !== name) kept += whole;
    at = end;
  }
  return kept;
}

/** Whether a quote never closes: whatever is appended would be inside it. */
export function hasOpenQuote(text: string): boolean {
  for (let at = text.indexOf('"'); at !== -1; at = text.indexOf('"', at)) {
    at = afterQuoted(text, at);
    if (at === -1) return true;
  }
  return false;
}

/** Whether there is nothing between two semicolons, or after the last: `;;`, `;a=b;`. No sender may write that (§25.1). */
export function hasEmptyParameter(params: string): boolean {
  let at = params.indexOf(";");
  while (at !== -1 && at < params.length) {
    const end = endOfParameter(params, at + 1);
    let own = at + 1;
    while (own < end && params.charCodeAt(own) <= 32) own++;
    if (own === end) return true;
    at = end;
  }
  return false;
}

export function withoutEmptyParameters(params: string): string {
  if (!hasEmptyParameter(params)) return params;
  let kept = "";
  let at = params.indexOf(";");
  while (at !== -1 && at < params.length) {
    const end = endOfParameter(params, at + 1);
    if (trimLws(params.slice(at + 1, end)) !== "") kept += params.slice(at, end);
    at = end;
  }
  return kept;
}

/** Index of the `;` that ends this parameter, or the end of the text. */
function endOfParameter(params: string, from: number): number {
  for (let at = from; at < params.length; at++) {
    const code = params.charCodeAt(at);
    if (code === 59) return at;
    if (code === QUOTE) {
      const after = afterQuoted(params, at);
      if (after === -1) return params.length;
      at = after - 1;
    }
  }
  return params.length;
}

/** The members of a comma list; commas inside quotes or angle brackets do not count. RFC 3261 §7.3.1. */
export function splitList(value: string): string[] {
  if (!value.includes(",")) return [value];
  const members: string[] = [];
  let start = 0;
  let at = 0;
  while (at <= value.length) {
    const comma = nextComma(value, at);
    members.push(trimLws(value.slice(start, comma)));
    start = comma + 1;
    at = start;
  }
  return members.filter((member) => member !== "");
}

/** Index of the next separating comma, or the end of the text. */
export function nextComma(value: string, from: number): number {
  let bracketed = false;
  for (let at = from; at < value.length; at++) {
    const code = value.charCodeAt(at);
    if (code === QUOTE) {
      const after = afterQuoted(value, at);
      if (after === -1) return value.length;
      at = after - 1;
    } else if (code === 60) bracketed = true;
    else if (code === 62) bracketed = false;
    else if (code === 44 && !bracketed) return at;
  }
  return value.length;
}
