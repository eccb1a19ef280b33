// A small RTP party for demonstrations, tests and measurements: sends known audio and digits, and can say what it heard.

import { createSocket, type Socket } from "node:dgram";
import type { RtpAddress } from "../../pop/core/media/addresses.ts";
import { eventOfDigit } from "../../pop/core/media/dtmf.ts";
import { encodeG711, FRAME_MS, FRAME_SAMPLES, type G711Law } from "../../pop/core/media/g711.ts";
import { readRtp, writeRtp, writeTelephoneEvent } from "../../pop/core/media/rtp.ts";
import {
  type AudioCodec,
  type Direction,
  firstG711,
  PCMA,
  PCMU,
  readAudio,
  type Sdp,
  writeAudio,
} from "../../pop/core/media/sdp.ts";
import { toneSamples } from "../../pop/core/media/tone.ts";
import { Listening } from "./listening.ts";
import { cryptoOf, newMaster, SrtpStream, withCrypto } from "./srtp.ts";

export interface ProbeOptions {
  readonly host?: string;
  /** 0: any free one. */
  readonly port?: number;
  /** What it offers and accepts, in order of preference. Default: PCMU, PCMA. */
  readonly codecs?: readonly G711Law[];
  /** Default 101; null: no telephone events. */
  readonly dtmfPayloadType?: number | null;
  /** Offers RTP/SAVP with a key of its own (SDES). An offer of RTP/SAVP is answered in kind in any case. */
  readonly srtp?: boolean;
  /** Of its first packet; default: any. */
  readonly firstSequence?: number;
  /** How many packets are kept to be asked about; default: ten minutes of one stream. */
  readonly packetsMax?: number;
  /** Told the time of every RTP packet, also of those no longer kept. */
  readonly arrivals?: ArrivalTimes;
}

export interface ArrivalTimes {
  add(atMs: number): void;
}

interface Digit {
  readonly event: number;
  readonly frames: number;
  readonly done: () => void;
}

const CODECS: Record<G711Law, AudioCodec> = { PCMU, PCMA };
/** RFC 4733 §2.5.1.4: the end is said three times. */
const END_PACKETS = 3;

const SILENT = new Uint8Array(FRAME_SAMPLES).fill(0xff);
const FRAME_LOOPS_MAX = 1_000;
const frameLoops = new Map<string, readonly Uint8Array[]>();

/** A second of a tone (0: of silence), encoded once for all probes of the process. */
function framesOf(law: G711Law, hz: number): readonly Uint8Array[] {
  const key = `${law}/${hz}`;
  const known = frameLoops.get(key);
  if (known !== undefined) return known;
  const bytes = encodeG711(law, hz === 0 ? new Int16Array(FRAME_SAMPLES) : toneSamples(hz, 1_000));
  const frames = Array.from({ length: bytes.length / FRAME_SAMPLES }, (_, at) =>
    bytes.subarray(at * FRAME_SAMPLES, (at + 1) * FRAME_SAMPLES),
  );
  if (frameLoops.size < FRAME_LOOPS_MAX) frameLoops.set(key, frames);
  return frames;
}

export class RtpProbe {
  readonly address: RtpAddress;
  readonly listening: Listening;
  readonly #socket: Socket;
  readonly #codecs: readonly G711Law[];
  #dtmfPayloadType: number | undefined;
  #law: G711Law;
  readonly #sessionId = Math.floor(Math.random() * 0x100000000);
  #sessionVersion = 0;
  #destination: RtpAddress | undefined;
  /** One loop of linear audio, or undefined while nothing is sent. */
  #source: Int16Array | undefined;
  /** The same as packets' payloads, when the loop is a whole number of them: nothing is encoded twice. */
  #frames: readonly Uint8Array[] | undefined;
  #frameHz = 0;
  #sourceAt = 0;
  #sourceRepeats = true;
  #sourceDone: (() => void) | undefined;
  #digits: Digit[] = [];
  #digitFrame = 0;
  #digitTimestamp = 0;
  #sequence = Math.floor(Math.random() * 0x10000);
  #timestamp = Math.floor(Math.random() * 0x100000000);
  #ssrc = Math.floor(Math.random() * 0x100000000);
  #marker = true;
  #timer: NodeJS.Timeout | undefined;
  #nextDueMs = 0;
  #sent = 0;
  /** Packets that were not of the key agreed on. */
  undeciphered = 0;
  #ownMaster: Buffer | undefined;
  #protect: SrtpStream | undefined;
  #unprotect: SrtpStream | undefined;
  #theirMaster: Buffer | undefined;

