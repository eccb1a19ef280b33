// One sip-server in simulated time: the real endpoint, a datagram socket, and the port that applications connect to.

import { EventEmitter } from "node:events";
import { Socket } from "node:net";
import type { Log } from "../../kernel/log.ts";
import { fail } from "../../kernel/outcome.ts";
import type { Ownership } from "../../kernel/ownership.ts";
import type { SimProcess } from "../../kernel/sim/process.ts";
import type { CheckpointStore } from "../../pop/checkpoint/boundary/checkpoint-store.ts";
import { Endpoint, type EndpointParts } from "../../pop/sip-server/app/endpoint.ts";
import { heldAlarm } from "../../pop/sip-server/app/shell/timer-wheel.ts";
import type { ApplicationLink } from "../../pop/sip-server/boundary/application-link.ts";
import {
  ENDPOINT_LIMITS,
  HANDLER_LIMITS,
  NEXT_HOP_LIMITS,
  PROXY_LIMITS,
  USER_AGENT_LIMITS,
} from "../../pop/sip-server/core/limits.ts";
import { PARSE_LIMITS } from "../../pop/sip-server/core/message/parse.ts";
import { MAGIC_COOKIE } from "../../pop/sip-server/core/message/via.ts";
import type { SipNetwork } from "./sip-network.ts";

/** Between two processes of a machine. */
const LOCAL_MS = 0.05;

/** Simulated time for an endpoint. Names lead nowhere; ids are drawn from the seed. */
export function partsIn(process: SimProcess, log: Log, more: Partial<EndpointParts["settings"]>): EndpointParts {
  const { world } = process.machine;
  const hex = () =>
    Math.floor(world.rng.next() * 2 ** 32)
      .toString(16)
      .padStart(8, "0");
  let ring: { cancel(): void } | undefined;
  return {
    settings: {
      secret: "s",
      t1Ms: 500,
      trustedSources: "told",
      trace: { callIdsMax: 0, linesPerCallMax: 1 },
      parse: PARSE_LIMITS,
      ...ENDPOINT_LIMITS,
      limits: USER_AGENT_LIMITS,
      proxy: PROXY_LIMITS,
      handlers: [],
      handlerLimits: HANDLER_LIMITS,
      records: false,
      sessionTimer: { intervalSeconds: 90, minSeSeconds: 90, refresher: "us" },
      ...more,
    },
    clock: process.machine,
    alarm: {
      set(afterMs, rings) {
        ring?.cancel();
        ring = process.after(afterMs, rings);
      },
      clear() {
        ring?.cancel();
      },
    },
    ids: {
      uuid: () => hex(),
      tag: () => `t${hex()}`,
      branch: () => `${MAGIC_COOKIE}${hex()}`,
      callId: () => `out-${hex()}`,
      chance: () => world.rng.next(),
    },
    log,
    names: { ask: (_question, answered) => answered({ kind: "none", ttlSeconds: 60 }), stop: () => {} },
    nextHops: NEXT_HOP_LIMITS,
    reach: {
      dial: () => {
        throw new Error("no request handler is configured");
      },
      ask: async () => fail({ code: "handler.away", detail: "" }),
      stop: () => {},
    },
  };
}

const udpPoint = (address: string) =>
  ({
    id: `udp/${address}:5060`,
    name: "carriers",
    transport: "udp",
    address,
    port: 5060,
    host: address,
  }) as const;

export interface EndpointStart {
  readonly process: SimProcess;
  readonly network: SipNetwork;
  readonly address: string;
  readonly log: Log;
  readonly ownership: Ownership;
  readonly store: CheckpointStore;
  /** How often everything is said; more than once for a proof. */
  readonly says: number;
}

/** As start.ts does it: the book is read and taken up before anything is opened. */
export async function startEndpoint({
  process,
  network,
  address,
  log,
  ownership,
  store,
  says,
}: EndpointStart): Promise<{
  readonly endpoint: Endpoint;
  handOver(): Promise<void>;
}> {
  const parts = partsIn(process, log, {});
  const alarm = heldAlarm(parts.alarm, parts.clock);
  const endpoint = new Endpoint({ ...parts, alarm, checkpoints: store, ownership });
  const point = udpPoint(address);
  endpoint.announce(point);
  await takeUp(process, store, endpoint, log);
  endpoint.addTransport({
    point,
    send: (text, to) => {
      for (let time = 0; time < says; time++) network.send({ by: process, from: address, to: to.address, text });
    },
    stop: async () => {},
  });
  network.open(process, address, (text, from) => {
    const flow = { pointId: point.id, transport: "udp", address: from, port: 5060, connection: undefined } as const;
    if (endpoint.admits(from, Buffer.from(text))) endpoint.onMessage(text, flow, point);
  });
  alarm.open();
  return {
    endpoint,
    async handOver() {
      endpoint.silence();
      await store.flush();
    },
  };
}

