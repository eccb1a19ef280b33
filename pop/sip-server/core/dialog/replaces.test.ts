// Replaces as values: RFC 3891 §3 (matching), §6.1 (syntax).

import assert from "node:assert/strict";
import { test } from "node:test";
import { requestOf, responseOf } from "../../test/messages.ts";
import { type Dialog, dialogOfUac } from "./dialog.ts";
import { judge, replacesOf } from "./replaces.ts";
import { NO_USAGE } from "./usages.ts";

const invite = (...headers: string[]) => requestOf("INVITE", { headers });

test("the header: exactly one, in an INVITE, with both tags", () => {
  const table: [string[], string][] = [
    [[], "none"],
    [["Replaces: 425928@bobster.example.org;to-tag=7743;from-tag=6472"], "425928@bobster.example.org 7743 6472"],
    [
      ["Replaces: 98732@sip.example.com\r\n ;from-tag=r33th4x0r\r\n ;to-tag=ff87ff"],
      "98732@sip.example.com ff87ff r33th4x0r",
    ],
    [["Replaces: 12adf2f34456gs5;to-tag=12345;from-tag=54321;early-only"], "12adf2f34456gs5 12345 54321 early"],
    [["Replaces: 87134@171.161.34.23;to-tag=24796;from-tag=0"], "87134@171.161.34.23 24796 0"],
    [["Replaces: a;to-tag=1;from-tag=2", "Replaces: b;to-tag=1;from-tag=2"], "More than one Replaces"],
    [["Replaces: a;to-tag=1;from-tag=2, b;to-tag=1;from-tag=2"], "More than one Replaces"],
    [["Replaces: a;to-tag=1;from-tag=2", "Join: b;to-tag=1;from-tag=2"], "Replaces and Join"],
    [["Replaces: ;to-tag=1;from-tag=2"], "Bad Replaces: no Call-ID"],
    [["Replaces: a b;to-tag=1;from-tag=2"], "Bad Replaces: no Call-ID"],
    [["Replaces: a;from-tag=2"], "Bad Replaces: no to-tag"],
    [["Replaces: a;to-tag=;from-tag=2"], "Bad Replaces: no to-tag"],
    [["Replaces: a;to-tag=1"], "Bad Replaces: no from-tag"],
    [['Replaces: a;to-tag=1;from-tag="2 3"'], "Bad Replaces: no from-tag"],
    [["Replaces: a;to-tag=1;to-tag=2;from-tag=2"], "Bad Replaces: a tag twice"],
  ];
  for (const [headers, expected] of table) {
    const parsed = replacesOf(invite(...headers));
    const { callId, toTag, fromTag, earlyOnly } = (parsed.ok ? parsed.value : undefined) ?? { callId: "none" };
    const words = [callId, toTag, fromTag, earlyOnly === true ? "early" : undefined].filter(Boolean).join(" ");
    assert.equal(parsed.ok ? words : parsed.failure.reason, expected, headers.join(" / "));
  }
  const refer = replacesOf(requestOf("REFER", { headers: ["Replaces: a;to-tag=1;from-tag=2"] }));
  assert.ok(!refer.ok);
});

test("what becomes of the INVITE (RFC 3891 §3)", () => {
  const flow = { pointId: "p", transport: "udp", address: "192.0.2.7", port: 5060, connection: undefined } as const;
  const request = requestOf("INVITE");
  const answered: Dialog = dialogOfUac(request, responseOf(request, 200), flow);
  const ringing: Dialog = dialogOfUac(request, responseOf(request, 180), flow);
  const plain = { callId: "c", toTag: "t", fromTag: "f", earlyOnly: false };
  const early = { ...plain, earlyOnly: true };
  const of = (verdict: ReturnType<typeof judge>) => (verdict.kind === "match" ? "match" : verdict.status);
  assert.equal(of(judge(plain, undefined, false)), 481);
  assert.equal(of(judge(plain, undefined, true)), 603);
  assert.equal(of(judge(plain, answered, false)), "match");
  assert.equal(of(judge(early, answered, false)), 486);
  assert.equal(of(judge(plain, ringing, false)), "match");
  assert.equal(of(judge(early, ringing, false)), "match");
  // A call that rings here is not the caller's to move: RFC 3891 §3.
  assert.equal(of(judge(plain, { ...ringing, role: "uas" }, false)), 481);
  assert.equal(of(judge(plain, { ...answered, phase: "terminated" }, false)), 603);
  assert.equal(of(judge(plain, { ...answered, usages: NO_USAGE }, false)), 603);
  assert.equal(of(judge(plain, { ...answered, usage: "SUBSCRIBE" }, false)), 481);
});
