// The drachtio protocol itself: who may speak, how frames may arrive, who gets which call.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { connect, type Socket } from "node:net";
import { FrameReader, frame } from "../core/drachtio/frame.ts";
import { headerValue } from "../core/message/message.ts";
import { leave, offered, QUICK, SECRET, type Stage, scenario, until } from "./application.ts";
import { aRequest, aResponse, SDP } from "./peer.ts";

/** An application without drachtio-srf: it can say what that would not. */
class RawApplication {
  readonly socket: Socket;
  readonly payloads: string[] = [];
  closed = false;

  static async open(stage: Stage): Promise<RawApplication> {
    const socket = connect(stage.server.adminPort, "127.0.0.1");
    await new Promise((resolve) => socket.once("connect", resolve));
    return new RawApplication(socket);
  }

  private constructor(socket: Socket) {
    this.socket = socket;
    const reader = new FrameReader(1_048_576);
    socket.on("data", (bytes) => {
      const taken = reader.take(bytes.toString("latin1"));
      if (taken.ok) this.payloads.push(...taken.value);
    });
    socket.on("error", () => {});
    socket.on("close", () => {
      this.closed = true;
    });
  }

  say(command: string): string {
    const id = randomUUID();
    this.socket.write(frame(`${id}|${command}`), "latin1");
    return id;
  }

  /** Everything after `response|<id>|`. */
  async answerTo(id: string): Promise<string> {
    const mine = (payload: string) => payload.split("|")[2] === id;
    await until(() => this.payloads.some(mine), `an answer to ${id}`);
    return this.payloads.find(mine)?.split("|").slice(3).join("|") ?? "";
  }

  ask = (command: string): Promise<string> => this.answerTo(this.say(command));
}

const signedIn = async (stage: Stage): Promise<RawApplication> => {
  const application = await RawApplication.open(stage);
  await application.ask(`authenticate|${SECRET}|`);
  return application;
};

scenario("hello: host ports, and a version drachtio-srf pings", async (stage) => {
  const application = await RawApplication.open(stage);
  const hello = await application.ask(`authenticate|${SECRET}|tag1,tag2`);
  const [ok, hostPorts, version] = hello.split("|");
  assert.equal(ok, "OK");
  assert.equal(hostPorts, `udp/127.0.0.1:${stage.udpPort},tcp/127.0.0.1:${stage.tcpPort}`);
  assert.match(version ?? "", /^v0\.9\.\d+/);
  assert.equal(await application.ask("ping"), "OK|pong");
  assert.equal(await application.ask("route|invite"), "OK");
});

scenario("a wrong secret is refused and the connection ends", async (stage) => {
  const application = await RawApplication.open(stage);
  assert.equal(await application.ask("authenticate|guess|"), "NO|incorrect secret");
  await until(() => application.closed, "closed");
});

for (const command of ["ping", "route|invite", "sip||\r\nOPTIONS sip:a@127.0.0.1:9 SIP/2.0\r\n\r\n"])
  scenario(
    `before authentication "${command.slice(0, 12).trim()}" is refused and the connection ends`,
    async (stage) => {
      const application = await RawApplication.open(stage);
      assert.equal(await application.ask(command), "NO|not authenticated");
      await until(() => application.closed, "closed");
    },
  );

scenario("what makes no sense ends the connection, what cannot be sent does not", async (stage) => {
  const one = await signedIn(stage);
  assert.equal(await one.ask("bogus|x"), "NO|Unknown message type");
  await until(() => one.closed, "closed");
  const two = await signedIn(stage);
  assert.match(await two.ask("sip||\r\nnonsense\r\n\r\n"), /^NOK\|invalid request-uri/);
  assert.match(
    await two.ask("sip|tx-1|\r\nCANCEL sip:a@b SIP/2.0\r\n\r\n"),
    /^NOK\|unable to cancel unknown transaction/,
  );
  assert.match(await two.ask("sip|tx-1|\r\nINFO sip:a@b SIP/2.0\r\n\r\n"), /^NOK\|transaction id is for CANCEL/);
  assert.equal(await two.ask("ping"), "OK|pong");
  const three = await signedIn(stage);
  three.socket.write("999999999#x");
  await until(() => three.closed, "closed for a frame beyond the bound");
  const four = await signedIn(stage);
  four.socket.write("hello#x");
  await until(() => four.closed, "closed for a length that is none");
});

scenario("frames may come byte by byte, or many at once", async (stage) => {
  const application = await signedIn(stage);
  const ids = [randomUUID(), randomUUID()];
  for (const byte of frame(`${ids[0]}|ping`)) {
    application.socket.write(byte);
    await new Promise((resolve) => setImmediate(resolve));
  }
  application.socket.write(`${frame(`${ids[1]}|ping`)}${frame(`${randomUUID()}|route|invite`)}`);
  for (const id of ids) assert.equal(await application.answerTo(id), "OK|pong");
});

scenario("a frame of 200 kB is taken, where the C++ server wedges at 12 kB", async (stage) => {
  const application = await signedIn(stage);
  const body = "y".repeat(200_000);
  const bob = await stage.tcpPeer();
  const message = `MESSAGE sip:b@127.0.0.1:${bob.port};transport=tcp SIP/2.0\r\nContent-Type: text/plain\r\n\r\n${body}`;
  const echo = await application.ask(`sip||\r\n${message}`);
  assert.match(echo, /^OK\|application\|/);
  assert.ok(echo.endsWith(body));
});

