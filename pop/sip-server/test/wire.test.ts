// What an application writes, and what a peer gets to see of it: Contacts, URIs, empty headers, phrases. RFC 3261 §8.1.1, §20.

import assert from "node:assert/strict";
import { test } from "node:test";
import { SimWorld } from "../../../kernel/sim/world.ts";
import { headerValue } from "../core/message/message.ts";
import { SDP } from "./peer.ts";
import { type Heard, SimulatedHost } from "./simulated.ts";
import { acknowledged, PHONE, SimulatedPhone } from "./simulated-phone.ts";

const SERVER = "10.0.0.1";
const US = `${SERVER}:5060`;

function stage(settings: ConstructorParameters<typeof SimulatedHost>[2] = {}) {
  const world = new SimWorld(1);
  const host = new SimulatedHost(world, SERVER, settings);
  const phone = new SimulatedPhone(world, SERVER);
  const { application } = host;
  /** Says a request or response, and returns what the server answered: "OK", "NOK|why". */
  const say = (meta: string, lines: readonly string[], body = ""): string => {
    application.say(`sip|${meta}\r\n${lines.join("\r\n")}\r\n\r\n${body}`);
    world.runFor(100);
    return application.replies.at(-1)?.split("\r\n")[0]?.split("|").slice(3).join("|") ?? "";
  };
  const last = (what: string): Heard => {
    const heard = application.heard.findLast((one) => one.what === what);
    if (heard === undefined) throw new Error(`the application heard no ${what}`);
    return heard;
  };
  return { world, host, phone, application, say, last };
}

const asked = (headers: readonly string[], method = "INVITE") => {
  const at = stage();
  const reply = at.say("||", [`${method} sip:b@${PHONE} SIP/2.0`, ...headers], method === "INVITE" ? SDP : "");
  return { ...at, reply, sent: at.phone.requests(method).at(-1) };
};

const CONTACTS: readonly (readonly [given: string, method: string, sent: string | "NOK"])[] = [
  ["sip:foo@localhost", "INVITE", `<sip:foo@${US}>`],
  ["sip:foo@localhost;transport=udp", "INVITE", `<sip:foo@${US}>;transport=udp`], // without brackets it is the header's (§20)
  ["sip:localhost", "INVITE", `<sip:${US}>`],
  ["<sip:foo@localhost:7777>", "INVITE", `<sip:foo@${US}>`],
  ['"D N" <sip:foo@localhost;ob>;+sip.x', "INVITE", `"D N" <sip:foo@${US};ob>;+sip.x`],
  [`sip:foo@${US}`, "INVITE", `<sip:foo@${US}>`],
  [`<sip:foo@${SERVER}:7777>`, "INVITE", `<sip:foo@${SERVER}:7777>`], // another listener of ours, perhaps
  // Nobody but us can be reached there.
  ["<sip:foo@1.2.3.4:5070;transport=tcp>", "INVITE", `<sip:foo@${US}>`],
  ["<sip:foo@[2001:db8::1];ob>", "INVITE", `<sip:foo@${US};ob>`],
  ["<sip:foo@1.2.3.4>", "OPTIONS", `<sip:foo@${US}>`],
  ["<sip:foo@app.example>", "INVITE", "<sip:foo@app.example>"],
  ["foo", "INVITE", "NOK"],
  ["<tel:+123>", "INVITE", "NOK"],
  ["<sip:a@h.example>, <sip:b@h.example>", "INVITE", "NOK"],
  ['"open <sip:a@localhost>', "INVITE", "NOK"],
  ["<sip:a@localhost", "INVITE", "NOK"],
  ["<sip:a%zz@localhost>", "INVITE", "NOK"],
  ["*", "INVITE", "NOK"],
  // Registrations may be of others.
  ["sip:u@localhost;expires=60", "REGISTER", `<sip:u@${US}>;expires=60`],
  ["<sip:u@1.2.3.4>, sip:v@localhost", "REGISTER", `<sip:u@1.2.3.4>, <sip:v@${US}>`],
  ["<mailto:u@example.com>", "REGISTER", "<mailto:u@example.com>"],
  ["*", "REGISTER", "*"],
];
for (const [given, method, expected] of CONTACTS)
  test(`Contact of the application: ${given} in ${method} -> ${expected}`, () => {
    const { reply, sent } = asked([`Contact: ${given}`], method);
    if (expected === "NOK") {
      assert.equal(reply, "NOK|invalid contact");
      assert.equal(sent, undefined);
    } else assert.equal(sent && headerValue(sent, "contact"), expected);
  });

