// SipSignalling over the drachtio protocol: our own sip-server and the C++ drachtio-server alike.
//
// What a call's signalling is at, and what is to be said when a connection is back, is decided by
// core/signalling/call-signalling.ts; here frames become its inputs, and its effects frames. A placed leg's SIP Call-ID is its
// LegId, so that a next process finds it.

import { type CallId, type LegId, newId } from "../../../kernel/ids.ts";
import type { Log } from "../../../kernel/log.ts";
import { systemRng } from "../../../kernel/rng.ts";
import type { Saved } from "../../boundary/saved.ts";
import type { LegRequest, SignallingHost, SipSignalling } from "../../boundary/sip-signalling.ts";
import type { CallSide } from "../../core/call/call-execution.ts";
import type { Sdp } from "../../core/media/sdp.ts";
import * as calls from "../../core/signalling/call-signalling.ts";
import { DrachtioLink, type Message, parseSip, type Reply, type SipText } from "./drachtio-link.ts";
import { cancel, methodOf, newInvite, requestInDialog, response, transactionOf } from "./frames.ts";
import { callIdOf, RESUME_TAG, readStanding, resumeCommands } from "./resumption.ts";
import { callingNumberOf, dialableUser, digitOfInfo, referredNumber, retryable, sdpOf } from "./sip-values.ts";

export interface DrachtioSettings {
  readonly host: string;
  readonly port: number;
  readonly secret: string;
  /** Only our own server knows the frames `sources` and `resume`; the C++ one would close the connection. */
  readonly server: "tollgate" | "drachtio";
  /** Whose dialogs they are: a process that says it again gets them back. A name of its own when left out. */
  readonly instance?: string;
  /** Calls wait so long for a server that has gone. The C++ one gives no dialog back: not at all. Default 10 s. */
  readonly awayMs?: number;
}

/** One call: its signalling, and the server's names for its legs. */
interface KnownCall {
  readonly call: CallId;
  readonly sipCallId: string;
  /** Of the caller's INVITE. RFC 7332 */
  readonly maxForwards: number;
  state: calls.SignallingState;
  readonly legs: Map<LegId, LegNames>;
  /** The server's names for our re-INVITEs. */
  readonly reinvites: Map<CallSide, string>;
  readonly waiting: calls.SignallingInput[];
  isBusy: boolean;
}

interface LegNames {
  dialogId: string;
  transactionId: string;
}

interface Found {
  readonly known: KnownCall;
  readonly side: CallSide;
}

const ALLOW = "INVITE, ACK, BYE, CANCEL, OPTIONS, INFO, PRACK, UPDATE, REFER";
const OTHER_METHODS = ["register", "message", "subscribe", "publish", "notify", "info", "refer"] as const;
/** Longer than any transfer rings. */
const REFER_SECONDS = 60;
const AWAY_MS = 30_000;
/** RFC 3261 §14.1: in steps of 10 ms, and apart for the side that owns the Call-ID, which of the caller's dialog we are not. */
const glareWaitMs = (side: CallSide): number =>
  side === "caller" ? 10 * Math.floor(systemRng.next() * 201) : 2_100 + 10 * Math.floor(systemRng.next() * 191);

export class DrachtioSignalling implements SipSignalling {
  readonly #settings: DrachtioSettings;
  readonly #log: Log;
  readonly #link: DrachtioLink;
  readonly #calls = new Map<CallId, KnownCall>();
  /** By the server's name for it. */
  readonly #dialogs = new Map<string, Found>();
  /** INVITEs of ours without a final response. */
  readonly #invites = new Map<string, Found & { readonly side: LegId }>();
  /** Taken up from an earlier process, and not named by the server since. */
  readonly #nameless = new Map<LegId, KnownCall>();
  /** re-INVITEs of ours without a final response. */
  readonly #reinvites = new Map<string, Found>();
  #host: SignallingHost | undefined;
  #trusted: readonly string[] = [];
  /** The server has said all that it has of our calls. */
  #isAttached = false;
  #patience: NodeJS.Timeout | undefined;
  /** Calls of an earlier process that cannot be taken up. */
  readonly #unreadable: CallId[] = [];

