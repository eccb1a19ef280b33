// WebSocket clients, as browsers are: RFC 7118.

import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { test } from "node:test";
import { WebSocket } from "ws";
import { headerValue } from "../core/message/message.ts";
import { event, offered, openStage, type Stage, until } from "./application.ts";
import { TestCa } from "./certificates.ts";
import { aRequest, aResponse, SDP } from "./peer.ts";
import { WebSocketPeer } from "./secure-peer.ts";

const local = { host: "127.0.0.1", port: 0 };

function scenario(
  name: string,
  run: (stage: Stage, url: string) => Promise<void>,
  { listen = {}, ...settings }: { listen?: Record<string, unknown> } & Record<string, unknown> = {},
) {
  test(name, async () => {
    const stage = await openStage({
      listen: [{ transport: "ws", name: "agents", ...local, ...listen }],
      ...settings,
    });
    try {
      await run(stage, `ws://127.0.0.1:${stage.server.points[0]?.port ?? 0}/`);
    } finally {
      await stage.close();
    }
  });
}

const faults = (stage: Stage, fault: string) =>
  stage.server.endpoint.counters.get("connection_faults", `listener="agents",transport="ws",fault="${fault}"`);

const options = (peer: WebSocketPeer, contentLength = "Content-Length: 0\r\n") =>
  `${peer.call("sip:pop.example").lines("OPTIONS", peer.branch()).join("\r\n")}\r\n${contentLength}\r\n`;

scenario("a browser calls and is called, down the connection it made; its address is nobody's", async (stage, url) => {
  const srf = await stage.application();
  const invited = offered(srf, "invite");
  const alice = await WebSocketPeer.open(url);
  const call = alice.call("sip:answer@pop.example");
  call.invite();
  const { req, res } = await invited;
  const dialog = await srf.createUAS(req, res, { localSdp: SDP });
  const answer = await call.answered();
  assert.match(headerValue(answer, "contact") ?? "", /^<sip:127\.0\.0\.1:\d+;transport=ws>$/);
  assert.match(headerValue(answer, "via") ?? "", /^SIP\/2\.0\/WS df7jal23ls0d\.invalid.*;received=127\.0\.0\.1/);
  call.ack();
  await event(dialog, "ack");
  const ended = dialog.destroy();
  const bye = await alice.next(aRequest("BYE"));
  assert.match(headerValue(bye, "via") ?? "", /^SIP\/2\.0\/WS 127\.0\.0\.1:/);
  alice.respond(bye, 200, "OK");
  await ended;

  // An application reaches it as it knows it: by the address and port its requests come from.
  const { source_address, source_port } = req as unknown as { source_address: string; source_port: number };
  const called = srf.createUAC("sip:alice@df7jal23ls0d.invalid;transport=ws", {
    localSdp: SDP,
    proxy: `sip:${source_address}:${source_port};transport=ws`,
  });
  const invite = await alice.next(aRequest("INVITE"));
  assert.equal(invite.uri, "sip:alice@df7jal23ls0d.invalid;transport=ws");
  alice.respond(invite, 180, "Ringing");
  // The page is closed while it rings: the caller need not wait for that to time out.
  alice.close();
  await assert.rejects(called, { status: 503 });
  await assert.rejects(
    srf.createUAC("sip:alice@df7jal23ls0d.invalid;transport=ws", {
      localSdp: SDP,
      proxy: `sip:${source_address}:${source_port};transport=ws`,
    }),
  );
});

scenario(
  "text and binary frames, without Content-Length, with CRLF pings; answers that are not UTF-8 go as binary",
  async (stage, url) => {
    const srf = await stage.application();
    srf.options((_req, res) => res.send(200));
    const alice = await WebSocketPeer.open(url);
    alice.socket.send(options(alice, ""));
    await alice.next(aResponse(200, "OPTIONS"));
    alice.socket.send(Buffer.from(options(alice), "latin1"), { binary: true });
    await alice.next(aResponse(200, "OPTIONS"));
    const pong = new Promise((resolve) => alice.socket.once("message", (data) => resolve(String(data))));
    alice.socket.send("\r\n\r\n");
    assert.equal(await pong, "\r\n");
    const frame = new Promise((resolve) => alice.socket.once("message", (_data, isBinary) => resolve(isBinary)));
    alice.socket.send(Buffer.from(options(alice).replace('"Alice"', '"Al\xefce"'), "latin1"), { binary: true });
    assert.equal(await frame, true);
  },
);

