// One proxied request, all its branches, and what goes back: the response context of RFC 3261 §16.6 – §16.10, with the
// breadth of RFC 5393 §5 and RFC 4320 §4 for what is no INVITE. Each branch has a client transaction of its own, which
// retransmits, acknowledges failures and times out; this machine decides what they are for.

import { impossible, type Step } from "../../../../kernel/step.ts";
import * as cancellation from "../dialog/cancellation.ts";
import { type Header, header, type SipResponse } from "../message/message.ts";
import { reasonPhrase } from "../message/reason-phrases.ts";
import type { Timing } from "../transaction/timing.ts";
import { type Collected, chooseBest } from "./best-response.ts";
import { contactsToFollow } from "./redirect.ts";
import type { Target } from "./target.ts";

/** What is told once and for all. */
export interface SearchContext {
  readonly timing: Timing;
  readonly isInvite: boolean;
  readonly forking: "serial" | "simultaneous";
  readonly followRedirects: boolean;
  /** Without any response, 100 included, a branch is given up after this. */
  readonly provisionalTimeoutMs: number | undefined;
  /** Without a final response a branch is cancelled after this. */
  readonly finalTimeoutMs: number | undefined;
  /** §16.6 step 11: more than three minutes; each 101 … 199 starts it anew. */
  readonly timerCMs: number;
  /** Only for what is no INVITE: its sender stops listening 64·T1 after it began. */
  readonly deadlineMs: number;
  /** Of this request, redirects included. */
  readonly targetsMax: number;
  /** How many branches may be alive at once, here and at every proxy behind: RFC 5393 §5. */
  readonly breadth: number;
}

export interface Branch {
  readonly id: number;
  readonly breadth: number;
  /** "ended": its final response has come, or never will. */
  readonly phase: "trying" | "proceeding" | "ended";
  /** It took too long: the search has gone on, and whatever failure comes of it counts as 408. */
  readonly givenUp: boolean;
  readonly cancellation: cancellation.CancellationState;
}

export type ContextState =
  | {
      readonly name: "searching";
      readonly waiting: readonly Target[];
      readonly branches: readonly Branch[];
      readonly collected: readonly Collected[];
      /** Every URI that has been a target: none twice (§16.5). */
      readonly known: readonly string[];
      readonly breadthFree: number;
      readonly cancelled: boolean;
    }
  /** A 2xx has gone up; further ones follow it. */
  | { readonly name: "answered"; readonly branches: readonly Branch[] }
  /** A failure has gone up. */
  | { readonly name: "refused"; readonly branches: readonly Branch[] };

export type BranchTimer = "provisional" | "final" | "C" | "cancel";

export type ContextInput =
  /** Our Via is off it already. */
  | { readonly kind: "response"; readonly branch: number; readonly response: SipResponse }
  /** Its client transaction ended without a final response, or never began. §16.9. */
  | { readonly kind: "failed"; readonly branch: number; readonly status: number }
  | { readonly kind: "timer"; readonly timer: BranchTimer; readonly branch: number }
  | { readonly kind: "deadline" }
  /** The caller no longer wants an answer: §16.10. `reasons`: the Reason headers of its CANCEL, for ours. */
  | { readonly kind: "cancel"; readonly reasons: readonly Header[] };

export type ContextEffect =
  | { readonly kind: "fork"; readonly branch: number; readonly target: Target; readonly breadth: number }
  /** It is no longer wanted: no further address of its target is tried. */
  | { readonly kind: "settle"; readonly branch: number }
  /** `headers`: why, RFC 3326. */
  | { readonly kind: "cancel-branch"; readonly branch: number; readonly headers: readonly Header[] }
  /** Its client transaction is of no use any more. */
  | { readonly kind: "abandon"; readonly branch: number }
  | { readonly kind: "forward"; readonly response: SipResponse }
  /** A final response of ours goes up. */
  | { readonly kind: "refuse"; readonly status: number }
  /** For the application: the final response of one branch. */
  | { readonly kind: "report"; readonly branch: number; readonly response: SipResponse }
  | { readonly kind: "done" }
  | { readonly kind: "start-timer"; readonly timer: BranchTimer; readonly branch: number; readonly afterMs: number }
  | { readonly kind: "stop-timer"; readonly timer: BranchTimer; readonly branch: number }
  | { readonly kind: "start-deadline"; readonly afterMs: number }
  | { readonly kind: "stop-deadline" };

