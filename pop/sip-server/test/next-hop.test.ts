// Calls to names: an endpoint in simulated time, name servers with a zone, and targets that do what the test says.

import assert from "node:assert/strict";
import { test } from "node:test";
import { SimWorld } from "../../../kernel/sim/world.ts";
import { Endpoint, type EndpointSettings } from "../app/endpoint.ts";
import { type Flow, type ListenPoint, type TransportName, withPort } from "../core/flow.ts";
import { USER_AGENT_LIMITS } from "../core/limits.ts";
import { headersOf, headerValue, type SipRequest } from "../core/message/message.ts";
import { parseMessage } from "../core/message/parse.ts";
import type { DnsAnswer } from "../core/next-hop/dns.ts";
import { finish } from "./peer.ts";
import { SimulatedApplication, simulatedParts } from "./simulated.ts";
import { Zone } from "./zone.ts";

const CARRIER = `
  _sip._udp.carrier.example SRV 1 0 5060 one.carrier.example
  _sip._udp.carrier.example SRV 2 0 5060 two.carrier.example
  _sip._udp.carrier.example SRV 3 0 5060 three.carrier.example
  one.carrier.example A 192.0.2.1
  two.carrier.example A 192.0.2.2
  three.carrier.example A 192.0.2.3
`;
const ONE = "udp 192.0.2.1:5060";
const TWO = "udp 192.0.2.2:5060";
const THREE = "udp 192.0.2.3:5060";
const URI = "sip:bob@carrier.example;transport=udp";
const US = "198.51.100.1";
const LINK_MS = 10;

interface Got {
  readonly request: SipRequest;
  readonly atMs: number;
}

type Target = (got: Got, reply: (status: number, headers?: readonly string[], tag?: string) => void) => void;
const says =
  (...statuses: readonly number[]): Target =>
  ({ request }, reply) => {
    if (request.method === "ACK") return;
    if (request.method !== "INVITE") reply(200);
    else for (const status of statuses) reply(status);
  };

class Stage {
  readonly world = new SimWorld(7);
  readonly endpoint: Endpoint;
  readonly application: SimulatedApplication;
  readonly targets = new Map<string, Target | "refused">();
  /** Everything that left, as "udp 192.0.2.1:5060 INVITE". */
  readonly left: string[] = [];
  readonly got: (Got & { readonly target: string })[] = [];
  zone: Zone;
  answersAfterMs = 5;
  readonly #points: ListenPoint[] = [];

  constructor(
    zone = CARRIER,
    transports: readonly TransportName[] = ["udp", "tcp"],
    settings: Partial<EndpointSettings> = {},
  ) {
    this.zone = new Zone(zone);
    const { world } = this;
    this.endpoint = new Endpoint({
      ...simulatedParts(world, US, settings),
      names: {
        ask: (question, answered) => {
          const answer: DnsAnswer = this.zone.answer(question) ?? { kind: "failed", because: "timeout" };
          world.after(this.answersAfterMs, () => answered(answer));
        },
        stop: () => {},
      },
    });
    for (const transport of transports) {
      const point = withPort({ id: "", name: "all", transport, address: US, port: 0, host: US }, 5060);
      this.#points.push(point);
      this.endpoint.addTransport({
        point,
        send: (text, to, failed) => this.#onSend(point, text, to, failed),
        stop: async () => {},
      });
    }
    this.application = new SimulatedApplication(this.endpoint);
  }

