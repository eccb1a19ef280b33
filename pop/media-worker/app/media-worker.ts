// The media worker: an RTP endpoint per call, one pacing timer for all, commands from the pop.
//
//  a. While connected and not hushed an endpoint sends a packet every 20 ms: of its play, or else silence (0xFF), since
//     carriers and NATs take a quiet stream for a dead one.
//  b. Each play ends with one `played`: finished 20 ms after its last frame was sent, stopped, or failed.
//  c. When the pop is gone, everything plays on. Endpoints that no pop has opened again after orphanSeconds are closed.

import type { Log } from "../../../kernel/log.ts";
import { fail, type Outcome, succeed } from "../../../kernel/outcome.ts";
import type { Rng } from "../../../kernel/rng.ts";
import type { Clock } from "../../../kernel/time.ts";
import type { RtpAddress } from "../../core/media/addresses.ts";
import { FRAME_MS, FRAME_SAMPLES } from "../../core/media/g711.ts";
import type { MediaFailure } from "../../core/media/media-failure.ts";
import type { PlayId } from "../../core/media/prompt.ts";
import { RTP_HEADER_BYTES, writeRtpHeader } from "../../core/media/rtp.ts";
import { toneShare } from "../../core/media/tone.ts";
import type { AudioStore } from "../boundary/audio-store.ts";
import type { OpenRtpPort, RtpPort } from "../boundary/rtp-port.ts";
import { type Frames, SILENT_FRAME } from "../core/frames.ts";
import { dueAtMs, dueFrames, type Pace, startPace } from "../core/pace.ts";
import {
  framesIn,
  framesOf,
  nextFrame,
  type PlayItem,
  type PlayPosition,
  playedMs,
  startPlay,
} from "../core/play-position.ts";
import type { Event, PromptItem, Reply, Request } from "../core/request.ts";
import { afterPacket, afterPause, atTalkSpurt, newStream, type RtpStream } from "../core/rtp-stream.ts";

export interface MediaWorkerOptions {
  readonly rtp: { readonly host: string; readonly portFirst: number; readonly portLast: number };
  readonly orphanSeconds: number;
}

interface Endpoint {
  readonly call: string;
  readonly socket: RtpPort;
  /** undefined: sends nothing. */
  stream: RtpStream | undefined;
  playing: { position: PlayPosition; readonly audio: readonly Frames[] } | undefined;
  /** The last play that came to its end by itself. */
  finished: PlayId | undefined;
  /** Counts plays asked for: while a file is read, a later command may have come. */
  asked: number;
  /** Belongs to the pop that is connected now. */
  claimed: boolean;
}

type RestoreRequest = Extract<Request, { op: "restore" }>;

/** Upper ends of the lateness histogram, ms. */
const LATE_MS = [1, 2, 5, 10, 20, 50, 100] as const;
const PORT_TRIES_MAX = 64;
const FORMER_PORT_WAIT_MS = 200;
const FORMER_PORT_TRY_MS = 10;
const PACKET_BYTES = RTP_HEADER_BYTES + FRAME_SAMPLES;

export class MediaWorker {
  readonly #options: MediaWorkerOptions;
  readonly #store: AudioStore;
  readonly #openPort: OpenRtpPort;
  readonly #clock: Clock;
  readonly #rng: Rng;
  readonly #log: Log;
  readonly #tell: (event: Event) => void;
  readonly #endpoints = new Map<string, Endpoint>();
  readonly #opening = new Map<string, Promise<Outcome<RtpAddress, MediaFailure>>>();
  readonly #endpointsMax: number;
  #nextPort: number;
  /** Of the endpoints: after a restore they are many in a row. */
  readonly #ports = new Set<number>();
  #pace: Pace | undefined;
  #timer: NodeJS.Timeout | undefined;
  #orphanTimer: NodeJS.Timeout | undefined;
  readonly #late: number[] = new Array(LATE_MS.length + 1).fill(0);
  #framesSent = 0;
  #framesSkipped = 0;
  #received = 0;

  constructor(
    options: MediaWorkerOptions,
    store: AudioStore,
    openPort: OpenRtpPort,
    tell: (event: Event) => void,
    shell: { readonly clock: Clock; readonly rng: Rng; readonly log: Log },
  ) {
    this.#options = options;
    this.#store = store;
    this.#openPort = openPort;
    this.#tell = tell;
    this.#clock = shell.clock;
    this.#rng = shell.rng;
    this.#log = shell.log;
    const { portFirst, portLast } = options.rtp;
    this.#nextPort = portFirst + (portFirst % 2); // RTP takes even ports, RFC 3550 §11
    this.#endpointsMax = Math.floor((portLast - this.#nextPort) / 2) + 1;
  }