const ANSWERS: readonly (readonly [given: string, status: string, sent: string | "NOK"])[] = [
  ["sip:foo@localhost", "180 Ringing", `<sip:foo@${US}>`],
  ["sip:foo@localhost:9", "200 OK", `<sip:foo@${US}>`],
  ["<sip:foo@1.2.3.4>", "200 OK", "<sip:foo@1.2.3.4>"],
  ["", "200 OK", `<sip:${US}>`],
  ["foo", "200 OK", "NOK"],
  ["<sip:a@h.example>, <sip:b@h.example>", "183 Session Progress", "NOK"],
  [
    "<sip:a@1.2.3.4>;q=0.7, sip:b@h.example;q=0.5, <tel:+123>",
    "302 Moved",
    "<sip:a@1.2.3.4>;q=0.7, <sip:b@h.example>;q=0.5, <tel:+123>",
  ],
  ["nonsense", "302 Moved", "NOK"],
];
for (const [given, status, expected] of ANSWERS)
  test(`Contact of the application: ${given} in ${status} -> ${expected}`, () => {
    const at = stage();
    at.phone.call(`sip:app@${SERVER}`).invite();
    at.world.runFor(100);
    const { transactionId } = at.last("INVITE");
    const reply = at.say(`${transactionId}|`, [`SIP/2.0 ${status}`, `Contact: ${given}`]);
    const sent = at.phone.responses("INVITE").at(-1);
    if (expected !== "NOK") return assert.equal(sent && headerValue(sent, "contact"), expected);
    assert.equal(reply, "NOK|invalid contact");
    assert.equal(sent?.status, 100); // and the application may answer better
    at.say(`${transactionId}|`, ["SIP/2.0 200 OK"]);
    assert.equal(at.phone.responses("INVITE").at(-1)?.status, 200);
  });

test("in a dialog: a Contact that cannot be read is refused, a foreign address becomes ours", () => {
  const at = stage();
  const call = at.phone.call(`sip:app@${SERVER}`);
  call.invite();
  at.world.runFor(100);
  at.say(`${at.last("INVITE").transactionId}|`, ["SIP/2.0 200 OK"], SDP);
  acknowledged(at.phone, call);
  at.world.runFor(100);
  const { dialogId } = at.last("ACK");
  assert.equal(at.say(`|${dialogId}`, ["UPDATE sip:placeholder SIP/2.0", "Contact: nobody"]), "NOK|invalid contact");
  at.say(`|${dialogId}`, ["UPDATE sip:placeholder SIP/2.0", "Contact: sip:me@192.0.2.9"]);
  assert.equal(headerValue(at.phone.lastOf("UPDATE"), "contact"), `<sip:me@${US}>`);
});

test("@localhost with a port in From, To and P-Asserted-Identity: host and port are ours", () => {
  const party = (name: string) => `<sip:${name}@localhost:7777;x=1>`;
  const { sent } = asked([`From: ${party("a")}`, `To: ${party("b")}`, `P-Asserted-Identity: ${party("c")}`]);
  assert.ok(sent);
  assert.match(headerValue(sent, "from") ?? "", new RegExp(`^<sip:a@${US};x=1>;tag=`));
  assert.equal(headerValue(sent, "to"), `<sip:b@${US};x=1>`);
  assert.equal(headerValue(sent, "p-asserted-identity"), `<sip:c@${US};x=1>`);
});

test("a tel URI goes where the application's route says (RFC 3261 §8.1.1.1); without a route there is nowhere", () => {
  const at = stage();
  assert.equal(
    at.say("||", ["OPTIONS tel:+123;phone-context=x SIP/2.0"]),
    "NOK|invalid request-uri: tel:+123;phone-context=x",
  );
  at.say(`||sip:${PHONE}`, ["INVITE tel:+123;phone-context=x SIP/2.0"], SDP);
  const invite = at.phone.lastOf("INVITE");
  assert.equal(invite.uri, "tel:+123;phone-context=x");
  assert.equal(headerValue(invite, "to"), "<tel:+123;phone-context=x>");
  at.phone.respond(invite, 486, "Busy Here");
  at.world.runFor(100);
  assert.equal(at.application.count("486"), 1);
  assert.equal(at.phone.requests("ACK").at(-1)?.uri, invite.uri);
});

for (const uri of ["sip:%zz@127.0.0.1", "sip:a%2@127.0.0.1", "sip:a@127.0.0.1;x=%", "tel:%1"])
  test(`an escape that is none, ${uri}: NOK to the application, 400 to the network (RFC 3261 §25.1)`, () => {
    const at = stage();
    assert.equal(at.say(`||sip:${PHONE}`, [`OPTIONS ${uri} SIP/2.0`]), `NOK|invalid request-uri: ${uri}`);
    assert.equal(at.phone.received.length, 0);
    at.phone.call(uri).invite();
    at.world.runFor(100);
    assert.equal(at.phone.responses("INVITE").at(-1)?.status, 400);
    assert.equal(at.application.count("INVITE"), 0);
  });

test("headers without a value pass where the grammar allows it", () => {
  const empty = ["Supported", "Allow", "Accept", "Accept-Encoding", "Accept-Language", "Subject", "Organization"];
  const needed = ["Require", "Expires", "User-Agent", "Refer-To", "Event", "Contact", "P-Asserted-Identity"];
  const all = [...empty, "X-Mine", ...needed];
  const { sent } = asked(
    all.map((name) => `${name}:`),
    "OPTIONS",
  );
  for (const name of [...empty, "X-Mine"]) assert.equal(sent && headerValue(sent, name.toLowerCase()), "", name);
  for (const name of needed) assert.equal(sent && headerValue(sent, name.toLowerCase()), undefined, name);
});

