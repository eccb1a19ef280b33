// One call, from INVITE to contact record: the caller's leg, the flow that runs for it, its place in a queue,
// and the one leg that we place for it. Pure; what it asks for is in call-execution.ts.
//
// Invariants, after every step:
//   (a) an ended call has no effects any more, and "ended" was asked for exactly once;
//   (b) a leg we asked to invite is, in the end, cancelled, hung up, or reported as failed or hung up by itself;
//   (c) an offer of the region is, in the end, reported failed, or accepted and then released;
//   (d) a contact that was put into a queue is cancelled there, unless an agent took it or the region refused it;
//   (e) media is released when the call ends;
//   (f) "resumed" says again what the present state wishes of others, and changes nothing else: it may come at any moment,
//       and as often as hosts die.

import { asId, type LegId } from "../../../kernel/ids.ts";
import { impossible } from "../../../kernel/step.ts";
import type { UnixMs } from "../../../kernel/units.ts";
import { judge } from "../failure/judge.ts";
import type { FlowEffect, FlowInput } from "../ivr/flow-execution.ts";
import { type FlowStep, startFlow, stepFlow } from "../ivr/flow-machine.ts";
import { type MediaAddresses, showAddress } from "../media/addresses.ts";
import type { Sdp } from "../media/sdp.ts";
import { dropFarLeg, endCall, ended, hangUpAndEnd, offerGone, type PlacedLeg } from "./call-end.ts";
import type { CallContext, CallInput, CallTimer } from "./call-execution.ts";
import {
  type CallBasics,
  type CallPhase,
  type CallState,
  type FarLeg,
  type Invited,
  type Party,
  type Playing,
  positionMs,
  type Running,
} from "./call-state.ts";
import type { CallStep } from "./call-step.ts";
import type { EndedBy } from "./contact-record.ts";
import type { RoutingDirective } from "./contact-routing.ts";
import { mediaLost, reAnchored, reinviteAnswered } from "./re-anchor.ts";
import { referResumed, referred, referrerLeft, referTarget, referTimedOut } from "./refer.ts";
import { closeSegment, Turn } from "./turn.ts";

/** For a media worker to be started again and found: some 600 ms. Longer is dead air, and the flow takes its failure path. */
const WORKER_WAIT_MS = 3_000;

/** A call that admission and routing let through. */
export function startCall(ctx: CallContext, basics: CallBasics): CallStep {
  const turn = new Turn(ctx, basics.arrivedAtUnixMs, {
    basics,
    phase: { name: "anchoring" },
    eventCount: 0,
    segments: [],
    media: [],
  });
  turn.tell("call.arrived", { trunkId: basics.trunkId, entryPointId: basics.entryPointId });
  turn.note("call", "arrived", `entry point ${basics.entryPointId} runs flow ${basics.flowId}@${basics.flowVersion}`);
  turn.do({ kind: "anchor" });
  turn.start("call.setup", ctx.limits.setupTimeoutMs);
  return turn.done();
}

export function stepCall(ctx: CallContext, state: CallState, input: CallInput, nowUnixMs: UnixMs): CallStep {
  const turn = new Turn(ctx, nowUnixMs, state);
  switch (state.phase.name) {
    case "anchoring":
      anchoring(turn, input);
      break;
    case "answering":
      answering(turn, state.phase, input);
      break;
    case "running":
      running(turn, state.phase, input);
      break;
    case "ended":
      ended(turn, input);
      break;
    default:
      return impossible(state.phase);
  }
  return turn.done();
}

