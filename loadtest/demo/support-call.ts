// The demo's main story: a carrier's call from greeting to contact record, each step checked from outside.

import { OwnStall } from "../phones/own-stall.ts";
import type { PhoneCall } from "../phones/phone-call.ts";
import { SipPhone } from "../phones/sip-phone.ts";
import type { HeardPacket } from "../rtp-probe/listening.ts";
import { RtpProbe } from "../rtp-probe/rtp-probe.ts";
import { findAudio } from "../rtp-probe/similarity.ts";
import { type RunningSipp, startSipp } from "../sipp/run-sipp.ts";
import type { Checks } from "./checks.ts";
import { mistakesOf } from "./contact-record-check.ts";
import type { ExampleTenant } from "./example-tenant.ts";
import { type ContactRecord, eventually, type Operator } from "./operator.ts";
import { beginning, type ReferenceAudio } from "./reference-audio.ts";

export const CARRIER_HOST = "127.20.0.1";
export const ALICE_HOST = "127.30.0.1";
export const BOB_HOST = "127.30.0.2";
const CALLING_NUMBER = "+4930555001";
const CALLER_HZ = 440;
const AGENT_HZ = 700;
/** Of the power at one frequency: a tone over G.711 has more than 0.95, speech or music nowhere near. */
const TONE_SHARE_MIN = 0.8;
/** Of the same prompt over G.711 and a relay: above 0.95; of another prompt: below 0.3. */
const LIKENESS_MIN = 0.9;
const SAMPLES_PER_MS = 8;
/** Of the music, from its beginning: what is heard in the first seconds in the queue is in there. */
const MUSIC_MS = 8_000;
const PACKET_GAP_MS_MAX = 150;

export interface Stage {
  readonly operator: Operator;
  readonly tenant: ExampleTenant;
  readonly audio: ReferenceAudio;
  readonly checks: Checks;
  readonly host: { readonly hostId: string; readonly address: string; readonly sipPort: number };
  /** "127.10.1." */
  readonly regionPrefix: string;
  readonly folder: string;
  say(line: string): void;
}

export interface SupportCall {
  readonly callId: string;
  readonly record: ContactRecord;
}

/** @throws CheckFailed when a step did not come and the rest could not be tried */
export async function supportCall(stage: Stage): Promise<SupportCall> {
  // Made before anybody listens: synthesis and speech would keep this process from looking at its packets.
  const expected = {
    greeting: await stage.audio.of(stage.tenant.greeting),
    music: beginning(await stage.audio.of(stage.tenant.music), MUSIC_MS),
  };
  const stall = new OwnStall();
  stall.begin();
  const probe = await RtpProbe.open({ host: CARRIER_HOST });
  const alice = await SipPhone.open({ host: ALICE_HOST, user: "alice" });
  const bob = await SipPhone.open({ host: BOB_HOST, user: "bob" });
  for (const phone of [alice, bob]) phone.whenCalled = { kind: "answer", afterMs: 400, toneHz: AGENT_HZ };
  const carrier = startSipp({
    scenario: "caller-waits-until-released",
    target: `${stage.host.address}:${stage.host.sipPort}`,
    localHost: CARRIER_HOST,
    localPort: 5060,
    calledNumber: stage.tenant.supportNumber,
    calls: 1,
    callsPerSecond: 1,
    keys: { calling_number: CALLING_NUMBER, media_host: CARRIER_HOST, media_rtp_port: String(probe.address.port) },
    withinMs: 40_000,
    folder: stage.folder,
  });
  try {
    return await played(stage, { probe, alice, bob, carrier, expected, stall });
  } finally {
    carrier.stop();
    await Promise.all([alice.close(), bob.close(), probe.close()]);
  }
}

interface Cast {
  readonly probe: RtpProbe;
  readonly alice: SipPhone;
  readonly bob: SipPhone;
  readonly carrier: RunningSipp;
  /** 8 kHz linear. */
  readonly expected: { readonly greeting: Int16Array; readonly music: Int16Array };
  readonly stall: OwnStall;
}