  #onSend(point: ListenPoint, text: string, to: Flow, failed: () => void): void {
    const parsed = parseMessage(text);
    assert.ok(parsed.ok);
    const key = `${to.transport} ${to.address}:${to.port}`;
    const message = parsed.value;
    this.left.push(`${key} ${message.kind === "request" ? message.method : message.status}`);
    const target = this.targets.get(key);
    if (target === "refused") this.world.after(1, failed);
    if (target === "refused" || target === undefined || message.kind !== "request") return;
    this.world.after(LINK_MS, () => {
      const got = { request: message, atMs: this.world.nowMs(), target: key };
      this.got.push(got);
      target(got, (status, headers = [], tag = key.replace(/\W/g, "")) => {
        const from: Flow = { ...to, pointId: point.id, connection: undefined };
        const reply = replyTo(message, status, to, headers, tag);
        this.world.after(LINK_MS, () => this.endpoint.onMessage(reply, from, point));
      });
    });
  }

  call(uri = URI, headers: readonly string[] = [], body = "", method = "INVITE"): void {
    const lines = [`${method} ${uri} SIP/2.0`, ...headers, ...(body === "" ? [] : ["Content-Type: application/sdp"])];
    this.application.say(`sip||\r\n${lines.join("\r\n")}\r\n\r\n${body}`);
  }

  requestsTo(target: string, method = "INVITE"): SipRequest[] {
    return this.got
      .filter((got) => got.target === target && got.request.method === method)
      .map(({ request }) => request);
  }

  /** What the application heard, as "180 486". */
  get heard(): string {
    return this.application.heard.map(({ what }) => what).join(" ");
  }

  runFor(ms: number): void {
    this.world.runFor(ms);
  }
}

function replyTo(request: SipRequest, status: number, at: Flow, headers: readonly string[], tag: string): string {
  const to = headerValue(request, "to") ?? "";
  return finish(
    [
      `SIP/2.0 ${status} Said`,
      ...headersOf(request, "via").map(({ value }) => `Via: ${value}`),
      `From: ${headerValue(request, "from")}`,
      `To: ${request.toTag === "" && status > 100 ? `${to};tag=${tag}` : to}`,
      `Call-ID: ${request.callId}`,
      `CSeq: ${request.cseq.number} ${request.cseq.method}`,
      `Contact: <sip:bob@${at.address}:${at.port}${at.transport === "tcp" ? ";transport=tcp" : ""}>`,
      ...headers,
    ],
    "",
  );
}

const AFTER_MS = USER_AGENT_LIMITS.nextTargetAfterMs;

test("the first target is dead: the second is called, as another transaction of the same request (RFC 3263 §4.3)", () => {
  const stage = new Stage();
  const silent: SipRequest[] = [];
  stage.targets.set(ONE, ({ request }) => silent.push(request));
  stage.targets.set(TWO, says(180, 200));
  stage.call();
  stage.runFor(AFTER_MS + 200);
  assert.equal(stage.heard, "180 200");
  const [first] = silent;
  const [second] = stage.requestsTo(TWO);
  assert.ok(first && second);
  assert.notEqual(second.via.branch, first.via.branch);
  const same = (request: SipRequest) =>
    request.headers.filter(({ key }) => key !== "via").map(({ name, value }) => `${name}: ${value}`);
  assert.deepEqual(same(second), same(first));
  assert.equal(second.uri, first.uri);
  // The application knows one transaction, and gets no more copies sent to the dead.
  assert.equal(new Set(stage.application.heard.map(({ transactionId }) => transactionId)).size, 1);
  const copies = silent.length;
  stage.runFor(40_000);
  assert.equal(silent.length, copies);
});

test("the next call goes to the second target at once: the first is in quarantine, until its probation", () => {
  const stage = new Stage();
  stage.targets.set(TWO, says(486));
  stage.call();
  stage.runFor(AFTER_MS + 200);
  assert.equal(stage.endpoint.facts.targetsInQuarantine, 1);
  stage.left.length = 0;
  stage.call();
  stage.runFor(500);
  assert.deepEqual(stage.left, [`${TWO} INVITE`, `${TWO} ACK`]);
  // 30 s later one call tries it again, and a second one at the same time does not.
  stage.runFor(31_000);
  stage.targets.set(ONE, says(486));
  stage.left.length = 0;
  stage.call();
  stage.call();
  stage.runFor(1_000);
  assert.deepEqual(stage.left.filter((line) => line.endsWith("INVITE")).sort(), [`${ONE} INVITE`, `${TWO} INVITE`]);
  // It answered: trusted again.
  stage.left.length = 0;
  stage.call();
  stage.runFor(1_000);
  assert.equal(stage.left[0], `${ONE} INVITE`);
  assert.equal(stage.endpoint.facts.targetsInQuarantine, 0);
});