/** Before our answer: the caller may cancel, and media may not be had. */
function anchoring(turn: Turn, input: CallInput): void {
  switch (input.kind) {
    case "anchored":
      turn.stop("call.setup");
      turn.tookMedia("caller", input.media.caller, input.codec);
      turn.phase({ name: "answering", answeredAtUnixMs: turn.now, callerSdp: input.answer });
      turn.do({ kind: "answer", sdp: input.answer });
      turn.start("call.ack", turn.ctx.limits.ackGraceMs);
      turn.start("call.limit", turn.ctx.limits.callMsMax);
      return turn.tell("call.answered", {});
    case "anchor-failed": {
      const verdict = judge(input.failure);
      turn.do({
        kind: "reject",
        status: verdict.sipStatus,
        code: input.failure.code,
        retryAfterSeconds: verdict.retryAfterSeconds,
      });
      return endCall(turn, "system", input.failure.code);
    }
    case "timer":
      if (input.timer !== "call.setup") return;
      turn.do({ kind: "reject", status: 503, code: "call.setup-timeout", retryAfterSeconds: 5 });
      return endCall(turn, "system", "call.setup-timeout");
    case "caller-cancelled":
    case "caller-hung-up":
      return endCall(turn, "caller", "abandoned");
    case "hang-up-command":
      turn.do({ kind: "reject", status: 480, code: input.code, retryAfterSeconds: undefined });
      return endCall(turn, "system", input.code);
    case "signalling-lost":
      return endCall(turn, "system", input.code);
    case "resumed":
      takenOver(turn, input);
      return turn.do({ kind: "anchor" });
    default:
      return; // nothing else can be about a call that is not answered
  }
}

type Answering = Extract<CallPhase, { name: "answering" }>;

/** Our 200 is out. The flow starts with the ACK, or a moment later without it: the caller listens already. */
function answering(turn: Turn, phase: Answering, input: CallInput): void {
  switch (input.kind) {
    case "caller-acked":
      return startRunning(turn, phase);
    case "timer":
      if (input.timer === "call.ack") return startRunning(turn, phase);
      if (input.timer === "call.limit") return hangUpAndEnd(turn, "system", "call.too-long");
      return;
    case "answer-failed":
      turn.note("call", "answer failed", input.detail);
      turn.phase({ name: "anchoring" });
      return endCall(turn, "system", "sip.answer-failed");
    case "caller-cancelled":
      // Told only when it came before our 200 at the server: nobody was answered. RFC 3261 §9.2
      turn.phase({ name: "anchoring" });
      return endCall(turn, "caller", "abandoned");
    case "caller-hung-up":
      return endCall(turn, "caller", "normal");
    case "reoffered":
      return reoffered(turn, input, phase.callerSdp);
    case "reoffer-answered":
    case "reoffer-failed":
      return reofferSettled(turn, input);
    case "worker-back":
      return turn.do({ kind: "reattach-worker" });
    case "media-lost":
      return mediaLost(turn);
    case "re-anchored":
      return reAnchored(turn, input);
    case "reinvite-answered":
      return reinviteAnswered(turn, input);
    case "re-anchor-failed":
    case "reinvite-failed":
      return hangUpAndEnd(turn, "system", "media.re-anchor-failed");
    case "hang-up-command":
      return hangUpAndEnd(turn, "system", input.code);
    case "signalling-lost":
      return endCall(turn, "system", input.code);
    case "resumed":
      takenOver(turn, input);
      return turn.do({ kind: "answer", sdp: phase.callerSdp });
    default:
      return;
  }
}

function startRunning(turn: Turn, { answeredAtUnixMs, callerSdp }: Answering): void {
  turn.stop("call.ack");
  const { id, callingNumber, calledNumber } = turn.state.basics;
  const first = startFlow(turn.ctx.flow, { id, callingNumber, calledNumber });
  turn.phase({
    name: "running",
    answeredAtUnixMs,
    callerSdp,
    flow: first.state,
    playing: undefined,
    place: { name: "none" },
    far: { name: "none" },
    refer: { name: "none" },
    legCount: 0,
    current: { kind: "flow", startedAtUnixMs: answeredAtUnixMs, queueId: undefined, agentId: undefined },
  });
  afterFlow(turn, first, "flow");
}

