import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import fc from "fast-check";
import { asId, type CallId } from "../../../kernel/ids.ts";
import { ScriptedPublisher } from "../../boundary/event-sink.contract.ts";
import type { CallInput } from "../../core/call/call-execution.ts";
import type { RoutingDirective } from "../../core/call/contact-routing.ts";
import { SDP_OF_PHONE } from "../ladders/paper-pop.ts";
import { ACME } from "../ladders/paper-tenant.ts";
import { PaperService } from "./paper-service.ts";

const ACK: CallInput = { kind: "caller-acked" };
const BYE: CallInput = { kind: "caller-hung-up", reason: "BYE" };
const queueId = asId<"queue">("support");

const offer = (contactId: CallId, n = 1): RoutingDirective => ({
  kind: "offer",
  offerId: asId<"offer">(`o${n}`),
  contactId,
  agentId: asId<"agent">(n === 1 ? "alice" : "bob"),
  agentUri: "sip:alice@127.30.0.1",
  ringTimeoutMs: 15_000,
  queueId,
});
const queued = (contactId: CallId): RoutingDirective => ({ kind: "queued", contactId, queueId, position: 1 });
const leg = (call: CallId, n = 1) => asId<"leg">(`${call}.${n}`);

async function inQueue(service: PaperService): Promise<CallId> {
  const call = await service.ring();
  await service.says(call, ACK);
  await service.promptEnds(call);
  await service.presses(call, "1");
  await service.region(queued(call));
  return call;
}

test("a caller in queue is taken up: music goes on where it stood, place and wait are told, an agent answers as if nothing had been", async () => {
  const service = new PaperService({ snapshot: ACME });
  const call = await inQueue(service);
  const enqueuedAtUnixMs = service.world.unixMs();
  await service.pass(7_000);
  service.kill();
  await service.pass(300);
  assert.deepEqual(await service.takeOver({ diedMsAgo: 300 }), { calls: 1, closed: 0, records: 0, tookMs: 0 });
  const { now } = service;
  assert.deepEqual(
    now.server.asked.filter(({ command }) => command === "play").map(({ repeat, fromMs }) => [repeat, fromMs]),
    [["forever", 7_000]],
  );
  const hello = now.routing.reports[0];
  assert.ok(hello?.kind === "hello");
  assert.deepEqual(hello.waiting, [{ contactId: call, tenantId: "acme", queueId, priority: 0, enqueuedAtUnixMs }]);
  assert.deepEqual(service.dialogs.wire, ["200 caller"], "nobody outside has heard a word");
  await service.region(offer(call));
  await service.says(call, { kind: "leg-answered", leg: leg(call), sdp: SDP_OF_PHONE });
  assert.equal(now.relay.heardByCaller(call), leg(call));
  await service.says(call, BYE);
  assert.deepEqual(service.dialogs.wire, ["200 caller", "INVITE .1", "BYE .1"]);
  assert.deepEqual(service.dialogs.left, []);
  const journal = now.calls.journal(call);
  assert.ok(journal?.entries.some(({ what, why }) => what === "taken over" && /^epoch 2, 300 ms/.test(why)));
  assert.deepEqual(
    journal?.dialogs.map(({ sipCallId }) => sipCallId),
    [`sip-${call}`, `sip-${leg(call)}`],
  );
  assert.deepEqual(
    service
      .recordsOf(call)
      .map(({ endedBy, endCode, segments }) => [endedBy, endCode, segments.map(({ kind }) => kind)]),
    [["caller", "normal", ["flow", "ringing", "queue", "agent"]]],
  );
});

test("an offer that rings and one that was answered are told to the region as such", async () => {
  const service = new PaperService({ snapshot: ACME });
  const rings = await inQueue(service);
  await service.region(offer(rings));
  await service.pass(1_000);
  const talks = await inQueue(service);
  await service.region(offer(talks, 2));
  await service.says(talks, { kind: "leg-answered", leg: leg(talks), sdp: SDP_OF_PHONE });
  const wire = service.dialogs.wire.length;
  await service.takeOver();
  const hello = service.now.routing.reports[0];
  assert.ok(hello?.kind === "hello");
  assert.deepEqual(
    hello.offers.map(({ contactId, offerId, accepted }) => [contactId, offerId, accepted]),
    [
      [rings, "o1", false],
      [talks, "o2", true],
    ],
  );
  assert.equal(service.dialogs.wire.length, wire);
  await service.pass(14_100); // 15 s after the INVITE, the ring timeout has come
  assert.deepEqual(service.dialogs.wire.slice(wire), ["CANCEL .1"]);
});