test("503 moves on at once, its ACK is ours; Retry-After keeps later calls away for as long as it says", () => {
  const stage = new Stage();
  stage.targets.set(ONE, ({ request }, reply) => {
    if (request.method === "INVITE") reply(503, ["Retry-After: 100 (I'm in a meeting)"]);
  });
  stage.targets.set(TWO, says(486));
  stage.call();
  stage.runFor(200);
  assert.equal(stage.heard, "486");
  assert.equal(stage.requestsTo(ONE, "ACK").length, 1);
  stage.left.length = 0;
  stage.runFor(90_000);
  stage.call();
  stage.runFor(200);
  assert.equal(stage.left[0], `${TWO} INVITE`);
  stage.runFor(10_000);
  stage.left.length = 0;
  stage.call();
  stage.runFor(200);
  assert.equal(stage.left[0], `${ONE} INVITE`);
});

test("503 without Retry-After is only this request's (RFC 3261 §21.5.4)", () => {
  const stage = new Stage();
  stage.targets.set(ONE, says(503));
  stage.targets.set(TWO, says(486));
  stage.call();
  stage.runFor(200);
  assert.equal(stage.endpoint.facts.targetsInQuarantine, 0);
  assert.equal(stage.heard, "486");
});

for (const status of [302, 404, 408, 486, 500, 603])
  test(`${status} is an answer: nobody else is called`, () => {
    const stage = new Stage();
    stage.targets.set(ONE, says(100, status));
    stage.call();
    stage.runFor(60_000);
    assert.equal(stage.heard, String(status));
    assert.equal(stage.left.filter((line) => line.startsWith(TWO)).length, 0);
  });

test("once it has rung nobody else is called, not even after 503", () => {
  const stage = new Stage();
  stage.targets.set(ONE, says(180, 503));
  stage.targets.set(TWO, says(200));
  stage.call();
  stage.runFor(1_000);
  assert.equal(stage.heard, "180 503");
  assert.deepEqual(stage.requestsTo(TWO), []);
});

test("100 is a sign of life: the target may take its time", () => {
  const stage = new Stage();
  stage.targets.set(ONE, ({ request }, reply) => {
    if (request.method !== "INVITE") return;
    reply(100);
    stage.world.after(20_000, () => reply(200));
  });
  stage.call();
  stage.runFor(21_000);
  assert.equal(stage.heard, "200");
  assert.equal(
    stage.left.some((line) => line.startsWith(TWO)),
    false,
  );
});

test("a target that cannot be reached is passed over at once; all of them: one 503 of ours", () => {
  const stage = new Stage(CARRIER.replaceAll("_udp", "_tcp"));
  for (const n of [1, 2, 3]) stage.targets.set(`tcp 192.0.2.${n}:5060`, "refused");
  stage.call(URI.replace("udp", "tcp"));
  stage.runFor(100);
  assert.equal(stage.heard, "503");
  assert.deepEqual(
    stage.left,
    [1, 2, 3].map((n) => `tcp 192.0.2.${n}:5060 INVITE`),
  );
  assert.equal(stage.endpoint.facts.clientCalls, 0);
});

test("every target answers 503: the application hears the last one", () => {
  const stage = new Stage();
  for (const target of [ONE, TWO]) stage.targets.set(target, says(503));
  stage.targets.set(THREE, ({ request }, reply) => {
    if (request.method === "INVITE") reply(503, ["X-Last: yes"]);
  });
  stage.call();
  stage.runFor(500);
  assert.equal(stage.heard, "503");
  assert.match(stage.application.heard[0]?.text ?? "", /X-Last: yes/);
});

test("every target is silent: 408 after the last one's Timer B", () => {
  const stage = new Stage();
  stage.call();
  stage.runFor(2 * AFTER_MS + 32_200);
  assert.equal(stage.heard, "408");
  assert.ok(stage.left.includes(`${THREE} INVITE`));
  stage.runFor(40_000);
  assert.equal(stage.endpoint.facts.transactions, 0);
  assert.equal(stage.endpoint.facts.timers, 0);
});

