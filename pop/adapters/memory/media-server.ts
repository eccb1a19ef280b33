import type { CallId } from "../../../kernel/ids.ts";
import { fail, type Outcome, succeed } from "../../../kernel/outcome.ts";
import type { MediaServer, Played } from "../../boundary/media-server.ts";
import type { Saved } from "../../boundary/saved.ts";
import type { RtpAddress } from "../../core/media/addresses.ts";
import type { MediaFailure } from "../../core/media/media-failure.ts";
import type { PlayId, PromptRef } from "../../core/media/prompt.ts";

export type ServerCommand = "open" | "connect" | "play" | "stop" | "hush" | "close" | "health";

export interface ServerAsked {
  readonly command: ServerCommand;
  readonly call?: CallId;
  readonly play?: PlayId;
  readonly items?: readonly PromptRef[];
  readonly repeat?: "once" | "forever";
  readonly fromMs?: number;
}

interface Playing {
  readonly play: PlayId;
  readonly items: readonly PromptRef[];
  readonly repeat: "once" | "forever";
  readonly durationMs: number;
  readonly fromMs: number;
}

interface Endpoint {
  readonly address: RtpAddress;
  sendsTo: RtpAddress | undefined;
  hushed: boolean;
  finished?: PlayId | undefined;
  playing: Playing | undefined;
}

/** A MediaServer for tests and simulations: plays end when the test says so. */
export class MemoryMediaServer implements MediaServer {
  /** Every command in order. */
  readonly asked: ServerAsked[] = [];
  /** Length of a file, by path; others last a second. */
  readonly fileMs = new Map<string, number>();
  readonly #endpoints = new Map<CallId, Endpoint>();
  readonly #played: ((event: Played) => void)[] = [];
  readonly #lost: (() => void)[] = [];
  readonly #connected: (() => void)[] = [];
  readonly #failures = new Map<ServerCommand, MediaFailure[]>();
  #nextPort = 20_000;

  failNext(command: ServerCommand, failure: MediaFailure): void {
    this.#failures.set(command, [...(this.#failures.get(command) ?? []), failure]);
  }

  /** The play of `call` has come to its end. Nothing happens when nothing plays. */
  finish(call: CallId): void {
    const playing = this.#endpoints.get(call)?.playing;
    if (playing !== undefined) this.#end(call, "finished", playing.durationMs - playing.fromMs);
  }