scenario(
  "an upgrade needs the subprotocol, an allowed page, and to be one at all",
  async (stage, url) => {
    const refused = async (protocols: string[], origin?: string) => {
      const socket = new WebSocket(url, protocols, origin === undefined ? {} : { origin });
      const [error] = await Promise.race([once(socket, "error"), once(socket, "open").then(() => [undefined])]);
      socket.terminate();
      return error === undefined ? "open" : (error as Error).message;
    };
    assert.match(await refused([]), /400/);
    assert.match(await refused(["mqtt"]), /400/);
    assert.match(await refused(["sip"], "https://evil.example"), /403/);
    assert.equal(await refused(["mqtt", "sip"], "https://phone.example"), "open");
    assert.equal(await refused(["sip"]), "open");
    assert.equal((await fetch(url.replace("ws:", "http:"))).status, 426);
    assert.equal(faults(stage, "upgrade"), 3);
  },
  { listen: { origins: ["https://phone.example"] } },
);

scenario(
  "half an upgrade, an endless one, a frame too large, and a client that answers no ping are let go",
  async (stage, url) => {
    const port = Number(new URL(url).port);
    const raw = async (text: string) => {
      const socket = connect(port, "127.0.0.1");
      socket.on("error", () => {});
      socket.resume();
      socket.write(text);
      await once(socket, "close");
    };
    await raw("GET / HTTP/1.1\r\nHost: x\r\nUpgra");
    await raw(`GET / HTTP/1.1\r\nX: ${"x".repeat(20_000)}\r\n`);
    assert.equal(faults(stage, "upgrade"), 2);

    const big = await WebSocketPeer.open(url);
    big.socket.send("x".repeat(70_000));
    await once(big.socket, "close");
    assert.equal(faults(stage, "frame"), 1);

    const silent = await WebSocketPeer.open(url, { autoPong: false });
    silent.socket.send(options(silent));
    await silent.next(aResponse(503));
    await once(silent.socket, "close");
    assert.equal(faults(stage, "no-pong"), 1);
    await until(
      () => [...stage.server.endpoint.listeners()].every(({ connections }) => connections === 0),
      "all closed",
    );
  },
  { connections: { handshakeMs: 300, webSocketPingAfterMs: 100, pongWithinMs: 100 } },
);

test("a browser over TLS", async () => {
  const ca = new TestCa();
  const pair = ca.issue("server", "IP:127.0.0.1");
  const tls = { identities: [pair] };
  const stage = await openStage({ listen: [{ transport: "wss", name: "agents", ...local, tls }] });
  try {
    const srf = await stage.application();
    const invited = offered(srf, "invite");
    const url = `wss://127.0.0.1:${stage.server.points[0]?.port}/`;
    const alice = await WebSocketPeer.open(url, { ca: ca.pem });
    const call = alice.call("sip:answer@pop.example");
    call.invite();
    const { req, res } = await invited;
    assert.equal((req as unknown as { protocol: string }).protocol, "wss");
    const dialog = await srf.createUAS(req, res, { localSdp: SDP });
    await call.answered();
    call.ack();
    await event(dialog, "ack");
    // New certificates do not concern who is there already.
    ca.issue("server", "IP:127.0.0.1");
    await stage.server.reloadCertificates("signal");
    const ended = event(dialog, "destroy");
    call.request("BYE");
    await alice.next(aResponse(200, "BYE"));
    await ended;
    alice.close();
  } finally {
    await stage.close();
    ca.remove();
  }
});

scenario(
  "a message in fragments, with pings between them, must end in time; one after the other may",
  async (stage, url) => {
    const slow = await WebSocketPeer.open(url);
    const good = await WebSocketPeer.open(url);
    const pings = setInterval(() => {
      slow.socket.ping();
      good.socket.ping();
    }, 20);
    const text = options(good);
    for (const part of [text.slice(0, 90), text.slice(90)]) good.socket.send(part, { fin: part.endsWith("\r\n\r\n") });
    await good.next(aResponse(503));
    slow.socket.send("OPTIONS sip:a", { fin: false });
    await once(slow.socket, "close");
    clearInterval(pings);
    assert.equal(faults(stage, "half-message"), 1);
    assert.equal(good.socket.readyState, WebSocket.OPEN);
    good.close();
  },
  { connections: { halfMessageMs: 200 } },
);