  async handle(request: Request): Promise<Reply> {
    const { id } = request;
    const outcome = await this.#perform(request).catch((error: unknown) => {
      this.#log.error("request.broke", { op: request.op, error });
      return fail<MediaFailure>({ code: "media.worker-refused", detail: "internal error, see the worker's log" });
    });
    return outcome.ok ? { id, ok: true, value: outcome.value ?? null } : { id, ok: false, failure: outcome.failure };
  }

  async #perform(request: Request): Promise<Outcome<unknown, MediaFailure>> {
    switch (request.op) {
      case "ping":
        return succeed({ pid: process.pid });
      case "stats":
        return succeed(this.stats());
      case "open":
        return this.#open(request.call);
      case "restore":
        return this.#restore(request);
      case "close":
        this.#close(request.call);
        return succeed(undefined);
    }
    const endpoint = this.#endpoints.get(request.call);
    if (endpoint === undefined) return fail({ code: "media.not-open" });
    switch (request.op) {
      case "connect":
        await endpoint.socket.connect(request.sendsTo);
        endpoint.stream = newStream(this.#rng);
        this.#keepPace();
        return succeed(undefined);
      case "play":
        return this.#play(endpoint, request.play as PlayId, request.items, request.repeat, request.fromMs);
      case "stop":
        return succeed({ atMs: this.#endPlay(endpoint, "stopped") });
      case "hush":
        this.#endPlay(endpoint, "stopped");
        endpoint.stream = undefined;
        return succeed(undefined);
      case "listen": {
        const heard = endpoint.socket.heard(request.ms);
        return succeed({
          share: toneShare(heard, request.hz),
          ms: heard.length / 8,
          packets: endpoint.socket.received,
        });
      }
    }
  }

  /** A pop is there. */
  connected(): void {
    this.#log.info("pop.connected", { endpoints: this.#endpoints.size });
  }

  /** The pop is gone: its endpoints have so long to be opened again. */
  lost(): void {
    this.#log.warn("pop.lost", { endpoints: this.#endpoints.size });
    for (const endpoint of this.#endpoints.values()) endpoint.claimed = false;
    clearTimeout(this.#orphanTimer);
    this.#orphanTimer = setTimeout(() => this.#closeOrphans(), this.#options.orphanSeconds * 1_000);
    this.#orphanTimer.unref();
  }

  stats() {
    let playing = 0;
    let sending = 0;
    let received = this.#received;
    let refused = 0;
    for (const endpoint of this.#endpoints.values()) {
      if (endpoint.playing !== undefined) playing++;
      if (endpoint.stream !== undefined) sending++;
      received += endpoint.socket.received;
      refused += endpoint.socket.refused;
    }
    return {
      endpoints: this.#endpoints.size,
      endpointsMax: this.#endpointsMax,
      playing,
      sending,
      framesSent: this.#framesSent,
      framesSkipped: this.#framesSkipped,
      packetsReceived: received,
      packetsRefused: refused,
      /** Ticks by lateness: up to 1 ms, 2, 5, 10, 20, 50, 100, and more. */
      tickLate: { upToMs: [...LATE_MS], ticks: [...this.#late] },
      cacheBytes: this.#store.bytes,
    };
  }

  close(): void {
    clearTimeout(this.#timer);
    clearTimeout(this.#orphanTimer);
    for (const call of [...this.#endpoints.keys()]) this.#close(call);
  }

  #open(call: string): Promise<Outcome<RtpAddress, MediaFailure>> {
    const known = this.#endpoints.get(call);
    if (known !== undefined) {
      known.claimed = true;
      return Promise.resolve(succeed(known.socket.address));
    }
    const opening = this.#opening.get(call) ?? this.#openNew(call).finally(() => this.#opening.delete(call));
    this.#opening.set(call, opening);
    return opening;
  }

  async #openNew(call: string): Promise<Outcome<RtpAddress, MediaFailure>> {
    const exhausted = fail<MediaFailure>({ code: "media.endpoints-exhausted", endpointsMax: this.#endpointsMax });
    for (let tries = 0; tries < Math.min(PORT_TRIES_MAX, this.#endpointsMax); tries++) {
      if (this.#endpoints.size + this.#opening.size > this.#endpointsMax) return exhausted;
      const socket = await this.#openPort(this.#options.rtp.host, this.#takePort()).catch(() => undefined);
      if (socket === undefined) continue; // somebody else has it
      this.#keep(call, socket);
      return succeed(socket.address);
    }
    return exhausted;
  }

  /** At the port that it had, sending where it sent; where somebody else has the port by now, a new one that sends nowhere yet. */
  async #restore({ call, port, sendsTo, hushed }: RestoreRequest): Promise<Outcome<RtpAddress, MediaFailure>> {
    if (this.#endpoints.has(call) || this.#opening.has(call)) return this.#open(call);
    const { portFirst, portLast, host } = this.#options.rtp;
    const opening = (async (): Promise<Outcome<RtpAddress, MediaFailure>> => {
      const ours = port >= portFirst && port <= portLast && this.#endpoints.size < this.#endpointsMax;
      const socket = ours ? await this.#openAgain(host, port) : undefined;
      if (socket === undefined) return this.#openNew(call);
      const endpoint = this.#keep(call, socket);
      if (sendsTo === undefined) return succeed(socket.address);
      await socket.connect(sendsTo);
      if (!hushed) {
        endpoint.stream = newStream(this.#rng);
        this.#keepPace();
      }
      return succeed(socket.address);
    })().finally(() => this.#opening.delete(call));
    this.#opening.set(call, opening);
    return opening;
  }

  /** A worker that has just died may have the port for a moment still. */
  async #openAgain(host: string, port: number): Promise<RtpPort | undefined> {
    const untilMs = this.#clock.nowMs() + FORMER_PORT_WAIT_MS;
    for (;;) {
      const socket = await this.#openPort(host, port).catch(() => undefined);
      if (socket !== undefined || this.#clock.nowMs() >= untilMs) return socket;
      await new Promise((resolve) => setTimeout(resolve, FORMER_PORT_TRY_MS));
    }
  }

  #keep(call: string, socket: RtpPort): Endpoint {
    const nothing = { stream: undefined, playing: undefined, finished: undefined, asked: 0 };
    const endpoint: Endpoint = { call, socket, ...nothing, claimed: true };
    this.#endpoints.set(call, endpoint);
    this.#ports.add(socket.address.port);
    return endpoint;
  }

  /** The port that was free for longest: late packets of an ended call must not reach a new one. None of our own. */
  #takePort(): number {
    const { portFirst, portLast } = this.#options.rtp;
    for (let looked = 0; ; looked++) {
      const port = this.#nextPort;
      this.#nextPort = port + 2 > portLast ? portFirst + (portFirst % 2) : port + 2;
      if (!this.#ports.has(port) || looked >= this.#ports.size) return port;
    }
  }

  async #play(
    endpoint: Endpoint,
    play: PlayId,
    asked: readonly PromptItem[],
    repeat: "once" | "forever",
    fromMs: number,
  ): Promise<Outcome<{ durationMs: number }, MediaFailure>> {
    // Asked by a pop that was away meanwhile. What it wants plays, or has come to its end: nothing is begun anew.
    if (endpoint.playing?.position.play === play)
      return succeed({ durationMs: framesOf(endpoint.playing.position.items) * FRAME_MS });
    if (endpoint.finished === play) {
      this.#tell({ event: "played", call: endpoint.call, play, how: "finished", atMs: 0 });
      return succeed({ durationMs: 0 });
    }
    endpoint.asked++;
    const turn = endpoint.asked;
    const items: PlayItem[] = [];
    const audio: Frames[] = [];
    for (const item of asked) {
      const found = await this.#audioOf(item);
      if (!found.ok) return found;
      audio.push(found.value);
      const frames = item.kind === "file" ? found.value.length / FRAME_SAMPLES : framesIn(item.ms);
      items.push({ source: sourceOf(item), frames });
    }
    const durationMs = framesOf(items) * FRAME_MS;
    // While the files were read, the call was closed or another play asked for: this one never began.
    if (this.#endpoints.get(endpoint.call) !== endpoint || endpoint.asked !== turn) {
      this.#tell({ event: "played", call: endpoint.call, play, how: "stopped", atMs: 0 });
      return succeed({ durationMs });
    }
    this.#endPlay(endpoint, "stopped", turn);
    endpoint.playing = { position: startPlay(play, items, repeat, fromMs), audio };
    if (endpoint.stream !== undefined) endpoint.stream = atTalkSpurt(endpoint.stream);
    else if (endpoint.socket.sendsTo !== undefined) endpoint.stream = newStream(this.#rng);
    this.#keepPace();
    return succeed({ durationMs });
  }

  async #audioOf(item: PromptItem): Promise<Outcome<Frames, MediaFailure>> {
    if (item.kind === "file") return this.#store.file(item.path);
    return succeed(item.kind === "tone" ? this.#store.tone(item.hz) : SILENT_FRAME);
  }

  /** @returns how much of the play was sent, ms */
  #endPlay(endpoint: Endpoint, how: "finished" | "stopped" | "failed", turn = endpoint.asked + 1): number {
    endpoint.asked = turn; // a play whose files are still being read is ended as well
    const { playing } = endpoint;
    if (playing === undefined) return 0;
    endpoint.playing = undefined;
    endpoint.finished = how === "finished" ? playing.position.play : undefined;
    const atMs = playedMs(playing.position);
    this.#tell({ event: "played", call: endpoint.call, play: playing.position.play, how, atMs });
    return atMs;
  }

  #close(call: string): void {
    const endpoint = this.#endpoints.get(call);
    if (endpoint === undefined) return;
    this.#endPlay(endpoint, "stopped");
    this.#endpoints.delete(call);
    this.#ports.delete(endpoint.socket.address.port);
    this.#received += endpoint.socket.received;
    endpoint.socket.close();
  }

  #closeOrphans(): void {
    const orphans = [...this.#endpoints.values()].filter(({ claimed }) => !claimed);
    for (const { call } of orphans) this.#close(call);
    if (orphans.length > 0) this.#log.warn("orphans.closed", { endpoints: orphans.length });
  }

  /** Ticks as long as anybody sends. */
  #keepPace(): void {
    if (this.#timer !== undefined) return;
    this.#pace = startPace(this.#clock.nowMs());
    this.#timer = setTimeout(() => this.#tick(), 0);
  }

  #tick(): void {
    const { pace, send, skip, lateMs } = dueFrames(this.#pace ?? startPace(this.#clock.nowMs()), this.#clock.nowMs());
    this.#pace = pace;
    if (send > 0) {
      const bucket = LATE_MS.findIndex((upToMs) => lateMs <= upToMs);
      const at = bucket < 0 ? LATE_MS.length : bucket;
      this.#late[at] = (this.#late[at] ?? 0) + 1;
    }
    let sending = false;
    for (const endpoint of this.#endpoints.values()) {
      if (endpoint.stream === undefined) continue;
      sending = true;
      if (skip > 0) endpoint.stream = afterPause(endpoint.stream, skip);
      for (let frame = 0; frame < send; frame++) this.#sendFrame(endpoint);
    }
    if (skip > 0) this.#framesSkipped += skip;
    this.#timer = sending
      ? setTimeout(() => this.#tick(), Math.max(1, dueAtMs(pace) - this.#clock.nowMs()))
      : undefined;
  }

  #sendFrame(endpoint: Endpoint): void {
    const audio = this.#nextAudio(endpoint);
    const { stream } = endpoint;
    if (stream === undefined) return;
    const packet = Buffer.allocUnsafe(PACKET_BYTES);
    writeRtpHeader(packet, { payloadType: 0, ...stream });
    packet.set(audio, RTP_HEADER_BYTES);
    endpoint.socket.send(packet);
    endpoint.stream = afterPacket(stream);
    this.#framesSent++;
  }

  #nextAudio(endpoint: Endpoint): Frames {
    const { playing } = endpoint;
    if (playing === undefined) return SILENT_FRAME;
    const next = nextFrame(playing.position);
    if (next === undefined) {
      this.#endPlay(endpoint, "finished");
      return SILENT_FRAME;
    }
    playing.position = next.next;
    const audio = playing.audio[next.item] ?? SILENT_FRAME;
    // A tone is a loop of a second, silence one of a single frame.
    const at = (next.frame * FRAME_SAMPLES) % audio.length;
    return audio.subarray(at, at + FRAME_SAMPLES);
  }
}

const sourceOf = (item: PromptItem): PlayItem["source"] =>
  item.kind === "tone"
    ? { kind: "tone", hz: item.hz }
    : item.kind === "file"
      ? { kind: "file", path: item.path }
      : { kind: "silence" };
