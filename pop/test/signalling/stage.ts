// pop's signalling on a real SIP server, phones around it, and the power to break what is between: the connection, the
// process of pop, the SIP server.

import assert from "node:assert/strict";
import { createServer, connect as dial, type Server, type Socket } from "node:net";
import type { CallId, LegId } from "../../../kernel/ids.ts";
import { silentLog } from "../../../kernel/log.ts";
import { SipPhone } from "../../../loadtest/phones/sip-phone.ts";
import { DrachtioSignalling } from "../../adapters/drachtio/drachtio-signalling.ts";
import type { Saved } from "../../boundary/saved.ts";
import type { IncomingCall, SignallingHost } from "../../boundary/sip-signalling.ts";
import type { CallInput } from "../../core/call/call-execution.ts";
import { PCMU, writeAudio } from "../../core/media/sdp.ts";
import { SipServerConfigSchema } from "../../sip-server/config/sip-server-config.ts";
import { type SipServer, startSipServer } from "../../sip-server/start.ts";

export const HOST = "127.0.0.1";
export const OURS = writeAudio({ address: { host: HOST, port: 40_000 }, codecs: [PCMU], dtmfPayloadType: 101 });
const SECRET = "cymru";

/** Until it holds. @throws Error when it never does */
export async function until(holds: () => boolean, what: () => string, waitMs = 5_000): Promise<void> {
  const deadlineMs = performance.now() + waitMs;
  while (!holds()) {
    if (performance.now() > deadlineMs) throw new Error(`never: ${what()}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** Writes down what the adapter tells, and lets the test wait for it. */
export class Notebook implements SignallingHost {
  incoming: IncomingCall[] = [];
  inputs: { readonly call: CallId; readonly input: CallInput }[] = [];
  dialogs: string[] = [];
  onSignalled: (input: CallInput) => void = () => {};

  clear(): void {
    this.incoming = [];
    this.inputs = [];
    this.dialogs = [];
  }

  invited(incoming: IncomingCall): void {
    this.incoming.push(incoming);
  }

  signalled(call: CallId, input: CallInput): void {
    this.onSignalled(input);
    this.inputs.push({ call, input });
  }

  dialog(_call: CallId, leg: LegId): void {
    this.dialogs.push(leg);
  }

  serving(): boolean {
    return true;
  }

  async nextCall(): Promise<IncomingCall> {
    await until(
      () => this.incoming.length > 0,
      () => "a call",
    );
    const call = this.incoming.shift();
    assert.ok(call !== undefined);
    return call;
  }

  async next<Kind extends CallInput["kind"]>(kind: Kind): Promise<Extract<CallInput, { kind: Kind }>> {
    const at = () => this.inputs.findIndex(({ input }) => input.kind === kind);
    await until(
      () => at() >= 0,
      () => `${kind}; so far: ${this.kinds.join(", ")}`,
    );
    return this.inputs.splice(at(), 1)[0]?.input as Extract<CallInput, { kind: Kind }>;
  }

  get kinds(): readonly string[] {
    return this.inputs.map(({ input }) => input.kind);
  }
}

/** A way from pop to the server's port for applications, which can be cut, and held up in the direction of pop. */
export class Wire {
  #target: number;
  #server: Server | undefined;
  readonly #pairs = new Set<{ readonly near: Socket; readonly far: Socket }>();
  port = 0;

  constructor(target: number) {
    this.#target = target;
  }

  async open(): Promise<void> {
    const server = createServer((near) => {
      const far = dial(this.#target, HOST);
      const pair = { near, far };
      this.#pairs.add(pair);
      const over = () => {
        this.#pairs.delete(pair);
        near.destroy();
        far.destroy();
      };
      for (const socket of [near, far]) socket.on("error", over).on("close", over).setNoDelay(true);
      near.pipe(far);
      far.pipe(near);
    });
    this.#server = server;
    await new Promise<void>((resolve) => server.listen(this.port, HOST, resolve));
    const address = server.address();
    this.port = typeof address === "object" && address !== null ? address.port : 0;
  }

  /** What the server says does not arrive any more. */
  mute(): void {
    for (const { near, far } of this.#pairs) far.unpipe(near).pause();
  }

  async cut(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    const closed = server && new Promise((resolve) => server.close(resolve));
    for (const { near, far } of this.#pairs) {
      near.destroy();
      far.destroy();
    }
    await closed;
  }

  async mend(target = this.#target): Promise<void> {
    this.#target = target;
    await this.open();
  }
}

export type Outage = "connection" | "pop" | "sip-server";

export class Stage {
  server: SipServer;
  signalling: DrachtioSignalling;
  readonly told = new Notebook();
  readonly #phones: SipPhone[] = [];
  readonly #awayMs: number | undefined;
  #wire: Wire;
  #saved = new Map<CallId, string>();
  #record = "";

  private constructor(server: SipServer, wire: Wire, signalling: DrachtioSignalling, awayMs: number | undefined) {
    this.server = server;
    this.#wire = wire;
    this.signalling = signalling;
    this.#awayMs = awayMs;
  }

  static async open(awayMs?: number): Promise<Stage> {
    const server = await startServer(0, 0);
    const wire = new Wire(server.adminPort);
    await wire.open();
    const stage = new Stage(server, wire, pop(wire.port, awayMs), awayMs);
    await stage.#start();
    return stage;
  }

  get sipPort(): number {
    return Number(this.server.points[0]?.port);
  }

  async phone(user: string, whenCalled?: NonNullable<Parameters<typeof SipPhone.open>[0]["whenCalled"]>) {
    const opened = await SipPhone.open({ host: HOST, port: 0, user, ...(whenCalled && { whenCalled }) });
    this.#phones.push(opened);
    return opened;
  }

  async dial() {
    const caller = await this.phone("caller");
    const call = await caller.dial({
      uri: `sip:+498912345678@${HOST}:${this.sipPort}`,
      callingNumber: "+491700000001",
    });
    return { call, incoming: await this.told.nextCall() };
  }

  async answered() {
    const { call, incoming } = await this.dial();
    this.signalling.answer(incoming.call, OURS);
    await call.until("answered");
    await this.told.next("caller-acked");
    return { call, incoming };
  }

  /** What the server says to pop does not arrive any more; what pop says does. */
  mute(): void {
    this.#wire.mute();
  }

  /** @param calls that pop's next process takes up */
  async begin(outage: Outage, calls: readonly CallId[]): Promise<void> {
    this.#saved = new Map(calls.map((call) => [call, JSON.stringify(this.signalling.saved(call))]));
    await this.#wire.cut();
    await until(
      () => this.server.endpoint.facts.applications === 0,
      () => "the server has noticed",
    );
    if (outage === "connection")
      return until(
        () => !this.signalling.connected(),
        () => "noticed",
      );
    if (outage === "sip-server") {
      this.#record = JSON.stringify(this.server.endpoint.exportState());
      await this.server.stop();
    } else await this.signalling.close(); // killed: its wire is cut for good, so nothing it says arrives
  }

  /** @param isForgetful the SIP server comes back without its calls */
  async end(outage: Outage, isForgetful = false): Promise<void> {
    if (outage === "sip-server") {
      this.server = await startServer(this.sipPort, this.server.adminPort);
      if (!isForgetful) {
        const restored = this.server.endpoint.restoreState(JSON.parse(this.#record));
        assert.ok(restored.ok, JSON.stringify(restored));
      }
    }
    if (outage === "pop") {
      this.#wire = new Wire(this.server.adminPort);
      await this.#wire.open();
      this.signalling = pop(this.#wire.port, this.#awayMs);
      for (const [call, saved] of this.#saved) this.signalling.restore(call, JSON.parse(saved) as Saved);
      return this.#start();
    }
    await this.#wire.mend();
    await this.#attached();
  }

  async close(): Promise<void> {
    await Promise.all(this.#phones.map((opened) => opened.close()));
    await this.signalling.close();
    await this.#wire.cut();
    await this.server.stop();
  }

  async #start(): Promise<void> {
    this.signalling.trustSources([`${HOST}/32`]);
    await this.signalling.start(this.told);
    await this.#attached();
  }

  #attached(): Promise<void> {
    return until(
      () => this.signalling.connected(),
      () => "connected",
    );
  }
}

const pop = (port: number, awayMs: number | undefined) =>
  new DrachtioSignalling(
    {
      ...{ host: HOST, port, secret: SECRET, server: "tollgate", instance: "fra-01-a" },
      ...(awayMs === undefined ? {} : { awayMs }),
    },
    silentLog,
  );

function startServer(sipPort: number, adminPort: number): Promise<SipServer> {
  const config = SipServerConfigSchema.parse({
    listen: [{ transport: "udp", host: HOST, port: sipPort }],
    admin: { host: HOST, port: adminPort, secret: SECRET },
    http: { host: HOST, port: 0 },
    trustedSources: "any",
  });
  return startSipServer(config, silentLog);
}