async function played(stage: Stage, cast: Cast): Promise<SupportCall> {
  const { operator, checks, say } = stage;
  const { probe } = cast;

  say(`the carrier calls ${stage.tenant.supportNumber} from ${CARRIER_HOST} (SIPp, RTP probe)`);
  await hearsGreeting(stage, cast);
  const callId = await pressesOne(stage, probe);
  await hearsMusic(stage, cast);

  say(`alice (${ALICE_HOST}) and bob (${BOB_HOST}) sign in`);
  await operator.signIn("alice", cast.alice.uri);
  await operator.signIn("bob", cast.bob.uri);
  const agent = await checks.expect(
    "agent rung",
    Promise.any([cast.alice.nextCall(5_000), cast.bob.nextCall(5_000)]).catch(() => {
      throw new Error("neither phone was called within 5 s");
    }),
    (call) => `${call === cast.alice.called[0] ? "alice" : "bob"}'s phone, by INVITE from ${addressOf(call)}`,
  );
  await bothTalk(stage, probe, agent);
  await released(stage, cast, agent);

  say("what remains of the call");
  const record = await checkedRecord(stage);
  mediaStayedInRegion(stage, record, [...probe.listening.packets, ...agent.listening.packets]);
  nothingLost(stage, cast, agent);
  return { callId, record };
}

async function hearsGreeting({ checks, regionPrefix }: Stage, { probe, expected: { greeting } }: Cast): Promise<void> {
  const ms = greeting.length / SAMPLES_PER_MS;
  await checks.expect(
    "greeting heard",
    (async () => {
      await probe.until(({ packets }) => packets.length > 0, 8_000, "the first RTP packet");
      const [first] = probe.listening.packets;
      if (first === undefined || !first.from.host.startsWith(regionPrefix)) throw new Error("RTP from elsewhere");
      // SIPp does the signalling and tells nobody where the answer wants our RTP: it is where theirs comes from.
      probe.sendTo(first.from);
      probe.silence();
      // Silence comes first for as long as the prompt is being made.
      for (let soFarMs = ms + 200; ; soFarMs += 400) {
        await probe.until(
          (heard) => heard.durationMs() > soFarMs,
          soFarMs + 4_000,
          `${Math.round(soFarMs)} ms of audio`,
        );
        const { score, atMs } = probe.listening.likeness(greeting);
        if (score >= LIKENESS_MIN) return { score, atMs };
        if (soFarMs > ms + 4_000)
          throw new Error(
            `similarity ${score.toFixed(3)}, at least ${LIKENESS_MIN} wanted; ${Math.round(soFarMs)} ms heard`,
          );
      }
    })(),
    ({ score, atMs }) => `similarity ${score.toFixed(3)} with the prompt, ${Math.round(atMs)} ms into the audio`,
  );
}

async function pressesOne({ operator, tenant, checks, host }: Stage, probe: RtpProbe): Promise<string> {
  const pressedAtMs = performance.now();
  await probe.press("1");
  const waiting = await checks.expect(
    "digit 1 understood",
    eventually("a call in the queue", 5_000, async () =>
      (await operator.calls(host.hostId)).find(
        (call) => call.calledNumber === tenant.supportNumber && call.queue === tenant.queue,
      ),
    ),
    () =>
      `by RFC 4733; in queue ${tenant.queue} ${Math.round(performance.now() - pressedAtMs)} ms after the key went down`,
  );
  return waiting.callId;
}

async function hearsMusic({ checks }: Stage, { probe, expected }: Cast): Promise<void> {
  const fromMs = performance.now() + 200;
  const heardMs = 1_500;
  await checks.expect(
    "music heard in queue",
    (async () => {
      for (let window = { fromMs, toMs: fromMs + heardMs }; ; window = later(window, 400)) {
        await probe.until(() => performance.now() > window.toMs + 50, 5_000, "music");
        const { score } = findAudio(expected.music, probe.listening.audio(window));
        if (score >= LIKENESS_MIN) return score;
        if (window.toMs > fromMs + MUSIC_MS - heardMs)
          throw new Error(`similarity ${score.toFixed(3)}, at least ${LIKENESS_MIN} wanted`);
      }
    })(),
    (score) => `similarity ${score.toFixed(3)} with the queue's music`,
  );
}

const later = (window: { fromMs: number; toMs: number }, ms: number) => ({
  fromMs: window.fromMs + ms,
  toMs: window.toMs + ms,
});