test("a status without a phrase gets the registered one, an unknown status none, the application's own stays", () => {
  const at = stage();
  for (const [line, expected] of [
    ["200", "OK"],
    ["603 ", "Decline"],
    ["489", "Bad Event"],
    ["580", "Precondition Failure"],
    ["299", ""],
    ["486 Later please", "Later please"],
  ] as const) {
    at.phone.call(`sip:app@${SERVER}`).invite();
    at.world.runFor(100);
    const invite = at.application.heard.findLast(({ what }) => what === "INVITE");
    at.say(`${invite?.transactionId}|`, [`SIP/2.0 ${line}`]);
    assert.equal(at.phone.responses("INVITE").at(-1)?.reason, expected, line);
  }
});

test("a refused call has its dialog's name in the OK, as from drachtio; a refused OPTIONS has none", () => {
  const at = stage();
  const call = at.phone.call(`sip:app@${SERVER}`);
  call.invite();
  at.world.runFor(100);
  const reply = at.say(`${at.last("INVITE").transactionId}|`, ["SIP/2.0 486 Busy Here"]);
  const { callId, fromTag } = at.phone.responses("INVITE").at(-1) ?? assert.fail();
  assert.equal(reply.split("|")[8], `${callId};from-tag=${fromTag}`);
  at.application.say("route|options");
  at.phone.call(`sip:app@${SERVER}`).request("OPTIONS");
  at.world.runFor(100);
  assert.equal(at.say(`${at.last("OPTIONS").transactionId}|`, ["SIP/2.0 486 Busy Here"]).split("|")[8], "");
});

test("NOTIFY in a call without a subscription: the packages that are sent so reach the application, others get 481", () => {
  const heardOf = (event: string, settings: Parameters<typeof stage>[0] = {}): string => {
    const at = stage(settings);
    const call = at.phone.call(`sip:app@${SERVER}`);
    call.invite();
    at.world.runFor(100);
    at.say(`${at.last("INVITE").transactionId}|`, ["SIP/2.0 200 OK"], SDP);
    acknowledged(at.phone, call);
    call.request("NOTIFY", [`Event: ${event}`, "Subscription-State: active"]);
    at.world.runFor(100);
    if (at.application.count("NOTIFY") > 0) at.say(`${at.last("NOTIFY").transactionId}|`, ["SIP/2.0 200 OK"]);
    const status = at.phone.responses("NOTIFY").at(-1)?.status;
    call.request("BYE");
    at.world.runFor(100);
    at.say(`${at.last("BYE").transactionId}|`, ["SIP/2.0 200 OK"]);
    assert.equal(at.host.endpoint.facts.dialogs, 0); // it has made no subscription
    return `${at.application.count("NOTIFY")} ${status}`;
  };
  for (const event of ["talk", "hold", "Keep-Alive", "message-summary", "telephone-event;rate=1000"])
    assert.equal(heardOf(event), "1 200", event);
  assert.equal(heardOf("presence"), "0 481");
  assert.equal(heardOf("talk", { unsolicitedEvents: [] }), "0 481");
  assert.equal(heardOf("presence", { unsolicitedEvents: ["*"] }), "1 200");
});

test("call records follow the frame they belong to", () => {
  const at = stage({ records: true });
  for (const verb of ["cdr:attempt", "cdr:start", "cdr:stop"]) at.application.say(`route|${verb}`);
  const order: string[] = [];
  const { application } = at;
  const send = application.send.bind(application);
  application.send = (payload) => {
    const kind = payload.split("|")[1] ?? "";
    const start = payload.split("\r\n")[1]?.split(" ")[0] ?? "";
    if (kind === "sip" || kind.startsWith("cdr:")) order.push(`${kind} ${start}`);
    send(payload);
  };
  const call = at.phone.call(`sip:app@${SERVER}`);
  call.invite();
  at.world.runFor(100);
  at.say(`${at.last("INVITE").transactionId}|`, ["SIP/2.0 200 OK"], SDP);
  acknowledged(at.phone, call);
  call.request("BYE");
  at.world.runFor(100);
  assert.deepEqual(order, [
    "sip INVITE",
    "cdr:attempt INVITE",
    "cdr:start SIP/2.0",
    "sip ACK",
    "sip BYE",
    "cdr:stop BYE",
  ]);
  order.length = 0;
  const given = at.phone.call(`sip:app@${SERVER}`);
  given.invite();
  at.world.runFor(100);
  given.cancel();
  at.world.runFor(100);
  assert.deepEqual(order, ["sip INVITE", "cdr:attempt INVITE", "sip CANCEL", "cdr:stop CANCEL"]);
});
