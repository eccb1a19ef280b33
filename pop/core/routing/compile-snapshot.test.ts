import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { asId } from "../../../kernel/ids.ts";
import { compile, MISTAKES_MAX } from "./compile-snapshot.ts";
import { EXAMPLE } from "./example-snapshot.ts";
import type { RoutingTable } from "./routing-table.ts";
import type { Snapshot } from "./snapshot.ts";

const acme = asId<"tenant">("acme");
const globex = asId<"tenant">("globex");

function compiled(snapshot: Snapshot): RoutingTable {
  const outcome = compile(snapshot);
  assert.ok(outcome.ok, outcome.ok ? "" : JSON.stringify(outcome.failure, null, 1));
  return outcome.value;
}

function mistakesOf(snapshot: Snapshot): string[] {
  const outcome = compile(snapshot);
  return outcome.ok ? [] : outcome.failure.map(({ path, message }) => `${path}: ${message}`);
}

/** The example, changed as JSON: a snapshot is what came over a wire. */
// biome-ignore lint/suspicious/noExplicitAny: tests break types on purpose
function broken(change: (draft: any) => void): Snapshot {
  const draft = structuredClone(EXAMPLE);
  change(draft);
  return draft;
}

test("a sound snapshot gives every look-up a call needs", () => {
  const table = compiled(EXAMPLE);
  assert.equal(table.version, 7);
  assert.equal(table.numberToEntryPoint(acme, "+4989123456")?.name, "Support");
  assert.equal(table.numberToEntryPoint(globex, "+4989123456"), undefined);
  assert.equal(table.flow(acme, asId("support"), 3)?.start, "pick");
  assert.equal(table.flow(acme, asId("support"), 2), undefined);
  assert.deepEqual(table.queueMusic(acme, asId("support")), { kind: "file", name: "music/acme" });
  assert.equal(table.outboundTrunk(acme, undefined)?.outboundUri, "sip:127.20.0.1:5060;transport=udp");
  assert.equal(table.outboundTrunk(globex, asId("carrier")), undefined);
  assert.equal(table.tenant(acme)?.name, "Acme");
  assert.deepEqual(table.allowList, [
    "127.20.0.0/16",
    "2001:db8::/32",
    "127.20.9.0/24",
    "127.20.0.1/32",
    "127.30.0.0/16",
  ]);
});

const SOURCES: readonly (readonly [address: string, tenant: string | undefined])[] = [
  ["127.20.0.1", "acme"],
  ["127.20.9.1", "globex"], // the longer prefix
  ["::ffff:127.20.9.1", "globex"],
  ["2001:db8::7", "acme"],
  ["2001:db9::7", undefined],
  ["127.30.0.1", undefined], // an agent's phone is no trunk
  ["127.20.0", undefined],
  ["", undefined],
];
for (const [address, tenant] of SOURCES) {
  test(`a call from "${address}" is ${tenant === undefined ? "nobody's" : `by the trunk of ${tenant}`}`, () => {
    assert.equal(compiled(EXAMPLE).trunkOfSource(address)?.tenantId, tenant);
  });
}

test("agents' phones are known by their addresses", () => {
  assert.ok(compiled(EXAMPLE).isAgentSource("127.30.4.5"));
  assert.ok(!compiled(EXAMPLE).isAgentSource("127.20.0.1"));
});