test("an agent who answered while nobody was here is heard, also when the ring timeout has passed meanwhile", async () => {
  const service = new PaperService({ snapshot: ACME });
  const call = await inQueue(service);
  await service.region(offer(call));
  await service.pass(13_500);
  service.kill();
  await service.pass(2_500);
  const wire = service.dialogs.wire.length;
  await service.takeOver({ diedMsAgo: 2_500 });
  await service.pass(1_900);
  await service.says(call, { kind: "leg-answered", leg: leg(call), sdp: SDP_OF_PHONE });
  await service.pass(5_000);
  assert.deepEqual(service.dialogs.wire.slice(wire), []);
  const state = service.now.calls.list().find(({ basics }) => basics.id === call);
  assert.ok(state?.phase.name === "running" && state.phase.far.name === "talking");
});

test("a leg that leaves just as the relay has lost the call costs nobody the call: caller and worker get a new place", async () => {
  const service = new PaperService({ snapshot: ACME });
  const call = await inQueue(service);
  await service.region(offer(call));
  service.now.relay.failNext("park", { code: "media.not-anchored" });
  await service.says(call, { kind: "leg-failed", leg: leg(call), status: 486, detail: "busy" });
  await service.pass(100);
  assert.deepEqual(service.recordsOf(call), []);
  assert.equal(service.now.relay.heardByCaller(call), "worker");
  assert.equal(service.now.relay.asked.at(-1)?.command, "anchor");
});

test("timers go on by the wall clock; past ones fire in their order", async () => {
  const service = new PaperService({ snapshot: ACME });
  const call = await service.ring();
  await service.says(call, ACK);
  await service.promptEnds(call); // the menu plays
  await service.promptEnds(call); // and waits 3 s for a key
  service.kill();
  await service.pass(2_900);
  await service.takeOver({ diedMsAgo: 2_900 });
  assert.equal(service.now.server.playing(call), undefined);
  await service.pass(200);
  assert.ok(service.now.server.playing(call) !== undefined, "no key: asked again");
  service.kill();
  await service.pass(3_700_000); // longer than a call may last
  await service.takeOver({ diedMsAgo: 3_700_000 });
  await service.pass(100);
  assert.deepEqual(
    service.recordsOf(call).map(({ endCode }) => endCode),
    ["call.too-long"],
  );
  assert.deepEqual(service.dialogs.left, []);
});

test("a wall clock that is hours behind, or went back, keeps no timer longer than it had left", async () => {
  const service = new PaperService({ snapshot: ACME });
  const call = await service.ring();
  await service.says(call, ACK);
  await service.promptEnds(call);
  await service.promptEnds(call);
  await service.pass(1_000);
  service.skewMs = -6 * 3_600_000;
  await service.takeOver();
  await service.pass(2_900);
  assert.equal(service.now.server.playing(call), undefined);
  await service.pass(200);
  assert.ok(service.now.server.playing(call) !== undefined, "no key within 3 s: asked again");
});

test("a wall clock that is hours ahead ends a wait at once, and nothing hangs", async () => {
  const service = new PaperService({ snapshot: ACME });
  const call = await service.ring();
  await service.says(call, ACK);
  service.skewMs = 6 * 3_600_000;
  await service.takeOver();
  await service.pass(100);
  assert.deepEqual(
    service.recordsOf(call).map(({ endCode }) => endCode),
    ["call.too-long"],
  );
  assert.deepEqual(service.dialogs.left, []);
});

test("a call keeps the flow version it began with, also when the next process has another snapshot, or none", async () => {
  const service = new PaperService({ snapshot: ACME });
  const call = await service.ring();
  await service.says(call, ACK);
  assert.deepEqual([...service.flowBook.fields.keys()], ["acme/support@1"]);
  service.snapshot = undefined;
  await service.takeOver();
  await service.promptEnds(call); // the welcome; the flow's second activity is the menu
  await service.presses(call, "1");
  assert.equal(service.now.routing.reports.at(-1)?.kind, "enqueue");
  const later = { ...ACME, version: 2, flows: ACME.flows.map((flow) => ({ ...flow, version: 2 })) };
  const newer = { ...later, entryPoints: ACME.entryPoints.map((entry) => ({ ...entry, flowVersion: 2 })) };
  assert.ok(service.now.calls.apply(newer).ok);
  assert.deepEqual([...service.flowBook.fields.keys()], ["acme/support@1"]);
  await service.says(call, BYE);
  assert.deepEqual([...service.flowBook.fields.keys()], [], "nobody runs it any more");
});

