import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { parseAllDocuments } from "yaml";
import { asId } from "../../../kernel/ids.ts";
import { snapshotOf } from "../snapshot/snapshot.ts";
import { type Applied, applyDocuments, type Mistake } from "./apply.ts";
import { EMPTY_INTENT, type Intent, objectFromStored, objectOf, objectToStored } from "./intent.ts";

const ACME = asId<"tenant">("acme");
const OTHER = asId<"tenant">("other");
const AT = 1_800_000_000_000;

const example = parseAllDocuments(readFileSync(new URL("../../../examples/acme.yaml", import.meta.url), "utf8")).map(
  (document) => document.toJS() as Record<string, unknown>,
);

function apply(intent: Intent, documents: readonly unknown[], tenant = ACME): Applied {
  const applied = applyDocuments(intent, tenant, documents, AT);
  assert.ok(applied.ok, JSON.stringify(applied));
  return applied.value;
}

/** "2 queue support teams.0: there is no team "x"" */
function mistakes(intent: Intent, documents: readonly unknown[], tenant = ACME): readonly string[] {
  const applied = applyDocuments(intent, tenant, documents, AT);
  assert.ok(!applied.ok, "was applied");
  return applied.failure.mistakes.map(shown);
}
const shown = ({ document, kind, id, path, message }: Mistake): string =>
  `${[document, kind, id, path].filter((part) => part !== "").join(" ")}: ${message}`;

const acme = () => apply(EMPTY_INTENT, example).intent;
const flow = (activities: object, more: object = {}) => ({
  kind: "flow",
  id: "test",
  start: "first",
  activities,
  ...more,
});
const PROMPTS = [{ text: "Hello" }];

test("the example is applied as a whole, and its snapshot proves itself", () => {
  const { intent, changes } = apply(EMPTY_INTENT, example);
  assert.ok(changes.every(({ change }) => change === "created"));
  const snapshot = snapshotOf(intent);
  assert.ok(snapshot.ok);
  assert.equal(snapshot.value.numbers.length, 2);
  assert.equal(snapshot.value.entryPoints[0]?.flowVersion, 1);
});

test("applying the same again changes nothing, not even the version", () => {
  const intent = acme();
  const again = apply(intent, example);
  assert.equal(again.intent, intent);
  assert.deepEqual(again.stored, { puts: [], deletes: [] });
});

test("versions grow with the clock, so that a store filled anew is newer than what POPs have", () => {
  const first = acme();
  assert.equal(first.version, AT / 1_000);
  assert.equal(apply(first, [{ kind: "team", id: "second-line", name: "Second" }]).intent.version, AT / 1_000 + 1);
});

test("every mistake is listed, of every document", () => {
  assert.deepEqual(
    mistakes(acme(), [
      { kind: "queue", id: "support", name: "S", teams: ["nobody"], ringTimeout: "15" },
      { kind: "spaceship", id: "x" },
      { kind: "team", id: "Not Kebab", name: "T" },
      { kind: "agent", id: "dave", name: "Dave", teams: ["nobody"], shoeSize: 43 },
      { kind: "dn", id: "second", number: "+498912345678", entryPoint: "nowhere" },
      { kind: "team", id: "twice", name: "A" },
      { kind: "team", id: "twice", name: "B" },
      "what",
    ]),
    [
      "1 queue support ringTimeout: a duration with its unit: 500ms, 20s, 2m, 1h",
      '1 queue support teams.0: there is no team "nobody"',
      "2 spaceship x kind: one of tenant, trunk, dn, entry-point, flow, queue, team, agent",
      "3 team Not Kebab id: lower-case words joined by hyphens: support-line",
      '4 agent dave: Unrecognized key: "shoeSize"',
      '4 agent dave teams.0: there is no team "nobody"',
      '5 dn second entryPoint: there is no entry-point "nowhere"',
      '5 dn second number: is that of dn "support-number"',
      "7 team twice id: document 6 is this team already",
      "8: not an object with a kind and an id",
    ],
  );
});

test("what the same documents bring may be referred to in any order", () => {
  apply(EMPTY_INTENT, [...example].reverse());
});

