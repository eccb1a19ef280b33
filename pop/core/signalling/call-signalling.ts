// The signalling of one call: what the SIP server has confirmed, what the call wishes, and what of it is still to be said, over
// connections that break and processes that die. Pure; the adapter (pop/adapters/drachtio) makes frames of its effects, and
// inputs of frames.
//
// How to use it, also in a simulation: one state a call, begun by `incoming` or `restored`; every wish of the call, every word of
// the server and the three words of the connection (detached, standing, attached) are inputs of `step`; effects are performed
// in order. `saved` is what a next process needs. After a lost connection the owner of the states claims `claims(state)` at the server,
// feeds what it says of each as `standing`, what it delivers as usual, and `attached` when it has said all. `isOver`: forget it.
//
// Invariants, after every step:
//   (a) nothing is said to the server between detached and attached, but what answers a message of it;
//   (b) what this process has told the call once is not told again, and nothing is told after `forget`;
//   (c) a forgotten call has neither dialog nor INVITE in the end: each is ended, or the server says that it is gone.

import type { LegId } from "../../../kernel/ids.ts";
import { impossible, type Step } from "../../../kernel/step.ts";
import type { CallInput, CallSide } from "../call/call-execution.ts";
import type { Sdp } from "../media/sdp.ts";

export interface LegWish {
  readonly uri: string;
  readonly sdp: Sdp;
  readonly callingNumber: string;
}

export interface SignallingState {
  /** The caller's dialog, as the server calls it: `<SIP Call-ID>;from-tag=<tag>`. */
  readonly dialogId: string;
  readonly caller: CallerState;
  readonly legs: readonly LegState[];
  readonly asked: readonly Asked[];
  readonly reinvites: readonly Reinvite[];
  /** NOTIFYs about transfers that could not be said yet. */
  readonly notices: readonly Notice[];
  /** The server hears us, and we know all that it has of this call. */
  readonly attached: boolean;
  /** What the server said it has, until it has said all. */
  readonly standing: readonly SideStanding[];
  readonly forgotten: boolean;
}

export type CallerState =
  /** `transactionId` undefined: the server has yet to say that it still has the INVITE. */
  | { readonly name: "offered"; readonly transactionId: string | undefined }
  /** The 200 is said, or is to be; the server has not confirmed it. `hangUp`: ended meanwhile, with this code. */
  | {
      readonly name: "answering";
      readonly transactionId: string | undefined;
      readonly sdp: Sdp;
      readonly hangUp: string | undefined;
    }
  | { readonly name: "rejecting"; readonly transactionId: string | undefined; readonly refusal: Refusal }
  /** `sdp`: of our 200, until its ACK: a server that died with it unsent is told it again. */
  | { readonly name: "up"; readonly acked: boolean; readonly sdp: Sdp | undefined }
  | { readonly name: "ending"; readonly code: string }
  | { readonly name: "over" };

export interface Refusal {
  readonly status: number;
  readonly code: string;
  readonly retryAfterSeconds: number | undefined;
}

export type LegState =
  | {
      readonly name: "inviting";
      readonly leg: LegId;
      /** undefined: taken up from an earlier process, and the call has not said its wish again. */
      readonly wish: LegWish | undefined;
      /** The INVITE is said to the server. */
      readonly said: boolean;
      readonly transactionId: string | undefined;
      /** The last provisional status the call was told; 0: none. */
      readonly told: number;
    }
  /** No longer wanted; the CANCEL is said as soon as the INVITE has its name. */
  | { readonly name: "cancelling"; readonly leg: LegId; readonly transactionId: string | undefined }
  | { readonly name: "up"; readonly leg: LegId }
  | { readonly name: "ending"; readonly leg: LegId; readonly code: string | undefined };

/** A request inside a dialog that the call answers. */
export interface Asked {
  readonly kind: "reoffer" | "refer";
  readonly side: CallSide;
  /** The call's name for it. */
  readonly request: string;
  /** The server's; undefined: not delivered on this connection. */
  readonly transactionId: string | undefined;
  /** Said to the server, which has not confirmed it, or to be said; undefined: the call has yet to answer. */
  readonly answer: AskedAnswer | undefined;
}

export interface AskedAnswer {
  readonly status: number;
  readonly sdp: Sdp | undefined;
}

/** Our own re-INVITE. RFC 3261 §14.1 */
export interface Reinvite {
  readonly side: CallSide;
  readonly sdp: Sdp;
  /**
   * asking: said, or to be said when the server is back; pausing: both sides asked at once, and ours is said again a moment
   * later.
   */
  readonly phase: "asking" | "pausing";
  readonly said: boolean;
  /** The server has confirmed it: its answer comes, on whichever connection. */
  readonly taken: boolean;
  readonly attempt: number;
  /** What the call wants to offer instead, once this one has its answer: that one is not told. */
  readonly instead: Sdp | undefined;
}

