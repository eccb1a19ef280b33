import type { CallId, LegId } from "../../../kernel/ids.ts";
import { fail, type Outcome, succeed } from "../../../kernel/outcome.ts";
import type { Anchored, DtmfPressed, MediaRelay, MediaSide, Standing } from "../../boundary/media-relay.ts";
import type { Saved } from "../../boundary/saved.ts";
import type { MediaAddresses, MediaPath, RtpAddress } from "../../core/media/addresses.ts";
import type { MediaFailure } from "../../core/media/media-failure.ts";
import {
  type AudioDescription,
  answerDirection,
  firstG711,
  PCMA,
  PCMU,
  readAudio,
  type Sdp,
  writeAudio,
} from "../../core/media/sdp.ts";

export type RelayCommand = "anchor" | "offer" | "bridge" | "park" | "reoffer" | "release" | "health";

export interface RelayAsked {
  readonly command: RelayCommand;
  readonly call?: CallId;
  readonly side?: MediaSide;
}

interface Relayed {
  readonly callerOffer: Sdp;
  readonly caller: MediaPath;
  readonly worker: MediaPath;
  readonly anchored: Anchored;
  offered: LegId | undefined;
  bridged: { readonly leg: LegId; readonly path: MediaPath } | undefined;
}

const RELAY_HOST = "198.51.100.1";

/** A MediaRelay for tests and simulations: remembers calls, moves no packets, does as told by the test. */
export class MemoryMediaRelay implements MediaRelay {
  /** Every command in order. */
  readonly asked: RelayAsked[] = [];
  readonly #calls = new Map<CallId, Relayed>();
  readonly #listeners: ((event: DtmfPressed) => void)[] = [];
  readonly #lost = new Set<CallId>();
  readonly #forgotten: ((call: CallId) => void)[] = [];
  readonly #failures = new Map<RelayCommand, MediaFailure[]>();
  #nextPort = 30_000;

  /** The next `command` fails so; several wait their turn. */
  failNext(command: RelayCommand, failure: MediaFailure): void {
    this.#failures.set(command, [...(this.#failures.get(command) ?? []), failure]);
  }

