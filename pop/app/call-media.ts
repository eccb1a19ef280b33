// The media of one call: its commands to relay and worker in the order in which they were asked for, one at a
// time, and their results back as inputs. A prompt that is still being spoken holds up nothing but itself.
//
// A call that is taken up by another process says its wishes again. So every command here may be repeated: what stands
// already is not touched, what was lost on the way is made good.

import type { CallId, LegId } from "../../kernel/ids.ts";
import type { MediaRelay } from "../boundary/media-relay.ts";
import type { MediaServer } from "../boundary/media-server.ts";
import type { PromptStore } from "../boundary/prompt-store.ts";
import type { Saved } from "../boundary/saved.ts";
import type { AnchorOffer, CallEffect, CallInput, CallSide } from "../core/call/call-execution.ts";
import type { Playing } from "../core/call/call-state.ts";
import type { RtpAddress } from "../core/media/addresses.ts";
import type { MediaFailure } from "../core/media/media-failure.ts";
import type { PlayId, PromptRef } from "../core/media/prompt.ts";
import { readAudio, type Sdp } from "../core/media/sdp.ts";

export interface MediaEngines {
  readonly relay: MediaRelay;
  readonly server: MediaServer;
  promptsOf(tenant: string): PromptStore;
}

export type MediaEffect = Extract<
  CallEffect,
  {
    kind:
      | "anchor"
      | "offer-leg"
      | "bridge"
      | "park"
      | "drop-leg"
      | "reattach-worker"
      | "re-anchor"
      | "take-answer"
      | "reoffer"
      | "play"
      | "stop-playing"
      | "release-media";
  }
>;

/** What a call's media needs to be taken up again. Engines that know nothing of the call save nothing. */
export interface SavedMedia {
  readonly callerOffer: Sdp;
  readonly relay: Saved | undefined;
  readonly worker: Saved | undefined;
}

/** How a call hears of its media. */
export interface MediaListener {
  /** False: this process may not act any more; what waits is not asked for. */
  held(): boolean;
  tell(input: CallInput): void;
  /** What would be saved is not what it was; no input need follow. */
  changed(): void;
}

export class CallMedia {
  readonly #engines: MediaEngines;
  readonly #call: CallId;
  /** The caller's last offer that was taken: where its audio goes now. */
  #offer: Sdp;
  readonly #prompts: PromptStore;
  readonly #listener: MediaListener;
  /** The end of the line of commands; each waits for the one before. Every engine command is bounded in time. */
  #line: Promise<void> = Promise.resolve();
  /** The play that is wanted now: one whose prompts come too late is not played any more. */
  #wanted: PlayId | undefined;
  #released = false;

  constructor(engines: MediaEngines, call: CallId, tenant: string, offer: Sdp, listener: MediaListener) {
    this.#engines = engines;
    this.#call = call;
    this.#offer = offer;
    this.#prompts = engines.promptsOf(tenant);
    this.#listener = listener;
  }