export interface Notice {
  readonly side: CallSide;
  readonly request: string;
  readonly status: number;
  readonly over: boolean;
}

export type Standing =
  | { readonly kind: "request"; readonly transactionId: string }
  | { readonly kind: "invite"; readonly transactionId: string; readonly status: number }
  | {
      readonly kind: "dialog";
      readonly phase: "unacknowledged" | "confirmed" | "ending";
      /** Of an INVITE of ours whose 2xx is unacknowledged, and comes again; else "". */
      readonly transactionId: string;
    };

interface SideStanding {
  readonly side: CallSide;
  readonly is: Standing;
}

export type SignallingInput =
  // what the call wishes
  | { readonly kind: "answer"; readonly sdp: Sdp }
  | { readonly kind: "reject"; readonly refusal: Refusal }
  | { readonly kind: "invite"; readonly leg: LegId; readonly wish: LegWish }
  /** CANCEL, or BYE: whatever ends it. */
  | { readonly kind: "end"; readonly side: CallSide; readonly code: string | undefined }
  | {
      readonly kind: "answer-asked";
      readonly what: Asked["kind"];
      readonly side: CallSide;
      readonly request: string;
      readonly answer: AskedAnswer;
    }
  | { readonly kind: "notify"; readonly notice: Notice }
  | { readonly kind: "reinvite"; readonly side: CallSide; readonly sdp: Sdp }
  | { readonly kind: "forget" }
  // what the server says of the caller's INVITE and of ours
  | { readonly kind: "offered-again"; readonly transactionId: string }
  | { readonly kind: "cancelled" }
  | { readonly kind: "answer-taken" }
  /** `ended`: there is nothing to answer any more. */
  | { readonly kind: "answer-refused"; readonly detail: string }
  | { readonly kind: "refusal-settled" }
  | { readonly kind: "acked" }
  | { readonly kind: "invite-taken"; readonly leg: LegId; readonly transactionId: string }
  | { readonly kind: "invite-refused"; readonly leg: LegId; readonly detail: string }
  | { readonly kind: "progress"; readonly leg: LegId; readonly status: number }
  /** `usable` false: a 2xx without Contact, which the server ends by itself. */
  | { readonly kind: "accepted"; readonly leg: LegId; readonly sdp: Sdp; readonly usable: boolean }
  | { readonly kind: "refused"; readonly leg: LegId; readonly status: number; readonly detail: string }
  // in dialogs
  | { readonly kind: "hung-up"; readonly side: CallSide; readonly reason: string }
  | { readonly kind: "bye-settled"; readonly side: CallSide }
  | {
      readonly kind: "reoffered";
      readonly side: CallSide;
      readonly transactionId: string;
      readonly sdp: Sdp | undefined;
    }
  | {
      readonly kind: "referred";
      readonly side: CallSide;
      readonly request: string;
      readonly transactionId: string;
      readonly number: string | undefined;
    }
  | { readonly kind: "asked-settled"; readonly transactionId: string }
  | { readonly kind: "reinvite-taken"; readonly side: CallSide }
  /** The final answer to our re-INVITE; status 0: the server would not send it. */
  | {
      readonly kind: "reinvited";
      readonly side: CallSide;
      readonly status: number;
      readonly detail: string;
      readonly sdp: Sdp | undefined;
    }
  | { readonly kind: "glare-over"; readonly side: CallSide }
  // the connection
  | { readonly kind: "detached" }
  | { readonly kind: "standing"; readonly side: CallSide; readonly is: Standing }
  | { readonly kind: "attached" };

export type SignallingEffect =
  | { readonly kind: "tell"; readonly input: CallInput }
  /** 200 to the caller's INVITE; comes back as answer-taken or answer-refused. */
  | { readonly kind: "send-answer"; readonly transactionId: string; readonly sdp: Sdp }
  /** Comes back as refusal-settled, whatever became of it. */
  | { readonly kind: "send-refusal"; readonly transactionId: string; readonly refusal: Refusal }
  /** Comes back as invite-taken or invite-refused. */
  | { readonly kind: "send-invite"; readonly leg: LegId; readonly wish: LegWish }
  | { readonly kind: "send-cancel"; readonly transactionId: string }
  | { readonly kind: "send-ack"; readonly leg: LegId }
  /** Comes back as bye-settled: answered, or nothing was there to be ended. */
  | { readonly kind: "send-bye"; readonly side: CallSide; readonly code: string | undefined }
  /** Comes back as asked-settled, whatever became of it. */
  | { readonly kind: "send-asked"; readonly transactionId: string; readonly answer: AskedAnswer }
  | { readonly kind: "send-notify"; readonly notice: Notice }
  /** Comes back as reinvite-taken, and then reinvited; a 2xx is acknowledged by whoever hears it. */
  | { readonly kind: "send-reinvite"; readonly side: CallSide; readonly sdp: Sdp }
  /** Comes back as glare-over, after the random time of RFC 3261 §14.1. */
  | { readonly kind: "pause"; readonly side: CallSide };

