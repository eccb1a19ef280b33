// Owns every transaction: finds it, feeds it one input at a time, performs its effects, forgets it when it has ended. RFC 3261 §17.

import type { Step } from "../../../../kernel/step.ts";
import { type Flow, isReliable, isWebSocket } from "../../core/flow.ts";
import { responseTo } from "../../core/message/build.ts";
import type { SipMessage, SipRequest, SipResponse } from "../../core/message/message.ts";
import { serialise } from "../../core/message/serialise.ts";
import {
  type ClientUserRecord,
  freeze,
  type TimerRecord,
  type TransactionRecord,
  thaw,
} from "../../core/record/record.ts";
import type { ClientEffect, ServerEffect } from "../../core/transaction/effect.ts";
import * as inviteClient from "../../core/transaction/invite-client.ts";
import * as inviteServer from "../../core/transaction/invite-server.ts";
import { clientKey, mergeKey, serverKey } from "../../core/transaction/key.ts";
import * as nonInviteClient from "../../core/transaction/non-invite-client.ts";
import * as nonInviteServer from "../../core/transaction/non-invite-server.ts";
import type { Timing, TransactionContext } from "../../core/transaction/timing.ts";
import { NamedTimers, type TimerOwner, type TimerWheel } from "../shell/timer-wheel.ts";

export type Failed = "timeout" | "transport";

export interface ClientUser {
  /** Who that is, for another process to make it again; undefined: nobody. */
  record?(unixMs: number): ClientUserRecord | undefined;
  onResponse(response: SipResponse, from: Flow): void;
  onFailed(because: Failed): void;
}

export interface ServerUser {
  /** An ACK that came on the INVITE's own branch although it was answered with 2xx. */
  onAck(ack: SipRequest): void;
  onFailed(because: Failed): void;
}

export interface TransactionShell {
  readonly timing: Timing;
  readonly wheel: TimerWheel;
  readonly transactionsMax: number;
  /** `failed` is called at most once, later, when the transport could not deliver. */
  send(message: SipMessage, flow: Flow, again: boolean, failed: () => void): void;
  /** Another way for a response that could not be delivered; `failed` as above. */
  elsewhere(response: SipResponse, tried: Flow, failed: () => void): void;
}

interface ClientMachine<State> {
  step(tx: TransactionContext, state: State, input: ClientInput): Step<State, ClientEffect<string>>;
}
type ClientInput =
  | { readonly kind: "response"; readonly response: SipResponse }
  | { readonly kind: "timer"; readonly timer: never }
  | { readonly kind: "transport-failed" }
  | { readonly kind: "hush" };

interface ServerMachine<State> {
  step(tx: TransactionContext, state: State, input: ServerInput): Step<State, ServerEffect<string>>;
}
type ServerInput =
  | { readonly kind: "request" }
  | { readonly kind: "ack"; readonly ack: SipRequest }
  | { readonly kind: "respond"; readonly response: SipResponse }
  | { readonly kind: "timer"; readonly timer: never }
  | { readonly kind: "transport-failed" };

export interface ClientTransaction {
  readonly request: SipRequest;
  readonly flow: Flow;
  readonly state: string;
  /** Sends no more copies of an INVITE; what comes is still heard. */
  hush(): void;
  /** Ends it without a word. For an INVITE whose CANCEL was never answered (RFC 3261 §9.1). */
  abandon(): void;
}

export interface ServerTransaction {
  readonly request: SipRequest;
  /** Where responses go. */
  readonly flow: Flow;
  readonly state: string;
  /** A copy of its request, or an ACK to it. */
  receive(request: SipRequest): void;
  respond(response: SipResponse): void;
}

/** All requests under way together may have so many bytes for each transaction there may be. */
const REQUEST_BYTES_MEAN_MAX = 4_096;

