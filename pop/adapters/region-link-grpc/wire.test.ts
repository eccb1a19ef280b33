import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { asId } from "../../../kernel/ids.ts";
import * as wire from "../../../proto/gen/tenant_config/v1/tenant_config.ts";
import { SNAPSHOT } from "../../boundary/snapshot-store.contract.ts";
import type { Activity } from "../../core/ivr/flow.ts";
import type { Prompt } from "../../core/media/prompt.ts";
import type { Snapshot } from "../../core/routing/snapshot.ts";
import { directiveFromWire } from "./link-wire.ts";
import { routingFromWire } from "./routing-wire.ts";
import { snapshotFromWire, snapshotToWire } from "./snapshot-wire.ts";

const overTheWire = (snapshot: wire.Snapshot): wire.Snapshot =>
  wire.Snapshot.decode(wire.Snapshot.encode(snapshot).finish());

const SOUND = snapshotToWire(SNAPSHOT);

describe("a snapshot on the wire", () => {
  test("comes back as it went", () => {
    assert.deepEqual(snapshotFromWire(overTheWire(SOUND)), { ok: true, value: SNAPSHOT });
  });

  test("every mistake is told, each with where it is", () => {
    const [flow] = SOUND.flows;
    assert.ok(flow);
    const broken: wire.Snapshot = {
      ...SOUND,
      trunks: SOUND.trunks.map((trunk) => ({ ...trunk, tenantId: "" })),
      entryPoints: [{ id: "", tenantId: "acme", name: "", flowId: "support", flowVersion: 3 }],
      flows: [
        {
          ...flow,
          activities: [
            { id: "later", onFailure: "", kind: undefined },
            { id: "later", onFailure: "", kind: { $case: "disconnect", value: {} } },
            {
              id: "say",
              onFailure: "",
              kind: { $case: "playMessage", value: { prompts: [{ source: undefined }], next: "" } },
            },
            {
              id: "if",
              onFailure: "",
              kind: {
                $case: "condition",
                // biome-ignore lint/suspicious/noThenProperty: a string, so nothing awaits it by mistake
                value: { left: "", right: "", comparison: wire.Comparison.UNRECOGNIZED, then: "a", otherwise: "b" },
              },
            },
          ],
        },
      ],
    };
    const read = snapshotFromWire(overTheWire(broken));
    assert.ok(!read.ok);
    assert.deepEqual(
      read.failure.map(({ path, message }) => `${path} ${message}`),
      [
        "trunks[/carrier].tenantId is missing",
        "entryPoints[acme/0].id is missing",
        "flows[acme/support@3].activities[later] is there twice",
        "flows[acme/support@3].activities[later] is of a kind that this POP does not know",
        "flows[acme/support@3].activities[say].prompts[0] is neither a file nor a text",
        "flows[acme/support@3].activities[say].next is missing",
        "flows[acme/support@3].activities[if].comparison is a comparison that this POP does not know",
      ],
    );
  });

  test("property: any snapshot comes back as it went", () => {
    fc.assert(
      fc.property(anySnapshot, (snapshot) => {
        const value = structuredClone(snapshot); // fast-check's records have no prototype
        assert.deepEqual(snapshotFromWire(overTheWire(snapshotToWire(value))), { ok: true, value });
      }),
    );
  });

  test("property: whatever can be decoded at all is read or refused with paths, never an exception", () => {
    const sound = wire.Snapshot.encode(SOUND).finish();
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(sound.length - 1), fc.nat(255)), { maxLength: 20 }), (changes) => {
        const bytes = Uint8Array.from(sound);
        for (const [at, value] of changes) bytes[at] = value;
        let decoded: wire.Snapshot;
        try {
          decoded = wire.Snapshot.decode(bytes);
        } catch {
          return; // not protobuf any more: gRPC breaks the stream
        }
        const read = snapshotFromWire(decoded);
        if (!read.ok) for (const { path, message } of read.failure) assert.ok(path !== "" && message !== "");
      }),
      { numRuns: 2_000 },
    );
  });
});

describe("directives that make no sense", () => {
  test("of the link: unknown ones and commands without an id are ignored, an unknown command is answered", () => {
    assert.equal(directiveFromWire({ directive: undefined }), undefined);
    assert.equal(
      directiveFromWire({ directive: { $case: "command", value: { command: { $case: "drain", value: {} } } } }),
      undefined,
    );
    for (const command of [undefined, { $case: "hangUp", value: { callId: "" } }] as const)
      assert.deepEqual(directiveFromWire({ directive: { $case: "command", value: { id: "c1", command } } }), {
        kind: "command",
        id: "c1",
        command: undefined,
      });
  });

  test("of routing: ignored, but an offer that cannot ring is answered", () => {
    assert.deepEqual(routingFromWire({ directive: undefined }), { kind: "unknown" });
    assert.deepEqual(routingFromWire({ directive: { $case: "offer", value: { offerId: "o1" } } }), { kind: "unknown" });
    assert.deepEqual(
      routingFromWire({ directive: { $case: "offer", value: { offerId: "o1", contactId: "c1", agentId: "alice" } } }),
      {
        kind: "unusable-offer",
        answer: { kind: "offer-failed", offerId: "o1", contactId: "c1", failure: "unreachable", sipStatus: 0 },
      },
    );
  });
});

// ---- arbitrary snapshots ----

