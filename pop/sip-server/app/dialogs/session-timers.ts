// Drives core/session/session-timer.ts for every dialog that has one. Our refreshes are no business of the application.

import { glareWaitMs } from "../../core/session/glare.ts";
import type { SessionTerms } from "../../core/session/negotiation.ts";
import * as sessionTimer from "../../core/session/session-timer.ts";
import type { Shell } from "../shell/shell.ts";
import type { TimerOwner } from "../shell/timer-wheel.ts";
import type { DialogEntry } from "./dialog-store.ts";

export interface SessionTimerUser {
  /** Sends UPDATE or re-INVITE; the outcome comes back as `agreed` or `refused`. */
  refresh(entry: DialogEntry, intervalSeconds: number): void;
  /** BYE, and the application is told. */
  sendBye(entry: DialogEntry, why: string): void;
}

export class SessionTimers {
  readonly #shell: Shell;
  readonly #user: SessionTimerUser;
  /** What the wall clock said when we began, less what the monotonic one did. */
  readonly #epochMs: number;

  constructor(shell: Shell, user: SessionTimerUser) {
    this.#shell = shell;
    this.#user = user;
    this.#epochMs = shell.clock.unixMs() - shell.clock.nowMs();
  }

  /** As the wall clock, but it does not jump: a clock that is set ends nobody's session. */
  #steadyMs(): number {
    return this.#epochMs + this.#shell.clock.nowMs();
  }

  /** By the wall clock of now, for another process. */
  record({ session }: DialogEntry): sessionTimer.SessionState {
    return sessionTimer.moved(session, this.#shell.clock.unixMs() - this.#steadyMs());
  }

  /** A 2xx to INVITE or UPDATE has passed. */
  agreed(entry: DialogEntry, terms: SessionTerms | undefined): void {
    if (terms === undefined && entry.session === sessionTimer.OFF) return;
    if (entry.dialog.phase !== "confirmed" || !entry.dialog.usages.session) return;
    this.#handle(entry, { kind: "agreed", terms, nowMs: this.#steadyMs() });
  }

  refused(
    entry: DialogEntry,
    refusal: { status: number; waitMs: number | undefined; again: boolean; intervalSeconds?: number },
  ): void {
    const nowMs = this.#steadyMs();
    const waitMs = refusal.status === 491 ? this.glareWaitMs(entry) : refusal.waitMs;
    this.#handle(entry, { kind: "refused", nowMs, ...refusal, waitMs });
  }

  busy(entry: DialogEntry): void {
    this.#handle(entry, { kind: "busy", nowMs: this.#steadyMs(), waitMs: this.glareWaitMs(entry) });
  }

  /** The dialog has ended. */
  over(entry: DialogEntry): void {
    if (entry.session !== sessionTimer.OFF) this.#handle(entry, { kind: "over" });
  }

  /**
   * The dialog has been taken up from a record: its deadline goes on.
   * @param takenUnixMs by the wall clock of who wrote it, which may be ahead of ours
   */
  resume(entry: DialogEntry, takenUnixMs: number): void {
    const nowMs = this.#steadyMs();
    const ahead = Math.max(0, takenUnixMs - this.#shell.clock.unixMs());
    const { t1Ms } = this.#shell.timing;
    entry.session = sessionTimer.resumed(sessionTimer.moved(entry.session, -ahead), nowMs, 64 * t1Ms);
    const dueMs = sessionTimer.dueMsOf(entry.session);
    if (dueMs !== undefined) this.#start(entry, Math.max(0, dueMs - nowMs));
  }

  glareWaitMs({ dialog }: DialogEntry): number {
    return glareWaitMs(dialog.role === "uac", this.#shell.ids.chance());
  }

  #handle(entry: DialogEntry, input: sessionTimer.SessionInput): void {
    const { state, effects } = sessionTimer.step(entry.session, input);
    entry.session = state;
    for (const effect of effects) {
      switch (effect.kind) {
        case "start-timer":
          this.#start(entry, effect.afterMs);
          break;
        case "stop-timer":
          this.#stop(entry);
          break;
        case "refresh":
          this.#shell.counters.add("session_refreshes");
          this.#user.refresh(entry, effect.intervalSeconds);
          break;
        case "end":
          this.#stop(entry);
          this.#shell.counters.add("session_timers_expired");
          if (entry.dialog.phase !== "terminated" && !entry.ending) this.#user.sendBye(entry, effect.because);
          break;
      }
    }
  }

  #start(entry: DialogEntry, afterMs: number): void {
    this.#stop(entry);
    const owner: TimerOwner = { onTimer: () => this.#onTimer(entry) };
    entry.sessionTimer = this.#shell.wheel.start(owner, "session", afterMs);
  }

  #stop(entry: DialogEntry): void {
    if (entry.sessionTimer !== undefined) this.#shell.wheel.stop(entry.sessionTimer);
    entry.sessionTimer = undefined;
  }

  #onTimer(entry: DialogEntry): void {
    entry.sessionTimer = undefined;
    if (entry.dialog.phase === "terminated") return;
    this.#handle(entry, { kind: "timer", nowMs: this.#steadyMs() });
  }
}
