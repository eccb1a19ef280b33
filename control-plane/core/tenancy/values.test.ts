import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { overlap, parseCidr, sameCidr } from "./cidr.ts";
import { duration, showDuration } from "./duration.ts";
import { readTemplate } from "./template.ts";

const anyTime = duration({ minMs: 0, maxMs: Number.MAX_SAFE_INTEGER });

test("a duration has its unit, always", () => {
  assert.deepEqual(
    ["500ms", "20s", "2m", "1h", "1.5s"].map((text) => anyTime.parse(text)),
    [500, 20_000, 120_000, 3_600_000, 1_500],
  );
  for (const wrong of ["20", "20 s", "-1s", "s", "", 20, null, "1d"])
    assert.ok(!anyTime.safeParse(wrong).success, String(wrong));
  const [issue] = duration({ minMs: 1_000, maxMs: 120_000 }).safeParse("3m").error?.issues ?? [];
  assert.equal(issue?.message, "between 1s and 2m");
});

test("property: a duration reads as it is shown", () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 10 ** 9 }), (ms) => assert.equal(anyTime.parse(showDuration(ms)), ms)),
  );
});

const cidr = (text: string) => {
  const parsed = parseCidr(text);
  assert.ok(parsed, text);
  return parsed;
};

test("address ranges overlap when one holds the other", () => {
  assert.ok(overlap(cidr("10.0.0.0/8"), cidr("10.1.2.0/24")));
  assert.ok(overlap(cidr("0.0.0.0/0"), cidr("192.0.2.1/32")));
  assert.ok(!overlap(cidr("10.0.0.0/9"), cidr("10.128.0.0/9")));
  assert.ok(overlap(cidr("2001:db8::/32"), cidr("2001:db8:1::/48")));
  assert.ok(!overlap(cidr("::/0"), cidr("0.0.0.0/0")));
  assert.ok(sameCidr(cidr("2001:0db8::/32"), cidr("2001:db8:0::/32")));
});

test("what is no range, or has bits behind its prefix, is none", () => {
  for (const wrong of [
    "10.0.0.0",
    "10.0.0.1/24",
    "10.0.0/8",
    "256.0.0.0/8",
    "10.0.0.0/33",
    "::1/64",
    "1::2::/16",
    "g::/16",
    "x",
  ])
    assert.equal(parseCidr(wrong), undefined, wrong);
});

test("a template names its variables and its mistakes", () => {
  assert.deepEqual(readTemplate("a {{ b }} {{c.d}}"), { names: ["b", "c.d"], mistakes: [] });
  assert.equal(readTemplate("{{ b").mistakes[0], "{{ without }}");
  assert.equal(readTemplate("b }}").mistakes[0], "}} without {{");
  assert.equal(readTemplate("{{ b c }}").mistakes.length, 1);
  assert.equal(readTemplate("{{}}").mistakes.length, 1);
});

test("property: reading a template ends, whatever the text", () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom("{", "}", "a", " ", ".") }), (text) => void readTemplate(text)),
  );
});
