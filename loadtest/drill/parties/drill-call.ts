// One call of the mix, both its parties, and what each of them hears and sees.

import { headerValue, type SipRequest } from "../../../pop/sip-server/core/message/message.ts";
import type { PhoneCall } from "../../phones/phone-call.ts";
import { SipPhone } from "../../phones/sip-phone.ts";
import type { WhenCalled } from "../../phones/when-called.ts";
import { agentToneOf, callerToneOf, TONES } from "../load-classes.ts";
import { gapAround } from "../wire/media-gaps.ts";
import { Arrivals } from "./arrivals.ts";
import type { Collected, LegHeard, OpenParties, PlannedCall } from "./party-protocol.ts";

const TONE_SHARE_MIN = 0.75;
const WINDOW_MS = 300;
const LOOK_EVERY_MS = 40;
const PACKETS_KEPT = 500;
const RING_MS = 30;
const TARGET_TONE_OFF_HZ = 10;

export const callingNumberOf = (invite: SipRequest): string =>
  /<?sips?:([^@>;]+)/.exec(headerValue(invite, "from") ?? "")?.[1] ?? "";

interface Leg {
  readonly call: PhoneCall;
  readonly arrivals: Arrivals;
}

type Transport = "udp" | "tcp" | "tls";

/** The phones of one party process: a carrier and an agents' phone for each transport. */
export class Phones {
  readonly #carriers: ReadonlyMap<Transport, SipPhone>;
  readonly #agents: ReadonlyMap<Transport, SipPhone>;
  readonly service: OpenParties["service"];

  private constructor(
    carriers: ReadonlyMap<Transport, SipPhone>,
    agents: ReadonlyMap<Transport, SipPhone>,
    service: OpenParties["service"],
  ) {
    this.#carriers = carriers;
    this.#agents = agents;
    this.service = service;
  }

  /** @param callOf whose INVITE that is */
  static async open(wish: OpenParties, callOf: (invite: SipRequest) => DrillCall | undefined): Promise<Phones> {
    const transports: readonly Transport[] = wish.tls === undefined ? ["udp", "tcp"] : ["udp", "tcp", "tls"];
    const open = async (transport: Transport, host: string, user: string, more: object) =>
      [
        transport,
        await SipPhone.open({
          host,
          user,
          transport,
          ...(transport === "tls" && wish.tls !== undefined ? { tls: wish.tls } : {}),
          ...more,
        }),
      ] as const;
    const decide = (invite: SipRequest): WhenCalled => callOf(invite)?.whenCalled() ?? { kind: "silent" };
    const answering = {
      decide,
      onCall: (call: PhoneCall) => callOf(call.invite)?.called(call),
      probe: (_role: string, invite?: SipRequest) =>
        invite === undefined
          ? {}
          : { packetsMax: PACKETS_KEPT, arrivals: callOf(invite)?.arrivalsOf(invite) ?? new Arrivals(1) },
    };
    const carriers = await Promise.all(transports.map((one) => open(one, wish.carrierHost, "carrier", answering)));
    const agents = await Promise.all(transports.map((one) => open(one, wish.agentHost, "agent", answering)));
    return new Phones(new Map(carriers), new Map(agents), wish.service);
  }

  carrier(transport: Transport): SipPhone {
    const found = this.#carriers.get(transport);
    if (found === undefined) throw new Error(`no phone over ${transport}`);
    return found;
  }

  get reconnected(): number {
    return [...this.#carriers.values(), ...this.#agents.values()].reduce(
      (sum, { reconnected }) => sum + reconnected,
      0,
    );
  }

