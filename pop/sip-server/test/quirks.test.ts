// What the C++ drachtio-server is known to do wrong, and words of its that applications rely on: docs/DRACHTIO.md.

import assert from "node:assert/strict";
import { connect } from "node:net";
import { frame } from "../core/drachtio/frame.ts";
import { headerValue } from "../core/message/message.ts";
import { SECRET, scenario, until } from "./application.ts";
import { aRequest, SDP } from "./peer.ts";

scenario("a 1xx to a re-INVITE of the application: the 200 that follows is shown and acknowledged", async (stage) => {
  const srf = await stage.application();
  const bob = await stage.udpPeer();
  const calling = srf.createUAC(`sip:bob@127.0.0.1:${bob.port}`, { localSdp: SDP });
  bob.respond(await bob.next(aRequest("INVITE")), 200, "OK", { body: SDP });
  const dialog = await calling;
  await bob.next(aRequest("ACK"));
  const modified = dialog.modify(SDP.replace("40000", "40002"));
  const again = await bob.next(aRequest("INVITE"));
  bob.respond(again, 180, "Ringing");
  bob.respond(again, 183, "Session Progress");
  bob.respond(again, 200, "OK", { body: SDP.replace("40000", "50000") });
  assert.match(await modified, /50000/);
  const ack = await bob.next(aRequest("ACK"));
  assert.equal(ack.cseq.number, again.cseq.number);
});

scenario("@localhost stands for our address in From, To, Contact and P-Asserted-Identity", async (stage) => {
  const srf = await stage.application();
  const bob = await stage.udpPeer();
  const headers = {
    From: "<sip:a@localhost>",
    To: "<sip:b@localhost>",
    Contact: "<sip:c@localhost>",
    "P-Asserted-Identity": "<sip:d@localhost>",
  };
  srf.request(`sip:bob@127.0.0.1:${bob.port}`, { method: "INVITE", headers, body: SDP }).catch(() => {});
  const invite = await bob.next(aRequest("INVITE"));
  const us = `127.0.0.1:${stage.udpPort}`;
  assert.match(headerValue(invite, "from") ?? "", new RegExp(`^<sip:a@${us}>;tag=`));
  assert.equal(headerValue(invite, "to"), `<sip:b@${us}>`);
  assert.equal(headerValue(invite, "contact"), `<sip:c@${us}>`);
  assert.equal(headerValue(invite, "p-asserted-identity"), `<sip:d@${us}>`);
  bob.respond(invite, 486, "Busy Here");
});

scenario("an application that does not read is not read either, and is heard again when it does", async (stage) => {
  const socket = connect(stage.server.adminPort, "127.0.0.1");
  socket.on("error", () => {});
  await new Promise((resolve) => socket.once("connect", resolve));
  let received = 0;
  socket.on("data", (bytes) => {
    received += bytes.length;
  });
  socket.pause();
  const bob = await stage.tcpPeer();
  // Each of these is echoed: 64 kB there, 64 kB back.
  const message = `MESSAGE sip:b@127.0.0.1:${bob.port};transport=tcp SIP/2.0\r\nContent-Type: text/plain\r\n\r\n${"y".repeat(60_000)}`;
  socket.write(frame(`1|authenticate|${SECRET}|`), "latin1");
  const FRAMES = 400;
  for (let at = 0; at < FRAMES; at++) socket.write(frame(`m${at}|sip||\r\n${message}`), "latin1");
  // Some are worked off; then ours stop coming through: what we wrote stays here, for it is no longer read over there.
  let [unsent, unchanged] = [-1, 0];
  await until(() => {
    unchanged = socket.writableLength === unsent && bob.received.length > 0 ? unchanged + 1 : 0;
    unsent = socket.writableLength;
    return unchanged === 100;
  }, "stuck");
  assert.ok(bob.received.length < FRAMES);
  assert.ok(received === 0 && unsent > 1_000_000);
  socket.resume();
  await until(() => received > FRAMES * 60_000, "every echo", 10_000);
  assert.equal(socket.writableLength, 0);
  socket.destroy();
});