  private constructor(socket: Socket, options: ProbeOptions) {
    this.#socket = socket;
    const { address, port } = socket.address();
    this.address = { host: address, port };
    this.#codecs = options.codecs ?? ["PCMU", "PCMA"];
    this.#law = this.#codecs[0] ?? "PCMU";
    this.#dtmfPayloadType = options.dtmfPayloadType === null ? undefined : (options.dtmfPayloadType ?? 101);
    this.listening = new Listening(options.packetsMax);
    if (options.firstSequence !== undefined) this.#sequence = options.firstSequence;
    if (options.srtp === true) this.#ownMaster = newMaster();
    const { arrivals } = options;
    socket.on("message", (bytes, from) => {
      const atMs = performance.now();
      const plain = this.#unprotect === undefined ? bytes : this.#unprotect.unprotect(bytes);
      if (plain === undefined) {
        this.undeciphered++;
        return;
      }
      const packet = readRtp(plain);
      if (packet === undefined) return;
      arrivals?.add(atMs);
      this.listening.hear({ ...packet, atMs, from: { host: from.address, port: from.port } });
    });
    socket.on("error", () => {}); // a refused datagram is the other side's matter
  }

  static async open(options: ProbeOptions = {}): Promise<RtpProbe> {
    // Addresses are never names here: no resolver in the way of each packet.
    const socket = createSocket({
      type: "udp4",
      lookup: (address, _options, found) => found(null, address, 4),
    });
    await new Promise<void>((resolve, reject) => {
      socket.once("error", reject);
      socket.bind(options.port ?? 0, options.host ?? "127.0.0.1", () => {
        socket.off("error", reject);
        resolve();
      });
    });
    return new RtpProbe(socket, options);
  }

  /** Packets sent so far, digits included. */
  get sent(): number {
    return this.#sent;
  }

  get dtmfPayloadType(): number | undefined {
    return this.#dtmfPayloadType;
  }

  /** An offer of our codecs. Each call is a new version (RFC 3264 §8). */
  offer(direction: Direction = "sendrecv"): Sdp {
    return this.#describe(this.#codecs, this.#dtmfPayloadType, direction);
  }

  /** Answers `offer`, and sends there from now on. @throws Error when there is nothing in common */
  answer(offer: Sdp, direction: Direction = "sendrecv"): Sdp {
    const audio = this.#follow(offer);
    return this.#describe([this.#law], audio, direction);
  }

  /** The other side answered our offer: sends there, as agreed, from now on. */
  answered(answer: Sdp): void {
    this.#follow(answer);
  }

