// A call on paper, for tests: a small support flow, a caller, a region and a far end that say what the test wants,
// and a line for every effect.

import { asId } from "../../../kernel/ids.ts";
import type { Flow } from "../ivr/flow.ts";
import type { CallContext, CallEffect, CallInput } from "./call-execution.ts";
import { startCall, stepCall } from "./call-machine.ts";
import type { CallBasics, CallState } from "./call-state.ts";
import type { CallStep } from "./call-step.ts";
import type { RoutingDirective } from "./contact-routing.ts";

const SUPPORT: Flow = {
  id: asId<"flow">("support"),
  tenantId: asId<"tenant">("acme"),
  version: 3,
  start: "menu",
  activities: {
    menu: {
      kind: "menu",
      prompts: [{ kind: "file", name: "acme/welcome" }],
      choices: { "1": "queue", "9": "transfer", "0": "bye" },
      timeoutMs: 4_000,
      attemptsMax: 2,
      noMatchPrompts: [],
      onNoInput: "bye",
      onNoMatch: "bye",
      onFailure: undefined,
    },
    queue: {
      kind: "queue",
      queueId: asId<"queue">("support"),
      music: undefined,
      messages: [],
      messageIntervalMs: 20_000,
      waitMsMax: 60_000,
      onWaitExceeded: "bye",
      priority: 0,
      next: undefined,
      onFailure: "bye",
    },
    transfer: {
      kind: "transfer",
      number: "+4930123456",
      trunkId: undefined,
      ringTimeoutMs: 20_000,
      next: "bye",
      onFailure: "bye",
    },
    bye: { kind: "disconnect", onFailure: undefined },
  },
  variables: {},
};

export const CONTEXT: CallContext = {
  flow: { flow: SUPPORT, defaultTreatment: [], musicOf: () => undefined },
  regionId: asId<"region">("eu"),
  popId: asId<"pop">("fra-01"),
  hostId: asId<"pop-host">("fra-01-a"),
  limits: { setupTimeoutMs: 5_000, ackGraceMs: 1_000, routingTimeoutMs: 10_000, callMsMax: 3_600_000 },
  outboundUri: (number) => `sip:${number}@127.20.0.1`,
};

export const BASICS: CallBasics = {
  id: asId<"call">("c1"),
  tenantId: asId<"tenant">("acme"),
  trunkId: asId<"trunk">("carrier-one"),
  entryPointId: asId<"entry-point">("support-line"),
  flowId: SUPPORT.id,
  flowVersion: SUPPORT.version,
  callingNumber: "+491700000001",
  calledNumber: "+498912345678",
  arrivedAtUnixMs: 1_000,
};

const at = (port: number) => ({ host: "127.10.1.11", port });
const MEDIA = { caller: { relay: at(30_000), remote: at(6_000) }, far: { relay: at(30_002), remote: at(7_000) } };
const LEG = (n: number) => asId<"leg">(`c1.${n}`);

export const offer = (n: number, agent = "alice"): RoutingDirective => ({
  kind: "offer",
  offerId: asId<"offer">(`o${n}`),
  contactId: BASICS.id,
  agentId: asId<"agent">(agent),
  agentUri: `sip:${agent}@127.30.0.1`,
  ringTimeoutMs: 15_000,
  queueId: asId<"queue">("support"),
});

