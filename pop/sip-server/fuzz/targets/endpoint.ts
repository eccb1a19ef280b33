// The whole server in simulated time: what arrives from the network and from applications, in any order, doubled and delayed.
// An input is a script, as JSON; the same script always makes the same history.

import { SimWorld } from "../../../../kernel/sim/world.ts";
import type { ApplicationLink } from "../../boundary/application-link.ts";
import { parseMessage } from "../../core/message/parse.ts";
import { SimulatedHost } from "../../test/simulated.ts";
import type { Chance } from "../chance.ts";
import { address, METHODS, message, uri } from "../grammar.ts";
import { damage } from "../mutate.ts";
import { hold, type Target } from "../target.ts";

const US = "10.0.0.2";
const PEER = "10.0.0.9";
const VERBS = ["invite", "register", "options", "message", "subscribe", "info", "notify", "publish", "refer"];

type Step =
  /** Bytes from the network. */
  | { readonly at: number; readonly do: "bytes"; readonly text: string }
  /** The peer answers one of our requests. */
  | {
      readonly at: number;
      readonly do: "answer";
      readonly which: number;
      readonly status: number;
      readonly tag: string;
      readonly lines: string;
    }
  /** The peer goes on in a dialog that one of our answers made. */
  | {
      readonly at: number;
      readonly do: "request";
      readonly which: number;
      readonly method: string;
      readonly cseq: number;
      readonly lines: string;
    }
  /** The application says something; {tx} and {dialog} are put in. */
  | { readonly at: number; readonly do: "frame"; readonly which: number; readonly payload: string }
  | { readonly at: number; readonly do: "leave" | "join" };

type Script = readonly Step[];

/** Copied Vias and Record-Routes come on top of what an application may say. */
const LARGE = { messageBytesMax: 2_000_000, headersMax: 1_000, headerBytesMax: 70_000 };
const INVITE = `INVITE sip:bob@${US} SIP/2.0\r\nVia: SIP/2.0/UDP ${PEER};branch=z9hG4bK-1;rport\r\nFrom: <sip:x@${PEER}>;tag=a\r\nTo: <sip:bob@${US}>\r\nCall-ID: c1\r\nCSeq: 1 INVITE\r\nContact: <sip:x@${PEER}>\r\nContent-Length: 0\r\n\r\n`;

/** Fourteen hours and a bit: every timer that a stranger may set by a header has run by then. */
const AFTERWARDS_MS = 50_000_000;
/** Messages that one input may make us send at once, and their bytes beyond those of the input. */
const OUT_MESSAGES_MAX = 8;
const OUT_BYTES_MAX = 4_096;

class FuzzApplication implements ApplicationLink {
  readonly id: string;
  readonly address = "127.0.0.1";
  readonly busy = false;
  open = true;
  readonly transactions: string[] = ["none"];
  readonly dialogs: string[] = ["none"];
  readonly say: (payload: string) => void;

  constructor(host: SimulatedHost, id: string) {
    this.id = id;
    let sequence = 0;
    this.say = (payload) => {
      if (this.open) host.endpoint.onPayload(this, `${++sequence}|${payload}`);
    };
    host.endpoint.onOpen(this);
    this.say("authenticate|s|");
    for (const verb of VERBS) this.say(`route|${verb}`);
  }

  send(payload: string): void {
    hold(this.open, () => "said to a closed connection");
    const metaEnd = payload.indexOf("\r\n");
    const meta = (metaEnd === -1 ? payload : payload.slice(0, metaEnd)).split("|");
    hold(meta.length >= 2 && meta[0] !== "", () => `a frame without meta data: ${payload.slice(0, 80)}`);
    if (meta[1] === "sip") {
      const transaction = meta[8] ?? "";
      const dialog = meta[9] ?? "";
      if (transaction !== "") this.transactions.push(transaction);
      if (dialog !== "") this.dialogs.push(dialog);
    } else if (meta[1] === "response" && meta[3] === "OK" && (meta[10] ?? "") !== "")
      this.transactions.push(meta[10] ?? "");
  }

  close(): void {
    this.open = false;
  }
}

