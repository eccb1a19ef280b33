// The capture, read by a decoder that is not ours: sngrep listens as a Homer collector does and writes what it understood as a pcap file.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { silentLog } from "../../../kernel/log.ts";
import { seededRng } from "../../../kernel/rng.ts";
import { openHepCapture } from "../adapters/hep-capture.ts";
import type { Flow, ListenPoint } from "../core/flow.ts";
import { until } from "./application.ts";

const point: ListenPoint = {
  id: "udp/127.0.0.1:5060",
  name: "udp",
  transport: "udp",
  address: "127.0.0.1",
  port: 5_060,
  host: "127.0.0.1",
};
const flow: Flow = { pointId: point.id, transport: "udp", address: "127.0.0.9", port: 5_070, connection: undefined };
const invite = [
  "INVITE sip:1000@127.0.0.1 SIP/2.0",
  "Via: SIP/2.0/UDP 127.0.0.9:5070;branch=z9hG4bK1",
  "From: <sip:a@127.0.0.9>;tag=1",
  "To: <sip:1000@127.0.0.1>",
  "Call-ID: captured-1",
  "CSeq: 1 INVITE",
  "Content-Length: 0",
  "",
  "",
].join("\r\n");

test("a collector reads our packets: addresses, ports, message", async () => {
  const folder = mkdtempSync(join(tmpdir(), "hep-"));
  const probe = createSocket("udp4").bind(0, "127.0.0.1");
  await once(probe, "listening");
  const { port } = probe.address();
  probe.close();
  const file = join(folder, "out.pcap");
  const collector = spawn("sngrep", ["-N", "-q", "-F", "-L", `udp:127.0.0.1:${port}`, "-O", file], { stdio: "ignore" });
  const capture = openHepCapture({
    settings: {
      transport: "udp",
      host: "127.0.0.1",
      port,
      agent: { id: 7, name: "test", password: "" },
      backlogBytesMax: 65_536,
    },
    log: silentLog,
    rng: seededRng(1),
    unixMs: () => 1_700_000_000_123,
    lost: () => {},
  });
  try {
    // It says nothing when it is ready: sent until it has been read.
    const size = () => {
      try {
        return readFileSync(file).length;
      } catch {
        return 0;
      }
    };
    await until(() => {
      capture.onMessage(invite, "in", flow, point, "captured-1");
      return size() > 24 + invite.length;
    }, "sngrep wrote a packet");
    const pcap = readFileSync(file);
    const text = pcap.toString("latin1");
    assert.ok(text.includes(invite), "the message, byte for byte");
    assert.ok(text.includes("\x7f\x00\x00\x09\x7f\x00\x00\x01"), "from 127.0.0.9 to 127.0.0.1");
    assert.equal(pcap.readUInt32LE(24), 1_700_000_000, "our time, not the collector's");
  } finally {
    capture.stop();
    collector.kill("SIGKILL");
    await once(collector, "exit");
    rmSync(folder, { recursive: true });
  }
});

test("a TCP collector that goes and comes back is found again; what was lost is counted", async () => {
  const received: Buffer[] = [];
  const sockets: Socket[] = [];
  const collector = createServer((socket) => {
    sockets.push(socket);
    socket.on("data", (chunk) => received.push(chunk));
    socket.on("error", () => {});
  });
  collector.listen(0, "127.0.0.1");
  await once(collector, "listening");
  const bound = collector.address();
  assert.ok(bound !== null && typeof bound === "object");
  const lost: string[] = [];
  const capture = openHepCapture({
    settings: {
      transport: "tcp",
      host: "127.0.0.1",
      port: bound.port,
      agent: { id: 7, name: "", password: "" },
      backlogBytesMax: 65_536,
    },
    log: silentLog,
    rng: { next: () => 1 },
    unixMs: () => 0,
    lost: (reason) => lost.push(reason),
  });
  try {
    capture.onMessage(invite, "in", flow, point, "captured-1");
    assert.deepEqual(lost, ["unreachable"], "nobody waits for a connection");
    const arrives = async () => {
      const before = received.length;
      await until(() => {
        capture.onMessage(invite, "in", flow, point, "captured-1");
        return received.length > before;
      }, "the collector got a packet");
    };
    await arrives();
    sockets[0]?.destroy();
    await until(() => sockets.length === 2, "connected again");
    await arrives();
    assert.ok(Buffer.concat(received).includes(invite));
  } finally {
    capture.stop();
    collector.close();
    for (const socket of sockets) socket.destroy();
  }
});