export type SignallingStep = Step<SignallingState, SignallingEffect>;

/** Unanswered requests in the dialogs of one call: RFC 3261 §14.1 allows one re-INVITE a side; one transfer at a time. */
export const ASKED_MAX = 4;
/** Said one after the other when the server is back; of more, the oldest give way. */
export const NOTICES_MAX = 8;
/** Of one offer of ours, glares included. */
export const REINVITES_MAX = 4;
/** Answered REFERs that are remembered, for the server may not have heard the answer. */
const REFERS_KEPT = 2;
const DIALOG_LOST = "sip.dialog-lost";

export const incoming = (dialogId: string, transactionId: string): SignallingState => ({
  dialogId,
  caller: { name: "offered", transactionId },
  legs: [],
  asked: [],
  reinvites: [],
  notices: [],
  attached: true,
  standing: [],
  forgotten: false,
});

// ---- what a next process needs

export interface SavedSignalling {
  readonly [name: string]: string | boolean | readonly (readonly (string | number | boolean)[])[];
  readonly dialogId: string;
  readonly caller: CallerState["name"];
  /** Leg, whether it is up, the last provisional that was told. */
  readonly legs: readonly (readonly [LegId, boolean, number])[];
  /** Answered REFERs: side, request, status. */
  readonly refers: readonly (readonly [CallSide, string, number])[];
}

/** Without what is being ended: nobody claims that, so the server ends it. */
export function saved({ dialogId, caller, legs, asked }: SignallingState): SavedSignalling {
  const kept: [LegId, boolean, number][] = [];
  for (const leg of legs) {
    if (leg.name === "up") kept.push([leg.leg, true, 0]);
    if (leg.name === "inviting") kept.push([leg.leg, false, leg.told]);
  }
  const refers: [CallSide, string, number][] = [];
  for (const { kind, side, request, answer } of asked)
    if (kind === "refer" && answer !== undefined) refers.push([side, request, answer.status]);
  return { dialogId, caller: caller.name, legs: kept, refers };
}

export const restored = ({ dialogId, caller, legs, refers }: SavedSignalling): SignallingState => ({
  ...incoming(dialogId, ""),
  attached: false,
  caller:
    caller === "up"
      ? { name: "up", acked: false, sdp: undefined }
      : caller === "over"
        ? { name: "over" }
        : { name: "offered", transactionId: undefined },
  legs: legs.map(([leg, isUp, told]) =>
    isUp
      ? { name: "up", leg }
      : { name: "inviting", leg, wish: undefined, said: false, transactionId: undefined, told },
  ),
  asked: refers.map(([side, request, status]) => ({
    kind: "refer",
    side,
    request,
    transactionId: undefined,
    answer: { status, sdp: undefined },
  })),
});

/** The sides that the server is asked about. */
export function claims({ caller, legs }: SignallingState): readonly CallSide[] {
  const sides: CallSide[] = caller.name === "over" ? [] : ["caller"];
  for (const { leg } of legs) sides.push(leg);
  return sides;
}

/** Nothing is left of it, here or at the server. */
export const isOver = ({ forgotten, caller, legs }: SignallingState): boolean =>
  forgotten && legs.length === 0 && (caller.name === "over" || caller.name === "offered");

// ---- the machine

export function step(state: SignallingState, input: SignallingInput): SignallingStep {
  const turn = new Turn(state);
  take(turn, input);
  return { state: turn.state, effects: turn.effects };
}

class Turn {
  state: SignallingState;
  readonly effects: SignallingEffect[] = [];

  constructor(state: SignallingState) {
    this.state = state;
  }

  do(effect: SignallingEffect): void {
    this.effects.push(effect);
  }

  tell(input: CallInput): void {
    if (!this.state.forgotten) this.effects.push({ kind: "tell", input });
  }

  caller(caller: CallerState): void {
    this.state = { ...this.state, caller };
  }

  leg(of: LegId): LegState | undefined {
    return this.state.legs.find(({ leg }) => leg === of);
  }

