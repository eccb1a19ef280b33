// Hundreds of calls at random, on a bad network, with applications that come and go, processes that take over, names that lead
// to dead targets: afterwards nothing is left, in no list of any part of the server.

import assert from "node:assert/strict";
import { test } from "node:test";
import { type Rng, seededRng } from "../../../kernel/rng.ts";
import { SimWorld } from "../../../kernel/sim/world.ts";
import { Endpoint } from "../app/endpoint.ts";
import { OPEN_ACCESS } from "../app/guard/request-gate.ts";
import { USER_AGENT_LIMITS } from "../core/limits.ts";
import { SDP } from "./peer.ts";
import { type Heard, SimulatedApplication, simulatedParts } from "./simulated.ts";
import { Zone } from "./zone.ts";

const ALICE = "10.0.0.1";
const BOB = "10.0.0.2";
const ZONE = `
  _sip._udp.hunt.example SRV 1 1 5060 dead.example
  _sip._udp.hunt.example SRV 2 1 5060 bob.example
  dead.example A 10.0.0.99
  bob.example A ${BOB}
  slow.example SILENT A
  lost.example FAIL A
`;
const A_DAY_MS = 86_400_000;

/** Lists that keep something on purpose; each has a bound of its own. */
const KEEPERS =
  /counters|message-counts|wire-trace|dns-cache|quarantine|latency|call-records|endpoint\.ts|applications\.ts/;

interface Watched {
  readonly where: string;
  readonly list: { readonly size: number };
}

/** Every Map and Set made while `make` runs, and by whom. */
function watched<T>(make: () => T): { made: T; lists: Watched[] } {
  const lists: Watched[] = [];
  const originals = { Map: globalThis.Map, Set: globalThis.Set };
  const whence = () => /\n[^\n]*(pop\/sip-server\/(?!test)[^\n:]*:\d+)/.exec(new Error().stack ?? "")?.[1] ?? "";
  globalThis.Map = class<K, V> extends originals.Map<K, V> {
    constructor(entries?: Iterable<readonly [K, V]> | null) {
      super(entries);
      lists.push({ where: whence(), list: this });
    }
  } as MapConstructor;
  globalThis.Set = class<V> extends originals.Set<V> {
    constructor(values?: Iterable<V> | null) {
      super(values);
      if (values === undefined) lists.push({ where: whence(), list: this });
    }
  } as SetConstructor;
  try {
    return { made: make(), lists };
  } finally {
    globalThis.Map = originals.Map;
    globalThis.Set = originals.Set;
  }
}

class Party {
  readonly address: string;
  readonly #world: SimWorld;
  readonly #rng: Rng;
  endpoint: Endpoint;
  lists: Watched[] = [];
  application: SimulatedApplication;
  bugs = 0;
  #generation = 0;

  constructor(world: SimWorld, rng: Rng, address: string) {
    this.#world = world;
    this.#rng = rng;
    this.address = address;
    this.endpoint = this.#build();
    this.application = this.#application();
  }

  #build(): Endpoint {
    const world = this.#world;
    const { address } = this;
    const zone = new Zone(ZONE);
    const parts = simulatedParts(world, address, {
      limits: { ...USER_AGENT_LIMITS, orphanGraceMs: 5_000 },
      access: {
        ...OPEN_ACCESS,
        passwords: () => [{ realm: undefined, host: undefined, username: "u", password: "p" }],
      },
    });
    const { made: endpoint, lists } = watched(
      () =>
        new Endpoint({
          ...parts,
          names: {
            ask: (question, answered) => {
              const answer = zone.answer(question);
              world.after(answer === undefined ? 3_000 : 50, () =>
                answered(answer ?? { kind: "failed", because: "timeout" }),
              );
            },
            stop: () => {},
          },
        }),
    );
    this.lists = lists;
    const point = { id: `udp/${address}`, name: "udp", transport: "udp", address, port: 5060, host: address } as const;
    endpoint.addTransport({
      point,
      send: (text, to, failed) => {
        if (this.#rng.next() < 0.002) world.after(1, failed);
        else world.send(address, to.address, text);
      },
      stop: async () => {},
    });
    world.attach(address, (payload, from) =>
      endpoint.onMessage(
        String(payload),
        { pointId: point.id, transport: "udp", address: from, port: 5060, connection: undefined },
        point,
      ),
    );
    return endpoint;
  }

