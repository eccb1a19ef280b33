// Blind transfer: the far party asks us (REFER, RFC 3515, RFC 5589 §6) to bring the caller to a number. Both go on talking while the
// target's leg is prepared and rings; the referrer hears what becomes of it, and is let go when the target is there. A
// referrer that hangs up before that leaves the caller with us, and the target becomes the leg that we place.
//
// Not here: attended transfer (Replaces), and a caller who refers.

import { asId, type LegId } from "../../../kernel/ids.ts";
import { impossible } from "../../../kernel/step.ts";
import { showAddress } from "../media/addresses.ts";
import type { CallInput } from "./call-execution.ts";
import type { FarLeg, Party, Refer, ReferTarget, Running } from "./call-state.ts";
import { closeSegment, type Turn } from "./turn.ts";

type Talking = Extract<FarLeg, { name: "talking" }>;
type Trying = Extract<Refer, { name: "trying" }>;
type LegInput = Extract<CallInput, { readonly leg: LegId }>;

/** As long as a flow lets a transfer ring when it says nothing else. */
const RING_TIMEOUT_MS = 30_000;

export function referred(turn: Turn, run: Running, input: Extract<CallInput, { kind: "referred" }>): void {
  const { side, request, number } = input;
  const refuse = (status: number, why: string) => {
    turn.note("call", `REFER refused with ${status}`, why);
    turn.do({ kind: "reject-refer", side, request, status });
  };
  const { far } = run;
  if (far.name !== "talking" || far.leg !== side)
    return refuse(603, "only the party that the caller talks to may refer");
  if (run.refer.name !== "none") return refuse(491, "a transfer is under way");
  const uri = number === undefined ? undefined : turn.ctx.outboundUri(number, undefined);
  if (uri === undefined) return refuse(404, "no trunk carries the target");

  const leg = asId<"leg">(`${turn.state.basics.id}.${run.legCount + 1}`);
  const insteadOf = far.party.kind === "referred" ? far.party.insteadOf : far.party.kind;
  const party: Party = { kind: "referred", uri, ringTimeoutMs: RING_TIMEOUT_MS, insteadOf };
  turn.run({
    legCount: run.legCount + 1,
    refer: { name: "trying", request, target: { name: "preparing", leg, party, sinceUnixMs: turn.now } },
  });
  turn.do({ kind: "accept-refer", side, request });
  turn.do({ kind: "notify-refer", side, request, status: 100, over: false });
  turn.tell("transfer.started", {});
  turn.note("call", "transfer asked for by REFER", `leg ${leg}`);
  turn.do({ kind: "offer-leg", leg });
}

/** What is said of the target while the referrer still talks. */
export function referTarget(turn: Turn, far: Talking, refer: Trying, input: LegInput): void {
  const { target, request } = refer;
  const notify = (status: number, over: boolean) =>
    turn.do({ kind: "notify-refer", side: far.leg, request, status, over });
  switch (input.kind) {
    case "leg-offer-ready": {
      if (target.name !== "preparing") return;
      const ringing = { ...target, name: "ringing" as const, farSdp: input.sdp };
      turn.run({ refer: { ...refer, target: ringing } });
      invite(turn, ringing);
      return turn.start("call.ring", target.party.ringTimeoutMs);
    }
    case "leg-ringing":
      return target.name === "ringing" ? notify(input.status, false) : undefined;
    case "leg-answered":
      if (target.name !== "ringing") return;
      turn.stop("call.ring");
      turn.run({ refer: { ...refer, target: { ...target, name: "joining", answer: input.sdp } } });
      return turn.do({ kind: "bridge", leg: target.leg, answer: input.sdp });
    case "bridged":
      if (target.name === "joining") targetThere(turn, far, request, target, input);
      return;
    case "leg-offer-failed":
      return target.name === "preparing" ? giveUp(turn, far, refer, 503, input.failure.code) : undefined;
    case "leg-failed":
      if (target.name === "ringing") giveUp(turn, far, refer, input.status === 0 ? 503 : input.status, input.detail);
      return;
    case "leg-hung-up":
      return target.name === "joining" ? giveUp(turn, far, refer, 480, input.reason) : undefined;
    case "bridge-failed":
      if (target.name !== "joining") return;
      turn.do({ kind: "hang-up", side: target.leg, code: input.failure.code });
      return giveUp(turn, far, refer, 503, input.failure.code);
    default:
      return impossible(input);
  }
}

