// MediaRelay on rtpengine. A call is one NG call with a tag for each party: "caller", "worker", and one per leg.
//
// What the real engine (10.5) taught, and the order of commands below rests on:
//  a. Every party has a port of its own, so that a leg's late packets never pass for the worker's.
//  b. An offer to a leg turns the caller's audio away from the worker, and the caller's digits are lost until somebody
//     answers. The worker's answer said again at once turns it back; the caller's music has no gap meanwhile.
//  c. After an answer of the leg the worker's stream still reaches the caller beside the leg's: it has to be blocked.
//  d. While blocked, a stream that goes on sending counts as lost: unblocked, a transcoded one is silent for 200 ms,
//     until rtpengine gives up on the packets before. So the worker sends nothing while a leg is joined, and begins a
//     stream of its own (SSRC) when it is connected again.
//  e. The caller is offered on with the one codec it was answered with: else a leg's answer changes what is sent to it.
//  f. Directions in SDP do not stop it from sending: a caller on hold is protected by blocking the other party. A leg
//     on hold is not, since the digits of a blocked caller would be lost; its phone ignores what it gets.
//  g. rtpengine copies the other side's origin line; a dialog needs its own (RFC 3264 §8).
//  h. An offer makes a call that rtpengine does not know; every other command is refused then. A restarted one, which has
//     forgotten everything without Redis, may by chance hand out the same ports again. With "loop-protect" it signs its
//     SDP with a name that it takes at random at each start: told at no cost by every answer, and we take it off again.
//  i. With Redis it has its calls again after a restart, on the same ports, but what is blocked is as it was at their last
//     answer. So after a restart, and after one of ours, its list of calls is compared with our book, and blocks are said again.
//
//  j. It does not keep how often SRTP's sequence numbers have wrapped (RFC 3711 §3.3.1). What it gets it guesses, once round; what
//     it sends after a wrap nobody can read until the stream's SSRC changes: a transcoded one does by itself, the worker's when it is
//     connected. Sequence numbers begin anywhere, so a passed-on stream may have wrapped: its keys are agreed on anew.
//
// The book (`RelayedCall`) is what is meant. A park or a bridge only needs the relay to follow: while it is away the book
// changes without it, and the relay is brought there when it is back.

import type { CallId, LegId } from "../../../kernel/ids.ts";
import type { Log } from "../../../kernel/log.ts";
import { fail, type Outcome, succeed } from "../../../kernel/outcome.ts";
import type { Anchored, DtmfPressed, MediaRelay, MediaSide, Standing } from "../../boundary/media-relay.ts";
import type { Saved } from "../../boundary/saved.ts";
import type { MediaAddresses, RtpAddress } from "../../core/media/addresses.ts";
import type { MediaFailure } from "../../core/media/media-failure.ts";
import {
  type AudioCodec,
  type AudioDescription,
  answerDirection,
  type Direction,
  firstG711,
  PCMU,
  readAudio,
  refuseOtherStreams,
  type Sdp,
  withOrigin,
  writeAudio,
} from "../../core/media/sdp.ts";
import { DtmfListener, type LoggedDigit } from "./dtmf-listener.ts";
import { NG_LIMITS, NgClient, type NgLimits, type NgReply, type NgValue } from "./ng-client.ts";

export interface RtpengineOptions {
  readonly ng: RtpAddress;
  readonly dtmfLog: RtpAddress;
  readonly limits?: NgLimits;
  /** Releases that found no relay are tried again this often, until it is back. */
  readonly releaseAgainAfterMs?: number;
}

/** One party as rtpengine is told: its address, the codecs it accepted, its direction. Plain data, for a twin to take up. */
interface Party {
  readonly audio: AudioDescription;
  /** Our side of what it was told: rtpengine's port for it. */
  readonly relay: RtpAddress;
  readonly tag: string;
}

interface RelayedCall {
  caller: Party;
  callerVersion: number;
  worker: Party;
  /** Legs that were offered: their ports. */
  readonly offered: Map<LegId, RtpAddress>;
  /** Of what each leg was ever told, counted up for the life of its dialog. */
  readonly versions: Map<LegId, number>;
  bridged: { readonly leg: LegId; party: Party } | undefined;
  /** Tags whose audio goes nowhere now. */
  readonly blocked: Set<string>;
  /** The run of rtpengine that is known to have this call (h). */
  run: string;
  /** rtpengine does not have it any more: every place is void until it is anchored again. */
  forgotten: boolean;
  /** When rtpengine was last told of caller and far end: until then it has counted wraps right (j). */
  saidAtUnixMs: number;
  /** When that rtpengine was started; undefined: not known yet. */
  relayStartedUnixMs?: number;
  /** Commands that may not have come through: it is told again what is meant. */
  unsettled: boolean;
}