export type ContextStep = Step<ContextState, ContextEffect>;

/** @param targets in the order of preference; at least one */
export function start(context: SearchContext, targets: readonly Target[]): ContextStep {
  const work = new Work(context, {
    name: "searching",
    waiting: [],
    branches: [],
    collected: [],
    known: [],
    breadthFree: context.breadth,
    cancelled: false,
  });
  work.addTargets(targets);
  if (!context.isInvite) work.effects.push({ kind: "start-deadline", afterMs: context.deadlineMs });
  work.search();
  return work.settled();
}

export function step(context: SearchContext, state: ContextState, input: ContextInput): ContextStep {
  const work = new Work(context, state);
  switch (input.kind) {
    case "response":
      work.hear(input.branch, input.response);
      break;
    case "failed":
      work.lose(input.branch, input.status);
      break;
    case "timer":
      work.ring(input.timer, input.branch);
      break;
    case "deadline":
      work.stopSearching();
      work.endAll();
      break;
    case "cancel":
      work.stopSearching();
      work.cancelled = true;
      work.cancelAll(input.reasons);
      break;
    default:
      impossible(input);
  }
  return work.settled();
}

/** Nothing is to come: every branch has ended and the caller has its answer. */
export const isOver = (state: ContextState): boolean =>
  state.name !== "searching" && state.branches.every(({ phase }) => phase === "ended");

/** The state of one step while it is being worked out. */
class Work {
  readonly effects: ContextEffect[] = [];
  readonly #context: SearchContext;
  readonly #branches: Branch[];
  #name: ContextState["name"];
  #waiting: readonly Target[] = [];
  #collected: readonly Collected[] = [];
  #known: readonly string[] = [];
  #breadthFree = 0;
  cancelled = false;

  constructor(context: SearchContext, state: ContextState) {
    this.#context = context;
    this.#name = state.name;
    this.#branches = [...state.branches];
    if (state.name !== "searching") return;
    this.#waiting = state.waiting;
    this.#collected = state.collected;
    this.#known = state.known;
    this.#breadthFree = state.breadthFree;
    this.cancelled = state.cancelled;
  }

