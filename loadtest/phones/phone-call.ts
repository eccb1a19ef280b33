// One call of a simulated phone, from either side: signalling by the machines of our SIP server, media by a probe.

import type { Direction } from "../../pop/core/media/sdp.ts";
import { NamedTimers } from "../../pop/sip-server/app/shell/timer-wheel.ts";
import type { ServerTransaction } from "../../pop/sip-server/app/transactions/server-transaction.ts";
import * as acceptedInvite from "../../pop/sip-server/core/dialog/accepted-invite.ts";
import { confirmed, type Dialog, dialogOfUac, dialogOfUas, received } from "../../pop/sip-server/core/dialog/dialog.ts";
import { defaultPort, type Flow } from "../../pop/sip-server/core/flow.ts";
import { cancelFor, responseTo } from "../../pop/sip-server/core/message/build.ts";
import {
  header,
  headerValue,
  isProvisional,
  isSuccess,
  type SipMessage,
  type SipRequest,
  type SipResponse,
} from "../../pop/sip-server/core/message/message.ts";
import { parseUri } from "../../pop/sip-server/core/message/uri.ts";
import type { Listening } from "../rtp-probe/listening.ts";
import type { RtpProbe } from "../rtp-probe/rtp-probe.ts";
import { Moments } from "./moments.ts";
import { ALLOWED, contactOf, type FirstInvite, firstInvite, type PhoneAddress, token, within } from "./request.ts";
import type { SipEndpoint } from "./sip-endpoint.ts";
import type { WhenCalled } from "./when-called.ts";

/** "answered": a 2xx came, or went out. "confirmed": its ACK came. */
export type CallMoment = "ringing" | "answered" | "confirmed" | "ended";

export interface CallEnd {
  readonly by: "us" | "them" | "nobody";
  readonly how: "bye" | "cancel" | "refused" | "timeout";
  /** Of the refusal, or of the answer to our BYE; 0 when there was none. */
  readonly status: number;
  /** The Reason header of a BYE, CANCEL or refusal, as it came. */
  readonly reason: string;
  /** Retry-After of a refusal. */
  readonly retryAfterSeconds: number | undefined;
}

export interface HistoryLine {
  readonly atMs: number;
  readonly direction: "in" | "out";
  /** "INVITE", "200 OK (INVITE)" */
  readonly summary: string;
}

const ALLOW = header("Allow", "allow", ALLOWED);
const SDP_TYPE = header("Content-Type", "content-type", "application/sdp");

export class PhoneCall {
  readonly role: "caller" | "called";
  readonly sipCallId: string;
  readonly probe: RtpProbe;
  readonly history: HistoryLine[] = [];
  /** The first INVITE, as sent or received. */
  readonly invite: SipRequest;
  readonly #at: PhoneAddress;
  readonly #endpoint: SipEndpoint;
  readonly #moments: Moments<CallMoment>;
  readonly #flow: Flow;
  readonly #timers: NamedTimers;
  readonly #clocks = new Set<NodeJS.Timeout>();
  #server: ServerTransaction | undefined;
  #dialog: Dialog | undefined;
  #sequence = 1;
  #end: CallEnd | undefined;
  #provisionalSeen = false;
  #cancelWanted = false;
  /** Our 2xx, repeated until its ACK. */
  #accepted: acceptedInvite.AcceptedInviteState | undefined;
  readonly #toneHz: number | undefined;
  readonly #localTag: string;
  readonly #whenCalled: WhenCalled | undefined;

