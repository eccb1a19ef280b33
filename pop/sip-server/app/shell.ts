// What both halves of the user agent share: the clock, chance, our addresses, the way out.

import type { Clock } from "../../../kernel/time.ts";
import type { Flow, ListenPoint } from "../core/flow.ts";
import type { SipMessage } from "../core/message/message.ts";
import type { Timing } from "../core/transaction/timing.ts";
import type { Counters } from "./counters.ts";
import type { TimerWheel } from "./timer-wheel.ts";

export interface Shell {
  readonly clock: Clock;
  readonly timing: Timing;
  readonly wheel: TimerWheel;
  readonly counters: Counters;
  readonly ids: Ids;
  /** Ours, in the order of the configuration; known once the sockets are bound. */
  readonly points: readonly ListenPoint[];
  readonly limits: UserAgentLimits;
  point(id: string): ListenPoint;
  send(message: SipMessage, flow: Flow, again: boolean, failed: () => void): void;
  /** The bytes of a message, serialised once when it has just been sent. */
  textOf(message: SipMessage): string;
  /** An address for a host name; undefined when there is none. Never rejects. */
  resolve(host: string): Promise<string | undefined>;
  /** UTC, HH:MM:SS.uuuuuu: as the drachtio protocol writes it. */
  timeOfDay(): string;
}

export interface Ids {
  uuid(): string;
  tag(): string;
  branch(): string;
  callId(): string;
}

export interface UserAgentLimits {
  /** Requests an application has yet to answer. */
  readonly pendingMax: number;
  /** A request no application has reacted to gets a final response after this many T1: INVITE 408, others 500. */
  readonly unansweredInviteT1s: number;
  readonly unansweredT1s: number;
  /** An INVITE may ring this long. */
  readonly ringingMs: number;
  /** Dialogs of an application that has gone: BYE after this. */
  readonly orphanGraceMs: number;
}

export const USER_AGENT_LIMITS: UserAgentLimits = {
  pendingMax: 20_000,
  unansweredInviteT1s: 120, // 60 s: within the 64 s the callers of drachtio know
  unansweredT1s: 54, // 27 s: before the peer's Timer F (32 s), RFC 4320 §4
  ringingMs: 600_000,
  orphanGraceMs: 60_000,
};