test("the next target is reached over another transport: its Contact says so, From and To stay", () => {
  const stage = new Stage(`
    _sip._udp.a.example SRV 0 0 5060 h.a.example
    _sip._tcp.a.example SRV 0 0 5062 h.a.example
    h.a.example A 192.0.2.7`);
  const first: SipRequest[] = [];
  stage.targets.set("udp 192.0.2.7:5060", ({ request }) => first.push(request));
  stage.targets.set("tcp 192.0.2.7:5062", says(486));
  stage.call("sip:bob@a.example");
  stage.runFor(AFTER_MS + 200);
  assert.equal(stage.heard, "486");
  const [before] = first;
  const [after] = stage.requestsTo("tcp 192.0.2.7:5062");
  assert.ok(before && after);
  for (const key of ["from", "to", "call-id", "cseq"]) assert.equal(headerValue(after, key), headerValue(before, key));
  assert.equal(headerValue(before, "contact"), `<sip:${US}:5060>`);
  assert.equal(headerValue(after, "contact"), `<sip:${US}:5060;transport=tcp>`);
});

test("a CANCEL before anybody has answered waits for the present target, and no other is called", () => {
  const stage = new Stage();
  const rings =
    (afterMs: number): Target =>
    ({ request }, reply) => {
      if (request.method === "INVITE") stage.world.after(afterMs, () => reply(180));
      if (request.method !== "CANCEL") return;
      reply(200);
    };
  stage.targets.set(TWO, rings(1_000));
  stage.call();
  stage.runFor(AFTER_MS + 200); // now at the second
  stage.application.cancel();
  stage.runFor(500);
  assert.deepEqual(stage.requestsTo(TWO, "CANCEL"), []);
  stage.runFor(1_000);
  const [invite] = stage.requestsTo(TWO);
  const [cancel] = stage.requestsTo(TWO, "CANCEL");
  assert.equal(cancel?.via.branch, invite?.via.branch);
  stage.runFor(10_000);
  assert.equal(
    stage.left.some((line) => line.startsWith(THREE)),
    false,
  );
});

test("a provisional of a target that then refuses does not let a CANCEL overtake the next INVITE (RFC 3261 §9.1)", () => {
  const stage = new Stage();
  stage.targets.set(ONE, says(100, 503));
  stage.targets.set(TWO, ({ request }, reply) => {
    if (request.method === "INVITE") stage.world.after(1_000, () => reply(100));
  });
  stage.call();
  stage.runFor(200);
  stage.application.cancel();
  stage.runFor(500);
  assert.equal(
    stage.left.some((line) => line.endsWith("CANCEL")),
    false,
  );
  stage.runFor(1_000);
  assert.equal(stage.left.filter((line) => line === `${TWO} CANCEL`).length > 0, true);
});

test("a target given up rings after all: it is cancelled", () => {
  const stage = new Stage();
  stage.targets.set(ONE, ({ request }, reply) => {
    if (request.method === "INVITE") stage.world.after(AFTER_MS + 500, () => reply(180));
    if (request.method === "CANCEL") reply(200);
  });
  stage.targets.set(TWO, says(180));
  stage.call();
  stage.runFor(AFTER_MS + 2_000);
  assert.equal(stage.heard, "180");
  const [invite] = stage.requestsTo(ONE);
  assert.equal(stage.requestsTo(ONE, "CANCEL")[0]?.via.branch, invite?.via.branch);
  assert.deepEqual(stage.requestsTo(TWO, "CANCEL"), []);
});

test("a target given up accepts after all: acknowledged and ended, the application does not notice", () => {
  const stage = new Stage();
  stage.targets.set(ONE, ({ request }, reply) => {
    if (request.method === "INVITE") stage.world.after(AFTER_MS + 500, () => reply(200));
    if (request.method === "BYE") reply(200);
  });
  stage.targets.set(TWO, says(180));
  stage.call();
  stage.runFor(AFTER_MS + 2_000);
  assert.equal(stage.heard, "180");
  assert.ok(stage.requestsTo(ONE, "ACK").length > 0);
  assert.equal(stage.requestsTo(ONE, "BYE").length, 1);
  assert.equal(stage.endpoint.facts.dialogs, 1); // the early one
});

