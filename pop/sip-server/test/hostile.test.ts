// Anything may arrive at any moment, from the network and from applications: nothing trips, nothing is left over.

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { SimWorld } from "../../../kernel/sim/world.ts";
import { SimulatedHost } from "./simulated.ts";

const US = "10.0.0.2";
const PEER = "10.0.0.9";

const anyMessage = fc
  .record({
    start: fc.oneof(
      fc
        .constantFrom(
          "INVITE",
          "ACK",
          "BYE",
          "CANCEL",
          "INFO",
          "PRACK",
          "UPDATE",
          "OPTIONS",
          "SUBSCRIBE",
          "NOTIFY",
          "DANCE",
        )
        .map((method) => ({ method, line: `${method} sip:bob@${US} SIP/2.0` })),
      fc
        .tuple(fc.constantFrom("INVITE", "BYE", "OPTIONS"), fc.constantFrom(100, 180, 183, 200, 302, 401, 487, 600))
        .map(([method, status]) => ({ method, line: `SIP/2.0 ${status} Said` })),
    ),
    branch: fc.constantFrom("z9hG4bK-1", "z9hG4bK-2", "z9hG4bK-3", "z9hG4bK", "old"),
    sentBy: fc.constantFrom(PEER, `${US}:5060`),
    cseq: fc.integer({ min: 1, max: 4 }),
    callId: fc.constantFrom("c1", "c2"),
    fromTag: fc.constantFrom("a", "b", ""),
    toTag: fc.constantFrom("", "", "a", "last"),
    more: fc.constantFrom(
      "Contact: <sip:x@10.0.0.9>\r\n",
      "",
      "Contact: *\r\n",
      "RAck: 1 1 INVITE\r\n",
      "Supported: 100rel\r\nContact: <sip:x@h>\r\n",
      "Record-Route: <sip:10.0.0.9>\r\nContact: <sip:x@10.0.0.9;transport=tcp>\r\n",
    ),
  })
  .map(({ start, branch, sentBy, cseq, callId, fromTag, toTag, more }) => (lastTag: string) => {
    const to = toTag === "last" ? lastTag : toTag;
    return `${start.line}\r\nVia: SIP/2.0/UDP ${sentBy};branch=${branch};rport\r\nFrom: <sip:x@${PEER}>${fromTag && `;tag=${fromTag}`}\r\nTo: <sip:bob@${US}>${to && `;tag=${to}`}\r\nCall-ID: ${callId}\r\nCSeq: ${cseq} ${start.method}\r\n${more}Content-Length: 0\r\n\r\n`;
  });

/** The peer goes on with what it was sent: an answer to one of our requests, or a request in one of our dialogs. */
const anyReaction = fc.record({
  kind: fc.constantFrom("answer", "in-dialog"),
  which: fc.nat(4),
  status: fc.constantFrom(100, 180, 183, 200, 200, 401, 486, 487),
  tag: fc.constantFrom("one", "two"),
  method: fc.constantFrom("ACK", "ACK", "BYE", "INVITE", "INFO", "PRACK", "UPDATE", "CANCEL"),
  headers: fc.constantFrom("Contact: <sip:x@10.0.0.9>\r\n", "", "RSeq: 1\r\nContact: <sip:x@10.0.0.9>\r\n"),
});
type Reaction = typeof anyReaction extends fc.Arbitrary<infer Value> ? Value : never;

const line = (text: string, name: string) => new RegExp(`\\r\\n${name}: ([^\\r]*)`).exec(text)?.[1] ?? "";

function react(
  received: readonly string[],
  cseq: number,
  { kind, which, status, tag, method, headers }: Reaction,
): string {
  const requests = received.filter((text) => !text.startsWith("SIP/2.0"));
  const answers = received.filter((text) => text.startsWith("SIP/2.0") && /To:.*;tag=/.test(text));
  if (kind === "answer") {
    const request = requests.at(-1 - which) ?? "";
    const to = line(request, "To");
    return `SIP/2.0 ${status} Said\r\nVia: ${line(request, "Via")}\r\nFrom: ${line(request, "From")}\r\nTo: ${to}${to.includes("tag=") || status === 100 ? "" : `;tag=${tag}`}\r\nCall-ID: ${line(request, "Call-ID")}\r\nCSeq: ${line(request, "CSeq")}\r\n${headers}Content-Length: 0\r\n\r\n`;
  }
  const answer = answers.at(-1 - which) ?? "";
  const number = method === "ACK" || method === "CANCEL" ? Number.parseInt(line(answer, "CSeq"), 10) : cseq;
  return `${method} sip:bob@${US} SIP/2.0\r\nVia: SIP/2.0/UDP ${PEER};branch=z9hG4bK-d${cseq}\r\nFrom: ${line(answer, "From")}\r\nTo: ${line(answer, "To")}\r\nCall-ID: ${line(answer, "Call-ID")}\r\nCSeq: ${number} ${method}\r\nRAck: 1 1 INVITE\r\n${headers}Content-Length: 0\r\n\r\n`;
}

