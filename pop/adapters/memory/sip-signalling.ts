import type { CallId, LegId } from "../../../kernel/ids.ts";
import type { Saved } from "../../boundary/saved.ts";
import type { IncomingCall, LegRequest, SignallingHost, SipSignalling } from "../../boundary/sip-signalling.ts";
import type { CallInput, CallSide } from "../../core/call/call-execution.ts";
import type { Sdp } from "../../core/media/sdp.ts";

export interface SignallingAsked {
  readonly command: string;
  readonly call: CallId;
  readonly side: CallSide;
  readonly detail: string;
}

/** A SipSignalling for tests and simulations: the test is the caller, the agents' phones and the carrier in one. */
export class MemorySipSignalling implements SipSignalling {
  readonly asked: SignallingAsked[] = [];
  trusted: readonly string[] = [];
  /** Told of each command as it is asked. */
  onAsked: (asked: SignallingAsked) => void = () => {};
  #host: SignallingHost | undefined;
  readonly #living = new Set<CallId>();

  async start(host: SignallingHost): Promise<void> {
    this.#host = host;
  }

  connected(): boolean {
    return this.#host !== undefined;
  }

  invited(incoming: IncomingCall): void {
    this.#living.add(incoming.call);
    this.#host?.invited(incoming);
  }

  signalled(call: CallId, input: CallInput): void {
    if (this.#living.has(call)) this.#host?.signalled(call, input);
  }

  serving(): boolean {
    return this.#host?.serving() ?? false;
  }

  answer(call: CallId, _sdp: Sdp): void {
    this.#note("200", call, "caller");
  }

  reject(call: CallId, status: number, code: string, retryAfterSeconds: number | undefined): void {
    const retry = retryAfterSeconds === undefined ? "" : `, Retry-After ${retryAfterSeconds}`;
    this.#note(String(status), call, "caller", `${code}${retry}`);
  }

  invite(call: CallId, leg: LegId, { uri }: LegRequest): void {
    this.#host?.dialog(call, leg, `sip-${leg}`);
    this.#note("INVITE", call, leg, uri);
  }

  cancelLeg(call: CallId, leg: LegId): void {
    this.#note("CANCEL", call, leg);
  }

  hangUp(call: CallId, side: CallSide, code: string): void {
    this.#note("BYE", call, side, code);
  }

  answerReoffer(call: CallId, side: CallSide, _request: string, _sdp: Sdp): void {
    this.#note("200 (re-INVITE)", call, side);
  }

  rejectReoffer(call: CallId, side: CallSide, _request: string, status: number): void {
    this.#note(`${status} (re-INVITE)`, call, side);
  }

  acceptRefer(call: CallId, side: CallSide, _request: string): void {
    this.#note("202", call, side);
  }

  rejectRefer(call: CallId, side: CallSide, _request: string, status: number): void {
    this.#note(String(status), call, side);
  }

  notifyRefer(call: CallId, side: CallSide, _request: string, status: number, over: boolean): void {
    this.#note("NOTIFY", call, side, `${status}${over ? ", the last" : ""}`);
  }

  reinvite(call: CallId, side: CallSide, _sdp: Sdp): void {
    this.#note("re-INVITE", call, side);
  }

  forget(call: CallId): void {
    this.#living.delete(call);
  }

  saved(_call: CallId): Saved | undefined {
    return undefined;
  }

  restore(call: CallId, _saved: Saved): void {
    this.#living.add(call);
  }

  trustSources(cidrs: readonly string[]): void {
    this.trusted = cidrs;
  }

  async close(): Promise<void> {
    this.#host = undefined;
  }

  #note(command: string, call: CallId, side: CallSide, detail = ""): void {
    const asked = { command, call, side, detail };
    this.asked.push(asked);
    this.onAsked(asked);
  }
}
