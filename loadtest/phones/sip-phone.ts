// A simulated phone, or a carrier: calls and is called over UDP, TCP or TLS, hears and speaks by an RTP probe for each call.

import type { Flow } from "../../pop/sip-server/core/flow.ts";
import { responseTo } from "../../pop/sip-server/core/message/build.ts";
import { header, type SipRequest } from "../../pop/sip-server/core/message/message.ts";
import { type ProbeOptions, RtpProbe } from "../rtp-probe/rtp-probe.ts";
import { PhoneCall } from "./phone-call.ts";
import { type PhoneAddress, type PhoneTransport, token, uriOf } from "./request.ts";
import { SipEndpoint } from "./sip-endpoint.ts";
import type { PhoneTls } from "./stream-links.ts";
import type { WhenCalled } from "./when-called.ts";

export interface PhoneOptions {
  readonly host: string;
  /** Default 5060; 0: any free one. */
  readonly port?: number;
  readonly user: string;
  readonly whenCalled?: WhenCalled;
  /** Retransmission base; 500 as in RFC 3261 unless said. */
  readonly t1Ms?: number;
  /** UDP unless said. */
  readonly transport?: PhoneTransport;
  readonly tls?: PhoneTls;
  /** What each call that comes in meets, where they differ; else `whenCalled`. */
  readonly decide?: (invite: SipRequest) => WhenCalled | undefined;
  /** A call that comes in, before it rings. */
  readonly onCall?: (call: PhoneCall) => void;
  /** Of the probe of each call; also told which call it is for: of the caller, or of the called. */
  readonly probe?: (role: "caller" | "called", invite?: SipRequest) => ProbeOptions;
}

export interface DialOptions {
  /** "sip:+498912345678@127.10.1.11:5060" */
  readonly uri: string;
  readonly callingNumber?: string;
  /** Sent once answered; silence when left out. */
  readonly toneHz?: number;
  /** More for its probe than the phone's own options say. */
  readonly probe?: ProbeOptions;
  /** Further header lines, by name. */
  readonly headers?: Readonly<Record<string, string>>;
}

const HEARD_WAIT_MS = 20;

export class SipPhone {
  /** In the order of their INVITEs, both ways. */
  readonly calls: PhoneCall[] = [];
  /** May be changed at any time; counts for the next call. */
  whenCalled: WhenCalled;
  readonly #options: PhoneOptions;
  #endpoint: SipEndpoint | undefined;
  /** INVITEs whose probe is being opened: copies of them must not make a second call. */
  readonly #arriving = new Set<string>();
  readonly #bySipCallId = new Map<string, PhoneCall>();
  #taken = 0;
  #closed = false;

  private constructor(options: PhoneOptions) {
    this.#options = options;
    this.whenCalled = options.whenCalled ?? { kind: "ring" };
  }

  /** @throws Error EADDRINUSE when the address is taken */
  static async open(options: PhoneOptions): Promise<SipPhone> {
    const phone = new SipPhone(options);
    phone.#endpoint = await SipEndpoint.open(
      {
        host: options.host,
        port: options.port ?? (options.transport === "tls" ? 5061 : 5060),
        ...(options.t1Ms === undefined ? {} : { t1Ms: options.t1Ms }),
        ...(options.transport === undefined ? {} : { transport: options.transport }),
        ...(options.tls === undefined ? {} : { tls: options.tls }),
      },
      {
        onRequest: (request, flow) => phone.#received(request, flow),
        onMessage: (message, direction) => phone.#bySipCallId.get(message.callId)?.note(message, direction),
      },
    );
    return phone;
  }

  get address(): PhoneAddress {
    const { host, port } = this.#wire();
    return { host, port, user: this.#options.user, transport: this.#options.transport ?? "udp" };
  }

  /** "sip:alice@127.30.0.1:5060" */
  get uri(): string {
    return uriOf(this.address);
  }

  /** Calls that came in. */
  get called(): readonly PhoneCall[] {
    return this.calls.filter(({ role }) => role === "called");
  }

  /** Sends an INVITE; the call is there at once, its moments come. */
  async dial(options: DialOptions): Promise<PhoneCall> {
    const { uri, callingNumber = this.#options.user, toneHz, headers = {} } = options;
    const probe = await RtpProbe.open({
      host: this.#options.host,
      ...this.#options.probe?.("caller"),
      ...options.probe,
    });
    const extra = Object.entries(headers).map(([name, value]) => header(name, name.toLowerCase(), value));
    const invite = { uri, callingNumber, sdp: probe.offer(), extra };
    const call = new PhoneCall(this.#wire(), this.address, probe, { role: "caller", invite, toneHz });
    this.#add(call);
    call.start();
    return call;
  }

  /**
   * The next call that came in and was not asked for yet.
   * @throws Error when none comes in time
   */
  async nextCall(timeoutMs = 5_000): Promise<PhoneCall> {
    const deadlineMs = performance.now() + timeoutMs;
    for (;;) {
      const call = this.called[this.#taken];
      if (call !== undefined) {
        this.#taken++;
        return call;
      }
      if (performance.now() > deadlineMs)
        throw new Error(`${this.#options.user} at ${this.#options.host} was not called within ${timeoutMs} ms`);
      await new Promise((resolve) => setTimeout(resolve, HEARD_WAIT_MS));
    }
  }

  /** What came in before is no longer what `nextCall` means. */
  forgetCalled(): void {
    this.#taken = this.called.length;
  }

  /** Connections that were made anew. */
  get reconnected(): number {
    return this.#wire().reconnected;
  }

  /** As when the other side's host has died: nothing stands that stood. */
  dropConnections(): void {
    this.#wire().dropConnections();
  }

  /** Hangs up whatever still goes on, and lets go of every socket. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    for (const call of this.calls) call.hangUp();
    const ended = this.calls.map((call) => call.until("ended", 500).catch(() => undefined));
    await Promise.all(ended);
    await Promise.all(this.calls.map((call) => call.close()));
    await this.#endpoint?.close();
  }

  #wire(): SipEndpoint {
    if (this.#endpoint === undefined) throw new Error("the phone is not open");
    return this.#endpoint;
  }

  #add(call: PhoneCall): void {
    this.calls.push(call);
    this.#bySipCallId.set(call.sipCallId, call);
  }

  #received(request: SipRequest, flow: Flow): void {
    if (this.#closed) return;
    const call = this.#bySipCallId.get(request.callId);
    if (call !== undefined) return call.receive(request, flow);
    if (request.method === "INVITE" && request.toTag === "") {
      void this.#ring(request, flow);
      return;
    }
    if (request.method === "ACK") return;
    const known = request.method === "OPTIONS" && request.toTag === "";
    this.#wire()
      .startServer(request, flow, { onAck: () => {}, onFailed: () => {} })
      .respond(responseTo(request, { status: known ? 200 : 481, toTag: token() }));
  }

  async #ring(invite: SipRequest, flow: Flow): Promise<void> {
    const whenCalled = this.#options.decide?.(invite) ?? this.whenCalled;
    if (whenCalled.kind === "silent" || this.#arriving.has(invite.callId)) return;
    this.#arriving.add(invite.callId);
    const probe = await RtpProbe.open({ host: this.#options.host, ...this.#options.probe?.("called", invite) });
    if (this.#closed) return probe.close();
    const call = new PhoneCall(this.#wire(), this.address, probe, { role: "called", invite, flow, whenCalled });
    this.#add(call);
    call.note(invite, "in");
    this.#options.onCall?.(call);
    call.start();
    this.#arriving.delete(invite.callId);
  }
}