async function takeUp(process: SimProcess, store: CheckpointStore, endpoint: Endpoint, log: Log): Promise<void> {
  const book = await store.load();
  if (book.ok) {
    endpoint.openBook(book.value, () => {});
    return;
  }
  log.error("calls.not-restored", { ...book.failure });
  if (book.failure.code === "store.away") void giveUp(process, store, endpoint);
}

async function giveUp(process: SimProcess, store: CheckpointStore, endpoint: Endpoint): Promise<void> {
  let book = await store.load();
  while (!book.ok && book.failure.code === "store.away" && !endpoint.isStopped) {
    await new Promise<void>((resolve) => void process.after(LOAD_AGAIN_MS, resolve));
    book = await store.load();
  }
  if (!book.ok || endpoint.isStopped) return;
  for (const callId of book.value.keys()) if (!endpoint.knows(callId)) store.remove(callId);
}

const LOAD_AGAIN_MS = 1_000;

/** The application's end of a connection: as much of a socket as drachtio-srf uses. */
export class SimSocket extends Socket {
  onWrite: (bytes: string) => void = () => {};
  onEnd: () => void = () => {};
  isClosed = false;

  // A stream's own `on("data")` starts to read: there is nothing to read from.
  override on(event: string, listener: (...given: never[]) => void): this {
    EventEmitter.prototype.on.call(this, event, listener as (...given: unknown[]) => void);
    return this;
  }

  override write(chunk: unknown, done?: unknown): boolean {
    if (!this.isClosed) this.onWrite(String(chunk));
    if (typeof done === "function") done();
    return true;
  }

  override end(): this {
    this.onEnd();
    return this;
  }

  override destroy(): this {
    this.onEnd();
    return this;
  }

  override setNoDelay(): this {
    return this;
  }

  override setKeepAlive(): this {
    return this;
  }
}

/** Connects `pop` to the endpoint of `server`; `server` undefined or dead: refused. */
export function connectApplication(
  pop: SimProcess,
  server: { readonly process: SimProcess; readonly endpoint: Endpoint } | undefined,
): SimSocket {
  const socket = new SimSocket();
  const { world } = pop.machine;
  if (server?.process.alive !== true) {
    pop.after(LOCAL_MS, () => {
      socket.isClosed = true;
      socket.emit("error", Object.assign(new Error("connect ECONNREFUSED"), { code: "ECONNREFUSED" }));
      socket.emit("close");
    });
    return socket;
  }
  const { process, endpoint } = server;
  let isOpen = true;
  const closeHere = () => {
    if (socket.isClosed) return;
    socket.isClosed = true;
    socket.emit("close");
  };
  /** The bytes that are under way still arrive before the end does. */
  const close = (by: "pop" | "server") => {
    if (!isOpen) return;
    isOpen = false;
    if (by === "server" || pop.alive) world.after(LOCAL_MS, () => pop.take(closeHere));
    if (process.alive) world.after(LOCAL_MS, () => process.take(() => endpoint.onClose(link)));
  };
  const link: ApplicationLink = {
    id: `app-${pop.name}`,
    address: "127.0.0.1",
    get open() {
      return isOpen;
    },
    busy: false,
    send(payload) {
      if (!isOpen) return;
      const frame = Buffer.from(`${payload.length}#${payload}`, "latin1");
      world.after(LOCAL_MS, () =>
        pop.take(() => {
          if (!socket.isClosed) socket.emit("data", frame);
        }),
      );
    },
    close: () => close("server"),
  };
  socket.onWrite = (bytes) => {
    if (!isOpen) return;
    world.after(LOCAL_MS, () =>
      process.take(() => {
        for (let rest = bytes; rest !== ""; ) {
          const at = rest.indexOf("#");
          const end = at + 1 + Number(rest.slice(0, at));
          endpoint.onPayload(link, rest.slice(at + 1, end));
          rest = rest.slice(end);
        }
      }),
    );
  };
  socket.onEnd = () => close("pop");
  pop.whenDead(() => close("pop"));
  process.whenDead(() => close("server"));
  world.after(LOCAL_MS, () => process.take(() => endpoint.onOpen(link)));
  world.after(2 * LOCAL_MS, () =>
    pop.take(() => {
      if (isOpen) socket.emit("connect");
    }),
  );
  return socket;
}
