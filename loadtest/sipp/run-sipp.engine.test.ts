import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { encodeG711 } from "../../pop/core/media/g711.ts";
import { toneSamples } from "../../pop/core/media/tone.ts";
import { SipPhone } from "../phones/sip-phone.ts";
import type { WhenCalled } from "../phones/when-called.ts";
import { runSipp, sippVersion } from "./run-sipp.ts";

const skip = sippVersion() === undefined ? "SIPp is not installed" : false;
const folder = mkdtempSync(join(tmpdir(), "run-sipp-"));
const open: SipPhone[] = [];
after(async () => {
  await Promise.all(open.map((phone) => phone.close()));
  rmSync(folder, { recursive: true });
});

async function answerer(whenCalled: WhenCalled): Promise<SipPhone> {
  const phone = await SipPhone.open({ host: "127.0.0.1", port: 0, user: "service", whenCalled });
  open.push(phone);
  return phone;
}

const run = (phone: SipPhone, scenario: string, calls: number, holdMs: number, audio: Uint8Array = new Uint8Array()) =>
  runSipp({
    audio,
    scenario,
    target: `127.0.0.1:${phone.address.port}`,
    localHost: "127.0.0.1",
    calledNumber: "service",
    calls,
    callsPerSecond: 50,
    holdMs,
    withinMs: 8_000,
    folder,
  });

test("ten calls that hang up: all good, their times measured", { skip }, async () => {
  const phone = await answerer({ kind: "answer" });
  const result = await run(phone, "caller-hears-greeting-then-hangs-up", 10, 200);
  assert.equal(result.good, true, result.complaints);
  assert.equal(result.successful, 10);
  assert.equal(result.responseTime?.count, 10);
  assert.equal(phone.called.filter(({ end }) => end?.by === "them" && end.how === "bye").length, 10);
});

test("SIPp's own audio reaches the phone", { skip }, async () => {
  const phone = await answerer({ kind: "answer" });
  const audio = encodeG711("PCMU", toneSamples(600, 1_000));
  const result = await run(phone, "caller-streams-audio-then-hangs-up", 1, 800, audio);
  assert.equal(result.good, true, result.complaints);
  const [call] = phone.called;
  assert.ok((call?.listening.durationMs() ?? 0) > 500);
  assert.ok((call?.listening.toneShare(600) ?? 0) > 0.9);
});

test("a call that waits to be released", { skip }, async () => {
  const releasing = await answerer({ kind: "answer", hangUpAfterMs: 100 });
  assert.equal((await run(releasing, "caller-waits-until-released", 1, 0)).good, true);
});

test("a refusal that the scenario expects is good; an answer that it does not is a failed call", { skip }, async () => {
  const unknown = await answerer({ kind: "refuse", status: 404, reason: "Not Found" });
  assert.equal((await run(unknown, "unknown-number-is-refused", 3, 0)).good, true);
  const answering = await answerer({ kind: "answer" });
  const surprised = await run(answering, "unknown-number-is-refused", 1, 0);
  assert.equal(surprised.good, false);
  assert.equal(surprised.failed, 1);
  assert.deepEqual(surprised.failures, { UnexpectedMessage: 1 });
  assert.match(surprised.complaints, /expecting '404'/);
});
