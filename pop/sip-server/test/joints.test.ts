// Where two mechanisms meet in one call: challenges and CANCEL, 100rel and re-INVITE, orphans and held BYEs, lost connections
// and ringing, bugs and transactions.

import assert from "node:assert/strict";
import { test } from "node:test";
import { SimWorld } from "../../../kernel/sim/world.ts";
import type { EndpointSettings } from "../app/endpoint.ts";
import { OPEN_ACCESS } from "../app/guard/request-gate.ts";
import { USER_AGENT_LIMITS } from "../core/limits.ts";
import { headerValue, type SipRequest } from "../core/message/message.ts";
import { finish, SDP } from "./peer.ts";
import { type Heard, SimulatedApplication, SimulatedHost } from "./simulated.ts";
import { acknowledged, PHONE, SimulatedPhone } from "./simulated-phone.ts";

const SERVER = "10.0.0.1";

function stage(settings: Partial<EndpointSettings> = {}) {
  const world = new SimWorld(1);
  const host = new SimulatedHost(world, SERVER, settings);
  const phone = new SimulatedPhone(world, SERVER);
  return { world, host, phone, application: host.application };
}
const isIdle = (host: SimulatedHost) => assert.ok(host.isIdle, JSON.stringify(host.endpoint.facts));

/** The phone has called; the application answers, and the phone acknowledges. */
function called(headers: string[] = [], settings: Partial<EndpointSettings> = {}) {
  const at = stage(settings);
  const { application } = at;
  let dialogId = "";
  application.onHeard = (heard) => {
    if (heard.what === "INVITE") application.say(`sip|${heard.transactionId}|\r\nSIP/2.0 200 OK\r\n\r\n${SDP}`);
    if (heard.what === "ACK") ({ dialogId } = heard);
  };
  const call = at.phone.call(`sip:app@${SERVER}`, { headers });
  call.invite();
  at.world.runFor(100);
  acknowledged(at.phone, call);
  at.world.runFor(100);
  application.onHeard = () => {};
  return { ...at, call, dialogId };
}

test("a CANCEL waits for the first word to the INVITE that carries the proof, not to the one that was challenged", () => {
  const passwords = () => [{ realm: undefined, host: undefined, username: "u", password: "p" }];
  const { world, host, phone, application } = stage({ access: { ...OPEN_ACCESS, passwords } });
  phone.onMessage = (message) => {
    if (message.kind !== "request" || message.method !== "INVITE") return;
    if (headerValue(message, "proxy-authorization") === undefined) {
      phone.respond(message, 100, "Trying");
      phone.respond(message, 407, "Prove it", {
        headers: ['Proxy-Authenticate: Digest realm="r",nonce="n",qop="auth"'],
      });
    }
  };
  application.request("INVITE", "", `sip:bob@${PHONE}`);
  world.runFor(100);
  assert.equal(phone.requests("INVITE").length, 2);
  application.cancel();
  world.runFor(100);
  assert.equal(phone.requests("CANCEL").length, 0, "the second INVITE may not have arrived yet: RFC 3261 §9.1");
  const again = phone.lastOf("INVITE");
  phone.respond(again, 180, "Ringing");
  world.runFor(100);
  const cancel = phone.lastOf("CANCEL");
  assert.equal(cancel.via.branch, again.via.branch);
  phone.respond(cancel, 200, "OK");
  phone.respond(again, 487, "Request Terminated");
  world.runFor(70_000);
  assert.equal(application.count("487"), 1);
  isIdle(host);
});