function running(turn: Turn, run: Running, input: CallInput): void {
  switch (input.kind) {
    case "played":
      return played(turn, run, input);
    case "play-started":
      if (run.playing?.play !== input.play) return;
      turn.stop("call.worker"); // it was back before we heard that it had gone
      return turn.run({ playing: { ...run.playing, sinceUnixMs: turn.now } });
    case "dtmf":
      if (input.side !== "caller" || run.far.name === "talking") return; // between the two of them
      return feedFlow(turn, { kind: "digit", digit: input.digit });
    case "timer":
      return timerFired(turn, run, input.timer);
    case "directed":
      return directed(turn, run, input.directive);
    case "leg-offer-ready":
    case "leg-offer-failed":
    case "leg-ringing":
    case "leg-answered":
    case "leg-failed":
    case "leg-hung-up":
    case "bridged":
    case "bridge-failed":
      return farLeg(turn, run, input);
    case "caller-cancelled":
    case "caller-hung-up":
      return endCall(turn, "caller", run.place.name === "none" ? "normal" : "abandoned");
    case "answer-failed":
      turn.note("call", "answer failed", input.detail);
      return endCall(turn, "system", "sip.answer-failed");
    case "referred":
      return referred(turn, run, input);
    case "reoffered":
      return reoffered(turn, input, input.side === "caller" ? run.callerSdp : farSdpOf(run.far));
    case "reoffer-answered":
    case "reoffer-failed":
      return reofferSettled(turn, input);
    case "media-lost":
      return mediaLost(turn);
    case "re-anchored":
      return reAnchored(turn, input);
    case "re-anchor-failed":
      turn.note("media", "no new place at the relay", input.failure.code);
      return hangUpAndEnd(turn, "system", "media.re-anchor-failed");
    case "reinvite-answered":
      return reinviteAnswered(turn, input);
    case "reinvite-failed":
      return reinviteFailed(turn, run, input);
    case "park-failed":
      turn.note("media", "caller could not be brought back to the prompts", input.failure.code);
      return hangUpAndEnd(turn, "system", input.failure.code);
    case "worker-back":
      // To anchor again drops the legs of the relay: two who talk, or are being joined, stay so.
      if (run.far.name === "talking" || run.far.name === "joining") return;
      turn.stop("call.worker");
      turn.do({ kind: "reattach-worker" });
      if (run.playing !== undefined) playFrom(turn, run.playing, positionMs(run.playing, turn.now));
      return;
    case "hang-up-command":
      return hangUpAndEnd(turn, "system", input.code);
    case "signalling-lost":
      return endCall(turn, "system", input.code);
    case "resumed":
      takenOver(turn, input);
      return resume(turn, run, turn.now - input.outageMs);
    case "caller-acked":
    case "anchored":
    case "anchor-failed":
      return;
    default:
      return impossible(input);
  }
}

/** A worker that was started again plays what we still want; the flow hears of it only when none comes in time. */
function played(turn: Turn, run: Running, { play, how }: Extract<CallInput, { kind: "played" }>): void {
  const wanted = run.playing?.play === play;
  if (how === "lost" && wanted) {
    if (run.playing !== undefined) turn.run({ playing: standing(run.playing, positionMs(run.playing, turn.now)) });
    turn.note("media", "media worker away", `waiting ${WORKER_WAIT_MS} ms for it`);
    return turn.start("call.worker", WORKER_WAIT_MS);
  }
  if (wanted) turn.run({ playing: undefined });
  feedFlow(turn, { kind: "played", play, how: how === "lost" ? "stopped" : how });
}

function workerStaysAway(turn: Turn, { playing }: Running): void {
  if (playing === undefined) return;
  turn.run({ playing: undefined });
  feedFlow(turn, { kind: "played", play: playing.play, how: "failed" });
}

const standing = (playing: Playing, fromMs: number): Playing => ({ ...playing, fromMs, sinceUnixMs: undefined });

function playFrom(turn: Turn, from: Playing, fromMs: number): void {
  const playing = standing(from, fromMs);
  turn.run({ playing });
  turn.do({ kind: "play", playing });
}