const name = fc.stringMatching(/^[a-z][a-z0-9-]{0,12}$/);
const optionalName = fc.option(name, { nil: undefined });
const ms = fc.integer({ min: 1, max: 4_000_000_000 });
const small = fc.integer({ min: 1, max: 100 });
const prompt: fc.Arbitrary<Prompt> = fc.oneof(
  fc.record({ kind: fc.constant("file" as const), name }),
  fc.record({ kind: fc.constant("text" as const), text: fc.string({ minLength: 1 }) }),
  fc.record({ kind: fc.constant("text" as const), text: fc.string({ minLength: 1 }), language: name }),
);
const prompts = fc.array(prompt, { maxLength: 3 });
const optionalPrompt = fc.option(prompt, { nil: undefined });
const digit = fc.constantFrom(..."0123456789*#");

const activity: fc.Arbitrary<Activity> = fc.oneof(
  fc.record({ kind: fc.constant("play" as const), prompts, next: name, onFailure: optionalName }),
  fc.record({
    kind: fc.constant("menu" as const),
    prompts,
    choices: fc.dictionary(digit, name, { noNullPrototype: true }),
    timeoutMs: ms,
    attemptsMax: small,
    noMatchPrompts: prompts,
    onNoInput: optionalName,
    onNoMatch: optionalName,
    onFailure: optionalName,
  }),
  fc.record({
    kind: fc.constant("collect" as const),
    prompts,
    variable: name,
    digitsMin: fc.integer({ min: 0, max: 4 }),
    digitsMax: fc.integer({ min: 4, max: 20 }),
    terminator: fc.option(digit, { nil: undefined }),
    firstDigitTimeoutMs: ms,
    interDigitTimeoutMs: ms,
    attemptsMax: small,
    next: name,
    onNoInput: optionalName,
    sensitive: fc.boolean(),
    onFailure: optionalName,
  }),
  fc.record({
    kind: fc.constant("set" as const),
    variable: name,
    value: fc.string(),
    next: name,
    onFailure: optionalName,
  }),
  fc.record({
    kind: fc.constant("condition" as const),
    left: fc.string(),
    comparison: fc.constantFrom(
      "equals",
      "not-equals",
      "less-than",
      "greater-than",
      "contains",
      "starts-with",
      "is-empty",
    ),
    right: fc.string(),
    // biome-ignore lint/suspicious/noThenProperty: a string, so nothing awaits it by mistake
    then: name,
    otherwise: name,
    onFailure: optionalName,
  }),
  fc.record({ kind: fc.constant("go-to" as const), activity: name, onFailure: optionalName }),
  fc.record({
    kind: fc.constant("queue" as const),
    queueId: name.map(asId<"queue">),
    music: optionalPrompt,
    messages: prompts,
    messageIntervalMs: ms,
    waitMsMax: fc.nat(),
    onWaitExceeded: optionalName,
    priority: fc.nat(9),
    next: optionalName,
    onFailure: optionalName,
  }),
  fc.record({
    kind: fc.constant("transfer" as const),
    number: fc.string({ minLength: 1 }),
    trunkId: fc.option(name.map(asId<"trunk">), { nil: undefined }),
    ringTimeoutMs: ms,
    next: optionalName,
    onFailure: optionalName,
  }),
  fc.record({ kind: fc.constant("disconnect" as const), onFailure: optionalName }),
);

const anySnapshot: fc.Arbitrary<Snapshot> = fc.record({
  version: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
  madeAtUnixMs: fc.nat(),
  tenants: fc.uniqueArray(
    fc.record({
      id: name.map(asId<"tenant">),
      name: fc.string(),
      defaultTreatment: prompts,
      callsConcurrentMax: fc.nat(1_000),
    }),
    { selector: ({ id }) => id, maxLength: 3 },
  ),
  trunks: fc.uniqueArray(
    fc.record({
      id: name.map(asId<"trunk">),
      tenantId: name.map(asId<"tenant">),
      sourceCidrs: fc.array(name, { maxLength: 3 }),
      callsPerSecondMax: small,
      callsConcurrentMax: small,
      outboundUri: optionalName,
    }),
    { selector: ({ id }) => id, maxLength: 3 },
  ),
  numbers: fc.uniqueArray(
    fc.record({ number: name, tenantId: name.map(asId<"tenant">), entryPointId: name.map(asId<"entry-point">) }),
    { selector: ({ number }) => number, maxLength: 3 },
  ),
  entryPoints: fc.uniqueArray(
    fc.record({
      id: name.map(asId<"entry-point">),
      tenantId: name.map(asId<"tenant">),
      name: fc.string(),
      flowId: name.map(asId<"flow">),
      flowVersion: small,
    }),
    { selector: ({ id }) => id, maxLength: 3 },
  ),
  flows: fc.uniqueArray(
    fc.record({
      id: name.map(asId<"flow">),
      tenantId: name.map(asId<"tenant">),
      version: small,
      start: name,
      activities: fc.dictionary(name, activity, { noNullPrototype: true }),
      variables: fc.dictionary(name, fc.string(), { noNullPrototype: true }),
    }),
    { selector: ({ id, version }) => `${id}@${version}`, maxLength: 2 },
  ),
  queues: fc.uniqueArray(
    fc.record({
      id: name.map(asId<"queue">),
      tenantId: name.map(asId<"tenant">),
      name: fc.string(),
      music: optionalPrompt,
    }),
    { selector: ({ id }) => id, maxLength: 3 },
  ),
  agentSourceCidrs: fc.array(name, { maxLength: 3 }),
});