scenario("two applications take turns; remove_route takes only that verb away", async (stage) => {
  const applications = [await stage.application(), await stage.application()];
  const counts = [0, 0];
  applications.forEach((srf, index) => {
    srf.options((_req, res) => {
      counts[index] = (counts[index] ?? 0) + 1;
      res.send(200);
    });
    srf.message((_req, res) => res.send(200));
  });
  const alice = await stage.udpPeer();
  const ask = async (method: string, status: number) => {
    alice.call(`sip:here@127.0.0.1:${stage.udpPort}`).request(method);
    await alice.next(aResponse(status, method));
  };
  await until(() => stage.server.endpoint.facts.applications === 2, "both connected");
  await ask("MESSAGE", 200);
  for (let turn = 0; turn < 4; turn++) await ask("OPTIONS", 200);
  assert.deepEqual(counts, [2, 2]);
  for (const srf of applications) srf.unregisterForMessages("options");
  await ask("MESSAGE", 200);
  await ask("OPTIONS", 503);
});

scenario(
  "no application: 503; one that leaves: after a while 503, 500 in its dialogs, and 200 to a BYE",
  async (stage) => {
    const alice = await stage.udpPeer();
    const early = alice.call(`sip:here@127.0.0.1:${stage.udpPort}`);
    early.invite();
    early.ackFailure(await alice.next(aResponse(503, "INVITE")));

    const srf = await stage.application();
    const invited = offered(srf, "invite");
    const call = alice.call(`sip:here@127.0.0.1:${stage.udpPort}`);
    call.invite();
    const { req, res } = await invited;
    await srf.createUAS(req, res, { localSdp: SDP });
    await call.answered();
    call.ack();
    const ringing = alice.call(`sip:here@127.0.0.1:${stage.udpPort}`);
    ringing.invite();
    await alice.next(aResponse(100));
    await until(() => stage.server.endpoint.facts.pendingRequests === 1, "offered");
    leave(srf);
    ringing.ackFailure(await alice.next(aResponse(503, "INVITE")));
    call.request("INFO");
    const later = await alice.next(aResponse(500, "INFO"));
    assert.match(headerValue(later, "retry-after") ?? "", /^(\d|10)$/);
    call.request("BYE");
    await alice.next(aResponse(200, "BYE"));
    assert.equal(stage.server.endpoint.facts.dialogs, 0);
  },
  { returnWaitMs: 50 },
);

scenario(
  "dialogs of an application that does not come back end with BYE",
  async (stage) => {
    const srf = await stage.application();
    const invited = offered(srf, "invite");
    const alice = await stage.udpPeer();
    const call = alice.call(`sip:here@127.0.0.1:${stage.udpPort}`);
    call.invite();
    const { req, res } = await invited;
    await srf.createUAS(req, res, { localSdp: SDP });
    await call.answered();
    call.ack();
    await until(() => stage.server.endpoint.facts.transactions > 0, "answered");
    leave(srf);
    const bye = await alice.next(aRequest("BYE"));
    assert.match(headerValue(bye, "reason") ?? "", /application gone/);
  },
  { ...QUICK, orphanGraceMs: 100 },
);

scenario(
  "a ringing call of an application that goes, and stays away, is cancelled",
  async (stage) => {
    const srf = await stage.application();
    const bob = await stage.udpPeer();
    srf.createUAC(`sip:bob@127.0.0.1:${bob.port}`, { localSdp: SDP }).catch(() => {});
    const invite = await bob.next(aRequest("INVITE"));
    bob.respond(invite, 180, "Ringing");
    await until(() => stage.server.endpoint.facts.dialogs === 1, "ringing");
    leave(srf);
    bob.respond(await bob.next(aRequest("CANCEL")), 200, "OK");
    bob.respond(invite, 487, "Request Terminated");
    await bob.next(aRequest("ACK"));
  },
  { returnWaitMs: 50 },
);

scenario(
  "sources: until an application names them, nobody is heard; then only they are",
  async (stage) => {
    const { endpoint } = stage.server;
    const srf = await stage.application();
    srf.options((_req, res) => res.send(200));
    const alice = await stage.udpPeer("127.0.0.1");
    const call = alice.call(`sip:here@127.0.0.1:${stage.udpPort}`);
    call.request("OPTIONS");
    await until(() => endpoint.counters.get("dropped", 'reason="unknown-source"') === 1, "dropped");
    const application = await signedIn(stage);
    assert.match(await application.ask("sources|allow|127.0.0.0/33"), /^NOK\|not an address or prefix/);
    assert.equal(await application.ask("sources|allow|127.0.0.1/32,10.0.0.0/8,::1"), "OK");
    call.request("OPTIONS");
    await alice.next(aResponse(200, "OPTIONS"));
    application.socket.destroy();
    await new Promise((resolve) => application.socket.once("close", resolve));
    call.request("OPTIONS"); // what was told holds until somebody tells anew
    await alice.next(aResponse(200, "OPTIONS"));
    const other = await signedIn(stage);
    assert.equal(await other.ask("sources|allow|127.0.0.2"), "OK");
    call.request("OPTIONS");
    await until(() => endpoint.counters.get("dropped", 'reason="unknown-source"') === 2, "dropped again");
    assert.equal(alice.count(aResponse(200)), 2);
  },
  { trustedSources: "told" },
);