export class TransactionLayer {
  readonly shell: TransactionShell;
  readonly #clients = new Map<string, Client<{ readonly name: string }>>();
  readonly #servers = new Map<string, Server<{ readonly name: string }>>();
  /** Client transactions over streams, by the connection or the peer they were sent to. */
  readonly #byRoad = new Map<string, Set<string>>();
  /** Requests outside dialogs under way, to see a second copy that came by another path: §8.2.2.2. */
  readonly #merge = new Map<string, string>();
  /** Of the server transactions. */
  #requestBytes = 0;

  constructor(shell: TransactionShell) {
    this.shell = shell;
  }

  get size(): number {
    return this.#clients.size + this.#servers.size;
  }

  /** Transactions by kind and state. Looks at each of them. */
  census(): ReadonlyMap<string, number> {
    const counts = new Map<string, number>();
    const note = (side: "client" | "server", { request, state }: { request: SipRequest; state: string }) => {
      const key = `${request.method === "INVITE" ? "invite" : "non-invite"}-${side} ${state}`;
      counts.set(key, (counts.get(key) ?? 0) + 1);
    };
    for (const client of this.#clients.values()) note("client", client);
    for (const server of this.#servers.values()) note("server", server);
    return counts;
  }

  /** Also when they are few and large: while one lives, its request does. */
  get full(): boolean {
    const { transactionsMax } = this.shell;
    return this.size >= transactionsMax || this.#requestBytes >= transactionsMax * REQUEST_BYTES_MEAN_MAX;
  }

  startClient(request: SipRequest, flow: Flow, user: ClientUser): ClientTransaction {
    const key = clientKey(request);
    const context: TransactionContext = { timing: this.shell.timing, reliable: isReliable(flow) };
    const road = context.reliable ? roadOf(flow) : undefined;
    const forget = () => {
      this.#clients.delete(key);
      if (road !== undefined) this.#leave(road, key);
    };
    if (road !== undefined) {
      const travellers = this.#byRoad.get(road);
      if (travellers === undefined) this.#byRoad.set(road, new Set([key]));
      else travellers.add(key);
    }
    if (request.method === "INVITE") {
      const client = new Client(inviteClient, context, this.shell, request, flow, user, forget);
      this.#clients.set(key, client);
      client.begin(inviteClient.start(context, request));
      return client;
    }
    const client = new Client(nonInviteClient, context, this.shell, request, flow, user, forget);
    this.#clients.set(key, client);
    client.begin(nonInviteClient.start(context, request));
    return client;
  }

  #leave(road: string, key: string): void {
    const travellers = this.#byRoad.get(road);
    travellers?.delete(key);
    if (travellers?.size === 0) this.#byRoad.delete(road);
  }

  /** A connection has closed: what was asked over it and has not been answered has failed. RFC 3261 §17.1.4, §18.4. */
  onConnectionLost(flow: Flow): void {
    for (const road of new Set([roadOf(flow), roadOf({ ...flow, connection: undefined })]))
      for (const key of [...(this.#byRoad.get(road) ?? [])]) this.#clients.get(key)?.lose();
  }

  startServer(request: SipRequest, flow: Flow, user: ServerUser): ServerTransaction {
    const key = serverKey(request);
    const merge = request.toTag === "" ? mergeKey(request) : undefined;
    // The first one's: a merged copy has its 482, and goes sooner than the call.
    if (merge !== undefined && !this.#merge.has(merge)) this.#merge.set(merge, key);
    const context: TransactionContext = { timing: this.shell.timing, reliable: isReliable(flow) };
    const bytes = request.sizeBytes;
    this.#requestBytes += bytes;
    const forget = () => {
      this.#requestBytes -= bytes;
      this.#servers.delete(key);
      if (merge !== undefined && this.#merge.get(merge) === key) this.#merge.delete(merge);
    };
    if (request.method === "INVITE") {
      const server = new Server(inviteServer, context, this.shell, request, flow, user, forget);
      this.#servers.set(key, server);
      server.begin(inviteServer.start(responseTo(request, { status: 100, toTag: "" })));
      return server;
    }
    const server = new Server(nonInviteServer, context, this.shell, request, flow, user, forget);
    this.#servers.set(key, server);
    server.begin(nonInviteServer.start());
    return server;
  }

  /** All of them as data, with deadlines as wall-clock time. */
  records(unixMs: number, isWanted: (request: SipRequest) => boolean): TransactionRecord[] {
    const records: TransactionRecord[] = [];
    for (const client of this.#clients.values())
      if (isWanted(client.request))
        records.push({ side: "client", ...client.record(unixMs), user: userRecordOf(client, unixMs) });
    for (const server of this.#servers.values())
      if (isWanted(server.request)) records.push({ side: "server", ...server.record(unixMs) });
    return records;
  }

  /** Takes a transaction up where a record left it. Nothing is sent but what is due. */
  resumeClient(record: TransactionRecord, request: SipRequest, user: ClientUser, unixMs: number): ClientTransaction {
    const { flow } = record;
    const key = clientKey(request);
    const context: TransactionContext = { timing: this.shell.timing, reliable: isReliable(flow) };
    const forget = () => this.#clients.delete(key);
    const machine = request.method === "INVITE" ? inviteClient : nonInviteClient;
    const client = new Client<{ readonly name: string }>(
      machine as unknown as ClientMachine<{ readonly name: string }>,
      context,
      this.shell,
      request,
      flow,
      user,
      forget,
    );
    this.#clients.set(key, client);
    client.resume(thaw(record.state, request), record.timers, unixMs);
    return client;
  }

  resumeServer(record: TransactionRecord, request: SipRequest, user: ServerUser, unixMs: number): ServerTransaction {
    const { flow } = record;
    const key = serverKey(request);
    const merge = request.toTag === "" ? mergeKey(request) : undefined;
    if (merge !== undefined) this.#merge.set(merge, key);
    const context: TransactionContext = { timing: this.shell.timing, reliable: isReliable(flow) };
    const bytes = request.sizeBytes;
    this.#requestBytes += bytes;
    const forget = () => {
      this.#requestBytes -= bytes;
      this.#servers.delete(key);
      if (merge !== undefined && this.#merge.get(merge) === key) this.#merge.delete(merge);
    };
    const machine = request.method === "INVITE" ? inviteServer : nonInviteServer;
    const server = new Server<{ readonly name: string }>(
      machine as unknown as ServerMachine<{ readonly name: string }>,
      context,
      this.shell,
      request,
      flow,
      user,
      forget,
    );
    this.#servers.set(key, server);
    server.resume(thaw(record.state, request), record.timers, unixMs);
    return server;
  }

  /** The transaction of which this is a copy, or the ACK; undefined: the request is for the user agent. */
  find(request: SipRequest): ServerTransaction | undefined {
    return this.#servers.get(serverKey(request));
  }

  /** The INVITE that this CANCEL means: §9.2. */
  inviteOf(cancel: SipRequest): ServerTransaction | undefined {
    return this.#servers.get(serverKey(cancel, "INVITE"));
  }

  /** The same request reached us by another path and is being worked on: answer 482. §8.2.2.2. */
  isMerged(request: SipRequest): boolean {
    const key = this.#merge.get(mergeKey(request));
    return key !== undefined && key !== serverKey(request);
  }

  /** False: nobody asked for it. */
  receiveResponse(response: SipResponse, from: Flow): boolean {
    const client = this.#clients.get(clientKey(response));
    if (client === undefined) return false;
    client.receive(response, from);
    return true;
  }
}

/** Once it has failed nobody hears of it again: whoever asked may go on with another one, which has the record then. */
const userRecordOf = (client: Client<{ readonly name: string }>, unixMs: number): ClientUserRecord | undefined =>
  client.state === "completed" ? undefined : client.userRecord(unixMs);

const roadOf = ({ pointId, address, port, connection }: Flow): string => connection ?? `${pointId}|${address}|${port}`;
/** What names a request: it finds copies, ACK and CANCEL, and starts the transaction again elsewhere. */
const NAMING: readonly string[] = ["via", "from", "to", "call-id", "cseq"];
const nameOnly = (request: SipRequest): SipRequest => ({
  ...request,
  headers: request.headers.filter(({ key }) => NAMING.includes(key)),
  body: "",
});

abstract class Driver<State extends { readonly name: string }, Input, Effect> implements TimerOwner {
  request: SipRequest;
  readonly flow: Flow;
  protected readonly shell: TransactionShell;
  protected readonly timers: NamedTimers;
  readonly #forget: () => void;
  #current: State | undefined;
  #busy = false;
  /** Inputs that came while one was worked off: rare, so there is no list until then. */
  #waiting: Input[] | undefined;

  constructor(shell: TransactionShell, request: SipRequest, flow: Flow, forget: () => void) {
    this.shell = shell;
    this.request = request;
    this.flow = flow;
    this.#forget = forget;
    this.timers = new NamedTimers(shell.wheel, this);
  }

  protected abstract next(state: State, input: Input): Step<State, Effect>;
  protected abstract perform(effect: Effect): void;
  abstract onTimer(name: string): void;

  get state(): string {
    return this.#current?.name ?? "new";
  }

  begin({ state, effects }: Step<State, Effect>): void {
    this.#current = state;
    this.#busy = true;
    try {
      for (const effect of effects) this.perform(effect);
    } finally {
      this.#busy = false;
    }
    this.#drain();
  }

  record(unixMs: number) {
    return {
      request: serialise(this.request),
      flow: this.flow,
      state: freeze(this.#current, this.request),
      timers: timerRecords(this.timers, unixMs),
    };
  }

  resume(state: State, timers: readonly TimerRecord[], unixMs: number): void {
    this.#current = state;
    for (const { name, dueUnixMs } of timers) this.timers.start(name, Math.max(0, dueUnixMs - unixMs));
  }

  /** One input, one step, every effect performed: only then the next input. */
  handle(input: Input): void {
    if (this.#current === undefined || this.#current.name === "terminated") return;
    if (this.#busy) {
      this.#waiting ??= [];
      this.#waiting.push(input);
      return;
    }
    this.#busy = true;
    let isLiving = false;
    try {
      isLiving = this.#work(input);
    } finally {
      this.#busy = false; // a bug of our user's is no reason to hear nothing more
    }
    if (isLiving) this.#drain();
  }

  protected end(): void {
    this.timers.stopAll();
    this.#forget();
  }

  /** False: it has ended. */
  #work(input: Input): boolean {
    if (this.#current === undefined) return false;
    const { state, effects } = this.next(this.#current, input);
    this.#current = state;
    try {
      for (const effect of effects) this.perform(effect);
    } finally {
      if (state.name === "terminated") this.end();
    }
    return state.name !== "terminated";
  }

  #drain(): void {
    if (this.#waiting === undefined) return;
    const waiting = this.#waiting;
    this.#busy = true;
    try {
      for (let input = waiting.shift(); input !== undefined; input = waiting.shift()) if (!this.#work(input)) break;
    } finally {
      this.#busy = false;
      this.#waiting = undefined;
    }
  }

  protected dispose(): void {
    this.#current = undefined;
    this.#waiting = undefined;
    this.end();
  }
}

class Client<State extends { readonly name: string }>
  extends Driver<State, ClientInput, ClientEffect<string>>
  implements ClientTransaction
{
  readonly #machine: ClientMachine<State>;
  readonly #context: TransactionContext;
  readonly #user: ClientUser;
  #from: Flow;

  constructor(
    machine: ClientMachine<State>,
    context: TransactionContext,
    shell: TransactionShell,
    request: SipRequest,
    flow: Flow,
    user: ClientUser,
    forget: () => void,
  ) {
    super(shell, request, flow, forget);
    this.#machine = machine;
    this.#context = context;
    this.#user = user;
    this.#from = flow;
  }

  receive(response: SipResponse, from: Flow): void {
    this.#from = from;
    this.handle({ kind: "response", response });
  }

  userRecord(unixMs: number): ClientUserRecord | undefined {
    return this.#user.record?.(unixMs);
  }

  hush(): void {
    if (this.request.method === "INVITE") this.handle({ kind: "hush" });
  }

  /**
   * Its connection has gone. Over TCP and TLS a callee that rings may still answer over a new one (§18.2.2); a browser
   * cannot (RFC 7118 §5).
   */
  lose(): void {
    if (this.state === "proceeding" && this.request.method === "INVITE" && isWebSocket(this.flow.transport)) {
      this.dispose();
      this.#user.onFailed("transport");
    } else this.handle({ kind: "transport-failed" });
  }

  abandon(): void {
    this.dispose();
  }

  onTimer(name: string): void {
    this.handle({ kind: "timer", timer: name as never });
  }

  protected next(state: State, input: ClientInput) {
    return this.#machine.step(this.#context, state, input);
  }

  protected perform(effect: ClientEffect<string>): void {
    switch (effect.kind) {
      case "send":
        this.shell.send(effect.request, this.flow, effect.again, () => this.handle({ kind: "transport-failed" }));
        break;
      case "deliver":
        this.#user.onResponse(effect.response, this.#from);
        break;
      case "failed":
        this.#user.onFailed(effect.because);
        break;
      case "start-timer":
        this.timers.start(effect.timer, effect.afterMs);
        break;
      case "stop-timer":
        this.timers.stop(effect.timer);
        break;
    }
  }
}

class Server<State extends { readonly name: string }>
  extends Driver<State, ServerInput, ServerEffect<string>>
  implements ServerTransaction
{
  readonly #machine: ServerMachine<State>;
  readonly #context: TransactionContext;
  readonly #user: ServerUser;

  constructor(
    machine: ServerMachine<State>,
    context: TransactionContext,
    shell: TransactionShell,
    request: SipRequest,
    flow: Flow,
    user: ServerUser,
    forget: () => void,
  ) {
    super(shell, request, flow, forget);
    this.#machine = machine;
    this.#context = context;
    this.#user = user;
  }

  respond(response: SipResponse): void {
    this.handle({ kind: "respond", response });
    // What lingers for 32 s is most of what a busy server holds.
    if (response.status >= 200 && this.request.headers.length > NAMING.length) this.request = nameOnly(this.request);
  }

  receive(request: SipRequest): void {
    this.handle(request.method === "ACK" ? { kind: "ack", ack: request } : { kind: "request" });
  }

  onTimer(name: string): void {
    this.handle({ kind: "timer", timer: name as never });
  }

  protected next(state: State, input: ServerInput) {
    return this.#machine.step(this.#context, state, input);
  }

  protected perform(effect: ServerEffect<string>): void {
    switch (effect.kind) {
      case "send":
        this.shell.send(effect.response, this.flow, effect.again, () =>
          this.shell.elsewhere(effect.response, this.flow, () => this.handle({ kind: "transport-failed" })),
        );
        break;
      case "deliver-ack":
        this.#user.onAck(effect.ack);
        break;
      case "failed":
        this.#user.onFailed(effect.because);
        break;
      case "start-timer":
        this.timers.start(effect.timer, effect.afterMs);
        break;
      case "stop-timer":
        this.timers.stop(effect.timer);
        break;
    }
  }
}

export const timerRecords = (timers: NamedTimers, unixMs: number): TimerRecord[] =>
  timers.remaining().map(({ name, afterMs }) => ({ name, dueUnixMs: unixMs + afterMs }));

/** Nobody waits for the answer. */
export const DEAF_USER: ClientUser = { onResponse: () => {}, onFailed: () => {} };
