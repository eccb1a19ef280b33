import assert from "node:assert/strict";
import { test } from "node:test";
import { COLOURED, PLAIN, paintFor } from "./colour.ts";
import { isForTerminal, parseLogLine, showLogEntry } from "./log-line.ts";

const AT = Date.UTC(2026, 0, 2, 3, 4, 5, 6);
const shown = (process: string, line: string) => {
  const entry = parseLogLine(process, line, AT);
  return `${isForTerminal(entry, "info") ? "+" : "-"} ${showLogEntry(entry, PLAIN)}`;
};

test("lines of four kinds of process look alike, and the engines' narration stays in the files", () => {
  const lines = [
    shown(
      "fra-01-a/pop",
      '{"time":"2026-01-02T03:04:05.678Z","level":"info","event":"call.answered","process":"pop","callId":"c1","afterMs":12}',
    ),
    shown("fra-01-a/pop", '{"time":"2026-01-02T03:04:05.678Z","level":"warn","event":"link.lost","why":"no answer"}'),
    shown(
      "etcd",
      '{"level":"warn","ts":"2026-01-02T03:04:05.700Z","caller":"x.go:1","msg":"slow fdatasync","took":"1.2s"}',
    ),
    shown("control-plane", '{"level":50,"time":1767323045006,"pid":1,"hostname":"h","msg":"broken"}'),
    shown("redis", "1234:M 22 Nov 2026 15:00:00.000 * Ready to accept connections"),
    shown("redis", "1234:M 22 Nov 2026 15:00:00.000 # Can't save in background: fork: Cannot allocate memory"),
    shown("fra-01-a/rtpengine", "[1763821000.123456] ERR: [core] Failed to open ports"),
    shown("fra-01-a/rtpengine", "INFO: [c1]: [control] Received command 'ping'"),
    shown("fra-01-a/sip-server", "Error: something unforeseen"),
  ];
  assert.equal(
    `\n${lines.join("\n")}\n`,
    `
+ 03:04:05.678 fra-01-a/pop            call.answered  callId=c1 afterMs=12
+ 03:04:05.678 fra-01-a/pop          ! link.lost  why="no answer"
+ 03:04:05.700 etcd                  ! slow fdatasync  took=1.2s
+ 03:04:05.006 control-plane         ✗ broken
- 03:04:05.006 redis                   Ready to accept connections
+ 03:04:05.006 redis                 ! Can't save in background: fork: Cannot allocate memory
+ 03:04:05.006 fra-01-a/rtpengine    ✗ [core] Failed to open ports
- 03:04:05.006 fra-01-a/rtpengine      [c1]: [control] Received command 'ping'
+ 03:04:05.006 fra-01-a/sip-server     Error: something unforeseen
`,
  );
});

test("a line that only looks like JSON is shown as it is", () => {
  assert.equal(parseLogLine("pop", "{half a line", AT).event, "{half a line");
});

test("colour is for terminals, and NO_COLOR is heeded", () => {
  assert.equal(paintFor({ isTTY: true }, {}), COLOURED);
  assert.equal(paintFor({ isTTY: true }, { NO_COLOR: "1" }), PLAIN);
  assert.equal(paintFor({}, {}), PLAIN);
});
