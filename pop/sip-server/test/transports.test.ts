// TCP, malformed input, and what operators can see.

import assert from "node:assert/strict";
import { connect } from "node:net";
import { headerValue } from "../core/message/message.ts";
import { event, offered, scenario, until } from "./application.ts";
import { aRequest, aResponse, SDP } from "./peer.ts";

scenario("a call over TCP is answered; its parties use the one connection", async (stage) => {
  const srf = await stage.application();
  const invited = offered(srf, "invite");
  const alice = await stage.tcpPeer();
  const call = alice.call(`sip:answer@127.0.0.1:${stage.tcpPort};transport=tcp`);
  call.invite();
  const { req, res } = await invited;
  const dialog = await srf.createUAS(req, res, { localSdp: SDP });
  const answer = await call.answered();
  assert.equal(headerValue(answer, "contact"), `<sip:127.0.0.1:${stage.tcpPort};transport=tcp>`);
  call.ack();
  await event(dialog, "ack");
  const ended = dialog.destroy();
  alice.respond(await alice.next(aRequest("BYE")), 200, "OK");
  await ended;
  assert.equal(alice.sockets.length, 0); // nothing was dialled back
});

scenario("a call over TCP to a callee: connection made, used again, ended from either side", async (stage) => {
  const srf = await stage.application();
  const bob = await stage.tcpPeer();
  const answered = srf.createUAC(`sip:bob@127.0.0.1:${bob.port};transport=tcp`, { localSdp: SDP, callingNumber: "1" });
  const invite = await bob.next(aRequest("INVITE"));
  assert.match(headerValue(invite, "via") ?? "", /^SIP\/2\.0\/TCP /);
  assert.equal(headerValue(invite, "contact"), `<sip:1@127.0.0.1:${stage.tcpPort};transport=tcp>`);
  bob.respond(invite, 200, "OK", { body: SDP });
  const dialog = await answered;
  await bob.next(aRequest("ACK"));
  const ended = event(dialog, "destroy");
  bob.requestTo(invite, "BYE", 1);
  await bob.next(aResponse(200, "BYE"));
  await ended;
  assert.equal(bob.sockets.length, 1);
});

scenario("nobody listens on the callee's TCP port: 503 at once", async (stage) => {
  const srf = await stage.application();
  const bob = await stage.tcpPeer();
  const { port } = bob;
  bob.close();
  await assert.rejects(srf.createUAC(`sip:bob@127.0.0.1:${port};transport=tcp`, { localSdp: SDP }), { status: 503 });
});

scenario("TCP: split in single bytes, two at once, a ping between", async (stage) => {
  const srf = await stage.application();
  srf.options((_req, res) => res.send(200));
  const alice = await stage.tcpPeer();
  const call = alice.call(`sip:here@127.0.0.1:${stage.tcpPort};transport=tcp`);
  const one = `${call.lines("OPTIONS", alice.branch()).join("\r\n")}\r\nl: 3\r\n\r\nabc`;
  for (const byte of one) alice.sendText(byte);
  await alice.next(aResponse(200, "OPTIONS"));
  const two = () =>
    `${call.lines("OPTIONS", alice.branch(), [], ++call.cseq).join("\r\n")}\r\nContent-Length: 0\r\n\r\n`;
  alice.sendText(`\r\n\r\n${two()}${two()}`);
  await alice.next(aResponse(200, "OPTIONS"));
  await alice.next(aResponse(200, "OPTIONS"));
});

scenario("TCP: a stream that cannot be cut ends the connection, and is counted", async (stage) => {
  for (const [text, reason] of [
    ["OPTIONS sip:a@b SIP/2.0\r\nVia: x\r\n\r\n", "stream-no-content-length"],
    ["x".repeat(70_000), "stream-too-large"],
  ] as const) {
    const socket = connect(stage.tcpPort, "127.0.0.1");
    const closed = new Promise((resolve) => socket.once("close", resolve));
    socket.on("error", () => {});
    socket.write(text);
    await closed;
    assert.equal(stage.server.endpoint.counters.get("dropped", `reason="${reason}"`), 1);
  }
});

