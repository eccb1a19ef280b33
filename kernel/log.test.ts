import assert from "node:assert/strict";
import { test } from "node:test";
import { jsonLog } from "./log.ts";

test("numbers, SDP and secrets never reach a log line whole", () => {
  const lines: string[] = [];
  const log = jsonLog(
    (line) => lines.push(line),
    "info",
    () => 0,
    { process: "test" },
  );
  log.info("call.arrived", { callingNumber: "+498912345678", sdp: "v=0\r\n", apiToken: "abc", status: 200 });
  log.debug("unheard");
  assert.deepEqual(
    lines.map((line) => JSON.parse(line)),
    [
      {
        time: "1970-01-01T00:00:00.000Z",
        level: "info",
        event: "call.arrived",
        process: "test",
        callingNumber: "+4989…78",
        sdp: "[5 characters]",
        apiToken: "[secret]",
        status: 200,
      },
    ],
  );
});
