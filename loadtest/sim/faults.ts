// What goes wrong, by name. A run's faults are drawn from its seed, or said by a scenario.

import type { Rng } from "../../kernel/rng.ts";
import type { ProcessName } from "../../pop/keeper/core/keeper-words.ts";

export type HostLetter = "a" | "b";

export type FaultKind =
  /** kill -9 of one process of a service, wherever that is served. */
  | { readonly kind: "kill-process"; readonly service: HostLetter; readonly process: ProcessName }
  /** kill -9 of a host's keeper: all its processes die with it. Started again after `forMs`. */
  | { readonly kind: "kill-host"; readonly host: HostLetter; readonly forMs: number }
  /** The machine loses power: nobody says a word for it. Started again after `forMs`. */
  | { readonly kind: "power-off"; readonly host: HostLetter; readonly forMs: number }
  /** SIGSTOP, and SIGCONT after `forMs`. */
  | {
      readonly kind: "stop-process";
      readonly service: HostLetter;
      readonly process: ProcessName;
      readonly forMs: number;
    }
  /** Its processes run on, and nobody tells them that they may. */
  | { readonly kind: "stop-keeper"; readonly host: HostLetter; readonly forMs: number }
  | { readonly kind: "stop-host"; readonly host: HostLetter; readonly forMs: number }
  | { readonly kind: "etcd-away"; readonly forMs: number }
  | { readonly kind: "etcd-slow"; readonly forMs: number; readonly answerMs: number }
  | { readonly kind: "redis-away"; readonly forMs: number; readonly empty: boolean }
  | { readonly kind: "redis-silent"; readonly forMs: number }
  | { readonly kind: "redis-slow"; readonly forMs: number; readonly answerMs: number }
  /** The cable between the twins: both ways, or what one says is not heard. */
  | { readonly kind: "twins-cut"; readonly ways: "both" | "a-to-b" | "b-to-a"; readonly forMs: number }
  /** All cables of a host. */
  | { readonly kind: "host-cut"; readonly host: HostLetter; readonly forMs: number }
  /** Its cables to carriers and agents. */
  | { readonly kind: "outside-cut"; readonly host: HostLetter; readonly forMs: number }
  | { readonly kind: "region-away"; readonly forMs: number }
  | { readonly kind: "wall-clock-jump"; readonly host: HostLetter; readonly byMs: number }
  | { readonly kind: "bad-network"; readonly lossRate: number; readonly jitterMs: number; readonly forMs: number }
  /** An operator moves a service to the other host, or has it back. */
  | { readonly kind: "hand-over"; readonly service: HostLetter }
  | { readonly kind: "return-home"; readonly host: HostLetter };

export type Fault = { readonly atMs: number } & FaultKind;

const PROCESSES: readonly ProcessName[] = ["sip-server", "pop", "rtpengine", "media-worker"];

type Draw = (rng: Rng) => FaultKind;

const DRAWS: readonly (readonly [weight: number, draw: Draw])[] = [
  [24, (rng) => ({ kind: "kill-process", service: host(rng), process: oneOf(rng, PROCESSES) })],
  [14, (rng) => ({ kind: "kill-host", host: host(rng), forMs: between(rng, 1_000, 20_000) })],
  [8, (rng) => ({ kind: "power-off", host: host(rng), forMs: between(rng, 4_000, 20_000) })],
  [8, (rng) => ({ kind: "stop-process", service: host(rng), process: oneOf(rng, PROCESSES), forMs: some(rng) })],
  [4, (rng) => ({ kind: "stop-keeper", host: host(rng), forMs: some(rng) })],
  [12, (rng) => ({ kind: "stop-host", host: host(rng), forMs: some(rng) })],
  [5, (rng) => ({ kind: "etcd-away", forMs: some(rng) })],
  [3, (rng) => ({ kind: "etcd-slow", forMs: some(rng), answerMs: between(rng, 20, 500) })],
  [4, (rng) => ({ kind: "redis-away", forMs: some(rng), empty: rng.next() < 0.5 })],
  [2, (rng) => ({ kind: "redis-silent", forMs: some(rng) })],
  [3, (rng) => ({ kind: "redis-slow", forMs: some(rng), answerMs: between(rng, 5, 80) })],
  [6, (rng) => ({ kind: "twins-cut", ways: oneOf(rng, ["both", "a-to-b", "b-to-a"]), forMs: some(rng) })],
  [6, (rng) => ({ kind: "host-cut", host: host(rng), forMs: some(rng) })],
  [3, (rng) => ({ kind: "outside-cut", host: host(rng), forMs: between(rng, 100, 3_000) })],
  [3, (rng) => ({ kind: "region-away", forMs: some(rng) })],
  [4, (rng) => ({ kind: "wall-clock-jump", host: host(rng), byMs: between(rng, -30_000, 30_000) })],
  [5, badNetwork],
  [6, (rng) => ({ kind: "hand-over", service: host(rng) })],
  [4, (rng) => ({ kind: "return-home", host: host(rng) })],
];
const WEIGHT = DRAWS.reduce((sum, [weight]) => sum + weight, 0);

/** Two to seven of them, between `fromMs` and `untilMs`; some come close together. */
export function drawFaults(rng: Rng, fromMs: number, untilMs: number, perMinute = 5): readonly Fault[] {
  const count = Math.max(2, Math.round(((untilMs - fromMs) / 60_000) * perMinute * (0.5 + rng.next())));
  const faults: Fault[] = [];
  let atMs = 0;
  for (let at = 0; at < count; at++) {
    const isClose = at > 0 && rng.next() < 0.35;
    atMs = isClose ? Math.min(untilMs, atMs + between(rng, 1, 2_500)) : between(rng, fromMs, untilMs);
    faults.push({ atMs, ...draw(rng) });
  }
  return faults.sort((one, other) => one.atMs - other.atMs);
}

export const endOf = (fault: Fault): number => fault.atMs + ("forMs" in fault ? fault.forMs : 0);

export function showFault({ atMs, ...fault }: Fault): string {
  const rest = Object.entries(fault)
    .filter(([name]) => name !== "kind")
    .map(([name, value]) => `${name}=${value}`);
  return `${(atMs / 1_000).toFixed(3)} s ${fault.kind} ${rest.join(" ")}`;
}

function draw(rng: Rng): FaultKind {
  let at = rng.next() * WEIGHT;
  for (const [weight, make] of DRAWS) {
    at -= weight;
    if (at < 0) return make(rng);
  }
  return { kind: "kill-process", service: "a", process: "pop" };
}

function badNetwork(rng: Rng): FaultKind {
  const lossRate = Math.round(rng.next() * 30) / 100;
  return { kind: "bad-network", lossRate, jitterMs: between(rng, 0, 300), forMs: some(rng) };
}

const host = (rng: Rng): HostLetter => (rng.next() < 0.5 ? "a" : "b");
const between = (rng: Rng, from: number, to: number): number => Math.round(from + (to - from) * rng.next());
/** Mostly short: around what leases and time-outs are. */
const some = (rng: Rng): number => (rng.next() < 0.6 ? between(rng, 50, 3_000) : between(rng, 3_000, 12_000));

function oneOf<T>(rng: Rng, choices: readonly [T, ...T[]] | readonly T[]): T {
  return choices[Math.floor(rng.next() * choices.length)] as T;
}
