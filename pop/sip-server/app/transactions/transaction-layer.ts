// Keeps every transaction: starts it, finds it for what arrives, forgets it when it has ended. RFC 3261 §17.

import { type Flow, isReliable } from "../../core/flow.ts";
import { responseTo } from "../../core/message/build.ts";
import type { SipRequest, SipResponse } from "../../core/message/message.ts";
import { type ClientUserRecord, type TransactionRecord, thaw } from "../../core/record/record.ts";
import * as inviteClient from "../../core/transaction/invite-client.ts";
import * as inviteServer from "../../core/transaction/invite-server.ts";
import { clientKey, mergeKey, serverKey } from "../../core/transaction/key.ts";
import * as nonInviteClient from "../../core/transaction/non-invite-client.ts";
import * as nonInviteServer from "../../core/transaction/non-invite-server.ts";
import type { TransactionContext } from "../../core/transaction/timing.ts";
import { CallIdIndex } from "../shell/call-id-index.ts";
import { ClientDriver, type ClientMachine, type ClientTransaction, type ClientUser } from "./client-transaction.ts";
import { ServerDriver, type ServerMachine, type ServerTransaction, type ServerUser } from "./server-transaction.ts";
import type { TransactionShell } from "./transaction-driver.ts";

/** The state of any transaction. */
interface Named {
  readonly name: string;
}

/** All requests under way together may have so many bytes for each transaction there may be. */
const REQUEST_BYTES_MEAN_MAX = 4_096;

export class TransactionLayer {
  readonly shell: TransactionShell;
  /** Of calls that have yet to be taken up. */
  reserved = 0;
  /** The last transaction of this Call-ID has ended. */
  onLastEnded: (callId: string) => void = () => {};
  readonly #clients = new Map<string, ClientDriver<Named>>();
  readonly #servers = new Map<string, ServerDriver<Named>>();
  /** Both sides, for a record of one call. */
  readonly #byCallId = new CallIdIndex<Driver>();
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
    return (
      this.size + this.reserved >= transactionsMax || this.#requestBytes >= transactionsMax * REQUEST_BYTES_MEAN_MAX
    );
  }

  startClient(request: SipRequest, flow: Flow, user: ClientUser): ClientTransaction {
    const road = isReliable(flow) ? roadOf(flow) : undefined;
    if (request.method === "INVITE") {
      const client = this.#keepClient(inviteClient, request, flow, user, road);
      client.begin(inviteClient.start(client.context, request));
      return client;
    }
    const client = this.#keepClient(nonInviteClient, request, flow, user, road);
    client.begin(nonInviteClient.start(client.context, request));
    return client;
  }

  /** @param road undefined: it does not end with a connection */
  #keepClient<State extends { readonly name: string }>(
    machine: ClientMachine<State>,
    request: SipRequest,
    flow: Flow,
    user: ClientUser,
    road: string | undefined,
  ): ClientDriver<State> {
    const key = clientKey(request);
    const context: TransactionContext = { timing: this.shell.timing, reliable: isReliable(flow) };
    const forget = () => {
      this.#clients.delete(key);
      if (road !== undefined) this.#leave(road, key);
      this.#unlist(client);
    };
    if (road !== undefined) {
      const travellers = this.#byRoad.get(road);
      if (travellers === undefined) this.#byRoad.set(road, new Set([key]));
      else travellers.add(key);
    }
    const client: ClientDriver<State> = new ClientDriver(machine, context, this.shell, request, flow, user, forget);
    this.#clients.set(key, client);
    this.#byCallId.add(client.request.callId, client);
    return client;
  }

  #unlist(driver: Driver): void {
    const { callId } = driver.request;
    if (this.#byCallId.remove(callId, driver)) this.onLastEnded(callId);
  }

  hasOf(callId: string): boolean {
    return this.#byCallId.has(callId);
  }

  *serversOf(callId: string): Iterable<ServerTransaction> {
    for (const driver of this.#byCallId.of(callId)) if (driver instanceof ServerDriver) yield driver;
  }

  /** Nothing of this call is heard or sent any more. For one that could not be taken up whole. */
  drop(callId: string): void {
    for (const driver of [...this.#byCallId.of(callId)]) driver.abandon();
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
    if (request.method === "INVITE") {
      const server = this.#keepServer(inviteServer, request, flow, user);
      server.begin(inviteServer.start(responseTo(request, { status: 100, toTag: "" })));
      return server;
    }
    const server = this.#keepServer(nonInviteServer, request, flow, user);
    server.begin(nonInviteServer.start());
    return server;
  }

  #keepServer<State extends { readonly name: string }>(
    machine: ServerMachine<State>,
    request: SipRequest,
    flow: Flow,
    user: ServerUser,
  ): ServerDriver<State> {
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
      this.#unlist(server);
    };
    const server: ServerDriver<State> = new ServerDriver(machine, context, this.shell, request, flow, user, forget);
    this.#servers.set(key, server);
    this.#byCallId.add(server.request.callId, server);
    return server;
  }

  /** As data, with deadlines as wall-clock time. @param callId undefined: all of them */
  records(unixMs: number, callId: string | undefined): TransactionRecord[] {
    const records: TransactionRecord[] = [];
    if (callId !== undefined) for (const driver of this.#byCallId.of(callId)) records.push(recordOf(driver, unixMs));
    else {
      for (const client of this.#clients.values()) records.push(recordOf(client, unixMs));
      for (const server of this.#servers.values()) records.push(recordOf(server, unixMs));
    }
    return records;
  }

  /**
   * Takes a transaction up where a record left it. Nothing is sent but what is due. What went over a connection, and was
   * not heard of, is sent once more after T1 as over UDP: that connection has died with whoever had it.
   */
  resumeClient(record: TransactionRecord, request: SipRequest, user: ClientUser, unixMs: number): ClientTransaction {
    const isInvite = request.method === "INVITE";
    const machine = (isInvite ? inviteClient : nonInviteClient) as unknown as ClientMachine<Named>;
    const { flow } = record;
    const client = this.#keepClient(machine, request, flow, user, isReliable(flow) ? roadOf(flow) : undefined);
    client.resume(thaw(record.state, request), record.timers, unixMs);
    if (isReliable(flow) && (client.state === "calling" || client.state === "trying"))
      client.expect(isInvite ? "A" : "E", this.shell.timing.t1Ms);
    return client;
  }

  resumeServer(record: TransactionRecord, request: SipRequest, user: ServerUser, unixMs: number): ServerTransaction {
    const machine = request.method === "INVITE" ? inviteServer : nonInviteServer;
    const server = this.#keepServer(machine as unknown as ServerMachine<Named>, request, record.flow, user);
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

type Driver = ClientDriver<Named> | ServerDriver<Named>;

const recordOf = (driver: Driver, unixMs: number): TransactionRecord =>
  driver instanceof ClientDriver
    ? { side: "client", ...driver.record(unixMs), user: userRecordOf(driver, unixMs) }
    : { side: "server", ...driver.record(unixMs) };

/** Once it has failed nobody hears of it again: whoever asked may go on with another one, which has the record then. */
const userRecordOf = (client: ClientDriver<Named>, unixMs: number): ClientUserRecord | undefined =>
  client.state === "completed" ? undefined : client.userRecord(unixMs);

const roadOf = ({ pointId, address, port, connection }: Flow): string => connection ?? `${pointId}|${address}|${port}`;
