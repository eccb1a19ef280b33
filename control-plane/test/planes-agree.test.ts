// Whatever the control plane lets through, a POP must be able to use: it refuses a snapshot as a whole, for all tenants.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import fc from "fast-check";
import { parseAllDocuments } from "yaml";
import { asId } from "../../kernel/ids.ts";
import { snapshotFromWire } from "../../pop/adapters/region-link-grpc/snapshot-wire.ts";
import { compile } from "../../pop/core/routing/compile-snapshot.ts";
import { Snapshot as SnapshotMessage } from "../../proto/gen/tenant_config/v1/tenant_config.ts";
import { snapshotToWire } from "../adapters/grpc/pop-link/snapshot-wire.ts";
import { snapshotOf } from "../core/snapshot/snapshot.ts";
import { applyDocuments } from "../core/tenancy/apply.ts";
import { EMPTY_INTENT, type Intent } from "../core/tenancy/intent.ts";

/** Over the wire and through the POP's own proof; returns what it objects to. */
function objections(intent: Intent): readonly unknown[] {
  const snapshot = snapshotOf(intent);
  assert.ok(snapshot.ok, JSON.stringify(snapshot));
  const bytes = SnapshotMessage.encode(SnapshotMessage.fromPartial(snapshotToWire(snapshot.value))).finish();
  const read = snapshotFromWire(SnapshotMessage.decode(bytes));
  if (!read.ok) return read.failure;
  const compiled = compile(read.value);
  return compiled.ok ? [] : compiled.failure;
}

function applied(documents: readonly unknown[]): Intent | undefined {
  const outcome = applyDocuments(EMPTY_INTENT, asId<"tenant">("acme"), documents, 1_800_000_000_000);
  return outcome.ok ? outcome.value.intent : undefined;
}

test("a POP takes the example", () => {
  const example = readFileSync(new URL("../../examples/acme.yaml", import.meta.url), "utf8");
  const intent = applied(parseAllDocuments(example).map((document) => document.toJS()));
  assert.ok(intent);
  assert.deepEqual(objections(intent), []);
});

const word = fc.constantFrom("a", "b", "c", "d");
const text = fc.constantFrom(
  "Hello",
  "{{ v }}",
  "{{ call.id }}",
  "{{ queue.position }}",
  "{{",
  "}}",
  "{{ nobody }}",
  "",
);
const prompt = fc.oneof(
  text.map((said) => ({ text: said, language: "en" })),
  fc.constantFrom("music/default", "a_b-c", "../x", "A", "x".repeat(200)).map((file) => ({ file })),
);
const prompts = fc.array(prompt, { minLength: 1, maxLength: 2 });
const time = fc.constantFrom("500ms", "1s", "60s", "1h", "24h", "5m");
const optional = <Value>(value: fc.Arbitrary<Value>) => fc.option(value, { nil: undefined });
const count = fc.constantFrom(0, 1, 10, 40, 41);

const activity = fc.oneof(
  fc.record({ play: fc.record({ prompts, next: word }), onFailure: optional(word) }),
  fc.record({
    menu: fc.record({
      prompts,
      choices: fc.dictionary(fc.constantFrom("1", "*", "#", "12"), word, { maxKeys: 2 }),
      timeout: time,
      attemptsMax: count,
      onNoInput: optional(word),
      noMatchPrompts: prompts,
    }),
  }),
  fc.record({
    collect: fc.record({
      prompts,
      variable: fc.constantFrom("v", "call", "w.x"),
      digitsMin: count,
      digitsMax: count,
      terminator: optional(fc.constantFrom("#", "##")),
      firstDigitTimeout: time,
      attemptsMax: count,
      next: word,
    }),
  }),
  fc.record({ set: fc.record({ variable: fc.constantFrom("v", "__proto__", "toString"), value: text, next: word }) }),
  fc
    .tuple(fc.constantFrom("equals", "lessThan", "contains"), text, word, word)
    // biome-ignore lint/suspicious/noThenProperty: as a flow is written
    .map(([how, right, yes, no]) => ({ if: { value: "{{ v }}", [how]: right, then: yes, else: no } })),
  fc.record({ goto: word }),
  fc.record({
    queue: fc.record({
      queue: fc.constantFrom("q", "none"),
      music: optional(prompt),
      messages: fc.array(prompt, { maxLength: 2 }),
      messageInterval: optional(time),
      waitMax: optional(time),
      priority: fc.constantFrom(0, 1_000, 1_001),
    }),
  }),
  fc.record({
    transfer: fc.record({
      number: fc.constantFrom("+4989", "{{ v }}"),
      trunk: optional(fc.constantFrom("t", "none")),
      ringTimeout: time,
    }),
  }),
  fc.constant({ disconnect: {} }),
);

const anyTenant = fc.record({
  activities: fc.record({ a: activity, b: activity, c: activity, d: activity }),
  cidr: fc.constantFrom(
    "127.20.0.0/24",
    "0.0.0.0/0",
    "10.0.0.0/7",
    "10.0.0.0/8",
    "::/15",
    "2001:db8::/32",
    "10.0.0.1/8",
  ),
  agents: fc.constantFrom("127.30.0.0/24", "0.0.0.0/0", "127.20.0.0/24"),
  uri: optional(fc.constantFrom("sip:127.20.0.1", "sip:me@127.20.0.1", "sip:a b", "sips:[::1]:5061;transport=tls")),
  number: fc.constantFrom("+498912345678", "100", "1", "+4989 1", `+${"1".repeat(16)}`),
  music: optional(prompt),
});

test("property: what is applied, a POP takes", () => {
  let taken = 0;
  fc.assert(
    fc.property(anyTenant, ({ activities, cidr, agents, uri, number, music }) => {
      // One thing at a time may be at fault: the rest is made good, or hardly any tenant would pass
      const without = <Thing extends object>(thing: Thing) => JSON.parse(JSON.stringify(thing));
      const base = [
        { kind: "tenant", id: "acme", name: "Acme", agentSourceCidrs: [agents] },
        without({ kind: "trunk", id: "t", sourceCidrs: [cidr], outboundUri: uri }),
        { kind: "dn", id: "n", number, entryPoint: "e" },
        { kind: "entry-point", id: "e", name: "E", flow: "f" },
        { kind: "team", id: "team", name: "T" },
        without({ kind: "queue", id: "q", name: "Q", teams: ["team"], music }),
      ];
      const good = [
        { kind: "tenant", id: "acme", name: "Acme" },
        { kind: "trunk", id: "t", sourceCidrs: ["127.20.0.0/24"] },
        ...base.slice(3, 5),
        { kind: "queue", id: "q", name: "Q", teams: ["team"] },
      ];
      const flow = (own: object) => ({ kind: "flow", id: "f", start: "a", variables: { v: "" }, activities: own });
      const end = { disconnect: {} };
      const tries = [
        [...base, flow({ a: end })],
        ...Object.values(activities).map((one) => [...good, flow(without({ a: one, b: end, c: end, d: end }))]),
        [...good, flow(without(activities))],
      ];
      for (const documents of tries) {
        const intent = applied(documents);
        if (intent === undefined) continue;
        taken++;
        assert.deepEqual(objections(intent), []);
      }
    }),
    { numRuns: 500 },
  );
  assert.ok(taken > 200, `only ${taken} were applied: the property says little`);
});