// ---- taken up again by the next process (f)

function takenOver(turn: Turn, { outageMs, epoch }: Extract<CallInput, { kind: "resumed" }>): void {
  turn.note("call", "taken over", `epoch ${epoch}, ${outageMs} ms after the former process was last heard of`);
  turn.tell("call.taken-over", { epoch: String(epoch), outageMs: String(outageMs) });
}

/**
 * The region hears of place and offer when its stream is up (`held`), running timers are the shell's: what is left is the
 * relay, the worker and the SIP server, each of which may have missed the last thing asked of it.
 */
function resume(turn: Turn, run: Running, diedAtUnixMs: UnixMs): void {
  const { far, playing } = run;
  if (far.name === "talking") return referResumed(turn, run);
  turn.stop("call.worker");
  const beforeLast = far.name === "none" ? run.legCount : run.legCount - 1;
  if (beforeLast > 0) turn.do({ kind: "park", leg: legOf(turn, beforeLast) });
  if (far.name === "joining") {
    // The worker is silent until both talk; should they not, farFailed plays on from here.
    if (playing !== undefined) turn.run({ playing: standing(playing, positionMs(playing, diedAtUnixMs)) });
    if (far.movedTo !== undefined) return turn.do({ kind: "reinvite", side: far.leg, sdp: far.movedTo });
    return turn.do({ kind: "bridge", leg: far.leg, answer: far.answer });
  }
  if (playing !== undefined) playFrom(turn, playing, positionMs(playing, diedAtUnixMs));
  if (far.name === "preparing") turn.do({ kind: "offer-leg", leg: far.leg });
  if (far.name === "ringing") invite(turn, far);
}

function timerFired(turn: Turn, run: Running, timer: CallTimer): void {
  switch (timer) {
    case "flow.input":
    case "flow.message":
    case "flow.wait":
      return feedFlow(turn, { kind: "timer", timer });
    case "call.ring":
      if (run.far.name === "talking" && run.refer.name === "trying") return referTimedOut(turn, run.far, run.refer);
      return run.far.name === "ringing" ? ringTimedOut(turn, run.far) : undefined;
    case "call.routing":
      if (run.place.name !== "joining") return;
      leaveQueue(turn, run, "released");
      turn.note("queue", "region did not answer", `within ${turn.ctx.limits.routingTimeoutMs} ms`);
      return feedFlow(turn, { kind: "queue-refused", code: "routing.unreachable" });
    case "call.worker":
      return workerStaysAway(turn, run);
    case "call.limit":
      return hangUpAndEnd(turn, "system", "call.too-long");
    case "call.ack":
    case "call.setup":
      return; // stale
    default:
      return impossible(timer);
  }
}

// ---- the region's directives ----

