// From a URI's host to the targets to try, in order: RFC 3263 §4. Questions to name servers are effects, answers inputs.
//
// naptr ──► services (SRV) ──► addresses (A, AAAA) ──► done
//
// A port, or an address, skips the first two steps; a transport skips the first (§4.1, §4.2). Once the best target is
// known the others have `REST_MS` to become known as well: a slow name server of the second best must not delay a call.

import { seededRng } from "../../../../kernel/rng.ts";
import { impossible, type Step } from "../../../../kernel/step.ts";
import { defaultPort, type TransportName } from "../flow.ts";
import {
  ALIASES_MAX,
  type DnsAnswer,
  type DnsFailure,
  isDomainName,
  type NaptrRecord,
  type Question,
  questionKey,
  type SrvRecord,
} from "./dns.ts";
import { type Hop, nameOf, type Target, targetOfAddress, usualTransport } from "./hop.ts";
import { srvOrder } from "./srv-order.ts";

/** The transports and families we have listeners for, the ones we like best first. WebSocket servers are not looked up. */
export type Support = readonly { readonly transport: TransportName; readonly families: readonly (4 | 6)[] }[];

export interface ResolutionContext {
  readonly hop: Hop;
  readonly support: Support;
  /** Chance, as a number: the same seed gives the same order. */
  readonly seed: number;
}

export type ResolutionTimer = "rest" | "deadline";

/** A question, and its answer once there is one. */
interface Lookup {
  /** Whose name was asked for at first: aliases change the question. */
  readonly host: string;
  readonly question: Question;
  readonly aliases: number;
  readonly answer: Exclude<DnsAnswer, { kind: "alias" }> | undefined;
}

/** A host that offers what we want; its addresses are still to be found. */
interface Server {
  readonly transport: TransportName;
  readonly host: string;
  readonly port: number;
}

export type ResolutionState =
  | { readonly name: "naptr"; readonly lookups: readonly Lookup[]; readonly restRuns: boolean }
  | {
      readonly name: "services";
      readonly lookups: readonly Lookup[];
      /** The transport that each look-up is about. */
      readonly transports: readonly TransportName[];
      readonly restRuns: boolean;
    }
  | {
      readonly name: "addresses";
      readonly lookups: readonly Lookup[];
      readonly servers: readonly Server[];
      readonly restRuns: boolean;
    }
  | { readonly name: "done" };

export type ResolutionInput =
  | { readonly kind: "answer"; readonly question: Question; readonly answer: DnsAnswer }
  | { readonly kind: "timer"; readonly timer: ResolutionTimer };

export type ResolutionEffect =
  | { readonly kind: "ask"; readonly question: Question }
  | { readonly kind: "start-timer"; readonly timer: ResolutionTimer; readonly afterMs: number }
  /** Best first, at most `TARGETS_MAX`. */
  | { readonly kind: "found"; readonly targets: readonly Target[] }
  | { readonly kind: "failed"; readonly because: NoTarget };

/** `none`: there is no such host, or it does not offer SIP. `unsupported`: none of its ways is one of ours. */
export type NoTarget = "none" | "unsupported" | DnsFailure;

type Next = Step<ResolutionState, ResolutionEffect>;

export const TARGETS_MAX = 8;
/** Hosts whose addresses are looked up. */
export const SERVERS_MAX = 8;
/** How long the lesser targets may take once the best one is known. RFC 8305 §3 has 50 ms for the second family. */
export const REST_MS = 100;
/** For everything: a caller waits meanwhile. */
export const DEADLINE_MS = 5_000;

export function start(context: ResolutionContext): Next {
  const { hop, support } = context;
  if (hop.isAddress) return found([targetOfAddress(hop)]);
  if (!isDomainName(hop.host)) return failed("none");
  const usable = support.filter(({ transport }) => isUsable(hop, transport));
  if (usable.length === 0) return failed("unsupported");
  const deadline: ResolutionEffect = { kind: "start-timer", timer: "deadline", afterMs: DEADLINE_MS };
  const next =
    hop.port !== undefined
      ? toAddresses(context, [{ transport: usualTransport(hop), host: hop.host, port: hop.port }])
      : hop.transport !== undefined
        ? toServices([[hop.transport, serviceName(hop.transport, hop.host)]])
        : asking({ name: "naptr", lookups: [lookup({ type: "NAPTR", name: hop.host })], restRuns: false });
  return next.state.name === "done" ? next : { state: next.state, effects: [deadline, ...next.effects] };
}