test("a tenant must exist, and is itself only", () => {
  assert.deepEqual(mistakes(EMPTY_INTENT, [{ kind: "team", id: "a", name: "A" }]), [
    '0: there is no tenant "acme": let the documents include one of kind tenant',
  ]);
  assert.match(mistakes(acme(), [{ kind: "tenant", id: "other", name: "O" }])[0] ?? "", /another tenant cannot/);
});

test("a number and a carrier's addresses belong to one tenant", () => {
  assert.deepEqual(
    mistakes(
      acme(),
      [
        { kind: "tenant", id: "other", name: "Other" },
        { kind: "trunk", id: "t", sourceCidrs: ["127.20.0.128/25"] },
        flow({ first: { disconnect: {} } }),
        { kind: "entry-point", id: "e", name: "E", flow: "test" },
        { kind: "dn", id: "d", number: "+498912345678", entryPoint: "e" },
      ],
      OTHER,
    ),
    ["2 trunk t sourceCidrs.0: overlaps a range of another tenant's trunk", "5 dn d number: belongs to another tenant"],
  );
});

test("two trunks of a tenant do not share a range, but one may lie within the other", () => {
  const trunk = (range: string) => ({ kind: "trunk", id: "second", sourceCidrs: [range] });
  assert.deepEqual(mistakes(acme(), [trunk("127.20.0.0/24")]), [
    '1 trunk second sourceCidrs.0: is a range of trunk "carrier-one"',
  ]);
  apply(acme(), [trunk("127.20.0.8/29")]);
  assert.match(mistakes(acme(), [trunk("127.20.0.8/24")])[0] ?? "", /an address range such as/);
});

test("a deletion is refused while somebody refers to it, and done with those who do", () => {
  const intent = acme();
  const gone = (kind: string, id: string) => ({ kind, id, delete: true });
  assert.deepEqual(
    [...mistakes(intent, [gone("team", "first-line")])].sort(),
    [
      '1 team first-line: agent "alice" still refers to it (teams.0)',
      '1 team first-line: agent "bob" still refers to it (teams.0)',
      '1 team first-line: queue "support" still refers to it (teams.0)',
    ].sort(),
  );
  const { changes } = apply(intent, [gone("dn", "support-number"), gone("agent", "nobody")]);
  assert.deepEqual(
    changes.map(({ change }) => change),
    ["deleted", "unchanged"],
  );
  assert.match(mistakes(intent, [gone("tenant", "acme")])[0] ?? "", /still has 11 objects/);
});

test("a flow that changes gets a new version; an entry point moves to it when applied", () => {
  const first = acme();
  const changed = { ...example.find(({ id }) => id === "opening-hours"), name: "New" };
  const second = apply(first, [changed]).intent;
  const entry = () => objectOf(second.objects, ACME, "entry-point", "announcement-line");
  assert.equal(objectOf(second.objects, ACME, "flow", "opening-hours")?.version, 2);
  assert.equal(entry()?.flowVersion, 1, "still pinned");
  const snapshot = snapshotOf(second);
  assert.ok(snapshot.ok);
  const versions = snapshot.value.flows.filter(({ id }) => id === "opening-hours").map(({ version }) => version);
  assert.deepEqual(versions, [2, 1]);

  const third = apply(second, [example.find(({ id }) => id === "announcement-line")]);
  assert.deepEqual(third.changes, [{ kind: "entry-point", id: "announcement-line", change: "updated" }]);
  assert.equal(objectOf(third.intent.objects, ACME, "entry-point", "announcement-line")?.flowVersion, 2);
});

test("an entry point may pin a version that is kept, and no other", () => {
  let intent = acme();
  const entry = (flowVersion: number) => ({
    kind: "entry-point",
    id: "announcement-line",
    name: "A",
    flow: "opening-hours",
    flowVersion,
  });
  for (let turn = 0; turn < 6; turn++)
    intent = apply(intent, [{ ...example.find(({ id }) => id === "opening-hours"), name: `Turn ${turn}` }]).intent;
  const { earlier } = objectOf(intent.objects, ACME, "flow", "opening-hours") ?? {};
  assert.deepEqual(
    earlier?.map(({ version }) => version),
    [6, 5, 1],
    "the newest three, and the pinned one",
  );
  apply(intent, [entry(6)]);
  assert.deepEqual(mistakes(intent, [entry(3)]), [
    '1 entry-point announcement-line flowVersion: flow "opening-hours" has versions 7, 6, 5, not 3',
  ]);
});