test("a request that is no INVITE waits for Timer F: it may have been executed (RFC 4320)", () => {
  const stage = new Stage();
  stage.targets.set(TWO, says(200));
  stage.call(URI, ["Content-Type: text/plain"], "", "OPTIONS");
  stage.runFor(30_000);
  assert.equal(stage.heard, "");
  stage.runFor(3_000);
  assert.equal(stage.heard, "200");
});

test("a name that leads nowhere is a 503 of ours, after the echo", () => {
  const stage = new Stage("");
  stage.call("sip:bob@nobody.example");
  stage.runFor(100);
  assert.equal(stage.heard, "503");
});

test("somebody who trips over its answer does not take it from the others who wait for the same name", () => {
  const stage = new Stage("");
  stage.application.onHeard = () => {
    stage.application.onHeard = () => {};
    throw new Error("a bug");
  };
  for (let call = 0; call < 3; call++) stage.call("sip:bob@nobody.example;transport=udp");
  stage.runFor(100);
  assert.equal(stage.heard, "503 503 503");
  assert.equal(stage.endpoint.counters.get("internal_errors", 'input="name"'), 1);
});

test("many calls to one name ask one question of each kind; the answers are remembered", () => {
  const stage = new Stage();
  stage.targets.set(ONE, says(486));
  for (let call = 0; call < 50; call++) stage.call();
  assert.equal(stage.endpoint.facts.nameQuestions, 1);
  stage.runFor(500);
  assert.equal(stage.application.count("486"), 50);
  assert.deepEqual(stage.zone.asked, [
    "SRV _sip._udp.carrier.example",
    "A one.carrier.example",
    "A two.carrier.example",
    "A three.carrier.example",
  ]);
  stage.runFor(299_000);
  stage.call();
  assert.equal(stage.zone.asked.length, 4);
  stage.runFor(2_000);
  stage.call();
  assert.equal(stage.zone.asked.length, 5);
});

test("the servers are gone: what they last said is used, for every call at once but the first", () => {
  const stage = new Stage();
  stage.targets.set(ONE, says(486));
  stage.call();
  stage.runFor(1_000);
  const names = ["one", "two", "three"].map((name) => `${name}.carrier.example SILENT A`);
  stage.zone = new Zone(["_sip._udp.carrier.example SILENT SRV", ...names].join("\n"));
  stage.answersAfterMs = 3_000;
  stage.runFor(300_000);
  stage.call();
  stage.call();
  stage.runFor(900);
  assert.equal(stage.application.count("486"), 1);
  // One second is what the servers get while an old answer is at hand; the addresses get theirs after that.
  stage.runFor(1_400);
  assert.equal(stage.application.count("486"), 3);
  stage.runFor(5_000);
  stage.call();
  stage.runFor(100);
  assert.equal(stage.application.count("486"), 4);
});

test("questions are bounded: a further name fails at once", () => {
  const stage = new Stage("");
  stage.answersAfterMs = 1_000_000;
  for (let call = 0; call < 600; call++) stage.call(`sip:bob@h${call}.example;transport=udp`);
  assert.ok(stage.endpoint.facts.nameQuestions <= 512);
  assert.equal(stage.application.count("503"), 600 - 512);
  // The others end with the deadline of their resolution.
  stage.runFor(6_000);
  assert.equal(stage.application.count("503"), 600);
});

const BIG = `v=0\r\n${"a=padding\r\n".repeat(150)}`;