test("the RSeq of a re-INVITE's reliable 1xx begins anew (RFC 3262 §3: within a transaction)", () => {
  const { world, phone, application, host } = stage();
  let dialogId = "";
  const progress = (invite: SipRequest, rseq: number) =>
    phone.respond(invite, 183, "Progress", { headers: ["Require: 100rel", `RSeq: ${rseq}`], body: SDP });
  phone.onMessage = (message) => {
    if (message.kind !== "request") return;
    if (message.method === "INVITE") progress(message, 7);
    else if (message.method === "PRACK") {
      phone.respond(message, 200, "OK");
      phone.respond(phone.lastOf("INVITE"), 200, "OK");
    } else if (message.method === "BYE") phone.respond(message, 200, "OK");
  };
  application.onHeard = (heard) => {
    dialogId = heard.dialogId || dialogId;
    if (heard.what === "183")
      application.say(
        `sip||${dialogId}\r\nPRACK sip:x SIP/2.0\r\nRAck: 7 ${/\r\nCSeq: (.*)\r\n/.exec(heard.text)?.[1]}\r\n\r\n`,
      );
    if (heard.what === "200" && /CSeq: \d+ INVITE/.test(heard.text)) application.request("ACK", dialogId);
  };
  application.say(`sip||\r\nINVITE sip:bob@${PHONE} SIP/2.0\r\nSupported: 100rel\r\n\r\n`);
  world.runFor(500);
  assert.equal(phone.requests("ACK").length, 1);
  application.say(`sip||${dialogId}\r\nINVITE sip:x SIP/2.0\r\nSupported: 100rel\r\n\r\n`);
  world.runFor(500);
  assert.equal(application.count("183"), 2);
  assert.equal(phone.requests("PRACK").length, 2);
  assert.equal(phone.requests("ACK").length, 2);
  application.request("BYE", dialogId);
  world.runFor(70_000);
  isIdle(host);
});

test("an application leaves for good while its BYE waits for an ACK: one BYE, and nothing is left", () => {
  const { world, host, phone, application } = stage({ limits: { ...USER_AGENT_LIMITS, orphanGraceMs: 5_000 } });
  application.onHeard = (heard) => {
    if (heard.what === "INVITE") application.respond(heard, 200);
  };
  phone.onMessage = (message) => {
    if (message.kind === "request" && message.method === "BYE") phone.respond(message, 200, "OK");
  };
  const call = phone.call(`sip:app@${SERVER}`);
  call.invite();
  world.runFor(100);
  const text = application.replies.at(-1) ?? "";
  const dialogId = text.split("\r\n", 1)[0]?.split("|")[11] ?? "";
  assert.match(dialogId, /from-tag/);
  application.request("BYE", dialogId);
  world.runFor(100);
  application.leave();
  world.runFor(100_000);
  assert.equal(phone.requests("BYE").length, 1);
  isIdle(host);
});

test("a bug in whoever hears an answer leaves no transaction behind, and copies do not pile up in it", () => {
  const { world, host, phone, application, dialogId, call } = called();
  application.onHeard = () => {
    throw new Error("a bug");
  };
  phone.onMessage = (message) => {
    if (message.kind !== "request") return;
    if (message.method === "INVITE") for (let copy = 0; copy < 3; copy++) phone.respond(message, 486, "Busy");
    else for (let copy = 0; copy < 3; copy++) phone.respond(message, 200, "OK");
  };
  application.request("INFO", dialogId);
  world.runFor(100);
  application.request("INVITE", dialogId);
  world.runFor(100);
  application.onHeard = () => {};
  application.request("BYE", dialogId);
  world.runFor(100_000);
  assert.ok(host.endpoint.counters.total("internal_errors") >= 2);
  assert.equal(phone.requests("ACK").length, 3, "every copy of the refusal is acknowledged");
  assert.equal(host.endpoint.facts.transactions, 0);
  assert.ok(call.cseq > 0);
});

test("a bug in whoever hears that a message could not leave, or that an application went, ends no process", () => {
  const world = new SimWorld(1);
  const host = new SimulatedHost(world, SERVER);
  const failures: (() => void)[] = [];
  const tcp = { id: "tcp/x", name: "tcp", transport: "tcp", address: SERVER, port: 5060, host: SERVER } as const;
  host.endpoint.addTransport({ point: tcp, send: (_text, _to, failed) => failures.push(failed), stop: async () => {} });
  host.application.onHeard = () => {
    throw new Error("a bug");
  };
  host.application.request("OPTIONS", "", `sip:bob@${PHONE};transport=tcp`);
  assert.equal(failures.length, 1);
  for (const failed of failures) failed();
  assert.equal(host.application.count("503"), 1);
  assert.equal(host.endpoint.counters.total("internal_errors"), 1);
  world.runFor(100_000);
  isIdle(host);
});

