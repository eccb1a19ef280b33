import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type Srf from "drachtio-srf";
import { headerValue } from "../core/message/message.ts";
import { openStage, type Stage } from "./application.ts";
import { aRequest, aResponse, SDP } from "./peer.ts";

let stage: Stage;
let srf: Srf;
before(async () => {
  stage = await openStage();
  srf = await stage.application();
});
after(() => stage.close());

test("an application answers a call, and the caller ends it", async () => {
  const ended = new Promise<void>((resolve) => {
    srf.invite((req, res) => {
      void srf.createUAS(req, res, { localSdp: SDP, headers: { "X-App": "one" } }).then((dialog) => {
        dialog.on("destroy", () => resolve());
      });
    });
  });
  const alice = await stage.udpPeer();
  const call = alice.call(`sip:answer@127.0.0.1:${stage.udpPort}`);
  call.invite();
  await alice.next(aResponse(100));
  const answer = await call.answered();
  assert.equal(headerValue(answer, "contact"), `<sip:127.0.0.1:${stage.udpPort}>`);
  assert.equal(headerValue(answer, "x-app"), "one");
  assert.equal(answer.body, SDP);
  call.ack();
  call.request("BYE");
  await alice.next(aResponse(200, "BYE"));
  await ended;
});

test("an application calls, is answered, and hangs up", async () => {
  const bob = await stage.udpPeer();
  const answered = srf.createUAC(`sip:bob@127.0.0.1:${bob.port}`, { localSdp: SDP });
  const invite = await bob.next(aRequest("INVITE"));
  bob.respond(invite, 180, "Ringing");
  bob.respond(invite, 200, "OK", { body: SDP });
  const dialog = await answered;
  const ack = await bob.next(aRequest("ACK"));
  assert.equal(ack.cseq.number, invite.cseq.number);
  const gone = dialog.destroy();
  const bye = await bob.next(aRequest("BYE"));
  assert.equal(bye.cseq.number, invite.cseq.number + 1);
  bob.respond(bye, 200, "OK");
  await gone;
});