test("calls that are taken up count against their trunk", async () => {
  const service = new PaperService({ snapshot: ACME });
  for (const _ of [1, 2, 3]) await service.ring();
  await service.takeOver();
  await service.ring();
  assert.deepEqual(service.dialogs.wire.slice(-1), ["503 caller"]);
});

test("a record that the region has not confirmed is sent again by the next process, under the same name, and kept until it is", async () => {
  const region = new ScriptedPublisher();
  region.away = true;
  const service = new PaperService({ snapshot: ACME, publisher: region });
  const call = await service.ring();
  await service.says(call, BYE);
  service.kill();
  assert.deepEqual(await service.takeOver(), { calls: 0, closed: 0, records: 1, tookMs: 0 });
  assert.equal(service.book.fields.size, 1);
  region.away = false;
  await region.until(() => region.ids.some((id) => id === `${call}/record`));
  await service.settle();
  assert.equal(service.book.fields.size, 0);
  assert.equal(service.recordsOf(call).length, 1);
});

test("a record that the region has is forgotten at once", async () => {
  const region = new ScriptedPublisher();
  const service = new PaperService({ snapshot: ACME, publisher: region });
  const call = await service.ring();
  await service.says(call, BYE);
  await service.settle();
  assert.equal(region.ids.filter((id) => id === `${call}/record`).length, 1);
  assert.equal(service.book.fields.size, 0);
});

test("a process that was taken over does nothing any more, whatever it still hears", async () => {
  const service = new PaperService({ snapshot: ACME });
  const call = await inQueue(service);
  const former = service.now;
  await service.takeOver();
  const before = [former.relay.asked.length, former.events.appended.length, former.routing.reports.length];
  const { wire } = service.dialogs;
  const said = wire.length;
  former.signalling.signalled(call, BYE);
  former.relay.press(call, "caller", "1");
  former.routing.direct(offer(call));
  assert.equal(former.calls.command({ kind: "hang-up", callId: call }), "no such call here");
  await service.settle();
  await service.pass(20_000);
  assert.deepEqual([former.relay.asked.length, former.events.appended.length, former.routing.reports.length], before);
  assert.equal(wire.length, said);
  const alive = service.now;
  former.alive = true; // its lease comes back to life by a fault of ours: the store still refuses its writes
  former.signalling.signalled(call, ACK);
  former.signalling.signalled(call, BYE);
  await service.settle();
  assert.ok(!former.store.health().ok);
  assert.ok(alive.store.health().ok && alive.calls.knows(call));
});

test("what cannot be carried on is closed with a code of its own, and one record", async () => {
  const service = new PaperService({ snapshot: ACME });
  const [call, other] = [await service.ring(), await service.ring()];
  const checkpoint = JSON.parse(service.book.fields.get(call) ?? "{}");
  service.kill();
  service.book.fields.set(call, JSON.stringify({ ...checkpoint, v: 9 }));
  service.book.fields.set("nonsense", "{");
  const { signalling: _, ...unclaimed } = JSON.parse(service.book.fields.get(other) ?? "{}");
  service.book.fields.set(other, JSON.stringify(unclaimed));
  assert.deepEqual(await service.takeOver(), { calls: 0, closed: 3, records: 0, tookMs: 0 });
  assert.deepEqual(
    service.recordsOf(call).map(({ endCode, endedBy }) => [endCode, endedBy]),
    [["checkpoint.unreadable", "system"]],
  );
  assert.deepEqual(
    service.recordsOf(other).map(({ endCode }) => endCode),
    ["pop.restarted"],
  );
  assert.deepEqual(service.dialogs.left, [], "the server ends what nobody claims");
  assert.ok(!service.book.fields.has("nonsense"));
});