/** Inputs by short names, so that a story reads as one line. */
export const SAID: Readonly<Record<string, CallInput>> = {
  anchored: { kind: "anchored", answer: "ANSWER", codec: "PCMU", media: MEDIA },
  "anchor fails": {
    kind: "anchor-failed",
    failure: { code: "media.relay-away", command: "offer", waitedMs: 1_000 },
  },
  acked: { kind: "caller-acked" },
  cancelled: { kind: "caller-cancelled" },
  "caller hangs up": { kind: "caller-hung-up", reason: "BYE" },
  "presses 1": { kind: "dtmf", side: "caller", digit: "1" },
  "presses 9": { kind: "dtmf", side: "caller", digit: "9" },
  "place 1": {
    kind: "directed",
    directive: { kind: "queued", contactId: BASICS.id, queueId: asId<"queue">("support"), position: 1 },
  },
  "queue refuses": { kind: "directed", directive: { kind: "refused", contactId: BASICS.id, code: "queue.full" } },
  "offer 1": { kind: "directed", directive: offer(1) },
  "offer 2": { kind: "directed", directive: offer(2, "bob") },
  "offer 1 withdrawn": {
    kind: "directed",
    directive: {
      kind: "offer-withdrawn",
      offerId: asId<"offer">("o1"),
      contactId: BASICS.id,
      reason: "agent signed out",
    },
  },
  ...Object.fromEntries(
    [1, 2].flatMap((n): [string, CallInput][] => [
      [`leg ${n} offer ready`, { kind: "leg-offer-ready", leg: LEG(n), sdp: `OFFER${n}` }],
      [`leg ${n} rings`, { kind: "leg-ringing", leg: LEG(n), status: 180 }],
      [`leg ${n} answers`, { kind: "leg-answered", leg: LEG(n), sdp: `FAR${n}` }],
      [`leg ${n} busy`, { kind: "leg-failed", leg: LEG(n), status: 486, detail: "Busy Here" }],
      [`leg ${n} unreachable`, { kind: "leg-failed", leg: LEG(n), status: 0, detail: "no route" }],
      [`leg ${n} bridged`, { kind: "bridged", leg: LEG(n), codec: "PCMU", media: MEDIA }],
      [
        `leg ${n} bridge fails`,
        { kind: "bridge-failed", leg: LEG(n), failure: { code: "media.no-such-leg", leg: LEG(n) } },
      ],
      [`leg ${n} refers`, { kind: "referred", side: LEG(n), request: "7", number: "+4930123456" }],
      [`leg ${n} hangs up`, { kind: "leg-hung-up", leg: LEG(n), reason: "BYE" }],
    ]),
  ),
  "park fails": { kind: "park-failed", failure: { code: "media.relay-away", command: "offer", waitedMs: 1_000 } },
  "welcome lost": { kind: "played", play: asId<"play">("flow-1"), how: "lost" },
  "music lost": { kind: "played", play: asId<"play">("flow-2"), how: "lost" },
  "media lost": { kind: "media-lost" },
  "caller re-anchored": { kind: "re-anchored", offers: [{ side: "caller", sdp: "PLACE" }], media: MEDIA },
  "both re-anchored": {
    kind: "re-anchored",
    offers: [
      { side: "caller", sdp: "PLACE" },
      { side: LEG(1), sdp: "PLACE1" },
    ],
    media: MEDIA,
  },
  "anchored where it was": { kind: "re-anchored", offers: [], media: MEDIA },
  "no new place": {
    kind: "re-anchor-failed",
    failure: { code: "media.relay-away", command: "offer", waitedMs: 500 },
  },
  "caller takes it": { kind: "reinvite-answered", side: "caller", sdp: "TAKEN" },
  "leg 1 takes it": { kind: "reinvite-answered", side: LEG(1), sdp: "TAKEN1" },
  "caller's dialog is gone": { kind: "reinvite-failed", side: "caller", status: 481, detail: "no such dialog" },
  "leg 1's dialog is gone": { kind: "reinvite-failed", side: LEG(1), status: 408, detail: "no answer" },
  "worker back": { kind: "worker-back" },
  "welcome ends": { kind: "played", play: asId<"play">("flow-1"), how: "finished" },
  "welcome plays": { kind: "play-started", play: asId<"play">("flow-1") },
  "music plays": { kind: "play-started", play: asId<"play">("flow-2") },
  /** By a process that took 300 ms to be there. */
  resumed: { kind: "resumed", outageMs: 300, epoch: 2 },
  "caller re-offers": { kind: "reoffered", side: "caller", request: "1", sdp: "HOLD" },
  "caller asks for an offer": { kind: "reoffered", side: "caller", request: "2", sdp: undefined },
  "re-offer answered": { kind: "reoffer-answered", side: "caller", request: "1", sdp: "HELD" },
  "operator hangs up": { kind: "hang-up-command", code: "operator.hung-up" },
  "sip-server gone": { kind: "signalling-lost", code: "sip.server-away" },
  "answer fails": { kind: "answer-failed", detail: "unknown transaction" },
  ...Object.fromEntries(
    (
      [
        "call.setup",
        "call.ack",
        "call.ring",
        "call.routing",
        "call.worker",
        "call.limit",
        "flow.input",
        "flow.wait",
      ] as const
    ).map((timer): [string, CallInput] => [timer, { kind: "timer", timer }]),
  ),
};

