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

type Side = "offered" | "answered" | "acked" | "gone";
type Leg = "inviting" | "up" | "gone";

interface Dialogs {
  caller: Side;
  readonly legs: Map<LegId, Leg>;
  /** What the parties did while nobody listened. */
  readonly missed: CallInput[];
}

/** What outlives a process: the SIP server's dialogs. Give the next one the same. */
export class MemorySipServer {
  readonly calls = new Map<CallId, Dialogs>();

  of(call: CallId): Dialogs {
    const known = this.calls.get(call) ?? { caller: "offered", legs: new Map(), missed: [] };
    this.calls.set(call, known);
    return known;
  }

  /** A party does something while the process is away: told to the next one that takes the call up. */
  missed(call: CallId, input: CallInput): void {
    this.of(call).missed.push(input);
    this.note(call, input);
  }

  /** It has lost the call. */
  lose(call: CallId): void {
    this.calls.delete(call);
  }

  note(call: CallId, input: CallInput): void {
    const dialogs = this.of(call);
    if (input.kind === "caller-acked") dialogs.caller = "acked";
    if (input.kind === "caller-cancelled" || input.kind === "caller-hung-up") dialogs.caller = "gone";
    if (input.kind === "leg-answered") dialogs.legs.set(input.leg, "up");
    if (input.kind === "leg-failed" || input.kind === "leg-hung-up") dialogs.legs.set(input.leg, "gone");
  }
}

/**
 * A SipSignalling for tests and simulations: the test is the caller, the agents' phones and the carrier in one. What is wished
 * twice is asked once, and nothing of a side that is gone, also of a call that was taken up.
 */
export class MemorySipSignalling implements SipSignalling {
  readonly asked: SignallingAsked[] = [];
  readonly server: MemorySipServer;
  trusted: readonly string[] = [];
  /** Told of each command as it is asked. */
  onAsked: (asked: SignallingAsked) => void = () => {};
  #host: SignallingHost | undefined;
  readonly #isShared: boolean;
  readonly #living = new Set<CallId>();
  /** Taken up, and the server has not been asked yet. */
  readonly #claimed = new Map<CallId, readonly LegId[]>();

  /** @param server shared with the processes before and after; without one nothing is taken up from anybody, and `forget` ends nothing */
  constructor(server?: MemorySipServer) {
    this.server = server ?? new MemorySipServer();
    this.#isShared = server !== undefined;
  }

  async start(host: SignallingHost): Promise<void> {
    this.#host = host;
    if (this.#isShared) for (const [call, legs] of this.#claimed) this.#takeUp(call, legs);
    this.#claimed.clear();
  }

  connected(): boolean {
    return this.#host !== undefined;
  }

  invited(incoming: IncomingCall): void {
    this.#living.add(incoming.call);
    this.server.of(incoming.call);
    this.#host?.invited(incoming);
  }

  signalled(call: CallId, input: CallInput): void {
    if (!this.#living.has(call)) return;
    this.server.note(call, input);
    this.#host?.signalled(call, input);
  }

  serving(): boolean {
    return this.#host?.serving() ?? false;
  }

  answer(call: CallId, _sdp: Sdp): void {
    const dialogs = this.server.of(call);
    if (dialogs.caller === "acked") return this.signalled(call, { kind: "caller-acked" });
    if (dialogs.caller !== "offered") return;
    dialogs.caller = "answered";
    this.#note("200", call, "caller");
  }

  reject(call: CallId, status: number, code: string, retryAfterSeconds: number | undefined): void {
    const dialogs = this.server.of(call);
    if (dialogs.caller !== "offered") return;
    dialogs.caller = "gone";
    const retry = retryAfterSeconds === undefined ? "" : `, Retry-After ${retryAfterSeconds}`;
    this.#note(String(status), call, "caller", `${code}${retry}`);
  }

  invite(call: CallId, leg: LegId, { uri }: LegRequest): void {
    const { legs } = this.server.of(call);
    if (legs.has(leg)) return;
    legs.set(leg, "inviting");
    this.#host?.dialog(call, leg, `sip-${leg}`);
    this.#note("INVITE", call, leg, uri);
  }

  cancelLeg(call: CallId, leg: LegId): void {
    const { legs } = this.server.of(call);
    if (legs.get(leg) === "gone" || !legs.has(leg)) return;
    legs.set(leg, "gone");
    this.#note("CANCEL", call, leg);
  }

  hangUp(call: CallId, side: CallSide, code: string): void {
    const dialogs = this.server.of(call);
    if (side === "caller") {
      if (dialogs.caller === "gone") return;
      dialogs.caller = "gone";
    } else {
      if (dialogs.legs.get(side) === "gone" || !dialogs.legs.has(side)) return;
      dialogs.legs.set(side, "gone");
    }
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
    if (!this.#living.delete(call)) return;
    const { caller, legs } = this.server.of(call);
    this.server.calls.delete(call);
    if (!this.#isShared) return;
    for (const [leg, is] of legs) if (is !== "gone") this.#note(is === "up" ? "BYE" : "CANCEL", call, leg);
    if (caller === "answered" || caller === "acked") this.#note("BYE", call, "caller");
  }

  saved(call: CallId): Saved | undefined {
    if (!this.#living.has(call)) return undefined;
    return [...this.server.of(call).legs].flatMap(([leg, is]) => (is === "gone" ? [] : [leg]));
  }

  restore(call: CallId, saved: Saved): void {
    this.#living.add(call);
    this.#claimed.set(call, saved as readonly LegId[]);
  }

  trustSources(cidrs: readonly string[]): void {
    this.trusted = cidrs;
  }

  async close(): Promise<void> {
    this.#host = undefined;
  }

  /** What it missed; what is gone without a word is gone. */
  #takeUp(call: CallId, claimed: readonly LegId[]): void {
    const dialogs = this.server.calls.get(call);
    if (dialogs === undefined) {
      this.#host?.signalled(call, { kind: "signalling-lost", code: "sip.dialog-lost" });
      return;
    }
    for (const [leg, is] of dialogs.legs) {
      if (is === "gone" || claimed.includes(leg)) continue;
      dialogs.legs.delete(leg); // the call does not know it, and may give its name to another
      this.#note(is === "up" ? "BYE" : "CANCEL", call, leg);
    }
    for (const input of dialogs.missed.splice(0)) this.#host?.signalled(call, input);
  }

  #note(command: string, call: CallId, side: CallSide, detail = ""): void {
    const asked = { command, call, side, detail };
    this.asked.push(asked);
    this.onAsked(asked);
  }
}
