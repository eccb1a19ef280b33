// A request of ours until its answer has been dealt with. RFC 3261 §17.1.

import type { Step } from "../../../../kernel/step.ts";
import { type Flow, isWebSocket } from "../../core/flow.ts";
import type { SipRequest, SipResponse } from "../../core/message/message.ts";
import type { ClientUserRecord } from "../../core/record/record.ts";
import type { ClientEffect } from "../../core/transaction/effect.ts";
import type { TransactionContext } from "../../core/transaction/timing.ts";
import { type Failed, TransactionDriver, type TransactionShell } from "./transaction-driver.ts";

export interface ClientUser {
  /** Who that is, for another process to make it again; undefined: nobody. */
  record?(unixMs: number): ClientUserRecord | undefined;
  onResponse(response: SipResponse, from: Flow): void;
  onFailed(because: Failed): void;
}

export interface ClientTransaction {
  readonly request: SipRequest;
  readonly flow: Flow;
  readonly state: string;
  /** Sends no more copies of an INVITE; what comes is still heard. */
  hush(): void;
  /** Ends it without a word. For an INVITE whose CANCEL was never answered (RFC 3261 §9.1). */
  abandon(): void;
}

export interface ClientMachine<State> {
  step(tx: TransactionContext, state: State, input: ClientInput): Step<State, ClientEffect<string>>;
}
type ClientInput =
  | { readonly kind: "response"; readonly response: SipResponse }
  | { readonly kind: "timer"; readonly timer: never }
  | { readonly kind: "transport-failed" }
  | { readonly kind: "hush" };

export class ClientDriver<State extends { readonly name: string }>
  extends TransactionDriver<State, ClientInput, ClientEffect<string>>
  implements ClientTransaction
{
  readonly #machine: ClientMachine<State>;
  readonly context: TransactionContext;
  readonly #user: ClientUser;
  #from: Flow;

  constructor(
    machine: ClientMachine<State>,
    context: TransactionContext,
    shell: TransactionShell,
    request: SipRequest,
    flow: Flow,
    user: ClientUser,
    forget: () => void,
  ) {
    super(shell, request, flow, forget);
    this.#machine = machine;
    this.context = context;
    this.#user = user;
    this.#from = flow;
  }

  receive(response: SipResponse, from: Flow): void {
    this.#from = from;
    this.handle({ kind: "response", response });
  }

  userRecord(unixMs: number): ClientUserRecord | undefined {
    return this.#user.record?.(unixMs);
  }

  hush(): void {
    if (this.request.method === "INVITE") this.handle({ kind: "hush" });
  }

  /**
   * Its connection has gone. Over TCP and TLS a callee that rings may still answer over a new one (§18.2.2); a browser
   * cannot (RFC 7118 §5).
   */
  lose(): void {
    if (this.state === "proceeding" && this.request.method === "INVITE" && isWebSocket(this.flow.transport)) {
      this.dispose();
      this.#user.onFailed("transport");
    } else this.handle({ kind: "transport-failed" });
  }

  onTimer(name: string): void {
    this.handle({ kind: "timer", timer: name as never });
  }

  protected next(state: State, input: ClientInput) {
    return this.#machine.step(this.context, state, input);
  }

  protected perform(effect: ClientEffect<string>): void {
    switch (effect.kind) {
      case "send":
        this.shell.send(effect.request, this.flow, effect.again, () => this.handle({ kind: "transport-failed" }));
        break;
      case "deliver":
        this.#user.onResponse(effect.response, this.#from);
        break;
      case "failed":
        this.#user.onFailed(effect.because);
        break;
      case "start-timer":
        this.timers.start(effect.timer, effect.afterMs);
        break;
      case "stop-timer":
        this.timers.stop(effect.timer);
        break;
    }
  }
}

/** Nobody waits for the answer. */
export const DEAF_USER: ClientUser = { onResponse: () => {}, onFailed: () => {} };
