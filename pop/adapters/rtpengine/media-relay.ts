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

import type { CallId, LegId } from "../../../kernel/ids.ts";
import type { Log } from "../../../kernel/log.ts";
import { fail, type Outcome, succeed } from "../../../kernel/outcome.ts";
import type { Anchored, DtmfPressed, MediaRelay, MediaSide } from "../../boundary/media-relay.ts";
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
  readonly offered: Map<LegId, { readonly relay: RtpAddress; version: number }>;
  bridged: { readonly leg: LegId; party: Party } | undefined;
  /** Tags whose audio goes nowhere now. */
  readonly blocked: Set<string>;
  /** The run of rtpengine that is known to have this call (h). */
  run: string;
}

/** What rtpengine says to an offer or an answer. */
interface RelaySaid {
  readonly sdp: Sdp;
  readonly audio: AudioDescription;
  /** Which of its runs said so (h). */
  readonly run: string;
}

const CALLER = "caller";
const WORKER = "worker";
const LEG_PREFIX = "leg-";
const legTag = (leg: LegId): string => `${LEG_PREFIX}${leg}`;

const FLAGS = ["port-latching", "strict-source", "allow-transcoding", "loop-protect"];
const SIGNATURE = /^a=rtpengine:(.*)\r?\n/m;
const REPLACED = { ICE: "remove", replace: ["origin", "session-connection"], flags: FLAGS } as const;
const RELEASES_WAITING_MAX = 10_000;

export class RtpengineMediaRelay implements MediaRelay {
  readonly #ng: NgClient;
  readonly #dtmf: DtmfListener;
  readonly #log: Log;
  readonly #calls = new Map<CallId, RelayedCall>();
  /** The last command of each call: commands of one call go one after the other. */
  readonly #turns = new Map<CallId, Promise<unknown>>();
  readonly #listeners: ((event: DtmfPressed) => void)[] = [];
  readonly #releaseAgain = new Set<CallId>();
  readonly #releaseTimer: NodeJS.Timeout;

