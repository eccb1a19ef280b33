// One call at work: one input at a time, one step, every effect performed, then the next input.

import type { Alarm, SetAlarm } from "../../kernel/alarm.ts";
import type { CallId } from "../../kernel/ids.ts";
import { Inbox } from "../../kernel/inbox.ts";
import type { Log } from "../../kernel/log.ts";
import { type Clock, TimerTable } from "../../kernel/time.ts";
import type { ContactRouting } from "../boundary/contact-routing.ts";
import type { SipSignalling } from "../boundary/sip-signalling.ts";
import type { CheckpointStore } from "../checkpoint/boundary/checkpoint-store.ts";
import type { CallContext, CallEffect, CallInput, CallTimer } from "../core/call/call-execution.ts";
import { startCall, stepCall } from "../core/call/call-machine.ts";
import type { CallBasics, CallState } from "../core/call/call-state.ts";
import type { CallStep } from "../core/call/call-step.ts";
import type { CallEvent, ContactRecord } from "../core/call/contact-record.ts";
import { type CallCheckpoint, CHECKPOINT_FORM, deadlinesOf } from "./call-checkpoint.ts";
import type { CallMedia, MediaListener } from "./call-media.ts";
import { type CallJournal, note } from "./journal.ts";

export interface RunnerWorld {
  readonly clock: Clock;
  readonly setAlarm: SetAlarm;
  readonly log: Log;
  readonly signalling: SipSignalling;
  readonly routing: ContactRouting;
  readonly store: CheckpointStore;
  /** False: this process may not act any more, and does nothing. */
  held(): boolean;
  /** One with a record takes the place of the call's checkpoint. */
  tell(event: CallEvent): void;
  ended(call: CallId, record: ContactRecord): void;
}

type MediaOf = (listener: MediaListener) => CallMedia;

/** Who has answered while nobody was here says so again: after a takeover at the latest within about T2. RFC 3261 §13.3.1.4 */
export const RING_GRACE_MS = 3_000;

/** Inputs of one call that wait: more than this in one moment is a fault, not traffic. */
export const CALL_INPUTS_MAX = 256;

export class CallRunner {
  readonly #world: RunnerWorld;
  readonly #context: CallContext;
  readonly #media: CallMedia;
  readonly #journal: CallJournal;
  readonly #inbox = new Inbox<CallInput>(CALL_INPUTS_MAX);
  readonly #timers = new TimerTable<CallTimer>();
  #state: CallState;
  /** Told once the step that led to them is in the checkpoint store. */
  readonly #events: CallEvent[] = [];
  #busy = false;
  #alarm: Alarm | undefined;

