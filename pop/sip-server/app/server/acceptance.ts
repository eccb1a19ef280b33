// Drives core/dialog/accepted-invite.ts: our 2xx to an INVITE, until its ACK. RFC 3261 §13.3.1.4.

import * as acceptedInvite from "../../core/dialog/accepted-invite.ts";
import type { SipResponse } from "../../core/message/message.ts";
import { type AcceptanceRecord, freeze, requestText, thaw } from "../../core/record/record.ts";
import { serverKey } from "../../core/transaction/key.ts";
import type { Acceptance, DialogEntry } from "../dialogs/dialog-store.ts";
import type { Shell } from "../shell/shell.ts";
import { NamedTimers, type TimerOwner } from "../shell/timer-wheel.ts";
import type { ServerTransaction } from "../transactions/server-transaction.ts";
import { timerRecords } from "../transactions/transaction-driver.ts";

/** The application's own BYE has waited for the ACK long enough. */
export function releaseHeldBye(entry: DialogEntry): void {
  const { heldBye } = entry;
  entry.heldBye = undefined;
  heldBye?.release();
}

/** How the application, and the ACK, name the INVITE. */
export interface InviteName {
  readonly transactionId: string;
  readonly cseq: number;
}

export type Responder = Pick<ServerTransaction, "request" | "flow" | "respond">;

interface AcceptanceUser {
  acknowledged(): void;
  gaveUp(): void;
}

/** Drives core/dialog/accepted-invite.ts. */
export class AcceptanceDriver implements Acceptance, TimerOwner {
  readonly transactionId: string;
  readonly cseq: number;
  readonly #shell: Shell;
  readonly #transaction: Responder;
  readonly #user: AcceptanceUser;
  readonly #timers: NamedTimers;
  #state: acceptedInvite.AcceptedInviteState = { name: "moot" };

  constructor(shell: Shell, transaction: Responder, invite: InviteName, user: AcceptanceUser) {
    this.#shell = shell;
    this.#transaction = transaction;
    this.#user = user;
    this.transactionId = invite.transactionId;
    this.cseq = invite.cseq;
    this.#timers = new NamedTimers(shell.wheel, this);
  }

  get state(): acceptedInvite.AcceptedInviteState["name"] {
    return this.#state.name;
  }

  begin(response: SipResponse): void {
    const { state, effects } = acceptedInvite.start(this.#shell.timing, response);
    this.#state = state;
    this.#perform(effects);
  }

  resume(record: AcceptanceRecord, unixMs: number): void {
    this.#state = thaw(record.state);
    for (const { name, dueUnixMs } of record.timers) this.#timers.start(name, Math.max(0, dueUnixMs - unixMs));
  }

  record(unixMs: number): AcceptanceRecord {
    const { request, flow } = this.#transaction;
    return {
      transactionId: this.transactionId,
      cseq: this.cseq,
      transaction: serverKey(request),
      invite: requestText(request),
      flow,
      state: freeze(this.#state),
      timers: timerRecords(this.#timers, unixMs),
    };
  }

  acknowledge(): void {
    this.#handle({ kind: "ack" });
  }

  over(): void {
    this.#handle({ kind: "over" });
  }

  onTimer(name: string): void {
    this.#handle({ kind: "timer", timer: name as acceptedInvite.AcceptedInviteTimer });
  }

  #handle(input: acceptedInvite.AcceptedInviteInput): void {
    const { state, effects } = acceptedInvite.step(this.#shell.timing, this.#state, input);
    this.#state = state;
    this.#perform(effects);
  }

  #perform(effects: readonly acceptedInvite.AcceptedInviteEffect[]): void {
    for (const effect of effects) {
      switch (effect.kind) {
        case "send-2xx":
          this.#transaction.respond(effect.response);
          break;
        case "start-timer":
          this.#timers.start(effect.timer, effect.afterMs);
          break;
        case "stop-timer":
          this.#timers.stop(effect.timer);
          break;
        case "acknowledged":
          this.#user.acknowledged();
          break;
        case "give-up":
          this.#user.gaveUp();
          break;
      }
    }
  }
}
