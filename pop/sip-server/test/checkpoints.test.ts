// What waits for a commit and what does not, numbers after a restoring, and the silence of a server whose service is not held.

import assert from "node:assert/strict";
import { test } from "node:test";
import { LeasedOwnership } from "../../../kernel/ownership.ts";
import { SimWorld } from "../../../kernel/sim/world.ts";
import { memoryBook } from "../../checkpoint/adapters/memory/checkpoint-store.ts";
import { RESUME_TAG } from "../core/drachtio/resume.ts";
import { CSEQ_RESERVE } from "../core/record/record.ts";
import { SimulatedApplication, SimulatedHost } from "./simulated.ts";

const CARRIER = "10.0.0.1";
const POP = "10.0.0.2";

function stage(answerMs = 2, settings: ConstructorParameters<typeof SimulatedHost>[2] = {}) {
  const world = new SimWorld(1, { delayMs: 20 });
  const carrier = new SimulatedHost(world, CARRIER, {}, "instance:carrier");
  const pop = new SimulatedHost(world, POP, settings, "instance:pop", { book: memoryBook(), answerMs });
  /** When the pop sent what, from its INVITE's arrival on. */
  const sent = () =>
    world.history
      .filter(({ from }) => from === POP)
      .map(({ atMs, payload }) => {
        const [first = "", second = ""] = String(payload).split(" ");
        return `${first.startsWith("SIP") ? second : first} ${atMs - 40}`;
      });
  return { world, carrier, pop, sent };
}

/** The carrier calls, and is answered at once. */
function answered(at: ReturnType<typeof stage>) {
  const { world, carrier, pop } = at;
  let dialogId = "";
  pop.application.onHeard = (heard) => {
    if (heard.what === "INVITE") {
      pop.application.respond(heard, 180);
      pop.application.respond(heard, 200);
    } else if (heard.what === "BYE") pop.application.respond(heard, 200);
  };
  carrier.application.onHeard = (heard) => {
    if (heard.what === "200" && heard.text.includes(" INVITE")) carrier.application.request("ACK", heard.dialogId);
    if (heard.what === "200") ({ dialogId } = heard);
    if (heard.what === "INFO" || heard.what === "BYE") carrier.application.respond(heard, 200);
  };
  carrier.application.request("INVITE", "", `sip:pop@${POP}`);
  return { world, dialogId: () => dialogId };
}

test("a 2xx leaves when its call is written; 100 and 180 leave at once", () => {
  const at = stage(3);
  answered(at).world.runFor(200);
  assert.deepEqual(at.sent().slice(0, 3), ["100 0", "180 0", "200 3"]);
});

test("nobody waits for a store that is away", () => {
  const at = stage();
  at.pop.store?.away();
  answered(at).world.runFor(200);
  assert.deepEqual(at.sent().slice(0, 3), ["100 0", "180 0", "200 0"]);
});

test("a store that hangs holds an answer back for 50 ms, and the next not at all", () => {
  const at = stage();
  at.pop.store?.hang();
  const { world, dialogId } = answered(at);
  world.runFor(300);
  assert.deepEqual(at.sent().slice(0, 3), ["100 0", "180 0", "200 50"]);
  at.carrier.application.request("BYE", dialogId());
  const before = world.nowMs();
  world.runFor(100);
  assert.equal(at.sent().at(-1), `200 ${before + 20 + 20 - 40}`);
});

test("what follows a message that waits does not overtake it, but for a 100", () => {
  const at = stage(10);
  const { world, pop, carrier } = at;
  pop.application.onHeard = (heard) => {
    if (heard.what !== "INVITE") return;
    pop.application.respond(heard, 200);
    pop.application.request(
      "INFO",
      `${/Call-ID: (\S+)/.exec(heard.text)?.[1]};from-tag=${/From:.*;tag=(\S+)/.exec(heard.text)?.[1]}`,
    );
  };
  carrier.application.request("INVITE", "", `sip:pop@${POP}`);
  world.runFor(100);
  assert.deepEqual(at.sent().slice(0, 3), ["100 0", "200 10", "INFO 10"]);
});

test("an INVITE of ours leaves when it is written", () => {
  const at = stage(4);
  at.pop.application.request("INVITE", "", `sip:carrier@${CARRIER}`);
  at.world.runFor(100);
  assert.equal(at.sent()[0], `INVITE ${4 + 20 - 40}`);
});

