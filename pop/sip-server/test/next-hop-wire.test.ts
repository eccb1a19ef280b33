// Names and long requests on real sockets: a name server, a drachtio-srf application, peers on 127.0.0.1.

import assert from "node:assert/strict";
import { test } from "node:test";
import { headerValue } from "../core/message/message.ts";
import { openStage, scenario } from "./application.ts";
import { NameServer } from "./name-server.ts";
import { aRequest, SDP } from "./peer.ts";

const LONG = SDP + "a=padding\r\n".repeat(150);

test("a call to a name: SRV from a real name server, the dead target passed over, the call answered by the other", async () => {
  const names = await NameServer.open("");
  const stage = await openStage({ dns: { servers: [`127.0.0.1:${names.port}`] }, nextTargetAfterMs: 500 });
  try {
    const [dead, bob] = [await stage.udpPeer(), await stage.udpPeer()];
    names.zone.read(`
      _sip._udp.carrier.example SRV 1 0 ${dead.port} host.carrier.example
      _sip._udp.carrier.example SRV 2 0 ${bob.port} host.carrier.example
      host.carrier.example A 127.0.0.1`);
    const srf = await stage.application();
    const answered = srf.createUAC("sip:bob@carrier.example", { localSdp: SDP });
    answered.catch(() => {});
    const silent = await dead.next(aRequest("INVITE"));
    const invite = await bob.next(aRequest("INVITE"));
    assert.equal(invite.callId, silent.callId);
    assert.equal(invite.uri, "sip:bob@carrier.example");
    bob.respond(invite, 200, "OK", { body: SDP });
    const dialog = await answered;
    await bob.next(aRequest("ACK"));
    const gone = dialog.destroy();
    bob.respond(await bob.next(aRequest("BYE")), 200, "OK");
    await gone;
    assert.ok(names.asked.includes("udp NAPTR carrier.example"));
    const metrics = await (await fetch(`http://127.0.0.1:${stage.server.httpPort}/metrics`)).text();
    assert.match(metrics, /sip_targets_in_quarantine 1\n/);
    assert.match(metrics, /sip_next_targets_total\{because="silence"\} 1\n/);
    assert.match(metrics, /sip_name_questions_total\{type="NAPTR"\} 1\n/);
  } finally {
    await stage.close();
    names.close();
  }
});

scenario("an INVITE too long for UDP arrives by TCP; its answer comes back there", async (stage) => {
  const srf = await stage.application();
  const bob = await stage.tcpPeer();
  const answered = srf.createUAC(`sip:bob@127.0.0.1:${bob.port}`, { localSdp: LONG });
  const invite = await bob.next(aRequest("INVITE"));
  assert.equal(invite.via.transport, "TCP");
  assert.equal(invite.via.port, stage.tcpPort);
  bob.respond(invite, 200, "OK", { body: SDP });
  await answered;
  assert.equal((await bob.next(aRequest("ACK"))).callId, invite.callId);
});

scenario("nobody listens on TCP: the long INVITE arrives by UDP", async (stage) => {
  const srf = await stage.application();
  const bob = await stage.udpPeer();
  const answered = srf.createUAC(`sip:bob@127.0.0.1:${bob.port}`, { localSdp: LONG });
  const invite = await bob.next(aRequest("INVITE"));
  assert.equal(invite.via.transport, "UDP");
  assert.equal(headerValue(invite, "content-length"), String(LONG.length));
  bob.respond(invite, 200, "OK", { body: SDP });
  await answered;
  await bob.next(aRequest("ACK"));
});
