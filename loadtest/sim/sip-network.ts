// Datagrams between parties outside and service addresses. A service address belongs to one host at a time; what is sent
// to it reaches the process that has it open there, or nobody.

import type { SimProcess } from "../../kernel/sim/process.ts";
import type { LinkFaults, SimWorld } from "../../kernel/sim/world.ts";
import type { History } from "./history.ts";

/** As a switch sees the hosts: which have their cables, and who announces which address. */
export interface Sent {
  /** Who sent it; undefined: somebody outside. */
  readonly by: SimProcess | undefined;
  readonly from: string;
  readonly to: string;
  readonly text: string;
}

interface Socket {
  readonly process: SimProcess;
  receive(text: string, from: string): void;
}

export class SipNetwork {
  readonly world: SimWorld;
  readonly #history: History;
  /** Service address → the name of the machine that has it. */
  readonly #homes = new Map<string, string>();
  readonly #sockets = new Map<string, Socket>();
  readonly #cut = new Set<string>();
  readonly #names = new Map<string, string>();
  /** Looks at every message that leaves anybody, before the network has its way with it. */
  onSent: (sent: Sent) => void = () => {};
  /** Looks at every message that reaches a process of a service. */
  onServiceReached: (text: string) => void = () => {};

  constructor(world: SimWorld, history: History) {
    this.world = world;
    this.#history = history;
  }

  /** Someone outside. */
  party(address: string, name: string, receive: (text: string, from: string) => void): void {
    this.#names.set(address, name);
    this.world.attach(address, (payload, from) => {
      const text = String(payload);
      this.#history.rung(this.nameOf(from), labelOf(text), name, false);
      receive(text, from);
    });
  }

  service(address: string, name: string): void {
    this.#names.set(address, name);
    this.world.attach(address, (payload, from) => {
      const text = String(payload);
      const home = this.#homes.get(address);
      const socket = home === undefined || this.#cut.has(home) ? undefined : this.#sockets.get(`${home} ${address}`);
      const reached = socket?.process.alive === true;
      const at = home === undefined ? name : `${name}@${home}`;
      this.#history.rung(this.nameOf(from), labelOf(text), at, !reached);
      if (!reached) return;
      this.onServiceReached(text);
      socket?.process.take(() => socket.receive(text, from));
    });
  }

  nameOf(address: string): string {
    return this.#names.get(address) ?? address;
  }

  /** The address is that machine's from now on. */
  move(address: string, machine: string): void {
    this.#homes.set(address, machine);
  }

  homeOf(address: string): string | undefined {
    return this.#homes.get(address);
  }

  /** Of the named machine all cables to the outside are out. */
  cut(machine: string, isCut: boolean): void {
    if (isCut) this.#cut.add(machine);
    else this.#cut.delete(machine);
  }

  isCut(machine: string): boolean {
    return this.#cut.has(machine);
  }

  /** The address is open in `process`, until it dies. @returns false: another process of the machine has it */
  open(process: SimProcess, address: string, receive: Socket["receive"]): boolean {
    const key = `${process.machine.name} ${address}`;
    if (this.#sockets.get(key)?.process.alive === true) return false;
    const socket = { process, receive };
    this.#sockets.set(key, socket);
    process.whenDead(() => {
      if (this.#sockets.get(key) === socket) this.#sockets.delete(key);
    });
    return true;
  }

  send(sent: Sent): void {
    const { by, from, to, text } = sent;
    if (by !== undefined && !by.alive) return;
    this.onSent(sent);
    const machine = by?.machine.name;
    // Strict reverse path: what claims an address that lives elsewhere does not get past the first router.
    if (machine !== undefined && (this.#cut.has(machine) || this.#homes.get(from) !== machine)) {
      this.#history.rung(`${this.nameOf(from)}@${machine}`, labelOf(text), this.nameOf(to), true);
      return;
    }
    this.world.send(from, to, text);
  }

  /** Both ways. */
  link(one: string, other: string, faults: LinkFaults): void {
    this.world.link(one, other, faults);
    this.world.link(other, one, faults);
  }
}

/** "INVITE 1 k7", "200 1 INVITE k7": what, which CSeq, which call. */
export function labelOf(text: string): string {
  const first = text.slice(0, text.indexOf("\r\n"));
  const callId = /\r\nCall-ID: *([^\r]*)/i.exec(text)?.[1] ?? "?";
  const cseq = /\r\nCSeq: *(\d+) +(\w+)/i.exec(text);
  const call = callId.length > 24 ? `${callId.slice(0, 20)}…` : callId;
  if (first.startsWith("SIP/2.0 ")) return `${first.slice(8, 11)} ${cseq?.[1] ?? "?"} ${cseq?.[2] ?? "?"} ${call}`;
  return `${first.slice(0, first.indexOf(" "))} ${cseq?.[1] ?? "?"} ${call}`;
}
