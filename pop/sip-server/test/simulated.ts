// Whole servers and their applications in simulated time, on a network that loses, delays and doubles datagrams.

import type { SetAlarm } from "../../../kernel/alarm.ts";
import { silentLog } from "../../../kernel/log.ts";
import { fail } from "../../../kernel/outcome.ts";
import { type Ownership, soleOwner } from "../../../kernel/ownership.ts";
import type { SimWorld } from "../../../kernel/sim/world.ts";
import { type MemoryBook, MemoryCheckpointStore } from "../../checkpoint/adapters/memory/checkpoint-store.ts";
import { type BookRestored, Endpoint, type EndpointParts, type EndpointSettings } from "../app/endpoint.ts";
import type { ApplicationLink } from "../boundary/application-link.ts";
import type { RequestHandlers } from "../boundary/request-handlers.ts";
import { ENDPOINT_LIMITS, HANDLER_LIMITS, NEXT_HOP_LIMITS, PROXY_LIMITS, USER_AGENT_LIMITS } from "../core/limits.ts";
import { PARSE_LIMITS } from "../core/message/parse.ts";
import { MAGIC_COOKIE } from "../core/message/via.ts";
import { SESSION_TIMER_POLICY } from "../core/session/negotiation.ts";

/** Alarms of a simulated world. */
export const alarmsOf =
  (world: SimWorld): SetAlarm =>
  (afterMs, run) => {
    let isOff = false;
    world.after(afterMs, () => {
      if (!isOff) run();
    });
    return {
      cancel: () => {
        isOff = true;
      },
    };
  };

/** Nobody listens for requests here. */
const NO_HANDLERS: RequestHandlers = {
  dial: () => {
    throw new Error("no request handler is configured");
  },
  ask: async () => fail({ code: "handler.away", detail: "" }),
  stop: () => {},
};

/** What an endpoint needs, in simulated time; no name leads anywhere. */
export function simulatedParts(
  world: SimWorld,
  address: string,
  settings: Partial<EndpointSettings> = {},
): EndpointParts {
  let sequence = 0;
  let alarms = 0;
  const chance = () => Math.floor(world.rng.next() * 2 ** 32).toString(16);
  const id = (prefix: string) => `${prefix}${address}-${++sequence}-${chance()}`;
  return {
    settings: {
      secret: "s",
      t1Ms: 500,
      trustedSources: "any",
      trace: { callIdsMax: 100, linesPerCallMax: 200 },
      parse: PARSE_LIMITS,
      ...ENDPOINT_LIMITS,
      limits: USER_AGENT_LIMITS,
      proxy: PROXY_LIMITS,
      handlers: [],
      handlerLimits: HANDLER_LIMITS,
      records: false,
      sessionTimer: SESSION_TIMER_POLICY,
      ...settings,
    },
    clock: world,
    alarm: {
      set(afterMs, ring) {
        const mine = ++alarms;
        world.after(afterMs, () => {
          if (mine === alarms) ring();
        });
      },
      clear() {
        alarms++;
      },
    },
    ids: {
      uuid: () => id(""),
      tag: () => id("t"),
      branch: () => id(MAGIC_COOKIE),
      callId: () => id("call-"),
      chance: () => world.rng.next(),
    },
    log: silentLog,
    names: { ask: (_question, answered) => answered({ kind: "none", ttlSeconds: 60 }), stop: () => {} },
    nextHops: NEXT_HOP_LIMITS,
    reach: NO_HANDLERS,
  };
}

/** Where a host's calls are written down, in simulated time. */
export interface SimulatedCheckpoints {
  readonly book: MemoryBook;
  /** Until a group is written. */
  readonly answerMs: number;
}

/** One server at an address, with one application that reacts as the test says. */
export class SimulatedHost {
  endpoint: Endpoint;
  /** The latest one to connect. */
  application: SimulatedApplication;
  readonly address: string;
  readonly #world: SimWorld;
  readonly #settings: Partial<EndpointSettings>;
  readonly #checkpoints: SimulatedCheckpoints | undefined;
  /** Of the living owner. */
  store: MemoryCheckpointStore | undefined;
  ownership: Ownership = soleOwner;
  #epoch = 0;
  #isAlive = true;

  constructor(
    world: SimWorld,
    address: string,
    settings: Partial<EndpointSettings> = {},
    tags = "",
    checkpoints?: SimulatedCheckpoints,
  ) {
    this.address = address;
    this.#world = world;
    this.#settings = settings;
    this.#checkpoints = checkpoints;
    this.endpoint = this.#build();
    this.application = new SimulatedApplication(this.endpoint, tags);
  }

  /** Another process, at the same address, goes on with what this one has written down; the application connects to it. */
  takeOver(): void {
    const record = JSON.stringify(this.endpoint.exportState());
    void this.endpoint.stop();
    this.endpoint = this.#build();
    const restored = this.endpoint.restoreState(JSON.parse(record));
    if (!restored.ok) throw new Error(restored.failure.reason);
    this.application.move(this.endpoint);
  }

  /** Without a word, at this moment. @param landed what was on its way to the store arrives there */
  die(landed = false): void {
    this.#isAlive = false;
    void this.endpoint.stop();
    this.store?.cut(landed);
    this.application.isCutOff = true;
  }