test("more requests in one dialog than numbers are reserved wait for a commit", () => {
  const at = stage();
  const { world } = answered(at);
  world.runFor(1_000);
  const { dialogs } = at.pop.endpoint.exportState();
  const id = dialogs[0]?.dialog.id ?? "";
  for (let count = 0; count < CSEQ_RESERVE; count++) at.pop.application.request("INFO", id);
  const infosAt = () =>
    at
      .sent()
      .filter((line) => line.startsWith("INFO"))
      .map((line) => Number(line.split(" ")[1]));
  world.runFor(400);
  const times = infosAt();
  assert.equal(times.length, CSEQ_RESERVE);
  const first = times[0] ?? 0;
  assert.equal(times.filter((atMs) => atMs === first).length, CSEQ_RESERVE / 2);
  assert.ok((times[CSEQ_RESERVE / 2] ?? 0) > first);
});

test("after a restoring numbers go on beyond all that may have been used, also when the next owner dies at once", async () => {
  const at = stage();
  const { world } = answered(at);
  world.runFor(1_000);
  const id = at.pop.endpoint.exportState().dialogs[0]?.dialog.id ?? "";
  const first = at.pop.endpoint.exportState().dialogs[0]?.dialog.localSeq ?? 0;
  for (const round of [1, 2]) {
    at.pop.application.request("INFO", id);
    at.pop.die();
    world.runFor(500);
    const restored = await at.pop.rise();
    assert.deepEqual(restored, { calls: 1, dialogs: 1, transactions: 1, unusable: 0 });
    const { localSeq } = at.pop.endpoint.exportState().dialogs[0]?.dialog ?? { localSeq: 0 };
    assert.ok(localSeq >= first + CSEQ_RESERVE, `round ${round}`);
    at.pop.application.request("INFO", id);
    at.pop.die(); // before anything of this owner is written: its request has not left either
    world.runFor(500);
    await at.pop.rise();
    world.runFor(500);
  }
  const numbers = at.world.history
    .filter(({ from, payload }) => from === POP && String(payload).startsWith("INFO"))
    .map(({ payload }) => `${/CSeq: (\d+)/.exec(String(payload))?.[1]} ${/branch=(\S+)/.exec(String(payload))?.[1]}`);
  const distinct = new Set(numbers);
  assert.equal(new Set([...distinct].map((text) => text.split(" ")[0])).size, distinct.size);
});

test("what cannot be read is told, left out and taken out of the book; the others are taken up", async () => {
  const at = stage();
  const { world } = answered(at);
  world.runFor(1_000);
  at.pop.store?.written.set("broken", "{");
  at.pop.store?.written.set("shapeless", '{"version":2,"takenUnixMs":1,"dialogs":7}');
  at.pop.store?.written.set("newer", '{"version":9}');
  at.pop.die();
  assert.deepEqual(await at.pop.rise(), { calls: 1, dialogs: 1, transactions: 1, unusable: 3 });
  assert.deepEqual([...at.pop.endpoint.counters.of("records_unusable")], [["", 3]]);
  world.runFor(200); // deletions go out with others, or after 100 ms
  assert.equal(at.pop.store?.written.size, 1);
});

test("whom applications have told us to hear is heard by the next owner before any application says it again", async () => {
  const { pop, world } = stage(2, { trustedSources: "told" });
  pop.application.say(`sources|allow|${CARRIER}`);
  world.runFor(100);
  pop.die();
  await pop.rise();
  assert.equal(pop.endpoint.admits(CARRIER), true);
  assert.equal(pop.endpoint.admits("10.0.0.9"), false);
  pop.application.say("sources|allow|10.0.0.9");
  assert.equal(pop.endpoint.admits(CARRIER), false);
});

test("nothing is written for timers alone, and nothing is left when a call is over", () => {
  const at = stage();
  const { world, dialogId } = answered(at);
  world.runFor(5_000);
  const groups = at.pop.store?.counts.groups;
  world.runFor(60_000);
  assert.equal(at.pop.store?.counts.groups, groups);
  assert.equal(at.pop.store?.written.size, 1);
  at.carrier.application.request("BYE", dialogId());
  world.runFor(1_000);
  assert.equal(at.pop.store?.written.size, 1, "a copy of the BYE must be answered");
  world.runFor(60_000);
  assert.equal(at.pop.store?.written.size, 0);
});