/** What rtpengine says to an offer or an answer. */
interface RelaySaid {
  readonly sdp: Sdp;
  readonly audio: AudioDescription;
  /** Which of its runs said so (h). */
  readonly run: string;
}

const PLAIN = "RTP/AVP";
/** With keys in the SDP. RFC 3711, RFC 4568 */
const SECURE = "RTP/SAVP";
const CALLER = "caller";
const WORKER = "worker";
const LEG_PREFIX = "leg-";
const legTag = (leg: LegId): string => `${LEG_PREFIX}${leg}`;

const FLAGS = ["port-latching", "strict-source", "allow-transcoding", "loop-protect"];
/** Every offer of ours is followed by an answer at once: that one is written to Redis, and has both in it. */
const OFFER_FLAGS = [...FLAGS, "no-redis-update"];
const SIGNATURE = /^a=rtpengine:(.*)\r?\n/m;
const REPLACED = { ICE: "remove", DTLS: "off", replace: ["origin", "session-connection"], flags: FLAGS } as const;
const RELEASES_WAITING_MAX = 10_000;
/** For a restart that was over before anything was asked. */
const WATCH_EVERY_MS = 1_000;
/** rtpengine counts its own age in whole seconds. */
const AGE_ERROR_MS = 1_500;
/** The worker begins in the lower half of the numbers: half of them, 50 a second. */
const WRAP_SURELY_NOT_MS = 600_000;
/** The answer is one datagram: so many ids of ours, 39 bytes each, are well below 64 kB. */
const LISTED_MAX = 1_400;
const STRANGER_TRIES_MAX = 30;
/** Calls looked after at once when the relay is back. */
const CHECKS_AT_ONCE = 32;
/** Restored one by one, looked after together. */
const CHECK_AFTER_MS = 5;

export class RtpengineMediaRelay implements MediaRelay {
  readonly #ng: NgClient;
  readonly #dtmf: DtmfListener;
  readonly #log: Log;
  readonly #calls = new Map<CallId, RelayedCall>();
  /** The last command of each call: commands of one call go one after the other. */
  readonly #turns = new Map<CallId, Promise<unknown>>();
  readonly #listeners: ((event: DtmfPressed) => void)[] = [];
  readonly #forgottenListeners: ((call: CallId) => void)[] = [];
  readonly #releaseAgain = new Set<CallId>();
  readonly #releaseTimer: NodeJS.Timeout;
  readonly #watchTimer: NodeJS.Timeout;
  /** When the rtpengine that answers was started, by our clock. */
  #relayStartedUnixMs: number | undefined;
  #checking = false;
  #closed = false;
  #checkAgain = false;
  #checkSoon: NodeJS.Timeout | undefined;

  private constructor(ng: NgClient, dtmf: DtmfListener, log: Log, releaseAgainAfterMs: number) {
    this.#ng = ng;
    this.#dtmf = dtmf;
    this.#log = log;
    this.#releaseTimer = setInterval(() => void this.#releaseLeftOvers(), releaseAgainAfterMs);
    this.#releaseTimer.unref();
    this.#watchTimer = setInterval(() => void this.#watch(), WATCH_EVERY_MS);
    this.#watchTimer.unref();
    void this.#watch();
    ng.onBack(() => {
      log.warn("rtpengine.back", { calls: this.#calls.size });
      void this.#check();
    });
  }

  /** Does not wait for rtpengine to be there: `health` says. @throws EADDRINUSE when the DTMF address is taken */
  static async open(options: RtpengineOptions, log: Log): Promise<RtpengineMediaRelay> {
    let relay: RtpengineMediaRelay | undefined;
    const dtmf = await DtmfListener.open(options.dtmfLog, (digit) => relay?.pressed(digit));
    const ng = await NgClient.open(options.ng, options.limits ?? NG_LIMITS);
    relay = new RtpengineMediaRelay(ng, dtmf, log, options.releaseAgainAfterMs ?? 5_000);
    return relay;
  }

  get dtmfLog(): RtpAddress {
    return this.#dtmf.address;
  }

  anchor(call: CallId, callerOffer: Sdp, worker: RtpAddress): Promise<Outcome<Anchored, MediaFailure>> {
    return this.#inTurn(call, async () => {
      const caller = readUsable(callerOffer);
      if (!caller.ok) return caller;
      const before = this.#calls.get(call);
      // A new call has time: its caller hears nothing yet.
      const isNew = before === undefined;
      const offered = await this.#offer(call, CALLER, WORKER, caller.value, ["PCMU"], WORKER_OR_LEG, isNew);
      if (!offered.ok) return offered;
      const workerAudio = workerSays(worker, offered.value.audio.dtmfPayloadType);
      const answered = await this.#answer(call, CALLER, WORKER, workerAudio, answerDirection(caller.value.direction));
      if (!answered.ok) return answered;

      const relayed: RelayedCall = {
        caller: { audio: caller.value, relay: answered.value.audio.address, tag: CALLER },
        callerVersion: (before?.callerVersion ?? 0) + 1,
        worker: { audio: workerAudio, relay: offered.value.audio.address, tag: WORKER },
        offered: new Map(),
        versions: before?.versions ?? new Map(),
        bridged: undefined,
        blocked: new Set(),
        run: offered.value.run,
        forgotten: false,
        unsettled: false,
        ...this.#saidNow(),
      };
      if (before !== undefined && !before.forgotten) {
        const kept = await this.#keepLegs(call, before, relayed);
        if (!kept.ok) return kept;
      }
      this.#calls.set(call, relayed);
      const heard = await this.#blockAsMeant(call, relayed);
      if (!heard.ok) return heard;
      const { dtmfPayloadType } = caller.value;
      return succeed({
        answerForCaller: this.#toCaller(call, relayed, answered.value.sdp, callerOffer),
        workerSendsTo: relayed.worker.relay,
        ...(dtmfPayloadType === undefined ? {} : { dtmfPayloadType }),
        media: addressesOf(relayed),
        moved:
          before !== undefined &&
          (!isSame(before.caller.relay, relayed.caller.relay) ||
            (before.forgotten && caller.value.transport === SECURE)),
      });
    });
  }

