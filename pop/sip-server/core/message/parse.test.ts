import assert from "node:assert/strict";
import { test } from "node:test";
import { headerSpelling } from "./header-name.ts";
import { headersOf, headerValue } from "./message.ts";
import { parseMessage } from "./parse.ts";
import { serialise } from "./serialise.ts";

const lines = (...text: string[]): string => text.join("\r\n");
const INVITE = lines(
  "INVITE sip:bob@biloxi.example SIP/2.0",
  "Via: SIP/2.0/UDP pc33.atlanta.example;branch=z9hG4bK776asdhds",
  "Max-Forwards: 70",
  'From: "Alice" <sip:alice@atlanta.example>;tag=1928301774',
  "To: Bob <sip:bob@biloxi.example>",
  "Call-ID: a84b4c76e66710",
  "CSeq: 314159 INVITE",
  "Contact: <sip:alice@pc33.atlanta.example>",
  "Content-Length: 4",
  "",
  "v=0\n",
);

test("a message goes through unchanged", () => {
  const parsed = parseMessage(INVITE);
  assert.ok(parsed.ok);
  assert.equal(serialise(parsed.value), INVITE);
  assert.equal(parsed.value.sizeBytes, INVITE.length);
  assert.deepEqual(parsed.value.cseq, { number: 314159, method: "INVITE" });
  assert.equal(parsed.value.fromTag, "1928301774");
  assert.equal(parsed.value.via.branch, "z9hG4bK776asdhds");
});

test("compact names, any case, folding, LWS, lists: read as the RFC says, written as they came", () => {
  const parsed = parseMessage(
    lines(
      "OPTIONS sip:a@b SIP/2.0",
      "v :  SIP / 2.0 / UDP  192.0.2.1 : 5062 ;branch=z9hG4bKa , SIP/2.0/TCP [2001:db8::1];branch=z9hG4bKb",
      "f: <sip:x@y>; TAG = q",
      't : "O, \\"Neil" <sip:o@n>',
      "I: abc@d",
      "cSEQ: 0009   OPTIONS",
      "Subject: one",
      "  two",
      "\tthree",
      "k: 100rel,timer",
      "",
      "",
    ),
  );
  assert.ok(parsed.ok);
  const { value } = parsed;
  assert.deepEqual(
    [value.via.transport, value.via.host, value.via.port, value.via.branch],
    ["UDP", "192.0.2.1", 5062, "z9hG4bKa"],
  );
  assert.equal(value.fromTag, "q");
  assert.equal(headerValue(value, "subject"), "one two three");
  assert.equal(headersOf(value, "supported")[0]?.name, "k");
  assert.equal(value.cseq.number, 9);
});

test("without Content-Length the body goes to the end; with one it ends there", () => {
  const open = parseMessage(INVITE.replace("Content-Length: 4\r\n", ""));
  assert.ok(open.ok && open.value.body === "v=0\n");
  const short = parseMessage(INVITE.replace("Content-Length: 4", "Content-Length: 2"));
  assert.ok(short.ok && short.value.body === "v=");
});

for (const [what, broken, fault, status] of [
  ["a body shorter than it says", INVITE.replace("Content-Length: 4", "Content-Length: 5"), "body-too-short", 400],
  ["a negative length", INVITE.replace("Content-Length: 4", "Content-Length: -1"), "content-length", 400],
  ["another method in CSeq", INVITE.replace("314159 INVITE", "314159 BYE"), "cseq-method", 400],
  ["another method in CSeq, of a method nobody knows", INVITE.replace("INVITE sip", "DANCE sip"), "cseq-method", 501],
  ["an empty parameter in Via", INVITE.replace("asdhds", "asdhds;;"), "via", 400],
  ["a comma in an unquoted name", INVITE.replace("To: Bob", "To: Bob, Jr."), "to", 400],
  ["a question mark without brackets", INVITE.replace("<sip:bob@biloxi.example>", "sip:bob@b?x=y"), "to", 400],
  ["a CSeq above 2^31", INVITE.replace("314159", "2147483648"), "cseq", 400],
  ["two Call-IDs", INVITE.replace("CSeq", "i: other\r\nCSeq"), "repeated-header", 400],
  ["an unclosed quote", INVITE.replace('"Alice"', '"Alice'), "from", 400],
  ["a bar in the Call-ID", INVITE.replace("a84b4c76e66710", "a|b"), "call-id", 400],
  ["a bar in a tag", INVITE.replace("tag=1928301774", "tag=a|b"), "from", 400],
  ["another version", INVITE.replace("SIP/2.0\r\nVia", "SIP/3.0\r\nVia"), "version", 505],
  ["two spaces", INVITE.replace("INVITE sip", "INVITE  sip"), "start-line", 400],
  ["a line without a name", INVITE.replace("Max-Forwards: 70", "70"), "header-line", 400],
  ["a name that is no token", INVITE.replace("Max-Forwards", "Max Forwards"), "header-name", 400],
  ["no From", INVITE.replace("From", "Frim"), "missing-header", 400],
  ["no CSeq", INVITE.replace("CSeq", "Sequence"), "missing-header", undefined],
  ["no Via", INVITE.replace("Via", "Wia"), "missing-header", undefined],
  ["a Via that is none", INVITE.replace("SIP/2.0/UDP", "SIP/1.0/UDP"), "via", 400],
  ["a bare line feed", INVITE.replace("Max-Forwards: 70", "Max-Forwards: 70\nX: y"), "control-character", undefined],
  ["a NUL in the Request-URI", INVITE.replace("sip:bob@biloxi", "sip:b\0b@biloxi"), "start-line", 400],
  ["no empty line", INVITE.slice(0, INVITE.indexOf("\r\n\r\n")), "headers-unterminated", 400],
  ["an ACK", INVITE.replace("INVITE sip", "ACK sip"), "cseq-method", undefined],
  ["HTTP", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "start-line", undefined],
  ["noise", "\x16\x03\x01\x02", "start-line", undefined],
  ["nothing", "\r\n\r\n", "empty", undefined],
] as const)
  test(`${what}: ${status ?? "silence"}`, () => {
    const parsed = parseMessage(broken);
    assert.ok(!parsed.ok);
    assert.equal(parsed.failure.fault, fault);
    assert.equal(parsed.failure.answer?.status, status);
  });

test("bounds: 64 KiB a message, 16 KiB a header, 256 headers", () => {
  const fault = (text: string) => {
    const parsed = parseMessage(text);
    return parsed.ok ? "none" : parsed.failure.fault;
  };
  assert.equal(fault(INVITE + "x".repeat(65_536)), "too-large");
  assert.equal(fault(INVITE.replace("Max", `X: ${"y".repeat(16_384)}\r\nMax`)), "too-large");
  assert.equal(fault(INVITE.replace("Max", `${"X: y\r\n".repeat(260)}Max`)), "too-many-headers");
  assert.equal(fault(INVITE.replace("Max", `${"X: y\r\n".repeat(200)}Max`)), "none");
});

test("names an application writes are spelt as the RFCs do, except its own", () => {
  for (const [given, written] of [
    ["user-agent", "User-Agent"],
    ["www-authenticate", "WWW-Authenticate"],
    ["k", "Supported"],
    ["my-hdr", "My-Hdr"],
    ["X-my-Hdr", "X-my-Hdr"],
    ["P-Charging-vector", "P-Charging-vector"],
  ] as const)
    assert.equal(headerSpelling(given), written);
});
