import assert from "node:assert/strict";
import { test } from "node:test";
import { readTimedResponses } from "./timed-responses.ts";

test("a response time and when it was taken, since SIPp's start", () => {
  assert.deepEqual(readTimedResponses("Date_ms;response_time_ms;rtd_no\n24.001;3;1\n44.5;0;1\n\n"), [
    { atMs: 24.001, tookMs: 3, kind: 1 },
    { atMs: 44.5, tookMs: 0, kind: 1 },
  ]);
  assert.deepEqual(readTimedResponses(""), []);
  assert.deepEqual(
    readTimedResponses("Date_ms;response_time_ms;rtd_no\n24.0"),
    [],
    "a line that was still being written",
  );
});
