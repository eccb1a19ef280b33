// What holds for every input: no exception, and time that grows with the bytes, not with what they say.

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { refusalText } from "./build.ts";
import { parseMessage } from "./parse.ts";
import { serialise } from "./serialise.ts";
import { MessageStream } from "./stream.ts";
import { parseVia, withSource } from "./via.ts";

const SEED_MESSAGE = [
  "INVITE sip:bob@biloxi.example;p=1 SIP/2.0",
  "Via: SIP/2.0/UDP 192.0.2.1:5060;rport;branch=z9hG4bK776asdhds, SIP/2.0/TCP [2001:db8::9]:1",
  "Max-Forwards: 70",
  'From: "Al\\"ice" <sip:alice@atlanta.example>;tag=1928301774',
  "To: Bob <sip:bob@biloxi.example>",
  "Call-ID: a84b4c76e66710@pc33",
  "CSeq: 314159 INVITE",
  "Contact: <sip:alice@pc33.atlanta.example;transport=tcp>;q=0.5",
  "Record-Route: <sip:p1;lr>, <sip:p2;lr>",
  "Content-Length: 4",
  "",
  "v=0\n",
].join("\r\n");

/** All that is done with a message before anybody looks at its meaning. */
function handle(text: string): void {
  const parsed = parseMessage(text);
  if (parsed.ok) {
    const again = parseMessage(serialise(parsed.value));
    assert.ok(again.ok, "what we write we can read");
    assert.equal(again.value.callId, parsed.value.callId);
    withSource(parsed.value.via, "192.0.2.5", 5060);
    return;
  }
  const { answer } = parsed.failure;
  if (answer === undefined) return;
  const via = parseVia(answer.headers.find(({ key }) => key === "via")?.value ?? "", "any-version");
  assert.ok(via !== undefined);
  assert.match(refusalText(answer, withSource(via, "192.0.2.5", 5060), "t"), /^SIP\/2\.0 (?:400|501|505) /);
}

const bytes = (max: number) => fc.uint8Array({ maxLength: max }).map((array) => Buffer.from(array).toString("latin1"));
const anyEdit = fc.record({
  at: fc.nat(SEED_MESSAGE.length),
  cut: fc.nat(40),
  put: fc.oneof(
    bytes(12),
    fc.constantFrom(
      "\r\n",
      "\r\n ",
      ",",
      ";",
      '"',
      "<",
      ">",
      ":",
      "|",
      "\0",
      "%",
      " ",
      "\r",
      "\n",
      "Via: ",
      "CSeq: 1 X\r\n",
    ),
    fc.string({ maxLength: 300, unit: fc.constantFrom("a", ";", ",", '"', "<", " ", "=") }),
  ),
});

test("property: random bytes never throw", () => {
  fc.assert(
    fc.property(bytes(2_000), (text) => handle(text)),
    { numRuns: 2_000 },
  );
});

test("property: a good message, cut and patched anywhere, never throws, and what is taken can be written and read again", () => {
  fc.assert(
    fc.property(fc.array(anyEdit, { minLength: 1, maxLength: 6 }), (edits) => {
      let text = SEED_MESSAGE;
      for (const { at, cut, put } of edits) text = text.slice(0, at) + put + text.slice(at + cut);
      handle(text);
    }),
    { numRuns: 6_000 },
  );
});

test("property: a stream cut anywhere yields the same, and never holds more than its bound", () => {
  fc.assert(
    fc.property(fc.array(bytes(50), { maxLength: 30 }), (chunks) => {
      const stream = new MessageStream(200);
      for (const chunk of [SEED_MESSAGE.slice(0, 20), ...chunks]) if (!stream.take(chunk).ok) return;
    }),
    { numRuns: 1_000 },
  );
});

/** Each flood fills a datagram to the brim with what a careless scanner would look at again and again. */
const FLOODS: readonly (readonly [name: string, unit: string, at: string])[] = [
  ["headers", "X: y\r\n", "Max-Forwards"],
  ["folds", " \r\n ", "70"],
  ["commas in Via", ",", ", SIP/2.0/TCP"],
  ["semicolons in Via", ";a", ";rport"],
  ["quotes in From", '\\"', '\\"'],
  ["opening brackets", "<", "<sip:alice"],
  ["spaces in CSeq", " ", " INVITE\r\nContact"],
  ["digits in CSeq", "9", "314159"],
  ["colons", ":", "Max-Forwards"],
  ["CRLFs before", "\r\n", "INVITE sip:bob"],
  ["spaces in the start line", " ", "INVITE sip:bob"],
  ["@ in the URI", "@", "@biloxi.example;p"],
  ["tabs before a colon", "\t", ": 70"],
];

for (const [name, unit, at] of FLOODS)
  test(`a flood of ${name} takes time in proportion to its bytes`, () => {
    const flooded = (size: number) => SEED_MESSAGE.replace(at, unit.repeat(Math.floor(size / unit.length)) + at);
    const best = (text: string) => {
      let least = Number.POSITIVE_INFINITY;
      for (let round = 0; round < 15; round++) {
        const from = performance.now();
        handle(text);
        least = Math.min(least, performance.now() - from);
      }
      return least;
    };
    const small = best(flooded(7_000));
    const large = best(flooded(56_000));
    // Eight times the bytes: a quadratic scanner would take 64 times as long. Below a millisecond nobody cares.
    assert.ok(large < Math.max(1, 24 * small), `${small.toFixed(3)} ms → ${large.toFixed(3)} ms`);
  });