  reinvite(of: CallSide): Reinvite | undefined {
    return this.state.reinvites.find(({ side }) => side === of);
  }

  putReinvite(of: CallSide, next: Reinvite | undefined): void {
    const others = this.state.reinvites.filter(({ side }) => side !== of);
    this.state = { ...this.state, reinvites: next === undefined ? others : [...others, next] };
  }

  isUp(side: CallSide): boolean {
    return side === "caller" ? this.state.caller.name === "up" : this.leg(side)?.name === "up";
  }

  put(next: LegState): void {
    const { legs } = this.state;
    const at = legs.findIndex(({ leg }) => leg === next.leg);
    this.state = { ...this.state, legs: at === -1 ? [...legs, next] : legs.with(at, next) };
  }

  remove(gone: LegId): void {
    const legs = this.state.legs.filter(({ leg }) => leg !== gone);
    this.state = { ...this.state, legs };
    this.drop(gone);
  }

  /** That side is no longer there. */
  drop(gone: CallSide): void {
    const { asked, reinvites } = this.state;
    const isLeft = ({ side }: { readonly side: CallSide }) => side !== gone;
    this.state = { ...this.state, asked: asked.filter(isLeft), reinvites: reinvites.filter(isLeft) };
  }
}

function take(turn: Turn, input: SignallingInput): void {
  switch (input.kind) {
    case "answer":
      return answer(turn, input.sdp);
    case "reject":
      return reject(turn, input.refusal);
    case "invite":
      return invite(turn, input.leg, input.wish);
    case "end":
      return input.side === "caller" ? endCaller(turn, input.code ?? "normal") : endLeg(turn, input.side, input.code);
    case "answer-asked":
      return answerAsked(turn, input);
    case "notify":
      return notify(turn, input.notice);
    case "reinvite":
      return reinvite(turn, input.side, input.sdp);
    case "reinvite-taken": {
      const known = turn.reinvite(input.side);
      return known === undefined ? undefined : turn.putReinvite(input.side, { ...known, taken: true });
    }
    case "reinvited":
      return reinvited(turn, input);
    case "asked-settled": {
      const { asked } = turn.state;
      const isLeft = ({ kind, transactionId, answer }: Asked) =>
        kind === "refer" || answer === undefined || transactionId !== input.transactionId;
      if (!asked.every(isLeft)) turn.state = { ...turn.state, asked: asked.filter(isLeft) };
      return;
    }
    case "glare-over": {
      const known = turn.reinvite(input.side);
      return known?.phase === "pausing" ? sayReinvite(turn, { ...known, attempt: known.attempt + 1 }) : undefined;
    }
    case "forget":
      return forget(turn);
    case "offered-again": {
      const { caller } = turn.state;
      if (caller.name === "offered" || caller.name === "answering" || caller.name === "rejecting")
        turn.caller({ ...caller, transactionId: input.transactionId });
      return;
    }
    case "cancelled": {
      const { name } = turn.state.caller;
      if (name === "offered" || name === "answering") turn.tell({ kind: "caller-cancelled" });
      if (name === "offered" || name === "answering" || name === "rejecting") turn.caller({ name: "over" });
      return;
    }
    case "answer-taken": {
      const { caller } = turn.state;
      if (caller.name !== "answering") return;
      turn.caller({ name: "up", acked: false, sdp: caller.sdp });
      if (caller.hangUp !== undefined) endCaller(turn, caller.hangUp);
      return;
    }
    case "answer-refused":
      if (turn.state.caller.name !== "answering") return;
      turn.caller({ name: "over" });
      return turn.tell({ kind: "answer-failed", detail: input.detail });
    case "refusal-settled":
      return turn.state.caller.name === "rejecting" ? turn.caller({ name: "over" }) : undefined;
    case "acked":
      return acked(turn);
    case "invite-taken": {
      const leg = turn.leg(input.leg);
      const { transactionId } = input;
      if (leg?.name === "inviting") turn.put({ ...leg, transactionId });
      if (leg?.name === "cancelling") {
        turn.put({ ...leg, transactionId });
        turn.do({ kind: "send-cancel", transactionId });
      }
      return;
    }
    case "invite-refused": {
      const leg = turn.leg(input.leg);
      if (leg?.name !== "inviting" && leg?.name !== "cancelling") return;
      turn.remove(input.leg);
      if (leg.name === "inviting") turn.tell({ kind: "leg-failed", leg: input.leg, status: 0, detail: input.detail });
      return;
    }
    case "progress": {
      const leg = turn.leg(input.leg);
      if (leg?.name !== "inviting") return;
      turn.put({ ...leg, told: input.status });
      return turn.tell({ kind: "leg-ringing", leg: input.leg, status: input.status });
    }
    case "accepted":
      return accepted(turn, input);
    case "refused": {
      const leg = turn.leg(input.leg);
      if (leg?.name !== "inviting" && leg?.name !== "cancelling") return;
      turn.remove(input.leg);
      if (leg.name === "inviting")
        turn.tell({ kind: "leg-failed", leg: input.leg, status: input.status, detail: input.detail });
      return;
    }
    case "hung-up":
      return hungUp(turn, input.side, input.reason);
    case "bye-settled":
      if (input.side === "caller") return turn.state.caller.name === "ending" ? callerOver(turn) : undefined;
      return turn.leg(input.side)?.name === "ending" ? turn.remove(input.side) : undefined;
    case "reoffered":
      return asked(turn, { ...input, kind: "reoffer", request: input.transactionId, answer: undefined }, () =>
        turn.tell({ kind: "reoffered", side: input.side, request: input.transactionId, sdp: input.sdp }),
      );
    case "referred":
      return asked(turn, { ...input, kind: "refer", answer: undefined }, () =>
        turn.tell({ kind: "referred", side: input.side, request: input.request, number: input.number }),
      );
    case "detached":
      turn.state = {
        ...turn.state,
        attached: false,
        standing: [],
        asked: turn.state.asked.map((one) => ({ ...one, transactionId: undefined })),
        reinvites: turn.state.reinvites.map((one) => (one.taken ? one : { ...one, said: false })),
      };
      return;
    case "standing":
      turn.state = { ...turn.state, standing: [...turn.state.standing, { side: input.side, is: input.is }] };
      return;
    case "attached":
      return reconcile(turn);
    default:
      return impossible(input);
  }
}