  /** @returns how many of them are new; the rest is known already or beyond the bound */
  addTargets(targets: readonly Target[], place: "first" | "last" = "last"): number {
    const fresh: Target[] = [];
    for (const target of targets) {
      if (this.#known.length >= this.#context.targetsMax) break;
      if (this.#known.includes(target.uri)) continue;
      this.#known = [...this.#known, target.uri];
      fresh.push(target);
    }
    this.#waiting = place === "first" ? [...fresh, ...this.#waiting] : [...this.#waiting, ...fresh];
    return fresh.length;
  }

  /** Forks to as many targets as may be asked at once. §16.6. */
  search(): void {
    const { isInvite, forking, provisionalTimeoutMs, finalTimeoutMs, timerCMs } = this.#context;
    while (this.#name === "searching" && this.#breadthFree >= 1) {
      const isBusy = this.#branches.some(({ phase, givenUp }) => phase !== "ended" && !givenUp);
      if (forking === "serial" && isBusy) return;
      const [target, ...others] = this.#waiting;
      if (target === undefined) return;
      this.#waiting = others;
      const share = Math.max(1, Math.floor(this.#breadthFree / (others.length + 1)));
      const breadth = forking === "serial" ? this.#breadthFree : share;
      this.#breadthFree -= breadth;
      const id = this.#branches.length;
      this.#branches.push({ id, breadth, phase: "trying", givenUp: false, cancellation: cancellation.UNASKED });
      this.effects.push({ kind: "fork", branch: id, target, breadth });
      if (provisionalTimeoutMs !== undefined) this.#startTimer("provisional", id, provisionalTimeoutMs);
      if (finalTimeoutMs !== undefined) this.#startTimer("final", id, finalTimeoutMs);
      if (isInvite) this.#startTimer("C", id, timerCMs);
    }
  }

  hear(id: number, response: SipResponse): void {
    const branch = this.#branches[id];
    if (branch === undefined) return;
    const { isInvite } = this.#context;
    if (response.status < 200) {
      if (branch.phase !== "ended") this.#hearProvisional(branch, response);
      return;
    }
    const isSuccess = response.status < 300;
    if (isSuccess && isInvite) {
      // §16.7 step 5: each 2xx goes up, a copy of one as well, whatever has gone before it.
      this.#endBranch(id, true);
      if (this.#name === "searching") this.#answer(id, response);
      else this.effects.push({ kind: "forward", response });
      return;
    }
    if (branch.phase === "ended") return;
    this.#endBranch(id, isSuccess);
    if (this.#name !== "searching") return;
    if (isSuccess) this.#answer(id, response);
    else this.#collect(branch, response);
  }

  #hearProvisional(branch: Branch, response: SipResponse): void {
    const isFirst = branch.phase === "trying";
    if (isFirst) {
      this.#set({ ...branch, phase: "proceeding" });
      if (!branch.givenUp && this.#context.provisionalTimeoutMs !== undefined)
        this.#stopTimer("provisional", branch.id);
    }
    if (response.status > 100 && !branch.givenUp) {
      if (this.#context.isInvite) this.#startTimer("C", branch.id, this.#context.timerCMs);
      if (this.#name === "searching") this.effects.push({ kind: "forward", response });
    }
    this.#cancellation(branch.id, { kind: "provisional" });
  }

  /** The first 2xx: it goes up, everything else stops. */
  #answer(id: number, response: SipResponse): void {
    this.effects.push({ kind: "forward", response }, { kind: "report", branch: id, response }, { kind: "done" });
    this.#close("answered", ELSEWHERE);
  }

  /** A failure: kept until the best can be told. §16.7 steps 4 and 5. */
  #collect(branch: Branch, response: SipResponse): void {
    this.effects.push({ kind: "report", branch: branch.id, response });
    const { status } = response;
    if (branch.givenUp) return; // its 408 was collected when it was given up
    let kept: SipResponse | undefined = response;
    if (this.#context.followRedirects && status >= 300 && status < 400 && !this.cancelled) {
      const { targets, rest } = contactsToFollow(response);
      if (this.addTargets(targets, "first") > 0) kept = rest;
    }
    if (kept !== undefined) this.#collected = [...this.#collected, { kind: "received", response: kept }];
    if (status >= 600) {
      this.stopSearching();
      if (this.#context.isInvite) this.cancelAll(reasonOf(status));
      else this.endAll();
    } else if (this.#context.forking === "serial" && (status === 401 || status === 407)) this.stopSearching();
    this.search();
  }

  /** Nothing will come of the branch: 408 when nobody answered, 503 when it could not be sent. */
  lose(id: number, status: number): void {
    const branch = this.#branches[id];
    if (branch === undefined || branch.phase === "ended") return;
    this.#endBranch(id, false);
    if (this.#name !== "searching") return;
    if (!branch.givenUp) this.#collected = [...this.#collected, { kind: "made", status }];
    this.search();
  }

  ring(timer: BranchTimer, id: number): void {
    const branch = this.#branches[id];
    if (branch === undefined || branch.phase === "ended") return;
    if (timer === "cancel") this.#cancellation(id, { kind: "timer" });
    else if (timer !== "provisional" || branch.phase === "trying") this.#giveUp(branch, timer);
  }

  /** It took too long: cancelled, and the search goes on without it. */
  #giveUp(branch: Branch, rang: BranchTimer): void {
    if (branch.givenUp) return;
    this.#stopTimersOf(branch, rang);
    this.#breadthFree += branch.breadth;
    this.#set({ ...branch, givenUp: true, breadth: 0 });
    if (this.#name === "searching") this.#collected = [...this.#collected, { kind: "made", status: 408 }];
    this.effects.push({ kind: "settle", branch: branch.id });
    this.#cancellation(branch.id, { kind: "asked", headers: TOO_LATE });
    this.search();
  }

  /** No further target is tried. */
  stopSearching(): void {
    this.#waiting = [];
  }

  cancelAll(headers: readonly Header[]): void {
    for (const { id, phase } of this.#branches)
      if (phase !== "ended") {
        this.effects.push({ kind: "settle", branch: id });
        this.#cancellation(id, { kind: "asked", headers });
      }
  }

  /** What is no INVITE can not be cancelled: its branches are dropped. */
  endAll(): void {
    for (const branch of this.#branches)
      if (branch.phase !== "ended") {
        this.#endBranch(branch.id, false);
        this.effects.push({ kind: "abandon", branch: branch.id });
      }
  }

  settled(): ContextStep {
    if (this.#name === "searching" && this.#waiting.length === 0 && !this.#branches.some(isAwaited)) this.#refuse();
    const name = this.#name;
    if (name !== "searching") return { state: { name, branches: this.#branches }, effects: this.effects };
    const state: ContextState = {
      name,
      waiting: this.#waiting,
      branches: this.#branches,
      collected: this.#collected,
      known: this.#known,
      breadthFree: this.#breadthFree,
      cancelled: this.cancelled,
    };
    return { state, effects: this.effects };
  }

  /** Every branch has ended without a 2xx: the best of what they said. §16.7 step 6. */
  #refuse(): void {
    const best = chooseBest(this.#collected, { cancelled: this.cancelled, isInvite: this.#context.isInvite });
    this.effects.push(
      best.kind === "received" ? { kind: "forward", response: best.response } : { kind: "refuse", status: best.status },
      { kind: "done" },
    );
    this.#close("refused", []);
  }

  #close(name: "answered" | "refused", why: readonly Header[]): void {
    this.#name = name;
    this.#waiting = [];
    if (this.#context.isInvite) this.cancelAll(why);
    else {
      this.endAll();
      this.effects.push({ kind: "stop-deadline" });
    }
  }

  #endBranch(id: number, success: boolean): void {
    const branch = this.#branches[id];
    if (branch === undefined || branch.phase === "ended") return;
    if (!branch.givenUp) this.#stopTimersOf(branch);
    this.#breadthFree += branch.breadth;
    this.#set({ ...branch, phase: "ended", breadth: 0 });
    this.#cancellation(id, { kind: "final", success });
  }

  #cancellation(id: number, input: cancellation.CancellationInput): void {
    const branch = this.#branches[id];
    if (branch === undefined || !this.#context.isInvite) return;
    const next = cancellation.step(this.#context.timing, branch.cancellation, input);
    this.#set({ ...branch, cancellation: next.state });
    for (const effect of next.effects) {
      switch (effect.kind) {
        case "send-cancel":
          this.effects.push({ kind: "cancel-branch", branch: id, headers: effect.headers });
          break;
        case "start-timer":
          this.#startTimer("cancel", id, effect.afterMs);
          break;
        case "stop-timer":
          this.#stopTimer("cancel", id);
          break;
        case "give-up":
          this.effects.push({ kind: "abandon", branch: id });
          this.lose(id, 408);
          break;
        default:
          impossible(effect);
      }
    }
  }

  #stopTimersOf(branch: Branch, rang?: BranchTimer): void {
    const { isInvite, provisionalTimeoutMs, finalTimeoutMs } = this.#context;
    const stop = (timer: BranchTimer) => {
      if (timer !== rang) this.#stopTimer(timer, branch.id);
    };
    if (provisionalTimeoutMs !== undefined && branch.phase === "trying") stop("provisional");
    if (finalTimeoutMs !== undefined) stop("final");
    if (isInvite) stop("C");
  }

  #startTimer(timer: BranchTimer, branch: number, afterMs: number): void {
    this.effects.push({ kind: "start-timer", timer, branch, afterMs });
  }

  #stopTimer(timer: BranchTimer, branch: number): void {
    this.effects.push({ kind: "stop-timer", timer, branch });
  }

  #set(branch: Branch): void {
    this.#branches[branch.id] = branch;
  }
}

/** The caller waits for it: it has not ended, and is not one that never said a word and was given up for it. */
const isAwaited = ({ phase, givenUp }: Branch): boolean => phase === "proceeding" || (phase === "trying" && !givenUp);

/** RFC 3326 §2, §3.1: a phone that reads it shows no missed call. */
const reasonOf = (status: number, text = reasonPhrase(status)): readonly Header[] => [
  header("Reason", "reason", `SIP;cause=${status}${text === "" ? "" : `;text="${text}"`}`),
];
const ELSEWHERE = reasonOf(200, "Call completed elsewhere");
const TOO_LATE = reasonOf(408);