  #application(): SimulatedApplication {
    const application = new SimulatedApplication(this.endpoint, "instance:it", `app-${++this.#generation}`, (heard) =>
      this.#react(heard),
    );
    for (const verb of ["subscribe", "refer", "notify", "message", "options", "info"]) application.say(`route|${verb}`);
    return application;
  }

  #later(run: () => void, most = 3_000): void {
    this.#world.after(this.#rng.next() * most, run);
  }

  #one<T>(of: readonly T[]): T {
    return of[Math.floor(this.#rng.next() * of.length)] as T;
  }

  call(): void {
    const uri = this.#one([
      `sip:x@${this.address === ALICE ? BOB : ALICE}`,
      `sip:x@${this.address === ALICE ? BOB : ALICE}`,
      "sip:x@hunt.example",
      "sip:x@slow.example",
      "sip:x@lost.example",
      "sip:x@10.0.0.99",
      "sip:x@[2001:db8::1]",
    ]);
    const method = this.#one(["INVITE", "INVITE", "INVITE", "INVITE", "SUBSCRIBE", "REFER", "MESSAGE", "OPTIONS"]);
    const lines = this.#lines(method);
    this.application.say(`sip||\r\n${method} ${uri} SIP/2.0\r\n${lines}\r\n${this.#rng.next() < 0.7 ? SDP : ""}`);
  }

  #lines(method: string): string {
    const lines: string[] = [];
    if (method === "SUBSCRIBE") lines.push("Event: presence", `Expires: ${this.#one([0, 30, 600, 4_000_000_000])}`);
    if (method === "NOTIFY")
      lines.push(
        `Event: ${this.#one(["presence", "refer", "nothing"])}`,
        `Subscription-State: ${this.#one(["active", "active;expires=100", "terminated;reason=gone"])}`,
      );
    if (method === "REFER") lines.push("Refer-To: <sip:y@example.com>");
    if (method === "INVITE" || method === "UPDATE") {
      if (this.#rng.next() < 0.4)
        lines.push("Supported: timer, 100rel", `Session-Expires: ${this.#one([60, 90, 200])}`);
      else if (this.#rng.next() < 0.5) lines.push("Supported: 100rel");
      if (this.#rng.next() < 0.1) lines.push("Expires: 20");
    }
    return lines.map((line) => `${line}\r\n`).join("");
  }

  #inside(dialogId: string): void {
    const method = this.#one(["INFO", "INVITE", "UPDATE", "SUBSCRIBE", "REFER", "NOTIFY", "BYE", "BYE", "BYE"]);
    const body = method === "INVITE" || method === "UPDATE" ? this.#one(["", SDP]) : "";
    this.application.say(`sip||${dialogId}\r\n${method} sip:x SIP/2.0\r\n${this.#lines(method)}\r\n${body}`);
  }

  #answer(heard: Heard, status: number, lines = "", body = ""): void {
    this.application.say(`sip|${heard.transactionId}|\r\nSIP/2.0 ${status} Said\r\n${lines}\r\n${body}`);
  }

  #react(heard: Heard): void {
    const { what, dialogId, text } = heard;
    if (heard.transactionId === "unsolicited") return;
    const status = Number(what);
    if (status > 0) {
      const cseq = /\r\nCSeq: (\d+) (\w+)/.exec(text);
      if (cseq?.[2] === "INVITE" && status > 100 && status < 200 && this.#rng.next() < 0.1)
        this.#later(() => this.application.say(`sip|${heard.transactionId}|\r\nCANCEL sip:x SIP/2.0\r\n\r\n`));
      const rseq = /\r\nRSeq: (\d+)/.exec(text)?.[1];
      if (rseq !== undefined && this.#rng.next() < 0.9)
        this.application.say(`sip||${dialogId}\r\nPRACK sip:x SIP/2.0\r\nRAck: ${rseq} ${cseq?.[1]} INVITE\r\n\r\n`);
      if (status >= 200 && status < 300 && cseq?.[2] === "INVITE" && this.#rng.next() < 0.95)
        this.#later(() => this.application.request("ACK", dialogId), 200);
      if (status >= 200 && status < 300 && dialogId !== "")
        for (let more = 0; more < 2; more++) this.#later(() => this.#inside(dialogId), 100_000);
      return;
    }
    if (what === "ACK") {
      if (this.#rng.next() < 0.5) this.#later(() => this.#inside(dialogId), 200_000);
      return;
    }
    if (what === "CANCEL" || this.#rng.next() < 0.03) return;
    if (what !== "INVITE")
      return this.#later(() => this.#answer(heard, this.#one([200, 200, 200, 200, 481, 500])), 500);
    if (!/\r\nTo:[^\r]*;tag=/.test(text)) {
      const challenge = 'Proxy-Authenticate: Digest realm="r",nonce="n"\r\n';
      if (this.#rng.next() < 0.15 && !text.includes("Proxy-Authorization")) return this.#answer(heard, 407, challenge);
      if (this.#rng.next() < 0.1) return this.#answer(heard, 422, "Min-SE: 120\r\n");
      if (this.#rng.next() < 0.1) return this.#answer(heard, 503, "Retry-After: 99999999999\r\n");
    }
    if (this.#rng.next() < 0.5) this.#later(() => this.#answer(heard, 180), 500);
    if (this.#rng.next() < 0.4) this.#later(() => this.#answer(heard, 183, "Require: 100rel\r\n", SDP), 2_000);
    this.#later(() => this.#answer(heard, this.#one([200, 200, 200, 200, 486]), "", SDP), this.#one([1_000, 10_000]));
    if (this.#rng.next() < 0.2 && dialogId !== "") this.#later(() => this.#inside(dialogId), 5_000);
  }

  /** Away for as long as it may be. */
  leave(): void {
    if (this.application.open) this.application.leave();
  }

  come(): void {
    if (!this.application.open) this.application = this.#application();
  }

  takeOver(): void {
    const record = JSON.stringify(this.endpoint.exportState());
    this.bugs += this.endpoint.counters.total("internal_errors");
    void this.endpoint.stop();
    this.endpoint = this.#build();
    const restored = this.endpoint.restoreState(JSON.parse(record));
    assert.ok(restored.ok, JSON.stringify(restored));
    this.application.open = false;
    this.application = this.#application();
  }

  /** What is left in any of its parts. */
  get left(): string[] {
    const { transactions, dialogs, timers, pendingRequests, clientCalls, proxiedRequests } = this.endpoint.facts;
    const left = Object.entries({ transactions, dialogs, timers, pendingRequests, clientCalls, proxiedRequests })
      .filter(([, count]) => count > 0)
      .map(([name, count]) => `${count} ${name}`);
    for (const { where, list } of this.lists)
      if (list.size > 0 && !KEEPERS.test(where)) left.push(`${list.size} in ${where}`);
    const bugs = this.bugs + this.endpoint.counters.total("internal_errors");
    if (bugs > 0) left.push(`${bugs} bugs: ${[...this.endpoint.counters.of("internal_errors")].join()}`);
    return left;
  }
}

const SEEDS = Number(process.env.SOAK_SEEDS ?? 12);
const FIRST = Number(process.env.SOAK_FIRST ?? 1);
const CALLS = 40;

for (let seed = FIRST; seed < FIRST + SEEDS; seed++)
  test(`calls at random leave nothing behind (seed ${seed})`, () => {
    const rng = seededRng(seed);
    const world = new SimWorld(seed, { delayMs: 20, jitterMs: 40, lossRate: 0.05, duplicateRate: 0.05 });
    const parties = [new Party(world, rng, ALICE), new Party(world, rng, BOB)];
    const any = () => parties[Math.floor(rng.next() * 2)] as Party;
    for (let at = 0; at < CALLS; at++) {
      world.after(rng.next() * 120_000, () => any().call());
      if (at % 8 === 0) world.after(rng.next() * 200_000, () => any().takeOver());
      if (at % 3 !== 0) continue;
      const party = any();
      const leavesMs = rng.next() * 200_000;
      world.after(leavesMs, () => party.leave());
      world.after(leavesMs + rng.next() * 10_000, () => party.come());
    }
    world.after(130_000, () => world.link(ALICE, BOB, { delayMs: 20, lossRate: 1 }));
    world.after(150_000, () => world.link(ALICE, BOB, { delayMs: 20 }));
    world.runFor(400_000);
    for (const party of parties) party.leave();
    world.runFor(A_DAY_MS);
    for (const party of parties) assert.deepEqual(party.left, [], `${party.address}, seed ${seed}`);
  });