test("what was asked over TCP and not heard of is asked once more over a new connection; when none can be made it has failed", () => {
  const world = new SimWorld(1, { delayMs: 20 });
  const before = new SimulatedHost(world, POP, {}, "instance:pop");
  before.application.request("INVITE", "", `sip:carrier@${CARRIER}`);
  // As if it had gone over a connection: no Timer A there.
  const record = JSON.parse(JSON.stringify(before.endpoint.exportState()).replaceAll("udp/", "tcp/"), (name, value) => {
    if (name === "transport") return "tcp";
    if (name === "timers") return value.filter((timer: { name: string }) => timer.name !== "A");
    return value;
  });
  for (const transaction of record.transactions) transaction.flow.connection = "tcp-1"; // of the dead process
  const [{ flow, request }] = record.transactions;
  const next = new SimulatedHost(world, POP, {}, "instance:pop");
  const point = { id: flow.pointId, name: "tcp", transport: "tcp", address: POP, port: 5060, host: POP } as const;
  const sent: { readonly text: string; readonly connection: string | undefined }[] = [];
  next.endpoint.addTransport({
    point,
    send: (text, to) => sent.push({ text, connection: to.connection }),
    stop: async () => {},
  });
  const restored = next.endpoint.restoreState(record);
  assert.ok(restored.ok, restored.ok ? "" : restored.failure.reason);
  next.application.move(next.endpoint);
  world.runFor(400);
  assert.deepEqual(sent, [], "not because of the restoring");
  world.runFor(200);
  assert.deepEqual(sent, [{ text: request, connection: undefined }]);
  next.endpoint.onConnectionLost({ ...flow, connection: undefined });
  assert.equal(next.application.count("503"), 1);
});

test("a server whose lease has run out neither reads nor sends, whatever its timers and its application want", () => {
  const at = stage();
  const { world, pop, carrier } = at;
  const lease = new LeasedOwnership(1, 1_000, () => world.nowMs());
  pop.ownership = lease;
  pop.application.onHeard = (heard) => {
    if (heard.what === "INVITE") pop.application.respond(heard, 180);
  };
  carrier.application.request("INVITE", "", `sip:pop@${POP}`);
  pop.application.request("OPTIONS", "", "sip:10.0.0.9"); // repeated by Timer E
  world.runFor(1_000);
  const before = at.sent().length;
  const heard = pop.application.heard.length;
  const [invite] = pop.application.heard;
  assert.ok(before > 3 && invite !== undefined);
  carrier.application.cancel();
  pop.application.respond(invite, 200);
  world.runFor(5_000);
  assert.deepEqual([at.sent().length, pop.application.heard.length], [before, heard]);
  assert.ok([...pop.endpoint.counters.of("muted")][0]?.[1] ?? 0 > 3);
  lease.extend(world.nowMs() + 10_000);
  world.runFor(5_000);
  assert.ok(at.sent().length > before, "held again");
});

test("a call is taken up before its turn when something names it, and the others soon after; until then they count", async () => {
  const at = stage();
  const { world, dialogId } = answered(at);
  world.runFor(1_000);
  const first = dialogId();
  at.carrier.application.request("INVITE", "", `sip:pop@${POP}`);
  world.runFor(1_000);
  const sizeOf = () => at.pop.endpoint.facts;
  const finished = "finished-call";
  const text = at.pop.store?.written.get(first.split(";")[0] ?? "") ?? "";
  const { takenUnixMs } = JSON.parse(text) as { takenUnixMs: number };
  const empty = { version: 2, takenUnixMs, dialogs: [], transactions: [], pending: [] };
  at.pop.die();
  at.carrier.application.request("INFO", first);
  world.runFor(19); // it is about to arrive
  at.pop.store?.written.set(finished, JSON.stringify(empty));
  await at.pop.rise(true);
  assert.deepEqual([sizeOf().dialogs, sizeOf().unrestoredCalls], [0, 3]);
  assert.ok(at.pop.endpoint.knows(finished));
  world.runFor(1);
  assert.equal(at.pop.application.heard.at(-1)?.what, "INFO");
  assert.deepEqual([sizeOf().dialogs, sizeOf().unrestoredCalls], [1, 2]);
  world.runFor(100);
  assert.deepEqual([sizeOf().dialogs, sizeOf().unrestoredCalls], [2, 0]);
  assert.ok(!at.pop.endpoint.knows(finished) && at.pop.store?.written.has(finished) === false);
});

test("whoever comes back before all calls have been taken up ends none that it remembers, and each that it does not", async () => {
  const at = stage();
  const { world, dialogId } = answered(at);
  world.runFor(1_000);
  const kept = dialogId();
  at.carrier.application.request("INVITE", "", `sip:pop@${POP}`);
  world.runFor(1_000);
  at.pop.die();
  at.pop.application = new SimulatedApplication(at.pop.endpoint, `instance:pop,${RESUME_TAG}`);
  await at.pop.rise(true);
  assert.equal(at.pop.endpoint.facts.unrestoredCalls, 2);
  at.pop.application.say(`resume|last\r\n${kept.split(";")[0]}`);
  assert.equal(at.pop.endpoint.facts.unrestoredCalls, 0);
  world.runFor(1_000);
  assert.equal(at.carrier.application.count("BYE"), 1);
  assert.equal(at.pop.endpoint.facts.dialogs, 1);
});