function directed(turn: Turn, run: Running, directive: RoutingDirective): void {
  switch (directive.kind) {
    case "queued": {
      if (run.place.name === "none" || run.place.queueId !== directive.queueId) return;
      if (run.place.name === "waiting" && run.place.position === directive.position) return;
      const { queueId, priority, enqueuedAtUnixMs } = run.place;
      turn.stop("call.routing");
      turn.run({ place: { name: "waiting", position: directive.position, queueId, priority, enqueuedAtUnixMs } });
      turn.note("queue", `place ${directive.position} in ${queueId}`, "the region says so");
      turn.tell("queue.position", { queueId, position: String(directive.position) });
      return feedFlow(turn, { kind: "queue-position", position: directive.position });
    }
    case "refused": {
      if (run.place.name === "none") return;
      if (run.far.name !== "none" && run.far.name !== "talking") dropFarLeg(turn, run.far, "withdrawn");
      turn.stop("call.routing");
      turn.run({ place: { name: "none" } });
      closeSegment(turn, directive.code, "flow");
      turn.note("queue", "refused", directive.code);
      turn.tell("queue.refused", { code: directive.code });
      return feedFlow(turn, { kind: "queue-refused", code: directive.code });
    }
    case "offer": {
      if (run.far.name !== "none" && run.far.party.kind === "agent" && run.far.party.offerId === directive.offerId)
        return; // told twice
      if (run.place.name === "none" || run.far.name !== "none") return turn.report(offerGone(turn, directive));
      const { agentId, offerId, queueId, ringTimeoutMs } = directive;
      turn.stop("call.routing");
      turn.tell("agent.offered", { agentId, queueId });
      turn.note("queue", `offered to agent ${agentId}`, `offer ${offerId}`);
      return placeLeg(turn, run, { kind: "agent", agentId, offerId, queueId, uri: directive.agentUri, ringTimeoutMs });
    }
    case "offer-withdrawn": {
      const { far } = run;
      if (far.name === "none" || far.party.kind !== "agent" || far.party.offerId !== directive.offerId) return;
      if (far.name === "joining" || far.name === "talking") return; // too late: the agent has answered
      turn.note("queue", `offer to ${far.party.agentId} withdrawn`, directive.reason);
      return dropFarLeg(turn, far, "withdrawn");
    }
    default:
      return impossible(directive);
  }
}

// ---- the leg that we place ----

function placeLeg(turn: Turn, run: Running, party: Party): void {
  const leg = legOf(turn, run.legCount + 1);
  turn.run({ legCount: run.legCount + 1, far: { name: "preparing", leg, party, sinceUnixMs: turn.now } });
  turn.do({ kind: "offer-leg", leg });
}

const legOf = (turn: Turn, count: number): LegId => asId<"leg">(`${turn.state.basics.id}.${count}`);

function invite(turn: Turn, { leg, party, farSdp }: Pick<Invited, "leg" | "party" | "farSdp">): void {
  const { callingNumber } = turn.state.basics;
  turn.do({ kind: "invite", leg, uri: party.uri, sdp: farSdp, callingNumber });
}

type FarLegInput = Extract<CallInput, { readonly leg: LegId }>;

/** What is said of a leg that is no longer ours changes nothing: the adapter ends late answers by itself. */
function farLeg(turn: Turn, run: Running, input: FarLegInput): void {
  const { far, refer } = run;
  if (far.name === "talking" && refer.name === "trying" && refer.target.leg === input.leg)
    return referTarget(turn, far, refer, input);
  if (far.name === "none" || far.leg !== input.leg) return;
  switch (input.kind) {
    case "leg-offer-ready":
      if (far.name !== "preparing") return;
      turn.run({ far: { ...far, name: "ringing", farSdp: input.sdp } });
      invite(turn, { leg: far.leg, party: far.party, farSdp: input.sdp });
      return turn.start("call.ring", far.party.ringTimeoutMs);
    case "leg-offer-failed":
      if (far.name !== "preparing") return;
      return farFailed(turn, far, { failure: "unreachable", sipStatus: 0, code: input.failure.code });
    case "leg-ringing":
      if (far.name === "ringing") turn.tell("leg.ringing", { ...whoIs(far.party), status: String(input.status) });
      return;
    case "leg-answered":
      if (far.name !== "ringing") return;
      turn.stop("call.ring");
      if (far.movedTo !== undefined) {
        turn.run({ far: { ...far, name: "joining", farSdp: far.movedTo, answer: input.sdp } });
        return turn.do({ kind: "reinvite", side: far.leg, sdp: far.movedTo });
      }
      turn.run({ far: { ...far, name: "joining", answer: input.sdp } });
      return turn.do({ kind: "bridge", leg: far.leg, answer: input.sdp });
    case "leg-failed":
      if (far.name !== "ringing") return;
      return farFailed(turn, far, {
        failure: isRefusal(input.status) ? "rejected" : "unreachable",
        sipStatus: input.status,
        code: isRefusal(input.status) ? "leg.rejected" : "leg.unreachable",
      });
    case "leg-hung-up":
      if (far.name === "talking" && refer.name === "trying") return referrerLeft(turn, far, refer.target, input.reason);
      if (far.name === "talking") return farLeft(turn, far, input.reason);
      if (far.name !== "joining") return;
      return farFailed(turn, far, { failure: "unreachable", sipStatus: 0, code: "leg.hung-up" });
    case "bridged":
      return far.name === "joining" ? bridged(turn, far, input.media, input.codec) : undefined;
    case "bridge-failed":
      if (far.name !== "joining") return;
      turn.do({ kind: "hang-up", side: far.leg, code: input.failure.code });
      return farFailed(turn, far, { failure: "unreachable", sipStatus: 0, code: input.failure.code });
    default:
      return impossible(input);
  }
}