test("with Redis away at the start, new calls are served; what was left behind is closed when it is back", async () => {
  const service = new PaperService({ snapshot: ACME });
  const call = await service.ring();
  service.kill();
  const { load } = { load: service.now.store.load };
  const taken = service.takeOver.bind(service);
  const proto = Object.getPrototypeOf(service.now.store) as { load: typeof load };
  let away = true;
  const real = proto.load;
  proto.load = function (this: typeof service.now.store) {
    return away ? Promise.resolve({ ok: false, failure: { code: "store.away", forMs: 1 } }) : real.call(this);
  } as typeof load;
  try {
    assert.equal((await taken()).calls, 0);
    await service.pass(1_000);
    const living = await service.ring();
    away = false;
    await service.pass(5_000);
    assert.deepEqual(
      service.recordsOf(call).map(({ endCode }) => endCode),
      ["pop.restarted"],
    );
    assert.ok(service.now.calls.knows(living));
  } finally {
    proto.load = real;
  }
});

test("handing over: nothing is taken in any more, all is written, and the next process goes on", async () => {
  const service = new PaperService({ snapshot: ACME, storeMs: 2 });
  const call = await inQueue(service);
  await service.region(offer(call));
  const handed = service.now.calls.handOver();
  await service.pass(100);
  await handed;
  await service.says(call, { kind: "leg-answered", leg: leg(call), sdp: SDP_OF_PHONE }); // nobody hears it: told again
  const wire = service.dialogs.wire.length;
  await service.takeOver();
  await service.pass(100);
  assert.equal(service.now.relay.heardByCaller(call), leg(call));
  assert.equal(service.dialogs.wire.length, wire);
});

test("a timer that falls due while its call is being handed over is the next owner's", async () => {
  const service = new PaperService({ snapshot: ACME, storeMs: 20 });
  const call = await service.ring();
  await service.pass(100);
  await service.says(call, ACK);
  await service.promptEnds(call); // the menu plays
  await service.promptEnds(call); // and waits 3 s for a key
  await service.pass(2_990);
  await service.ring(); // a group is on its way: what is handed over is made a text after it
  await service.pass(1);
  const handed = service.now.calls.handOver();
  await service.pass(100);
  await handed;
  await service.takeOver();
  await service.pass(100);
  assert.ok(service.now.server.playing(call) !== undefined, "no key: asked again");
});

// ---- forms

const golden = (form: number): string =>
  readFileSync(new URL(`./checkpoints/form-${form}.json`, import.meta.url), "utf8").trim();

test("form 2 is still written as it was when it was first released: additions are allowed, nothing else", async () => {
  const service = new PaperService({ snapshot: ACME });
  const call = await inQueue(service);
  await service.region(offer(call));
  const written = JSON.parse(service.book.fields.get(call) ?? "{}");
  assertHolds(written, JSON.parse(golden(2)), "");
});

for (const form of [2, 3])
  test(`a checkpoint of form ${form} is taken up`, async () => {
    const service = new PaperService({ snapshot: ACME });
    service.kill();
    const { state } = JSON.parse(golden(form)) as { state: { basics: { id: CallId } } };
    service.book.fields.set(state.basics.id, golden(form));
    const restored = await service.takeOver();
    assert.deepEqual([restored.calls, restored.closed], [1, 0]);
    const offers = service.now.calls.held().offers.map(({ contactId, accepted }) => [contactId, accepted]);
    assert.deepEqual(offers, [[state.basics.id, false]]);
  });

test("a checkpoint of form 1 has no dialogs: its call is closed with a record", async () => {
  const service = new PaperService({ snapshot: ACME });
  service.kill();
  const { state } = JSON.parse(golden(1)) as { state: { basics: { id: CallId } } };
  service.book.fields.set(state.basics.id, golden(1));
  assert.equal((await service.takeOver()).closed, 1);
  assert.deepEqual(
    service.recordsOf(state.basics.id).map(({ endCode }) => endCode),
    ["pop.restarted"],
  );
});

/** Every place in a JSON value. */
function* places(value: unknown, path: readonly string[] = []): Generator<readonly string[]> {
  yield path;
  if (typeof value !== "object" || value === null) return;
  for (const [key, inner] of Object.entries(value)) yield* places(inner, [...path, key]);
}

