// SipSignalling through the public drachtio-srf API: our own sip-server and the C++ drachtio-server alike.
//
// Callbacks, not promises, where a dialog is made: frames that arrive in one segment are handled in one go,
// and a BYE right behind an ACK would find no listener if we attached ours a microtask later.

import type { EventEmitter } from "node:events";
import Srf from "drachtio-srf";
import { type CallId, type LegId, newId } from "../../../kernel/ids.ts";
import type { Log } from "../../../kernel/log.ts";
import { systemRng } from "../../../kernel/rng.ts";
import type { Saved } from "../../boundary/saved.ts";
import type { LegRequest, SignallingHost, SipSignalling } from "../../boundary/sip-signalling.ts";
import type { CallSide } from "../../core/call/call-execution.ts";
import type { Sdp } from "../../core/media/sdp.ts";
import { callingNumberOf, dialableUser, digitOfInfo, referredNumber, retryable, sdpOf } from "./sip-values.ts";

export interface DrachtioSettings {
  readonly host: string;
  readonly port: number;
  readonly secret: string;
  /** Only our own server knows the `sources` frame; the C++ one would close the connection. */
  readonly server: "tollgate" | "drachtio";
}

type Request = Srf.SrfRequest;
type Response = Srf.SrfResponse;
type Dialog = Srf.Dialog;

/** What srf's type declarations leave out. */
interface SrfInternals {
  readonly app: {
    readonly client: {
      _getDefaultSocket(): unknown;
      /** Said with every hello. */
      tags: readonly string[];
      readonly wp: EventEmitter & { send(socket: unknown, frame: string): string };
    };
  };
}

interface DialogInternals {
  readonly res: Response;
}

interface CallerLeg {
  readonly request: Request;
  readonly response: Response;
  dialog: Dialog | undefined;
  /** Asked to hang up while the 200 was on its way to the server. */
  hangUpWhenUp: string | undefined;
}

interface PlacedLeg {
  request: Request | undefined;
  dialog: Dialog | undefined;
  /** No longer wanted: whatever comes is ended without a word to the call. */
  dropped: boolean;
}

interface KnownCall {
  readonly caller: CallerLeg;
  readonly legs: Map<LegId, PlacedLeg>;
  readonly reoffers: Map<string, Response>;
  reofferCount: number;
  /** REFERs that wait for our answer, by their CSeq. */
  readonly refers: Map<string, Response>;
}

const ALLOW = "INVITE, ACK, BYE, CANCEL, OPTIONS, INFO, PRACK, UPDATE, REFER";
const OTHER_METHODS = ["register", "message", "subscribe", "publish", "notify", "info", "refer"] as const;
/** Longer than any transfer rings. */
const REFER_SECONDS = 60;
const RECONNECT_WAIT_MS_MAX = 1_000;
/** Re-offers of one call that wait for an answer: RFC 3261 §14.1 allows one a side. */
const REOFFERS_MAX = 2;
const REFERS_MAX = 2;
/** Of one offer of ours, glares included. */
const REINVITES_MAX = 4;
/** RFC 3261 §14.1: in steps of 10 ms, and apart for the side that owns the Call-ID, which of the caller's dialog we are not. */
const glareWaitMs = (side: CallSide): number =>
  side === "caller" ? 10 * Math.floor(systemRng.next() * 201) : 2_100 + 10 * Math.floor(systemRng.next() * 191);
/** Names us to our sip-server: whoever says it again gets the dialogs that belonged to it. */
const instanceTag = (): string => `instance:${newId(Date.now(), systemRng)}`;

export class DrachtioSignalling implements SipSignalling {
  readonly #settings: DrachtioSettings;
  readonly #log: Log;
  readonly #srf = new Srf();
  readonly #calls = new Map<CallId, KnownCall>();
  #host: SignallingHost | undefined;
  #trusted: readonly string[] = [];
  #up = false;
  #closing = false;

