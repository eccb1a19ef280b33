// One call as its caller sees it: answered, refused, held, transferred, many at once, strangers and garbage in between.

import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, afterEach, before, describe, test } from "node:test";
import { CHECKOUT } from "../../cli/up/start-region.ts";
import { seededRng } from "../../kernel/rng.ts";
import { readAudio } from "../../pop/core/media/sdp.ts";
import { mistakesOf } from "../demo/contact-record-check.ts";
import { eventually } from "../demo/operator.ts";
import { ReferenceAudio } from "../demo/reference-audio.ts";
import { runSipp } from "../sipp/run-sipp.ts";
import { RegionUnderTest } from "./region-under-test.ts";
import {
  CARRIER,
  GREETING,
  NARROW_CARRIER,
  NUMBERS,
  OFFICE,
  OFFICE_NUMBER,
  SLOW_CARRIER,
  STRANGER,
  TONES,
  UNKNOWN_NUMBER,
} from "./tenant.ts";

describe("a call", { concurrency: 1 }, () => {
  let region: RegionUnderTest;
  before(async () => {
    region = await RegionUnderTest.start();
  });
  afterEach(() => region.calm());
  after(() => region?.stop());

  test("is answered, hears the greeting, is released, and leaves one complete record", async () => {
    const audio = new ReferenceAudio({
      folder: join(region.folder, "prompts"),
      cacheFolder: join(region.folder, "reference"),
    });
    const greeting = await audio.of({ kind: "text", text: GREETING, language: "en" });
    const { call, callingNumber } = await region.dial(NUMBERS.greeting);
    await call.until("answered");
    await call.until("ended", 10_000);
    assert.deepEqual([call.end?.by, call.end?.how], ["them", "bye"]);
    const { score } = call.listening.likeness(greeting);
    assert.ok(score > 0.9, `similarity ${score}`);
    assert.equal(call.listening.losses().lost, 0);
    const record = await region.operator.record(callingNumber);
    assert.deepEqual(mistakesOf(record, ["flow"]), []);
    assert.deepEqual([record.endedBy, record.endCode, record.calledNumber], ["flow", "normal", NUMBERS.greeting]);
    const [leg] = record.media;
    assert.match(leg?.localAddress ?? "", /^127\.10\.1\.11:3\d{4}$/);
    assert.equal(leg?.remoteAddress, `${CARRIER}:${call.probe.address.port}`);
    assert.ok(call.listening.sources().every((source) => source === leg?.localAddress));
  });

  test("to a number nobody has: 404, and no media", async () => {
    const { call } = await region.dial(UNKNOWN_NUMBER);
    await call.until("ended");
    assert.deepEqual([call.end?.how, call.end?.status], ["refused", 404]);
    assert.equal(call.listening.packets.length, 0);
  });

  test("from an address that is no trunk's: no answer at all", async () => {
    const { call } = await region.dial(NUMBERS.greeting, { from: STRANGER });
    const known = await region.dialAndHear(NUMBERS.announcement, "announcement");
    await assert.rejects(call.until("ended", 1_200), /not ended within/);
    assert.ok(call.count("out", "INVITE") >= 2, "it was sent more than once");
    assert.equal(call.history.filter(({ direction }) => direction === "in").length, 0);
    known.call.hangUp();
    await known.call.until("ended");
  });

  test("over the trunk's limit of calls at once: 503 with Retry-After; room again once one has ended", async () => {
    const first = await region.dial(NUMBERS.announcement, { from: NARROW_CARRIER });
    await first.call.until("answered");
    const second = await region.dial(NUMBERS.announcement, { from: NARROW_CARRIER });
    await second.call.until("ended");
    assert.deepEqual([second.call.end?.how, second.call.end?.status], ["refused", 503]);
    assert.ok((second.call.end?.retryAfterSeconds ?? 0) >= 1);
    first.call.hangUp();
    await first.call.until("ended");
    await region.idle();
    const third = await region.dial(NUMBERS.announcement, { from: NARROW_CARRIER });
    await third.call.until("answered");
    third.call.hangUp();
    await third.call.until("ended");
  });

  test("over the trunk's calls per second: 503 with Retry-After", async () => {
    const calls = await Promise.all(
      [1, 2, 3].map(async () => (await region.dial(NUMBERS.announcement, { from: SLOW_CARRIER })).call),
    );
    await Promise.all(calls.map((call) => Promise.race([call.until("answered"), call.until("ended")]).catch(() => {})));
    const refused = calls.filter(({ end }) => end?.status === 503);
    assert.ok(refused.length >= 1 && refused.length <= 2, `${refused.length} of 3 refused`);
    assert.ok(refused.every(({ end }) => (end?.retryAfterSeconds ?? 0) >= 1));
    for (const call of calls) call.hangUp();
    await Promise.all(calls.map((call) => call.until("ended")));
  });

  test("is put on hold by the caller and taken back: nothing is sent to a caller on hold, then audio again", async () => {
    const { call, callingNumber } = await region.dialAndHear(NUMBERS.announcement, "announcement");
    const held = await call.reinvite("sendonly");
    assert.equal(held.status, 200);
    const answer = readAudio(held.sdp);
    assert.ok(answer.ok && answer.value.direction === "recvonly", held.sdp);
    await region.hearsNothing(call);
    const back = await call.reinvite("sendrecv");
    assert.equal(back.status, 200);
    await region.hears(call, TONES.announcement);
    call.hangUp();
    await call.until("ended");
    assert.equal((await region.operator.record(callingNumber)).endedBy, "caller");
  });

  test("is transferred to a number: both hear each other, the other side's end releases the caller", async () => {
    const office = await region.phone(OFFICE, "office");
    office.whenCalled = { kind: "answer", afterMs: 100, toneHz: 700 };
    const { call, callingNumber } = await region.dial(NUMBERS.transfer);
    const far = await office.nextCall();
    assert.match(far.invite.uri, new RegExp(`^sip:${OFFICE_NUMBER.replace("+", "\\+")}@${OFFICE}`));
    await far.until("confirmed");
    await Promise.all([region.hears(call, 700), region.hears(far, 440)]);
    far.hangUp();
    await region.hears(call, TONES.goodbye);
    await call.until("ended");
    const record = await region.operator.record(callingNumber);
    assert.deepEqual(
      record.segments.filter(({ kind }) => kind !== "ringing").map(({ kind }) => kind),
      ["flow", "transfer", "flow"],
    );
  });

  test("is transferred to a number that is busy: the failure path is heard", async () => {
    const office = await region.phone(OFFICE, "office");
    office.whenCalled = { kind: "refuse", status: 486, reason: "Busy Here" };
    const { call } = await region.dial(NUMBERS.transfer);
    await call.until("answered");
    await region.hears(call, TONES.apology);
    await call.until("ended");
  });

  test("goes on undisturbed while malformed datagrams arrive: RFC 4475, random bytes, from known and unknown addresses", async () => {
    const { call, callingNumber } = await region.dialAndHear(NUMBERS.announcement, "announcement");
    const fromMs = region.beginListening();
    await Promise.all([pelt(region.address, CARRIER), pelt(region.address, STRANGER)]);
    await region.hears(call, TONES.announcement);
    region.heardWithoutGap(call, fromMs, performance.now());
    call.hangUp();
    await call.until("ended");
    assert.equal((await region.operator.record(callingNumber)).endCode, "normal");
    assert.deepEqual(
      region.running.processes().filter(({ restarts }) => restarts > 0),
      [],
    );
    await region.idle();
  });

  test("over TCP: the caller hangs up, or is released", async () => {
    for (const [scenario, calledNumber] of [
      ["caller-hears-greeting-then-hangs-up", NUMBERS.announcement],
      ["caller-waits-until-released", NUMBERS.short],
    ] as const) {
      const result = await runSipp({
        scenario,
        transport: "tcp",
        target: `${region.address}:5060`,
        localHost: "127.20.0.6",
        calledNumber,
        calls: 3,
        callsPerSecond: 10,
        holdMs: 300,
        withinMs: 8_000,
        folder: join(region.folder, "sipp"),
      });
      assert.ok(result.good, JSON.stringify(result));
    }
  });

  test("fifty at once: all answered, all released, a record each", async () => {
    const callingNumber = "+4930150150";
    const result = await runSipp({
      scenario: "caller-waits-until-released",
      target: `${region.address}:5060`,
      localHost: "127.20.0.5",
      calledNumber: NUMBERS.short,
      calls: 50,
      callsPerSecond: 50,
      keys: { calling_number: callingNumber },
      withinMs: 15_000,
      folder: join(region.folder, "sipp"),
    });
    assert.ok(result.good, JSON.stringify(result));
    await region.idle();
    const records = await eventually("fifty records", 5_000, async () => {
      const some = await region.operator.recordsOf(callingNumber);
      return some.length >= 50 ? some : undefined;
    });
    assert.equal(new Set(records.map(({ contactId }) => contactId)).size, 50);
    assert.ok(records.every(({ endedBy, endCode }) => endedBy === "flow" && endCode === "normal"));
  });
});

/** Sends what RFC 4475 calls torture, and noise, as fast as one second allows the server to look at it. */
async function pelt(target: string, from: string): Promise<void> {
  const folder = join(CHECKOUT, "pop", "sip-server", "test", "rfc4475");
  const torture = readdirSync(folder)
    .filter((name) => name.endsWith(".dat"))
    .map((name) => readFileSync(join(folder, name)));
  const rng = seededRng(4475);
  const noise = Array.from({ length: 200 }, () =>
    Buffer.from(Array.from({ length: 1 + Math.floor(rng.next() * 1_200) }, () => Math.floor(rng.next() * 256))),
  );
  assert.ok(torture.length > 40, "the RFC 4475 set is there");
  const socket = createSocket("udp4");
  await new Promise<void>((resolve) => socket.bind(0, from, resolve));
  socket.on("error", () => {});
  let sent = 0;
  await new Promise<void>((resolve) => {
    const all = [...torture, ...noise];
    const timer = setInterval(() => {
      for (const datagram of all.slice(sent, sent + 10)) socket.send(datagram, 5060, target);
      sent += 10;
      if (sent < all.length) return;
      clearInterval(timer);
      resolve();
    }, 20);
  });
  await new Promise<void>((resolve) => socket.close(() => resolve()));
}
