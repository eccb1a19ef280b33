// Relay and media worker as processes of a simulated host, and their adapters in pop. The relay keeps its calls in a
// database of its own, as rtpengine does; the worker forgets everything when it dies.

import type { CallId, LegId } from "../../kernel/ids.ts";
import { fail, type Outcome, succeed } from "../../kernel/outcome.ts";
import type { SimProcess } from "../../kernel/sim/process.ts";
import type { Anchored, DtmfPressed, MediaRelay, MediaSide, Standing } from "../../pop/boundary/media-relay.ts";
import type { MediaServer, Played } from "../../pop/boundary/media-server.ts";
import type { PromptStore, ResolvedPrompt } from "../../pop/boundary/prompt-store.ts";
import type { Saved } from "../../pop/boundary/saved.ts";
import type { MediaAddresses, RtpAddress } from "../../pop/core/media/addresses.ts";
import type { MediaFailure } from "../../pop/core/media/media-failure.ts";
import type { PlayId, Prompt, PromptRef } from "../../pop/core/media/prompt.ts";
import { answerDirection, PCMU, readAudio, type Sdp, writeAudio } from "../../pop/core/media/sdp.ts";

const LOCAL_MS = 0.3;
/** A relay or worker that does not answer is given up after this. */
const GIVE_UP_MS = 500;

// ---- relay ----

interface Relayed {
  readonly callerPort: number;
  readonly farPort: number;
  callerOffer: Sdp;
  offered: LegId | undefined;
  bridged: LegId | undefined;
  remote: RtpAddress;
  readonly worker: RtpAddress;
}

/** What a relay writes down of its calls; undefined: the call is over. Never waits. */
export type KeepRelayed = (call: CallId, text: string | undefined) => void;

export class RelayEngine {
  readonly process: SimProcess;
  readonly address: string;
  readonly calls = new Map<CallId, Relayed>();
  readonly #keep: KeepRelayed;
  #nextPort = 30_000;
  /** For a proof: releases nothing. */
  keepsAll = false;
  /** The one adapter that hears of keys. */
  onKey: ((event: DtmfPressed) => void) | undefined;

  constructor(process: SimProcess, address: string, keep: KeepRelayed, kept: ReadonlyMap<CallId, string>) {
    this.process = process;
    this.address = address;
    this.#keep = keep;
    for (const [call, text] of kept) {
      const relayed = JSON.parse(text) as Relayed;
      this.calls.set(call, relayed);
      this.#nextPort = Math.max(this.#nextPort, relayed.farPort + 2);
    }
  }

  /** The caller presses a key: RFC 4733. */
  press(call: CallId, digit: string): void {
    this.process.take(() => {
      if (this.calls.has(call)) this.onKey?.({ call, side: "caller", digit, durationMs: 100 });
    });
  }

  anchor(call: CallId, callerOffer: Sdp, worker: RtpAddress): Outcome<Anchored, MediaFailure> {
    const known = this.calls.get(call);
    const audio = readAudio(callerOffer);
    if (!audio.ok) return audio;
    const relayed: Relayed = {
      callerPort: known?.callerPort ?? this.#port(),
      farPort: known?.farPort ?? this.#port(),
      callerOffer,
      offered: known?.offered,
      bridged: known?.bridged,
      remote: audio.value.address,
      worker,
    };
    this.calls.set(call, relayed);
    this.#write(call);
    return succeed({
      answerForCaller: this.#answer(relayed.callerPort, callerOffer),
      workerSendsTo: { host: this.address, port: relayed.farPort },
      dtmfPayloadType: 101,
      media: this.#media(relayed, worker),
      moved: false,
    });
  }

  offer(call: CallId, leg: LegId): Outcome<Sdp, MediaFailure> {
    const relayed = this.calls.get(call);
    if (relayed === undefined) return fail({ code: "media.not-anchored" });
    relayed.offered = leg;
    this.#write(call);
    const address = { host: this.address, port: relayed.farPort };
    return succeed(writeAudio({ address, codecs: [PCMU], dtmfPayloadType: 101 }));
  }

