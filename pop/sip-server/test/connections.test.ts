// Bounds of connections, IPv6, several addresses, and where responses go.

import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { test } from "node:test";
import { headerValue } from "../core/message/message.ts";
import { responseFlow } from "../core/user-agent/response-flow.ts";
import { event, offered, openStage, QUICK, scenario, until } from "./application.ts";
import { requestOf } from "./messages.ts";
import { aRequest, aResponse, SDP } from "./peer.ts";

const local = { host: "127.0.0.1", port: 0 };

async function opened(port: number, localAddress = "127.0.0.1"): Promise<Socket> {
  const socket = connect({ host: "127.0.0.1", port, localAddress });
  socket.on("error", () => {});
  await once(socket, "connect");
  return socket;
}
/** Connects where it is not wanted. */
const refused = (port: number, localAddress: string): Promise<unknown> => {
  const socket = connect({ host: "127.0.0.1", port, localAddress });
  socket.on("error", () => {});
  return closed(socket);
};
const closed = (socket: Socket): Promise<unknown> =>
  new Promise((resolve) => {
    socket.resume().once("close", resolve);
  });

scenario(
  "a listener has so many connections, an address so many of them; who is one too many is let go at once",
  async (stage) => {
    const { counters } = stage.server.endpoint;
    const fault = (name: string) => counters.get("connection_faults", `listener="tcp",transport="tcp",fault="${name}"`);
    const first = await opened(stage.tcpPort, "127.0.0.2");
    const second = await opened(stage.tcpPort, "127.0.0.2");
    await refused(stage.tcpPort, "127.0.0.2");
    assert.equal(fault("too-many-from-source"), 1);
    const third = await opened(stage.tcpPort, "127.0.0.3");
    await refused(stage.tcpPort, "127.0.0.4");
    assert.equal(fault("too-many-connections"), 1);
    first.destroy();
    await until(() => [...stage.server.endpoint.listeners()].some(({ connections }) => connections === 2), "one less");
    const fourth = await opened(stage.tcpPort, "127.0.0.4");
    for (const socket of [second, third, fourth]) socket.destroy();
  },
  { connections: { max: 3, perSourceMax: 2 } },
);

scenario(
  "who says nothing, or half a message byte by byte, is let go in time; who pings is not",
  async (stage) => {
    const { counters } = stage.server.endpoint;
    const fault = (name: string) => counters.get("connection_faults", `listener="tcp",transport="tcp",fault="${name}"`);
    const good = await stage.tcpPeer();
    const call = good.call(`sip:here@127.0.0.1:${stage.tcpPort}`);
    good.sendText(`${call.lines("OPTIONS", good.branch()).join("\r\n")}\r\nContent-Length: 0\r\n\r\n`);
    await good.next(aResponse(503));
    const silent = await opened(stage.tcpPort);
    const slow = await opened(stage.tcpPort);
    const drip = setInterval(() => slow.write("x"), 20);
    slow.write("OPTIONS sip:a@b SIP/2.0\r\nX: ");
    await Promise.all([closed(silent), closed(slow)]);
    clearInterval(drip);
    assert.equal(fault("silent"), 1);
    assert.equal(fault("half-message"), 1);
    good.sendText(`${call.lines("OPTIONS", good.branch()).join("\r\n")}\r\nContent-Length: 0\r\n\r\n`);
    await good.next(aResponse(503));
  },
  { connections: { firstMessageMs: 400, halfMessageMs: 200 } },
);

scenario("a message without Content-Length is answered 400 over a stream, and its connection ends", async (stage) => {
  const alice = await stage.tcpPeer();
  const call = alice.call(`sip:here@127.0.0.1:${stage.tcpPort}`);
  alice.sendText(`${call.lines("OPTIONS", alice.branch()).join("\r\n")}\r\n\r\n`);
  await alice.next(aResponse(400, "OPTIONS"));
  await until(
    () => [...stage.server.endpoint.listeners()].every(({ connections }) => (connections ?? 0) === 0),
    "ended",
  );
});

scenario("OPTIONS nobody asked for: 200 while somebody takes calls, 503 when nobody does", async (stage) => {
  const alice = await stage.udpPeer();
  const ask = () => {
    const call = alice.call(`sip:127.0.0.1:${stage.udpPort}`);
    const lines = call
      .lines("OPTIONS", alice.branch())
      .map((line) => line.replace("Max-Forwards: 70", "Max-Forwards: 0"));
    alice.sendText(`${lines.join("\r\n")}\r\nContent-Length: 0\r\n\r\n`);
  };
  ask();
  await alice.next(aResponse(503, "OPTIONS"));
  const srf = await stage.application();
  srf.invite(() => {});
  await srf.request(`sip:peer@127.0.0.1:${alice.port}`, { method: "MESSAGE" }).catch(() => {}); // the route has arrived by then
  ask();
  const answer = await alice.next(aResponse(200, "OPTIONS"));
  assert.match(headerValue(answer, "allow") ?? "", /INVITE/);
});