test("a caller with the largest CSeq there is can be hung up on", () => {
  const { world, phone, application, host } = stage();
  let dialogId = "";
  application.onHeard = (heard) => {
    if (heard.what === "INVITE") application.respond(heard, 200);
    if (heard.what === "ACK") ({ dialogId } = heard);
  };
  phone.onMessage = (message) => {
    if (message.kind === "request" && message.method === "BYE") phone.respond(message, 200, "OK");
  };
  const call = phone.call(`sip:app@${SERVER}`);
  call.cseq = 2 ** 31 - 1;
  call.invite();
  world.runFor(100);
  acknowledged(phone, call);
  world.runFor(100);
  application.request("BYE", dialogId);
  world.runFor(70_000);
  assert.ok(phone.lastOf("BYE").cseq.number < 2 ** 31, "RFC 3261 §8.1.1.5");
  isIdle(host);
});

test("a caller whose connection is gone while it rings, and that cannot be called back, has given up: the application hears a CANCEL", () => {
  const world = new SimWorld(1);
  const host = new SimulatedHost(world, SERVER);
  const { application, endpoint } = host;
  let isUp = true;
  const tcp = { id: "tcp/x", name: "tcp", transport: "tcp", address: SERVER, port: 5060, host: SERVER } as const;
  endpoint.addTransport({
    point: tcp,
    send: (_text, _to, failed) => {
      if (!isUp) world.after(1, failed);
    },
    stop: async () => {},
  });
  const flow = { pointId: tcp.id, transport: "tcp", address: PHONE, port: 40_000, connection: "tcp/x#1" } as const;
  let invite: Heard | undefined;
  application.onHeard = (heard) => {
    if (heard.what === "INVITE") invite = heard;
  };
  endpoint.onMessage(
    `INVITE sip:app@${SERVER} SIP/2.0\r\nVia: SIP/2.0/TCP ${PHONE}:5060;branch=z9hG4bK-a\r\nFrom: <sip:a@${PHONE}>;tag=a\r\nTo: <sip:app@${SERVER}>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\nMax-Forwards: 70\r\nContact: <sip:a@${PHONE};transport=tcp>\r\nContent-Length: 0\r\n\r\n`,
    flow,
    tcp,
  );
  assert.ok(invite !== undefined);
  isUp = false;
  endpoint.onConnectionLost(flow);
  application.respond(invite, 180);
  world.runFor(1_000);
  assert.equal(application.count("CANCEL"), 1);
  world.runFor(100_000);
  isIdle(host);
});

test("a session that ends where the peer cannot be reached: the application is told all the same", () => {
  const { world, host, phone, application } = stage();
  application.onHeard = (heard) => {
    if (heard.what === "INVITE") application.respond(heard, 200);
  };
  const call = phone.call(`sip:app@${SERVER}`, { headers: ["Supported: timer", "Session-Expires: 90;refresher=uac"] });
  const text = finish(call.lines("INVITE", phone.branch(), call.facts.headers), SDP);
  phone.sendText(text.replace(/\r\nContact: [^\r]*/, "\r\nContact: <sip:alice@[2001:db8::1]>"));
  world.runFor(100);
  acknowledged(phone, call);
  world.runFor(300_000);
  assert.equal(application.heard.filter(({ transactionId }) => transactionId === "unsolicited").length, 1);
  isIdle(host);
});

test("an application that names itself keeps what it has proven to own when its new connection is faster than the end of the old", () => {
  const { world, host, phone, application, dialogId } = called();
  phone.onMessage = (message) => {
    if (message.kind === "request" && message.method === "BYE") phone.respond(message, 200, "OK");
  };
  application.leave();
  const named = new SimulatedApplication(host.endpoint, "instance:a", "named");
  named.request("INFO", dialogId); // only who had the dialog knows its name
  const again = new SimulatedApplication(host.endpoint, "instance:a", "again");
  named.leave();
  again.leave();
  world.runFor(200_000);
  assert.equal(phone.requests("BYE").length, 1, "nobody speaks for the call any more");
  isIdle(host);
});