scenario("malformed requests get 400 or 505, worse ones silence; all are counted, none stops us", async (stage) => {
  const srf = await stage.application();
  srf.options((_req, res) => res.send(200));
  const alice = await stage.udpPeer();
  const call = alice.call(`sip:here@127.0.0.1:${stage.udpPort}`);
  const options = () => `${call.lines("OPTIONS", alice.branch()).join("\r\n")}\r\nContent-Length: 0\r\n\r\n`;
  alice.sendText(options().replace("CSeq: 1 OPTIONS", "CSeq: 1 INVITE"));
  const refused = await alice.next(aResponse(400));
  assert.match(headerValue(refused, "to") ?? "", /;tag=/);
  assert.match(headerValue(refused, "via") ?? "", new RegExp(`rport=${alice.port}`));
  alice.sendText(options().replace("SIP/2.0\r\n", "SIP/7.0\r\n"));
  await alice.next(aResponse(505));
  alice.sendText(options().replace("Content-Length: 0", "Content-Length: 9"));
  await alice.next(aResponse(400));
  for (const text of ["", "\0", "\r\n\r\n", "hello", options().replace("Via", "Wia"), "SIP/2.0 200 OK\r\n\r\n"])
    alice.sendText(text);
  alice.sendText(options().replace("OPTIONS sip", "ACK sip").replace("CSeq: 1 OPTIONS", "CSeq: x ACK"));
  alice.sendText(options());
  await alice.next(aResponse(200, "OPTIONS"));
  assert.equal(
    alice.count(() => true),
    4,
  );
  assert.equal(stage.server.endpoint.counters.total("malformed"), 8);
});

scenario("a response nobody asked for, or for somebody else, is dropped and counted", async (stage) => {
  const alice = await stage.udpPeer();
  const { counters } = stage.server.endpoint;
  const response = (via: string) =>
    `SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP ${via};branch=z9hG4bKx\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:c@d>;tag=2\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\n\r\n`;
  alice.sendText(response("192.0.2.1:5060"));
  alice.sendText(response(`127.0.0.1:${stage.udpPort}`));
  await until(() => counters.total("dropped") === 2, "both dropped");
  assert.equal(counters.get("dropped", 'reason="foreign-via"'), 1);
  assert.equal(counters.get("dropped", 'reason="stray-response"'), 1);
});

scenario("an operator sees the ladder of a call without the numbers, health and metrics", async (stage) => {
  const srf = await stage.application();
  const invited = offered(srf, "invite");
  const alice = await stage.udpPeer();
  const call = alice.call(`sip:+49301234567@127.0.0.1:${stage.udpPort}`);
  call.invite();
  const { res } = await invited;
  await alice.next(aResponse(100));
  call.again();
  await alice.next(aResponse(100));
  res.send(486);
  call.ackFailure(await alice.next(aResponse(486)));
  const get = async (path: string) => (await fetch(`http://127.0.0.1:${stage.server.httpPort}${path}`)).text();
  const { endpoint } = stage.server;
  await until(() => endpoint.trace.of(call.facts.callId)?.at(-1)?.start.startsWith("ACK") === true, "ACK arrived");
  const lines = JSON.parse(await get(`/trace?callId=${encodeURIComponent(call.facts.callId)}`));
  const here = `127.0.0.1:${stage.udpPort}`;
  assert.deepEqual(
    lines.map(
      (line: Record<string, unknown>) => `${line.direction} ${line.start}${line.retransmission ? " again" : ""}`,
    ),
    [
      `in INVITE sip:${here}`,
      "out 100 Trying",
      `in INVITE sip:${here} again`,
      "out 100 Trying again",
      "out 486 Busy Here",
      `in ACK sip:${here}`,
    ],
  );
  assert.equal(lines[0].peer, `127.0.0.1:${alice.port}`);
  assert.deepEqual(JSON.parse(await get("/trace?callId=unknown")), []);
  assert.equal(JSON.parse(await get("/healthz")).status, "ok");
  const metrics = await get("/metrics");
  assert.match(metrics, /sip_requests_total\{direction="in",transport="udp",method="INVITE"\} 2/);
  assert.match(metrics, /sip_responses_total\{direction="out",transport="udp",method="INVITE",status="486"\} 1/);
  assert.match(metrics, /sip_retransmissions_total\{direction="in"\} 1/);
  assert.match(metrics, /sip_transaction_states\{kind="invite-server",state="confirmed"\} 1/);
  assert.match(metrics, /sip_application_answer_seconds_bucket\{le="\+Inf"\} 1\n/);
  assert.match(metrics, /sip_retransmissions_total\{direction="out"\} 1/);
});