test("a flow that leads nowhere, waits for nothing, or reads what nobody sets is refused", () => {
  assert.deepEqual(
    mistakes(acme(), [
      flow(
        {
          menu: { menu: { prompts: PROMPTS, choices: { "1": "nowhere", "2": "menu" } }, onFailure: "gone" },
          say: { play: { prompts: [{ text: "{{ acount }} and {{ and {{ call.id }} }}" }], next: "say" } },
          spin: { goto: "turn" },
          turn: { set: { variable: "a", value: "x", next: "spin" } },
          dial: { transfer: { number: "+49", trunk: "none" } },
        },
        { start: "begin" },
      ),
    ]),
    [
      '1 flow test activities.dial.transfer.trunk: there is no trunk "none"',
      '1 flow test start: there is no activity "begin"',
      '1 flow test activities.menu.menu.choices.1: there is no activity "nowhere"',
      '1 flow test activities.menu.onFailure: there is no activity "gone"',
      '1 flow test activities.say.play.prompts.0.text: "{{ and {{ call.id }}" does not name a variable, like {{ account }}',
      "1 flow test activities.say.play.prompts.0.text: }} without {{",
      '1 flow test activities.say.play.prompts.0.text: nothing in this flow sets "acount"',
      "1 flow test activities.spin: would go round for ever without any time passing: spin → turn → spin",
    ],
  );
});

test("failing at once and trying again is a circle as well", () => {
  const [found] = mistakes(acme(), [
    flow({
      first: { play: { prompts: PROMPTS, next: "second" }, onFailure: "second" },
      second: { play: { prompts: PROMPTS, next: "first" }, onFailure: "first" },
    }),
  ]);
  assert.match(found ?? "", /first → second → first/);
});

test("an activity does one thing, a menu has a choice, messages have an interval", () => {
  assert.deepEqual(
    mistakes(acme(), [
      flow({
        first: { play: { prompts: PROMPTS, next: "first" }, goto: "first" },
        none: {},
        menu: { menu: { prompts: PROMPTS, choices: {} } },
        keys: { menu: { prompts: PROMPTS, choices: { "12": "first" } } },
        wait: { queue: { queue: "support", messages: PROMPTS } },
        ask: { collect: { prompts: [], variable: "x", digitsMin: 5, digitsMax: 4, next: "first" } },
        // biome-ignore lint/suspicious/noThenProperty: as a flow is written
        cond: { if: { value: "a", equals: "b", contains: "c", then: "first", else: "first" } },
        both: { play: { prompts: [{ file: "a", text: "b" }], next: "first" } },
      }),
    ]).map((line) => line.replace(/^1 flow test activities\./, "").split(":")[0]),
    [
      "first",
      "none",
      "menu.menu.choices",
      "keys.menu.choices.12",
      "wait.queue.messageInterval",
      "ask.collect.prompts",
      "ask.collect.digitsMin",
      "cond.if",
      "both.play.prompts.0",
    ],
  );
});

test("too much at once is refused", () => {
  const teams = (count: number) =>
    Array.from({ length: count }, (_, at) => ({ kind: "team", id: `t${at}`, name: "T" }));
  assert.match(mistakes(acme(), teams(121))[0] ?? "", /121 objects would change at once; at most 120/);
  assert.match(mistakes(acme(), teams(1_001))[0] ?? "", /between 1 and 1000 documents/);
  assert.match(mistakes(acme(), [])[0] ?? "", /not 0/);
});

test("an object is what the store says it is", () => {
  for (const [key, object] of acme().objects) {
    const read = objectFromStored(key, JSON.parse(JSON.stringify(objectToStored(object))));
    assert.deepEqual(read, { ok: true, value: JSON.parse(JSON.stringify(object)) });
  }
  const read = objectFromStored("acme/team/x", { version: 1, document: { kind: "team" } });
  assert.ok(!read.ok && read.failure.code === "intent.unreadable");
});
