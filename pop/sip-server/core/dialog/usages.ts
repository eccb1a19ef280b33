// What a dialog is used for: one session at most, and subscriptions in either direction. It lives until the last of them has
// ended. RFC 5057 §4, RFC 6665 §4.1, §4.2, RFC 3515 §2.4, RFC 7647. Plain data inside the dialog.
//
// a. A BYE ends the session alone; a NOTIFY that says "terminated" ends its subscription alone.
// b. Every subscription has a time at which it ends by itself.
// c. A dialog has at most SUBSCRIPTIONS_MAX of them.

import type { EventName, SubscriptionState } from "./subscription-values.ts";

export interface Subscription extends EventName {
  /** Ours: we hear of changes, or we tell of them. */
  readonly role: "subscriber" | "notifier";
  /** REFER: its subscription came with it, and answers to `Event: refer` without an id when it is the first. */
  readonly by: "SUBSCRIBE" | "REFER";
  /**
   * asked: no NOTIFY yet (subscriber). active. ending: unsubscribed, or run out; the last NOTIFY is still to come.
   */
  readonly phase: "asked" | "active" | "ending";
  /** As granted last. */
  readonly expiresSeconds: number;
  /** When it ends, or the wait for its last NOTIFY does. */
  readonly dueUnixMs: number;
}

export interface Usages {
  /** The INVITE usage. */
  readonly session: boolean;
  readonly subscriptions: readonly Subscription[];
}

export const SESSION: Usages = { session: true, subscriptions: [] };
export const NO_USAGE: Usages = { session: false, subscriptions: [] };
export const SUBSCRIPTIONS_MAX = 16;

/** RFC 3515 leaves it to the referee; a transfer that has not been told of for a minute is over. */
export const REFER_EXPIRES_SECONDS = 60;
/** For packages that do not say: RFC 6665 leaves it to them, most say an hour. */
export const SUBSCRIBE_EXPIRES_SECONDS = 3_600;
/** Longer ones are forgotten after a week without a refresh. */
export const EXPIRES_SECONDS_MAX = 604_800;

/** A failure after which there is no subscription any more; after others there still is. RFC 6665 §4.1.2.2, §4.2.2. */
const ENDING_STATUS: ReadonlySet<number> = new Set([404, 405, 410, 416, 480, 481, 482, 483, 484, 485, 489, 501, 604]);

interface Named extends EventName {
  readonly role: Subscription["role"];
  readonly by: Subscription["by"];
}

export type UsageInput =
  /** A SUBSCRIBE or REFER of ours leaves: its first NOTIFY may be here before its answer. */
  | ({ readonly kind: "asked" } & Named)
  /** 2xx. @param expiresSeconds 0: the subscription is over but for its last NOTIFY */
  | ({ readonly kind: "granted"; readonly expiresSeconds: number | undefined } & Named)
  /** 2xx to a REFER that makes no subscription: RFC 4488. */
  | ({ readonly kind: "declined" } & Named)
  /** Any other final response to a SUBSCRIBE or REFER. */
  | ({ readonly kind: "refused"; readonly status: number } & Named)
  /** A NOTIFY has its final response. */
  | ({
      readonly kind: "notified";
      readonly status: number;
      readonly state: SubscriptionState;
    } & EventName & { readonly role: Subscription["role"] })
  | { readonly kind: "bye" }
  | { readonly kind: "due" };

export type UsageEffect =
  /** Wake this dialog after so long; replaces an earlier wish. */
  | { readonly kind: "start-timer"; readonly afterMs: number }
  | { readonly kind: "stop-timer" }
  /** The subscriber has not refreshed: our application should say its last word. */
  | { readonly kind: "tell-lapsed"; readonly subscription: Subscription }
  /** It did not: the server says it. */
  | { readonly kind: "send-terminated"; readonly subscription: Subscription }
  /** The notifier is silent: to our application the subscription is over. */
  | { readonly kind: "tell-terminated"; readonly subscription: Subscription }
  /** No usage is left: the dialog is over. */
  | { readonly kind: "over" };

export interface UsageStep {
  readonly state: Usages;
  readonly effects: readonly UsageEffect[];
}

export interface UsageTime {
  readonly nowUnixMs: number;
  /** Timer N, and the wait for a last NOTIFY: 64·T1. RFC 6665 §4.1.2.4. */
  readonly graceMs: number;
}