test("a session timer does not begin again in a dialog that has had its BYE and lives for a subscription", () => {
  const { world, phone, application, call, host } = called([
    "Supported: timer",
    "Allow: INVITE, UPDATE",
    "Session-Expires: 90;refresher=uas",
  ]);
  application.onHeard = (heard) => {
    if (heard.what === "SUBSCRIBE" || heard.what === "BYE") application.respond(heard, 200);
  };
  call.request("SUBSCRIBE", ["Event: presence", "Expires: 600"]);
  world.runFor(1_000);
  let update: SipRequest | undefined;
  phone.onMessage = (message) => {
    if (message.kind === "request" && message.method === "UPDATE") update = message;
    if (message.kind === "request" && message.method === "NOTIFY") phone.respond(message, 200, "OK");
  };
  world.runFor(45_000);
  assert.ok(update !== undefined);
  call.request("BYE");
  world.runFor(100);
  phone.respond(update, 200, "OK", { headers: ["Session-Expires: 90;refresher=uac"] });
  world.runFor(200_000);
  assert.equal(phone.requests("UPDATE").filter(({ cseq }) => cseq.number !== update?.cseq.number).length, 0);
  assert.equal(host.endpoint.facts.dialogs, 1, "the subscription goes on");
});

test("a call that came by two ways is known for as long as it rings, however long ago the second copy was refused", () => {
  const { world, phone, application } = stage();
  application.onHeard = (heard) => {
    if (heard.what === "INVITE") application.say(`sip|${heard.transactionId}|\r\nSIP/2.0 100 Trying\r\n\r\n`);
  };
  const call = phone.call(`sip:app@${SERVER}`);
  for (let copy = 0; copy < 3; copy++) {
    call.invite();
    world.runFor(40_000);
  }
  assert.equal(application.count("INVITE"), 1, "RFC 3261 §8.2.2.2");
});

test("a call that was challenged first is one call after a takeover: its first INVITE has nobody to tell", () => {
  const passwords = () => [{ realm: undefined, host: undefined, username: "u", password: "p" }];
  const { world, host, phone, application } = stage({ access: { ...OPEN_ACCESS, passwords } });
  phone.onMessage = (message) => {
    if (message.kind !== "request" || message.method !== "INVITE") return;
    if (headerValue(message, "proxy-authorization") !== undefined) phone.respond(message, 180, "Ringing");
    else phone.respond(message, 407, "Prove it", { headers: ['Proxy-Authenticate: Digest realm="r",nonce="n"'] });
  };
  application.request("INVITE", "", `sip:bob@${PHONE}`);
  world.runFor(1_000);
  host.takeOver();
  phone.respond(phone.lastOf("INVITE"), 486, "Busy Here");
  world.runFor(1_000);
  assert.equal(application.count("486"), 1);
  host.takeOver();
  assert.equal(host.endpoint.facts.clientCalls, 0);
  world.runFor(100_000);
  isIdle(host);
});

test("a call that ended before its ACK was due is not ended twice", () => {
  const { world, host, phone, application } = stage();
  application.onHeard = (heard) => {
    if (heard.what === "INVITE") application.respond(heard, 200);
  };
  phone.onMessage = (message) => {
    if (message.kind !== "request") return;
    phone.respond(message, message.method === "UPDATE" ? 481 : 200, "Said");
  };
  phone.call(`sip:app@${SERVER}`).invite();
  world.runFor(100);
  const dialogId = (application.replies.at(-1) ?? "").split("\r\n", 1)[0]?.split("|")[11] ?? "";
  application.request("UPDATE", dialogId);
  world.runFor(100_000);
  assert.equal(phone.requests("BYE").length, 1);
  assert.equal(application.count("BYE"), 1);
  isIdle(host);
});

test("a BYE of the server's own proves itself where the peer asks for it, and once", () => {
  const passwords = () => [{ realm: undefined, host: undefined, username: "u", password: "p" }];
  for (const isRight of [true, false]) {
    const { world, host, phone, application } = called([], { access: { ...OPEN_ACCESS, passwords } });
    phone.onMessage = (message) => {
      if (message.kind !== "request" || message.method !== "BYE") return;
      const isProven = headerValue(message, "proxy-authorization") !== undefined;
      if (isProven && isRight) phone.respond(message, 200, "OK");
      else
        phone.respond(message, 407, "Prove it", {
          headers: [`Proxy-Authenticate: Digest realm="r",nonce="${isProven ? "m" : "n"}",qop="auth"`],
        });
    };
    application.leave();
    world.runFor(USER_AGENT_LIMITS.orphanGraceMs + 1_000);
    const byes = phone.requests("BYE");
    assert.deepEqual(
      byes.map((bye) => [bye.cseq.number - (byes[0]?.cseq.number ?? 0), hasProof(bye)]),
      [
        [0, false],
        [1, true],
      ],
    );
    world.runFor(70_000);
    isIdle(host);
  }
});
const hasProof = (request: SipRequest) => headerValue(request, "proxy-authorization") !== undefined;