  private constructor(ng: NgClient, dtmf: DtmfListener, log: Log, releaseAgainAfterMs: number) {
    this.#ng = ng;
    this.#dtmf = dtmf;
    this.#log = log;
    this.#releaseTimer = setInterval(() => void this.#releaseLeftOvers(), releaseAgainAfterMs);
    this.#releaseTimer.unref();
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
      // Anchored again: whatever legs there were are gone, if not by the relay's own restart.
      for (const leg of before?.offered.keys() ?? []) await this.#request("delete", call, { "from-tag": legTag(leg) });
      const offered = await this.#offer(call, CALLER, WORKER, caller.value, ["PCMU"]);
      if (!offered.ok) return offered;
      const workerAudio = workerSays(worker, offered.value.audio.dtmfPayloadType);
      const answered = await this.#answer(call, CALLER, WORKER, workerAudio, answerDirection(caller.value.direction));
      if (!answered.ok) return answered;

      const relayed: RelayedCall = {
        caller: { audio: caller.value, relay: answered.value.audio.address, tag: CALLER },
        callerVersion: (before?.callerVersion ?? 0) + 1,
        worker: { audio: workerAudio, relay: offered.value.audio.address, tag: WORKER },
        offered: new Map(),
        bridged: undefined,
        blocked: new Set(before?.blocked.has(WORKER) ? [WORKER] : []),
        run: offered.value.run,
      };
      this.#calls.set(call, relayed);
      const heard = await this.#blockAsMeant(call, relayed);
      if (!heard.ok) return heard;
      const { dtmfPayloadType } = caller.value;
      return succeed({
        answerForCaller: this.#toCaller(call, relayed, answered.value.sdp, callerOffer),
        workerSendsTo: relayed.worker.relay,
        ...(dtmfPayloadType === undefined ? {} : { dtmfPayloadType }),
        media: addressesOf(relayed),
      });
    });
  }

  offer(call: CallId, leg: LegId): Promise<Outcome<Sdp, MediaFailure>> {
    return this.#inTurn(call, async () => {
      const relayed = this.#calls.get(call);
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
      // Dropped without a restart, after a long silence: this is a new call, on a port that the caller never heard of.
      if (back.value.audio.address.port !== relayed.caller.relay.port) return this.#forgotten(call);
      const version = (relayed.offered.get(leg)?.version ?? 0) + 1;
      relayed.offered.set(leg, { relay: audio.address, version });
      const blocked = await this.#blockAsMeant(call, relayed);
      if (!blocked.ok) return blocked;
      return succeed(withOrigin(sdp, sessionIdOf(call, leg), version));
    });
  }

  bridge(call: CallId, leg: LegId, answer: Sdp): Promise<Outcome<{ readonly media: MediaAddresses }, MediaFailure>> {
    return this.#inTurn(call, async () => {
      const relayed = this.#calls.get(call);
      if (relayed === undefined) return fail({ code: "media.not-anchored" });
      const offered = relayed.offered.get(leg);
      if (offered === undefined) return fail({ code: "media.no-such-leg", leg });
      const audio = readUsable(answer);
      if (!audio.ok) return audio;

      const tag = legTag(leg);
      const before = relayed.bridged;
      relayed.bridged = { leg, party: { audio: audio.value, relay: offered.relay, tag } };
      const blocked = await this.#blockAsMeant(call, relayed);
      const answered = blocked.ok ? await this.#answer(call, CALLER, tag, audio.value) : blocked;
      if (!answered.ok) {
        relayed.bridged = before;
        await this.#blockAsMeant(call, relayed);
        return answered;
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
        const gone = await this.#request("delete", call, { "from-tag": legTag(each) });
        if (!gone.ok && gone.failure.code === "media.relay-away") return gone;
        relayed.blocked.delete(legTag(each));
        if (relayed.bridged?.leg !== each) continue;
        relayed.bridged = undefined;
        const back = await this.#backToWorker(call, relayed);
        if (!back.ok) return back;
      }
      return succeed({ workerSendsTo: relayed.worker.relay, media: addressesOf(relayed) });
    });
  }

  reoffer(call: CallId, side: MediaSide, offer: Sdp): Promise<Outcome<Sdp, MediaFailure>> {
    return this.#inTurn(call, async () => {
      const relayed = this.#calls.get(call);
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
    const blocked = await this.#blockAsMeant(call, relayed);
    return blocked.ok ? succeed(this.#toCaller(call, relayed, answered.value.sdp, offer)) : blocked;
  }

  async #reofferOfLeg(call: CallId, relayed: RelayedCall, leg: LegId, offer: Sdp): Promise<Outcome<Sdp, MediaFailure>> {
    const bridged = relayed.bridged;
    const known = relayed.offered.get(leg);
    if (bridged?.leg !== leg || known === undefined) return fail({ code: "media.no-such-leg", leg });
    const audio = readUsable(offer, bridged.party.audio.codecs[0]);
    if (!audio.ok) return audio;
    const { tag } = bridged.party;
    const codec = relayed.caller.audio.codecs[0]?.name ?? "PCMU";
    const offered = await this.#offer(call, tag, CALLER, audio.value, [codec], familyOf(relayed.caller.audio));
    if (!offered.ok) return offered;
    const direction = answerDirection(audio.value.direction);
    const answered = await this.#answer(call, tag, CALLER, relayed.caller.audio, direction);
    if (!answered.ok) return answered;
    bridged.party = { ...bridged.party, audio: audio.value };
    known.version++;
    const blocked = await this.#blockAsMeant(call, relayed);
    if (!blocked.ok) return blocked;
    return succeed(refuseOtherStreams(withOrigin(answered.value.sdp, sessionIdOf(call, leg), known.version), offer));
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

  /** After a restart: releases the calls that rtpengine still holds and nobody knows. Returns how many. */
  async releaseStrangers(isKnown: (call: CallId) => boolean): Promise<Outcome<number, MediaFailure>> {
    const listed = await this.#ng.request({ command: "list", limit: 10_000 });
    if (!listed.ok) return listed;
    const calls = Array.isArray(listed.value.calls) ? listed.value.calls.map((call) => String(call) as CallId) : [];
    const strangers = calls.filter((call) => !isKnown(call));
    for (const call of strangers) await this.release(call);
    return succeed(strangers.length);
  }

  saved(_call: CallId): Saved | undefined {
    return undefined;
  }

  restore(_call: CallId, _saved: Saved): void {}

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
    clearInterval(this.#releaseTimer);
    await this.#ng.close();
    await this.#dtmf.close();
  }

  async #backToWorker(call: CallId, relayed: RelayedCall): Promise<Outcome<unknown, MediaFailure>> {
    const { caller, worker } = relayed;
    const offered = await this.#offer(call, CALLER, WORKER, caller.audio, ["PCMU"]);
    if (!offered.ok) return offered;
    const direction = answerDirection(caller.audio.direction);
    const answered = await this.#answer(call, CALLER, WORKER, worker.audio, direction);
    return answered.ok ? this.#blockAsMeant(call, relayed) : answered;
  }

  /** Asked after an offer to a leg of a call that another run had: restored from Redis, it has the worker too (h). */
  async #knownToThisRun(call: CallId): Promise<Outcome<boolean, MediaFailure>> {
    const found = await this.#request("query", call, {});
    if (!found.ok) return found;
    const { tags } = found.value;
    return succeed(typeof tags === "object" && tags !== null && WORKER in tags);
  }

  /** What our offer has just made in its place goes, too. */
  async #forgotten(call: CallId): Promise<Outcome<never, MediaFailure>> {
    await this.#request("delete", call, {});
    this.#calls.delete(call);
    return fail({ code: "media.not-anchored" });
  }

  /** Who must not be heard now (c, f), and only they, is blocked. */
  async #blockAsMeant(call: CallId, relayed: RelayedCall): Promise<Outcome<void, MediaFailure>> {
    const { caller, worker, bridged, offered, blocked } = relayed;
    const meant = new Set<string>();
    if (bridged !== undefined || !receives(caller)) meant.add(worker.tag);
    // A leg that only rings may send already, an announcement of its network say; one that was replaced may go on.
    for (const leg of offered.keys()) if (bridged?.leg !== leg || !receives(caller)) meant.add(legTag(leg));
    for (const tag of new Set([...blocked, ...meant])) {
      if (blocked.has(tag) === meant.has(tag)) continue;
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
    family: Family = "IP4",
  ): Promise<Outcome<RelaySaid, MediaFailure>> {
    const codec = { transcode };
    // Left alone, rtpengine offers on in the family it was offered.
    const translated = familyOf(audio) === family ? {} : { "address family": family };
    const asked = { ...REPLACED, "from-tag": from, "to-tag": to, sdp: say(audio), codec, ...translated };
    const reply = await this.#request("offer", call, asked);
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
  ): Promise<Outcome<NgReply, MediaFailure>> {
    return this.#ng.request({ command, "call-id": call, ...rest });
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

const receives = ({ audio }: Party): boolean => audio.direction === "sendrecv" || audio.direction === "recvonly";

/** Legs and the worker are reached by IPv4, whatever the caller has. */
type Family = "IP4" | "IP6";
const familyOf = ({ address }: AudioDescription): Family => (address.host.includes(":") ? "IP6" : "IP4");

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
  if (audio.transport !== "RTP/AVP") return fail({ code: "media.transport-unsupported", transport: audio.transport });
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
  const { address, codecs, dtmfPayloadType } = audio;
  return writeAudio({ address, codecs, direction, ...(dtmfPayloadType === undefined ? {} : { dtmfPayloadType }) });
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