  constructor(settings: DrachtioSettings, log: Log) {
    this.#settings = settings;
    this.#log = log;
  }

  async start(host: SignallingHost): Promise<void> {
    this.#host = host;
    const srf = this.#srf;
    srf.on("error", (error) => this.#log.debug("sip-server.unreachable", { detail: error?.message }));
    srf.on("connect", (error) => this.#connected(error));
    // Also emitted for a socket that never came up; srf dials again by itself in both cases.
    (srf as EventEmitter).on("close", () => this.#disconnected());
    srf.invite((request, response) => this.#guard("invite", response, () => this.#invited(request, response)));
    srf.use("options", (request, response) => this.#guard("options", response, () => this.#options(request, response)));
    for (const method of OTHER_METHODS)
      srf.use(method, (_request, response) => {
        response.send(405, { headers: { Allow: ALLOW } });
      });
    const { host: address, port, secret } = this.#settings;
    // Not awaited: a server that is not there yet is dialled again and again, and /readyz says so meanwhile.
    const reconnect = { retryMaxDelay: RECONNECT_WAIT_MS_MAX };
    srf.connect({ host: address, port, secret, tags: [instanceTag()], reconnect } as Srf.SrfConfig);
    this.#guardFrames();
  }

  connected(): boolean {
    return this.#up;
  }

  answer(call: CallId, sdp: Sdp): void {
    const known = this.#calls.get(call);
    if (known === undefined) return;
    const { caller } = known;
    this.#srf.createUAS(caller.request, caller.response, { localSdp: sdp }, (error, dialog) => {
      if (error) return this.#tell(call, { kind: "answer-failed", detail: describe(error) });
      caller.dialog = dialog;
      if (caller.hangUpWhenUp !== undefined || !this.#calls.has(call))
        return void endDialog(dialog, caller.hangUpWhenUp);
      this.#listen(call, "caller", known, dialog);
      dialog.on("ack", () => this.#tell(call, { kind: "caller-acked" }));
      dialog.on("destroy", (message) => this.#tell(call, { kind: "caller-hung-up", reason: reasonOf(message) }));
    });
  }

  reject(call: CallId, status: number, code: string, retryAfterSeconds: number | undefined): void {
    const known = this.#calls.get(call);
    if (known === undefined) return;
    const retry =
      retryable(status) && retryAfterSeconds !== undefined ? { "Retry-After": String(retryAfterSeconds) } : {};
    known.caller.response.send(status, { headers: { ...retry, Reason: `SIP;cause=${status};text="${code}"` } });
  }

  invite(call: CallId, leg: LegId, request: LegRequest): void {
    const known = this.#calls.get(call);
    if (known === undefined) return;
    try {
      this.#invite(call, known, leg, request);
    } catch (error) {
      // srf throws on what it cannot even send: an address it does not understand, a server that has just gone.
      known.legs.delete(leg);
      this.#tell(call, { kind: "leg-failed", leg, status: 0, detail: describe(error) });
    }
  }

  #invite(call: CallId, known: KnownCall, leg: LegId, { uri, sdp, callingNumber }: LegRequest): void {
    const placed: PlacedLeg = { request: undefined, dialog: undefined, dropped: false };
    known.legs.set(leg, placed);
    const headers = {
      From: `<sip:${dialableUser(callingNumber)}@localhost>`,
      "X-Call-ID": call,
      // Counted on, as RFC 7332 asks of us: a transfer that comes back to us through a carrier ends by itself.
      "Max-Forwards": String(Math.max(0, maxForwardsOf(known.caller.request) - 1)),
    };
    this.#srf.createUAC(
      uri,
      { localSdp: sdp, headers },
      {
        cbRequest: (...told: unknown[]) => {
          // srf hands over (error, request); its declaration says (request)
          const request = told[1] as Request | undefined;
          if (request === undefined) return;
          placed.request = request;
          this.#host?.dialog(call, leg, request.get("Call-ID"));
          if (placed.dropped) request.cancel(() => {});
        },
        cbProvisional: (response) => {
          if (!placed.dropped) this.#tell(call, { kind: "leg-ringing", leg, status: response.status });
        },
      },
      (error, dialog) => {
        if (error) {
          known.legs.delete(leg);
          if (!placed.dropped)
            this.#tell(call, { kind: "leg-failed", leg, status: statusOf(error), detail: describe(error) });
          return;
        }
        placed.dialog = dialog;
        if (placed.dropped) return void endDialog(dialog, undefined); // the answer crossed our CANCEL
        this.#listen(call, leg, known, dialog);
        dialog.on("destroy", (message) => {
          known.legs.delete(leg);
          this.#tell(call, { kind: "leg-hung-up", leg, reason: reasonOf(message) });
        });
        const { res } = dialog as unknown as DialogInternals;
        const sdp = sdpOf(res.get("Content-Type"), dialog.remote.sdp) ?? "";
        this.#tell(call, { kind: "leg-answered", leg, sdp });
      },
    );
  }

  cancelLeg(call: CallId, leg: LegId): void {
    const placed = this.#calls.get(call)?.legs.get(leg);
    if (placed !== undefined) this.#drop(placed, undefined);
    this.#calls.get(call)?.legs.delete(leg);
  }

  hangUp(call: CallId, side: CallSide, code: string): void {
    const known = this.#calls.get(call);
    if (known === undefined) return;
    if (side !== "caller") {
      const placed = known.legs.get(side);
      if (placed !== undefined) this.#drop(placed, code);
      known.legs.delete(side);
      return;
    }
    const { caller } = known;
    if (caller.dialog === undefined) caller.hangUpWhenUp = code;
    else endDialog(caller.dialog, code);
  }

  answerReoffer(call: CallId, _side: CallSide, request: string, sdp: Sdp): void {
    this.#takeReoffer(call, request)?.send(200, { body: sdp, headers: { "Content-Type": "application/sdp" } });
  }

  rejectReoffer(call: CallId, _side: CallSide, request: string, status: number): void {
    this.#takeReoffer(call, request)?.send(status);
  }

  acceptRefer(call: CallId, side: CallSide, request: string): void {
    this.#takeRefer(call, side, request)?.send(202);
  }

  rejectRefer(call: CallId, side: CallSide, request: string, status: number): void {
    this.#takeRefer(call, side, request)?.send(status);
  }

  notifyRefer(call: CallId, side: CallSide, request: string, status: number, over: boolean): void {
    const known = this.#calls.get(call);
    const dialog = side === "caller" ? known?.caller.dialog : known?.legs.get(side)?.dialog;
    if (dialog === undefined) return;
    const headers = {
      Event: `refer;id=${request}`,
      "Subscription-State": over ? "terminated;reason=noresource" : `active;expires=${REFER_SECONDS}`,
      "Content-Type": "message/sipfrag;version=2.0",
    };
    const body = `SIP/2.0 ${status} ${status < 200 ? "Trying" : status < 300 ? "OK" : "Failed"}\r\n`;
    // Whether it arrives changes nothing for us: a referrer that is gone has its BYE on the way.
    dialog.request({ method: "NOTIFY", headers, body } as unknown as Request, () => {});
  }

  reinvite(call: CallId, side: CallSide, sdp: Sdp): void {
    const known = this.#calls.get(call);
    if (known !== undefined) this.#reinvite(call, known, side, sdp, 1);
  }

  /** dialog.modify of srf never sends again after a 491: so by hand. */
  #reinvite(call: CallId, known: KnownCall, side: CallSide, sdp: Sdp, attempt: number): void {
    const failed = (status: number, detail: string) =>
      this.#tell(call, { kind: "reinvite-failed", side, status, detail });
    const dialog = side === "caller" ? known.caller.dialog : known.legs.get(side)?.dialog;
    if (dialog === undefined) return failed(481, "no such dialog");
    const headers = { Contact: (dialog.local as unknown as { contact: string }).contact };
    dialog.request({ method: "INVITE", headers, body: sdp } as never, (error: unknown, response?: Response) => {
      if (error || response === undefined) return failed(0, describe(error));
      if (response.status < 200) return;
      if (response.status === 491 && attempt < REINVITES_MAX) {
        setTimeout(() => this.#reinvite(call, known, side, sdp, attempt + 1), glareWaitMs(side));
        return;
      }
      const answer = sdpOf(response.get("Content-Type"), (response as unknown as { body?: string }).body);
      if (response.status >= 300 || answer === undefined) return failed(response.status, "re-INVITE refused");
      this.#tell(call, { kind: "reinvite-answered", side, sdp: answer });
    });
  }

  forget(call: CallId): void {
    const known = this.#calls.get(call);
    if (known === undefined) return;
    for (const placed of known.legs.values()) this.#drop(placed, undefined);
    for (const response of [...known.reoffers.values(), ...known.refers.values()]) response.send(481);
    this.#calls.delete(call);
  }

  saved(_call: CallId): Saved | undefined {
    return undefined;
  }

  restore(_call: CallId, _saved: Saved): void {}

  trustSources(cidrs: readonly string[]): void {
    this.#trusted = cidrs;
    this.#sendTrusted();
  }

  async close(): Promise<void> {
    this.#closing = true;
    if (this.#up) this.#srf.disconnect();
    this.#up = false;
  }

  /**
   * srf takes a frame out of its buffer when it was handled: one that throws would be handled again with each that
   * follows, and none after it ever.
   */
  #guardFrames(): void {
    const { wp } = (this.#srf as unknown as SrfInternals).app.client;
    const handlers = wp.listeners("msg");
    wp.removeAllListeners("msg");
    wp.on("msg", (...frame: unknown[]) => {
      for (const handle of handlers)
        try {
          Reflect.apply(handle, wp, frame);
        } catch (error) {
          this.#log.error("sip.handler-failed", { handler: "frame", error });
        }
    });
  }

  #connected(error: Error | null | undefined): void {
    if (error) {
      this.#log.error("sip-server.refused", { detail: error.message });
      return;
    }
    this.#up = true;
    this.#log.info("sip-server.connected", { host: this.#settings.host, port: this.#settings.port });
    this.#sendTrusted();
  }

  #disconnected(): void {
    const wasUp = this.#up;
    this.#up = false;
    if (this.#closing || !wasUp) return;
    this.#log.error("sip-server.lost", { calls: this.#calls.size });
    // These calls end here and now: under another name, sip-server does not give their dialogs back but hangs them up.
    (this.#srf as unknown as SrfInternals).app.client.tags = [instanceTag()];
    for (const call of [...this.#calls.keys()]) this.#tell(call, { kind: "signalling-lost", code: "sip.server-away" });
  }

  #sendTrusted(): void {
    if (this.#settings.server !== "tollgate" || !this.#up) return;
    const { client } = (this.#srf as unknown as SrfInternals).app;
    client.wp.send(client._getDefaultSocket(), `sources|allow|${this.#trusted.join(",")}`);
  }

  #invited(request: Request, response: Response): void {
    const call = newId<"call">(Date.now(), systemRng);
    const known: KnownCall = {
      caller: { request, response, dialog: undefined, hangUpWhenUp: undefined },
      legs: new Map(),
      reoffers: new Map(),
      reofferCount: 0,
      refers: new Map(),
    };
    this.#calls.set(call, known);
    request.on("cancel", () => this.#tell(call, { kind: "caller-cancelled" }));
    this.#host?.invited({
      call,
      sipCallId: request.get("Call-ID"),
      sourceAddress: request.source_address,
      requestUri: request.uri,
      callingNumber: callingNumberOf(request.get("From")),
      maxForwards: maxForwardsOf(request),
      offer: sdpOf(request.get("Content-Type"), request.body),
    });
  }

  #options(_request: Request, response: Response): void {
    if (this.#host?.serving() === true)
      response.send(200, { headers: { Allow: ALLOW, Accept: "application/sdp", "Accept-Encoding": "identity" } });
    else response.send(503, { headers: { "Retry-After": "10" } });
  }

  #listen(call: CallId, side: CallSide, known: KnownCall, dialog: Dialog): void {
    const reoffered = (request: Request, response: Response) => {
      const body = sdpOf(request.get("Content-Type"), request.body);
      if (body === undefined && request.body)
        return void response.send(415, { headers: { Accept: "application/sdp" } });
      if (request.method === "UPDATE" && body === undefined) return void response.send(200); // a session refresh
      if (known.reoffers.size >= REOFFERS_MAX) return void response.send(500, { headers: { "Retry-After": "1" } });
      known.reofferCount += 1;
      const name = `${known.reofferCount}`;
      known.reoffers.set(name, response);
      this.#tell(call, { kind: "reoffered", side, request: name, sdp: body });
    };
    dialog.on("modify", reoffered);
    dialog.on("update", reoffered);
    dialog.on("refer", (request, response) => {
      // One at a time: the machine refuses a second, and more than that is no transfer.
      if (known.refers.size >= REFERS_MAX) return void response.send(500, { headers: { "Retry-After": "1" } });
      const name = String(request.get("CSeq")).split(" ")[0] ?? "";
      known.refers.set(`${side} ${name}`, response);
      this.#tell(call, { kind: "referred", side, request: name, number: referredNumber(request.get("Refer-To")) });
    });
    dialog.on("info", (request, response) => {
      const digit = digitOfInfo(request.get("Content-Type"), request.body);
      response.send(200);
      if (digit !== undefined) this.#tell(call, { kind: "dtmf", side, digit });
    });
  }

  #takeReoffer(call: CallId, request: string): Response | undefined {
    const known = this.#calls.get(call);
    const response = known?.reoffers.get(request);
    known?.reoffers.delete(request);
    return response;
  }

  #takeRefer(call: CallId, side: CallSide, request: string): Response | undefined {
    const refers = this.#calls.get(call)?.refers;
    const response = refers?.get(`${side} ${request}`);
    refers?.delete(`${side} ${request}`);
    return response;
  }

  #drop(placed: PlacedLeg, code: string | undefined): void {
    if (placed.dropped) return;
    placed.dropped = true;
    if (placed.dialog !== undefined) endDialog(placed.dialog, code);
    else placed.request?.cancel(() => {});
  }

  #tell(call: CallId, input: Parameters<SignallingHost["signalled"]>[1]): void {
    if (this.#calls.has(call)) this.#host?.signalled(call, input);
  }

  /** A message that srf's own parser chokes on ends with a log line and an answer, not with the process. */
  #guard(event: string, response: Response, run: () => void): void {
    try {
      run();
    } catch (error) {
      this.#log.error("sip.handler-failed", { handler: event, error });
      response.send(500); // nothing happens where an answer is out already
    }
  }
}

/** Never rejects: a BYE that gets no answer ends the dialog all the same. RFC 3261 §15.1.1 */
function endDialog(dialog: Dialog, code: string | undefined): void {
  const headers = code === undefined ? {} : { Reason: `SIP;cause=200;text="${code}"` };
  dialog.destroy({ headers }, () => {});
}

function maxForwardsOf(request: Request): number {
  const given = Number(request.get("Max-Forwards") ?? "70");
  return Number.isInteger(given) ? given : 70;
}

const describe = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** 0: the request never got a SIP answer. */
const statusOf = (error: unknown): number =>
  typeof error === "object" && error !== null && "status" in error && typeof error.status === "number"
    ? error.status
    : 0;

function reasonOf(message: Request | undefined): string {
  const reason = message?.has("Reason") === true ? message.get("Reason") : undefined;
  return reason ?? "BYE";
}