test("a bug in the end of one orphan costs the others neither their turn nor the next", () => {
  const world = new SimWorld(1);
  const limits = { ...USER_AGENT_LIMITS, orphanByesPerSecond: 20 };
  const host = new SimulatedHost(world, SERVER, { limits });
  const phone = new SimulatedPhone(world, SERVER);
  host.application.onHeard = (heard) => {
    if (heard.what === "INVITE") host.application.respond(heard, 200);
  };
  for (let count = 0; count < 5; count++) {
    const call = phone.call(`sip:app@${SERVER}`);
    call.invite();
    world.runFor(100);
    acknowledged(phone, call);
  }
  phone.onMessage = (message) => {
    if (message.kind === "request" && message.method === "BYE") phone.respond(message, 200, "OK");
  };
  world.runFor(70_000);
  assert.equal(host.endpoint.facts.dialogs, 5);
  const send = world.send.bind(world);
  let thrown = false;
  world.send = (from, to, payload) => {
    if (!thrown && from === SERVER) {
      thrown = true;
      throw new Error("a bug");
    }
    send(from, to, payload);
  };
  host.application.leave();
  world.runFor(limits.orphanGraceMs + 5_000);
  assert.equal(host.endpoint.counters.total("internal_errors"), 1);
  assert.ok(new Set(phone.requests("BYE").map(({ callId }) => callId)).size >= 4);
});

test("a BYE that waited for the ACK is numbered after what left before it", () => {
  for (const isTaken of [false, true]) {
    const { world, host, phone, application } = stage();
    application.onHeard = (heard) => {
      if (heard.what === "INVITE") application.respond(heard, 200);
    };
    phone.onMessage = (message) => {
      if (message.kind === "request") phone.respond(message, 200, "OK");
    };
    const call = phone.call(`sip:app@${SERVER}`);
    call.invite();
    world.runFor(100);
    const dialogId = (application.replies.at(-1) ?? "").split("\r\n", 1)[0]?.split("|")[11] ?? "";
    application.request("BYE", dialogId);
    application.request("INFO", dialogId);
    world.runFor(100);
    if (isTaken) host.takeOver();
    acknowledged(phone, call);
    world.runFor(100);
    const sent = phone.received.flatMap((message) =>
      message.kind === "request" && message.method !== "ACK" ? [message] : [],
    );
    assert.deepEqual(
      sent.map(({ method }) => method),
      ["INFO", "BYE"],
    );
    assert.ok((sent[1]?.cseq.number ?? 0) > (sent[0]?.cseq.number ?? 0), "RFC 3261 §12.2.2: a lower one is refused");
    assert.match(headerValue(sent[1] as SipRequest, "cseq") ?? "", new RegExp(`^${sent[1]?.cseq.number} BYE$`));
    world.runFor(70_000);
    assert.match(application.heard.at(-1)?.text ?? "", /^SIP\/2\.0 200 [\s\S]* BYE\r\n/);
    isIdle(host);
  }
});

for (const last of [100, 180])
  test(`an INVITE of ours that hears ${last} and nothing more gets its CANCEL after ringingMs`, () => {
    const { world, host, phone, application } = stage();
    phone.onMessage = (message) => {
      if (message.kind === "request" && message.method === "INVITE") phone.respond(message, last, "Said");
    };
    application.request("INVITE", "", `sip:bob@${PHONE}`);
    world.runFor(USER_AGENT_LIMITS.ringingMs - 1_000);
    assert.equal(phone.requests("CANCEL").length, 0);
    world.runFor(2_000);
    assert.ok(phone.requests("CANCEL").length >= 1);
    world.runFor(100_000);
    assert.equal(application.count("487"), 1, "it is told although the phone says nothing");
    isIdle(host);
  });
