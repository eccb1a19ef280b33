// Whole processes: a sip-server is killed, another one at the same addresses takes its calls up from Redis.

import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import Srf from "drachtio-srf";
import { Redis } from "ioredis";
import { REDIS_MISSING, RedisServer } from "../../checkpoint/adapters/redis/redis-server.ts";
import { CSEQ_RESERVE } from "../core/record/record.ts";
import { type Application, type Dialog, event, leave, SECRET, until } from "./application.ts";
import { aRequest, aResponse, type Call, type Peer, SDP, TcpPeer, UdpPeer } from "./peer.ts";

const MAIN = join(import.meta.dirname, "../main.ts");

const freePort = (): Promise<number> =>
  new Promise((resolve, reject) => {
    const server = createServer().once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const bound = server.address();
      server.close(() => resolve(typeof bound === "object" && bound !== null ? bound.port : 0));
    });
  });

class Process {
  readonly #file: string;
  #child: ChildProcess | undefined;
  said = "";

  constructor(file: string) {
    this.#file = file;
  }

  async start(): Promise<void> {
    const child = spawn(process.execPath, [MAIN, "--config", this.#file], { stdio: ["ignore", "pipe", "inherit"] });
    this.#child = child;
    this.said = "";
    child.stdout.on("data", (bytes: Buffer) => {
      this.said += bytes.toString();
    });
    await until(() => this.said.includes("process.started"), "the server starts", 15_000);
  }

  async kill(): Promise<void> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null) return;
    const ended = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGKILL");
    await ended;
  }
}

async function answered(srf: Application, peer: Peer, to: string): Promise<{ call: Call; dialog: Dialog }> {
  const call = peer.call(to);
  const made = event<Dialog>(srf, "answered");
  call.invite();
  call.learn(await peer.next(aResponse(200, "INVITE")));
  call.ack();
  return { call, dialog: await made };
}

test("calls over UDP and TCP outlive the process that is killed", { skip: REDIS_MISSING }, async () => {
  const redis = await RedisServer.start();
  const dir = mkdtempSync(join(tmpdir(), "tollgate-sip-"));
  const [sip, admin, http] = [await freePort(), await freePort(), await freePort()];
  const file = join(dir, "sip-server.json");
  const local = "127.0.0.1";
  const listen = [
    { transport: "udp", host: local, port: sip },
    { transport: "tcp", host: local, port: sip },
  ];
  const config = {
    listen,
    admin: { host: local, port: admin, secret: SECRET },
    http: { host: local, port: http },
    t1Ms: 50,
    checkpoints: { service: "fra-01-a", redis: { host: local, port: redis.port, passwordFile: redis.passwordFile } },
  };
  writeFileSync(file, JSON.stringify(config));
  const server = new Process(file);
  const srf = new Srf() as unknown as Application;
  srf.on("error", () => {});
  srf.invite((req, res) => {
    void srf.createUAS(req, res, { localSdp: SDP }).then((dialog) => srf.emit("answered", dialog));
  });
  // drachtio-srf's dialogs hold the socket they began on.
  const ask = (method: string, { id }: Dialog) =>
    void srf.request("sip:placeholder@127.0.0.1", { stackDialogId: id, method });
  const look = new Redis({ host: local, port: redis.port, password: "open sesame" });
  look.on("error", () => {});
  const peers: Peer[] = [];
  try {
    await server.start();
    const connected = event(srf, "connect");
    srf.connect({ host: local, port: admin, secret: SECRET, tags: ["instance:fra-01-a"] } as never);
    await connected;
    const udp = await UdpPeer.open(sip);
    const tcp = await TcpPeer.open(sip);
    peers.push(udp, tcp);
    const overUdp = await answered(srf, udp, `sip:app@${local}:${sip}`);
    const overTcp = await answered(srf, tcp, `sip:app@${local}:${sip};transport=tcp`);
    await until(() => overUdp.dialog.id !== "" && overTcp.dialog.id !== "", "both are up");
    // Their ACKs are written: until then a 2xx would be repeated, as it should be.
    for (let isWritten = false; !isWritten; ) {
      const records = await look.hvals("tollgate:v1:{fra-01-a}:sip");
      isWritten = records.length === 2 && records.every((text) => !text.includes('"acceptance":{'));
    }
    const before = { udp: udp.received.length, tcp: tcp.received.length };

    await server.kill();
    const back = event(srf, "connect"); // drachtio-srf comes back by itself
    await server.start();
    await back;
    assert.match(server.said, /"calls.restored".*"calls":2/);
    assert.deepEqual({ udp: udp.received.length, tcp: tcp.received.length }, before, "not a word to the peers");

    // Ours to the peers: a new number; over TCP a connection of ours.
    ask("INFO", overUdp.dialog);
    const info = await udp.next(aRequest("INFO"));
    assert.ok(info.cseq.number > CSEQ_RESERVE);
    udp.respond(info, 200, "OK");
    assert.equal(tcp.sockets.length, 0);
    ask("BYE", overTcp.dialog);
    const bye = await tcp.next(aRequest("BYE"));
    assert.equal(tcp.sockets.length, 1);
    tcp.respond(bye, 200, "OK");

    // The peer's to us.
    const gone = event(overUdp.dialog as never, "destroy");
    overUdp.call.request("BYE");
    await udp.next(aResponse(200, "BYE"));
    await gone;
    let left = -1;
    for (const until = performance.now() + 15_000; left !== 0 && performance.now() < until; ) {
      left = await look.hlen("tollgate:v1:{fra-01-a}:sip");
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    assert.equal(left, 0, "nothing is left in the book");

    // Without Redis it serves all the same.
    await server.kill();
    await redis.kill();
    const once = event(srf, "connect");
    await server.start();
    await once;
    assert.match(server.said, /calls.not-restored/);
    const late = await answered(srf, udp, `sip:app@${local}:${sip}`);
    late.call.request("BYE");
    await udp.next(aResponse(200, "BYE"));
  } finally {
    leave(srf);
    for (const peer of peers) peer.close();
    look.disconnect();
    await server.kill();
    await redis.close();
    rmSync(dir, { recursive: true, force: true });
  }
});