test("property: whatever is damaged in a checkpoint costs that call at most, and never its record twice", async () => {
  const { id } = JSON.parse(golden(2)).state.basics;
  const whole = JSON.parse(golden(2).replaceAll(id, `${id}x`)); // another than the one that rings below
  const damage = fc.record({
    path: fc.constantFrom(...[...places(whole)].filter((path) => path.length > 0)),
    to: fc.constantFrom(undefined, null, 0, -1, "", "nonsense", [], {}, [null], true),
  });
  await fc.assert(
    fc.asyncProperty(damage, async ({ path, to }) => {
      const service = new PaperService({ snapshot: ACME });
      const other = await service.ring();
      service.kill();
      const damaged = structuredClone(whole);
      const last = path.at(-1) ?? "";
      const holder = path.slice(0, -1).reduce((at, key) => at[key], damaged);
      if (to === undefined) delete holder[last];
      else holder[last] = to;
      const call = asId<"call">(whole.state.basics.id);
      service.book.fields.set(call, JSON.stringify(damaged));
      service.dialogs.of(call).caller = "answered";
      await service.takeOver();
      assert.ok(service.now.calls.knows(other), "the other call goes on");
      if (service.now.calls.knows(call)) await service.says(call, BYE);
      await service.pass(100);
      assert.ok(service.recordsOf(call).length <= 1);
      assert.ok(!service.now.calls.knows(call), "it can be ended");
    }),
    { numRuns: 150 },
  );
});

function assertHolds(written: unknown, expected: unknown, path: string): void {
  if (typeof expected !== "object" || expected === null) return assert.deepEqual(written, expected, path);
  assert.ok(typeof written === "object" && written !== null, `${path} is missing`);
  for (const [key, value] of Object.entries(expected))
    assertHolds((written as Record<string, unknown>)[key], value, `${path}.${key}`);
}

// ---- any story, cut anywhere

type Act = (service: PaperService, call: CallId) => Promise<void>;

const ringingLeg = (service: PaperService, call: CallId) =>
  [...service.dialogs.of(call).legs].find(([, is]) => is === "ringing")?.[0];
const answeredLeg = (service: PaperService, call: CallId) =>
  [...service.dialogs.of(call).legs].find(([, is]) => is === "answered")?.[0];

const ACTS: Readonly<Record<string, Act>> = {
  acks: (service, call) => service.says(call, ACK),
  "prompt ends": (service, call) => service.promptEnds(call),
  "presses 1": (service, call) => service.presses(call, "1"),
  "presses 9": (service, call) => service.presses(call, "9"),
  "gets a place": (service, call) => service.region(queued(call)),
  "offer 1": (service, call) => service.region(offer(call, 1)),
  "offer 2": (service, call) => service.region(offer(call, 2)),
  "queue refuses": (service, call) => service.region({ kind: "refused", contactId: call, code: "queue.full" }),
  "leg answers": async (service, call) => {
    const ringing = ringingLeg(service, call);
    if (ringing !== undefined) await service.says(call, { kind: "leg-answered", leg: ringing, sdp: SDP_OF_PHONE });
  },
  "leg is busy": async (service, call) => {
    const ringing = ringingLeg(service, call);
    if (ringing !== undefined)
      await service.says(call, { kind: "leg-failed", leg: ringing, status: 486, detail: "Busy Here" });
  },
  "leg hangs up": async (service, call) => {
    const answered = answeredLeg(service, call);
    if (answered !== undefined) await service.says(call, { kind: "leg-hung-up", leg: answered, reason: "BYE" });
  },
  "a second passes": (service) => service.pass(1_000),
  "four seconds pass": (service) => service.pass(4_000),
};

const anyAct = fc.constantFrom(...Object.keys(ACTS));
/** Most random stories never leave the menu: these get somewhere first. */
const anyStory = fc
  .tuple(
    fc.constantFrom(
      [],
      ["acks", "prompt ends"],
      ["acks", "prompt ends", "presses 1", "gets a place"],
      ["acks", "prompt ends", "presses 1", "gets a place", "offer 1"],
      ["acks", "prompt ends", "presses 1", "gets a place", "offer 1", "leg answers"],
      ["acks", "prompt ends", "presses 9", "leg answers"],
    ),
    fc.array(anyAct, { maxLength: 8 }),
  )
  .map(([first, rest]) => [...first, ...rest]);

interface Ended {
  readonly wire: readonly string[];
  readonly left: readonly string[];
  readonly relays: number;
  readonly records: readonly unknown[];
  readonly places: number;
}