/** The party itself said no; everything else says nothing about the party. */
const isRefusal = (status: number): boolean =>
  status === 486 || status === 600 || status === 603 || status === 403 || status === 607 || status === 608;

const whoIs = (party: Party): Record<string, string> =>
  party.kind === "agent" ? { agentId: party.agentId, queueId: party.queueId } : { party: "number" };

const showParty = (party: Party): string => (party.kind === "agent" ? `agent ${party.agentId}` : "the dialled number");

function bridged(turn: Turn, far: Extract<FarLeg, { name: "joining" }>, media: MediaAddresses, codec: string): void {
  const { party, leg, farSdp } = far;
  turn.ringingOver(far, "answered");
  turn.tookMedia(party.kind === "agent" ? "agent" : "number", media.far, codec);
  if (party.kind === "referred") return referredThere(turn, far, media);
  closeSegment(
    turn,
    "answered",
    party.kind === "agent" ? "agent" : "transfer",
    party.kind === "agent" ? { queueId: party.queueId, agentId: party.agentId } : undefined,
  );
  turn.run({ far: { name: "talking", leg, party, farSdp }, place: { name: "none" } });
  turn.note("media", `${showParty(party)} and caller joined`, `relay ${showAddress(media.far.relay)}`);
  if (party.kind === "agent") {
    turn.report({ kind: "offer-accepted", offerId: party.offerId, contactId: turn.state.basics.id });
    turn.tell("agent.answered", whoIs(party));
    return feedFlow(turn, { kind: "agent-connected" });
  }
  turn.tell("transfer.answered", {});
  feedFlow(turn, { kind: "transfer-answered" });
}

/** Its segment has begun when the referrer left. */
function referredThere(
  turn: Turn,
  { leg, party, farSdp }: Extract<FarLeg, { name: "joining" }>,
  media: MediaAddresses,
): void {
  turn.run({ far: { name: "talking", leg, party, farSdp }, playing: undefined });
  turn.note("media", `${showParty(party)} and caller joined`, `relay ${showAddress(media.far.relay)}`);
  turn.tell("transfer.answered", {});
}

interface FarFailure {
  readonly failure: "rejected" | "no-answer" | "unreachable";
  readonly sipStatus: number;
  readonly code: string;
}

/** The leg never came to talking. The contact keeps its place; the region offers it to the next agent. */
function farFailed(turn: Turn, far: PlacedLeg, { failure, sipStatus, code }: FarFailure): void {
  turn.stop("call.ring");
  turn.ringingOver(far, failure);
  turn.run({ far: { name: "none" } });
  turn.do({ kind: "park", leg: far.leg });
  const why = sipStatus > 0 ? `${code}, ${sipStatus}` : code;
  turn.note(far.party.kind === "agent" ? "queue" : "call", `${showParty(far.party)}: ${failure}`, why);
  if (far.party.kind === "agent") {
    // What stood still while they were being joined goes on: the flow is in its queue all the time, and says nothing of it.
    const playing = turn.runningOrNone()?.playing;
    if (far.name === "joining" && playing !== undefined && playing.sinceUnixMs === undefined)
      turn.do({ kind: "play", playing });
    const { offerId } = far.party;
    turn.tell("agent.not-reached", { ...whoIs(far.party), failure, sipStatus: String(sipStatus) });
    return turn.report({ kind: "offer-failed", offerId, contactId: turn.state.basics.id, failure, sipStatus });
  }
  turn.tell("transfer.failed", { failure, sipStatus: String(sipStatus) });
  if (far.party.kind === "referred") return backToFlow(turn, far.party.insteadOf);
  feedFlow(turn, { kind: "transfer-failed", code: `transfer.${failure}` });
}

