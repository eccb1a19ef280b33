import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parseCommand } from "./command.ts";
import { FrameReader, frame } from "./frame.ts";

const anyPayload = fc
  .uint8Array({ minLength: 1, maxLength: 400 })
  .map((bytes) => Buffer.from(bytes).toString("latin1"));

test("property: frames come out as they went in, wherever the stream was split", () => {
  fc.assert(
    fc.property(
      fc.array(anyPayload, { maxLength: 8 }),
      fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1 }),
      (payloads, sizes) => {
        const stream = payloads.map(frame).join("");
        const reader = new FrameReader(1_000);
        const out: string[] = [];
        for (let at = 0, turn = 0; at < stream.length; turn++) {
          const size = sizes[turn % sizes.length] ?? 1;
          const taken = reader.take(stream.slice(at, at + size));
          assert.ok(taken.ok);
          out.push(...taken.value);
          at += size;
        }
        assert.deepEqual(out, payloads);
      },
    ),
    { numRuns: 1_000 },
  );
});

test("a length that is none, or beyond the bound, ends it", () => {
  for (const [text, fault] of [
    ["x#", "length"],
    ["#", "length"],
    ["-1#", "length"],
    ["123456789", "length"],
    ["1001#", "too-large"],
  ] as const) {
    const taken = new FrameReader(1_000).take(text);
    assert.deepEqual(taken, { ok: false, failure: { code: "frame.unusable", fault } });
  }
  assert.deepEqual(new FrameReader(1_000).take("1000#"), { ok: true, value: [] });
});

test("a frame that is too large says whose it is, after the whole ones before it", () => {
  const reader = new FrameReader(1_000);
  assert.deepEqual(reader.take(`${frame("id1|ping")}5000#id2|sip||\r\nINVITE`), { ok: true, value: ["id1|ping"] });
  assert.deepEqual([reader.fault, reader.beginning], ["too-large", "id2|sip||\r\nINVITE"]);
});

test("property: no payload makes the command parser throw", () => {
  const kinds = fc.constantFrom("sip", "proxy", "route", "authenticate", "sources", "ping", "x");
  const line = fc.constantFrom("SIP/2.0 200 OK", "INVITE sip:a@b SIP/2.0", "SIP/2.0 999", "x", "");
  fc.assert(
    fc.property(kinds, anyPayload, line, anyPayload, (kind, tokens, start, rest) => {
      parseCommand(`id|${kind}|${tokens}\r\n${start}\r\n${rest}`);
      parseCommand(rest);
    }),
    { numRuns: 3_000 },
  );
});

test("an application's message: the body goes to the end of the frame, bad lines are skipped, folds are joined", () => {
  const parsed = parseCommand(
    "id|sip||d;from-tag=1|sip:next\r\nINFO sip:placeholder SIP/2.0\r\nX-A: one\r\n two\r\nno colon\r\nbad name: x\r\nContent-Length: 1\r\n\r\nlonger",
  );
  assert.ok(parsed.ok && parsed.value.kind === "send-request");
  const { draft, dialogId, routeUrl } = parsed.value;
  assert.equal(draft.body, "longer");
  assert.deepEqual([dialogId, routeUrl], ["d;from-tag=1", "sip:next"]);
  assert.deepEqual(
    draft.headers.map(({ name, value }) => `${name}=${value}`),
    ["X-A=one two", "Content-Length=1"],
  );
});

test("a bare CR, LF or NUL in a value becomes a space: nobody gets to write a line of their own", () => {
  const parsed = parseCommand("id|sip||\r\nINFO sip:a@b SIP/2.0\r\nX-A: one\nVia: two\0\rthree\r\n\r\n");
  assert.ok(parsed.ok && parsed.value.kind === "send-request");
  assert.equal(parsed.value.draft.headers[0]?.value, "one Via: two  three");
});