export function step(time: UsageTime, state: Usages, input: UsageInput): UsageStep {
  const { nowUnixMs, graceMs } = time;
  const { subscriptions } = state;
  switch (input.kind) {
    case "bye":
      return settle(time, state, { ...state, session: false }, []);
    case "due":
      return due(time, state);
    case "asked": {
      if (find(state, input.role, input) !== undefined || subscriptions.length >= SUBSCRIPTIONS_MAX)
        return { state, effects: [] };
      const { role, by, event, id } = input;
      const expiresSeconds = by === "REFER" ? REFER_EXPIRES_SECONDS : SUBSCRIBE_EXPIRES_SECONDS;
      const made: Subscription = {
        role,
        by,
        event,
        id,
        phase: "asked",
        expiresSeconds,
        dueUnixMs: nowUnixMs + graceMs,
      };
      return settle(time, state, { ...state, subscriptions: [...subscriptions, made] }, []);
    }
    case "granted": {
      const known = find(state, input.role, input);
      const { role, by, event, id } = input;
      const usual = by === "REFER" ? REFER_EXPIRES_SECONDS : SUBSCRIBE_EXPIRES_SECONDS;
      const expiresSeconds = Math.min(input.expiresSeconds ?? usual, EXPIRES_SECONDS_MAX);
      const first = role === "notifier" ? "active" : "asked";
      const phase =
        expiresSeconds === 0 ? "ending" : known === undefined || known.phase === "ending" ? first : known.phase;
      const after = phase === "active" ? expiresSeconds * 1_000 + (role === "subscriber" ? graceMs : 0) : graceMs;
      const granted: Subscription = { role, by, event, id, phase, expiresSeconds, dueUnixMs: nowUnixMs + after };
      if (known === undefined && subscriptions.length >= SUBSCRIPTIONS_MAX) return { state, effects: [] };
      return settle(time, state, replaced(state, known, granted), []);
    }
    case "declined":
      return settle(time, state, replaced(state, find(state, input.role, input), undefined), []);
    case "refused": {
      const known = find(state, input.role, input);
      if (known === undefined) return settle(time, state, state, []);
      // A refresh that fails leaves the subscription as it was, unless the peer says there is none.
      const isOver = known.phase === "asked" || ENDING_STATUS.has(input.status);
      return isOver ? settle(time, state, replaced(state, known, undefined), []) : { state, effects: [] };
    }
    case "notified":
      return notified(time, state, input);
  }
}

function notified(time: UsageTime, state: Usages, input: Extract<UsageInput, { kind: "notified" }>): UsageStep {
  const known = find(state, input.role, input);
  if (known === undefined) return settle(time, state, state, []);
  const { status } = input;
  if (status === 401 || status === 407) return { state, effects: [] }; // it will be said again
  // A NOTIFY nobody answers ends it as well: RFC 6665 §4.2.2.
  const isUnheard = known.role === "notifier" && status === 408;
  if (input.state.terminated || isUnheard || ENDING_STATUS.has(status))
    return settle(time, state, replaced(state, known, undefined), []);
  if (known.phase === "ending") return { state, effects: [] };
  const told = input.state.expiresSeconds;
  const isNews = told !== undefined || known.phase === "asked";
  if (!isNews) return { state, effects: [] };
  const expiresSeconds = Math.min(told ?? known.expiresSeconds, EXPIRES_SECONDS_MAX);
  const after = expiresSeconds * 1_000 + (known.role === "subscriber" ? time.graceMs : 0);
  const active: Subscription = { ...known, phase: "active", expiresSeconds, dueUnixMs: time.nowUnixMs + after };
  return settle(time, state, replaced(state, known, active), []);
}

/** What has run out: subscribers forget, notifiers get a last chance to say so. */
function due(time: UsageTime, state: Usages): UsageStep {
  const { nowUnixMs, graceMs } = time;
  const kept: Subscription[] = [];
  const effects: UsageEffect[] = [];
  for (const subscription of state.subscriptions) {
    if (subscription.dueUnixMs > nowUnixMs) kept.push(subscription);
    else if (subscription.role === "subscriber") effects.push({ kind: "tell-terminated", subscription });
    else if (subscription.phase === "ending") effects.push({ kind: "send-terminated", subscription });
    else {
      kept.push({ ...subscription, phase: "ending", dueUnixMs: nowUnixMs + graceMs });
      effects.push({ kind: "tell-lapsed", subscription });
    }
  }
  return settle(time, undefined, { ...state, subscriptions: kept }, effects);
}

/** The next state with its timer, and the dialog's end when nothing is left. */
function settle(
  time: UsageTime,
  before: Usages | undefined,
  after: Usages,
  effects: readonly UsageEffect[],
): UsageStep {
  if (!after.session && after.subscriptions.length === 0)
    return { state: after, effects: [...effects, { kind: "stop-timer" }, { kind: "over" }] };
  const next = earliest(after);
  if (before !== undefined && next === earliest(before)) return { state: after, effects };
  const timer: UsageEffect =
    next === undefined ? { kind: "stop-timer" } : { kind: "start-timer", afterMs: Math.max(0, next - time.nowUnixMs) };
  return { state: after, effects: [...effects, timer] };
}

function earliest({ subscriptions }: Usages): number | undefined {
  let first: number | undefined;
  for (const { dueUnixMs } of subscriptions) if (first === undefined || dueUnixMs < first) first = dueUnixMs;
  return first;
}

/** In its place: who is first matters to `find`. */
function replaced(state: Usages, known: Subscription | undefined, by: Subscription | undefined): Usages {
  const { subscriptions } = state;
  if (known === undefined) return by === undefined ? state : { ...state, subscriptions: [...subscriptions, by] };
  if (by === undefined) return { ...state, subscriptions: subscriptions.filter((one) => one !== known) };
  return { ...state, subscriptions: subscriptions.map((one) => (one === known ? by : one)) };
}

/**
 * The subscription of that name. `Event: refer` without an id is the first REFER's (RFC 3515 §2.4.6); what our own
 * application tells need not name it at all when there is only one it can mean: a B2BUA repeats the other side's id.
 */
export function find(state: Usages, role: Subscription["role"], { event, id }: EventName): Subscription | undefined {
  let only: Subscription | undefined;
  let count = 0;
  for (const subscription of state.subscriptions) {
    if (subscription.role !== role || subscription.event !== event) continue;
    if (subscription.id === id || (id === "" && subscription.by === "REFER")) return subscription;
    only = subscription;
    count++;
  }
  return role === "notifier" && count === 1 && only?.by === "REFER" ? only : undefined;
}
