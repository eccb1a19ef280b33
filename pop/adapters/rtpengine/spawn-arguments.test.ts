import assert from "node:assert/strict";
import { test } from "node:test";
import { readLoggedDigit } from "./dtmf-listener.ts";
import { rtpengineSpawn } from "./spawn-arguments.ts";

const HOST = {
  mediaHost: "127.10.1.11",
  ng: { host: "127.10.1.11", port: 22_222 },
  dtmfLog: { host: "127.10.1.11", port: 22_223 },
  rtpPorts: { first: 30_000, last: 39_999 },
};

test("the command line of a host without Redis", () => {
  assert.equal(
    rtpengineSpawn(HOST).args.join(" "),
    "--foreground --log-stderr --log-level=4 --table=-1 --config-file=none --num-threads=2 --interface=127.10.1.11 " +
      "--listen-ng=127.10.1.11:22222 --dtmf-log-dest=127.10.1.11:22223 --port-min=30000 --port-max=39999 --delete-delay=0 " +
      "--endpoint-learning=heuristic --timeout=3600 --silent-timeout=3600 --offer-timeout=3600 --tos=184",
  );
});

const REDIS = { host: "127.10.1.1", port: 6_379, database: 5, configFile: "/run/tollgate/rtpengine.conf" };

test("with Redis no command waits for it for long, and with a folder packets may be recorded", () => {
  const { args } = rtpengineSpawn({ ...HOST, redis: REDIS, recordingFolder: "/var/lib/tollgate/pcap" });
  const line = args.join(" ");
  assert.ok(line.includes("--config-file=/run/tollgate/rtpengine.conf --config-section=tollgate"));
  assert.ok(line.includes("--redis-cmd-timeout=100 --redis-connect-timeout=100 --redis-allowed-errors=1"));
  assert.ok(line.includes("--recording-dir=/var/lib/tollgate/pcap --recording-method=pcap"));
  assert.ok(
    !line.includes("subscribe-keyspace"),
    "its calls are its own: no other instance's are taken up while it runs",
  );
});

test("the password of Redis is in the file, and nowhere on the command line", () => {
  const { args, files } = rtpengineSpawn({ ...HOST, redis: { ...REDIS, password: "se\\cret" } });
  assert.ok(!args.join(" ").includes("cret"));
  assert.deepEqual(files, [{ path: REDIS.configFile, text: "[tollgate]\nredis = se\\\\cret@127.10.1.1:6379/5\n" }]);
  assert.equal(rtpengineSpawn({ ...HOST, redis: REDIS }).files[0]?.text, "[tollgate]\nredis = 127.10.1.1:6379/5\n");
});

test("a password that rtpengine would cut off is refused", () => {
  for (const password of ["a@b", "a b", "ü", "a\nredis-write = x"])
    assert.throws(
      () => rtpengineSpawn({ ...HOST, redis: { ...REDIS, password } }),
      /rtpengine takes no Redis password/,
    );
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
