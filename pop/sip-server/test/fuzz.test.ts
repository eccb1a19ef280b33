// A few seconds of fuzzing with a fixed seed, and what longer runs have found: pop/sip-server/fuzz/main.ts.

import assert from "node:assert/strict";
import { test } from "node:test";
import { SimWorld } from "../../../kernel/sim/world.ts";
import { parseCommand } from "../core/drachtio/command.ts";
import { FrameReader } from "../core/drachtio/frame.ts";
import { USER_AGENT_LIMITS } from "../core/limits.ts";
import { headerValue } from "../core/message/message.ts";
import { parseMessage } from "../core/message/parse.ts";
import { MessageStream } from "../core/message/stream.ts";
import { corpusOf } from "../fuzz/corpus.ts";
import { errorOf, fuzz } from "../fuzz/fuzzer.ts";
import { allTargets } from "../fuzz/targets.ts";
import { SimulatedHost } from "./simulated.ts";

const INPUTS: Readonly<Record<string, number>> = { parse: 10_000, stream: 3_000, frames: 10_000, endpoint: 300 };

for (const target of allTargets())
  test(`fuzzing ${target.name}: its corpus and ${INPUTS[target.name]} inputs of seed 4475 break nothing`, async () => {
    const corpus = corpusOf(target.name);
    const { found, inputs } = await fuzz(target, {
      seed: 4475,
      inputsMax: (INPUTS[target.name] ?? 0) + corpus.length,
      untilMs: Number.POSITIVE_INFINITY,
      coverage: undefined,
      corpus,
    });
    assert.deepEqual(found, []);
    assert.ok(inputs >= (INPUTS[target.name] ?? 1));
  });

test("the fuzzer finds what is broken, and makes it small", async () => {
  const broken = {
    name: "broken",
    seeds: ["a good input, long enough to be made smaller"],
    make: () => "fine",
    mutate: (input: string) => `${input}!`,
    run: (input: string) => {
      if (input.includes("!")) throw new Error("an exclamation mark");
    },
    smaller: function* (input: string) {
      for (let at = 0; at < input.length; at++) yield input.slice(0, at) + input.slice(at + 1);
    },
  };
  const { found } = await fuzz(broken, {
    seed: 1,
    inputsMax: 50,
    untilMs: Number.POSITIVE_INFINITY,
    coverage: undefined,
    corpus: [],
  });
  assert.deepEqual(
    found.map(({ input }) => input),
    ["!"],
  );
  assert.match((await errorOf(broken, "!")) ?? "", /an exclamation mark/);
});

// Found by fuzzing, one test each.

const OPTIONS =
  "OPTIONS sip:x@y SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:x@y>\r\nCall-ID: c\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n";
const faultOf = (text: string) => {
  const parsed = parseMessage(text);
  return parsed.ok ? undefined : parsed.failure.fault;
};

test("found: a quote in Via that never closes; our rport and received would stand inside it", () => {
  assert.equal(faultOf(OPTIONS.replace("bK1", 'bK1;x="')), "via");
  assert.equal(faultOf(OPTIONS.replace("bK1", 'bK1;x="y"')), undefined);
});

test("found: a quote in To that never closes; our tag would stand inside it", () => {
  assert.equal(faultOf(OPTIONS.replace("To: <sip:x@y>", 'To: <sip:x@y>;x="')), "to");
  assert.equal(faultOf(OPTIONS.replace("To: <sip:x@y>", 'To: sip:x@y;x="\\"')), "to");
});

test("found: a NUL or control character in the Request-URI an application gives", () => {
  for (const uri of ["\0", "sip:a\x01b@c", "sip:a\x7f@b"]) {
    const parsed = parseCommand(`4|sip|||\r\nOPTIONS ${uri} SIP/2.0\r\n\r\n`);
    assert.ok(!parsed.ok && parsed.failure.verdict === "NOK");
  }
});

test("found: an application writes a From, To or Call-ID that nobody can read: refused, not sent", () => {
  for (const line of ["From: <sip:a@b>;tag = q : 60", 'To: "x <sip:a@b>', "Call-ID: a b", "f: a, b <sip:a@b>"]) {
    const parsed = parseCommand(`4|sip|||\r\nOPTIONS sip:x SIP/2.0\r\n${line}\r\n\r\n`);
    assert.ok(!parsed.ok && parsed.failure.verdict === "NOK", line);
  }
});

test("found: an application's message with more headers than anybody reads", () => {
  const parsed = parseCommand(`4|sip|||\r\nOPTIONS sip:x SIP/2.0\r\n${"X: y\r\n".repeat(300)}\r\n`);
  assert.ok(!parsed.ok && parsed.failure.reason === "too many headers");
});

test("found: a peer that says 100 to our INVITE and nothing more: given up after the longest ringing there may be", () => {
  const world = new SimWorld(1, { delayMs: 1 });
  const host = new SimulatedHost(world, "10.0.0.2");
  const heard: string[] = [];
  world.attach("10.0.0.9", (payload) => {
    const text = String(payload);
    heard.push(text.split(" ", 1)[0] ?? "");
    if (!text.startsWith("INVITE")) return;
    const copied = text.split("\r\n").filter((line) => /^(?:Via|From|To|Call-ID|CSeq):/.test(line));
    world.send("10.0.0.9", "10.0.0.2", `SIP/2.0 100 Trying\r\n${copied.join("\r\n")}\r\nContent-Length: 0\r\n\r\n`);
  });
  host.application.say("sip||\r\nINVITE sip:x@10.0.0.9 SIP/2.0\r\n\r\n");
  world.runFor(USER_AGENT_LIMITS.ringingMs - 1_000);
  assert.deepEqual(heard, ["INVITE"]);
  world.runFor(60_000);
  assert.ok(heard.includes("CANCEL"));
  assert.deepEqual(
    host.application.heard.map(({ what }) => what),
    ["487"],
  );
  assert.ok(host.isIdle, JSON.stringify(host.endpoint.facts));
});

test("found: octet A0 at the end of a value is half of a letter, not a blank", () => {
  const voila = Buffer.from("voilà", "utf8").toString("latin1");
  const parsed = parseMessage(OPTIONS.replace("CSeq", `Subject: ${voila}\t \r\nCSeq`));
  assert.ok(parsed.ok);
  assert.equal(headerValue(parsed.value, "subject"), voila);
  const command = parseCommand(`4|sip|||\r\nOPTIONS sip:x SIP/2.0\r\nSubject: ${voila} \r\n\r\n`);
  assert.ok(command.ok && command.value.kind === "send-request");
  assert.equal(headerValue(command.value.draft, "subject"), voila);
});

test("found: a whole message is not lost because what follows it in the same segment is none", () => {
  const stream = new MessageStream(65_535);
  const taken = stream.take(`${OPTIONS}no message\r\n\r\n`);
  assert.ok(taken.ok);
  assert.deepEqual(taken.value.messages, [OPTIONS]);
  assert.equal(stream.fault?.fault, "no-content-length");
  assert.ok(!stream.take(OPTIONS).ok);
  const reader = new FrameReader(1_000);
  assert.deepEqual(reader.take("6#1|pingno frame at all"), { ok: true, value: ["1|ping"] });
  assert.equal(reader.fault, "length");
  assert.ok(!reader.take("").ok);
});