test("IPv6: a call over UDP and over TCP, with brackets where they belong and none where they do not", async () => {
  const at = { host: "::1", port: 0 };
  const stage = await openStage({
    listen: [
      { transport: "udp", ...at },
      { transport: "udp", ...local },
      { transport: "tcp", ...at },
    ],
  });
  try {
    const srf = await stage.application();
    const invited = offered(srf, "invite");
    const alice = await stage.udpPeer("::1");
    const port = stage.server.points[0]?.port;
    const call = alice.call(`sip:answer@[::1]:${port}`);
    call.invite();
    const { req, res } = await invited;
    const dialog = await srf.createUAS(req, res, { localSdp: SDP });
    const answer = await call.answered();
    assert.equal(headerValue(answer, "contact"), `<sip:[::1]:${port}>`);
    assert.match(headerValue(answer, "via") ?? "", /^SIP\/2\.0\/UDP \[::1\]:\d+;branch=[^;]+;rport=\d+;received=::1$/);
    call.ack();
    await event(dialog, "ack");
    const ended = dialog.destroy();
    const bye = await alice.next(aRequest("BYE"));
    assert.match(headerValue(bye, "via") ?? "", new RegExp(`^SIP/2\\.0/UDP \\[::1\\]:${port};`));
    alice.respond(bye, 200, "OK");
    await ended;
    // Nobody there: refused by the right family's listener, not sent astray.
    await assert.rejects(srf.createUAC("sip:bob@[::1]:9;transport=tcp", { localSdp: SDP }), { status: 503 });
  } finally {
    await stage.close();
  }
});

test("behind a NAT: strangers see the external address, neighbours our own; responses to either are ours", async () => {
  const stage = await openStage({
    ...QUICK,
    listen: [
      { transport: "udp", name: "carriers", ...local, externalHost: "198.51.100.7", localNets: ["127.0.0.2/32"] },
    ],
  });
  try {
    const port = stage.udpPort;
    assert.equal(stage.server.points[0]?.id, `udp/198.51.100.7:${port}`);
    const srf = await stage.application();
    for (const [address, named] of [
      ["127.0.0.1", "198.51.100.7"],
      ["127.0.0.2", "127.0.0.1"],
    ] as const) {
      const bob = await stage.udpPeer(address);
      const called = srf.createUAC(`sip:bob@${address}:${bob.port}`, { localSdp: SDP });
      const invite = await bob.next(aRequest("INVITE"));
      assert.match(headerValue(invite, "via") ?? "", new RegExp(`^SIP/2.0/UDP ${named}:${port};`));
      assert.match(headerValue(invite, "contact") ?? "", new RegExp(`${named}:${port}`));
      bob.respond(invite, 486, "Busy Here");
      await assert.rejects(called, { status: 486 });
    }
  } finally {
    await stage.close();
  }
});

test("where a response goes: the source, the port of the Via or rport, maddr, a multicast group with its ttl", () => {
  const from = { pointId: "p", transport: "udp", address: "192.0.2.7", port: 6000, connection: undefined } as const;
  const to = (via: string, transport: "udp" | "tls" = "udp", isTrusted = true) => {
    const request = requestOf("OPTIONS");
    const params = via.slice(via.indexOf(";"));
    const [, port] = via.slice(0, via.indexOf(";")).split(":");
    const flow = responseFlow(
      { ...request, via: { ...request.via, port: port === undefined ? undefined : Number(port), params } },
      { ...from, transport },
      () => isTrusted,
    );
    return `${flow.address} ${flow.port}${flow.ttl === undefined ? "" : ` ttl ${flow.ttl}`}`;
  };
  assert.equal(to("a:5070;branch=1"), "192.0.2.7 5070");
  assert.equal(to("a;branch=1"), "192.0.2.7 5060");
  assert.equal(to("a:5070;rport=6000;branch=1"), "192.0.2.7 6000");
  assert.equal(to("a:5070;maddr=192.0.2.9;branch=1"), "192.0.2.9 5070");
  assert.equal(to("a:5070;maddr=192.0.2.9;branch=1", "udp", false), "192.0.2.7 5070");
  assert.equal(to("a:5070;maddr=192.0.2.9;rport=6000;branch=1", "udp", false), "192.0.2.7 6000");
  assert.equal(to("a:5070;maddr=192.0.2.7;rport=6000;branch=1", "udp", false), "192.0.2.7 5070");
  assert.equal(to("a;maddr=224.2.0.1;branch=1", "udp", false), "224.2.0.1 5060 ttl 1");
  assert.equal(to("a;maddr=224.2.0.1;ttl=16;branch=1"), "224.2.0.1 5060 ttl 16");
  assert.equal(to("a;maddr=224.2.0.1;branch=1"), "224.2.0.1 5060 ttl 1");
  assert.equal(to("a;maddr=somewhere.example;branch=1"), "192.0.2.7 5060");
  assert.equal(to("a;maddr=192.0.2.9;branch=1", "tls"), "192.0.2.7 5061");
});
