import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { asId } from "../../../kernel/ids.ts";
import { compile } from "./compile-snapshot.ts";
import { EXAMPLE } from "./example-snapshot.ts";
import { numbersIn, routeCall } from "./resolve-number.ts";

const NUMBERS: readonly (readonly [uri: string, numbers: readonly string[]])[] = [
  ["sip:+4989123456@127.10.1.11", ["+4989123456", "4989123456"]],
  ["sip:004989123456@127.10.1.11:5060;user=phone", ["+4989123456", "4989123456", "004989123456", "+004989123456"]],
  ["SIPS:4989123456:secret@pop.example", ["4989123456", "+4989123456"]],
  ["sip:+49-(89)-123.456;npdi;rn=1@pop.example", ["+4989123456", "4989123456"]],
  ["sip:%2B4989%31%323456@pop.example", ["+4989123456", "4989123456"]],
  ["tel:+49-89-123456;isub=12", ["+4989123456", "4989123456"]],
  ["tel:123456;phone-context=+49-89", ["+4989123456", "123456", "+123456"]],
  ["tel:123456;phone-context=pop.example", ["123456", "+123456"]],
  ["sip:pop.example", []],
  ["sip:alice@pop.example", []],
  ["sip:@pop.example", []],
  ["sip:+@pop.example", []],
  ["sip:12%@pop.example", []],
  ["sip:12%00@pop.example", []],
  ["http://pop.example/12@", []],
  ["4989123456", []],
  [`sip:${"1".repeat(33)}@pop.example`, []],
  [`sip:1@${"a".repeat(2_000)}`, []],
];
for (const [uri, numbers] of NUMBERS) {
  test(`${uri.slice(0, 60)} is ${numbers.length === 0 ? "no number" : numbers[0]}`, () => {
    assert.deepEqual(numbersIn(uri), numbers);
  });
}

const compiled = compile(EXAMPLE);
assert.ok(compiled.ok);
const table = compiled.value;
const trunk = table.trunk(asId("acme"), asId("carrier"));
assert.ok(trunk);

test("a call is routed to the flow version its entry point names, by the number as configured", () => {
  const routed = routeCall(table, trunk, "sip:0049-89-123456@127.10.1.11");
  assert.ok(routed.ok);
  assert.equal(routed.value.calledNumber, "+4989123456");
  assert.equal(routed.value.flow.version, 3);
  assert.equal(routed.value.tenant.name, "Acme");
});

test("a carrier that leaves out the plus reaches the number all the same", () => {
  const routed = routeCall(table, trunk, "sip:4989123456@127.10.1.11");
  assert.ok(routed.ok && routed.value.calledNumber === "+4989123456");
});

test("a short number is found as it is", () => {
  const routed = routeCall(table, trunk, "sip:100@127.10.1.11");
  assert.ok(routed.ok && routed.value.calledNumber === "100");
});

test("number.unknown: a number of another tenant is as unknown as one of nobody", () => {
  for (const number of ["+4930999", "+1999"]) {
    assert.deepEqual(routeCall(table, trunk, `sip:${number}@127.10.1.11`), {
      ok: false,
      failure: { code: "number.unknown" },
    });
  }
});

test("number.unusable: no number at all", () => {
  assert.deepEqual(routeCall(table, trunk, "sip:alice@127.10.1.11"), {
    ok: false,
    failure: { code: "number.unusable" },
  });
});

test("property: any Request-URI gives a few short numbers or none, and never throws", () => {
  const bits = fc.constantFrom("sip:", "tel:", "+", "00", "49", "-", ";", "phone-context=", "%2B", "%", "@", ":", "é");
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.array(bits).map((all) => all.join("")),
      ),
      (uri) => {
        const numbers = numbersIn(uri);
        assert.ok(numbers.length <= 5);
        for (const number of numbers) assert.match(number, /^\+*\d{1,50}$/);
        routeCall(table, trunk, uri);
      },
    ),
    { numRuns: 500 },
  );
});
