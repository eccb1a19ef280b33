// What a hostile peer tries against the bounds: ports for operators, pings nobody reads, many addresses of one customer.

import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { test } from "node:test";
import { silentLog } from "../../../kernel/log.ts";
import { Certificates } from "../adapters/certificates.ts";
import type { TlsIdentity } from "../adapters/tls-identity.ts";
import { FailedAttempts } from "../app/applications/applications.ts";
import { HTTP_CONNECTIONS_MAX } from "../core/limits.ts";
import { scenario } from "./application.ts";

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
