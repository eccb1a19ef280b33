// The torture messages of RFC 4475 through the whole server, held to what docs/RFC4475.md decides of each.

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { SimWorld } from "../../../kernel/sim/world.ts";
import { targetOf } from "../core/dialog/dialog.ts";
import { headerValue } from "../core/message/message.ts";
import { parseMessage } from "../core/message/parse.ts";
import { SimulatedHost } from "./simulated.ts";
import { SimulatedConnection } from "./simulated-connection.ts";

const US = "10.0.0.2";
const PEER = "10.0.0.9";
const FOLDER = new URL("rfc4475/", import.meta.url);
const PAGE = readFileSync(new URL("../../../docs/RFC4475.md", import.meta.url), "utf8");
const VERBS = "register options message subscribe info notify publish refer".split(" ");

const bytesOf = (name: string): string => readFileSync(new URL(`${name}.dat`, FOLDER)).toString("latin1");

/** What is wrong with these is in a header that every answer must copy (§8.2.6.2). */
const COPIES_ITS_FAULT = new Set(["insuf", "quotbal", "baddn", "scalar02"]);

interface Row {
  readonly name: string;
  readonly udp: string;
  readonly stream: string;
}

const decided: Row[] = [...PAGE.matchAll(/^\| `(\w+)` \| [\d.–]+ \| ([^|]+) \| ([^|]+) \|/gm)].map(
  ([, name = "", udp = "", stream = ""]) => ({ name, udp: udp.trim(), stream: stream.trim() }),
);

function stage() {
  const world = new SimWorld(1, { delayMs: 1 });
  const host = new SimulatedHost(world, US);
  for (const verb of VERBS) host.application.say(`route|${verb}`);
  const answers: string[] = [];
  world.attach(PEER, (payload) => answers.push(String(payload)));
  return { world, host, answers };
}
type Stage = ReturnType<typeof stage>;

const statusOf = (text: string): number => Number(text.slice(8, 11));
const finals = (answers: readonly string[]): number[] => answers.map(statusOf).filter((status) => status >= 200);

/** What happened, in the words of the page. */
function outcome({ host }: Stage, answers: readonly string[]): string {
  const { counters } = host.endpoint;
  assert.equal(counters.total("internal_errors"), 0);
  const said = [...host.application.heard.map(() => "delivered"), ...finals(answers)];
  if (said.length > 0) return said.join(", then ");
  const [dropped] = [...counters.of("dropped")];
  if (dropped !== undefined) return `dropped: ${/"(.*)"/.exec(dropped[0])?.[1]}`;
  return counters.total("malformed") > 0 ? "dropped: malformed" : "waits";
}

/** The application got what was sent, and its answer gets home. */
function answerIt({ world, host }: Stage, sent: string, answers: string[]): void {
  const [heard] = host.application.heard;
  assert.ok(heard);
  const original = parseMessage(sent);
  const copy = parseMessage(heard.text);
  assert.ok(original.ok && copy.ok);
  assert.equal(copy.value.body, original.value.body);
  const others = (headers: typeof copy.value.headers) => {
    const top = headers.findIndex(({ key }) => key === "via");
    return headers.filter((_, at) => at !== top);
  };
  assert.deepEqual(others(copy.value.headers), others(original.value.headers));
  host.application.respond(heard, 200);
  world.runFor(100);
  const answer = parseMessage(answers.at(-1) ?? "");
  assert.ok(answer.ok && answer.value.kind === "response" && answer.value.status === 200);
  assert.equal(answer.value.via.branch, original.value.via.branch);
  assert.equal(answer.value.callId, original.value.callId);
  assert.deepEqual(answer.value.cseq, original.value.cseq);
  assert.notEqual(answer.value.toTag, "");
}

const nothingStays = ({ world, host }: Stage): void => {
  world.runFor(3_600_000);
  assert.ok(host.isIdle, JSON.stringify(host.endpoint.facts));
};

test("the page decides every message of the archive, once", () => {
  const files = readdirSync(FOLDER).map((file) => file.replace(".dat", ""));
  assert.equal(files.length, 50);
  assert.deepEqual(decided.map(({ name }) => name).sort(), files.sort());
});

for (const { name, udp, stream } of decided) {
  test(`RFC 4475 ${name}: ${udp}; on a stream ${stream}`, () => {
    const sent = bytesOf(name);
    const overUdp = stage();
    overUdp.world.send(PEER, US, sent);
    overUdp.world.runFor(200);
    assert.equal(outcome(overUdp, overUdp.answers), udp);
    if (!COPIES_ITS_FAULT.has(name)) for (const text of overUdp.answers) assert.ok(parseMessage(text).ok, text);
    if (udp === "delivered") answerIt(overUdp, sent, overUdp.answers);
    nothingStays(overUdp);

    const overStream = stage();
    const connection = new SimulatedConnection(overStream.host.endpoint, PEER);
    for (let at = 0; at < sent.length; at += 7) connection.arrive(sent.slice(at, at + 7));
    overStream.world.runFor(200);
    const wanted = stream === "same" ? udp : stream;
    assert.equal(connection.closed !== undefined, wanted.endsWith("closed"));
    if (wanted === "closed") assert.equal(overStream.host.application.heard.length + connection.received.length, 0);
    else {
      assert.equal(outcome(overStream, connection.received), wanted.replace(", then closed", ""));
      if (wanted === "waits") assert.ok(connection.waitingBytes > 0 && connection.waitingBytes <= sent.length);
    }
    if (wanted === "delivered") answerIt(overStream, sent, connection.received);
    nothingStays(overStream);
  });
}