  async close(): Promise<void> {
    await Promise.all([...this.#carriers.values(), ...this.#agents.values()].map((phone) => phone.close()));
  }
}

export class DrillCall {
  readonly plan: PlannedCall;
  readonly #phones: Phones;
  #caller: Leg | undefined;
  readonly #agents: Leg[] = [];
  readonly #agentWaiters: ((leg: Leg) => void)[] = [];
  /** By SIP Call-ID of an INVITE that came, until its call is there. */
  readonly #expected = new Map<string, Arrivals>();

  constructor(plan: PlannedCall, phones: Phones) {
    this.plan = plan;
    this.#phones = phones;
  }

  get caller(): PhoneCall {
    if (this.#caller === undefined) throw new Error("never dialled");
    return this.#caller.call;
  }

  /** The first phone that was rung for it. */
  get agent(): PhoneCall {
    const leg = this.#agents[0];
    if (leg === undefined) throw new Error("no phone was rung");
    return leg.call;
  }

  get hasAgent(): boolean {
    return this.#agents.length > 0;
  }

  get callerHz(): number {
    return callerToneOf(this.plan.index);
  }

  get agentHz(): number {
    return agentToneOf(this.plan.index);
  }

  /** Of the phone that a REFER leads to. */
  get targetHz(): number {
    return agentToneOf(this.plan.index) + TARGET_TONE_OFF_HZ;
  }

  get sipCallIds(): readonly string[] {
    return this.#legs().map(({ call }) => call.sipCallId);
  }

  get over(): boolean {
    return this.#legs().every(({ call }) => call.end !== undefined);
  }

  /** The first phone that is rung is the agent's; the next is where a REFER led. */
  whenCalled(): WhenCalled {
    const { entry, standing } = this.plan.loadClass;
    const isTarget = this.hasAgent;
    if (entry === "ringing-agent" || (standing === "referring" && isTarget)) return { kind: "ring" };
    return { kind: "answer", afterMs: RING_MS, toneHz: isTarget ? this.targetHz : this.agentHz };
  }

  /** For the probe of the phone that is about to ring. */
  arrivalsOf(invite: SipRequest): Arrivals {
    const arrivals = new Arrivals();
    this.#expected.set(invite.callId, arrivals);
    return arrivals;
  }

  /** A phone of ours rings for it. */
  called(call: PhoneCall): void {
    const leg = { call, arrivals: this.#expected.get(call.sipCallId) ?? new Arrivals(1) };
    this.#expected.delete(call.sipCallId);
    this.#agents.push(leg);
    for (const waiter of this.#agentWaiters.splice(0)) waiter(leg);
  }

  /** Resolves with the time from INVITE to 200, once it stands as its class wants it. @throws Error saying what is missing */
  async putUp(withinMs: number): Promise<number> {
    const { loadClass, number, callingNumber } = this.plan;
    const { host, sipPort, sipTlsPort } = this.#phones.service;
    const { transport } = loadClass;
    const at = `${host}:${transport === "tls" ? sipTlsPort : sipPort}`;
    const arrivals = new Arrivals();
    const startMs = performance.now();
    const call = await this.#phones.carrier(transport).dial({
      uri: `sip:${number}@${at}${transport === "udp" ? "" : `;transport=${transport}`}`,
      callingNumber,
      toneHz: this.callerHz,
      probe: { packetsMax: PACKETS_KEPT, arrivals, ...(loadClass.srtp ? { srtp: true } : {}) },
    });
    this.#caller = { call, arrivals };
    const answeredMs = await call.until("answered", withinMs);
    const leftMs = () => Math.max(1, withinMs - (performance.now() - startMs));
    if (loadClass.entry === "agent") await (await this.nextAgent(leftMs())).until("confirmed", leftMs());
    if (loadClass.entry === "ringing-agent") await (await this.nextAgent(leftMs())).until("ringing", leftMs());
    if (loadClass.standing !== "talking") await this.hearEachOther(leftMs());
    await this.#stand();
    return answeredMs - startMs;
  }

  /** The agent's phone that rings, or has rung. */
  async nextAgent(timeoutMs: number): Promise<PhoneCall> {
    return this.#rung(0, timeoutMs);
  }

  /** The phone that a REFER has led to. */
  target(timeoutMs: number): Promise<PhoneCall> {
    return this.#rung(1, timeoutMs);
  }

  async #rung(at: number, timeoutMs: number): Promise<PhoneCall> {
    const rung = this.#agents[at];
    if (rung !== undefined) return rung.call;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => reject(new Error(`no phone was rung within ${Math.round(timeoutMs)} ms`)),
        timeoutMs,
      );
      this.#agentWaiters.push(({ call }) => {
        clearTimeout(timer);
        resolve(call);
      });
    });
  }

  async #stand(): Promise<void> {
    switch (this.plan.loadClass.standing) {
      case "talking":
      case "referring":
        return;
      case "held-by-a":
        return this.mustBe(200, (await this.caller.reinvite("sendonly")).status, "hold by A");
      case "held-by-b":
        return this.mustBe(200, (await this.agent.reinvite("sendonly")).status, "hold by B");
      case "mute":
        this.caller.speak(undefined);
        this.agent.speak(undefined);
        return;
    }
  }

  /** Just before the fault: the agent refers, and its target rings. @throws Error saying what is missing */
  async eve(withinMs: number): Promise<void> {
    if (this.plan.loadClass.standing !== "referring") return;
    const { status } = await within(
      this.agent.request("REFER", { "Refer-To": `<${this.plan.referTo}>` }),
      withinMs,
      "REFER",
    );
    this.mustBe(202, status, "REFER by B");
    await (await this.target(withinMs)).until("ringing", withinMs);
  }

  mustBe(wanted: number, status: number, what: string): void {
    if (status !== wanted) throw new Error(`${what} got ${status}`);
  }

  /** In the steady state: it stands, and each side hears what its class says. @throws Error saying what is missing */
  async check(withinMs: number): Promise<void> {
    const { loadClass } = this.plan;
    for (const { call } of this.#legs()) if (call.end !== undefined) throw new Error(`ended: ${endOf(call)}`);
    if (this.caller.state !== "talking") throw new Error(`the caller is ${this.caller.state}`);
    const hz = this.#callerExpects();
    if (hz !== undefined) await this.hears(this.caller, hz, withinMs);
    if (loadClass.agentHears === "caller") await this.hears(this.agent, this.callerHz, withinMs);
  }

  #callerExpects(): number | undefined {
    const { callerHears } = this.plan.loadClass;
    if (callerHears === "anything") return undefined;
    return callerHears === "agent" ? this.agentHz : TONES[callerHears];
  }

  async hearEachOther(timeoutMs: number): Promise<void> {
    await Promise.all([
      this.hears(this.caller, this.agentHz, timeoutMs),
      this.hears(this.agent, this.callerHz, timeoutMs),
    ]);
  }

  /** Waits until the last moments at this party were that tone. */
  async hears(call: PhoneCall, hz: number, timeoutMs: number): Promise<void> {
    const deadlineMs = performance.now() + timeoutMs;
    let best = 0;
    for (;;) {
      const window = { fromMs: performance.now() - WINDOW_MS };
      if (call.listening.durationMs(window) >= WINDOW_MS / 2)
        best = Math.max(best, call.listening.toneShare(hz, window));
      if (best >= TONE_SHARE_MIN) return;
      if (performance.now() > deadlineMs) {
        const who = call === this.#caller?.call ? "the caller" : "the agent";
        const last = call.listening.packets.at(-1)?.atMs;
        const heard =
          last === undefined ? "never a packet" : `last packet ${Math.round(performance.now() - last)} ms ago`;
        throw new Error(`${who} does not hear ${hz} Hz (share ${best.toFixed(2)}, ${heard})`);
      }
      await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
    }
  }

  /** A request inside the caller's dialog that changes nothing. */
  probe(): Promise<{ readonly status: number; readonly afterMs: number }> {
    return this.caller.request("UPDATE");
  }

  collect(faultUnixMs: number, untilUnixMs: number, offsetMs: number): Collected {
    const faultMs = faultUnixMs - offsetMs;
    const untilMs = untilUnixMs - offsetMs;
    const ended = this.#legs().find(({ call }) => call.end !== undefined);
    const endedAtMs = ended?.call.atMs("ended");
    return {
      id: this.plan.id,
      sipCallIds: this.sipCallIds,
      legs: this.#legs().map((leg, at) => heardBy(leg, LEG_NAMES[at] ?? "target", faultMs, untilMs)),
      ...(ended === undefined
        ? {}
        : {
            ended: `${ended.call.role}: ${endOf(ended.call)}`,
            ...(endedAtMs === undefined ? {} : { endedUnixMs: endedAtMs + offsetMs }),
          }),
      heard: this.#legs().flatMap(({ call }) =>
        call.history
          .filter(({ direction, atMs }) => direction === "in" && atMs >= faultMs && atMs <= untilMs)
          .map(({ atMs, summary }) => ({ atUnixMs: atMs + offsetMs, summary })),
      ),
    };
  }

  hangUp(): void {
    for (const { call } of this.#legs()) call.hangUp();
  }

  #legs(): readonly Leg[] {
    return this.#caller === undefined ? this.#agents : [this.#caller, ...this.#agents];
  }
}

const LEG_NAMES = ["caller", "agent", "target"] as const;

function heardBy({ call, arrivals }: Leg, leg: LegHeard["leg"], faultMs: number, untilMs: number): LegHeard {
  const { host, port } = call.probe.address;
  const gap = gapAround(arrivals.since(faultMs - 2_000), faultMs, untilMs);
  const finite = (value: number): number | null => (Number.isFinite(value) ? Math.round(value * 10) / 10 : null);
  return {
    leg,
    socket: `${host}:${port}`,
    before: gap.before,
    after: gap.after,
    gapMs: finite(gap.gapMs),
    backAfterMs: finite(gap.backAfterMs),
    ssrcs: call.listening.ssrcs().length,
  };
}

const endOf = ({ end }: PhoneCall): string =>
  end === undefined
    ? ""
    : `${end.how}${end.status === 0 ? "" : ` ${end.status}`} by ${end.by}${end.reason === "" ? "" : ` (${end.reason})`}`;

export async function within<Value>(promise: Promise<Value>, timeoutMs: number, what: string): Promise<Value> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: no answer within ${timeoutMs} ms`)), timeoutMs);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