async function bothTalk({ checks, say }: Stage, probe: RtpProbe, agent: PhoneCall): Promise<void> {
  await checks.expect("agent answered", agent.until("confirmed", 5_000), () => "200 and its ACK");
  say(`they talk: the caller sends ${CALLER_HZ} Hz, the agent ${AGENT_HZ} Hz`);
  probe.tone(CALLER_HZ);
  const fromMs = performance.now() + 300;
  const hears = (party: RtpProbe, hz: number) =>
    party
      .until((heard) => heard.durationMs({ fromMs }) >= 1_000, 4_000, "audio")
      .then(() => party.listening.toneShare(hz, { fromMs }))
      .then((share) => {
        if (share < TONE_SHARE_MIN) throw new Error(`share of ${hz} Hz ${share.toFixed(3)}, not ${TONE_SHARE_MIN}`);
        return share;
      });
  await checks.expect(
    "two-way audio",
    Promise.all([hears(probe, AGENT_HZ), hears(agent.probe, CALLER_HZ)]),
    ([caller, called]) =>
      `caller hears ${AGENT_HZ} Hz (share ${caller.toFixed(3)}), agent hears ${CALLER_HZ} Hz (share ${called.toFixed(3)})`,
  );
}

/** The agent hangs up; the flow says goodbye and releases the caller. */
async function released({ checks, operator, say }: Stage, { carrier, alice }: Cast, agent: PhoneCall): Promise<void> {
  say("the agent hangs up, the flow says goodbye");
  agent.hangUp();
  await checks.expect("agent's leg released", agent.until("ended", 3_000), () => "BYE, 200");
  await checks.expect(
    "caller's leg released",
    carrier.result.then((result) => {
      if (!result.good) throw new Error(result.complaints || `SIPp: exit ${result.exitCode}`);
      return result;
    }),
    ({ responseTime }) => `BYE, 200; INVITE to 200 took ${responseTime?.maxMs ?? "?"} ms`,
  );
  const name = agent === alice.called[0] ? "alice" : "bob";
  await checks.expect("agent free again", operator.untilAgentIs(name, "available"), () => `${name} is available`);
}

async function checkedRecord({ operator, checks }: Stage): Promise<ContactRecord> {
  const kinds = ["flow", "ringing", "queue", "agent", "flow"];
  return checks.expect(
    "contact record complete",
    operator.record(CALLING_NUMBER).then((record) => {
      const mistakes = mistakesOf(record, kinds);
      if (mistakes.length > 0) throw new Error(mistakes.join("; "));
      return record;
    }),
    (record) =>
      `${Object.keys(record).length} fields; ${record.segments.map(({ kind }) => kind).join(" → ")}; ended by ${record.endedBy} (${record.endCode})`,
  );
}

/** By the record's addresses and, independently, by where every RTP packet that our parties received came from. */
function mediaStayedInRegion(
  { checks, regionPrefix }: Stage,
  record: ContactRecord,
  heard: readonly HeardPacket[],
): void {
  const ours = record.media.map(({ localAddress }) => localAddress);
  const sources = [...new Set(heard.map(({ from }) => `${from.host}:${from.port}`))];
  const outside = [...ours, ...sources].filter((address) => !address.startsWith(regionPrefix));
  const legs = record.media.map(({ leg }) => leg).join(" and ");
  checks.note(
    "media inside the region",
    outside.length === 0 && ours.length >= 2 && sources.length >= 2,
    outside.length > 0
      ? `outside: ${outside.join(", ")}`
      : `${legs}: ${ours.join(", ")}; ${heard.length} packets received, all from ${sources.join(", ")}`,
  );
}

/** By sequence numbers and by time; while we compare audio we look at no packet, which is nobody's gap but ours. */
function nothingLost({ checks }: Stage, { probe, stall }: Cast, agent: PhoneCall): void {
  const caller = probe.listening.losses();
  const called = agent.listening.losses();
  const gapMs = Math.max(probe.listening.longestGapMs(), agent.listening.longestGapMs());
  checks.note(
    "nothing lost",
    caller.lost === 0 && called.lost === 0 && gapMs <= PACKET_GAP_MS_MAX + stall.maxMs(),
    `caller ${caller.lost} of ${probe.listening.packets.length} packets, agent ${called.lost} of ${agent.listening.packets.length}; longest gap ${Math.round(gapMs)} ms (own longest pause ${Math.round(stall.maxMs())} ms)`,
  );
}

const addressOf = (call: PhoneCall): string =>
  /(?:\d{1,3}\.){3}\d{1,3}:\d+/.exec(call.invite.headers.find(({ key }) => key === "via")?.value ?? "")?.[0] ?? "?";