export function step(context: ResolutionContext, state: ResolutionState, input: ResolutionInput): Next {
  if (state.name === "done") return stay(state);
  if (input.kind === "timer") {
    const lookups = state.lookups.map((one) => (one.answer === undefined ? { ...one, answer: TIMEOUT } : one));
    const known = { ...state, lookups, restRuns: false };
    // What has not come by the deadline will not be waited for in a later step either.
    return input.timer === "rest" ? conclude(context, known) : atDeadline(context, known);
  }
  const { question, answer } = input;
  const effects: ResolutionEffect[] = [];
  let changed = false;
  const lookups = state.lookups.map((one): Lookup => {
    if (one.answer !== undefined || one.question.name !== question.name || one.question.type !== question.type)
      return one;
    changed = true;
    if (answer.kind !== "alias") return { ...one, answer };
    const name = nameOf(answer.name);
    if (one.aliases >= ALIASES_MAX || !isDomainName(name)) return { ...one, answer: { kind: "none", ttlSeconds: 0 } };
    const next: Question = { type: question.type, name };
    effects.push({ kind: "ask", question: next });
    return { host: one.host, question: next, aliases: one.aliases + 1, answer: undefined };
  });
  if (!changed) return stay(state); // an answer to something nobody asks any more
  const known = { ...state, lookups };
  if (lookups.every((one) => one.answer !== undefined)) return conclude(context, known);
  if (known.restRuns || !isBestKnown(known)) return { state: known, effects };
  effects.push({ kind: "start-timer", timer: "rest", afterMs: REST_MS });
  return { state: { ...known, restRuns: true }, effects };
}

type Asking = Exclude<ResolutionState, { name: "done" }>;

/** Whether waiting longer can only add lesser targets. */
function isBestKnown(state: Asking): boolean {
  if (state.name !== "addresses") return state.lookups[0]?.answer?.kind === "found";
  const host = state.servers[0]?.host;
  return state.lookups.some((one) => one.host === host && one.answer?.kind === "found");
}

function conclude(context: ResolutionContext, state: Asking): Next {
  switch (state.name) {
    case "naptr":
      return afterNaptr(context, state.lookups[0]?.answer);
    case "services":
      return afterServices(context, state);
    case "addresses":
      return afterAddresses(context, state);
    default:
      return impossible(state);
  }
}

/** Nothing more is asked: what is known must do. */
function atDeadline(context: ResolutionContext, state: Asking): Next {
  const next = conclude(context, state);
  return next.state.name === "done" ? next : failed("timeout");
}

/** §4.1: the records of services we have, the lowest order among them, by preference; without any, SRV for what we have. */
function afterNaptr(context: ResolutionContext, answer: DnsAnswer | undefined): Next {
  const { hop, support } = context;
  const usable: { readonly record: NaptrRecord; readonly transport: TransportName; readonly name: string }[] = [];
  for (const record of answer?.kind === "found" ? answer.records : []) {
    if (record.type !== "NAPTR") continue;
    const transport = NAPTR_SERVICES[record.services.toUpperCase()];
    const name = nameOf(record.replacement);
    const flags = record.flags.toLowerCase();
    if (transport === undefined || !isUsable(hop, transport) || !isDomainName(name)) continue;
    if (!support.some((ours) => ours.transport === transport)) continue;
    if ((flags === "s" || flags === "a") && record.regexp === "") usable.push({ record, transport, name });
  }
  if (usable.length === 0) {
    const ours = support.filter(({ transport }) => isUsable(hop, transport));
    return toServices(ours.map(({ transport }) => [transport, serviceName(transport, hop.host)]));
  }
  usable.sort((a, b) => a.record.order - b.record.order || a.record.preference - b.record.preference);
  const best = usable.filter(({ record }) => record.order === usable[0]?.record.order).slice(0, SERVERS_MAX);
  if (best[0]?.record.flags.toLowerCase() === "a")
    return toAddresses(
      context,
      best
        .filter(({ record }) => record.flags.toLowerCase() === "a")
        .map(({ transport, name }) => ({ transport, host: name, port: defaultPort(transport) })),
    );
  return toServices(
    best
      .filter(({ record }) => record.flags.toLowerCase() === "s")
      .map(({ transport, name }): [TransportName, string] => [transport, name]),
  );
}

/** §4.2: servers in the order of RFC 2782; no such records at all: the host itself, at the usual port. */
function afterServices(context: ResolutionContext, state: Extract<ResolutionState, { name: "services" }>): Next {
  const { hop, seed } = context;
  const chance = seededRng(seed);
  const servers: Server[] = [];
  let refused = false;
  for (const [at, { answer }] of state.lookups.entries()) {
    const transport = state.transports[at];
    if (transport === undefined || answer?.kind !== "found") continue;
    const records = answer.records.filter((record): record is SrvRecord => record.type === "SRV");
    for (const { target, port } of srvOrder(records, chance)) {
      const host = nameOf(target);
      if (host === "") refused = true;
      else if (isDomainName(host) && port > 0) servers.push({ transport, host, port });
    }
  }
  if (servers.length > 0) return toAddresses(context, servers.slice(0, SERVERS_MAX));
  if (refused) return failed("none"); // "." as the target: RFC 2782
  // A server that could not answer has not said that there are no records: the host itself may be anybody's web server.
  const usual = usualOf(context, state.transports);
  const of = state.lookups[state.transports.indexOf(usual)]?.answer ?? state.lookups[0]?.answer;
  if (of?.kind === "failed") return failed(of.because);
  return toAddresses(context, [{ transport: usual, host: hop.host, port: defaultPort(usual) }]);
}

