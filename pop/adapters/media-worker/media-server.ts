// MediaServer on the media worker's control socket: one JSON object a line. Connects by itself, and again when the
// connection is lost. The worker's words are in pop/media-worker/core/request.ts; we meet it only on the wire.

import { connect, type Socket } from "node:net";
import { type BackoffPolicy, backoffMs } from "../../../kernel/backoff.ts";
import type { CallId } from "../../../kernel/ids.ts";
import type { Log } from "../../../kernel/log.ts";
import { fail, type Outcome, succeed } from "../../../kernel/outcome.ts";
import { type Rng, systemRng } from "../../../kernel/rng.ts";
import type { MediaServer, Played } from "../../boundary/media-server.ts";
import type { Saved } from "../../boundary/saved.ts";
import type { RtpAddress } from "../../core/media/addresses.ts";
import type { MediaFailure } from "../../core/media/media-failure.ts";
import type { PlayId, PromptRef } from "../../core/media/prompt.ts";

export interface MediaWorkerOptions {
  readonly socketPath: string;
  /** For one request. Default 1000. */
  readonly timeoutMs?: number;
  /** Requests without an answer yet; more fail at once. Default 2000. */
  readonly waitingMax?: number;
  /** Away for less, it is being restarted: a new call waits for it instead of being refused. Default 2000. */
  readonly awayPatienceMs?: number;
}

const PROTOCOL_VERSION = 1;
/** A local socket: trying costs nothing, and a caller hears nothing until it is there again. */
const RECONNECT: BackoffPolicy = { firstMs: 20, factor: 1.4, waitMsMax: 200, jitter: 0.3 };
const LINE_BYTES_MAX = 1 << 20;

/** What the worker was told of one call, and gets told again when it is another one. Plain data. */
interface Endpoint {
  readonly address: RtpAddress;
  readonly sendsTo: RtpAddress | undefined;
  readonly hushed: boolean;
}

interface Waiting {
  readonly timer: NodeJS.Timeout;
  readonly settle: (reply: Outcome<unknown, MediaFailure>) => void;
}

export class MediaWorkerServer implements MediaServer {
  readonly #options: Required<MediaWorkerOptions>;
  readonly #log: Log;
  readonly #rng: Rng;
  #socket: Socket | undefined;
  /** The worker has said hello on #socket. */
  #connected = false;
  #closed = false;
  #awaySinceMs = performance.now();
  readonly #waitingForWorker = new Set<() => void>();
  #attempts = 0;
  #retry: NodeJS.Timeout | undefined;
  #requests = 0;
  readonly #waiting = new Map<number, Waiting>();
  /** Plays without their `played` yet, by call: a call that plays one thing after another may have several. */
  readonly #plays = new Map<CallId, Set<PlayId>>();
  readonly #endpoints = new Map<CallId, Endpoint>();
  readonly #played: ((event: Played) => void)[] = [];
  readonly #lost: (() => void)[] = [];
  readonly #connectedListeners: (() => void)[] = [];

  constructor(options: MediaWorkerOptions, log: Log, rng: Rng = systemRng) {
    this.#options = { timeoutMs: 1_000, waitingMax: 2_000, awayPatienceMs: 2_000, ...options };
    this.#log = log;
    this.#rng = rng;
    this.#connect();
  }