  private constructor(
    world: RunnerWorld,
    context: CallContext,
    journal: CallJournal,
    media: MediaOf,
    state: CallState,
  ) {
    this.#world = world;
    this.#context = context;
    this.#journal = journal;
    this.#state = state;
    this.#media = media({
      held: () => world.held(),
      tell: (input) => this.handle(input),
      changed: () => this.save(),
    });
  }

  static arrived(
    world: RunnerWorld,
    context: CallContext,
    journal: CallJournal,
    media: MediaOf,
    basics: CallBasics,
  ): CallRunner {
    const first = startCall(context, basics);
    const runner = new CallRunner(world, context, journal, media, first.state);
    runner.#take(first);
    runner.#drain();
    return runner;
  }

  /** As it was when `checkpoint` was made. It stands still until it hears that it is "resumed". */
  static restored(
    world: RunnerWorld,
    context: CallContext,
    journal: CallJournal,
    media: MediaOf,
    checkpoint: CallCheckpoint,
  ): CallRunner {
    const runner = new CallRunner(world, context, journal, media, checkpoint.state);
    const { clock } = world;
    const nowMs = clock.nowMs();
    for (const [timer, dueAtMs] of deadlinesOf(checkpoint, nowMs, clock.unixMs()))
      runner.#timers.start(timer, timer === "call.ring" ? Math.max(dueAtMs, nowMs + RING_GRACE_MS) : dueAtMs);
    runner.#media.restore(checkpoint);
    return runner;
  }

  get state(): CallState {
    return this.#state;
  }

  handle(input: CallInput): void {
    if (!this.#world.held()) return;
    if (!this.#inbox.put(input).ok) {
      this.#world.log.error("call.inbox-full", { callId: this.#state.basics.id, dropped: input.kind });
      return;
    }
    this.#drain();
  }

  /** Resolves when media was released. */
  settled(): Promise<void> {
    return this.#media.settled();
  }

  /** With all that its parts know by now. Safe to repeat, and safe for a call that has ended. */
  save(): void {
    if (this.#state.phase.name !== "ended") this.#world.store.save(this.#state.basics.id, this.#text);
  }

  #drain(): void {
    if (this.#busy) return; // an effect led to this input: its turn comes
    this.#busy = true;
    try {
      for (let next = this.#inbox.take(); next !== undefined; next = this.#inbox.take())
        this.#take(stepCall(this.#context, this.#state, next, this.#world.clock.unixMs()));
    } finally {
      this.#busy = false; // a bug in a step is thrown on; the inputs after it are still heard
    }
  }

  #take({ state, effects }: CallStep): void {
    const changed = state !== this.#state;
    this.#state = state;
    this.#busy = true;
    const releasing = effects.some(({ kind }) => kind === "release-media");
    for (const effect of effects) {
      if (releasing && effect.kind === "park") continue; // the relay forgets the whole call a moment later
      this.#performOrLog(effect);
    }
    this.#busy = false;
    this.#armAlarm();
    if (changed || effects.length > 0) this.save();
    this.#tellCommitted();
  }

  /** What the region has heard, the next process must know: it numbers its events from there, and ends what has arrived. */
  #tellCommitted(): void {
    if (this.#events.length === 0) return;
    const { store, tell } = this.#world;
    const tellAll = () => {
      for (const event of this.#events.splice(0)) tell(event);
    };
    if (this.#state.phase.name === "ended") tellAll();
    else store.committed(this.#state.basics.id, tellAll);
  }

  /** A library that throws costs this effect, never those after it: a call that nobody ends any more costs a carrier money. */
  #performOrLog(effect: CallEffect): void {
    try {
      this.#perform(effect);
    } catch (error) {
      this.#world.log.error("call.effect-failed", { callId: this.#state.basics.id, effect: effect.kind, error });
    }
  }

  #perform(effect: CallEffect): void {
    const { signalling, routing, clock, store } = this.#world;
    const call = this.#state.basics.id;
    switch (effect.kind) {
      case "answer":
        // Once the caller believes in the call, the next process must know of it, if only as one that is about to be answered.
        return store.committed(call, () => {
          if (this.#world.held()) signalling.answer(call, effect.sdp);
        });
      case "reject":
        return signalling.reject(call, effect.status, effect.code, effect.retryAfterSeconds);
      case "invite":
        return signalling.invite(call, effect.leg, effect);
      case "cancel-leg":
        return signalling.cancelLeg(call, effect.leg);
      case "hang-up":
        return signalling.hangUp(call, effect.side, effect.code);
      case "answer-reoffer":
        return signalling.answerReoffer(call, effect.side, effect.request, effect.sdp);
      case "reject-reoffer":
        return signalling.rejectReoffer(call, effect.side, effect.request, effect.status);
      case "accept-refer":
        return signalling.acceptRefer(call, effect.side, effect.request);
      case "reject-refer":
        return signalling.rejectRefer(call, effect.side, effect.request, effect.status);
      case "notify-refer":
        return signalling.notifyRefer(call, effect.side, effect.request, effect.status, effect.over);
      case "reinvite":
        return signalling.reinvite(call, effect.side, effect.sdp);
      case "report":
        return routing.report(effect.report);
      case "start-timer":
        return this.#timers.start(effect.timer, clock.nowMs() + effect.afterMs);
      case "stop-timer":
        return this.#timers.stop(effect.timer);
      case "tell":
        this.#events.push(effect.event);
        return;
      case "note":
        return note(this.#journal, { atUnixMs: clock.unixMs(), ...effect.note });
      case "ended":
        signalling.forget(call);
        return this.#world.ended(call, effect.record);
      default:
        return this.#media.perform(effect);
    }
  }

  #armAlarm(): void {
    this.#alarm?.cancel();
    this.#alarm = undefined;
    const dueAtMs = this.#timers.nextDueAtMs();
    if (dueAtMs === undefined) return;
    this.#alarm = this.#world.setAlarm(dueAtMs - this.#world.clock.nowMs(), () => this.#wake());
  }

  #wake(): void {
    if (!this.#world.held()) return; // a timer that nobody hears stays among those that are saved
    const nowMs = this.#world.clock.nowMs();
    // One by one: what the first leads to may stop the second.
    for (let timer = this.#timers.takeFirstDue(nowMs); timer !== undefined; timer = this.#timers.takeFirstDue(nowMs))
      this.handle({ kind: "timer", timer });
    this.#armAlarm();
  }

  /** Of the state as it is when it is written. */
  readonly #text = (): string => {
    const { clock, signalling } = this.#world;
    const { id, flowId, flowVersion } = this.#state.basics;
    const savedAtUnixMs = clock.unixMs();
    const offset = savedAtUnixMs - clock.nowMs();
    const checkpoint: CallCheckpoint = {
      v: CHECKPOINT_FORM,
      state: this.#state,
      deadlinesUnixMs: Object.fromEntries(this.#timers.entries().map(([name, at]) => [name, at + offset])),
      savedAtUnixMs,
      signalling: signalling.saved(id),
      ...this.#media.saved(),
      flow: { id: flowId, version: flowVersion },
      dialogs: this.#journal.dialogs,
    };
    return JSON.stringify(checkpoint);
  };
}
