// What an established call costs while nothing happens in it.

import assert from "node:assert/strict";
import { test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { SimWorld } from "../../../kernel/sim/world.ts";
import { Endpoint } from "../app/endpoint.ts";
import type { ApplicationLink } from "../boundary/application-link.ts";
import { finish } from "./peer.ts";
import { simulatedParts } from "./simulated.ts";

const DIALOGS = 20_000;
const BYTES_MAX = 12 * 1_024;
const POINT = {
  id: "udp/10.0.0.1:5060",
  name: "udp",
  transport: "udp",
  address: "10.0.0.1",
  port: 5060,
  host: "10.0.0.1",
} as const;
const FLOW = { pointId: POINT.id, transport: "udp", address: "10.0.0.2", port: 5060, connection: undefined } as const;
/** As long as a carrier's; it is an own string each time, as a datagram is. */
const sdp = (number: number) =>
  `v=0\r\no=- ${number} 1 IN IP4 10.0.0.2\r\ns=call\r\nc=IN IP4 10.0.0.2\r\nt=0 0\r\nm=audio ${10_000 + (number % 20_000)} RTP/AVP 8 0 18 101\r\n${"a=rtpmap:101 telephone-event/8000\r\n".repeat(6)}`;

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;
function heapBytes(): number {
  collect();
  collect();
  return process.memoryUsage().heapUsed;
}
/** Fresh bytes, as they come from a socket. */
const datagram = (text: string): string => Buffer.from(text, "latin1").toString("latin1");

for (const [what, headers] of [
  ["without a session timer", []],
  ["with a session timer", ["Supported: timer", "Session-Expires: 1800;refresher=uas"]],
] as const)
  test(`${DIALOGS} established calls ${what}: at most 12 KB each, and no timer but the session's`, (t) => {
    const world = new SimWorld(1);
    const endpoint = new Endpoint(
      simulatedParts(world, POINT.address, { trace: { callIdsMax: 0, linesPerCallMax: 1 }, dialogsMax: DIALOGS }),
    );
    let tag = "";
    endpoint.addTransport({
      point: POINT,
      send: (text) => {
        if (text.startsWith("SIP/2.0 200")) tag = /\r\nTo: [^\r]*;tag=([^\r;]*)/.exec(text)?.[1] ?? "";
      },
      stop: async () => {},
    });
    const link: ApplicationLink = {
      id: "app",
      address: "127.0.0.1",
      open: true,
      busy: false,
      send(payload) {
        const meta = payload.slice(0, payload.indexOf("\r\n")).split("|");
        if (meta[1] !== "sip" || !payload.includes("\r\nINVITE ")) return;
        endpoint.onPayload(
          link,
          datagram(`1|sip|${meta[8]}|\r\nSIP/2.0 200 OK\r\nContent-Type: application/sdp\r\n\r\n${sdp(1)}`),
        );
      },
      close: () => {},
    };
    endpoint.onOpen(link);
    endpoint.onPayload(link, "1|authenticate|s|");
    endpoint.onPayload(link, "2|route|invite");
    const say = (number: number, method: string, cseq: number, to: string, body: string) => {
      const lines = [
        `${method} sip:+4930${number}@10.0.0.1;user=phone SIP/2.0`,
        `Via: SIP/2.0/UDP 10.0.0.2:5060;rport;branch=z9hG4bK-${number}-${method}`,
        "Max-Forwards: 70",
        `From: "Somebody Calling" <sip:+4989${number}@10.0.0.2;user=phone>;tag=from-${number}`,
        `To: <sip:+4930${number}@10.0.0.1;user=phone>${to}`,
        `Call-ID: ${number}-1a2b3c4d5e6f7081@10.0.0.2`,
        `CSeq: ${cseq} ${method}`,
        `Contact: <sip:+4989${number}@10.0.0.2:5060>`,
        "Record-Route: <sip:10.0.0.2;lr>",
        "Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, INFO, PRACK, UPDATE",
        ...headers,
      ];
      endpoint.onMessage(datagram(finish(lines, body)), FLOW, POINT);
    };
    say(0, "INVITE", 1, "", sdp(0)); // what is made once is made
    say(0, "ACK", 1, `;tag=${tag}`, "");
    world.runFor(70_000);
    const before = heapBytes();
    for (let number = 1; number < DIALOGS; number++) {
      say(number, "INVITE", 1, "", sdp(number));
      say(number, "ACK", 1, `;tag=${tag}`, "");
      if (number % 500 === 0) world.runFor(1_000);
    }
    world.runFor(70_000);
    const { dialogs, transactions, pendingRequests, timers } = endpoint.facts;
    assert.deepEqual(
      { dialogs, transactions, pendingRequests },
      { dialogs: DIALOGS, transactions: 0, pendingRequests: 0 },
    );
    assert.equal(timers, headers.length === 0 ? 0 : DIALOGS);
    const bytes = (heapBytes() - before) / DIALOGS;
    t.diagnostic(`${Math.round(bytes)} bytes per dialog`);
    assert.ok(bytes <= BYTES_MAX, `${bytes} bytes per dialog`);
    assert.ok(endpoint.facts.dialogs === DIALOGS); // alive until here
  });