  bridge(call: CallId, leg: LegId, answer: Sdp): Outcome<{ media: MediaAddresses }, MediaFailure> {
    const relayed = this.calls.get(call);
    if (relayed === undefined) return fail({ code: "media.not-anchored" });
    if (relayed.offered !== leg && relayed.bridged !== leg) return fail({ code: "media.no-such-leg", leg });
    const audio = readAudio(answer);
    if (!audio.ok) return audio;
    relayed.bridged = leg;
    relayed.offered = undefined;
    this.#write(call);
    return succeed({ media: this.#media(relayed, audio.value.address) });
  }

  park(
    call: CallId,
    leg: LegId | undefined,
  ): Outcome<{ workerSendsTo: RtpAddress; media: MediaAddresses }, MediaFailure> {
    const relayed = this.calls.get(call);
    if (relayed === undefined) return fail({ code: "media.not-anchored" });
    if (leg === undefined || relayed.offered === leg) relayed.offered = undefined;
    if (leg === undefined || relayed.bridged === leg) relayed.bridged = undefined;
    this.#write(call);
    return succeed({
      workerSendsTo: { host: this.address, port: relayed.farPort },
      media: this.#media(relayed, relayed.worker),
    });
  }

  reoffer(call: CallId, side: MediaSide, offer: Sdp): Outcome<Sdp, MediaFailure> {
    const relayed = this.calls.get(call);
    if (relayed === undefined) return fail({ code: "media.not-anchored" });
    if (side !== "caller" && relayed.bridged !== side) return fail({ code: "media.no-such-leg", leg: side });
    if (side === "caller") relayed.callerOffer = offer;
    this.#write(call);
    return succeed(this.#answer(side === "caller" ? relayed.callerPort : relayed.farPort, offer));
  }

  release(call: CallId): void {
    if (!this.keepsAll && this.calls.delete(call)) this.#keep(call, undefined);
  }

  #write(call: CallId): void {
    const relayed = this.calls.get(call);
    if (relayed !== undefined) this.#keep(call, JSON.stringify(relayed));
  }

  #port(): number {
    this.#nextPort += 2;
    return this.#nextPort;
  }

  #media({ callerPort, farPort, remote }: Relayed, far: RtpAddress): MediaAddresses {
    const host = this.address;
    return {
      caller: { relay: { host, port: callerPort }, remote },
      far: { relay: { host, port: farPort }, remote: far },
    };
  }

  #answer(port: number, offer: Sdp): Sdp {
    const audio = readAudio(offer);
    const direction = audio.ok ? answerDirection(audio.value.direction) : "sendrecv";
    return writeAudio({ address: { host: this.address, port }, codecs: [PCMU], dtmfPayloadType: 101, direction });
  }
}

/** What pop has told a relay of a call. */
interface Told {
  readonly worker: RtpAddress;
  readonly media: MediaAddresses;
  readonly legs: readonly LegId[];
  readonly bridged: LegId | undefined;
  /** What the bridged leg answered. */
  readonly answer: Sdp | undefined;
}

const PROBE_MS = 20;
/** Every so often pop looks whether the relay is still the one it was. */
const LOOK_EVERY_MS = 1_000;

/** pop's way to whichever relay runs now, and its book of what that was told. */
export class SimMediaRelay implements MediaRelay {
  readonly #pop: SimProcess;
  readonly #engine: () => RelayEngine | undefined;
  readonly #book = new Map<CallId, Told>();
  /** The relay does not have them any more; where the caller was sent before. */
  readonly #lost = new Map<CallId, number>();
  /** Bridges and parks that the relay has not followed yet. */
  readonly #unsettled = new Set<CallId>();
  readonly #releasing = new Set<CallId>();
  readonly #keyListeners: ((event: DtmfPressed) => void)[] = [];
  readonly #forgottenListeners: ((call: CallId) => void)[] = [];
  #seen: RelayEngine | undefined;
  knows: (call: CallId) => boolean = () => true;

  constructor(pop: SimProcess, engine: () => RelayEngine | undefined) {
    this.#pop = pop;
    this.#engine = engine;
    this.#look();
  }

