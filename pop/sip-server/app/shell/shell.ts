// What both halves of the user agent share: the clock, chance, our addresses, the way out.

import type { Clock } from "../../../../kernel/time.ts";
import type { Ids } from "../../boundary/ids.ts";
import type { Flow, ListenPoint } from "../../core/flow.ts";
import type { UserAgentLimits } from "../../core/limits.ts";
import type { SipMessage, SipRequest } from "../../core/message/message.ts";
import type { SessionTimerPolicy } from "../../core/session/negotiation.ts";
import type { Timing } from "../../core/transaction/timing.ts";
import type { CallRecords } from "./call-records.ts";
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
  readonly sessionTimer: SessionTimerPolicy;
  /** undefined: no records are wanted. */
  readonly records: CallRecords | undefined;
  point(id: string): ListenPoint;
  send(message: SipMessage, flow: Flow, again: boolean, failed: () => void): void;
  /** Something of this call has changed by which no message left or came. */
  changed(callId: string): void;
  /** The standing WebSocket of a client, by the address and port it comes from. */
  connectedTo(address: string, port: number): Flow | undefined;
  /** The bytes of a message, serialised once when it has just been sent. */
  textOf(message: SipMessage): string;
  /** Whether we look at anything from this address. */
  admits(address: string): boolean;
  /** Whether it is a carrier of ours: by the configuration, or by the word of an application. */
  readonly trusts: (address: string) => boolean;
  /** A request was refused for want of better credentials: guessing has a price. */
  credentialsRefused(request: SipRequest, from: Flow): void;
  /** UTC, HH:MM:SS.uuuuuu: as the drachtio protocol writes it. */
  timeOfDay(): string;
}