function ringTimedOut(turn: Turn, far: Extract<FarLeg, { name: "ringing" }>): void {
  turn.do({ kind: "cancel-leg", leg: far.leg });
  farFailed(turn, far, { failure: "no-answer", sipStatus: 0, code: "leg.no-answer" });
}

/** The target of a REFER is gone, or never came; the one who referred is long gone: for the flow it is as if that one left now. */
function backToFlow(turn: Turn, insteadOf: "agent" | "number"): void {
  const run = turn.runningOrNone();
  if (run?.playing !== undefined) {
    turn.run({ playing: undefined });
    turn.do({ kind: "stop-playing" });
  }
  if (run?.current.kind === "transfer") closeSegment(turn, "ended", "flow");
  feedFlow(turn, insteadOf === "agent" ? { kind: "agent-left" } : { kind: "transfer-ended" }, "agent");
}

/** The far party hung up first; the flow says what becomes of the caller. */
function farLeft(turn: Turn, far: Extract<FarLeg, { name: "talking" }>, reason: string): void {
  const { party, leg } = far;
  turn.run({ far: { name: "none" } });
  closeSegment(turn, "ended", "flow");
  turn.note("call", `${showParty(party)} hung up`, reason);
  turn.do({ kind: "park", leg });
  if (party.kind === "agent") {
    turn.report({ kind: "agent-released", offerId: party.offerId, contactId: turn.state.basics.id });
    turn.tell("agent.left", whoIs(party));
    return feedFlow(turn, { kind: "agent-left" }, "agent");
  }
  turn.tell("transfer.ended", {});
  if (party.kind === "referred") return backToFlow(turn, party.insteadOf);
  feedFlow(turn, { kind: "transfer-ended" }, "agent");
}

// ---- the flow ----

/** @param endedBy who, should the flow disconnect in answer to this */
function feedFlow(turn: Turn, input: FlowInput, endedBy: EndedBy = "flow"): void {
  const run = turn.runningOrNone();
  if (run !== undefined) afterFlow(turn, stepFlow(turn.ctx.flow, run.flow, input), endedBy);
}

function afterFlow(turn: Turn, step: FlowStep, endedBy: EndedBy): void {
  turn.run({ flow: step.state });
  for (const effect of step.effects) {
    if (turn.runningOrNone() === undefined) return; // an effect before it ended the call
    flowEffect(turn, effect, endedBy);
  }
}