  async anchor(call: CallId, callerOffer: Sdp, worker: RtpAddress): Promise<Outcome<Anchored, MediaFailure>> {
    const anchored = await this.#ask((engine) => {
      if (this.#book.has(call) && !engine.calls.has(call)) this.#forget(call);
      return engine.anchor(call, callerOffer, worker);
    });
    if (!anchored.ok) return anchored;
    const { media } = anchored.value;
    const callerPort = media.caller.relay.port;
    const before = this.#lost.get(call);
    this.#lost.delete(call);
    const told = this.#book.get(call);
    const legs = told?.legs ?? [];
    this.#book.set(call, { worker, media, legs, bridged: told?.bridged, answer: told?.answer });
    return succeed({ ...anchored.value, moved: before !== undefined && before !== callerPort });
  }

  async offer(call: CallId, leg: LegId): Promise<Outcome<Sdp, MediaFailure>> {
    const offered = await this.#about(call, (engine) => engine.offer(call, leg));
    if (offered.ok) this.#tell(call, ({ legs }) => ({ legs: [...legs.filter((other) => other !== leg), leg] }));
    return offered;
  }

  /** As with rtpengine's adapter: what is meant stands in the book, a relay that is away follows once it is back. */
  async bridge(call: CallId, leg: LegId, answer: Sdp): Promise<Outcome<{ media: MediaAddresses }, MediaFailure>> {
    const told = this.#book.get(call);
    if (told === undefined) return fail({ code: "media.not-anchored" });
    if (!told.legs.includes(leg)) return fail({ code: "media.no-such-leg", leg });
    const bridged = await this.#about(call, (engine) => engine.bridge(call, leg, answer));
    if (bridged.ok || bridged.failure.code === "media.relay-away") {
      this.#tell(call, () => ({ bridged: leg, answer }));
      if (bridged.ok) return bridged;
      this.#unsettled.add(call);
      return succeed({ media: told.media });
    }
    return bridged;
  }

  async park(
    call: CallId,
    leg: LegId | undefined,
  ): Promise<Outcome<{ workerSendsTo: RtpAddress; media: MediaAddresses }, MediaFailure>> {
    const told = this.#book.get(call);
    if (told === undefined) return fail({ code: "media.not-anchored" });
    const { media } = told;
    const workerSendsTo = media.far.relay;
    if (leg !== undefined && !told.legs.includes(leg)) return succeed({ workerSendsTo, media });
    this.#tell(call, ({ legs, bridged, answer }) => ({
      legs: leg === undefined ? [] : legs.filter((other) => other !== leg),
      bridged: leg === undefined || leg === bridged ? undefined : bridged,
      answer: leg === undefined || leg === bridged ? undefined : answer,
    }));
    const parked = await this.#about(call, (engine) => engine.park(call, leg));
    // rtpengine is asked to delete a tag; that it knows none is as good. Only audio that has to come back fails.
    if (!parked.ok && parked.failure.code === "media.not-anchored" && told.bridged === undefined)
      return succeed({ workerSendsTo, media });
    if (parked.ok || parked.failure.code !== "media.relay-away") return parked;
    this.#unsettled.add(call);
    return succeed({ workerSendsTo, media });
  }

  reoffer(call: CallId, side: MediaSide, offer: Sdp) {
    return this.#about(call, (engine) => engine.reoffer(call, side, offer));
  }

  /** Where the relay is away it is asked again once it is back. */
  async release(call: CallId): Promise<void> {
    this.#book.delete(call);
    this.#lost.delete(call);
    this.#releasing.add(call);
    await this.#release(call);
  }

  async #release(call: CallId): Promise<void> {
    const released = await this.#ask((engine) => {
      engine.release(call);
      return succeed(undefined);
    });
    if (released.ok) this.#releasing.delete(call);
  }

  health() {
    return this.#ask<void>(() => succeed(undefined));
  }

  standing(call: CallId): Standing | undefined {
    return this.#book.get(call);
  }

  saved(call: CallId): Saved | undefined {
    const told = this.#book.get(call);
    return told === undefined ? undefined : JSON.stringify(told);
  }

  restore(call: CallId, saved: Saved): void {
    this.#book.set(call, JSON.parse(String(saved)) as Told);
  }

  onForgotten(listener: (call: CallId) => void): void {
    this.#forgottenListeners.push(listener);
  }

  onDtmf(listener: (event: DtmfPressed) => void): void {
    this.#keyListeners.push(listener);
  }

  async close(): Promise<void> {}

  /** Another run of the relay: its calls are compared with the book, keys come from it from now on. */
  #look(): void {
    const engine = this.#engine();
    if (engine?.process.alive === true) {
      engine.onKey = (event) => {
        for (const listener of this.#keyListeners) this.#pop.take(() => listener(event));
      };
      if (engine !== this.#seen) {
        this.#seen = engine;
        void this.#ask((asked) => succeed([...asked.calls.keys()])).then((listed) => {
          if (!listed.ok) {
            this.#seen = undefined;
            return;
          }
          const held = new Set(listed.value);
          for (const call of [...this.#book.keys()]) if (!held.has(call)) this.#forget(call);
          for (const call of held) if (!this.#book.has(call) && !this.knows(call)) this.#releasing.add(call);
        });
      }
    }
    for (const call of this.#releasing) void this.#release(call);
    for (const call of [...this.#unsettled]) void this.#settle(call);
    this.#pop.after(LOOK_EVERY_MS, () => this.#look());
  }

  async #settle(call: CallId): Promise<void> {
    const told = this.#book.get(call);
    const settled =
      told === undefined
        ? undefined
        : await this.#about<unknown>(call, (engine) =>
            told.bridged === undefined || told.answer === undefined
              ? engine.park(call, undefined)
              : engine.bridge(call, told.bridged, told.answer),
          );
    if (settled?.ok !== false || settled.failure.code !== "media.relay-away") this.#unsettled.delete(call);
  }

  #forget(call: CallId): void {
    const told = this.#book.get(call);
    if (told === undefined) return;
    this.#book.delete(call);
    this.#lost.set(call, told.media.caller.relay.port);
    this.#pop.after(0, () => {
      if (this.#lost.has(call)) for (const listener of this.#forgottenListeners) listener(call);
    });
  }

  #tell(call: CallId, change: (told: Told) => Partial<Told>): void {
    const told = this.#book.get(call);
    if (told !== undefined) this.#book.set(call, { ...told, ...change(told) });
  }

  /** About a call that the relay ought to have. */
  #about<T>(call: CallId, run: (engine: RelayEngine) => Outcome<T, MediaFailure>): Promise<Outcome<T, MediaFailure>> {
    return this.#ask((engine) => {
      if (this.#book.has(call) && !engine.calls.has(call)) this.#forget(call);
      return run(engine);
    });
  }

  /** A relay that is away is asked again until the time is over. */
  #ask<T>(run: (engine: RelayEngine) => Outcome<T, MediaFailure>): Promise<Outcome<T, MediaFailure>> {
    return new Promise((resolve) => {
      let isSettled = false;
      const settle = (outcome: Outcome<T, MediaFailure>) => {
        if (isSettled) return;
        isSettled = true;
        resolve(outcome);
      };
      this.#pop.after(GIVE_UP_MS, () =>
        settle(fail({ code: "media.relay-away", command: "any", waitedMs: GIVE_UP_MS })),
      );
      const send = () => {
        if (isSettled) return;
        const engine = this.#engine();
        if (engine?.process.alive !== true) {
          this.#pop.after(PROBE_MS, send);
          return;
        }
        engine.process.whenDead(() => this.#pop.after(PROBE_MS, send));
        engine.process.take(() => {
          if (isSettled) return;
          const outcome = run(engine);
          this.#pop.after(LOCAL_MS, () => settle(outcome));
        });
      };
      this.#pop.after(LOCAL_MS, send);
    });
  }
}