// ---- wishes

function answer(turn: Turn, sdp: Sdp): void {
  const { caller, attached } = turn.state;
  if (caller.name === "offered") {
    const { transactionId } = caller;
    turn.caller({ name: "answering", transactionId, sdp, hangUp: undefined });
    if (attached && transactionId !== undefined) turn.do({ kind: "send-answer", transactionId, sdp });
  } else if (caller.name === "up") {
    if (!attached) turn.caller({ name: "up", acked: caller.acked, sdp });
    else if (caller.acked) turn.tell({ kind: "caller-acked" }); // it was answered before, and asks how that went
  }
}

function reject(turn: Turn, refusal: Refusal): void {
  const { caller, attached } = turn.state;
  if (caller.name !== "offered" && (caller.name !== "answering" || attached)) return;
  const { transactionId } = caller;
  turn.caller({ name: "rejecting", transactionId, refusal });
  if (attached && transactionId !== undefined) turn.do({ kind: "send-refusal", transactionId, refusal });
}

function endCaller(turn: Turn, code: string): void {
  const { caller, attached } = turn.state;
  if (caller.name === "answering") turn.caller({ ...caller, hangUp: code });
  if (caller.name !== "up") return;
  turn.caller({ name: "ending", code });
  if (attached) turn.do({ kind: "send-bye", side: "caller", code });
}

function invite(turn: Turn, leg: LegId, wish: LegWish): void {
  const { attached, forgotten } = turn.state;
  const known = turn.leg(leg);
  if (forgotten || (known !== undefined && known.name !== "inviting")) return;
  if (known?.wish !== undefined) return; // said before
  const said = known?.said === true || attached;
  turn.put({ name: "inviting", leg, transactionId: undefined, told: 0, ...known, wish, said });
  if (attached && known?.said !== true) turn.do({ kind: "send-invite", leg, wish });
}

function endLeg(turn: Turn, side: LegId, code: string | undefined): void {
  const { attached } = turn.state;
  const leg = turn.leg(side);
  if (leg?.name === "up") {
    turn.put({ name: "ending", leg: side, code });
    if (attached) turn.do({ kind: "send-bye", side, code });
  } else if (leg?.name === "inviting") {
    const { transactionId, said } = leg;
    if (attached && !said) return turn.remove(side); // never said: nobody has heard of it
    turn.put({ name: "cancelling", leg: side, transactionId });
    if (attached && transactionId !== undefined) turn.do({ kind: "send-cancel", transactionId });
  }
}