/** An INVITE of our application is out; the peer answers with the start line (and, if asked, the CSeq) of the message. */
function answering(name: string, cseq?: string) {
  const staged = stage();
  staged.host.application.say(`sip||\r\nINVITE sip:bob@${PEER} SIP/2.0\r\n\r\n`);
  staged.world.runFor(50);
  const invite = staged.answers[0] ?? "";
  const line = (header: string) => new RegExp(`\\r\\n${header}: ([^\\r]*)`).exec(invite)?.[1] ?? "";
  const [startLine = ""] = bytesOf(name).split("\r\n");
  const reply = `${startLine}\r\nVia: ${line("Via")}\r\nFrom: ${line("From")}\r\nTo: ${line("To")};tag=bob\r\nCall-ID: ${line("Call-ID")}\r\nCSeq: ${cseq ?? line("CSeq")}\r\nContact: <sip:bob@${PEER}>\r\nContent-Length: 0\r\n\r\n`;
  staged.world.send(PEER, US, reply);
  staged.world.runFor(50);
  return staged;
}

test("RFC 4475 unreason, with our Via: our INVITE is answered, the reason phrase arrives octet for octet", () => {
  const { host } = answering("unreason");
  const [heard] = host.application.heard;
  assert.equal(heard?.what, "200");
  assert.equal(heard.text.split("\r\n")[0], bytesOf("unreason").split("\r\n")[0]);
});

test("RFC 4475 noreason, with our Via: our INVITE is proceeding and no longer sent again", () => {
  const { world, host, answers } = answering("noreason");
  const sent = answers.length;
  world.runFor(20_000);
  assert.equal(answers.length, sent);
  assert.equal(host.endpoint.facts.transactions, 1);
});

for (const [name, cseq] of [
  ["bigcode", undefined],
  ["scalarlg", "9292394834772304023312 INVITE"],
] as const)
  test(`RFC 4475 ${name}, with our Via: discarded; our INVITE goes on as if nothing had come`, () => {
    const { world, host } = answering(name, cseq);
    assert.equal(host.application.heard.length, 0);
    assert.equal(host.endpoint.counters.total("malformed"), 1);
    world.runFor(40_000);
    assert.deepEqual(
      host.application.heard.map(({ what }) => what),
      ["408"],
    );
  });

test("RFC 4475 baddn, completed by its empty line: the unquoted comma alone is refused", () => {
  const { world, host, answers } = stage();
  world.send(PEER, US, `${bytesOf("baddn")}\r\n`);
  world.runFor(50);
  assert.deepEqual(answers.map(statusOf), [400]);
  assert.deepEqual([...host.endpoint.counters.of("malformed")], [['fault="from",answered="yes"', 1]]);
});

test("RFC 4475 bext01: both extensions are named in Unsupported", () => {
  const { world, answers } = stage();
  world.send(PEER, US, bytesOf("bext01"));
  world.runFor(50);
  const parsed = parseMessage(answers[0] ?? "");
  assert.ok(parsed.ok);
  const unsupported = parsed.value.headers.filter(({ key }) => key === "unsupported").map(({ value }) => value);
  assert.deepEqual(
    unsupported
      .join(",")
      .split(",")
      .map((token) => token.trim())
      .sort(),
    ["nothingSupportsThis", "nothingSupportsThisEither"],
  );
});

test("RFC 4475 inv2543: its dialog lives by the old rules: ACK and BYE without branch or tag find it; our target is From", () => {
  const { world, host, answers } = stage();
  const invite = bytesOf("inv2543");
  const parsed = parseMessage(invite);
  assert.ok(parsed.ok && parsed.value.kind === "request");
  assert.equal(targetOf(parsed.value), "sip:+13035551111@ift.client.example.net;user=phone");
  world.send(PEER, US, invite);
  world.runFor(50);
  const [heard] = host.application.heard;
  assert.ok(heard);
  host.application.respond(heard, 200);
  world.runFor(50);
  const answer = parseMessage(answers.at(-1) ?? "");
  assert.ok(answer.ok);
  const inDialog = (method: string, number: number) =>
    `${method} sip:UserB@example.com SIP/2.0\r\nVia: SIP/2.0/UDP iftgw.example.com\r\nFrom: ${headerValue(answer.value, "from")}\r\nTo: ${headerValue(answer.value, "to")}\r\nCall-ID: ${answer.value.callId}\r\nCSeq: ${number} ${method}\r\n\r\n`;
  world.send(PEER, US, inDialog("ACK", 56));
  world.runFor(50);
  world.send(PEER, US, inDialog("BYE", 57));
  world.runFor(50);
  assert.deepEqual(
    host.application.heard.map(({ what }) => what),
    ["INVITE", "ACK", "BYE"],
  );
  const bye = host.application.heard[2];
  if (bye !== undefined) host.application.respond(bye, 200);
  world.runFor(50);
  assert.equal(statusOf(answers.at(-1) ?? ""), 200);
  nothingStays({ world, host, answers });
});
