// One step of a call at work: the state as it changes and the effects so far, with the words that every part of the machine uses.

import type { UnixMs } from "../../../kernel/units.ts";
import { type MediaAddresses, showAddress } from "../media/addresses.ts";
import type { Sdp } from "../media/sdp.ts";
import type { CallContext, CallEffect, CallNote, CallTimer } from "./call-execution.ts";
import type { CallPhase, CallState, FarLeg, OpenSegment, Running } from "./call-state.ts";
import type { CallStep } from "./call-step.ts";
import type { ContactRecord, MediaLegRecord, Segment } from "./contact-record.ts";
import type { RoutingReport } from "./contact-routing.ts";

/** One step at work: the state as it changes, and the effects so far. Lives no longer than the step. */
export class Turn {
  readonly ctx: CallContext;
  readonly now: UnixMs;
  #state: CallState;
  readonly #effects: CallEffect[] = [];

  constructor(ctx: CallContext, now: UnixMs, state: CallState) {
    this.ctx = ctx;
    this.now = now;
    this.#state = state;
  }

  get state(): CallState {
    return this.#state;
  }

  done(): CallStep {
    return { state: this.#state, effects: this.#effects };
  }

  do(effect: CallEffect): void {
    this.#effects.push(effect);
  }

  phase(phase: CallPhase): void {
    this.#state = { ...this.#state, phase };
  }

  runningOrNone(): Running | undefined {
    return this.#state.phase.name === "running" ? this.#state.phase : undefined;
  }

  /** Changes what is running; nothing, when the call has ended meanwhile. */
  run(change: Partial<Running>): void {
    if (this.#state.phase.name === "running") this.phase({ ...this.#state.phase, ...change });
  }

  start(timer: CallTimer, afterMs: number): void {
    this.do({ kind: "start-timer", timer, afterMs });
  }

  stop(timer: CallTimer): void {
    this.do({ kind: "stop-timer", timer });
  }

  report(report: RoutingReport): void {
    this.do({ kind: "report", report });
  }

  note(kind: CallNote["kind"], what: string, why: string): void {
    this.do({ kind: "note", note: { kind, what, why } });
  }

  tell(name: string, fields: Readonly<Record<string, string>>, record?: ContactRecord): void {
    const { basics, eventCount: sequence } = this.#state;
    this.#state = { ...this.#state, eventCount: sequence + 1 };
    // The record's name owes nothing to the count: a successor may know an older count than the events on disk do.
    const id = `${basics.id}/${record === undefined ? sequence : "record"}`;
    const event = { id, callId: basics.id, tenantId: basics.tenantId, sequence };
    this.do({ kind: "tell", event: { ...event, atUnixMs: this.now, name, fields, record } });
  }

  /** Our answer to the caller is another one now; nothing, when the call is not between answer and flow. */
  answerIs(callerSdp: Sdp): void {
    if (this.#state.phase.name === "answering") this.phase({ ...this.#state.phase, callerSdp });
  }

  reAnchored(): void {
    this.#state = { ...this.#state, reAnchoredCount: (this.#state.reAnchoredCount ?? 0) + 1 };
  }

  segment(segment: Segment): void {
    this.#state = { ...this.#state, segments: [...this.#state.segments, segment] };
  }

  ringingOver(far: FarLeg, outcome: string): void {
    if (far.name === "none" || far.name === "talking") return;
    const { party, sinceUnixMs } = far;
    const who =
      party.kind === "agent"
        ? { queueId: party.queueId, agentId: party.agentId }
        : { queueId: undefined, agentId: undefined };
    this.segment({ kind: "ringing", startedAtUnixMs: sinceUnixMs, endedAtUnixMs: this.now, ...who, outcome });
  }

  tookMedia(leg: MediaLegRecord["leg"], path: MediaAddresses["caller"], codec: string): void {
    const entry = { leg, localAddress: showAddress(path.relay), remoteAddress: showAddress(path.remote), codec };
    this.#state = { ...this.#state, media: [...this.#state.media, entry] };
    this.note("media", `${leg} leg at ${entry.localAddress}`, `other end ${entry.remoteAddress}, ${codec}`);
  }
}

/** Ends the segment at hand and opens the next; `next` undefined: none follows. */
export function closeSegment(
  turn: Turn,
  outcome: string,
  next: OpenSegment["kind"] | undefined,
  who: Pick<OpenSegment, "queueId" | "agentId"> = { queueId: undefined, agentId: undefined },
): void {
  const run = turn.runningOrNone();
  if (run === undefined) return;
  turn.segment({ ...run.current, endedAtUnixMs: turn.now, outcome });
  if (next !== undefined) turn.run({ current: { kind: next, startedAtUnixMs: turn.now, ...who } });
}