test("an INVITE too long for UDP goes by TCP, with a Via that says so; the call goes on over what the peer names", () => {
  const stage = new Stage();
  stage.targets.set("tcp 192.0.2.1:5060", says(180, 200));
  stage.call(URI, [], BIG);
  stage.runFor(500);
  assert.equal(stage.heard, "180 200");
  const [invite] = stage.requestsTo("tcp 192.0.2.1:5060");
  assert.equal(invite?.via.transport, "TCP");
  assert.equal(headerValue(invite ?? assert.fail(), "contact"), `<sip:${US}:5060>`);
  assert.equal(stage.left.length, 1);
});

test("also to an address, and although the URI says UDP: RFC 3261 §18.1.1 knows no exception", () => {
  const stage = new Stage();
  stage.targets.set("tcp 192.0.2.9:5070", says(486));
  stage.call("sip:bob@192.0.2.9:5070;transport=udp", [], BIG);
  stage.runFor(500);
  assert.equal(stage.heard, "486");
});

test("nobody listens on TCP there: the same INVITE goes by UDP after all, and the next one at once", () => {
  const stage = new Stage();
  stage.targets.set("tcp 192.0.2.1:5060", "refused");
  stage.targets.set(ONE, says(486));
  stage.call(URI, [], BIG);
  stage.runFor(500);
  assert.equal(stage.heard, "486");
  const [invite] = stage.requestsTo(ONE);
  assert.equal(invite?.via.transport, "UDP");
  assert.deepEqual(stage.left, ["tcp 192.0.2.1:5060 INVITE", `${ONE} INVITE`, `${ONE} ACK`]);
  stage.left.length = 0;
  stage.call(URI, [], BIG);
  stage.runFor(500);
  assert.equal(stage.left[0], `${ONE} INVITE`);
});

test("without a TCP listener, and where the size is set higher, UDP it is", () => {
  const noTcp = new Stage(CARRIER, ["udp"]);
  noTcp.targets.set(ONE, says(486));
  noTcp.call(URI, [], BIG);
  noTcp.runFor(500);
  assert.equal(noTcp.heard, "486");
  const bigger = new Stage(CARRIER, ["udp", "tcp"], {
    limits: { ...USER_AGENT_LIMITS, udpRequestBytesMax: 65_535 },
  });
  bigger.targets.set(ONE, says(486));
  bigger.call(URI, [], BIG);
  bigger.runFor(500);
  assert.equal(bigger.heard, "486");
});

test("1,300 bytes are not too long, 1,301 are", () => {
  for (const [over, first] of [
    [0, `udp 192.0.2.9:5060 INVITE`],
    [1, `tcp 192.0.2.9:5060 INVITE`],
  ] as const) {
    const probe = new Stage();
    probe.call("sip:bob@192.0.2.9", ["X-Fill: x"], "");
    const bare = /\|(\d+)\|udp\|/.exec(probe.application.replies.at(-1) ?? "")?.[1];
    assert.ok(bare !== undefined);
    const stage = new Stage();
    stage.call("sip:bob@192.0.2.9", [`X-Fill: ${"x".repeat(1_300 - Number(bare) + 1 + over)}`], "");
    assert.equal(stage.left[0], first);
  }
});

test("inside a dialog: the route's name is resolved, and a dead proxy passed over", () => {
  const stage = new Stage();
  stage.targets.set(ONE, ({ request }, reply) => {
    if (request.method === "INVITE") reply(200, ["Record-Route: <sip:carrier.example;transport=udp;lr>"]);
  });
  stage.call();
  stage.runFor(300);
  const [answer] = stage.application.heard;
  assert.ok(answer);
  stage.application.request("ACK", answer.dialogId);
  stage.runFor(100);
  assert.ok(stage.requestsTo(ONE, "ACK").length === 1);
  stage.targets.delete(ONE);
  stage.targets.set(TWO, ({ request }, reply) => reply(request.method === "INVITE" ? 488 : 200));
  stage.application.request("INVITE", answer.dialogId);
  stage.runFor(AFTER_MS + 300);
  assert.equal(stage.heard, "200 488");
  const [reinvite] = stage.requestsTo(TWO);
  assert.equal(headerValue(reinvite ?? assert.fail(), "route"), "<sip:carrier.example;transport=udp;lr>");
  stage.application.request("BYE", answer.dialogId);
  stage.runFor(300);
  assert.equal(stage.heard, "200 488 200");
  assert.equal(stage.endpoint.facts.dialogs, 0);
});