// ---- worker ----

interface Endpoint {
  readonly address: RtpAddress;
  playing: { readonly play: PlayId; readonly startedAtMs: number; readonly fromMs: number } | undefined;
}

export class WorkerEngine {
  readonly process: SimProcess;
  readonly address: string;
  readonly calls = new Map<CallId, Endpoint>();
  onPlayed: (event: Played) => void = () => {};
  #nextPort = 40_000;

  constructor(process: SimProcess, address: string) {
    this.process = process;
    this.address = address;
  }

  open(call: CallId, wanted?: RtpAddress): Outcome<RtpAddress, MediaFailure> {
    const known = this.calls.get(call);
    if (known !== undefined) return succeed(known.address);
    this.#nextPort += 2;
    const address = wanted ?? { host: this.address, port: this.#nextPort };
    this.#nextPort = Math.max(this.#nextPort, address.port);
    this.calls.set(call, { address, playing: undefined });
    return succeed(address);
  }

  play(
    call: CallId,
    play: PlayId,
    items: readonly PromptRef[],
    repeat: "once" | "forever",
    fromMs: number,
  ): Outcome<{ durationMs: number }, MediaFailure> {
    const endpoint = this.calls.get(call);
    if (endpoint === undefined) return fail({ code: "media.not-open" });
    let durationMs = 0;
    for (const item of items) durationMs += item.kind === "file" ? lengthOf(item.path) : item.ms;
    if (endpoint.playing?.play === play) return succeed({ durationMs });
    this.#end(call, "stopped");
    const playing = { play, startedAtMs: this.process.machine.nowMs(), fromMs };
    endpoint.playing = playing;
    if (repeat === "once")
      this.process.after(Math.max(0, durationMs - fromMs), () => {
        if (this.calls.get(call)?.playing === playing) this.#end(call, "finished");
      });
    return succeed({ durationMs });
  }

  stop(call: CallId): Outcome<{ atMs: number }, MediaFailure> {
    const endpoint = this.calls.get(call);
    if (endpoint === undefined) return fail({ code: "media.not-open" });
    const atMs = endpoint.playing === undefined ? 0 : this.process.machine.nowMs() - endpoint.playing.startedAtMs;
    this.#end(call, "stopped");
    return succeed({ atMs });
  }

  close(call: CallId): void {
    this.#end(call, "stopped");
    this.calls.delete(call);
  }

  #end(call: CallId, how: Played["how"]): void {
    const endpoint = this.calls.get(call);
    if (endpoint?.playing === undefined) return;
    const { play, startedAtMs } = endpoint.playing;
    endpoint.playing = undefined;
    this.onPlayed({ call, play, how, atMs: this.process.machine.nowMs() - startedAtMs });
  }
}

