// Who calls, and what they do: carriers' callers, agents at their phones, the number behind the trunk. Drawn from the seed.

import type { Rng } from "../../kernel/rng.ts";
import type { SimWorld } from "../../kernel/sim/world.ts";
import type { SipNetwork } from "./sip-network.ts";
import { type PartyDialog, SipParty } from "./sip-party.ts";
import { agentAddress, CARRIER_ADDRESS, FAR_ADDRESS, SERVICE_NUMBER } from "./tenant.ts";

export type Wish = "queue" | "number" | "news" | "nothing" | "cancel" | "wrong-number" | "early-bye";

/** One call from outside, with what is true of it whoever serves it. */
export interface CallerCall {
  readonly n: number;
  readonly callingNumber: string;
  readonly wish: Wish;
  readonly service: string;
  readonly dialog: PartyDialog;
}

const WISHES: readonly (readonly [Wish, number])[] = [
  ["queue", 34],
  ["number", 28],
  ["news", 12],
  ["nothing", 8],
  ["cancel", 6],
  ["wrong-number", 4],
  ["early-bye", 8],
];

export class Traffic {
  readonly carrier: SipParty;
  readonly far: SipParty;
  readonly phones: readonly SipParty[];
  readonly calls: CallerCall[] = [];
  readonly #world: SimWorld;
  readonly #rng: Rng;
  /** A key as RFC 4733, where the relay hears it. */
  onKey: (call: CallerCall, digit: string) => void = () => {};
  /** A dialog begins, with somebody outside. */
  onDialog: (dialog: PartyDialog, who: string) => void = () => {};

  constructor(world: SimWorld, network: SipNetwork, agents: number) {
    this.#world = world;
    this.#rng = world.rng;
    this.carrier = new SipParty(world, network, CARRIER_ADDRESS, "carrier");
    this.far = new SipParty(world, network, FAR_ADDRESS, "berlin");
    this.far.onInvite = (dialog) => this.#ring(dialog, 0.1, 0.1);
    this.phones = Array.from({ length: agents }, (_, at) => {
      const phone = new SipParty(world, network, agentAddress(at + 1), `agent-${at + 1}`);
      phone.onInvite = (dialog) => this.#ring(dialog, 0.1, 0.15);
      return phone;
    });
  }

  get parties(): readonly SipParty[] {
    return [this.carrier, this.far, ...this.phones];
  }

  /** Every dialog that anybody outside has had. */
  *dialogs(): Generator<PartyDialog> {
    for (const party of this.parties) yield* party.dialogs.values();
  }

  /** Calls come in one after the other until `untilMs`. */
  start(services: readonly string[], untilMs: number, everyMs: number): void {
    const next = () => {
      if (this.#world.nowMs() >= untilMs) return;
      this.call(services[Math.floor(this.#rng.next() * services.length)] ?? "");
      this.#world.after(everyMs * (0.3 + 1.4 * this.#rng.next()), next);
    };
    this.#world.after(this.#between(200, 1_500), next);
  }

  call(service: string, given?: Wish, patienceMs = this.#between(8_000, 60_000)): CallerCall {
    const wish = given ?? this.#wish();
    const n = this.calls.length + 1;
    const callingNumber = `+4917${String(n).padStart(6, "0")}`;
    const number = wish === "wrong-number" ? "+498900000000" : SERVICE_NUMBER;
    const dialog = this.carrier.call(service, number, callingNumber);
    const call: CallerCall = { n, callingNumber, wish, service, dialog };
    this.calls.push(call);
    this.onDialog(dialog, "carrier");
    dialog.onAnswered = () => this.#answered(call, patienceMs);
    const timer = this.#rng.next() < 0.5 ? ["Supported: timer"] : [];
    dialog.invite(timer);
    if (wish === "cancel") this.#later(0, 400, () => dialog.cancel());
    return call;
  }

  #answered(call: CallerCall, patienceMs: number): void {
    const { dialog, wish } = call;
    if (wish === "early-bye") this.#later(100, 9_000, () => dialog.bye());
    if (wish === "queue") this.#press(call, "1");
    if (wish === "number") this.#press(call, "9");
    if (wish === "news") this.#press(call, "2");
    // Nobody stays for ever; some hold meanwhile, and take the call back.
    this.#world.after(patienceMs, () => dialog.bye());
    if (this.#rng.next() < 0.35) this.#holds(dialog);
  }

  /** Hears no change, and presses again. */
  #press(call: CallerCall, digit: string): void {
    const byInfo = this.#rng.next() < 0.5;
    this.#later(1_500, 5_000, () => {
      if (!call.dialog.alive) return;
      if (byInfo) call.dialog.press(digit);
      else this.onKey(call, digit);
    });
  }

  #holds(dialog: PartyDialog): void {
    this.#later(3_000, 25_000, () => dialog.hold("sendonly"));
    this.#later(26_000, 40_000, () => dialog.hold("sendrecv"));
  }

  /** A phone rings: somebody takes the call, or refuses it, or is not there. */
  #ring(dialog: PartyDialog, refuses: number, absent: number): void {
    this.onDialog(dialog, dialog.party.name);
    const chance = this.#rng.next();
    this.#later(50, 400, () => dialog.ring());
    if (chance < refuses) return this.#later(500, 2_000, () => dialog.reject(486));
    if (chance < refuses + absent) return;
    this.#later(600, 6_000, () => dialog.accept());
    dialog.onAnswered = () => {
      if (this.#rng.next() < 0.5) this.#later(3_000, 30_000, () => dialog.bye());
      if (this.#rng.next() < 0.25) this.#holds(dialog);
    };
  }

  #wish(): Wish {
    let at = this.#rng.next() * 100;
    for (const [wish, share] of WISHES) {
      at -= share;
      if (at < 0) return wish;
    }
    return "queue";
  }

  #later(fromMs: number, toMs: number, run: () => void): void {
    this.#world.after(this.#between(fromMs, toMs), run);
  }

  #between(fromMs: number, toMs: number): number {
    return fromMs + (toMs - fromMs) * this.#rng.next();
  }
}