/** §4.1: UDP for SIP, TLS for SIPS; or what the URI or its NAPTR records asked for. */
function usualOf({ hop, support }: ResolutionContext, asked: readonly TransportName[]): TransportName {
  const usual = usualTransport(hop);
  if (asked.includes(usual)) return usual;
  return asked.find((transport) => support.some((ours) => ours.transport === transport)) ?? usual;
}

function afterAddresses(context: ResolutionContext, state: Extract<ResolutionState, { name: "addresses" }>): Next {
  const { hop, support, seed } = context;
  const targets: Target[] = [];
  let because: NoTarget = "none";
  for (const { transport, host, port } of state.servers)
    for (const family of familiesOf(support, transport)) {
      const type = family === 6 ? "AAAA" : "A";
      const answer = state.lookups.find((one) => one.question.type === type && one.host === host)?.answer;
      if (answer?.kind === "failed") because = answer.because;
      if (answer?.kind !== "found") continue;
      const { records } = answer;
      const first = seed % records.length; // several addresses share the load
      for (let at = 0; at < records.length; at++) {
        const record = records[(first + at) % records.length];
        if (record?.type !== type || targets.length >= TARGETS_MAX) continue;
        targets.push({ transport, address: record.address, port, domain: hop.host });
      }
    }
  return targets.length > 0 ? found(targets) : failed(because);
}

function toServices(asked: readonly (readonly [transport: TransportName, name: string])[]): Next {
  const lookups = asked.map(([, name]) => lookup({ type: "SRV", name }));
  return asking({ name: "services", lookups, transports: asked.map(([transport]) => transport), restRuns: false });
}

function toAddresses({ support }: ResolutionContext, servers: readonly Server[]): Next {
  const lookups = new Map<string, Lookup>();
  for (const { transport, host } of servers)
    for (const family of familiesOf(support, transport)) {
      const type = family === 6 ? "AAAA" : "A";
      lookups.set(`${type} ${host}`, lookup({ type, name: host }));
    }
  if (lookups.size === 0) return failed("unsupported");
  return asking({ name: "addresses", lookups: [...lookups.values()], servers, restRuns: false });
}

/** Each question once, though several look-ups may wait for it. */
function asking(state: Asking): Next {
  const asked = new Map(state.lookups.map(({ question }) => [questionKey(question), question]));
  return { state, effects: [...asked.values()].map((question) => ({ kind: "ask", question })) };
}

const lookup = (question: Question): Lookup => ({ host: question.name, question, aliases: 0, answer: undefined });

const familiesOf = (support: Support, transport: TransportName): readonly (4 | 6)[] =>
  support.find((ours) => ours.transport === transport)?.families ?? [];

/** Whether the URI allows this transport: SIPS means TLS, and browsers' transports have no servers to look up. */
function isUsable(hop: Hop, transport: TransportName): boolean {
  if (transport === "ws" || transport === "wss" || (hop.secure && transport !== "tls")) return false;
  if (hop.transport !== undefined) return hop.transport === transport;
  return hop.port === undefined || transport === usualTransport(hop);
}

/** RFC 3263 §4.1, RFC 3261 §26.2.2: SIPS+D2T is TLS over TCP, also for a SIP URI. SCTP is nobody's here. */
const NAPTR_SERVICES: Readonly<Record<string, TransportName>> = {
  "SIP+D2U": "udp",
  "SIP+D2T": "tcp",
  "SIPS+D2T": "tls",
};

/** RFC 3263 §4.2: what the service is called below the domain. */
export function serviceName(transport: TransportName, domain: string): string {
  if (transport === "tls") return `_sips._tcp.${domain}`;
  return `_sip._${transport}.${domain}`;
}

const TIMEOUT = { kind: "failed", because: "timeout" } as const;

const stay = (state: ResolutionState): Next => ({ state, effects: [] });
const found = (targets: readonly Target[]): Next => ({
  state: { name: "done" },
  effects: [{ kind: "found", targets }],
});
const failed = (because: NoTarget): Next => ({ state: { name: "done" }, effects: [{ kind: "failed", because }] });