test("inside a dialog: the answer that comes late by the first way is the peer's answer all the same", () => {
  const stage = new Stage();
  stage.targets.set(ONE, ({ request }, reply) => {
    if (request.method === "INVITE") reply(200, ["Record-Route: <sip:carrier.example;transport=udp;lr>"]);
  });
  stage.call();
  stage.runFor(300);
  const dialogId = stage.application.heard[0]?.dialogId ?? "";
  stage.application.request("ACK", dialogId);
  let answers = 0;
  stage.targets.set(ONE, ({ request }, reply) => {
    if (request.method === "INVITE" && answers++ === 0) stage.world.after(AFTER_MS + 500, () => reply(200));
  });
  stage.application.request("INVITE", dialogId);
  stage.runFor(AFTER_MS + 700);
  assert.equal(stage.heard, "200 200");
  assert.ok(stage.left.includes(`${TWO} INVITE`));
  stage.application.request("ACK", dialogId);
  stage.runFor(60_000);
  assert.equal(stage.heard, "200 200");
  assert.equal(stage.endpoint.facts.clientCalls, 0);
  assert.equal(stage.endpoint.facts.dialogs, 1);
});

test("an ACK to a 2xx goes to the next target when the first cannot be reached", () => {
  const stage = new Stage(`${CARRIER}
    proxy.example A 192.0.2.31
    proxy.example A 192.0.2.32`);
  stage.targets.set(ONE, ({ request }, reply) => {
    if (request.method === "INVITE") reply(200, ["Record-Route: <sip:proxy.example:5070;transport=tcp;lr>"]);
  });
  stage.targets.set("tcp 192.0.2.31:5070", "refused");
  stage.targets.set("tcp 192.0.2.32:5070", "refused");
  stage.call();
  stage.runFor(300);
  stage.application.request("ACK", stage.application.heard[0]?.dialogId ?? "");
  stage.runFor(300);
  const acks = stage.left.filter((line) => line.endsWith("ACK"));
  assert.deepEqual([...acks].sort(), ["tcp 192.0.2.31:5070 ACK", "tcp 192.0.2.32:5070 ACK"]);
});

test("a name that is ourselves is refused; ourselves among others is left out", () => {
  const stage = new Stage(`me.example A ${US}\nboth.example A ${US}\nboth.example A 192.0.2.1`);
  stage.targets.set(ONE, says(486));
  stage.call("sip:bob@me.example:5060");
  stage.call("sip:bob@both.example:5060");
  stage.runFor(300);
  assert.match(stage.application.replies.join(), /can not send request to myself/);
  assert.equal(stage.heard, "486");
});

test("a response whose connection is gone goes to where the Via says, by name (RFC 3263 §5)", () => {
  const stage = new Stage(`_sip._tcp.caller.example SRV 0 0 5090 h.caller.example
    h.caller.example A 203.0.113.7`);
  const point = stage.endpoint.points.find(({ transport }) => transport === "tcp");
  assert.ok(point);
  stage.targets.set("tcp 203.0.113.1:5060", "refused");
  const from: Flow = { pointId: point.id, transport: "tcp", address: "203.0.113.1", port: 40_000, connection: "gone" };
  stage.endpoint.onMessage(
    finish(
      [
        `OPTIONS sip:${US} SIP/2.0`,
        "Via: SIP/2.0/TCP caller.example;branch=z9hG4bK-1",
        "From: <sip:alice@caller.example>;tag=a",
        `To: <sip:${US}>`,
        "Call-ID: call-1",
        "CSeq: 1 OPTIONS",
        "Max-Forwards: 70",
      ],
      "",
    ),
    from,
    point,
  );
  stage.runFor(300);
  const left = stage.left.map((line) => line.replace(/ \d+$/, ""));
  assert.deepEqual(left, ["tcp 203.0.113.1:5060", "tcp 203.0.113.7:5090"]);
});
