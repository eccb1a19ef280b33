import assert from "node:assert/strict";
import { test } from "node:test";
import { asId } from "../../../kernel/ids.ts";
import { allFailures } from "./all-failures.ts";
import type { CallFailure } from "./call-failure.ts";
import { judge } from "./judge.ts";

const trunkId = asId<"trunk">("carrier-a");

// One row a failure: whom to blame, what the carrier is told, and after how many seconds it may come again.
const ROWS: readonly (readonly [failure: CallFailure, verdict: string])[] = [
  [{ code: "source.unknown" }, "caller 0"],
  [{ code: "trunk.at-capacity", trunkId, limit: 30 }, "us 503 after 10"],
  [{ code: "trunk.too-fast", trunkId, callsPerSecondMax: 5 }, "trunk 503 after 1"],
  [{ code: "tenant.at-capacity", tenantId: asId("acme"), limit: 9 }, "us 503 after 10"],
  [{ code: "pop.at-capacity", limit: 2_000 }, "us 503 after 10"],
  [{ code: "pop.draining" }, "us 503 after 120"],
  [{ code: "pop.no-snapshot" }, "us 503 after 10"],
  [{ code: "number.unknown" }, "caller 404"],
  [{ code: "number.unusable" }, "caller 484"],
  [{ code: "sip.too-many-hops" }, "caller 483"],
  [{ code: "sip.no-offer" }, "us 488"],
  [{ code: "media.relay-away", command: "offer", waitedMs: 900 }, "us 503 after 10"],
  [{ code: "media.relay-refused", command: "offer", detail: "" }, "us 503 after 10"],
  [{ code: "media.not-anchored" }, "us 500"],
  [{ code: "media.no-such-leg", leg: "l1" }, "us 500"],
  [{ code: "media.sdp-unreadable", detail: "" }, "caller 488"],
  [{ code: "media.no-common-codec", offered: ["G722"] }, "caller 488"],
  [{ code: "media.transport-unsupported", transport: "RTP/SAVP" }, "us 488"],
  [{ code: "media.worker-away", waitedMs: 900 }, "us 503 after 10"],
  [{ code: "media.worker-refused", detail: "" }, "us 503 after 10"],
  [{ code: "media.endpoints-exhausted", endpointsMax: 5_000 }, "us 503 after 10"],
  [{ code: "media.not-open" }, "us 500"],
  [{ code: "media.prompt-unreadable", path: "", detail: "" }, "us 500"],
];

for (const [failure, expected] of ROWS) {
  test(`${failure.code}: ${expected}`, () => {
    const { blame, sipStatus, retryAfterSeconds } = judge(failure);
    const after = retryAfterSeconds === undefined ? "" : ` after ${retryAfterSeconds}`;
    assert.equal(`${blame} ${sipStatus}${after}`, expected);
  });
  test(`${failure.code}: the registry says the same`, () => {
    const { blame, sipStatus } = judge(failure);
    const { operator, ...entry } = allFailures[failure.code];
    assert.deepEqual(entry, { blame, sipStatus });
    assert.notEqual(operator, "");
  });
}

test("Retry-After stands with 503, and with nothing else", () => {
  for (const [failure] of ROWS) {
    const { sipStatus, retryAfterSeconds } = judge(failure);
    assert.equal(retryAfterSeconds !== undefined, sipStatus === 503, failure.code);
  }
});

test("every code is noun.what, and every operator's sentence is one", () => {
  for (const [code, { operator }] of Object.entries(allFailures)) {
    assert.match(code, /^[a-z]+\.[a-z]+(-[a-z]+)*$/);
    assert.match(operator, /^[A-Z].*\.$/);
  }
});