  press(call: CallId, side: MediaSide, digit: string, durationMs = 100): void {
    for (const listener of this.#listeners) listener({ call, side, digit, durationMs });
  }

  /** The relay was restarted, and has lost this call. */
  forget(call: CallId): void {
    if (!this.#calls.delete(call)) return;
    this.#lost.add(call);
    for (const listener of this.#forgotten) listener(call);
  }

  /** Calls that hold a relay now. */
  get calls(): readonly CallId[] {
    return [...this.#calls.keys()];
  }

  /** Who the caller hears now: the worker, a leg, or nobody. */
  heardByCaller(call: CallId): "worker" | LegId | undefined {
    const relayed = this.#calls.get(call);
    return relayed === undefined ? undefined : (relayed.bridged?.leg ?? "worker");
  }

  async anchor(call: CallId, callerOffer: Sdp, worker: RtpAddress): Promise<Outcome<Anchored, MediaFailure>> {
    const refused = this.#note("anchor", call, "caller");
    if (refused !== undefined) return fail(refused);
    const known = this.#calls.get(call);
    const stays = known?.worker.remote.host === worker.host && known.worker.remote.port === worker.port;
    if (known !== undefined && stays && known.callerOffer === callerOffer) return succeed(known.anchored);
    const offer = usableAudio(callerOffer);
    if (!offer.ok) return offer;
    const caller = { relay: known?.caller.relay ?? this.#reserve(), remote: offer.value.address };
    const far = { relay: known?.worker.relay ?? this.#reserve(), remote: worker };
    const { dtmfPayloadType } = offer.value;
    const anchored: Anchored = {
      answerForCaller: answerTo(offer.value, caller.relay),
      workerSendsTo: far.relay,
      ...(dtmfPayloadType === undefined ? {} : { dtmfPayloadType }),
      media: { caller, far },
      moved: this.#lost.delete(call),
    };
    this.#calls.set(call, { callerOffer, caller, worker: far, anchored, offered: undefined, bridged: undefined });
    return succeed(anchored);
  }

  async offer(call: CallId, leg: LegId): Promise<Outcome<Sdp, MediaFailure>> {
    const refused = this.#note("offer", call, leg);
    if (refused !== undefined) return fail(refused);
    const relayed = this.#calls.get(call);
    if (relayed === undefined) return fail({ code: "media.not-anchored" });
    relayed.offered = leg;
    return succeed(writeAudio({ address: relayed.worker.relay, codecs: [PCMU, PCMA], dtmfPayloadType: 101 }));
  }

  async bridge(call: CallId, leg: LegId, answer: Sdp): Promise<Outcome<{ media: MediaAddresses }, MediaFailure>> {
    const refused = this.#note("bridge", call, leg);
    if (refused !== undefined) return fail(refused);
    const relayed = this.#calls.get(call);
    if (relayed === undefined) return fail({ code: "media.not-anchored" });
    if (relayed.offered !== leg && relayed.bridged?.leg !== leg) return fail({ code: "media.no-such-leg", leg });
    const audio = usableAudio(answer);
    if (!audio.ok) return audio;
    const path = { relay: relayed.worker.relay, remote: audio.value.address };
    relayed.bridged = { leg, path };
    relayed.offered = undefined;
    return succeed({ media: { caller: relayed.caller, far: path } });
  }

  async park(
    call: CallId,
    leg: LegId | undefined,
  ): Promise<Outcome<{ workerSendsTo: RtpAddress; media: MediaAddresses }, MediaFailure>> {
    const refused = this.#note("park", call, leg);
    if (refused !== undefined) return fail(refused);
    const relayed = this.#calls.get(call);
    if (relayed === undefined) return fail({ code: "media.not-anchored" });
    if (leg === undefined || relayed.offered === leg) relayed.offered = undefined;
    if (leg === undefined || relayed.bridged?.leg === leg) relayed.bridged = undefined;
    const { caller, worker } = relayed;
    return succeed({ workerSendsTo: worker.relay, media: { caller, far: relayed.bridged?.path ?? worker } });
  }

  async reoffer(call: CallId, side: MediaSide, offer: Sdp): Promise<Outcome<Sdp, MediaFailure>> {
    const refused = this.#note("reoffer", call, side);
    if (refused !== undefined) return fail(refused);
    const relayed = this.#calls.get(call);
    if (relayed === undefined) return fail({ code: "media.not-anchored" });
    if (side !== "caller" && relayed.bridged?.leg !== side) return fail({ code: "media.no-such-leg", leg: side });
    const audio = usableAudio(offer);
    if (!audio.ok) return audio;
    return succeed(answerTo(audio.value, side === "caller" ? relayed.caller.relay : relayed.worker.relay));
  }

  async release(call: CallId): Promise<void> {
    this.#note("release", call);
    this.#calls.delete(call);
  }

  standing(call: CallId): Standing | undefined {
    const relayed = this.#calls.get(call);
    if (relayed === undefined) return undefined;
    const legs = [relayed.offered, relayed.bridged?.leg].filter((leg) => leg !== undefined);
    return { worker: relayed.worker.remote, legs: [...new Set(legs)], bridged: relayed.bridged?.leg };
  }

  saved(call: CallId): Saved | undefined {
    const relayed = this.#calls.get(call);
    return relayed === undefined ? undefined : JSON.stringify(relayed);
  }

  restore(call: CallId, saved: Saved): void {
    const relayed = JSON.parse(String(saved)) as Relayed;
    this.#calls.set(call, { ...relayed, offered: relayed.offered, bridged: relayed.bridged });
    // Another instance's ports are not given away again.
    this.#nextPort = Math.max(this.#nextPort, relayed.caller.relay.port + 2, relayed.worker.relay.port + 2);
  }

  onForgotten(listener: (call: CallId) => void): void {
    this.#forgotten.push(listener);
  }

  onDtmf(listener: (event: DtmfPressed) => void): void {
    this.#listeners.push(listener);
  }

  async health(): Promise<Outcome<void, MediaFailure>> {
    const refused = this.#note("health");
    return refused === undefined ? succeed(undefined) : fail(refused);
  }

  async close(): Promise<void> {}

  #note(command: RelayCommand, call?: CallId, side?: MediaSide): MediaFailure | undefined {
    this.asked.push({ command, ...(call === undefined ? {} : { call }), ...(side === undefined ? {} : { side }) });
    return this.#failures.get(command)?.shift();
  }

  #reserve(): RtpAddress {
    const port = this.#nextPort;
    this.#nextPort += 2;
    return { host: RELAY_HOST, port };
  }
}

function usableAudio(sdp: Sdp): Outcome<AudioDescription, MediaFailure> {
  const audio = readAudio(sdp);
  const secure = audio.ok && audio.value.transport === "RTP/SAVP" && audio.value.crypto !== undefined;
  if (audio.ok && audio.value.transport !== "RTP/AVP" && !secure)
    return fail({ code: "media.transport-unsupported", transport: audio.value.transport });
  if (audio.ok && firstG711(audio.value.codecs) === undefined)
    return fail({ code: "media.no-common-codec", offered: audio.value.codecs.map(({ name }) => name) });
  return audio;
}

function answerTo(offer: AudioDescription, relay: RtpAddress): Sdp {
  const codec = firstG711(offer.codecs);
  const { dtmfPayloadType } = offer;
  return writeAudio({
    address: relay,
    codecs: codec === undefined ? [] : [codec],
    ...(dtmfPayloadType === undefined ? {} : { dtmfPayloadType }),
    direction: answerDirection(offer.direction),
    transport: offer.transport,
    crypto: offer.crypto === undefined ? [] : [`${offer.crypto[0]?.split(" ", 2).join(" ")} inline:${"k".repeat(40)}`],
  });
}