  /** The worker is gone, and with it every endpoint. */
  lose(): void {
    for (const call of this.#endpoints.keys()) this.#end(call, "lost", 0);
    this.#endpoints.clear();
    for (const listener of this.#lost) listener();
  }

  reconnect(): void {
    for (const listener of this.#connected) listener();
  }

  playing(call: CallId): { readonly play: PlayId; readonly items: readonly PromptRef[] } | undefined {
    return this.#endpoints.get(call)?.playing;
  }

  /** Calls that hold an endpoint now. */
  get calls(): readonly CallId[] {
    return [...this.#endpoints.keys()];
  }

  sendsTo(call: CallId): RtpAddress | undefined {
    const endpoint = this.#endpoints.get(call);
    return endpoint?.hushed === true ? undefined : endpoint?.sendsTo;
  }

  async open(call: CallId): Promise<Outcome<RtpAddress, MediaFailure>> {
    const refused = this.#note({ command: "open", call });
    if (refused !== undefined) return fail(refused);
    const known = this.#endpoints.get(call);
    if (known !== undefined) return succeed(known.address);
    const address = { host: "198.51.100.2", port: this.#nextPort };
    this.#nextPort += 2;
    this.#endpoints.set(call, { address, sendsTo: undefined, hushed: false, playing: undefined });
    return succeed(address);
  }

  saved(call: CallId): Saved | undefined {
    const endpoint = this.#endpoints.get(call);
    if (endpoint === undefined) return undefined;
    const { address } = endpoint;
    const sendsTo = this.sendsTo(call);
    return { port: address.port, sendsTo: sendsTo === undefined ? null : { ...sendsTo } };
  }

  restore(call: CallId, saved: Saved): void {
    const { port, sendsTo } = saved as { port: number; sendsTo: RtpAddress | null };
    if (this.#endpoints.has(call)) return;
    const address = { host: "198.51.100.2", port };
    this.#endpoints.set(call, { address, sendsTo: sendsTo ?? undefined, hushed: false, playing: undefined });
    this.#nextPort = Math.max(this.#nextPort, port + 2);
  }

  async connect(call: CallId, sendsTo: RtpAddress): Promise<Outcome<void, MediaFailure>> {
    const refused = this.#note({ command: "connect", call });
    if (refused !== undefined) return fail(refused);
    const endpoint = this.#endpoints.get(call);
    if (endpoint === undefined) return fail({ code: "media.not-open" });
    endpoint.sendsTo = sendsTo;
    endpoint.hushed = false;
    return succeed(undefined);
  }

  async play(
    call: CallId,
    play: PlayId,
    items: readonly PromptRef[],
    repeat: "once" | "forever",
    fromMs = 0,
  ): Promise<Outcome<{ durationMs: number }, MediaFailure>> {
    const refused = this.#note({ command: "play", call, play, items, repeat, fromMs });
    if (refused !== undefined) return fail(refused);
    const endpoint = this.#endpoints.get(call);
    if (endpoint === undefined) return fail({ code: "media.not-open" });
    if (endpoint.finished === play) {
      for (const listener of this.#played) listener({ call, play, how: "finished", atMs: 0 });
      return succeed({ durationMs: 0 });
    }
    if (endpoint.playing?.play === play) return succeed({ durationMs: endpoint.playing.durationMs });
    let durationMs = 0;
    for (const item of items) durationMs += item.kind === "file" ? (this.fileMs.get(item.path) ?? 1_000) : item.ms;
    this.#end(call, "stopped", 0);
    endpoint.hushed = false;
    endpoint.playing = { play, items, repeat, durationMs, fromMs };
    return succeed({ durationMs });
  }

  async stop(call: CallId): Promise<Outcome<{ atMs: number }, MediaFailure>> {
    const refused = this.#note({ command: "stop", call });
    if (refused !== undefined) return fail(refused);
    if (!this.#endpoints.has(call)) return fail({ code: "media.not-open" });
    this.#end(call, "stopped", 0);
    return succeed({ atMs: 0 });
  }

  async hush(call: CallId): Promise<Outcome<void, MediaFailure>> {
    const refused = this.#note({ command: "hush", call });
    if (refused !== undefined) return fail(refused);
    const endpoint = this.#endpoints.get(call);
    if (endpoint === undefined) return fail({ code: "media.not-open" });
    this.#end(call, "stopped", 0);
    endpoint.hushed = true;
    return succeed(undefined);
  }

  async close(call: CallId): Promise<void> {
    this.#note({ command: "close", call });
    this.#end(call, "stopped", 0);
    this.#endpoints.delete(call);
  }

  onPlayed(listener: (event: Played) => void): void {
    this.#played.push(listener);
  }

  onLost(listener: () => void): void {
    this.#lost.push(listener);
  }

  onConnected(listener: () => void): void {
    this.#connected.push(listener);
  }

  async health(): Promise<Outcome<void, MediaFailure>> {
    const refused = this.#note({ command: "health" });
    return refused === undefined ? succeed(undefined) : fail(refused);
  }

  async disconnect(): Promise<void> {}

  #end(call: CallId, how: Played["how"], atMs: number): void {
    const endpoint = this.#endpoints.get(call);
    if (endpoint?.playing === undefined) return;
    const { play } = endpoint.playing;
    endpoint.playing = undefined;
    endpoint.finished = how === "finished" ? play : undefined;
    for (const listener of this.#played) listener({ call, play, how, atMs });
  }

  #note(asked: ServerAsked): MediaFailure | undefined {
    this.asked.push(asked);
    return this.#failures.get(asked.command)?.shift();
  }
}
