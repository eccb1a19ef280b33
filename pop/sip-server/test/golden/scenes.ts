// Calls at the moments whose records are kept in this folder, one file per version of the format.

import { SimWorld } from "../../../../kernel/sim/world.ts";
import type { EndpointSettings } from "../../app/endpoint.ts";
import { SDP } from "../peer.ts";
import { SimulatedHost } from "../simulated.ts";

export const CALLER = "10.0.0.1";
export const CALLED = "10.0.0.2";

/** @param note called at each moment, with the host whose record of that call is meant */
export function playScenes(
  settings: Partial<EndpointSettings>,
  note: (scene: string, host: SimulatedHost, callId: string) => void,
): void {
  const world = new SimWorld(1, { delayMs: 20 });
  const alice = new SimulatedHost(world, CALLER, settings, "instance:alice");
  const bob = new SimulatedHost(world, CALLED, settings, "instance:bob");
  let [answer, isAcknowledged, dialogId] = ["", false, ""];
  bob.application.onHeard = ({ what, transactionId }) => {
    if (what === "INVITE") bob.application.say(`sip|${transactionId}|\r\n${answer}`);
  };
  alice.application.onHeard = (heard) => {
    if (heard.what !== "200" || !heard.text.includes(" INVITE")) return;
    ({ dialogId } = heard);
    if (isAcknowledged) alice.application.request("ACK", dialogId);
  };
  const invite = (headers = ""): string => {
    alice.application.say(`sip||\r\nINVITE sip:bob@${CALLED} SIP/2.0\r\n${headers}\r\n`);
    const callId = /Call-ID: (\S+)/.exec(alice.application.replies.at(-1) ?? "")?.[1] ?? "";
    world.runFor(1_000);
    return callId;
  };
  answer = "SIP/2.0 180 Said\r\n\r\n";
  let callId = invite();
  note("ringing, called", bob, callId);
  note("ringing, caller", alice, callId);
  answer = `SIP/2.0 183 Progress\r\nRequire: 100rel\r\n\r\n${SDP}`;
  callId = invite("Supported: 100rel\r\n");
  note("reliable provisional without its PRACK", bob, callId);
  answer = `SIP/2.0 200 OK\r\nContent-Type: application/sdp\r\n\r\n${SDP}`;
  callId = invite("Supported: timer\r\nSession-Expires: 1800;refresher=uac\r\n");
  note("answered, not acknowledged, called", bob, callId);
  note("answered, not acknowledged, caller", alice, callId);
  bob.application.request("BYE", dialogId);
  world.runFor(10);
  note("a BYE that waits for the ACK", bob, callId);
  isAcknowledged = true;
  callId = invite();
  note("acknowledged, caller", alice, callId);
  alice.application.request("INFO", dialogId);
  world.runFor(30);
  note("a request in the call", bob, callId);
}