  #follow(sdp: Sdp): number | undefined {
    const master = cryptoOf(sdp);
    if (master === undefined && this.#unprotect === undefined && this.#ownMaster !== undefined)
      throw new Error("the other side's SDP is not SRTP");
    if (master !== undefined) {
      this.#ownMaster ??= newMaster();
      this.#protect ??= new SrtpStream(this.#ownMaster);
      if (this.#theirMaster === undefined || !this.#theirMaster.equals(master)) {
        this.#theirMaster = master;
        this.#unprotect = new SrtpStream(master);
      }
    }
    const audio = readAudio(sdp);
    if (!audio.ok) throw new Error(`SDP without audio: ${audio.failure.detail}`);
    const codec = firstG711(
      audio.value.codecs.filter(({ name }) => (this.#codecs as readonly string[]).includes(name)),
    );
    if (codec === undefined) throw new Error(`no codec of ${this.#codecs.join(", ")} in the other side's SDP`);
    this.#law = codec.name;
    if (this.#frames !== undefined) this.#loop(this.#frameHz);
    this.#destination = audio.value.address;
    if (this.#dtmfPayloadType !== undefined) this.#dtmfPayloadType = audio.value.dtmfPayloadType;
    return this.#dtmfPayloadType;
  }

  #describe(codecs: readonly G711Law[], dtmfPayloadType: number | undefined, direction: Direction): Sdp {
    this.#sessionVersion++;
    const sdp = writeAudio({
      address: this.address,
      codecs: codecs.map((law) => CODECS[law]),
      ...(dtmfPayloadType === undefined ? {} : { dtmfPayloadType }),
      direction,
      sessionId: this.#sessionId,
      version: this.#sessionVersion,
    });
    return this.#ownMaster === undefined ? sdp : withCrypto(sdp, this.#ownMaster);
  }

  sendTo(destination: RtpAddress, law: G711Law = "PCMU"): void {
    this.#destination = destination;
    this.#law = law;
  }

  /** A new stream from the next packet on: another SSRC, a marker. RFC 3550 §8.2 allows it at any time. */
  renew(): void {
    this.#ssrc = Math.floor(Math.random() * 0x100000000);
    this.#sequence = Math.floor(Math.random() * 0x10000);
    this.#marker = true;
  }

  /** Sends a tone from now on, until told otherwise. Whole cycles per loop, so that the loop has no click. */
  tone(hz: number): void {
    this.#start(toneSamples(hz, 1_000), true);
    this.#loop(hz);
  }

  #loop(hz: number): void {
    this.#frameHz = hz;
    this.#frames = framesOf(this.#law, hz);
  }

  silence(): void {
    this.#start(new Int16Array(FRAME_SAMPLES), true);
    this.#loop(0);
  }

  /** Sends 8 kHz linear audio once; resolves when its last packet is out. Then sends silence. */
  play(samples: Int16Array): Promise<void> {
    return new Promise((resolve) => {
      this.#start(samples, false);
      this.#sourceDone = resolve;
    });
  }

  /** No packets from now on. */
  mute(): void {
    this.#source = undefined;
    if (this.#digits.length === 0) this.#stopTimer();
    this.#marker = true;
  }

  /** Presses keys one after the other, in RFC 4733 packets; resolves when the last end packet is out. */
  async press(digits: string, durationMs = 100, pauseMs = 60): Promise<void> {
    for (const digit of digits) {
      const event = eventOfDigit(digit);
      if (event === undefined) throw new Error(`"${digit}" is no DTMF digit`);
      if (this.#dtmfPayloadType === undefined) throw new Error("no telephone events agreed");
      await new Promise<void>((done) => {
        this.#digits.push({ event, frames: Math.max(1, Math.round(durationMs / FRAME_MS)), done });
        this.#startTimer();
      });
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
  }

  /** Resolves when `told` says yes; asked every 10 ms. @throws Error after `timeoutMs` */
  async until(
    told: (listening: Listening) => boolean,
    timeoutMs = 5_000,
    what = "what the probe waits for",
  ): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    while (!told(this.listening)) {
      if (performance.now() > deadline) throw new Error(`${what}: not within ${timeoutMs} ms`);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  async close(): Promise<void> {
    this.#stopTimer();
    await new Promise<void>((resolve) => this.#socket.close(() => resolve()));
  }

  #start(source: Int16Array, repeats: boolean): void {
    this.#source = source;
    this.#frames = undefined;
    this.#sourceAt = 0;
    this.#sourceRepeats = repeats;
    this.#sourceDone = undefined;
    this.#startTimer();
  }

  #startTimer(): void {
    if (this.#timer !== undefined) return;
    this.#nextDueMs = performance.now();
    this.#tick();
  }

  #stopTimer(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #tick(): void {
    const nowMs = performance.now();
    // After a pause of the process the rest is sent later, not all at once.
    if (nowMs - this.#nextDueMs > 200) this.#nextDueMs = nowMs;
    while (this.#nextDueMs <= nowMs) {
      this.#sendFrame();
      this.#nextDueMs += FRAME_MS;
    }
    if (this.#source === undefined && this.#digits.length === 0) this.#timer = undefined;
    else this.#timer = setTimeout(() => this.#tick(), Math.max(1, this.#nextDueMs - performance.now()));
  }

  #sendFrame(): void {
    const digit = this.#digits[0];
    if (digit !== undefined) this.#sendDigitFrame(digit);
    else if (this.#frames !== undefined)
      this.#sendAudio(this.#frames[this.#sourceAt++ % this.#frames.length] ?? SILENT);
    else if (this.#source !== undefined) this.#sendAudio(encodeG711(this.#law, this.#nextFrame(this.#source)));
    this.#timestamp = (this.#timestamp + FRAME_SAMPLES) >>> 0;
  }

  #nextFrame(source: Int16Array): Int16Array {
    const frame = new Int16Array(FRAME_SAMPLES);
    for (let at = 0; at < FRAME_SAMPLES; at++) {
      if (this.#sourceAt >= source.length && this.#sourceRepeats) this.#sourceAt = 0;
      frame[at] = source[this.#sourceAt++] ?? 0;
    }
    if (!this.#sourceRepeats && this.#sourceAt >= source.length) {
      const done = this.#sourceDone;
      this.#start(new Int16Array(FRAME_SAMPLES), true);
      done?.();
    }
    return frame;
  }

  /** Updates with the growing duration, all with the timestamp of the start; the last three say the end. RFC 4733 §2.5.1 */
  #sendDigitFrame(digit: Digit): void {
    if (this.#digitFrame === 0) this.#digitTimestamp = this.#timestamp;
    this.#digitFrame++;
    const end = this.#digitFrame >= digit.frames;
    const duration = Math.min(this.#digitFrame, digit.frames) * FRAME_SAMPLES;
    const payload = writeTelephoneEvent({ event: digit.event, end, volume: 10, duration });
    const times = end ? END_PACKETS : 1;
    for (let copy = 0; copy < times; copy++)
      this.#send(this.#dtmfPayloadType ?? 101, payload, this.#digitTimestamp, this.#digitFrame === 1 && copy === 0);
    if (!end) return;
    this.#digits.shift();
    this.#digitFrame = 0;
    this.#marker = true;
    digit.done();
  }

  #sendAudio(payload: Uint8Array): void {
    this.#send(CODECS[this.#law].payloadType, payload, this.#timestamp, this.#marker);
    this.#marker = false;
  }

  #send(payloadType: number, payload: Uint8Array, timestamp: number, marker: boolean): void {
    if (this.#destination === undefined || this.#destination.port === 0) return;
    const packet = writeRtp({ marker, payloadType, sequence: this.#sequence, timestamp, ssrc: this.#ssrc, payload });
    this.#sequence = (this.#sequence + 1) & 0xffff;
    this.#sent++;
    const sent = this.#protect === undefined ? packet : this.#protect.protect(packet);
    this.#socket.send(sent, this.#destination.port, this.#destination.host);
  }
}