const anyCommand = fc.record({
  kind: fc.constantFrom("respond", "request", "cancel", "out", "noise"),
  which: fc.nat(20),
  status: fc.constantFrom(100, 180, 183, 200, 202, 302, 487, 500),
  method: fc.constantFrom("ACK", "BYE", "INVITE", "INFO", "PRACK", "UPDATE", "NOTIFY"),
  headers: fc.constantFrom("", "Require: 100rel\r\n", "Contact: nonsense\r\n", "To: <sip:x>;tag=mine\r\n"),
});

test("property: no order of messages and commands trips the server, and in the end nothing is left", () => {
  let made = 0;
  fc.assert(
    fc.property(
      fc.integer(),
      fc.array(fc.tuple(fc.integer({ min: 0, max: 3_000 }), fc.oneof(anyMessage, anyCommand, anyReaction)), {
        minLength: 5,
        maxLength: 60,
        size: "max",
      }),
      (seed, script) => {
        const world = new SimWorld(seed, { delayMs: 10 });
        const host = new SimulatedHost(world, US);
        let lastTag = "none";
        let cseq = 10;
        const received: string[] = [];
        world.attach(PEER, (payload) => {
          received.push(String(payload));
          lastTag = /\r\nTo: [^\r]*;tag=([^\r;]+)/.exec(String(payload))?.[1] ?? lastTag;
        });
        const { application } = host;
        const dialogs = new Set<string>();
        application.onHeard = ({ dialogId }) => {
          if (dialogId !== "") dialogs.add(dialogId);
        };
        let at = 0;
        for (const [waitMs, deed] of script) {
          at += waitMs;
          world.after(at, () => {
            if (typeof deed === "function") {
              world.send(PEER, US, deed(lastTag));
              return;
            }
            if (deed.kind === "answer" || deed.kind === "in-dialog") {
              world.send(PEER, US, react(received, ++cseq, deed as Reaction));
              return;
            }
            const heard = application.heard.at(-1 - (deed.which % (application.heard.length || 1)));
            const transactionId = heard?.transactionId ?? "none";
            const dialogId = [...dialogs].at(deed.which % (dialogs.size || 1)) ?? "none";
            if (deed.kind === "respond")
              application.say(`sip|${transactionId}|\r\nSIP/2.0 ${deed.status} S\r\n${deed.headers}\r\n`);
            else if (deed.kind === "request")
              application.say(`sip||${dialogId}\r\n${deed.method} sip:p SIP/2.0\r\n${deed.headers}\r\n`);
            else if (deed.kind === "cancel")
              application.say(`sip|${transactionId}|\r\nCANCEL sip:x@${PEER} SIP/2.0\r\n\r\n`);
            else if (deed.kind === "out")
              application.say(
                `sip||\r\n${deed.method === "ACK" ? "INVITE" : deed.method} sip:x@${PEER} SIP/2.0\r\n${deed.headers}\r\n`,
              );
            else application.say(`sip|x|${deed.headers}|y\r\n\r\n`);
          });
        }
        // Long enough for every timer of RFC 3261; ringing is given up after ten minutes.
        world.runFor(at + 1_500_000);
        assert.equal(host.endpoint.counters.total("internal_errors"), 0);
        const { transactions, pendingRequests, timers, clientCalls } = host.endpoint.facts;
        assert.equal(pendingRequests, 0);
        // What may stay: INVITEs of the application that only ever got a provisional, and dialogs that nobody ended.
        assert.equal(transactions, clientCalls);
        if (clientCalls === 0) assert.equal(timers, 0);
        made += dialogs.size;
      },
    ),
    { numRuns: 1_000 },
  );
  assert.ok(made > 50, `the scripts made ${made} dialogs`);
});
