// A carrier or a phone in simulated time: a user agent of its own, written apart from the server's, so that a fault of one
// is no excuse for the other. UDP: it retransmits as RFC 3261 §17 has it, and believes in a dialog until somebody ends it.

import type { Alarm } from "../../kernel/alarm.ts";
import type { SimWorld } from "../../kernel/sim/world.ts";
import {
  headersOf,
  headerValue,
  type SipMessage,
  type SipRequest,
  type SipResponse,
} from "../../pop/sip-server/core/message/message.ts";
import { parseMessage } from "../../pop/sip-server/core/message/parse.ts";
import type { SipNetwork } from "./sip-network.ts";

const T1_MS = 500;
const T2_MS = 4_000;
const GIVE_UP_MS = 64 * T1_MS;

/** How a dialog ended, as its party sees it. */
export type Ending =
  | { readonly kind: "we-hung-up" }
  | { readonly kind: "they-hung-up"; readonly reason: string }
  /** The INVITE had a final answer that was none we wanted. */
  | { readonly kind: "refused"; readonly status: number }
  | { readonly kind: "cancelled" }
  /** They said that they do not know the dialog. */
  | { readonly kind: "unknown-there"; readonly method: string }
  /** Nobody answered for 64·T1. */
  | { readonly kind: "silence"; readonly method: string };

interface Asking {
  readonly method: string;
  readonly text: string;
  readonly dialog: PartyDialog;
  readonly cseq: number;
  alarm: Alarm | undefined;
  readonly sinceMs: number;
  answered(response: SipResponse | undefined): void;
}

export class SipParty {
  readonly world: SimWorld;
  readonly network: SipNetwork;
  readonly address: string;
  readonly name: string;
  readonly dialogs = new Map<string, PartyDialog>();
  /** A call for us: ring, answer or reject it. */
  onInvite: (dialog: PartyDialog) => void = (dialog) => dialog.reject(480);
  #sequence = 0;
  readonly #asking = new Map<string, Asking>();
  /** The last answer to a request, by its branch and method: copies get a copy. */
  readonly #answered = new Map<string, string>();

  constructor(world: SimWorld, network: SipNetwork, address: string, name: string) {
    this.world = world;
    this.network = network;
    this.address = address;
    this.name = name;
    network.party(address, name, (text, from) => this.#receive(text, from));
  }

  /** Calls a number at a service address. */
  call(service: string, number: string, from: string): PartyDialog {
    const callId = `${this.name}.${++this.#sequence}`;
    const dialog = new PartyDialog(this, service, callId, true, {
      local: `<sip:${from}@${this.address}>;tag=${callId}t`,
      remote: `<sip:${number}@${service}>`,
      target: `sip:${number}@${service}:5060`,
    });
    this.dialogs.set(callId, dialog);
    return dialog;
  }

  branch(): string {
    return `z9hG4bK${this.name}-${++this.#sequence}`;
  }

  send(service: string, text: string): void {
    this.network.send({ by: undefined, from: this.address, to: service, text });
  }

  /** Sends a request until it is answered, or 64·T1 are over (`undefined`). */
  ask(
    dialog: PartyDialog,
    method: string,
    branch: string,
    cseq: number,
    text: string,
    answered: Asking["answered"],
  ): void {
    const asking: Asking = { method, text, dialog, cseq, alarm: undefined, sinceMs: this.world.nowMs(), answered };
    this.#asking.set(`${branch} ${method}`, asking);
    this.#repeat(`${branch} ${method}`, asking, T1_MS);
    this.send(dialog.service, text);
  }

  #repeat(key: string, asking: Asking, afterMs: number): void {
    asking.alarm = this.world.alarm(afterMs, () => {
      if (this.world.nowMs() - asking.sinceMs >= GIVE_UP_MS - 1) {
        this.#asking.delete(key);
        asking.answered(undefined);
        return;
      }
      this.send(asking.dialog.service, asking.text);
      const next = asking.method === "INVITE" ? afterMs * 2 : Math.min(afterMs * 2, T2_MS);
      const left = asking.sinceMs + GIVE_UP_MS - this.world.nowMs();
      this.#repeat(key, asking, Math.max(1, Math.min(next, left)));
    });
  }