/** What an effect is, in a few words; timers that are stopped for safety, notes and events are left out. */
export function showEffect(effect: CallEffect): string | undefined {
  switch (effect.kind) {
    case "note":
    case "stop-timer":
      return undefined;
    case "tell":
      return `tell ${effect.event.name}`;
    case "start-timer":
      return `start ${effect.timer} ${effect.afterMs}`;
    case "report": {
      const { report } = effect;
      if (report.kind === "offer-failed") return `report ${report.offerId} ${report.failure}`;
      if (report.kind === "cancel") return `report cancel ${report.reason}`;
      return `report ${report.kind}${"offerId" in report ? ` ${report.offerId}` : ""}`;
    }
    case "play":
      return `play ${effect.playing.prompts.map((prompt) => (prompt.kind === "file" ? prompt.name : "text")).join("+")}${effect.playing.repeat === "forever" ? " forever" : ""}${effect.playing.fromMs > 0 ? ` from ${effect.playing.fromMs}` : ""}`;
    case "reject":
      return `reject ${effect.status} ${effect.code}`;
    case "hang-up":
      return `hang-up ${effect.side} ${effect.code}`;
    case "ended":
      return `ended by ${effect.record.endedBy} ${effect.record.endCode}`;
    case "accept-refer":
    case "reject-refer":
    case "notify-refer":
      return `${effect.kind}${"status" in effect ? ` ${effect.status}` : ""}`;
    case "reinvite":
    case "take-answer":
      return `${effect.kind} ${effect.side} ${effect.sdp}`;
    case "re-anchor":
      return `re-anchor caller${effect.leg === undefined ? "" : ` and ${effect.leg}`}`;
    case "reoffer":
    case "answer-reoffer":
    case "reject-reoffer":
      return `${effect.kind} ${effect.side}`;
    default:
      return "leg" in effect ? `${effect.kind} ${effect.leg}` : effect.kind;
  }
}

export interface Rehearsed {
  readonly state: CallState;
  readonly effects: readonly CallEffect[];
  /** One line a step: "said -> effects". */
  readonly lines: readonly string[];
}

/** Plays a story, one second a step. Each step goes through JSON, as a checkpoint does. */
export function rehearse(story: readonly string[]): Rehearsed {
  const lines: string[] = [];
  const effects: CallEffect[] = [];
  let nowUnixMs = BASICS.arrivedAtUnixMs;
  const take = (said: string, step: CallStep): CallState => {
    effects.push(...step.effects);
    const shown = step.effects.map(showEffect).filter((line) => line !== undefined && !line.startsWith("tell"));
    lines.push(`${said} -> ${shown.join(", ")}`);
    return JSON.parse(JSON.stringify(step.state)) as CallState;
  };
  let state = take("arrives", startCall(CONTEXT, BASICS));
  for (const said of story) {
    nowUnixMs += 1_000;
    const input = SAID[said];
    if (input === undefined) throw new Error(`nobody says "${said}"`);
    state = take(said, stepCall(CONTEXT, state, input, nowUnixMs));
  }
  return { state, effects, lines };
}