interface Midway {
  readonly turns: number;
  readonly host: boolean;
}

/** Whatever the call waits for, somebody is about to bring it. */
function assertGoesOn(service: PaperService, call: CallId): void {
  const state = service.now.calls.list().find(({ basics }) => basics.id === call);
  const { caller, legs } = service.dialogs.of(call);
  if (state === undefined) return assert.equal(caller, "gone");
  assert.notEqual(state.phase.name, "anchoring");
  if (caller !== "gone") assert.equal(caller, "answered");
  if (state.phase.name !== "running") return;
  const { far, playing } = state.phase;
  assert.ok(far.name !== "preparing" && far.name !== "joining", far.name);
  if (far.name === "ringing") assert.equal(legs.get(far.leg), "ringing");
  if (far.name === "talking") assert.equal(service.now.relay.heardByCaller(call), far.leg);
  else {
    assert.equal(service.now.relay.heardByCaller(call), "worker");
    assert.equal(service.now.server.playing(call)?.play, playing?.play);
  }
}

async function play(
  story: readonly string[],
  cutBefore: number | undefined,
  { storeMs = 0, workerDied = true, midway = undefined as Midway | undefined } = {},
): Promise<Ended> {
  const service = new PaperService({ snapshot: ACME, storeMs, ...(midway === undefined ? {} : { engineTurns: 2 }) });
  const call = await service.ring();
  for (const [at, name] of [...story, "bye"].entries()) {
    if (at === cutBefore) {
      service.kill();
      await service.pass(50);
      await service.takeOver({ diedMsAgo: 50, workerDied });
      await service.pass(50);
      assertGoesOn(service, call);
    } else await service.pass(100);
    if (name === "bye") {
      if (service.dialogs.of(call).caller !== "gone") await service.says(call, BYE);
    } else if (at + 1 === cutBefore && midway !== undefined) {
      // Cut in the middle of what the act leads to: engines have not answered yet, nothing else has left the host.
      const acting = ACTS[name]?.(service, call);
      await service.settle(midway.turns);
      service.kill({ host: midway.host });
      await acting;
    } else await ACTS[name]?.(service, call);
  }
  await service.pass(200);
  return {
    wire: service.dialogs.wire,
    left: service.dialogs.left,
    relays: service.now.relay.calls.length,
    records: service.recordsOf(call).map(({ endedBy, endCode, segments, media }) => ({
      endedBy,
      endCode,
      segments: segments.map(({ kind, outcome, agentId }) => [kind, outcome, agentId]),
      legs: media.map(({ leg: of }) => of),
    })),
    places: service.now.calls.held().waiting.length,
  };
}

test("property: whatever a call has come to, a process that dies between two steps changes neither what parties hear of us nor how the call ends", async () => {
  await fc.assert(
    fc.asyncProperty(anyStory, fc.boolean(), async (story, workerDied) => {
      const uncut = await play(story, undefined);
      assert.deepEqual([uncut.left, uncut.records.length], [[], 1]);
      for (let cut = 0; cut <= story.length; cut++) assert.deepEqual(await play(story, cut, { workerDied }), uncut);
    }),
    { numRuns: 25 },
  );
});

test("property: one that dies in the middle, its host and its last milliseconds with it, leaves one record, nobody ringing or waiting, and no leg twice", async () => {
  const anyCut = fc.record({ turns: fc.nat({ max: 8 }), host: fc.boolean() });
  const anyStoreMs = fc.constantFrom(0, 3);
  await fc.assert(
    fc.asyncProperty(anyStory, fc.nat({ max: 20 }), anyCut, anyStoreMs, async (story, at, midway, storeMs) => {
      const ended = await play(story, at % (story.length + 1), { storeMs, midway });
      assert.deepEqual(ended.left, []);
      // A call that died before its first checkpoint was never answered: its caller is refused.
      if (ended.wire.includes("200 caller")) assert.equal(ended.records.length, 1);
      else assert.deepEqual(ended.wire, ["503 caller"]);
      assert.equal(ended.relays, 0);
      assert.equal(ended.places, 0);
      const invites = ended.wire.filter((line) => line.startsWith("INVITE"));
      assert.equal(new Set(invites).size, invites.length);
    }),
    { numRuns: 100 },
  );
});
