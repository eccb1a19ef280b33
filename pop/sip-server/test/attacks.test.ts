// What a hostile peer tries against the bounds: ports for operators, pings nobody reads, many addresses of one customer.

import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { Duplex } from "node:stream";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { silentLog } from "../../../kernel/log.ts";
import type { Acceptor } from "../adapters/acceptor.ts";
import { ByteStreams } from "../adapters/byte-stream.ts";
import { Certificates } from "../adapters/certificates.ts";
import type { TlsIdentity } from "../adapters/tls-identity.ts";
import { FailedAttempts } from "../app/applications/applications.ts";
import type { SipReceiver } from "../boundary/sip-transport.ts";
import type { ListenPoint } from "../core/flow.ts";
import { HTTP_CONNECTIONS_MAX, STREAM_LIMITS } from "../core/limits.ts";
import { headerValue } from "../core/message/message.ts";
import { scenario } from "./application.ts";
import { aResponse } from "./peer.ts";

async function opened(port: number): Promise<Socket> {
  const socket = connect(port, "127.0.0.1");
  socket.on("error", () => {});
  await once(socket, "connect");
  return socket;
}

scenario("a request for no URL is answered 400, and the process lives", async (stage) => {
  const { httpPort } = stage.server;
  for (const target of ["//", "http://", "///?", "http://[::"]) {
    const socket = await opened(httpPort);
    socket.write(`GET ${target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
    const [said] = (await once(socket, "data")) as [Buffer];
    assert.match(said.toString("latin1"), /^HTTP\/1\.1 40\d /, target);
    socket.destroy();
  }
  assert.equal((await fetch(`http://127.0.0.1:${httpPort}/healthz`)).status, 200);
});

scenario("the port for operators has a bound; those beyond it are closed, those within are served", async (stage) => {
  const { httpPort } = stage.server;
  const sockets = await Promise.all(Array.from({ length: HTTP_CONNECTIONS_MAX }, () => opened(httpPort)));
  const [first, ...others] = sockets;
  assert.ok(first);
  const late = connect(httpPort, "127.0.0.1").on("error", () => {});
  late.resume();
  await once(late, "close");
  first.write("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
  const [said] = (await once(first, "data")) as [Buffer];
  assert.match(said.toString("latin1"), /^HTTP\/1\.1 200 /);
  for (const socket of [first, ...others]) socket.destroy();
});

test("certificates asked for again and again: those that wait share one reading", async () => {
  let readings = 0;
  const identity = {
    files: [],
    expiries: [],
    reload: async () => {
      readings++;
      return { ok: true, value: undefined };
    },
  } as unknown as TlsIdentity;
  const certificates = new Certificates(silentLog, () => {});
  certificates.add("tls", identity);
  const all = await Promise.all(Array.from({ length: 100 }, () => certificates.reload("request")));
  assert.equal(readings, 1);
  assert.ok(all.every(([one]) => one?.outcome === "reloaded"));
  await certificates.reload("request");
  assert.equal(readings, 2);
});

test("who guesses the secret from many addresses of one /64 is one guesser", () => {
  const attempts = new FailedAttempts({ failuresMax: 3, forgetMs: 1_000, addressesMax: 10 });
  for (const address of ["2001:db8::1", "2001:db8::2", "2001:db8::ffff:3"]) attempts.note(address, 0);
  assert.equal(attempts.isBarred("2001:db8::4", 1), true);
  assert.equal(attempts.isBarred("2001:db8:0:1::4", 1), false);
});

class Streams extends ByteStreams {
  take(socket: Duplex) {
    return this.adopt(socket as Socket, { address: "192.0.2.7", port: 5060 }, undefined);
  }
  protected dial(): undefined {
    return undefined;
  }
}

test("who pings and does not read is answered until a little waits; who reads again is answered again", async () => {
  const point: ListenPoint = {
    id: "tcp/192.0.2.1:5060",
    name: "tcp",
    transport: "tcp",
    address: "192.0.2.1",
    port: 5060,
    host: "192.0.2.1",
  };
  const acceptor = { point, count: 0, isFull: false, stop: async () => {} } as unknown as Acceptor;
  const receiver = { onConnectionLost: () => {}, onStreamFault: () => {} } as unknown as SipReceiver;
  const streams = new Streams(acceptor, receiver, STREAM_LIMITS);
  let taken = 0;
  let isReading = false;
  const held: (() => void)[] = [];
  const socket = new Duplex({
    read() {},
    write(_bytes, _encoding, done) {
      taken++;
      if (isReading) done();
      else held.push(done);
    },
  });
  streams.take(socket);
  for (let ping = 0; ping < 5_000; ping++) {
    socket.push("\r\n\r\n");
    await turn();
  }
  assert.ok(socket.writableLength > 0 && socket.writableLength < 1_100, `${socket.writableLength} bytes wait`);
  isReading = true;
  for (const done of held) done();
  await turn();
  const before = taken;
  socket.push("\r\n\r\n");
  await turn();
  await turn();
  assert.equal(taken, before + 1);
  socket.destroy();
  await streams.stop();
});

scenario(
  "what is refused before anybody hears of it is answered once for each copy: no transaction, no Timer G",
  async (stage) => {
    const alice = await stage.udpPeer();
    const facts = () => stage.server.endpoint.facts;
    const send = async (lines: string[], status: number) => {
      const text = `${lines.join("\r\n")}\r\nContent-Length: 0\r\n\r\n`;
      const before = alice.received.length;
      alice.sendText(text);
      const first = await alice.next(aResponse(status));
      assert.deepEqual([facts().transactions, facts().timers], [0, 0], `${status}`);
      alice.sendText(text);
      const second = await alice.next(aResponse(status));
      assert.notEqual(first.toTag, "");
      assert.equal(second.toTag, first.toTag);
      const to = headerValue(first, "to") ?? "";
      const ack = text.replaceAll("INVITE", "ACK").replace(/\r\nTo: [^\r\n]*/, `\r\nTo: ${to}`);
      alice.sendText(ack);
      await absorbed();
      assert.equal(alice.received.length, before + 3, `${status}`); // and the one that absorbed() asked for
    };
    /** What was sent before has been worked off. */
    const absorbed = async () => {
      alice.sendText(`${call().lines("BYE", alice.branch()).join("\r\n")}\r\nContent-Length: 0\r\n\r\n`);
      await alice.next(aResponse(481, "BYE"));
    };
    const call = () => alice.call(`sip:answer@127.0.0.1:${stage.udpPort}`);
    const invite = () => call().lines("INVITE", alice.branch());
    await send(invite(), 503);
    await send(
      invite().filter((line) => !line.startsWith("Contact:")),
      400,
    );
    await send([...invite().map((line) => line.replace(/^(To: .*)$/, "$1;tag=invented"))], 481);
    await send([...invite(), "Require: nothing-we-know"], 420);
    await send([...invite(), "Supported: timer", "Session-Expires: 30"], 422);
  },
);

scenario("a To tag that somebody made up costs no transaction over a stream either", async (stage) => {
  const alice = await stage.tcpPeer();
  const lines = alice.call(`sip:answer@127.0.0.1:${stage.tcpPort}`).lines("INVITE", alice.branch());
  const made = lines.map((line) => line.replace(/^(To: .*)$/, "$1;tag=invented"));
  alice.sendText(`${made.join("\r\n")}\r\nContent-Length: 0\r\n\r\n`);
  await alice.next(aResponse(481, "INVITE"));
  assert.equal(stage.server.endpoint.facts.transactions, 0);
});

scenario("strangers at the admin port keep no application out", async (stage) => {
  const { adminPort } = stage.server;
  const sockets: Socket[] = [];
  const lost: Promise<unknown>[] = [];
  for (const localAddress of ["127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5"])
    for (let number = 0; number < 16; number++) {
      const socket = connect({ host: "127.0.0.1", port: adminPort, localAddress });
      socket.on("error", () => {}).resume();
      lost.push(once(socket, "close"));
      sockets.push(socket);
      await once(socket, "connect");
    }
  await Promise.all(lost.slice(0, 32)); // they gave way
  const more = connect({ host: "127.0.0.1", port: adminPort, localAddress: "127.0.0.5" });
  more.on("error", () => {}).resume();
  await once(more, "close"); // one source has a quarter
  await stage.application();
  assert.equal(stage.server.endpoint.facts.applications, 1);
  assert.ok(sockets.slice(48).every(({ closed }) => !closed)); // and it was not their time that was over
  for (const socket of sockets) socket.destroy();
});