async function run(input: string): Promise<void> {
  const script = scriptOf(input);
  if (script === undefined) return;
  const world = new SimWorld(input.length, { delayMs: 5, jitterMs: 30, duplicateRate: 0.1, lossRate: 0.05 });
  const host = new SimulatedHost(world, US);
  const { endpoint } = host;
  endpoint.onClose(host.application);
  let applications = 0;
  let application = new FuzzApplication(host, `f${applications}`);
  const received: string[] = [];
  // What one input makes us send at once.
  let outMessages = 0;
  let outBytes = 0;
  let largest = 0;
  // Thrown where it is seen, it would be caught by the code under test.
  let violation = "";
  const note = (holds: boolean, what: () => string): void => {
    if (!holds && violation === "") violation = what();
  };
  const send = world.send.bind(world);
  world.send = (from, to, payload) => {
    if (from === US) {
      outMessages++;
      outBytes += String(payload).length;
      const parsed = parseMessage(String(payload), LARGE);
      // Only the refusal of what could not be read may copy what cannot be read.
      note(
        parsed.ok || /^SIP\/2\.0 (?:400|501|505) /.test(String(payload)),
        () => `sent, but unreadable: ${parsed.ok ? "" : parsed.failure.detail}\n${String(payload)}`,
      );
    }
    send(from, to, payload);
  };
  const attach = (payload: unknown): void => {
    received.push(String(payload));
  };
  world.attach(PEER, attach);
  const onMessage = endpoint.onMessage.bind(endpoint);
  endpoint.onMessage = (text, from, point) => {
    outMessages = 0;
    outBytes = 0;
    largest = Math.max(largest, text.length); // a copy, or a CANCEL, may bring the answer to what came before
    onMessage(text, from, point);
    hold(outMessages <= OUT_MESSAGES_MAX, () => `${outMessages} messages for one`);
    hold(outBytes <= outMessages * (largest + OUT_BYTES_MAX), () => `${outBytes} bytes for ${text.length}`);
  };
  const bugs = () => {
    hold(violation === "", () => violation);
    const { counters } = endpoint;
    hold(counters.total("internal_errors") === 0, () => `an exception: ${[...counters.of("internal_errors")].join()}`);
  };

  for (const step of script) {
    world.runFor(Math.max(0, step.at));
    switch (step.do) {
      case "bytes":
        world.send(PEER, US, step.text.replaceAll("{tag}", lastTag(received)));
        break;
      case "answer":
        world.send(PEER, US, answer(received, step));
        break;
      case "request":
        world.send(PEER, US, request(received, step));
        break;
      case "frame":
        application.say(
          step.payload
            .replaceAll("{tx}", pick(application.transactions, step.which))
            .replaceAll("{dialog}", pick(application.dialogs, step.which)),
        );
        break;
      case "leave":
        if (application.open) {
          application.open = false;
          endpoint.onClose(application);
        }
        break;
      case "join":
        if (!application.open) application = new FuzzApplication(host, `f${++applications}`);
        break;
    }
    // A refused frame may have closed the connection.
    if (!application.open) endpoint.onClose(application);
    await undefined; // a host name has its (empty) answer
    bugs();
  }
  if (application.open) {
    application.open = false;
    endpoint.onClose(application);
  }
  for (let turn = 0; turn < 10; turn++) {
    world.runFor(AFTERWARDS_MS / 10);
    await undefined;
  }
  bugs();
  const { transactions, dialogs, timers, pendingRequests, clientCalls } = endpoint.facts;
  hold(
    transactions + dialogs + timers + pendingRequests + clientCalls === 0,
    () => `left over: ${JSON.stringify({ transactions, dialogs, timers, pendingRequests, clientCalls })}`,
  );
}

const pick = (list: readonly string[], which: number): string => list.at(-1 - (which % list.length)) ?? "none";
const line = (text: string, name: string): string => new RegExp(`\\r\\n${name}: ([^\\r]*)`).exec(text)?.[1] ?? "";
const lastTag = (received: readonly string[]): string =>
  /\r\nTo: [^\r]*;tag=([^\r;]+)/.exec(received.at(-1) ?? "")?.[1] ?? "none";

function answer(received: readonly string[], step: Extract<Step, { do: "answer" }>): string {
  const requests = received.filter((text) => !text.startsWith("SIP/2.0"));
  const asked = requests.at(-1 - (step.which % (requests.length || 1))) ?? "";
  const to = line(asked, "To");
  return `SIP/2.0 ${step.status} Said\r\nVia: ${line(asked, "Via")}\r\nFrom: ${line(asked, "From")}\r\nTo: ${to}${to.includes("tag=") || step.status === 100 ? "" : `;tag=${step.tag}`}\r\nCall-ID: ${line(asked, "Call-ID")}\r\nCSeq: ${line(asked, "CSeq")}\r\n${step.lines}Content-Length: 0\r\n\r\n`;
}