/** The target does not answer: the two who talk go on. */
export function referTimedOut(turn: Turn, far: Talking, refer: Trying): void {
  turn.do({ kind: "cancel-leg", leg: refer.target.leg });
  giveUp(turn, far, refer, 408, "leg.no-answer");
}

/** Ends the target's leg with the call, or because nobody wants it any more. */
export function dropTarget(turn: Turn, { refer }: Running, outcome: string): void {
  if (refer.name === "none") return;
  const { target } = refer;
  turn.stop("call.ring");
  turn.ringingOver(target, outcome);
  if (target.name === "ringing") turn.do({ kind: "cancel-leg", leg: target.leg });
  if (target.name === "joining") turn.do({ kind: "hang-up", side: target.leg, code: outcome });
  turn.run({ refer: { name: "none" } });
}

/** The referrer has hung up before the target was there: the caller waits for it, to the queue's music where there is one. */
export function referrerLeft(turn: Turn, far: Talking, target: ReferTarget, reason: string): void {
  turn.note("call", "referrer hung up", `${reason}; the caller waits for the target`);
  turn.run({ far: target, refer: { name: "none" } });
  turn.do({ kind: "park", leg: far.leg });
  referrerGone(turn, far);
  const music = far.party.kind === "agent" ? turn.ctx.flow.musicOf(far.party.queueId) : undefined;
  if (music === undefined || target.name === "joining") return;
  const playing = {
    play: asId<"play">(`${target.leg}.refer`),
    prompts: [music],
    repeat: "forever" as const,
    fromMs: 0,
    sinceUnixMs: undefined,
  };
  turn.run({ playing });
  turn.do({ kind: "play", playing });
}

/** Taken up again by the next process: what was last asked for the target may have been missed. */
export function referResumed(turn: Turn, { refer }: Running): void {
  if (refer.name === "none") return;
  const { target } = refer;
  if (target.name === "preparing") return turn.do({ kind: "offer-leg", leg: target.leg });
  if (target.name === "ringing") return invite(turn, target);
  turn.do({ kind: "bridge", leg: target.leg, answer: target.answer });
}

function invite(turn: Turn, { leg, party, farSdp }: Extract<ReferTarget, { name: "ringing" }>): void {
  const { callingNumber } = turn.state.basics;
  turn.do({ kind: "invite", leg, uri: party.uri, sdp: farSdp, callingNumber });
}

function targetThere(
  turn: Turn,
  far: Talking,
  request: string,
  target: Extract<ReferTarget, { name: "joining" }>,
  { media, codec }: Extract<CallInput, { kind: "bridged" }>,
): void {
  const { leg, party, farSdp } = target;
  turn.ringingOver(target, "answered");
  turn.tookMedia("number", media.far, codec);
  turn.do({ kind: "notify-refer", side: far.leg, request, status: 200, over: true });
  turn.do({ kind: "hang-up", side: far.leg, code: "transfer.done" });
  turn.do({ kind: "drop-leg", leg: far.leg });
  turn.run({ far: { name: "talking", leg, party, farSdp }, refer: { name: "none" } });
  referrerGone(turn, far);
  turn.tell("transfer.answered", {});
  turn.note("media", "target and caller joined", `relay ${showAddress(media.far.relay)}`);
}

/** The referrer's part of the call is over; the region may give an agent the next contact. */
function referrerGone(turn: Turn, { party }: Talking): void {
  closeSegment(turn, "transferred", "transfer");
  if (party.kind !== "agent") return;
  turn.report({ kind: "agent-released", offerId: party.offerId, contactId: turn.state.basics.id });
  turn.tell("agent.left", { agentId: party.agentId, queueId: party.queueId });
}

function giveUp(turn: Turn, far: Talking, { target, request }: Trying, status: number, why: string): void {
  turn.stop("call.ring");
  turn.ringingOver(target, "unreachable");
  turn.run({ refer: { name: "none" } });
  turn.do({ kind: "drop-leg", leg: target.leg });
  turn.do({ kind: "notify-refer", side: far.leg, request, status, over: true });
  turn.tell("transfer.failed", { failure: "unreachable", sipStatus: String(status) });
  turn.note("call", "transfer failed, both talk on", `${status} ${why}`);
}