  constructor(settings: DrachtioSettings, log: Log) {
    this.#settings = settings;
    this.#log = log;
    const instance = `instance:${settings.instance ?? newId(Date.now(), systemRng)}`;
    this.#link = new DrachtioLink({ ...settings, tags: this.#isOurs ? [instance, RESUME_TAG] : [instance] }, log, {
      connected: () => this.#connected(),
      lost: () => this.#lost(),
      heard: (message) => this.#heard(message),
    });
  }

  async start(host: SignallingHost): Promise<void> {
    this.#host = host;
    const { srf } = this.#link;
    srf.use("options", (_request, reply) => {
      if (host.serving())
        reply.send(200, { headers: { Allow: ALLOW, Accept: "application/sdp", "Accept-Encoding": "identity" } });
      else reply.send(503, { headers: { "Retry-After": "10" } });
    });
    for (const method of OTHER_METHODS)
      srf.use(method, (_request, reply) => {
        reply.send(405, { headers: { Allow: ALLOW } });
      });
    this.#link.start();
    for (const call of this.#unreadable.splice(0))
      host.signalled(call, { kind: "signalling-lost", code: "pop.restarted" });
  }

  connected(): boolean {
    return this.#isAttached;
  }

  /** What is kept: for whoever looks for leaks. */
  get load() {
    const { size: known } = this.#calls;
    return { calls: known, dialogs: this.#dialogs.size, invites: this.#invites.size + this.#reinvites.size };
  }

  // ---- wishes of calls

  answer(call: CallId, sdp: Sdp): void {
    this.#wish(call, { kind: "answer", sdp });
  }

  reject(call: CallId, status: number, code: string, retryAfterSeconds: number | undefined): void {
    this.#wish(call, { kind: "reject", refusal: { status, code, retryAfterSeconds } });
  }

  invite(call: CallId, leg: LegId, { uri, sdp, callingNumber }: LegRequest): void {
    this.#wish(call, { kind: "invite", leg, wish: { uri, sdp, callingNumber } });
  }

  cancelLeg(call: CallId, leg: LegId): void {
    this.#wish(call, { kind: "end", side: leg, code: undefined });
  }

  hangUp(call: CallId, side: CallSide, code: string): void {
    this.#wish(call, { kind: "end", side, code });
  }

  answerReoffer(call: CallId, side: CallSide, request: string, sdp: Sdp): void {
    this.#wish(call, { kind: "answer-asked", what: "reoffer", side, request, answer: { status: 200, sdp } });
  }

  rejectReoffer(call: CallId, side: CallSide, request: string, status: number): void {
    this.#wish(call, { kind: "answer-asked", what: "reoffer", side, request, answer: { status, sdp: undefined } });
  }

  acceptRefer(call: CallId, side: CallSide, request: string): void {
    this.rejectRefer(call, side, request, 202);
  }

  rejectRefer(call: CallId, side: CallSide, request: string, status: number): void {
    this.#wish(call, { kind: "answer-asked", what: "refer", side, request, answer: { status, sdp: undefined } });
  }

  notifyRefer(call: CallId, side: CallSide, request: string, status: number, over: boolean): void {
    this.#wish(call, { kind: "notify", notice: { side, request, status, over } });
  }

  reinvite(call: CallId, side: CallSide, sdp: Sdp): void {
    this.#wish(call, { kind: "reinvite", side, sdp });
  }

  forget(call: CallId): void {
    this.#wish(call, { kind: "forget" });
  }

  saved(call: CallId): Saved | undefined {
    const known = this.#calls.get(call);
    if (known === undefined || known.state.forgotten) return undefined;
    return { v: SAVED_VERSION, maxForwards: known.maxForwards, ...calls.saved(known.state) };
  }

  restore(call: CallId, saved: Saved): void {
    const { v, maxForwards, ...state } = saved as unknown as SavedCall;
    if (v !== SAVED_VERSION) {
      this.#log.error("sip.saved-unreadable", { callId: call, version: v });
      this.#unreadable.push(call);
      return;
    }
    const known = this.#know(call, calls.restored(state), maxForwards);
    for (const { leg, name } of known.state.legs) {
      known.legs.set(leg, { dialogId: "", transactionId: "" });
      if (name === "inviting") this.#nameless.set(leg, known);
    }
  }

  trustSources(cidrs: readonly string[]): void {
    this.#trusted = cidrs;
    this.#sendTrusted();
  }

  async close(): Promise<void> {
    clearTimeout(this.#patience);
    this.#isAttached = false;
    this.#link.close();
  }

  // ---- the connection

  get #isOurs(): boolean {
    return this.#settings.server === "tollgate";
  }

  #connected(): void {
    this.#sendTrusted();
    if (this.#isOurs) return this.#resume();
    this.#isAttached = true;
    // Taken up from an earlier process: this server has nothing to give back.
    for (const known of [...this.#calls.values()]) if (!known.state.attached) this.#handle(known, { kind: "attached" });
  }

  /** Says which calls we know; what becomes of each is told when the server has said what it has. */
  #resume(): void {
    const claimed: KnownCall[] = [];
    const byName = new Map<string, Found>();
    const names: string[] = [];
    for (const known of this.#calls.values()) {
      if (known.state.attached) continue; // it has come on this connection
      claimed.push(known);
      for (const side of calls.claims(known.state)) {
        const sipCallId = side === "caller" ? known.sipCallId : side;
        names.push(sipCallId);
        byName.set(`${side === "caller" ? "uas" : "uac"} ${sipCallId}`, { known, side });
      }
    }
    const replied = (reply: Reply): void => {
      if (!reply.isOk) return this.#log.error("sip-server.no-resume", { detail: reply.tokens[0] ?? "" });
      if (reply.tokens[0] === "done") return this.#attached(claimed);
      for (const line of reply.text.split("\r\n")) this.#standing(line, byName);
      this.#link.expect(reply.commandId, replied);
    };
    for (const command of resumeCommands(names))
      this.#link.send(command, command.startsWith("resume|last") ? replied : undefined);
  }

  #standing(line: string, byName: ReadonlyMap<string, Found>): void {
    const standing = readStanding(line);
    const found = standing && byName.get(`${standing.role} ${standing.sipCallId}`);
    if (standing === undefined || found === undefined) return;
    const { known, side } = found;
    const { is, dialogId } = standing;
    if (side !== "caller") {
      if (dialogId !== "") this.#nameDialog(known, side, dialogId);
      if (is.transactionId !== "") this.#nameInvite(known, side, is.transactionId);
    }
    this.#handle(known, { kind: "standing", side, is });
  }

  #attached(claimed: readonly KnownCall[]): void {
    clearTimeout(this.#patience);
    this.#isAttached = true;
    this.#log.info("sip-server.attached", { calls: claimed.length });
    for (const known of claimed) this.#handle(known, { kind: "attached" });
  }

  #lost(): void {
    this.#log.error("sip-server.lost", { calls: this.#calls.size });
    const wasAttached = this.#isAttached;
    this.#isAttached = false;
    for (const known of this.#calls.values()) this.#handle(known, { kind: "detached" });
    if (!this.#isOurs) return this.#giveUp();
    if (wasAttached) this.#patience = setTimeout(() => this.#giveUp(), this.#settings.awayMs ?? AWAY_MS);
  }

  /** Nobody claims these calls any more: a server of ours that comes back ends what it has of them. */
  #giveUp(): void {
    const lost = [...this.#calls.values()];
    for (const known of lost) {
      if (known.state.attached) continue;
      this.#tell(known, { kind: "signalling-lost", code: "sip.server-away" });
      this.#remove(known);
    }
  }

  #sendTrusted(): void {
    if (this.#isOurs) this.#link.send(`sources|allow|${this.#trusted.join(",")}`);
  }

  // ---- messages of calls

  #heard(message: Message): void {
    const method = methodOf(message.text);
    if (method === "") return this.#responded(message);
    const found = this.#dialogs.get(message.dialogId);
    if (found !== undefined) return this.#askedInDialog(message, method, found);
    if (message.dialogId !== "" && method !== "CANCEL") {
      // Of a call we have forgotten, or never knew.
      if (method !== "ACK" && message.source === "network") this.#respond(message.transactionId, 481);
      return;
    }
    if (method === "INVITE") this.#invited(message);
    if (method === "CANCEL") {
      const caller = this.#dialogs.get(dialogIdOf(parseSip(message.text)));
      if (caller?.side === "caller") this.#handle(caller.known, { kind: "cancelled" });
    }
  }

  #invited({ address, transactionId, text }: Message): void {
    let request: SipText;
    try {
      request = parseSip(text);
    } catch (error) {
      this.#log.error("sip.handler-failed", { handler: "invite", error });
      return this.#respond(transactionId, 500);
    }
    const dialogId = dialogIdOf(request);
    const again = this.#dialogs.get(dialogId);
    if (again?.side === "caller") return this.#handle(again.known, { kind: "offered-again", transactionId });
    const call = newId<"call">(Date.now(), systemRng);
    const maxForwards = maxForwardsOf(request);
    this.#know(call, calls.incoming(dialogId, transactionId), maxForwards);
    this.#host?.invited({
      call,
      sipCallId: callIdOf(dialogId),
      sourceAddress: address,
      requestUri: request.uri,
      callingNumber: callingNumberOf(request.get("From")),
      maxForwards,
      offer: sdpOf(request.get("Content-Type"), request.body),
    });
  }

  #responded({ transactionId, dialogId, text }: Message): void {
    const found = this.#invites.get(transactionId) ?? this.#inviteOf(text);
    if (found === undefined) return this.#reinvited(transactionId, dialogId, text);
    const { known, side: leg } = found;
    const answered = parseSip(text);
    const { status } = answered;
    if (dialogId !== "") this.#nameDialog(known, leg, dialogId);
    if (status < 200) {
      const rseq = answered.get("RSeq");
      if (rseq !== undefined) {
        // RFC 3262 §4
        const headers = { RAck: `${rseq} ${answered.get("CSeq") ?? ""}` };
        this.#link.send(requestInDialog("PRACK", dialogId, { headers }));
      }
      return this.#handle(known, { kind: "progress", leg, status });
    }
    this.#invites.delete(transactionId);
    if (status >= 300) return this.#handle(known, { kind: "refused", leg, status, detail: answered.reason });
    const usable = answered.get("Contact") !== undefined;
    const sdp = sdpOf(answered.get("Content-Type"), answered.body) ?? "";
    this.#handle(known, { kind: "accepted", leg, sdp, usable });
  }

  /** An INVITE of an earlier process, which alone has heard the server's name for it: by its Call-ID. */
  #inviteOf(text: string): (Found & { readonly side: LegId }) | undefined {
    const leg = /^call-id[ \t]*:[ \t]*(\S+)/im.exec(text)?.[1] as LegId | undefined;
    const known = leg && this.#nameless.get(leg);
    return known && { known, side: leg };
  }

  /** The answer to a re-INVITE of ours; nothing depends on one to a BYE, a NOTIFY or a PRACK. */
  #reinvited(transactionId: string, dialogId: string, text: string): void {
    if (!/^SIP\/2\.0 [2-6]/.test(text) || !/^cseq[ \t]*:.*[ \t]INVITE[ \t]*$/im.test(text)) return;
    const answered = parseSip(text);
    const { status } = answered;
    // Also of one that we do not know any more: its peer repeats a 2xx until it hears the ACK, and then gives up the call.
    if (status < 300) this.#link.send(requestInDialog("ACK", dialogId));
    const found = this.#reinvites.get(transactionId);
    if (found === undefined) return;
    this.#reinvites.delete(transactionId);
    found.known.reinvites.delete(found.side);
    const sdp = sdpOf(answered.get("Content-Type"), answered.body);
    this.#handle(found.known, { kind: "reinvited", side: found.side, status, detail: answered.reason, sdp });
  }

  #askedInDialog(message: Message, method: string, { known, side }: Found): void {
    const { transactionId, text, source } = message;
    switch (method) {
      case "ACK":
        return side === "caller" ? this.#handle(known, { kind: "acked" }) : undefined;
      case "CANCEL":
        return side === "caller" ? this.#handle(known, { kind: "cancelled" }) : undefined;
      case "BYE":
        if (source === "network") this.#respond(transactionId, 200);
        return this.#handle(known, { kind: "hung-up", side, reason: parseSip(text).get("Reason") ?? "BYE" });
      case "INVITE":
      case "UPDATE":
        return this.#reoffered(known, side, method, transactionId, parseSip(text));
      case "REFER": {
        const refer = parseSip(text);
        const request = String(refer.get("CSeq")).split(" ")[0] ?? "";
        const number = referredNumber(refer.get("Refer-To"));
        return this.#handle(known, { kind: "referred", side, request, transactionId, number });
      }
      case "INFO": {
        const info = parseSip(text);
        this.#respond(transactionId, 200);
        const digit = digitOfInfo(info.get("Content-Type"), info.body);
        if (digit !== undefined) this.#tell(known, { kind: "dtmf", side, digit });
        return;
      }
      case "OPTIONS":
      case "MESSAGE":
      case "NOTIFY":
        return this.#respond(transactionId, 200);
      case "SUBSCRIBE":
        return this.#respond(transactionId, 489);
      default:
        return this.#respond(transactionId, 501);
    }
  }

  #reoffered(known: KnownCall, side: CallSide, method: string, transactionId: string, request: SipText): void {
    const sdp = sdpOf(request.get("Content-Type"), request.body);
    if (sdp === undefined && request.body)
      this.#link.send(response(transactionId, 415, { headers: { Accept: "application/sdp" } }));
    else if (method === "UPDATE" && sdp === undefined)
      this.#respond(transactionId, 200); // a session refresh
    else this.#handle(known, { kind: "reoffered", side, transactionId, sdp });
  }

  #respond(transactionId: string, status: number): void {
    this.#link.send(response(transactionId, status));
  }

  // ---- the machine of one call

  #wish(call: CallId, input: calls.SignallingInput): void {
    const known = this.#calls.get(call);
    if (known !== undefined && !known.state.forgotten) this.#handle(known, input);
  }

  /** One input, one step, every effect performed: only then the next input. */
  #handle(known: KnownCall, input: calls.SignallingInput): void {
    known.waiting.push(input);
    if (known.isBusy) return;
    known.isBusy = true;
    for (let next = known.waiting.shift(); next !== undefined; next = known.waiting.shift()) {
      const { state, effects } = calls.step(known.state, next);
      if (state.legs !== known.state.legs) this.#forgetLegs(known, state.legs);
      known.state = state;
      for (const effect of effects)
        try {
          this.#perform(known, effect);
        } catch (error) {
          this.#log.error("sip.handler-failed", { handler: effect.kind, callId: known.call, error });
        }
    }
    known.isBusy = false;
    if (calls.isOver(known.state)) this.#remove(known);
  }

  #perform(known: KnownCall, effect: calls.SignallingEffect): void {
    const handle = (input: calls.SignallingInput) => this.#handle(known, input);
    switch (effect.kind) {
      case "tell":
        return this.#host?.signalled(known.call, effect.input);
      case "send-answer": {
        const { transactionId, sdp } = effect;
        this.#link.send(response(transactionId, 200, { sdp }), ({ isOk, tokens }) =>
          handle(isOk ? { kind: "answer-taken" } : { kind: "answer-refused", detail: tokens[0] ?? "" }),
        );
        return;
      }
      case "send-refusal": {
        const { transactionId, refusal } = effect;
        const { status, code, retryAfterSeconds } = refusal;
        const retry = retryable(status) && retryAfterSeconds !== undefined;
        const headers = {
          ...(retry ? { "Retry-After": String(retryAfterSeconds) } : {}),
          Reason: `SIP;cause=${status};text="${code}"`,
        };
        this.#link.send(response(transactionId, status, { headers }), () => handle({ kind: "refusal-settled" }));
        return;
      }
      case "send-invite":
        return this.#sendInvite(known, effect.leg, effect.wish);
      case "send-cancel":
        this.#link.send(cancel(effect.transactionId));
        return;
      case "send-ack":
        this.#link.send(requestInDialog("ACK", this.#dialogOf(known, effect.leg)));
        return;
      case "send-bye": {
        const { side, code } = effect;
        const headers = code === undefined ? {} : { Reason: `SIP;cause=200;text="${code}"` };
        // Once the server has it, it is the server's: an answer that does not come ends the dialog all the same. RFC 3261 §15.1.1
        this.#link.send(requestInDialog("BYE", this.#dialogOf(known, side), { headers }), () =>
          handle({ kind: "bye-settled", side }),
        );
        return;
      }
      case "send-asked": {
        const { status, sdp } = effect.answer;
        const headers = status === 500 ? { "Retry-After": "1" } : {};
        const { transactionId } = effect;
        this.#link.send(response(transactionId, status, { headers, sdp }), () =>
          handle({ kind: "asked-settled", transactionId }),
        );
        return;
      }
      case "send-notify":
        return this.#sendNotify(known, effect.notice);
      case "send-reinvite": {
        const { side, sdp } = effect;
        this.#link.send(requestInDialog("INVITE", this.#dialogOf(known, side), { sdp }), ({ isOk, tokens }) => {
          if (isOk) this.#nameReinvite(known, side, transactionOf(tokens));
          if (isOk) return handle({ kind: "reinvite-taken", side });
          handle({ kind: "reinvited", side, status: 0, detail: tokens[0] ?? "", sdp: undefined });
        });
        return;
      }
      case "pause":
        setTimeout(() => handle({ kind: "glare-over", side: effect.side }), glareWaitMs(effect.side)).unref();
        return;
    }
  }

  #sendInvite(known: KnownCall, leg: LegId, { uri, sdp, callingNumber }: calls.LegWish): void {
    const { call, maxForwards } = known;
    if (!DIALABLE.test(uri)) {
      this.#handle(known, { kind: "invite-refused", leg, detail: `not an address: ${uri.slice(0, 64)}` });
      return;
    }
    const headers = {
      From: `<sip:${dialableUser(callingNumber)}@localhost>`,
      "Call-ID": leg,
      "X-Call-ID": call,
      // Counted on, as RFC 7332 asks of us: a transfer that comes back to us through a carrier ends by itself.
      "Max-Forwards": String(Math.max(0, maxForwards - 1)),
    };
    if (!known.legs.has(leg)) known.legs.set(leg, { dialogId: "", transactionId: "" });
    this.#link.send(newInvite(uri, { headers, sdp }), ({ isOk, tokens }) => {
      const transactionId = transactionOf(tokens);
      if (!isOk) return this.#handle(known, { kind: "invite-refused", leg, detail: tokens[0] ?? "" });
      this.#nameInvite(known, leg, transactionId);
      this.#host?.dialog(call, leg, leg);
      this.#handle(known, { kind: "invite-taken", leg, transactionId });
    });
  }

  #sendNotify(known: KnownCall, { side, request, status, over }: calls.Notice): void {
    const headers = {
      Event: `refer;id=${request}`,
      "Subscription-State": over ? "terminated;reason=noresource" : `active;expires=${REFER_SECONDS}`,
      "Content-Type": "message/sipfrag;version=2.0",
    };
    const body = `SIP/2.0 ${status} ${status < 200 ? "Trying" : status < 300 ? "OK" : "Failed"}\r\n`;
    // Whether it arrives changes nothing for us: a referrer that is gone has its BYE on the way.
    this.#link.send(requestInDialog("NOTIFY", this.#dialogOf(known, side), { headers, body }));
  }

  #tell(known: KnownCall, input: Parameters<SignallingHost["signalled"]>[1]): void {
    if (!known.state.forgotten) this.#host?.signalled(known.call, input);
  }

  // ---- names

  #know(call: CallId, state: calls.SignallingState, maxForwards: number): KnownCall {
    const { dialogId } = state;
    const sipCallId = callIdOf(dialogId);
    const names = { legs: new Map(), reinvites: new Map() };
    const known: KnownCall = { call, sipCallId, maxForwards, state, ...names, waiting: [], isBusy: false };
    this.#calls.set(call, known);
    this.#dialogs.set(dialogId, { known, side: "caller" });
    return known;
  }

  #dialogOf(known: KnownCall, side: CallSide): string {
    return side === "caller" ? known.state.dialogId : (known.legs.get(side)?.dialogId ?? "");
  }

  #nameDialog(known: KnownCall, leg: LegId, dialogId: string): void {
    const names = known.legs.get(leg);
    if (names === undefined || names.dialogId === dialogId) return;
    this.#dialogs.delete(names.dialogId);
    names.dialogId = dialogId;
    this.#dialogs.set(dialogId, { known, side: leg });
  }

  #nameInvite(known: KnownCall, leg: LegId, transactionId: string): void {
    const names = known.legs.get(leg);
    if (names === undefined) return;
    this.#invites.delete(names.transactionId);
    names.transactionId = transactionId;
    this.#nameless.delete(leg);
    this.#invites.set(transactionId, { known, side: leg });
  }

  #nameReinvite(known: KnownCall, side: CallSide, transactionId: string): void {
    this.#reinvites.delete(known.reinvites.get(side) ?? "");
    known.reinvites.set(side, transactionId);
    this.#reinvites.set(transactionId, { known, side });
  }

  #forgetLegs({ legs }: KnownCall, left: readonly calls.LegState[]): void {
    for (const [leg, { dialogId, transactionId }] of legs) {
      if (left.some((state) => state.leg === leg)) continue;
      legs.delete(leg);
      this.#nameless.delete(leg);
      this.#dialogs.delete(dialogId);
      this.#invites.delete(transactionId);
    }
  }

  #remove(known: KnownCall): void {
    this.#forgetLegs(known, []);
    this.#calls.delete(known.call);
    for (const transactionId of known.reinvites.values()) this.#reinvites.delete(transactionId);
    const { dialogId } = known.state;
    if (this.#dialogs.get(dialogId)?.known === known) this.#dialogs.delete(dialogId);
  }
}

const SAVED_VERSION = 1;

type SavedCall = calls.SavedSignalling & { readonly v: number; readonly maxForwards: number };

/** Nothing that could end the line it is written into. */
const DIALABLE = /^[^\s<>"]{1,2048}$/;

/** As the server makes it of the caller's INVITE. */
function dialogIdOf(request: SipText): string {
  const from = request.get("From") ?? "";
  const tag = /;\s*tag\s*=\s*([^\s;,]+)/i.exec(from.slice(from.lastIndexOf(">") + 1))?.[1] ?? "";
  return `${request.get("Call-ID") ?? ""};from-tag=${tag}`;
}

function maxForwardsOf(request: SipText): number {
  const given = Number(request.get("Max-Forwards") ?? "70");
  return Number.isInteger(given) ? given : 70;
}
