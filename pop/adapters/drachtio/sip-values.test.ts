import assert from "node:assert/strict";
import { test } from "node:test";
import { referredNumber } from "./sip-values.ts";

test("a Refer-To names a number, in whichever form phones write it, or nothing that we could dial", () => {
  for (const [referTo, number] of [
    ["<sip:+4930123456@pop.example>", "+4930123456"],
    ["sip:030123456@pop.example:5060;user=phone", "030123456"],
    ['"Carol" <sips:%2B4930123456:secret@pop.example;transport=tls>', "+4930123456"],
    ["<tel:+49-30-123.456;phone-context=example.com>", "+4930123456"],
    ["<sip:+49(30)123@pop.example?Subject=hello>", "+4930123"],
    ["<sip:+4930123456@pop.example?Replaces=1%40x%3Bto-tag%3D2%3Bfrom-tag%3D3>", undefined],
    ["<sip:carol@pop.example>", undefined],
    ["<sip:pop.example>", undefined],
    ["<sip:+49%ZZ@pop.example>", undefined],
    ["<http://pop.example/>", undefined],
    ["", undefined],
    [undefined, undefined],
  ] as const)
    assert.equal(referredNumber(referTo), number, String(referTo));
});