function answerAsked(turn: Turn, input: Extract<SignallingInput, { kind: "answer-asked" }>): void {
  const { asked, attached } = turn.state;
  const at = asked.findIndex(
    ({ kind, side, request }) => kind === input.what && side === input.side && request === input.request,
  );
  const known = asked[at];
  if (known === undefined || known.answer !== undefined) return;
  const { answer } = input;
  const { transactionId } = known;
  if (attached && transactionId !== undefined) turn.do({ kind: "send-asked", transactionId, answer });
  const rest = asked.toSpliced(at, 1);
  // Kept until the server must have it: it delivers again what it has not.
  if (known.kind === "refer") {
    const older = rest.filter(({ kind, answer }) => kind === "refer" && answer !== undefined);
    const tooOld = older.slice(0, Math.max(0, older.length - REFERS_KEPT + 1));
    turn.state = { ...turn.state, asked: [...rest.filter((one) => !tooOld.includes(one)), { ...known, answer }] };
  } else turn.state = { ...turn.state, asked: [...rest, { ...known, answer }] };
}

function notify(turn: Turn, notice: Notice): void {
  const { attached, notices, forgotten } = turn.state;
  if (forgotten || !turn.isUp(notice.side)) return;
  if (attached) return turn.do({ kind: "send-notify", notice });
  turn.state = { ...turn.state, notices: [...notices, notice].slice(-NOTICES_MAX) };
}

function reinvite(turn: Turn, side: CallSide, sdp: Sdp): void {
  if (turn.state.forgotten) return;
  if (!turn.isUp(side))
    return turn.tell({ kind: "reinvite-failed", side, status: 481, detail: "there is no such dialog" });
  const known = turn.reinvite(side);
  if (known === undefined)
    return sayReinvite(turn, { side, sdp, phase: "asking", said: false, taken: false, attempt: 1, instead: undefined });
  if (known.phase === "asking" && known.said) {
    if (known.sdp !== sdp || known.instead !== undefined) turn.putReinvite(side, { ...known, instead: sdp });
  } else turn.putReinvite(side, { ...known, sdp });
}

function sayReinvite(turn: Turn, given: Reinvite): void {
  const { side, sdp } = given;
  const said = turn.state.attached;
  turn.putReinvite(side, { ...given, phase: "asking", said, taken: false });
  if (said) turn.do({ kind: "send-reinvite", side, sdp });
}

function reinvited(turn: Turn, input: Extract<SignallingInput, { kind: "reinvited" }>): void {
  const { side, status, sdp, detail } = input;
  const known = turn.reinvite(side);
  if (known?.phase !== "asking" || !known.said) return;
  if (status === 491 && known.attempt < REINVITES_MAX) {
    turn.putReinvite(side, { ...known, sdp: known.instead ?? known.sdp, instead: undefined, phase: "pausing" });
    return turn.do({ kind: "pause", side });
  }
  turn.putReinvite(side, undefined);
  if (known.instead !== undefined) reinvite(turn, side, known.instead);
  else if (status >= 200 && status < 300 && sdp !== undefined) turn.tell({ kind: "reinvite-answered", side, sdp });
  else turn.tell({ kind: "reinvite-failed", side, status, detail });
}

function forget(turn: Turn): void {
  const { caller, legs, asked, attached } = turn.state;
  for (const { transactionId, answer } of asked)
    if (answer === undefined && attached && transactionId !== undefined)
      turn.do({ kind: "send-asked", transactionId, answer: { status: 481, sdp: undefined } });
  for (const { leg } of legs) endLeg(turn, leg, undefined);
  turn.state = { ...turn.state, asked: [], reinvites: [], notices: [], forgotten: true };
  if (caller.name === "up") endCaller(turn, "normal");
}

// ---- what the server says

function acked(turn: Turn): void {
  const { caller } = turn.state;
  if ((caller.name === "up" && caller.acked) || (caller.name !== "up" && caller.name !== "answering")) return;
  const hangUp = caller.name === "answering" ? caller.hangUp : undefined;
  turn.caller({ name: "up", acked: true, sdp: undefined });
  turn.tell({ kind: "caller-acked" });
  if (hangUp !== undefined) endCaller(turn, hangUp);
}

function accepted(turn: Turn, { leg: id, sdp, usable }: Extract<SignallingInput, { kind: "accepted" }>): void {
  const leg = turn.leg(id);
  if (leg === undefined) return;
  turn.do({ kind: "send-ack", leg: id });
  settle(turn, id, leg.name === "inviting" || leg.name === "up" ? "confirmed" : "ending");
  if (!usable) {
    turn.remove(id);
    if (leg.name === "inviting")
      turn.tell({ kind: "leg-failed", leg: id, status: 500, detail: "no Contact in the 2xx" });
    return;
  }
  if (leg.name === "inviting") {
    turn.put({ name: "up", leg: id });
    turn.tell({ kind: "leg-answered", leg: id, sdp });
  } else if (leg.name === "cancelling" || leg.name === "ending") {
    // The answer has crossed our CANCEL: RFC 3261 §9.1. The server may have said that BYE already.
    const code = leg.name === "ending" ? leg.code : undefined;
    turn.put({ name: "ending", leg: id, code });
    turn.do({ kind: "send-bye", side: id, code });
  }
}