  saved(): SavedMedia {
    const { relay, server } = this.#engines;
    return { callerOffer: this.#offer, relay: relay.saved(this.#call), worker: server.saved(this.#call) };
  }

  /** Before anything else is asked for: relay and worker go on with what an earlier process told them. */
  restore({ callerOffer, relay, worker }: SavedMedia): void {
    this.#offer = callerOffer;
    if (relay !== undefined) this.#engines.relay.restore(this.#call, relay);
    if (worker !== undefined) this.#engines.server.restore(this.#call, worker);
    if (relay !== undefined) this.#next(() => this.#reattach());
  }

  perform(effect: MediaEffect): void {
    switch (effect.kind) {
      case "play":
        return this.#play(effect.playing);
      case "stop-playing":
        this.#wanted = undefined;
        return this.#next(async () => void (await this.#engines.server.stop(this.#call)));
      case "anchor":
        return this.#next(() => this.#anchor());
      case "offer-leg":
        return this.#next(() => this.#offerLeg(effect.leg));
      case "bridge":
        this.#wanted = undefined;
        return this.#next(() => this.#bridge(effect.leg, effect.answer));
      case "park":
        return this.#next(() => this.#park(effect.leg));
      case "drop-leg":
        return this.#next(async () => void (await this.#engines.relay.park(this.#call, effect.leg)));
      case "reattach-worker":
        return this.#next(() => this.#reattach());
      case "re-anchor":
        return this.#next(() => this.#reAnchor(effect.leg));
      case "take-answer":
        return this.#next(() => this.#takeAnswer(effect.side, effect.sdp));
      case "reoffer":
        return this.#next(() => this.#reoffer(effect.side, effect.request, effect.sdp));
      case "release-media":
        return this.#release();
    }
  }

  /** Resolves when all that was asked for is done: for a clean stop. */
  settled(): Promise<void> {
    return this.#line;
  }

  #next(command: () => Promise<void>): void {
    this.#line = this.#line.then(async () => {
      if (this.#released || !this.#listener.held()) return;
      await command();
      this.#listener.changed();
    });
  }

  #tell(input: CallInput): void {
    this.#listener.tell(input);
  }

  #release(): void {
    this.#released = true;
    this.#wanted = undefined;
    this.#line = this.#line.then(async () => {
      await Promise.all([this.#engines.relay.release(this.#call), this.#engines.server.close(this.#call)]);
    });
  }

  async #anchor(): Promise<void> {
    const { relay, server } = this.#engines;
    const failed = (failure: MediaFailure) => this.#tell({ kind: "anchor-failed", failure });
    const worker = await server.open(this.#call);
    if (!worker.ok) return failed(worker.failure);
    const anchored = await relay.anchor(this.#call, this.#offer, worker.value);
    if (!anchored.ok) return failed(anchored.failure);
    const { answerForCaller, workerSendsTo, dtmfPayloadType, media } = anchored.value;
    const connected = await server.connect(this.#call, workerSendsTo, dtmfPayloadType);
    if (!connected.ok) return failed(connected.failure);
    this.#tell({ kind: "anchored", answer: answerForCaller, codec: codecOf(answerForCaller), media });
  }

  /** A worker that has our endpoint, or gets it back at its old address, needs no more; else the relay is told where it is now. */
  async #reattach(): Promise<void> {
    const { relay, server } = this.#engines;
    const worker = await server.open(this.#call);
    if (!worker.ok) return; // "worker-back" comes
    const standing = relay.standing(this.#call);
    if (standing === undefined) return; // forgotten by the relay: what that leads to opens it a new place for caller and worker
    if (isSame(worker.value, standing.worker)) return;
    const anchored = await relay.anchor(this.#call, this.#offer, worker.value);
    if (!anchored.ok) return this.#tell({ kind: "park-failed", failure: anchored.failure });
    const { workerSendsTo, dtmfPayloadType } = anchored.value;
    if (standing.bridged === undefined) await server.connect(this.#call, workerSendsTo, dtmfPayloadType);
  }

  async #offerLeg(leg: LegId): Promise<void> {
    const offered = await this.#engines.relay.offer(this.#call, leg);
    if (offered.ok) this.#tell({ kind: "leg-offer-ready", leg, sdp: offered.value });
    else this.#tell({ kind: "leg-offer-failed", leg, failure: offered.failure });
  }

  async #bridge(leg: LegId, answer: Sdp): Promise<void> {
    const joined = await this.#engines.relay.bridge(this.#call, leg, answer);
    if (!joined.ok) return this.#tell({ kind: "bridge-failed", leg, failure: joined.failure });
    this.#tell({ kind: "bridged", leg, codec: codecOf(answer), media: joined.value.media });
    await this.#engines.server.hush(this.#call); // until the next connect, the worker has nobody to talk to
  }

  async #park(leg: LegId): Promise<void> {
    const { relay, server } = this.#engines;
    const stood = relay.standing(this.#call);
    // A wish that was fulfilled before: the worker's stream is not begun anew for it.
    if (stood !== undefined && !stood.legs.includes(leg) && server.sendsTo(this.#call) !== undefined) return;
    const parked = await relay.park(this.#call, leg);
    if (!parked.ok) {
      // Forgotten by the relay, of which we may have heard already: caller and worker get a new place, once.
      if (parked.failure.code === "media.not-anchored") return this.#tell({ kind: "media-lost" });
      return this.#tell({ kind: "park-failed", failure: parked.failure });
    }
    const connected = await server.connect(this.#call, parked.value.workerSendsTo);
    if (connected.ok || connected.failure.code === "media.worker-away") return; // it follows when "worker-back" comes
    if (connected.failure.code !== "media.not-open")
      return this.#tell({ kind: "park-failed", failure: connected.failure });
    // Restarted while nobody needed it: it has not heard of this call yet.
    await this.#reattach();
    await server.connect(this.#call, parked.value.workerSendsTo);
  }

  /** Everything at a new place; whoever was told another before is in the offers. */
  async #reAnchor(leg: LegId | undefined): Promise<void> {
    const { relay, server } = this.#engines;
    const failed = (failure: MediaFailure) => this.#tell({ kind: "re-anchor-failed", failure });
    const worker = await server.open(this.#call);
    if (!worker.ok) return failed(worker.failure);
    const anchored = await relay.anchor(this.#call, this.#offer, worker.value);
    if (!anchored.ok) return failed(anchored.failure);
    const { answerForCaller, workerSendsTo, dtmfPayloadType, media, moved } = anchored.value;
    const offers: AnchorOffer[] = moved ? [{ side: "caller", sdp: answerForCaller }] : [];
    if (leg !== undefined) {
      const offered = await relay.offer(this.#call, leg);
      if (!offered.ok) return failed(offered.failure);
      offers.push({ side: leg, sdp: offered.value });
    }
    // Until the leg has answered, silence or music is better than nothing.
    await server.connect(this.#call, workerSendsTo, dtmfPayloadType);
    this.#tell({ kind: "re-anchored", offers, media });
  }

  /** To our re-INVITE. It may come from another address than before: an offer like any other, whose answer nobody needs. */
  async #takeAnswer(side: CallSide, sdp: Sdp): Promise<void> {
    if (side !== "caller") {
      const joined = await this.#engines.relay.bridge(this.#call, side, sdp);
      if (!joined.ok) return this.#tell({ kind: "re-anchor-failed", failure: joined.failure });
      return void (await this.#engines.server.hush(this.#call));
    }
    const taken = await this.#engines.relay.reoffer(this.#call, "caller", sdp);
    if (taken.ok) this.#offer = sdp;
    else this.#tell({ kind: "re-anchor-failed", failure: taken.failure });
  }

  async #reoffer(side: CallSide, request: string, sdp: Sdp): Promise<void> {
    const answered = await this.#engines.relay.reoffer(this.#call, side, sdp);
    if (answered.ok && side === "caller") this.#offer = sdp;
    if (answered.ok) this.#tell({ kind: "reoffer-answered", side, request, sdp: answered.value });
    else this.#tell({ kind: "reoffer-failed", side, request, failure: answered.failure });
  }

  #play({ play, prompts, repeat, fromMs }: Playing): void {
    this.#wanted = play;
    const failed = () => this.#tell({ kind: "played", play, how: "failed" });
    void Promise.all(prompts.map((prompt) => this.#prompts.resolve(prompt))).then((resolved) => {
      if (this.#wanted !== play) return this.#tell({ kind: "played", play, how: "stopped" });
      const items: PromptRef[] = [];
      for (const prompt of resolved) {
        if (!prompt.ok) return failed();
        items.push(prompt.value);
      }
      this.#next(async () => {
        if (this.#wanted !== play) return this.#tell({ kind: "played", play, how: "stopped" });
        const playing = await this.#begin(play, items, repeat, fromMs);
        if (playing.ok) return this.#tell({ kind: "play-started", play });
        const away = playing.failure.code === "media.worker-away";
        this.#tell({ kind: "played", play, how: away ? "lost" : "failed" });
      });
    }, failed);
  }

  /** A worker that came back a moment ago, after we had asked for our endpoint, has not heard of this call yet. */
  async #begin(
    play: PlayId,
    items: readonly PromptRef[],
    repeat: Playing["repeat"],
    fromMs: number,
  ): ReturnType<MediaEngines["server"]["play"]> {
    const { server } = this.#engines;
    const playing = await server.play(this.#call, play, items, repeat, fromMs);
    if (playing.ok || playing.failure.code !== "media.not-open") return playing;
    await this.#reattach();
    return server.play(this.#call, play, items, repeat, fromMs);
  }
}

const isSame = (one: RtpAddress, other: RtpAddress): boolean => one.host === other.host && one.port === other.port;

/** For the record: the first audio codec of an answer is the one that is used. RFC 3264 §6.1 */
function codecOf(sdp: Sdp): string {
  const audio = readAudio(sdp);
  return audio.ok ? (audio.value.codecs.find(({ name }) => name !== "telephone-event")?.name ?? "unknown") : "unknown";
}