  #receive(text: string, from: string): void {
    const parsed = parseMessage(text);
    if (!parsed.ok) return;
    if (parsed.value.kind === "response") this.#response(parsed.value);
    else this.#request(parsed.value, from);
  }

  #response(response: SipResponse): void {
    const { method } = response.cseq;
    const key = `${response.via.branch} ${method}`;
    const asking = this.#asking.get(key);
    const dialog = this.dialogs.get(response.callId);
    if (method === "INVITE" && response.status >= 200) dialog?.acknowledge(response);
    if (asking === undefined) return;
    asking.alarm?.cancel();
    if (response.status < 200) {
      if (method === "INVITE")
        asking.answered(response); // it may ring for as long as it likes
      else this.#repeat(key, asking, T2_MS);
      return;
    }
    this.#asking.delete(key);
    asking.answered(response);
  }

  #request(request: SipRequest, from: string): void {
    if (request.method === "ACK") {
      this.dialogs.get(request.callId)?.acknowledged(request);
      return;
    }
    const before = this.#answered.get(`${request.via.branch} ${request.method}`);
    if (before !== undefined) {
      this.send(from, before);
      return;
    }
    const dialog = this.dialogs.get(request.callId);
    if (request.method === "CANCEL") {
      this.answer(request, from, dialog === undefined ? 481 : 200, "");
      dialog?.cancelledByPeer(request);
      return;
    }
    if (dialog !== undefined) return dialog.asked(request, from);
    if (request.method !== "INVITE" || request.toTag !== "") {
      this.answer(request, from, 481, "");
      return;
    }
    const made = new PartyDialog(this, from, request.callId, false, {
      local: `${headerValue(request, "to")};tag=${request.callId.slice(0, 8)}p`,
      remote: headerValue(request, "from") ?? "",
      target: /<([^>]*)>/.exec(headerValue(request, "contact") ?? "")?.[1] ?? "",
    });
    made.inviteFromPeer(request);
    this.dialogs.set(request.callId, made);
    this.onInvite(made);
  }

  answer(request: SipRequest, from: string, status: number, sdp: string, local?: string): string {
    const to = headerValue(request, "to") ?? "";
    const lines = [
      `SIP/2.0 ${status} Said`,
      ...headersOf(request, "via").map(({ value }) => `Via: ${value}`),
      `From: ${headerValue(request, "from")}`,
      `To: ${request.toTag === "" ? (local ?? `${to};tag=none`) : to}`,
      `Call-ID: ${request.callId}`,
      `CSeq: ${request.cseq.number} ${request.cseq.method}`,
      `Contact: <sip:${this.name}@${this.address}:5060>`,
    ];
    const text = withBody(lines, sdp);
    this.#answered.set(`${request.via.branch} ${request.method}`, text);
    this.send(from, text);
    return text;
  }
}

interface Parties {
  readonly local: string;
  remote: string;
  target: string;
}

export class PartyDialog {
  readonly party: SipParty;
  readonly service: string;
  readonly callId: string;
  /** We called. */
  readonly isCaller: boolean;
  state: "inviting" | "confirmed" | "ended" = "inviting";
  ending: Ending | undefined;
  /** The 2xx was said or heard, at simulated ms. */
  answeredAtMs: number | undefined;
  endedAtMs: number | undefined;
  /** Our 2xx has its ACK: both sides know that they talk. */
  isAcknowledged = false;
  acknowledgedAtMs: number | undefined;
  /** What the pop calls this call, when it said so. */
  popCall: string | undefined;
  onRinging: () => void = () => {};
  onAnswered: () => void = () => {};
  onEnded: () => void = () => {};
  readonly #parties: Parties;
  #cseq = 1;
  #inviteBranch = "";
  #provisional = false;
  #isCancelling = false;
  #invite: SipRequest | undefined;
  /** Our 2xx that has not been acknowledged, by the CSeq of its INVITE. */
  #unacknowledged:
    | { readonly cseq: number; readonly text: string; readonly sinceMs: number; alarm: Alarm | undefined }
    | undefined;
  #acks = new Map<number, string>();
  #inviting = false;

  constructor(party: SipParty, service: string, callId: string, isCaller: boolean, parties: Parties) {
    this.party = party;
    this.service = service;
    this.callId = callId;
    this.isCaller = isCaller;
    this.#parties = parties;
  }

  get alive(): boolean {
    return this.state === "confirmed";
  }

  // ---- as the caller ----

