import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { compare } from "./comparison.ts";
import type { Comparison } from "./flow.ts";
import { parseTemplate, render, VALUE_CHARACTERS_MAX } from "./template.ts";

const values: Record<string, string> = { name: "Ada", "customer.tier": "gold", empty: "" };
const read = (name: string) => (Object.hasOwn(values, name) ? values[name] : undefined);

const RENDERED: readonly (readonly [template: string, text: string])[] = [
  ["", ""],
  ["plain }} text", "plain }} text"],
  ["Hello {{ name }}.", "Hello Ada."],
  ["{{name}}{{ customer.tier }}", "Adagold"],
  ["[{{ empty }}]", "[]"],
];
for (const [template, expected] of RENDERED) {
  test(`template ${JSON.stringify(template)} becomes ${JSON.stringify(expected)}`, () => {
    const rendered = render(template, read);
    assert.ok(rendered.ok);
    assert.equal(rendered.value.text, expected);
  });
}

const INVALID: readonly (readonly [template: string, why: RegExp])[] = [
  ["{{ nobody }}", /"nobody" has no value/],
  ["{{ toString }}", /"toString" has no value/],
  ["x {{ name", /character 3 is never closed/],
  ["{{ }}", /no variable name/],
  ["{{ name | upper }}", /no variable name/],
  ["{{ {{ name }} }}", /no variable name/],
];
for (const [template, why] of INVALID) {
  test(`template ${JSON.stringify(template)} is refused`, () => {
    const rendered = render(template, read);
    assert.ok(!rendered.ok);
    assert.match(rendered.failure.detail, why);
  });
}

test("property: parsing never throws, and a rendered text is never longer than allowed", () => {
  fc.assert(
    fc.property(fc.array(fc.constantFrom("{{", "}}", " ", "name", ".", "|", "é")), fc.nat(5_000), (bits, length) => {
      const template = bits.join("");
      parseTemplate(template);
      const rendered = render(template, () => "x".repeat(length));
      if (rendered.ok) assert.ok(rendered.value.text.length <= VALUE_CHARACTERS_MAX);
    }),
  );
});

const COMPARED: readonly (readonly [string, Comparison, string, boolean | "no number"])[] = [
  ["042", "equals", "42", false],
  ["a", "not-equals", "b", true],
  ["9", "less-than", "10", true],
  [" 9 ", "greater-than", "-10.5", true],
  ["ten", "less-than", "10", "no number"],
  ["", "greater-than", "0", "no number"],
  ["1e9", "greater-than", "0", "no number"],
  ["Hamburg", "contains", "burg", true],
  ["+49891", "starts-with", "+49", true],
  ["  ", "is-empty", "whatever", true],
];
for (const [left, comparison, right, expected] of COMPARED) {
  test(`'${left}' ${comparison} '${right}': ${expected}`, () => {
    const compared = compare(left, comparison, right);
    assert.equal(compared.ok ? compared.value : "no number", expected);
  });
}