  /** Anchored again: legs that rtpengine still has stay where they are, and who is joined stays joined. */
  async #keepLegs(call: CallId, before: RelayedCall, now: RelayedCall): Promise<Outcome<unknown, MediaFailure>> {
    if (before.offered.size === 0) return succeed(undefined);
    const found = await this.#request("query", call, {});
    if (!found.ok) return found;
    const tags = tagsIn(found.value);
    for (const [leg, relay] of before.offered) if (tags.has(legTag(leg))) now.offered.set(leg, relay);
    for (const tag of before.blocked) if (tags.has(tag)) now.blocked.add(tag);
    const { bridged } = before;
    if (bridged === undefined || !now.offered.has(bridged.leg)) return succeed(undefined);
    now.bridged = bridged;
    return this.#answer(call, CALLER, bridged.party.tag, bridged.party.audio);
  }

  offer(call: CallId, leg: LegId): Promise<Outcome<Sdp, MediaFailure>> {
    return this.#inTurn(call, async () => {
      const relayed = this.#anchored(call);
      if (relayed === undefined) return fail({ code: "media.not-anchored" });
      const tag = legTag(leg);
      // telephone-event: a leg may press keys even where the caller cannot.
      const transcode = ["PCMU", "PCMA", "telephone-event"];
      const offered = await this.#offer(
        call,
        CALLER,
        tag,
        { ...relayed.caller.audio, direction: "sendrecv" },
        transcode,
      );
      if (!offered.ok) return offered;
      const { sdp, audio, run } = offered.value;
      if (run !== relayed.run) {
        const known = await this.#knownToThisRun(call);
        if (!known.ok) return known;
        if (!known.value) return this.#forgotten(call);
        relayed.run = run;
      }

      const far = relayed.bridged?.party ?? relayed.worker;
      const back = await this.#answer(call, CALLER, far.tag, far.audio); // b
      if (!back.ok) return back;
      // It has died between the two, and its successor has not heard of the leg.
      if (back.value.run !== run) return fail({ code: "media.relay-away", command: "answer", waitedMs: 0 });
      // Dropped without a restart, after a long silence: this is a new call, on a port that the caller never heard of.
      if (back.value.audio.address.port !== relayed.caller.relay.port) return this.#forgotten(call);
      const version = (relayed.versions.get(leg) ?? 0) + 1;
      relayed.versions.set(leg, version);
      relayed.offered.set(leg, audio.address);
      const blocked = await this.#blockAsMeant(call, relayed);
      if (!blocked.ok) return blocked;
      return succeed(withOrigin(sdp, sessionIdOf(call, leg), version));
    });
  }

  bridge(call: CallId, leg: LegId, answer: Sdp): Promise<Outcome<{ readonly media: MediaAddresses }, MediaFailure>> {
    return this.#inTurn(call, async () => {
      const relayed = this.#anchored(call);
      if (relayed === undefined) return fail({ code: "media.not-anchored" });
      const relay = relayed.offered.get(leg);
      if (relay === undefined) return fail({ code: "media.no-such-leg", leg });
      const audio = readUsable(answer);
      if (!audio.ok) return audio;

      const before = relayed.bridged;
      relayed.bridged = { leg, party: { audio: audio.value, relay, tag: legTag(leg) } };
      const joined = await this.#asMeant(call, relayed);
      if (!joined.ok) {
        relayed.bridged = before;
        if (!relayed.forgotten) await this.#blockAsMeant(call, relayed);
        return joined;
      }
      return succeed({ media: addressesOf(relayed) });
    });
  }

  park(
    call: CallId,
    leg: LegId | undefined,
  ): Promise<Outcome<{ readonly workerSendsTo: RtpAddress; readonly media: MediaAddresses }, MediaFailure>> {
    return this.#inTurn(call, async () => {
      const relayed = this.#calls.get(call);
      if (relayed === undefined) return fail({ code: "media.not-anchored" });
      const dropped = leg === undefined ? [...relayed.offered.keys()] : [leg];
      for (const each of dropped) {
        if (!relayed.offered.delete(each)) continue;
        const wasBridged = relayed.bridged?.leg === each;
        if (wasBridged) relayed.bridged = undefined;
        relayed.blocked.delete(legTag(each));
        if (relayed.forgotten) continue;
        const gone = await this.#request("delete", call, { "from-tag": legTag(each) });
        if (!gone.ok && gone.failure.code === "media.relay-away") relayed.unsettled = true;
        const back = wasBridged ? await this.#asMeant(call, relayed) : undefined;
        if (back?.ok === false) return back;
      }
      return succeed({ workerSendsTo: relayed.worker.relay, media: addressesOf(relayed) });
    });
  }

  reoffer(call: CallId, side: MediaSide, offer: Sdp): Promise<Outcome<Sdp, MediaFailure>> {
    return this.#inTurn(call, async () => {
      const relayed = this.#anchored(call);
      if (relayed === undefined) return fail({ code: "media.not-anchored" });
      return side === "caller"
        ? this.#reofferOfCaller(call, relayed, offer)
        : this.#reofferOfLeg(call, relayed, side, offer);
    });
  }

  async #reofferOfCaller(call: CallId, relayed: RelayedCall, offer: Sdp): Promise<Outcome<Sdp, MediaFailure>> {
    const caller = readUsable(offer, relayed.caller.audio.codecs[0]);
    if (!caller.ok) return caller;
    const far = relayed.bridged?.party ?? relayed.worker;
    const offered = await this.#offer(call, CALLER, far.tag, caller.value, ["PCMU", "PCMA"]);
    if (!offered.ok) return offered;
    const answered = await this.#answer(call, CALLER, far.tag, far.audio, answerDirection(caller.value.direction));
    if (!answered.ok) return answered;
    relayed.caller = { ...relayed.caller, audio: caller.value, relay: answered.value.audio.address };
    relayed.callerVersion++;
    Object.assign(relayed, this.#saidNow());
    const blocked = await this.#blockAsMeant(call, relayed);
    return blocked.ok ? succeed(this.#toCaller(call, relayed, answered.value.sdp, offer)) : blocked;
  }

  async #reofferOfLeg(call: CallId, relayed: RelayedCall, leg: LegId, offer: Sdp): Promise<Outcome<Sdp, MediaFailure>> {
    const bridged = relayed.bridged;
    if (bridged?.leg !== leg) return fail({ code: "media.no-such-leg", leg });
    const audio = readUsable(offer, bridged.party.audio.codecs[0]);
    if (!audio.ok) return audio;
    const { tag } = bridged.party;
    const codec = relayed.caller.audio.codecs[0]?.name ?? "PCMU";
    const { caller } = relayed;
    const offered = await this.#offer(call, tag, CALLER, audio.value, [codec], caller.audio);
    if (!offered.ok) return offered;
    const direction = answerDirection(audio.value.direction);
    const answered = await this.#answer(call, tag, CALLER, relayed.caller.audio, direction);
    if (!answered.ok) return answered;
    bridged.party = { ...bridged.party, audio: audio.value };
    const version = (relayed.versions.get(leg) ?? 0) + 1;
    relayed.versions.set(leg, version);
    const blocked = await this.#blockAsMeant(call, relayed);
    if (!blocked.ok) return blocked;
    return succeed(refuseOtherStreams(withOrigin(answered.value.sdp, sessionIdOf(call, leg), version), offer));
  }

  async release(call: CallId): Promise<void> {
    await this.#inTurn(call, async () => {
      this.#calls.delete(call);
      const gone = await this.#request("delete", call, {});
      if (!gone.ok && gone.failure.code === "media.relay-away") {
        if (this.#releaseAgain.size < RELEASES_WAITING_MAX) this.#releaseAgain.add(call);
        else this.#log.warn("media.release-forgotten", { callId: call, waiting: RELEASES_WAITING_MAX });
      }
      return succeed(undefined);
    });
  }

  /**
   * After a restart: releases the calls that rtpengine still holds and nobody knows. Returns how many. Where it is only being
   * started itself, a little later; for strangers beyond those of one answer its own time-out cares.
   */
  async releaseStrangers(isKnown: (call: CallId) => boolean): Promise<Outcome<number, MediaFailure>> {
    let listed = await this.#ng.request({ command: "list", limit: LISTED_MAX });
    for (let tries = 1; !listed.ok && tries < STRANGER_TRIES_MAX && !this.#closed; tries++) {
      await new Promise((resolve) => setTimeout(resolve, WATCH_EVERY_MS).unref());
      listed = await this.#ng.request({ command: "list", limit: LISTED_MAX });
    }
    if (!listed.ok) return listed;
    const calls = Array.isArray(listed.value.calls) ? listed.value.calls.map((call) => String(call) as CallId) : [];
    const strangers = calls.filter((call) => !isKnown(call));
    for (const call of strangers) await this.release(call);
    return succeed(strangers.length);
  }

  standing(call: CallId): Standing | undefined {
    const relayed = this.#anchored(call);
    if (relayed === undefined) return undefined;
    const { worker, offered, bridged } = relayed;
    return { worker: worker.audio.address, legs: [...offered.keys()], bridged: bridged?.leg };
  }

  saved(call: CallId): Saved | undefined {
    const relayed = this.#calls.get(call);
    if (relayed === undefined) return undefined;
    const { offered, versions, blocked, bridged, ...rest } = relayed;
    const saved: SavedRelay = {
      ...rest,
      bridged: bridged ?? null,
      offered: [...offered],
      versions: [...versions],
      blocked: [...blocked],
      unsettled: rest.unsettled || this.#turns.has(call),
    };
    return saved as unknown as Saved;
  }

  /** Whether rtpengine has it, and is as our book says, shows a moment later (`onForgotten`). */
  restore(call: CallId, saved: Saved): void {
    const { offered, versions, blocked, bridged, ...rest } = saved as unknown as SavedRelay;
    this.#calls.set(call, {
      ...rest,
      offered: new Map(offered),
      versions: new Map(versions),
      blocked: new Set(blocked),
      bridged: bridged ?? undefined,
    });
    this.#checkSoon ??= setTimeout(() => {
      this.#checkSoon = undefined;
      void this.#check();
    }, CHECK_AFTER_MS);
  }

  onForgotten(listener: (call: CallId) => void): void {
    this.#forgottenListeners.push(listener);
  }

  onDtmf(listener: (event: DtmfPressed) => void): void {
    this.#listeners.push(listener);
  }

  /** From the DTMF log. */
  pressed({ ngCallId, sourceTag, digit, durationMs }: LoggedDigit): void {
    const call = ngCallId as CallId;
    if (!this.#calls.has(call) || sourceTag === WORKER) return;
    const side = sourceTag === CALLER ? "caller" : (sourceTag.slice(LEG_PREFIX.length) as LegId);
    for (const listener of this.#listeners) listener({ call, side, digit, durationMs });
  }

  async health(): Promise<Outcome<void, MediaFailure>> {
    const pong = await this.#ng.request({ command: "ping" });
    return pong.ok ? succeed(undefined) : pong;
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#releaseTimer);
    clearInterval(this.#watchTimer);
    clearTimeout(this.#checkSoon);
    await this.#ng.close();
    await this.#dtmf.close();
  }

  #anchored(call: CallId): RelayedCall | undefined {
    const relayed = this.#calls.get(call);
    return relayed?.forgotten === true ? undefined : relayed;
  }

  /**
   * Brings rtpengine to what the book says of far end and blocked tags. While it is away that is put off until it is back.
   * @fails media.relay-refused, media.not-anchored
   */
  async #asMeant(call: CallId, relayed: RelayedCall): Promise<Outcome<void, MediaFailure>> {
    const { bridged } = relayed;
    const done =
      bridged === undefined ? await this.#backToWorker(call, relayed) : await this.#toLeg(call, relayed, bridged.party);
    relayed.unsettled = !done.ok && done.failure.code === "media.relay-away";
    if (done.ok) Object.assign(relayed, this.#saidNow());
    if (done.ok || relayed.unsettled) return succeed(undefined);
    return isUnknownCall(done.failure) ? this.#forgotten(call) : done;
  }

  async #toLeg(call: CallId, relayed: RelayedCall, { tag, audio }: Party): Promise<Outcome<unknown, MediaFailure>> {
    const blocked = await this.#blockAsMeant(call, relayed);
    return blocked.ok ? this.#answer(call, CALLER, tag, audio) : blocked;
  }

  async #backToWorker(call: CallId, relayed: RelayedCall): Promise<Outcome<unknown, MediaFailure>> {
    const { caller, worker } = relayed;
    const offered = await this.#offer(call, CALLER, WORKER, caller.audio, ["PCMU"]);
    if (!offered.ok) return offered;
    const direction = answerDirection(caller.audio.direction);
    const answered = await this.#answer(call, CALLER, WORKER, worker.audio, direction);
    if (!answered.ok) return answered;
    // (h) An offer makes a call that it has forgotten, elsewhere.
    if (!isSame(offered.value.audio.address, worker.relay)) return this.#forgotten(call);
    return this.#blockAsMeant(call, relayed);
  }

  /** Asked after an offer to a leg of a call that another run had: restored from Redis, it has the worker too (h). */
  async #knownToThisRun(call: CallId): Promise<Outcome<boolean, MediaFailure>> {
    const found = await this.#request("query", call, {});
    return found.ok ? succeed(tagsIn(found.value).has(WORKER)) : found;
  }

  /** What our offer has just made in its place goes, too. */
  async #forgotten(call: CallId): Promise<Outcome<never, MediaFailure>> {
    await this.#request("delete", call, {});
    this.#forget(call);
    return fail({ code: "media.not-anchored" });
  }

  #forget(call: CallId): void {
    const relayed = this.#anchored(call);
    if (relayed === undefined) return;
    relayed.forgotten = true;
    relayed.blocked.clear();
    this.#log.warn("rtpengine.forgot", { callId: call });
    for (const listener of this.#forgottenListeners) listener(call);
  }

  #saidNow(): Pick<RelayedCall, "saidAtUnixMs" | "relayStartedUnixMs"> {
    const started = this.#relayStartedUnixMs;
    return { saidAtUnixMs: Date.now(), ...(started === undefined ? {} : { relayStartedUnixMs: started }) };
  }

  /** Younger than it was: another run, whose restart nobody noticed. */
  async #watch(): Promise<void> {
    const before = this.#relayStartedUnixMs;
    if (this.#calls.size === 0 && before !== undefined) return;
    const told = await this.#ng.request({ command: "statistics" });
    const seconds = told.ok ? uptimeSeconds(told.value) : undefined;
    if (seconds === undefined) return; // away: its return leads to a check
    this.#relayStartedUnixMs = Date.now() - 1_000 * seconds;
    if (before !== undefined && isAnotherRun(before, this.#relayStartedUnixMs)) void this.#check();
  }

  /** Which calls rtpengine has, and that they are as the book says. While one check runs, one more is kept in mind. */
  async #check(): Promise<void> {
    if (this.#checking) {
      this.#checkAgain = true;
      return;
    }
    this.#checking = true;
    do {
      this.#checkAgain = false;
      await this.#watch();
      // As they are now: one that is anchored, or anchored anew, while rtpengine lists its calls need not be in the list.
      const calls = [...this.#calls];
      const listed = await this.#ng.request({ command: "list", limit: LISTED_MAX });
      if (!listed.ok) continue; // away again: its return leads here
      const known = new Set(Array.isArray(listed.value.calls) ? listed.value.calls.map(String) : []);
      const inDoubt = known.size >= LISTED_MAX;
      for (let at = 0; at < calls.length; at += CHECKS_AT_ONCE)
        await Promise.all(
          calls
            .slice(at, at + CHECKS_AT_ONCE)
            .map(([call, relayed]) => this.#checkCall(call, relayed, known.has(call), inDoubt)),
        );
    } while (this.#checkAgain);
    this.#checking = false;
  }

  /** (j) */
  #hasLostCount({ caller, bridged, saidAtUnixMs, relayStartedUnixMs }: RelayedCall): boolean {
    const now = this.#relayStartedUnixMs;
    if (caller.audio.transport !== SECURE || now === undefined || relayStartedUnixMs === undefined) return false;
    if (!isAnotherRun(relayStartedUnixMs, now)) return false;
    const passedOn = bridged !== undefined && bridged.party.audio.codecs[0]?.name === caller.audio.codecs[0]?.name;
    return passedOn || Date.now() - saidAtUnixMs > WRAP_SURELY_NOT_MS;
  }

  #checkCall(call: CallId, relayed: RelayedCall, listed: boolean, inDoubt: boolean): Promise<unknown> {
    return this.#inTurn(call, async () => {
      if (this.#anchored(call) !== relayed) return succeed(undefined);
      if (!listed) {
        const found = inDoubt ? await this.#request("query", call, {}) : undefined;
        if (found?.ok !== true) {
          if (found === undefined || isUnknownCall(found.failure)) this.#forget(call);
          return succeed(undefined);
        }
      }
      if (this.#hasLostCount(relayed)) return this.#forgotten(call);
      if (this.#relayStartedUnixMs !== undefined) relayed.relayStartedUnixMs = this.#relayStartedUnixMs;
      const blocked = await this.#blockAsMeant(call, relayed, "say all"); // (i)
      return relayed.unsettled ? this.#asMeant(call, relayed) : blocked;
    });
  }

  /** Who must not be heard now (c, f), and only they, is blocked. */
  async #blockAsMeant(
    call: CallId,
    relayed: RelayedCall,
    how: "say changes" | "say all" = "say changes",
  ): Promise<Outcome<void, MediaFailure>> {
    const { caller, worker, bridged, offered, blocked } = relayed;
    const meant = new Set<string>();
    if (bridged !== undefined || !receives(caller)) meant.add(worker.tag);
    // A leg that only rings may send already, an announcement of its network say; one that was replaced may go on.
    for (const leg of offered.keys()) if (bridged?.leg !== leg || !receives(caller)) meant.add(legTag(leg));
    const others = how === "say all" ? [WORKER, ...[...offered.keys()].map(legTag)] : [];
    for (const tag of new Set([...blocked, ...meant, ...others])) {
      if (how === "say changes" && blocked.has(tag) === meant.has(tag)) continue;
      const command = meant.has(tag) ? "block media" : "unblock media";
      const done = await this.#request(command, call, { "from-tag": tag });
      if (!done.ok) return done;
      if (meant.has(tag)) blocked.add(tag);
      else blocked.delete(tag);
    }
    return succeed(undefined);
  }

  async #offer(
    call: CallId,
    from: string,
    to: string,
    audio: AudioDescription,
    transcode: readonly string[],
    spoken: Spoken = WORKER_OR_LEG,
    patient = false,
  ): Promise<Outcome<RelaySaid, MediaFailure>> {
    const codec = { transcode };
    // Left alone, rtpengine offers on in the family it was offered.
    const translated = familyOf(audio) === familyOf(spoken) ? {} : { "address family": familyOf(spoken) };
    const asked = {
      ...REPLACED,
      flags: OFFER_FLAGS,
      "from-tag": from,
      "to-tag": to,
      sdp: say(audio),
      codec,
      "transport-protocol": spoken.transport,
      ...translated,
    };
    const reply = await this.#request("offer", call, asked, patient);
    return reply.ok ? readSaid("offer", reply.value) : reply;
  }

  async #answer(
    call: CallId,
    from: string,
    to: string,
    audio: AudioDescription,
    direction?: Direction,
  ): Promise<Outcome<RelaySaid, MediaFailure>> {
    const asked = { ...REPLACED, "from-tag": from, "to-tag": to, sdp: say(audio, direction) };
    const reply = await this.#request("answer", call, asked);
    return reply.ok ? readSaid("answer", reply.value) : reply;
  }

  #request(
    command: string,
    call: CallId,
    rest: Readonly<Record<string, NgValue>>,
    patient = false,
  ): Promise<Outcome<NgReply, MediaFailure>> {
    return this.#ng.request({ command, "call-id": call, ...rest }, patient);
  }

  #toCaller(call: CallId, relayed: RelayedCall, sdp: Sdp, offer: Sdp): Sdp {
    return refuseOtherStreams(withOrigin(sdp, sessionIdOf(call, CALLER), relayed.callerVersion), offer);
  }

  /** Commands of one call in the order in which they were asked. */
  #inTurn<Value>(
    call: CallId,
    command: () => Promise<Outcome<Value, MediaFailure>>,
  ): Promise<Outcome<Value, MediaFailure>> {
    const turn = (this.#turns.get(call) ?? Promise.resolve()).catch(() => {}).then(command);
    this.#turns.set(call, turn);
    void turn.finally(() => {
      if (this.#turns.get(call) === turn) this.#turns.delete(call);
    });
    return turn;
  }

  async #releaseLeftOvers(): Promise<void> {
    for (const call of [...this.#releaseAgain]) {
      if (!this.#calls.has(call)) {
        const gone = await this.#request("delete", call, {});
        if (!gone.ok && gone.failure.code === "media.relay-away") return; // still away
      }
      this.#releaseAgain.delete(call);
    }
  }
}

interface SavedRelay extends Omit<RelayedCall, "offered" | "versions" | "blocked" | "bridged"> {
  readonly bridged: RelayedCall["bridged"] | null;
  readonly offered: readonly [LegId, RtpAddress][];
  readonly versions: readonly [LegId, number][];
  readonly blocked: readonly string[];
}

const isAnotherRun = (startedUnixMs: number, laterUnixMs: number): boolean =>
  Math.abs(laterUnixMs - startedUnixMs) > AGE_ERROR_MS;

const isSame = (one: RtpAddress, other: RtpAddress): boolean => one.host === other.host && one.port === other.port;

const isUnknownCall = (failure: MediaFailure): boolean =>
  failure.code === "media.not-anchored" ||
  (failure.code === "media.relay-refused" && /unknown call-?id/i.test(failure.detail));

/** Who has a part in a call, of the answer to "query". */
const tagsIn = ({ tags }: NgReply): ReadonlySet<string> =>
  new Set(typeof tags === "object" && tags !== null ? Object.keys(tags) : []);

function uptimeSeconds({ statistics }: NgReply): number | undefined {
  const total = (statistics as { readonly totalstatistics?: { readonly uptime?: unknown } } | undefined)
    ?.totalstatistics;
  const seconds = Number(total?.uptime);
  return Number.isFinite(seconds) ? seconds : undefined;
}

const receives = ({ audio }: Party): boolean => audio.direction === "sendrecv" || audio.direction === "recvonly";

/** What a party is to be offered, whatever the other has. */
type Spoken = Pick<AudioDescription, "address" | "transport">;
/** Legs and the worker are reached by IPv4, and without keys. */
const WORKER_OR_LEG: Spoken = { address: { host: "0.0.0.0", port: 0 }, transport: PLAIN };
type Family = "IP4" | "IP6";
const familyOf = ({ address }: Spoken): Family => (address.host.includes(":") ? "IP6" : "IP4");

const refused = (command: string, detail: string) =>
  fail<MediaFailure>({ code: "media.relay-refused", command, detail });

/** Its SDP without its signature. */
function readSaid(command: "offer" | "answer", reply: NgReply): Outcome<RelaySaid, MediaFailure> {
  const signed = String(reply.sdp ?? "");
  const audio = readAudio(signed);
  if (!audio.ok) return refused(command, "no usable SDP from the relay");
  return succeed({ sdp: signed.replace(SIGNATURE, ""), audio: audio.value, run: SIGNATURE.exec(signed)?.[1] ?? "" });
}

/**
 * One party's SDP with the one codec that we use with it. PCMU before PCMA, whatever the order: the worker speaks PCMU,
 * and a transcoded call costs twice the CPU (RFC 3264 §6.1 lets the answerer choose).
 */
function readUsable(sdp: Sdp, usedBefore?: AudioCodec): Outcome<AudioDescription, MediaFailure> {
  const read = readAudio(sdp);
  if (!read.ok) return read;
  const audio = read.value;
  const secure = audio.transport === SECURE && audio.crypto !== undefined;
  if (audio.transport !== PLAIN && !secure)
    return fail({ code: "media.transport-unsupported", transport: audio.transport });
  if (audio.address.port === 0)
    return fail({ code: "media.sdp-unreadable", detail: "the audio stream is switched off" });
  const usable = audio.codecs.filter((codec) => firstG711([codec]) !== undefined);
  const codec =
    usable.find(({ name }) => name === usedBefore?.name) ?? usable.find(({ name }) => name === "PCMU") ?? usable[0];
  if (codec === undefined)
    return fail({ code: "media.no-common-codec", offered: audio.codecs.map(({ name }) => name) });
  return succeed({ ...audio, codecs: [codec] });
}

function say(audio: AudioDescription, direction: Direction = audio.direction): Sdp {
  const { address, codecs, dtmfPayloadType, transport, crypto = [] } = audio;
  return writeAudio({
    address,
    codecs,
    direction,
    transport,
    crypto,
    ...(dtmfPayloadType === undefined ? {} : { dtmfPayloadType }),
  });
}

const workerSays = (address: RtpAddress, dtmfPayloadType: number | undefined): AudioDescription => ({
  address,
  transport: "RTP/AVP",
  codecs: [PCMU],
  direction: "sendrecv",
  ...(dtmfPayloadType === undefined ? {} : { dtmfPayloadType }),
});

const addressesOf = ({ caller, worker, bridged }: RelayedCall): MediaAddresses => {
  const far = bridged?.party ?? worker;
  return {
    caller: { relay: caller.relay, remote: caller.audio.address },
    far: { relay: far.relay, remote: far.audio.address },
  };
};

/** The same for the life of a dialog, on whichever host: FNV-1a over call and party. */
function sessionIdOf(call: CallId, party: string): number {
  let hash = 0x811c9dc5;
  for (const character of `${call}/${party}`) hash = Math.imul(hash ^ (character.codePointAt(0) ?? 0), 0x01000193);
  return hash >>> 0;
}