function hungUp(turn: Turn, side: CallSide, reason: string): void {
  if (side === "caller") {
    const { name } = turn.state.caller;
    if (name === "over") return;
    callerOver(turn);
    if (name !== "ending") turn.tell({ kind: "caller-hung-up", reason });
    return;
  }
  const leg = turn.leg(side);
  if (leg?.name !== "up" && leg?.name !== "ending") return; // a BYE that has overtaken its 2xx: that one counts. RFC 3261 §13.2.2.4
  turn.remove(side);
  if (leg.name === "up") turn.tell({ kind: "leg-hung-up", leg: side, reason });
}

function callerOver(turn: Turn): void {
  turn.caller({ name: "over" });
  turn.drop("caller");
}

/** A request in a dialog. One that comes again is not told again; one that was answered gets its answer again. */
function asked(turn: Turn, given: Asked, tell: () => void): void {
  const { kind, side, request, transactionId = "" } = given;
  const refuse = (status: number) => turn.do({ kind: "send-asked", transactionId, answer: { status, sdp: undefined } });
  const list = turn.state.asked;
  const at = list.findIndex((one) => one.kind === kind && one.side === side && one.request === request);
  const known = list[at];
  if (known !== undefined) {
    if (known.answer !== undefined) turn.do({ kind: "send-asked", transactionId, answer: known.answer });
    turn.state = { ...turn.state, asked: list.with(at, { ...known, transactionId }) };
    return;
  }
  const { caller, forgotten } = turn.state;
  const isThere =
    side === "caller" ? caller.name === "up" || caller.name === "answering" : turn.leg(side)?.name === "up";
  if (forgotten || !isThere) return refuse(481);
  if (list.filter(({ answer }) => answer === undefined).length >= ASKED_MAX) return refuse(500);
  turn.state = { ...turn.state, asked: [...list, given] };
  tell();
}

// ---- the server is back, and has said what it has

/** Nothing of what it had is left to be looked at: the message itself has come. */
function settle(turn: Turn, side: CallSide, phase: "confirmed" | "ending"): void {
  const { standing } = turn.state;
  if (standing.length === 0) return;
  const is: Standing = { kind: "dialog", phase, transactionId: "" };
  turn.state = {
    ...turn.state,
    standing: standing.map((one) => (one.side === side && one.is.kind === "dialog" ? { side, is } : one)),
  };
}

function reconcile(turn: Turn): void {
  const { standing, notices, legs } = turn.state;
  const isOf = (side: CallSide) => standing.findLast((one) => one.side === side)?.is;
  turn.state = { ...turn.state, attached: true, standing: [], notices: [] };
  reconcileCaller(turn, isOf("caller"));
  for (const { leg } of legs) {
    const state = turn.leg(leg);
    if (state !== undefined) reconcileLeg(turn, state, isOf(leg));
  }
  // It has delivered again what has no answer: the rest is no longer there.
  const isThere = ({ kind, answer, transactionId }: Asked) =>
    transactionId !== undefined || (kind === "refer" && answer !== undefined);
  turn.state = { ...turn.state, asked: turn.state.asked.filter(isThere) };
  for (const notice of notices) notify(turn, notice);
  for (const one of turn.state.reinvites) if (one.phase === "asking" && !one.said) sayReinvite(turn, one);
}