function flowEffect(turn: Turn, effect: FlowEffect, endedBy: EndedBy): void {
  switch (effect.kind) {
    case "play": {
      const { play, prompts, repeat } = effect;
      const playing: Playing = { play, prompts, repeat, fromMs: 0, sinceUnixMs: undefined };
      turn.run({ playing });
      return turn.do({ kind: "play", playing });
    }
    case "stop-playing":
      turn.run({ playing: undefined });
      return turn.do({ kind: "stop-playing" });
    case "start-timer":
      return turn.start(effect.timer, effect.afterMs);
    case "stop-timer":
      return turn.stop(effect.timer);
    case "enqueue": {
      const { queueId, priority } = effect;
      const enqueuedAtUnixMs = turn.now;
      closeSegment(turn, "ended", "queue", { queueId, agentId: undefined });
      turn.run({ place: { name: "joining", queueId, priority, enqueuedAtUnixMs } });
      turn.tell("queue.joined", { queueId });
      turn.note("queue", `joins ${queueId}`, `priority ${priority}`);
      const { id, tenantId } = turn.state.basics;
      turn.report({ kind: "enqueue", contactId: id, tenantId, queueId, priority, enqueuedAtUnixMs });
      return turn.start("call.routing", turn.ctx.limits.routingTimeoutMs);
    }
    case "leave-queue": {
      const run = turn.runningOrNone();
      if (run !== undefined) leaveQueue(turn, run, effect.reason);
      return;
    }
    case "transfer": {
      const run = turn.runningOrNone();
      const uri = turn.ctx.outboundUri(effect.number, effect.trunkId);
      if (run === undefined) return;
      if (uri === undefined) return feedFlow(turn, { kind: "transfer-failed", code: "transfer.no-trunk" });
      turn.tell("transfer.started", {});
      return placeLeg(turn, run, { kind: "number", uri, ringTimeoutMs: effect.ringTimeoutMs });
    }
    case "disconnect":
      return hangUpAndEnd(turn, endedBy, effect.because === "flow.disconnected" ? "normal" : effect.because);
    case "note":
      return turn.note("flow", `${effect.activity}: ${effect.what}`, effect.why);
    default:
      return impossible(effect);
  }
}

function leaveQueue(turn: Turn, run: Running, reason: "wait-exceeded" | "released"): void {
  if (run.place.name === "none") return;
  if (run.far.name !== "none" && run.far.name !== "talking") dropFarLeg(turn, run.far, reason);
  turn.stop("call.routing");
  turn.run({ place: { name: "none" } });
  closeSegment(turn, reason, "flow");
  turn.tell("queue.left", { queueId: run.place.queueId, reason });
  const { id, tenantId } = turn.state.basics;
  turn.report({ kind: "cancel", contactId: id, tenantId, reason });
}

// ---- changes of media in mid-call ----

function reoffered(turn: Turn, input: Extract<CallInput, { kind: "reoffered" }>, last: Sdp | undefined): void {
  const { side, request, sdp } = input;
  if (sdp !== undefined) return turn.do({ kind: "reoffer", side, request, sdp });
  if (last === undefined) return turn.do({ kind: "reject-reoffer", side, request, status: 488 });
  turn.do({ kind: "answer-reoffer", side, request, sdp: last });
}

function reofferSettled(turn: Turn, input: Extract<CallInput, { kind: "reoffer-answered" | "reoffer-failed" }>): void {
  const { side, request } = input;
  if (input.kind === "reoffer-failed") {
    turn.note("media", "new offer refused", input.failure.code);
    return turn.do({ kind: "reject-reoffer", side, request, status: judge(input.failure).sipStatus });
  }
  const run = turn.runningOrNone();
  if (side === "caller") turn.run({ callerSdp: input.sdp });
  else if (run?.far.name === "talking") turn.run({ far: { ...run.far, farSdp: input.sdp } });
  turn.do({ kind: "answer-reoffer", side, request, sdp: input.sdp });
}

/** That side would hear nothing any more: it is ended, whether its dialog is gone (408, 481) or it refuses. */
function reinviteFailed(turn: Turn, run: Running, input: Extract<CallInput, { kind: "reinvite-failed" }>): void {
  const { side, status, detail } = input;
  turn.note("media", `re-INVITE of ${side === "caller" ? "the caller" : "the leg"} failed`, `${status} ${detail}`);
  if (side === "caller") return hangUpAndEnd(turn, "system", "media.re-anchor-failed");
  const { far } = run;
  if (far.name === "none" || far.leg !== side) return;
  turn.do({ kind: "hang-up", side, code: "media.re-anchor-failed" });
  if (far.name === "talking") return farLeft(turn, far, "media.re-anchor-failed");
  if (far.name === "joining")
    farFailed(turn, far, { failure: "unreachable", sipStatus: status, code: "media.re-anchor-failed" });
}

const farSdpOf = (far: FarLeg): Sdp | undefined => (far.name === "talking" ? far.farSdp : undefined);