  constructor(
    endpoint: SipEndpoint,
    at: PhoneAddress,
    probe: RtpProbe,
    call:
      | { readonly role: "caller"; readonly invite: FirstInvite; readonly toneHz: number | undefined }
      | { readonly role: "called"; readonly invite: SipRequest; readonly flow: Flow; readonly whenCalled: WhenCalled },
  ) {
    this.role = call.role;
    this.probe = probe;
    this.#endpoint = endpoint;
    this.#at = at;
    this.#timers = new NamedTimers(endpoint.wheel, { onTimer: (name) => this.#onTimer(name) });
    if (call.role === "caller") {
      this.invite = firstInvite(at, call.invite);
      const uri = parseUri(call.invite.uri);
      if (uri === undefined) throw new Error(`not a SIP URI: ${call.invite.uri}`);
      this.#flow = endpoint.flowTo(uri.host, uri.port ?? defaultPort(endpoint.transport));
      this.#toneHz = call.toneHz;
      this.#localTag = this.invite.fromTag;
    } else {
      this.invite = call.invite;
      this.#flow = call.flow;
      this.#toneHz = call.whenCalled.kind === "answer" ? call.whenCalled.toneHz : undefined;
      this.#localTag = token();
    }
    this.sipCallId = this.invite.callId;
    this.#moments = new Moments(`${this.role === "caller" ? "call from" : "call to"} ${at.user} at ${at.host}`);
    this.#whenCalled = call.role === "called" ? call.whenCalled : undefined;
  }