function reconcileCaller(turn: Turn, is: Standing | undefined): void {
  const { caller } = turn.state;
  switch (caller.name) {
    case "offered":
      if (is?.kind === "request") return turn.caller({ ...caller, transactionId: is.transactionId });
      if (is?.kind === "dialog") return turn.caller(found(is));
      turn.caller({ name: "over" });
      return turn.tell({ kind: "signalling-lost", code: DIALOG_LOST });
    case "answering": {
      const { sdp, hangUp } = caller;
      if (is?.kind === "request") {
        const { transactionId } = is;
        if (hangUp !== undefined) return refuse(turn, transactionId, hangUp);
        turn.caller({ ...caller, transactionId });
        return turn.do({ kind: "send-answer", transactionId, sdp });
      }
      if (is?.kind === "dialog") {
        turn.caller(found(is));
        if (is.phase === "confirmed") turn.tell({ kind: "caller-acked" });
        return hangUp === undefined ? undefined : endCaller(turn, hangUp);
      }
      turn.caller({ name: "over" });
      return turn.tell({ kind: "answer-failed", detail: DIALOG_LOST });
    }
    case "rejecting":
      if (is?.kind === "request") {
        turn.caller({ ...caller, transactionId: is.transactionId });
        return turn.do({ kind: "send-refusal", transactionId: is.transactionId, refusal: caller.refusal });
      }
      if (is?.kind !== "dialog") return turn.caller({ name: "over" });
      turn.caller(found(is));
      return endCaller(turn, caller.refusal.code);
    case "up":
      if (is?.kind === "request") {
        // It has died with our 200 unsent.
        const { transactionId } = is;
        if (caller.sdp === undefined) return turn.caller({ name: "offered", transactionId });
        turn.caller({ name: "answering", transactionId, sdp: caller.sdp, hangUp: undefined });
        return turn.do({ kind: "send-answer", transactionId, sdp: caller.sdp });
      }
      if (is?.kind === "dialog") {
        if (is.phase !== "confirmed" || caller.acked) return;
        turn.caller(found(is));
        return turn.tell({ kind: "caller-acked" });
      }
      callerOver(turn);
      return turn.tell({ kind: "signalling-lost", code: DIALOG_LOST });
    case "ending":
      if (is?.kind === "request") return refuse(turn, is.transactionId, caller.code);
      if (is?.kind !== "dialog") return callerOver(turn);
      if (is.phase !== "ending") turn.do({ kind: "send-bye", side: "caller", code: caller.code });
      else callerOver(turn); // it is about it
      return;
    case "over":
      return;
    default:
      return impossible(caller);
  }
}

const found = ({ phase }: Extract<Standing, { kind: "dialog" }>): CallerState => ({
  name: "up",
  acked: phase === "confirmed",
  sdp: undefined,
});

/** It was to be answered and ended; it has not been answered yet. */
function refuse(turn: Turn, transactionId: string, code: string): void {
  const refusal = { status: 480, code, retryAfterSeconds: undefined };
  turn.caller({ name: "rejecting", transactionId, refusal });
  turn.do({ kind: "send-refusal", transactionId, refusal });
}

function reconcileLeg(turn: Turn, state: LegState, is: Standing | undefined): void {
  const { leg } = state;
  switch (state.name) {
    case "inviting": {
      if (is?.kind === "invite" || (is?.kind === "dialog" && is.phase === "unacknowledged")) {
        const { transactionId } = is;
        const status = is.kind === "invite" ? is.status : 0;
        const isNews = status > 0 && status !== state.told;
        turn.put({ ...state, said: true, transactionId, told: isNews ? status : state.told });
        return isNews ? turn.tell({ kind: "leg-ringing", leg, status }) : undefined;
      }
      if (is?.kind === "dialog") {
        // Answered and acknowledged by a process that died before it could write that down: we have not heard its SDP.
        turn.put({ name: "up", leg });
        endLeg(turn, leg, DIALOG_LOST);
      } else if (state.told === 0) {
        // It has not rung: the INVITE never left, or was never said.
        const { wish } = state;
        turn.put({ ...state, said: wish !== undefined, transactionId: undefined });
        return wish === undefined ? undefined : turn.do({ kind: "send-invite", leg, wish });
      } else turn.remove(leg);
      return turn.tell({ kind: "leg-failed", leg, status: 0, detail: DIALOG_LOST });
    }
    case "cancelling":
      if (is?.kind === "invite") {
        const { transactionId } = is;
        turn.put({ ...state, transactionId });
        turn.do({ kind: "send-cancel", transactionId });
      } else if (is?.kind !== "dialog") turn.remove(leg);
      else if (is.phase === "confirmed") {
        turn.put({ name: "up", leg });
        endLeg(turn, leg, undefined);
      } else if (is.phase === "ending") turn.remove(leg);
      return; // unacknowledged: its 2xx has come before this, or comes
    case "up":
      if (is?.kind === "dialog") return;
      if (is?.kind === "invite") {
        // It has died with the 2xx unsaved: the phone says it again.
        const { transactionId, status } = is;
        return turn.put({ name: "inviting", leg, wish: undefined, said: true, transactionId, told: status });
      }
      turn.remove(leg);
      return turn.tell({ kind: "leg-hung-up", leg, reason: DIALOG_LOST });
    case "ending":
      if (is?.kind === "invite") {
        const { transactionId } = is;
        turn.put({ name: "cancelling", leg, transactionId });
        turn.do({ kind: "send-cancel", transactionId });
      } else if (is?.kind === "dialog" && is.phase !== "ending")
        turn.do({ kind: "send-bye", side: leg, code: state.code });
      else turn.remove(leg);
      return;
    default:
      return impossible(state);
  }
}