function request(received: readonly string[], step: Extract<Step, { do: "request" }>): string {
  const answers = received.filter((text) => /\r\nTo:.*;tag=/.test(text));
  const base = answers.at(-1 - (step.which % (answers.length || 1))) ?? "";
  const ours = base.startsWith("SIP/2.0") ? ["From", "To"] : ["To", "From"];
  const [from, to] = ours.map((name) => line(base, name));
  const same = step.method === "ACK" || step.method === "CANCEL";
  const number = same ? Number.parseInt(line(base, "CSeq"), 10) || 1 : step.cseq;
  const via =
    same && step.which % 2 === 0 ? line(base, "Via") : `SIP/2.0/UDP ${PEER};branch=z9hG4bK-d${step.cseq}${step.method}`;
  return `${step.method} sip:bob@${US} SIP/2.0\r\nVia: ${via}\r\nFrom: ${from}\r\nTo: ${to}\r\nCall-ID: ${line(base, "Call-ID")}\r\nCSeq: ${number} ${step.method}\r\nContact: <sip:x@${PEER}>\r\n${step.lines}Content-Length: 0\r\n\r\n`;
}

function scriptOf(input: string): Script | undefined {
  try {
    return JSON.parse(input) as Script;
  } catch {
    return undefined;
  }
}

const LINES = [
  "",
  "",
  `Contact: <sip:x@${PEER}>\r\n`,
  "Require: 100rel\r\nRSeq: 1\r\n",
  `Require: 100rel\r\nRSeq: 2\r\nContact: <sip:x@${PEER}>\r\n`,
  "RAck: 1 1 INVITE\r\n",
  "Supported: 100rel, timer, replaces\r\n",
  "Session-Expires: 90;refresher=uac\r\nSupported: timer\r\n",
  "Session-Expires: 90;refresher=uas\r\nRequire: timer\r\n",
  "Min-SE: 120\r\n",
  "Expires: 60\r\n",
  "Event: refer\r\nSubscription-State: active;expires=60\r\n",
  "Event: presence\r\nSubscription-State: terminated\r\n",
  "Refer-To: <sip:y@10.0.0.9>\r\n",
  "Retry-After: 1\r\n",
  'WWW-Authenticate: Digest realm="r", nonce="n"\r\n',
  "Contact: <sip:a@10.0.0.9>, <sip:b@10.0.0.9>;q=0.3\r\n",
  `Record-Route: <sip:${PEER};lr>\r\nContact: <sip:x@${PEER};transport=tcp>\r\n`,
  "Route: <sip:10.0.0.2;lr>\r\n",
  "Contact: nonsense\r\n",
  "To: <sip:x@y>;tag=mine\r\n",
  "Max-Forwards: 0\r\n",
] as const;

function step(chance: Chance): Step {
  const at = chance.of([0, 0, 1, 10, 100, 600, 4_000, 35_000]);
  const which = chance.below(6);
  switch (chance.below(12)) {
    case 0:
    case 1:
    case 2:
    case 3: {
      const method = chance.of(["INVITE", "INVITE", "INVITE", ...METHODS]);
      const facts = {
        branch: chance.of(["z9hG4bK-1", "z9hG4bK-2", "z9hG4bK-3", "z9hG4bK-4", "old", ""]),
        callId: chance.of(["c1", "c2"]),
        fromTag: chance.of(["a", "b", ""]),
        toTag: chance.of(["", "", "", "{tag}", "a"]),
        cseq: 1 + chance.below(4),
        sentBy: chance.of([PEER, PEER, PEER, `${US}:5060`]),
      };
      const plain = `${method} sip:bob@${US} SIP/2.0\r\nVia: SIP/2.0/UDP ${facts.sentBy};branch=${facts.branch};rport\r\nFrom: <sip:x@${PEER}>${facts.fromTag && `;tag=${facts.fromTag}`}\r\nTo: <sip:bob@${US}>${facts.toTag && `;tag=${facts.toTag}`}\r\nCall-ID: ${facts.callId}\r\nCSeq: ${facts.cseq} ${method}\r\nContact: <sip:x@${PEER}>\r\n${chance.of(LINES)}Content-Length: 0\r\n\r\n`;
      const text = chance.one(4) ? message(chance, { ...facts, method }) : plain;
      return { at, do: "bytes", text: chance.one(10) ? damage(text, plain, chance) : text };
    }
    case 4:
    case 5:
      return {
        at,
        do: "answer",
        which,
        status: chance.of([100, 180, 183, 200, 200, 202, 302, 401, 422, 486, 487, 491, 503]),
        tag: chance.of(["one", "two"]),
        lines: chance.of(LINES),
      };
    case 6:
    case 7:
      return {
        at,
        do: "request",
        which,
        method: chance.of(["ACK", "ACK", "BYE", "CANCEL", ...METHODS]),
        cseq: 2 + chance.below(6),
        lines: chance.of(LINES),
      };
    case 8:
    case 9:
    case 10:
      return { at, do: "frame", which, payload: payload(chance) };
    default:
      return { at, do: chance.one(2) ? "leave" : "join" };
  }
}