  get state(): "calling" | "ringing" | "talking" | "ended" {
    if (this.#end !== undefined) return "ended";
    if (this.#moments.atMs("answered") !== undefined) return "talking";
    return this.#moments.atMs("ringing") === undefined ? "calling" : "ringing";
  }

  /** How it ended; undefined while it goes on. */
  get end(): CallEnd | undefined {
    return this.#end;
  }

  get listening(): Listening {
    return this.probe.listening;
  }

  /** @throws Error when it did not happen in time, or no longer can */
  until(moment: CallMoment, timeoutMs = 5_000): Promise<number> {
    return this.#moments.until(moment, timeoutMs);
  }

  atMs(moment: CallMoment): number | undefined {
    return this.#moments.atMs(moment);
  }

  /** What a message carried, for the history. */
  note(message: SipMessage, direction: "in" | "out"): void {
    const summary =
      message.kind === "request" ? message.method : `${message.status} ${message.reason} (${message.cseq.method})`;
    this.history.push({ atMs: performance.now(), direction, summary });
  }

  /** How many messages of this summary were seen: `count("in", "BYE")`. */
  count(direction: "in" | "out", startsWith: string): number {
    return this.history.filter((line) => line.direction === direction && line.summary.startsWith(startsWith)).length;
  }

  // ---- what the test makes it do ----

  /** Sends the INVITE, or rings. */
  start(): void {
    if (this.#whenCalled !== undefined) return this.#ring(this.#whenCalled);
    this.#endpoint.startClient(this.invite, this.#flow, {
      onResponse: (response) => this.#inviteAnswered(response),
      onFailed: (because) =>
        this.#finish({ by: "nobody", how: "timeout", status: 0, reason: because, retryAfterSeconds: undefined }),
    });
  }

  /** Presses keys by RFC 4733; resolves when the last is released. */
  press(digits: string): Promise<void> {
    return this.probe.press(digits);
  }

  /** Answers a call that rings. */
  answer(): void {
    const server = this.#server;
    if (server === undefined || this.state === "talking" || this.#end !== undefined) return;
    const made = dialogOfUas(this.invite, {
      localTag: this.#localTag,
      localContact: contactOf(this.#at),
      flow: this.#flow,
      party: `${headerValue(this.invite, "to") ?? ""};tag=${this.#localTag}`,
    });
    if (!made.ok) return this.refuse(400, "Bad Request");
    const sdp = this.#sdpFor(this.invite);
    if (sdp === undefined) return this.refuse(488, "Not Acceptable Here");
    this.#dialog = { ...made.value, phase: "confirmed" };
    const response = this.#response(this.invite, 200, "OK", sdp);
    server.respond(response);
    this.#repeatUntilAcked(response);
    this.#speak();
    this.#moments.happened("answered");
  }

  refuse(status: number, reason = "Refused"): void {
    if (this.#server === undefined || this.state === "talking" || this.#end !== undefined) return;
    this.#server.respond(this.#response(this.invite, status, reason));
    this.#finish({ by: "us", how: "refused", status, reason: "", retryAfterSeconds: undefined });
  }

  /** Ends the call in whatever way its state asks for: BYE, CANCEL, or a refusal. */
  hangUp(): void {
    if (this.#end !== undefined) return;
    if (this.#dialog !== undefined) return this.#bye();
    if (this.role === "called") return this.refuse(603, "Decline");
    this.cancel();
  }

  /** CANCEL, as soon as the first provisional response allows it. RFC 3261 §9.1. */
  cancel(): void {
    if (this.#end !== undefined || this.#dialog !== undefined || this.#cancelWanted) return;
    this.#cancelWanted = true;
    if (this.#provisionalSeen) this.#sendCancel();
  }

  /** re-INVITE with our session in this direction: "sendonly" is hold. Resolves with the status of the answer. */
  reinvite(direction: Direction): Promise<{ readonly status: number; readonly sdp: string }> {
    const dialog = this.#dialog;
    if (dialog === undefined) throw new Error("no dialog to re-INVITE in");
    const sequence = this.#nextSequence();
    const request = within(dialog, this.#at, "INVITE", sequence, this.probe.offer(direction));
    return new Promise((resolve, reject) => {
      this.#endpoint.startClient(request, this.#flow, {
        onResponse: (response) => {
          if (isProvisional(response)) return;
          if (isSuccess(response)) {
            this.#acknowledge(sequence);
            this.probe.answered(response.body);
          }
          resolve({ status: response.status, sdp: response.body });
        },
        onFailed: (because) => reject(new Error(`re-INVITE: ${because}`)),
      });
    });
  }

  /**
   * A request in the dialog that changes no media: REFER, UPDATE without a session, OPTIONS, INFO.
   * Resolves with the final answer. @throws Error when none came in the transaction's time
   */
  request(
    method: string,
    headers: Readonly<Record<string, string>> = {},
    body = "",
  ): Promise<{ readonly status: number; readonly afterMs: number }> {
    const dialog = this.#dialog;
    if (dialog === undefined) throw new Error(`no dialog for ${method}`);
    const extra = Object.entries(headers).map(([name, value]) => header(name, name.toLowerCase(), value));
    const request = within(dialog, this.#at, method, this.#nextSequence(), body, extra);
    const sentAtMs = performance.now();
    return new Promise((resolve, reject) => {
      this.#endpoint.startClient(request, this.#flow, {
        onResponse: (response) => {
          if (!isProvisional(response)) resolve({ status: response.status, afterMs: performance.now() - sentAtMs });
        },
        onFailed: (because) => reject(new Error(`${method}: ${because}`)),
      });
    });
  }

  /** Of our own requests in the dialog; a called phone has sent none before. */
  #nextSequence(): number {
    if (this.role === "called") this.#sequence = Math.max(this.#sequence, this.#dialog?.localSeq ?? 0);
    return ++this.#sequence;
  }

  /** No timers, no packets from now on; the probe keeps what it heard. */
  async close(): Promise<void> {
    this.#timers.stopAll();
    for (const clock of this.#clocks) clearTimeout(clock);
    this.probe.mute();
    this.#moments.over("the phone was switched off");
    await this.probe.close();
  }

  // ---- what the other side does ----

  /** A request of this call that no transaction knows. */
  receive(request: SipRequest, flow: Flow): void {
    if (request.method === "ACK") return this.#acknowledged(request);
    if (request.method === "CANCEL") return this.#cancelled(request, flow);
    const server = this.#endpoint.startServer(request, flow, {
      onAck: (ack) => this.#acknowledged(ack),
      onFailed: () => {},
    });
    const dialog = this.#dialog;
    if (dialog === undefined || this.#end !== undefined) {
      server.respond(this.#response(request, 481, "Call/Transaction Does Not Exist"));
      return;
    }
    const taken = received(dialog, request, flow);
    if (!taken.ok) {
      server.respond(this.#response(request, 500, "Out of Order"));
      return;
    }
    this.#dialog = taken.value;
    switch (request.method) {
      case "BYE":
        server.respond(this.#response(request, 200, "OK"));
        return this.#finish({ ...ended("them", "bye"), reason: headerValue(request, "reason") ?? "" });
      case "INVITE":
      case "UPDATE": {
        const sdp = this.#sdpFor(request);
        const response =
          sdp === undefined
            ? this.#response(request, 488, "Not Acceptable Here")
            : this.#response(request, 200, "OK", sdp);
        server.respond(response);
        if (request.method === "INVITE" && isSuccess(response)) this.#repeatUntilAcked(response);
        return;
      }
      default:
        server.respond(this.#response(request, 200, "OK"));
    }
  }

  #inviteAnswered(response: SipResponse): void {
    if (isProvisional(response)) {
      this.#provisionalSeen = true;
      if (response.status > 100) this.#moments.happened("ringing");
      if (this.#cancelWanted) this.#sendCancel();
      return;
    }
    if (!isSuccess(response)) {
      const retry = Number(headerValue(response, "retry-after") ?? Number.NaN);
      return this.#finish({
        by: this.#cancelWanted && response.status === 487 ? "us" : "them",
        how: this.#cancelWanted && response.status === 487 ? "cancel" : "refused",
        status: response.status,
        reason: headerValue(response, "reason") ?? "",
        retryAfterSeconds: Number.isNaN(retry) ? undefined : retry,
      });
    }
    if (this.#dialog !== undefined) return this.#acknowledge(this.invite.cseq.number); // our ACK was lost
    const made = dialogOfUac(this.invite, response, this.#flow);
    this.#dialog = confirmed(made, response);
    this.#acknowledge(this.invite.cseq.number);
    if (this.#cancelWanted || this.#end !== undefined) return this.#bye(); // they crossed
    this.probe.answered(response.body);
    this.#speak();
    this.#moments.happened("answered");
  }

  #ring(whenCalled: WhenCalled): void {
    const server = this.#endpoint.startServer(this.invite, this.#flow, {
      onAck: (ack) => this.#acknowledged(ack),
      onFailed: () => {},
    });
    this.#server = server;
    if (whenCalled.kind === "refuse" && whenCalled.afterMs === undefined)
      return this.refuse(whenCalled.status, whenCalled.reason);
    server.respond(this.#response(this.invite, 180, "Ringing"));
    this.#moments.happened("ringing");
    if (whenCalled.kind === "refuse")
      this.#after(whenCalled.afterMs ?? 0, () => this.refuse(whenCalled.status, whenCalled.reason));
    if (whenCalled.kind !== "answer") return;
    this.#after(whenCalled.afterMs ?? 0, () => {
      this.answer();
      if (whenCalled.hangUpAfterMs !== undefined) this.#after(whenCalled.hangUpAfterMs, () => this.hangUp());
    });
  }

  #cancelled(cancel: SipRequest, flow: Flow): void {
    const server = this.#endpoint.startServer(cancel, flow, { onAck: () => {}, onFailed: () => {} });
    server.respond(this.#response(cancel, 200, "OK"));
    if (this.#end !== undefined || this.state === "talking") return; // too late: RFC 3261 §9.2
    this.#server?.respond(this.#response(this.invite, 487, "Request Terminated"));
    this.#finish({ ...ended("them", "cancel"), reason: headerValue(cancel, "reason") ?? "" });
  }

  #acknowledged(ack: SipRequest): void {
    // A re-INVITE's 2xx has an ACK of its own number; whichever is being repeated is meant.
    if (this.#accepted?.name === "waiting" && this.#accepted.response.cseq.number !== ack.cseq.number) return;
    this.#acceptedStep({ kind: "ack" });
    this.#moments.happened("confirmed");
  }

  #repeatUntilAcked(response: SipResponse): void {
    this.#timers.stopAll();
    const first = acceptedInvite.start(this.#endpoint.timing, response);
    this.#accepted = first.state;
    this.#perform(first.effects);
  }

  /** Sends what the moment before did not send, or nothing any more. */
  speak(hz: number | undefined): void {
    if (this.#end !== undefined) return;
    if (hz === undefined) this.probe.mute();
    else this.probe.tone(hz);
  }

  #onTimer(name: string): void {
    this.#acceptedStep({ kind: "timer", timer: name as acceptedInvite.AcceptedInviteTimer });
  }

  #acceptedStep(input: acceptedInvite.AcceptedInviteInput): void {
    if (this.#accepted === undefined) return;
    const next = acceptedInvite.step(this.#endpoint.timing, this.#accepted, input);
    this.#accepted = next.state;
    this.#perform(next.effects);
  }

  #perform(effects: readonly acceptedInvite.AcceptedInviteEffect[]): void {
    for (const effect of effects) {
      if (effect.kind === "send-2xx") this.#endpoint.send(effect.response, this.#flow);
      else if (effect.kind === "start-timer") this.#timers.start(effect.timer, effect.afterMs);
      else if (effect.kind === "stop-timer") this.#timers.stop(effect.timer);
      else if (effect.kind === "give-up") this.#bye();
    }
  }

  #acknowledge(sequence: number): void {
    const dialog = this.#dialog;
    if (dialog !== undefined) this.#endpoint.send(within(dialog, this.#at, "ACK", sequence), this.#flow);
  }

  #bye(): void {
    const dialog = this.#dialog;
    if (dialog === undefined) return;
    const request = within(dialog, this.#at, "BYE", this.#nextSequence());
    this.probe.mute();
    this.#endpoint.startClient(request, this.#flow, {
      onResponse: (response) => {
        if (!isProvisional(response)) this.#finish({ ...ended("us", "bye"), status: response.status });
      },
      onFailed: () => this.#finish(ended("us", "bye")),
    });
  }

  #sendCancel(): void {
    this.#endpoint.startClient(cancelFor(this.invite, []), this.#flow, { onResponse: () => {}, onFailed: () => {} });
  }

  /** Our answer to the offer in it, or our offer when there is none; undefined: nothing in common. */
  #sdpFor({ body }: SipRequest): string | undefined {
    try {
      return body === "" ? this.probe.offer() : this.probe.answer(body);
    } catch {
      return undefined;
    }
  }

  #speak(): void {
    if (this.#toneHz === undefined) this.probe.silence();
    else this.probe.tone(this.#toneHz);
  }

  #finish(end: CallEnd): void {
    if (this.#end !== undefined) return;
    this.#end = end;
    this.#acceptedStep({ kind: "over" });
    for (const clock of this.#clocks) clearTimeout(clock);
    this.probe.mute();
    this.#moments.happened("ended");
    const status = end.status === 0 ? "" : ` with ${end.status}`;
    this.#moments.over(`the call ended: ${end.how}${status} by ${end.by}`);
  }

  #after(afterMs: number, run: () => void): void {
    const clock = setTimeout(() => {
      this.#clocks.delete(clock);
      run();
    }, afterMs);
    this.#clocks.add(clock);
  }

  #response(request: SipRequest, status: number, reason: string, body = ""): SipResponse {
    const contact = header("Contact", "contact", contactOf(this.#at));
    const headers = [...(status < 300 && status > 100 ? [contact, ALLOW] : []), ...(body === "" ? [] : [SDP_TYPE])];
    return responseTo(request, { status, reason, toTag: this.#localTag, headers, body });
  }
}

const ended = (by: CallEnd["by"], how: CallEnd["how"]): CallEnd => ({
  by,
  how,
  status: 0,
  reason: "",
  retryAfterSeconds: undefined,
});