// biome-ignore lint/suspicious/noExplicitAny: tests break types on purpose
const MISTAKES: readonly (readonly [name: string, change: (draft: any) => void, mistakes: readonly string[]])[] = [
  ["no version", (s) => (s.version = 0), ["version: 0 is no version"]],
  ["a tenant twice", (s) => s.tenants.push(s.tenants[0]), ["tenants[acme]: is there twice"]],
  [
    "an id that is none",
    (s) => (s.queues[0].id = "a/b"),
    [
      "queues[acme/a/b]: is no id: letters, digits and . _ : -",
      'flows[acme/support@3].activities[wait].queueId: the tenant has no queue "support"',
    ],
  ],
  [
    "a tenant that is not there",
    (s) => s.tenants.pop(),
    [
      'trunks[globex/carrier].tenantId: there is no tenant "globex"',
      'numbers[globex/+4930999].tenantId: there is no tenant "globex"',
      'entryPoints[globex/support-line].tenantId: there is no tenant "globex"',
      'flows[globex/bye@1].tenantId: there is no tenant "globex"',
    ],
  ],
  [
    "a number with separators, to an entry point of another tenant",
    (s) => {
      s.numbers[0].number = "+49 89 12";
      s.entryPoints[0].id = "elsewhere";
    },
    [
      'numbers[acme/+49 89 12]: is no number: "+" and up to 15 digits, or digits alone, without separators',
      'numbers[acme/+49 89 12].entryPointId: the tenant has no entry point "support-line"',
      'numbers[acme/100].entryPointId: the tenant has no entry point "support-line"',
    ],
  ],
  [
    "a flow version that is not there",
    (s) => (s.entryPoints[0].flowVersion = 4),
    ['entryPoints[acme/support-line].flowId: the tenant has no flow "support" of version 4'],
  ],
  [
    "addresses that are none, too wide, another trunk's, and with bits beyond the prefix",
    (s) => (s.trunks[1].sourceCidrs = ["carrier.example", "0.0.0.0/0", "127.20.0.0/16", "10.1.2.3/16", "10.0.0.0/33"]),
    [
      'trunks[globex/carrier].sourceCidrs[0]: "carrier.example" is no IPv4 or IPv6 address with a prefix length',
      "trunks[globex/carrier].sourceCidrs[1]: 0.0.0.0/0 is wider than /8: it would let strangers in",
      'trunks[globex/carrier].sourceCidrs[2]: 127.20.0.0/16 belongs to trunk "carrier" of tenant "acme" as well',
      'trunks[globex/carrier].sourceCidrs[3]: "10.1.2.3/16" has bits set beyond /16',
      'trunks[globex/carrier].sourceCidrs[4]: "10.0.0.0/33" /33 is out of range',
    ],
  ],
  [
    "a trunk without limits that nobody can use",
    (s) => Object.assign(s.trunks[1], { callsPerSecondMax: 0, callsConcurrentMax: 1.5, sourceCidrs: [] }),
    [
      "trunks[globex/carrier].callsPerSecondMax: 0 is no whole number from 1 to 100000",
      "trunks[globex/carrier].callsConcurrentMax: 1.5 is no whole number from 1 to 1000000",
      "trunks[globex/carrier]: has neither sourceCidrs nor an outboundUri: no call can use it",
    ],
  ],
  [
    "an outbound address with a user",
    (s) => (s.trunks[1].outboundUri = "sip:me@127.20.0.1"),
    ['trunks[globex/carrier].outboundUri: is no SIP URI without user, such as "sip:192.0.2.1:5060;transport=udp"'],
  ],
  [
    "a flow with wrong targets, key, trunk, template and range",
    (s) => {
      const { pick, dial } = s.flows[0].activities;
      s.flows[0].start = "nowhere";
      pick.choices = { "1": "toString", x: "bye" };
      pick.attemptsMax = 0;
      pick.prompts = [
        { kind: "text", text: "{{ nobody }} {{" },
        { kind: "file", name: "../secret" },
      ];
      dial.trunkId = "other";
    },
    [
      'flows[acme/support@3].start: there is no activity "nowhere"',
      'flows[acme/support@3].activities[pick].prompts[0].text: "{{" at character 14 is never closed',
      'flows[acme/support@3].activities[pick].prompts[1].name: "../secret" is no name of a prompt file',
      'flows[acme/support@3].activities[pick].choices[1]: there is no activity "toString"',
      "flows[acme/support@3].activities[pick].choices[x]: a choice is one of 0-9, * and #",
      "flows[acme/support@3].activities[pick].attemptsMax: 0 is no whole number from 1 to 20",
      'flows[acme/support@3].activities[dial].trunkId: the tenant has no trunk "other"',
    ],
  ],
  [
    "a prompt that reads what nothing sets",
    (s) => {
      s.flows[0].activities.pick.prompts = [{ kind: "text", text: "{{ nobody }} {{ queue.position }}" }];
    },
    ['flows[acme/support@3].activities[pick].prompts[0].text: nothing sets the variable "nobody"'],
  ],
];
for (const [name, change, mistakes] of MISTAKES) {
  test(`refused with every mistake: ${name}`, () => assert.deepEqual(mistakesOf(broken(change)), mistakes));
}

test(`more than ${MISTAKES_MAX} mistakes are counted, not told`, () => {
  const snapshot = broken((s) => {
    s.numbers = Array.from({ length: MISTAKES_MAX + 5 }, (_, at) => ({ ...s.numbers[0], number: `x${at}` }));
  });
  assert.equal(mistakesOf(snapshot).length, MISTAKES_MAX + 1);
  assert.equal(mistakesOf(snapshot).at(-1), ": and 5 more mistakes");
});

test("what a call can survive is no reason to refuse every tenant's configuration", () => {
  const mistakes = mistakesOf(
    broken((s) => {
      s.tenants[0].defaultTreatment = [{ kind: "text", text: "{{ nobody }}" }];
      s.trunks[0].outboundUri = undefined;
      s.numbers[2].number = "+4989123456"; // of another tenant, by another tenant's trunk
    }),
  );
  assert.deepEqual(mistakes, []);
});

test("what is no snapshot at all is refused as well", () => {
  for (const value of [{}, null, { ...EXAMPLE, tenants: [null] }]) {
    const [mistake, ...others] = mistakesOf(value as Snapshot);
    assert.match(mistake ?? "", /is not shaped like a snapshot/);
    assert.deepEqual(others, []);
  }
});

const anyWord = fc.oneof(
  fc.constantFrom(
    "acme",
    "globex",
    "carrier",
    "support",
    "bye",
    "__proto__",
    "toString",
    "",
    "{{",
    "0.0.0.0/0",
    "1::/300",
  ),
  fc.string(),
  fc.integer(),
  fc.double(),
);

test("property: whatever stands in the fields of a snapshot, compiling it never throws", () => {
  // Every leaf of the example that is text or number, one after the other, replaced by anything of its type.
  const leaves: (readonly [owner: string[], key: string, type: string])[] = [];
  const walk = (value: unknown, path: string[]): void => {
    if (typeof value !== "object" || value === null) return;
    for (const [key, inner] of Object.entries(value)) {
      if (typeof inner === "string" || typeof inner === "number") leaves.push([path, key, typeof inner]);
      walk(inner, [...path, key]);
    }
  };
  walk(EXAMPLE, []);
  const anyChanges = fc.array(fc.tuple(fc.constantFrom(...leaves), anyWord), { minLength: 1, maxLength: 6 });
  fc.assert(
    fc.property(anyChanges, (changes) => {
      const snapshot = broken((draft) => {
        for (const [[path, key, type], word] of changes) {
          const owner = path.reduce((at, step) => at[step], draft);
          owner[key] = type === "number" ? Number(word) : String(word);
        }
      });
      const outcome = compile(snapshot);
      assert.ok(outcome.ok || outcome.failure.length > 0);
    }),
    { numRuns: 500 },
  );
});