  /** Another owner goes on with what was written. @param lazily a call at a time, as a server does whose sockets are open */
  async rise(lazily = false): Promise<BookRestored> {
    this.#isAlive = true;
    this.#epoch++;
    this.endpoint = this.#build();
    const book = await this.store?.load();
    if (book === undefined || !book.ok) throw new Error("no book");
    let restored: BookRestored = { calls: 0, dialogs: 0, transactions: 0, unusable: 0 };
    if (lazily) this.endpoint.openBook(book.value, () => {});
    else restored = this.endpoint.restoreBook(book.value);
    this.application.move(this.endpoint);
    return restored;
  }

  #build(): Endpoint {
    const { address } = this;
    const world = this.#world;
    const epoch = this.#epoch;
    this.store =
      this.#checkpoints &&
      new MemoryCheckpointStore({
        book: this.#checkpoints.book,
        epoch,
        time: { clock: world, setAlarm: alarmsOf(world), answerMs: this.#checkpoints.answerMs },
      });
    const isMine = () => this.#isAlive && this.#epoch === epoch;
    const endpoint = new Endpoint({
      ...simulatedParts(world, address, this.#settings),
      ownership: { epoch, held: () => isMine() && this.ownership.held() },
      checkpoints: this.store,
    });
    const point = {
      id: `udp/${address}:5060`,
      name: "udp",
      transport: "udp",
      address,
      port: 5060,
      host: address,
    } as const;
    endpoint.addTransport({
      point,
      send: (text, to) => world.send(address, to.address, text),
      stop: async () => {},
    });
    world.attach(address, (payload, from) => {
      const flow = { pointId: point.id, transport: "udp", address: from, port: 5060, connection: undefined } as const;
      endpoint.onMessage(String(payload), flow, point);
    });
    return endpoint;
  }

  /** Nothing is left over: no transaction, dialog, timer or request. */
  get isIdle(): boolean {
    const { transactions, dialogs, timers, pendingRequests, clientCalls, proxiedRequests } = this.endpoint.facts;
    return transactions + dialogs + timers + pendingRequests + clientCalls + proxiedRequests === 0;
  }
}

export interface Heard {
  /** "INVITE", or "200". */
  readonly what: string;
  readonly transactionId: string;
  readonly dialogId: string;
  readonly text: string;
}

/** Speaks the drachtio protocol, frame by frame, as drachtio-srf would. */
export class SimulatedApplication implements ApplicationLink {
  readonly id: string;
  readonly address = "127.0.0.1";
  open = true;
  readonly busy = false;
  /** Its server is dead: nothing gets there. */
  isCutOff = false;
  readonly heard: Heard[] = [];
  /** What the server said to its commands, whole frames. */
  readonly replies: string[] = [];
  #endpoint: Endpoint;
  readonly #tags: string;
  #sequence = 0;
  #inviteId: string | undefined;
  onHeard: (heard: Heard) => void;

  constructor(endpoint: Endpoint, tags = "", id = "app", onHeard: (heard: Heard) => void = () => {}) {
    this.#endpoint = endpoint;
    this.#tags = tags;
    this.id = id;
    this.onHeard = onHeard;
    this.move(endpoint);
  }

  /** Connects, and says hello. */
  move(endpoint: Endpoint): void {
    this.#endpoint = endpoint;
    this.isCutOff = false;
    endpoint.onOpen(this);
    this.say(`authenticate|s|${this.#tags}`);
    this.say("route|invite");
  }

  /** Its connection breaks. */
  leave(): void {
    this.open = false;
    this.#endpoint.onClose(this);
  }

  send(payload: string): void {
    const metaEnd = payload.indexOf("\r\n");
    const meta = payload.slice(0, metaEnd).split("|");
    const text = payload.slice(metaEnd + 2);
    if (meta[1] === "response" && text.startsWith("INVITE ")) this.#inviteId ??= meta[10];
    if (meta[1] === "response") this.replies.push(payload);
    if (meta[1] !== "sip") return;
    const [first = "", second = ""] = text.split(" ");
    const heard = {
      what: first.startsWith("SIP/") ? second : first,
      transactionId: meta[8] ?? "",
      dialogId: meta[9] ?? "",
      text,
    };
    this.heard.push(heard);
    this.onHeard(heard);
  }

  close(): void {}

  say(command: string): void {
    if (!this.isCutOff) this.#endpoint.onPayload(this, `${++this.#sequence}|${command}`);
  }

  respond(to: Heard, status: number): void {
    this.say(`sip|${to.transactionId}|\r\nSIP/2.0 ${status} Said\r\n\r\n`);
  }

  request(method: string, dialogId: string, uri = "sip:placeholder"): void {
    this.say(`sip||${dialogId}\r\n${method} ${uri} SIP/2.0\r\n\r\n`);
  }

  get hasInvited(): boolean {
    return this.#inviteId !== undefined;
  }

  /** Gives up the first INVITE it sent; refused by the server when that one has its answer. */
  cancel(): void {
    if (this.#inviteId === undefined) throw new Error("no INVITE was sent");
    this.say(`sip|${this.#inviteId}|\r\nCANCEL sip:placeholder SIP/2.0\r\n\r\n`);
  }

  count(what: string): number {
    return this.heard.filter((heard) => heard.what === what).length;
  }
}