function payload(chance: Chance): string {
  const lines = chance.of(LINES);
  const body = chance.of(["", "", "v=0\r\n"]);
  const method = chance.of([
    "ACK",
    "BYE",
    "INVITE",
    "INVITE",
    "INFO",
    "PRACK",
    "UPDATE",
    "NOTIFY",
    "CANCEL",
    "REFER",
    "SUBSCRIBE",
    "OPTIONS",
    "REGISTER",
    "MESSAGE",
  ]);
  const text = chance.of([
    () =>
      `sip|{tx}|\r\nSIP/2.0 ${chance.of([100, 180, 183, 200, 200, 200, 202, 302, 401, 486, 500])} S\r\n${lines}\r\n${body}`,
    () =>
      `sip|{tx}|\r\nSIP/2.0 ${chance.of([100, 180, 183, 200, 200, 200, 202, 302, 401, 486, 500])} S\r\n${lines}\r\n${body}`,
    () => `sip||{dialog}\r\n${method} sip:placeholder SIP/2.0\r\n${lines}\r\n${body}`,
    () => `sip|{tx}|\r\nCANCEL sip:x@${PEER} SIP/2.0\r\n${lines}\r\n`,
    () =>
      `sip||\r\n${method} sip:x@${chance.of([PEER, PEER, "10.0.0.2", "name.example"])} SIP/2.0\r\n${lines}\r\n${body}`,
    () =>
      `sip|||${uri(chance)}\r\n${method} ${uri(chance)} SIP/2.0\r\nFrom: ${address(chance, "q")}\r\n${lines}\r\n${body}`,
    () =>
      `proxy|{tx}|remainInDialog|fullResponse|${chance.of(["followRedirects", "dontFollowRedirects"])}|${chance.of(["serial", "simultaneous"])}|2s|18s|sip:b@${PEER}|sip:c@${PEER}\r\nINVITE sip:b@${PEER} SIP/2.0\r\n\r\n`,
    () => chance.of(["ping", "route|invite", "remove_route|invite", "sources|allow|10.0.0.0/8", "sip|", "nonsense"]),
  ])();
  return chance.one(10) ? damage(text, text, chance) : text;
}

function make(chance: Chance): string {
  const script: Step[] = [];
  for (let count = 2 + chance.below(30); count > 0; count--) {
    const next = step(chance);
    script.push(next);
    if (chance.one(8)) script.push({ ...next, at: 0 });
  }
  return JSON.stringify(script);
}

/** A call that is answered and ended by the application. */
const CALL = JSON.stringify([
  { at: 0, do: "bytes", text: INVITE },
  { at: 100, do: "frame", which: 0, payload: "sip|{tx}|\r\nSIP/2.0 200 OK\r\n\r\nv=0\r\n" },
  { at: 100, do: "request", which: 0, method: "ACK", cseq: 1, lines: "" },
  { at: 1_000, do: "frame", which: 0, payload: "sip||{dialog}\r\nBYE sip:placeholder SIP/2.0\r\n\r\n" },
  { at: 100, do: "answer", which: 0, status: 200, tag: "", lines: "" },
] satisfies Script);

export const endpointTarget: Target = {
  name: "endpoint",
  seeds: [CALL],
  make,
  mutate(input, other, chance) {
    const script = [...(scriptOf(input) ?? [])];
    const second = scriptOf(other) ?? [];
    for (let times = 1 + chance.below(4); times > 0; times--) {
      const at = chance.below(script.length + 1);
      const here = script[at];
      switch (chance.below(6)) {
        case 0:
          script.splice(at, 1);
          break;
        case 1:
          script.splice(at, 0, step(chance));
          break;
        case 2:
          script.splice(at, 0, ...second.slice(chance.below(second.length + 1)).slice(0, 8));
          break;
        case 3:
          if (here !== undefined) script.splice(chance.below(script.length), 0, here);
          break;
        case 4:
          if (here?.do === "bytes") script[at] = { ...here, text: damage(here.text, here.text, chance) };
          else if (here?.do === "frame") script[at] = { ...here, payload: damage(here.payload, here.payload, chance) };
          break;
        default:
          if (here !== undefined) script[at] = { ...here, at: chance.of([0, 1, 100, 600, 35_000]) };
      }
    }
    return JSON.stringify(script.slice(0, 60));
  },
  run,
  *smaller(input) {
    const script = scriptOf(input) ?? [];
    for (let size = script.length >> 1; size > 0; size >>= 1)
      for (let at = 0; at < script.length; at += size)
        yield JSON.stringify([...script.slice(0, at), ...script.slice(at + size)]);
    for (const [at, one] of script.entries())
      if (one.at > 0) yield JSON.stringify(script.map((other, index) => (index === at ? { ...other, at: 0 } : other)));
  },
};