  invite(more: readonly string[] = []): void {
    this.#inviteBranch = this.party.branch();
    const text = this.#text("INVITE", this.#inviteBranch, this.#cseq, more, sdpOf(this.party, "sendrecv", 1));
    this.#inviting = true;
    this.party.ask(this, "INVITE", this.#inviteBranch, this.#cseq, text, (response) => this.#invited(response));
  }

  #invited(response: SipResponse | undefined): void {
    if (response === undefined) return this.#end({ kind: "silence", method: "INVITE" });
    if (response.status < 200) {
      const first = !this.#provisional;
      this.#provisional = true;
      if (first && this.#isCancelling) this.#sendCancel();
      if (response.status > 100) this.onRinging();
      return;
    }
    this.#inviting = false;
    if (response.status >= 300) {
      return this.#end(this.#isCancelling ? { kind: "cancelled" } : { kind: "refused", status: response.status });
    }
    this.state = "confirmed";
    this.answeredAtMs = this.party.world.nowMs();
    this.onAnswered();
    if (this.#isCancelling) this.bye(); // it crossed our CANCEL
  }

  cancel(): void {
    if (this.state !== "inviting" || this.#isCancelling) return;
    this.#isCancelling = true;
    if (this.#provisional) this.#sendCancel();
  }

  #sendCancel(): void {
    const text = this.#text("CANCEL", this.#inviteBranch, this.#cseq, [], "");
    this.party.ask(this, "CANCEL", this.#inviteBranch, this.#cseq, text, () => {});
  }

  /** Every final answer to an INVITE is acknowledged, and every copy of it again. */
  acknowledge(response: SipResponse): void {
    const { number } = response.cseq;
    if (response.status < 300) {
      this.#parties.remote = headerValue(response, "to") ?? this.#parties.remote;
      this.#parties.target = contactOf(response) ?? this.#parties.target;
    }
    const known = this.#acks.get(number);
    const branch = response.status < 300 ? this.party.branch() : response.via.branch;
    const ack = known ?? this.#text("ACK", branch, number, [], "", headerValue(response, "to"));
    this.#acks.set(number, ack);
    this.party.send(this.service, ack);
  }

  // ---- in the dialog ----

  bye(): void {
    if (this.state !== "confirmed") return;
    if (this.#inviting || this.#unacknowledged !== undefined) {
      this.party.world.after(300, () => this.bye()); // first things first
      return;
    }
    this.#end({ kind: "we-hung-up" });
    this.#request("BYE", "", () => {});
  }

  /** A key, by SIP INFO. */
  press(digit: string): void {
    if (this.state !== "confirmed") return;
    this.#request("INFO", `Signal=${digit}\r\nDuration=100\r\n`, (response) => this.#judge("INFO", response), [
      "Content-Type: application/dtmf-relay",
    ]);
  }

  hold(direction: "sendonly" | "sendrecv", triesLeft = 4): void {
    if (this.state !== "confirmed") return;
    if (this.#inviting || this.#unacknowledged !== undefined) {
      if (triesLeft > 0) this.party.world.after(700, () => this.hold(direction, triesLeft - 1));
      return;
    }
    this.#inviting = true;
    const branch = this.party.branch();
    const cseq = ++this.#cseq;
    const text = this.#text("INVITE", branch, cseq, [], sdpOf(this.party, direction, cseq));
    this.party.ask(this, "INVITE", branch, cseq, text, (response) => {
      if (response !== undefined && response.status < 200) return;
      this.#inviting = false;
      const again = response?.status === 491 || response?.status === 500 || response?.status === 503;
      if (!again) this.#judge("INVITE", response);
      else if (triesLeft > 0)
        this.party.world.after(this.isCaller ? 2_500 : 1_200, () => this.hold(direction, triesLeft - 1));
    });
  }

  #request(
    method: string,
    body: string,
    answered: (response: SipResponse | undefined) => void,
    more: readonly string[] = [],
  ): void {
    const branch = this.party.branch();
    const cseq = ++this.#cseq;
    this.party.ask(this, method, branch, cseq, this.#text(method, branch, cseq, more, body), answered);
  }

  /** RFC 5057 §5.1: what ends a dialog. */
  #judge(method: string, response: SipResponse | undefined): void {
    if (this.state !== "confirmed") return;
    if (response === undefined) {
      this.#end({ kind: "silence", method });
      this.#request("BYE", "", () => {});
    } else if (response.status === 481) this.#end({ kind: "unknown-there", method });
    else if (response.status === 408) {
      this.#end({ kind: "silence", method });
      this.#request("BYE", "", () => {});
    }
  }

  // ---- asked by the other side ----

  inviteFromPeer(invite: SipRequest): void {
    this.#invite = invite;
    this.#cseq = 100;
    this.popCall = headerValue(invite, "x-call-id");
  }

  ring(): void {
    if (this.#invite !== undefined && this.state === "inviting")
      this.party.answer(this.#invite, this.service, 180, "", this.#parties.local);
  }

  reject(status: number): void {
    if (this.#invite === undefined || this.state !== "inviting") return;
    this.party.answer(this.#invite, this.service, status, "", this.#parties.local);
    this.#end({ kind: "refused", status });
  }

  accept(): void {
    if (this.#invite === undefined || this.state !== "inviting") return;
    this.#say2xx(this.#invite);
    this.state = "confirmed";
    this.answeredAtMs = this.party.world.nowMs();
  }

  #say2xx(invite: SipRequest): void {
    const direction = invite.body.includes("a=sendonly") ? "recvonly" : "sendrecv";
    const sdp = sdpOf(this.party, direction, invite.cseq.number);
    const text = this.party.answer(invite, this.service, 200, sdp, this.#parties.local);
    this.#unacknowledged = { cseq: invite.cseq.number, text, sinceMs: this.party.world.nowMs(), alarm: undefined };
    this.#repeat2xx(T1_MS);
  }

  #repeat2xx(afterMs: number): void {
    const waiting = this.#unacknowledged;
    if (waiting === undefined) return;
    waiting.alarm = this.party.world.alarm(afterMs, () => {
      if (this.party.world.nowMs() - waiting.sinceMs >= GIVE_UP_MS) {
        this.#unacknowledged = undefined;
        if (this.state !== "confirmed") return;
        this.#end({ kind: "silence", method: "ACK" }); // §13.3.1.4: then a BYE
        this.#request("BYE", "", () => {});
        return;
      }
      this.party.send(this.service, waiting.text);
      this.#repeat2xx(Math.min(2 * afterMs, T2_MS));
    });
  }

  acknowledged(ack: SipRequest): void {
    const waiting = this.#unacknowledged;
    if (waiting === undefined || waiting.cseq !== ack.cseq.number) return;
    waiting.alarm?.cancel();
    this.#unacknowledged = undefined;
    this.isAcknowledged = true;
    this.acknowledgedAtMs ??= this.party.world.nowMs();
    if (ack.cseq.number === this.#invite?.cseq.number && this.state === "confirmed") this.onAnswered();
  }

  cancelledByPeer(cancel: SipRequest): void {
    if (this.#invite === undefined || this.state !== "inviting" || cancel.via.branch !== this.#invite.via.branch)
      return;
    this.party.answer(this.#invite, this.service, 487, "", this.#parties.local);
    this.#end({ kind: "cancelled" });
  }

  asked(request: SipRequest, from: string): void {
    const { method } = request;
    const contact = contactOf(request);
    if (contact !== undefined && method === "INVITE") this.#parties.target = contact;
    if (this.state === "ended") {
      this.party.answer(request, from, method === "BYE" ? 200 : 481, "", this.#parties.local);
      return;
    }
    switch (method) {
      case "BYE":
        this.party.answer(request, from, 200, "", this.#parties.local);
        this.#end({ kind: "they-hung-up", reason: headerValue(request, "reason") ?? "" });
        return;
      case "INVITE":
        if (this.#inviting || this.#unacknowledged !== undefined) {
          this.party.answer(request, from, 491, "", this.#parties.local);
          return;
        }
        this.#say2xx(request);
        return;
      case "UPDATE":
        this.party.answer(
          request,
          from,
          200,
          request.body === "" ? "" : sdpOf(this.party, "sendrecv", request.cseq.number),
          this.#parties.local,
        );
        return;
      default:
        this.party.answer(
          request,
          from,
          method === "OPTIONS" || method === "INFO" ? 200 : 405,
          "",
          this.#parties.local,
        );
    }
  }

  #end(ending: Ending): void {
    if (this.state === "ended") return;
    this.state = "ended";
    this.ending = ending;
    this.endedAtMs = this.party.world.nowMs();
    if (ending.kind !== "silence" || ending.method !== "ACK") {
      this.#unacknowledged?.alarm?.cancel();
      this.#unacknowledged = undefined;
    }
    this.onEnded();
  }

  #text(method: string, branch: string, cseq: number, more: readonly string[], body: string, to?: string): string {
    const { local, remote, target } = this.#parties;
    return withBody(
      [
        `${method} ${target} SIP/2.0`,
        `Via: SIP/2.0/UDP ${this.party.address}:5060;rport;branch=${branch}`,
        "Max-Forwards: 70",
        `From: ${local}`,
        `To: ${to ?? remote}`,
        `Call-ID: ${this.callId}`,
        `CSeq: ${cseq} ${method}`,
        `Contact: <sip:${this.party.name}@${this.party.address}:5060>`,
        "Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, INFO, UPDATE",
        ...more,
      ],
      body,
    );
  }
}

const contactOf = (message: SipMessage): string | undefined =>
  /<([^>]*)>/.exec(headerValue(message, "contact") ?? "")?.[1];

function withBody(lines: readonly string[], body: string): string {
  const typed = body.startsWith("v=0") ? [...lines, "Content-Type: application/sdp"] : lines;
  return `${typed.join("\r\n")}\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
}

const sdpOf = ({ address }: SipParty, direction: string, version: number): string =>
  [
    "v=0",
    `o=- 1 ${version} IN IP4 ${address}`,
    "s=-",
    `c=IN IP4 ${address}`,
    "t=0 0",
    "m=audio 6000 RTP/AVP 0 101",
    "a=rtpmap:0 PCMU/8000",
    "a=rtpmap:101 telephone-event/8000",
    `a=${direction}`,
    "",
  ].join("\r\n");