  async open(call: CallId): Promise<Outcome<RtpAddress, MediaFailure>> {
    const known = this.#endpoints.get(call);
    if (known === undefined) await this.#untilConnected();
    const opened = (await this.#request(
      known === undefined ? { op: "open", call } : { op: "restore", call, ...asRestored(known) },
    )) as Outcome<RtpAddress, MediaFailure>;
    if (!opened.ok) return opened;
    const { host, port } = opened.value;
    if (known?.address.host !== host || known.address.port !== port)
      this.#endpoints.set(call, { address: opened.value, sendsTo: undefined, hushed: false });
    return opened;
  }

  sendsTo(call: CallId): RtpAddress | undefined {
    const endpoint = this.#endpoints.get(call);
    return endpoint === undefined || endpoint.hushed ? undefined : endpoint.sendsTo;
  }

  saved(call: CallId): Saved | undefined {
    const endpoint = this.#endpoints.get(call);
    if (endpoint === undefined) return undefined;
    const { address, sendsTo, hushed } = endpoint;
    return { address: { ...address }, sendsTo: sendsTo === undefined ? null : { ...sendsTo }, hushed };
  }

  restore(call: CallId, saved: Saved): void {
    const { address, sendsTo, hushed } = saved as unknown as Endpoint & { readonly sendsTo: RtpAddress | null };
    this.#endpoints.set(call, { address, sendsTo: sendsTo ?? undefined, hushed });
  }

  async connect(call: CallId, sendsTo: RtpAddress, dtmfPayloadType?: number): Promise<Outcome<void, MediaFailure>> {
    const dtmf = dtmfPayloadType === undefined ? {} : { dtmfPayloadType };
    const reply = await this.#request({ op: "connect", call, sendsTo, ...dtmf });
    // One that is away hears it from `open` once it is back.
    if (reply.ok || reply.failure.code === "media.worker-away") this.#note(call, { sendsTo, hushed: false });
    return done(reply);
  }

  async play(
    call: CallId,
    play: PlayId,
    items: readonly PromptRef[],
    repeat: "once" | "forever",
    fromMs = 0,
  ): Promise<Outcome<{ durationMs: number }, MediaFailure>> {
    const plays = this.#plays.get(call) ?? new Set();
    this.#plays.set(call, plays.add(play));
    const asked = items.map(asAsked);
    const reply = await this.#request({ op: "play", call, play, items: asked, repeat, fromMs });
    if (reply.ok) this.#note(call, { hushed: false });
    else this.#forget(call, play); // it never began, so nothing will end it
    return reply as Outcome<{ durationMs: number }, MediaFailure>;
  }

  async stop(call: CallId): Promise<Outcome<{ atMs: number }, MediaFailure>> {
    return (await this.#request({ op: "stop", call })) as Outcome<{ atMs: number }, MediaFailure>;
  }

  async hush(call: CallId): Promise<Outcome<void, MediaFailure>> {
    const reply = await this.#request({ op: "hush", call });
    if (reply.ok) this.#note(call, { hushed: true });
    return done(reply);
  }

  async close(call: CallId): Promise<void> {
    this.#endpoints.delete(call);
    await this.#request({ op: "close", call });
  }

  /** What the worker counts; for metrics. */
  stats(): Promise<Outcome<unknown, MediaFailure>> {
    return this.#request({ op: "stats" });
  }

  /** For self tests: how much of the received audio of the last `ms` is at `hz`. */
  async listen(call: CallId, hz: number, ms: number): Promise<Outcome<{ share: number; ms: number }, MediaFailure>> {
    return (await this.#request({ op: "listen", call, hz, ms })) as Outcome<
      { share: number; ms: number },
      MediaFailure
    >;
  }

  onPlayed(listener: (event: Played) => void): void {
    this.#played.push(listener);
  }

  onLost(listener: () => void): void {
    this.#lost.push(listener);
  }

  onConnected(listener: () => void): void {
    this.#connectedListeners.push(listener);
  }

  async health(): Promise<Outcome<void, MediaFailure>> {
    return done(await this.#request({ op: "ping" }));
  }

  async disconnect(): Promise<void> {
    this.#closed = true;
    for (const go of this.#waitingForWorker) go();
    clearTimeout(this.#retry);
    const socket = this.#socket;
    if (socket === undefined) return;
    await new Promise<void>((resolve) => {
      socket.once("close", () => resolve());
      socket.destroy();
    });
  }

  /** Or until it has been away for too long to be waited for. */
  async #untilConnected(): Promise<void> {
    const leftMs = this.#awaySinceMs + this.#options.awayPatienceMs - performance.now();
    if (this.#connected || this.#closed || leftMs <= 0) return;
    if (this.#waitingForWorker.size >= this.#options.waitingMax) return;
    await new Promise<void>((resolve) => {
      const go = () => {
        clearTimeout(timer);
        this.#waitingForWorker.delete(go);
        resolve();
      };
      const timer = setTimeout(go, leftMs);
      this.#waitingForWorker.add(go);
    });
  }

  #connect(): void {
    const socket = connect(this.#options.socketPath);
    this.#socket = socket;
    let rest = "";
    socket.setEncoding("utf8");
    socket.on("data", (text: string) => {
      const lines = `${rest}${text}`.split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) this.#receive(line);
      if (rest.length > LINE_BYTES_MAX) socket.destroy();
    });
    socket.on("error", () => {}); // "close" follows
    socket.on("close", () => this.#disconnected());
  }

  #disconnected(): void {
    const was = this.#connected;
    this.#connected = false;
    if (was) this.#awaySinceMs = performance.now();
    this.#socket = undefined;
    for (const { settle } of [...this.#waiting.values()]) settle(fail({ code: "media.worker-away", waitedMs: 0 }));
    const plays = [...this.#plays].flatMap(([call, ids]) => [...ids].map((play) => ({ call, play })));
    this.#plays.clear();
    for (const { call, play } of plays) this.#tell({ call, play, how: "lost", atMs: 0 });
    if (was) {
      this.#log.warn("media-worker.lost", { plays: plays.length });
      for (const listener of this.#lost) listener();
    }
    if (this.#closed) return;
    this.#retry = setTimeout(() => this.#connect(), backoffMs(RECONNECT, this.#attempts++, this.#rng));
  }

  #request(request: Readonly<Record<string, unknown>>): Promise<Outcome<unknown, MediaFailure>> {
    const { timeoutMs, waitingMax } = this.#options;
    const socket = this.#socket;
    if (socket === undefined || !this.#connected || this.#waiting.size >= waitingMax)
      return Promise.resolve(fail({ code: "media.worker-away", waitedMs: 0 }));
    const id = this.#requests++;
    return new Promise((resolve) => {
      const settle = (reply: Outcome<unknown, MediaFailure>) => {
        const waiting = this.#waiting.get(id);
        if (waiting === undefined) return;
        clearTimeout(waiting.timer);
        this.#waiting.delete(id);
        resolve(reply);
      };
      const timer = setTimeout(() => {
        settle(fail({ code: "media.worker-away", waitedMs: timeoutMs }));
        // It hangs, or did: who waits for it hears of it again with the next connection, and not before.
        if (this.#socket === socket) socket.destroy();
      }, timeoutMs);
      this.#waiting.set(id, { timer, settle });
      socket.write(`${JSON.stringify({ id, ...request })}\n`);
    });
  }

  #receive(line: string): void {
    const message = readMessage(line);
    if (message === undefined) return;
    if (typeof message.id === "number") {
      const reply = message.ok === true ? succeed(message.value) : fail(message.failure as MediaFailure);
      this.#waiting.get(message.id)?.settle(reply);
    } else if (message.event === "hello") this.#greeted(message.protocol);
    else if (message.event === "played") {
      const { call, play, how, atMs } = message as unknown as Played;
      if (this.#forget(call, play)) this.#tell({ call, play, how, atMs });
    } else if (message.event === "replaced") this.#log.error("media-worker.replaced"); // two pops with one worker
  }

  #greeted(protocol: unknown): void {
    if (protocol !== PROTOCOL_VERSION) {
      this.#log.error("media-worker.protocol-unknown", { protocol, known: PROTOCOL_VERSION });
      this.#socket?.destroy();
      return;
    }
    this.#connected = true;
    for (const go of this.#waitingForWorker) go();
    this.#attempts = 0;
    this.#log.info("media-worker.connected");
    void this.health(); // the first line makes the worker ours
    for (const listener of this.#connectedListeners) listener();
  }

  #note(call: CallId, change: Partial<Endpoint>): void {
    const endpoint = this.#endpoints.get(call);
    if (endpoint !== undefined) this.#endpoints.set(call, { ...endpoint, ...change });
  }

  /** @returns whether its end was still to be told */
  #forget(call: CallId, play: PlayId): boolean {
    const plays = this.#plays.get(call);
    const known = plays?.delete(play) ?? false;
    if (plays?.size === 0) this.#plays.delete(call);
    return known;
  }

  #tell(event: Played): void {
    for (const listener of this.#played) listener(event);
  }
}

/** The worker takes whole hertz and no other fields. */
const asAsked = (item: PromptRef): PromptRef =>
  item.kind === "tone"
    ? { kind: "tone", hz: Math.round(item.hz), ms: item.ms }
    : item.kind === "file"
      ? { kind: "file", path: item.path }
      : { kind: "silence", ms: item.ms };

const asRestored = ({ address, sendsTo, hushed }: Endpoint) => ({
  port: address.port,
  hushed,
  ...(sendsTo === undefined ? {} : { sendsTo }),
});

const done = (reply: Outcome<unknown, MediaFailure>): Outcome<void, MediaFailure> =>
  reply.ok ? succeed(undefined) : reply;

function readMessage(line: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}
