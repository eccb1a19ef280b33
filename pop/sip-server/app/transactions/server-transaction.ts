// A request of the peer until our answer has got through. RFC 3261 §17.2.

import type { Step } from "../../../../kernel/step.ts";
import type { Flow } from "../../core/flow.ts";
import type { SipRequest, SipResponse } from "../../core/message/message.ts";
import type { ServerEffect } from "../../core/transaction/effect.ts";
import type { TransactionContext } from "../../core/transaction/timing.ts";
import { type Failed, TransactionDriver, type TransactionShell } from "./transaction-driver.ts";

export interface ServerUser {
  /** An ACK that came on the INVITE's own branch although it was answered with 2xx. */
  onAck(ack: SipRequest): void;
  onFailed(because: Failed): void;
}

export interface ServerTransaction {
  readonly request: SipRequest;
  /** Where responses go. */
  readonly flow: Flow;
  readonly state: string;
  /** A copy of its request, or an ACK to it. */
  receive(request: SipRequest): void;
  respond(response: SipResponse): void;
}

export interface ServerMachine<State> {
  step(tx: TransactionContext, state: State, input: ServerInput): Step<State, ServerEffect<string>>;
}
type ServerInput =
  | { readonly kind: "request" }
  | { readonly kind: "ack"; readonly ack: SipRequest }
  | { readonly kind: "respond"; readonly response: SipResponse }
  | { readonly kind: "timer"; readonly timer: never }
  | { readonly kind: "transport-failed" };

/** What names a request: it finds copies, ACK and CANCEL, and starts the transaction again elsewhere. */
const NAMING: readonly string[] = ["via", "from", "to", "call-id", "cseq"];
const nameOnly = (request: SipRequest): SipRequest => ({
  ...request,
  headers: request.headers.filter(({ key }) => NAMING.includes(key)),
  body: "",
});

export class ServerDriver<State extends { readonly name: string }>
  extends TransactionDriver<State, ServerInput, ServerEffect<string>>
  implements ServerTransaction
{
  readonly #machine: ServerMachine<State>;
  readonly #context: TransactionContext;
  readonly #user: ServerUser;

  constructor(
    machine: ServerMachine<State>,
    context: TransactionContext,
    shell: TransactionShell,
    request: SipRequest,
    flow: Flow,
    user: ServerUser,
    forget: () => void,
  ) {
    super(shell, request, flow, forget);
    this.#machine = machine;
    this.#context = context;
    this.#user = user;
  }

  respond(response: SipResponse): void {
    this.handle({ kind: "respond", response });
    // What lingers for 32 s is most of what a busy server holds.
    if (response.status >= 200 && this.request.headers.length > NAMING.length) this.request = nameOnly(this.request);
  }

  receive(request: SipRequest): void {
    this.handle(request.method === "ACK" ? { kind: "ack", ack: request } : { kind: "request" });
  }

  onTimer(name: string): void {
    this.handle({ kind: "timer", timer: name as never });
  }

  protected next(state: State, input: ServerInput) {
    return this.#machine.step(this.#context, state, input);
  }

  protected perform(effect: ServerEffect<string>): void {
    switch (effect.kind) {
      case "send":
        this.shell.send(effect.response, this.flow, effect.again, () =>
          this.shell.elsewhere(effect.response, this.flow, () => this.handle({ kind: "transport-failed" })),
        );
        break;
      case "deliver-ack":
        this.#user.onAck(effect.ack);
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