/** pop's connection to the worker; dials again by itself. */
export class SimMediaServer implements MediaServer {
  readonly #pop: SimProcess;
  readonly #engine: () => WorkerEngine | undefined;
  #connected: WorkerEngine | undefined;
  readonly #playing = new Map<CallId, PlayId>();
  /** What the worker was told of each call; it is told again when it has forgotten. */
  readonly #book = new Map<CallId, { address: RtpAddress; sendsTo: RtpAddress | undefined }>();
  readonly #awaiting = new Set<() => void>();
  readonly #whenPlayed: ((event: Played) => void)[] = [];
  readonly #whenLost: (() => void)[] = [];
  readonly #whenConnected: (() => void)[] = [];

  constructor(pop: SimProcess, engine: () => WorkerEngine | undefined) {
    this.#pop = pop;
    this.#engine = engine;
    this.#dial();
  }

  #dial(): void {
    this.#pop.after(LOCAL_MS, () => {
      const engine = this.#engine();
      if (engine?.process.alive !== true) {
        this.#pop.after(100, () => this.#dial());
        return;
      }
      // A stopped one lets us connect, and greets us once it goes on.
      let isGreeted = false;
      engine.process.take(() => {
        isGreeted = true;
        this.#pop.after(LOCAL_MS, () => this.#greeted(engine));
      });
      engine.process.whenDead(() => {
        if (!isGreeted) this.#pop.after(100, () => this.#dial());
      });
    });
  }

  #greeted(engine: WorkerEngine): void {
    if (!engine.process.alive) return this.#dial();
    this.#connected = engine;
    engine.onPlayed = (event) => void this.#pop.after(LOCAL_MS, () => this.#tell(engine, event));
    engine.process.whenDead(() => void this.#pop.after(LOCAL_MS, () => this.#lost(engine)));
    for (const settle of [...this.#awaiting]) settle();
    for (const listener of this.#whenConnected) listener();
  }

  /** As the real adapter waits for a worker that is being started. */
  #greeting(): Promise<void> {
    return new Promise((resolve) => {
      const settle = () => {
        alarm.cancel();
        this.#awaiting.delete(settle);
        resolve();
      };
      const alarm = this.#pop.after(GIVE_UP_MS, settle);
      this.#awaiting.add(settle);
    });
  }

  #tell(engine: WorkerEngine, event: Played): void {
    if (this.#connected !== engine || this.#playing.get(event.call) !== event.play) return;
    this.#playing.delete(event.call);
    for (const listener of this.#whenPlayed) listener(event);
  }

  #lost(engine: WorkerEngine): void {
    if (this.#connected !== engine) return;
    this.#connected = undefined;
    const playing = [...this.#playing];
    this.#playing.clear();
    for (const [call, play] of playing)
      for (const listener of this.#whenPlayed) listener({ call, play, how: "lost", atMs: 0 });
    for (const listener of this.#whenLost) listener();
    this.#dial();
  }

  async open(call: CallId): Promise<Outcome<RtpAddress, MediaFailure>> {
    const wanted = this.#book.get(call)?.address;
    if (this.#connected === undefined) await this.#greeting();
    const opened = await this.#ask((engine) => engine.open(call, wanted));
    if (opened.ok && !this.#book.has(call)) this.#book.set(call, { address: opened.value, sendsTo: undefined });
    return opened;
  }

  saved(call: CallId): Saved | undefined {
    const told = this.#book.get(call);
    return told === undefined ? undefined : JSON.stringify(told);
  }

  sendsTo(call: CallId): RtpAddress | undefined {
    return this.#book.get(call)?.sendsTo;
  }

  restore(call: CallId, saved: Saved): void {
    this.#book.set(call, JSON.parse(String(saved)) as { address: RtpAddress; sendsTo: RtpAddress | undefined });
  }

  async connect(call: CallId, sendsTo: RtpAddress): Promise<Outcome<void, MediaFailure>> {
    const connected = await this.#ask<void>((engine) =>
      engine.calls.has(call) ? succeed(undefined) : fail({ code: "media.not-open" }),
    );
    const told = this.#book.get(call);
    const follows = connected.ok || connected.failure.code === "media.worker-away";
    if (follows && told !== undefined) told.sendsTo = sendsTo;
    return connected;
  }

  play(call: CallId, play: PlayId, items: readonly PromptRef[], repeat: "once" | "forever", fromMs = 0) {
    const former = this.#playing.get(call);
    return this.#ask(
      (engine) => engine.play(call, play, items, repeat, fromMs),
      (outcome) => {
        if (!outcome.ok) return;
        if (former !== undefined && former !== play && this.#playing.get(call) === former)
          for (const listener of this.#whenPlayed) listener({ call, play: former, how: "stopped", atMs: 0 });
        this.#playing.set(call, play);
      },
    );
  }

  stop(call: CallId) {
    return this.#ask((engine) => engine.stop(call));
  }

  async hush(call: CallId): Promise<Outcome<void, MediaFailure>> {
    const hushed = await this.#ask<void>((engine) => {
      const stopped = engine.stop(call);
      return stopped.ok ? succeed(undefined) : stopped;
    });
    const told = this.#book.get(call);
    if (hushed.ok && told !== undefined) told.sendsTo = undefined;
    return hushed;
  }

  async close(call: CallId): Promise<void> {
    this.#book.delete(call);
    await this.#ask((engine) => {
      engine.close(call);
      return succeed(undefined);
    });
  }

  onPlayed(listener: (event: Played) => void): void {
    this.#whenPlayed.push(listener);
  }
  onLost(listener: () => void): void {
    this.#whenLost.push(listener);
  }
  onConnected(listener: () => void): void {
    this.#whenConnected.push(listener);
  }
  health() {
    return this.#ask<void>(() => succeed(undefined));
  }
  async disconnect(): Promise<void> {}

  #ask<T>(
    run: (engine: WorkerEngine) => Outcome<T, MediaFailure>,
    answered: (outcome: Outcome<T, MediaFailure>) => void = () => {},
  ): Promise<Outcome<T, MediaFailure>> {
    return new Promise((resolve) => {
      const engine = this.#connected;
      let isSettled = false;
      const settle = (outcome: Outcome<T, MediaFailure>) => {
        if (isSettled) return;
        isSettled = true;
        answered(outcome);
        resolve(outcome);
      };
      const away: Outcome<T, MediaFailure> = fail({ code: "media.worker-away", waitedMs: 0 });
      if (engine?.process.alive !== true) return void this.#pop.after(LOCAL_MS, () => settle(away));
      this.#pop.after(GIVE_UP_MS, () => {
        if (isSettled) return;
        settle(away);
        this.#lost(engine); // another connection may find it well
      });
      engine.process.whenDead(() => void this.#pop.after(LOCAL_MS / 2, () => settle(away))); // before its loss is told
      this.#pop.machine.world.after(LOCAL_MS, () =>
        engine.process.take(() => {
          const outcome = run(engine);
          this.#pop.after(LOCAL_MS, () => settle(outcome));
        }),
      );
    });
  }
}

// ---- prompts ----

/** "/prompts/<name>~<length>.ulaw" */
const lengthOf = (path: string): number => Number(/~(\d+)\./.exec(path)?.[1] ?? 1_000);

/** Speaks at once: 60 ms a character. */
export class SimPrompts implements PromptStore {
  async resolve(prompt: Prompt): Promise<Outcome<ResolvedPrompt, never>> {
    const name = prompt.kind === "file" ? prompt.name : prompt.text;
    const durationMs = 60 * name.length;
    return succeed({ kind: "file", path: `/prompts/${name}~${durationMs}.ulaw`, durationMs });
  }
}
