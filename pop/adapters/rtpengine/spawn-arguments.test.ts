import assert from "node:assert/strict";
import { test } from "node:test";
import { readLoggedDigit } from "./dtmf-listener.ts";
import { rtpengineArguments } from "./spawn-arguments.ts";

const HOST = {
  mediaHost: "127.10.1.11",
  ng: { host: "127.10.1.11", port: 22_222 },
  dtmfLog: { host: "127.10.1.11", port: 22_223 },
  rtpPorts: { first: 30_000, last: 39_999 },
};

test("the command line of a host without Redis", () => {
  assert.equal(
    rtpengineArguments(HOST).join(" "),
    "--foreground --log-stderr --log-level=4 --table=-1 --config-file=none --num-threads=2 --interface=127.10.1.11 " +
      "--listen-ng=127.10.1.11:22222 --dtmf-log-dest=127.10.1.11:22223 --port-min=30000 --port-max=39999 --delete-delay=0 " +
      "--endpoint-learning=heuristic --timeout=3600 --silent-timeout=3600 --offer-timeout=3600 --tos=184",
  );
});

test("with Redis no command waits for it, and with a folder packets may be recorded", () => {
  const redis = { host: "127.10.1.1", port: 6_379, database: 5 };
  const line = rtpengineArguments({ ...HOST, redis, recordingFolder: "/var/lib/tollgate/pcap" }).join(" ");
  assert.ok(line.includes("--redis=127.10.1.1:6379/5 --redis-cmd-timeout=100"));
  assert.ok(line.includes("--recording-dir=/var/lib/tollgate/pcap --recording-method=pcap"));
});

test("a logged digit is read, anything else is not", () => {
  const logged = {
    callid: "c1",
    source_tag: "caller",
    tags: ["worker", "caller"],
    type: "DTMF",
    event: 11,
    duration: 100,
  };
  assert.deepEqual(readLoggedDigit(JSON.stringify(logged)), {
    ngCallId: "c1",
    sourceTag: "caller",
    digit: "#",
    durationMs: 100,
  });
  for (const text of [
    "",
    "[]",
    "null",
    "{",
    JSON.stringify({ ...logged, event: 16 }),
    JSON.stringify({ ...logged, callid: 1 }),
    JSON.stringify({ ...logged, type: "X" }),
  ])
    assert.equal(readLoggedDigit(text), undefined);
});
