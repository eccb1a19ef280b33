import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { asId, type CallId } from "../../kernel/ids.ts";
import type { Outcome } from "../../kernel/outcome.ts";
import type { RtpAddress } from "../core/media/addresses.ts";
import { type AudioDescription, PCMA, PCMU, readAudio, type Sdp, writeAudio } from "../core/media/sdp.ts";
import type { Anchored, MediaRelay } from "./media-relay.ts";

const LEG = asId<"leg">("leg-1");
const OTHER_LEG = asId<"leg">("leg-2");
const WORKER: RtpAddress = { host: "127.0.0.1", port: 20_000 };
const CALLER_OFFER = writeAudio({
  address: { host: "127.0.0.9", port: 40_000 },
  codecs: [PCMA, PCMU],
  dtmfPayloadType: 101,
  sessionId: 7,
});
const LEG_ANSWER = writeAudio({ address: { host: "127.0.0.8", port: 41_000 }, codecs: [PCMA], dtmfPayloadType: 101 });

let calls = 0;
const newCall = (): CallId => asId<"call">(`contract-${process.pid}-${++calls}`);

function gained<Value>(outcome: Outcome<Value, unknown>): Value {
  if (!outcome.ok) assert.fail(`failed: ${JSON.stringify(outcome.failure)}`);
  return outcome.value;
}

function codeOf(outcome: Outcome<unknown, { readonly code: string }>): string {
  return outcome.ok ? "ok" : outcome.failure.code;
}

const audioOf = (sdp: Sdp): AudioDescription => gained(readAudio(sdp));

/** What every MediaRelay must do; each adapter's test calls this. What is heard is tested where packets flow. */
export function mediaRelayContract(name: string, open: () => Promise<MediaRelay>): void {
  describe(`${name} is a MediaRelay`, () => {
    let relay: MediaRelay;
    before(async () => {
      relay = await open();
    });
    after(() => relay.close());

    const anchored = async (call: CallId): Promise<Anchored> => gained(await relay.anchor(call, CALLER_OFFER, WORKER));

    test("it is in good health", async () => {
      assert.ok((await relay.health()).ok);
    });

    test("the caller is answered with the relay's address, one codec, and its own telephone-event", async () => {
      const call = newCall();
      const { answerForCaller, dtmfPayloadType, media, workerSendsTo } = await anchored(call);
      const answer = audioOf(answerForCaller);
      assert.deepEqual(answer.address, media.caller.relay);
      assert.ok(!answerForCaller.includes("127.0.0.9") && !answerForCaller.includes(`${WORKER.port}`));
      assert.deepEqual(answer.codecs.map(({ name }) => name).length, 1);
      assert.equal(answer.dtmfPayloadType, 101);
      assert.equal(dtmfPayloadType, 101);
      assert.equal(answer.direction, "sendrecv");
      assert.deepEqual(media.caller.remote, { host: "127.0.0.9", port: 40_000 });
      assert.deepEqual(media.far, { relay: workerSendsTo, remote: WORKER });
      await relay.release(call);
    });

    test("anchored again with the same offer, the ports are the same", async () => {
      const call = newCall();
      const first = await anchored(call);
      const second = await anchored(call);
      assert.deepEqual(second.media, first.media);
      await relay.release(call);
    });

    test("an offer without a usable stream is refused, and says why", async () => {
      const call = newCall();
      const opus = { payloadType: 96, name: "OPUS", clockHz: 48_000 };
      const onlyOpus = writeAudio({ address: { host: "127.0.0.9", port: 40_000 }, codecs: [opus] });
      assert.deepEqual(await relay.anchor(call, onlyOpus, WORKER), {
        ok: false,
        failure: { code: "media.no-common-codec", offered: ["OPUS"] },
      });
      assert.equal(codeOf(await relay.anchor(call, "v=0", WORKER)), "media.sdp-unreadable");
      const secureWithoutKeys = CALLER_OFFER.replace("RTP/AVP", "RTP/SAVP");
      assert.equal(codeOf(await relay.anchor(call, secureWithoutKeys, WORKER)), "media.transport-unsupported");
      const browser = CALLER_OFFER.replace("RTP/AVP", "UDP/TLS/RTP/SAVPF");
      assert.equal(codeOf(await relay.anchor(call, browser, WORKER)), "media.transport-unsupported");
      await relay.release(call);
    });

    test("an offer of RTP/SAVP with keys is answered in kind, with one key, the same when asked again", async () => {
      const call = newCall();
      const keys = "AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";
      const secure = `${CALLER_OFFER.replace("RTP/AVP", "RTP/SAVP")}a=crypto:7 ${keys}\r\n`;
      const { answerForCaller } = gained(await relay.anchor(call, secure, WORKER));
      const answer = audioOf(answerForCaller);
      assert.equal(answer.transport, "RTP/SAVP");
      assert.match(answer.crypto?.join() ?? "", /^7 AES_CM_128_HMAC_SHA1_80 inline:[A-Za-z0-9+/=]{40}/);
      assert.ok(!answerForCaller.includes("WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz"));
      assert.deepEqual(audioOf(gained(await relay.anchor(call, secure, WORKER)).answerForCaller).crypto, answer.crypto);
      const held = audioOf(gained(await relay.reoffer(call, "caller", secure.replace("sendrecv", "sendonly"))));
      assert.deepEqual(held.crypto, answer.crypto);
      assert.equal(audioOf(gained(await relay.offer(call, LEG))).transport, "RTP/AVP");
      await relay.release(call);
    });

    test("a call is taken up by what was saved of it, and goes on", async () => {
      const call = newCall();
      const { media } = await anchored(call);
      gained(await relay.offer(call, LEG));
      assert.deepEqual(relay.standing(call), { worker: WORKER, legs: [LEG], bridged: undefined });
      const saved = JSON.parse(JSON.stringify(relay.saved(call)));
      relay.restore(call, saved);
      assert.deepEqual(relay.standing(call), { worker: WORKER, legs: [LEG], bridged: undefined });
      assert.deepEqual(gained(await relay.bridge(call, LEG, LEG_ANSWER)).media.caller, media.caller);
      assert.equal(relay.standing(call)?.bridged, LEG);
      gained(await relay.park(call, LEG));
      await relay.release(call);
      assert.equal(relay.standing(call), undefined);
      assert.equal(relay.saved(call), undefined);
    });

    test("a caller without telephone-event is anchored, and none is answered", async () => {
      const call = newCall();
      const offer = writeAudio({ address: { host: "127.0.0.9", port: 40_000 }, codecs: [PCMU] });
      const { answerForCaller, dtmfPayloadType } = gained(await relay.anchor(call, offer, WORKER));
      assert.equal(dtmfPayloadType, undefined);
      assert.equal(audioOf(answerForCaller).dtmfPayloadType, undefined);
      await relay.release(call);
    });

    test("streams other than the audio are refused in the answer", async () => {
      const call = newCall();
      const { answerForCaller } = gained(
        await relay.anchor(call, `${CALLER_OFFER}m=video 50000 RTP/AVP 96\r\n`, WORKER),
      );
      // the memory relay answers as plainly as it is asked; a real one has as many streams as the offer
      assert.ok(!/^m=video [1-9]/m.test(answerForCaller));
      await relay.release(call);
    });

    test("commands for a call that was never anchored fail with media.not-anchored", async () => {
      const call = newCall();
      assert.equal(codeOf(await relay.offer(call, LEG)), "media.not-anchored");
      assert.equal(codeOf(await relay.bridge(call, LEG, LEG_ANSWER)), "media.not-anchored");
      assert.equal(codeOf(await relay.park(call, LEG)), "media.not-anchored");
      assert.equal(codeOf(await relay.reoffer(call, "caller", CALLER_OFFER)), "media.not-anchored");
    });

    test("a leg is offered PCMU, PCMA and telephone-event at the relay", async () => {
      const call = newCall();
      const { media } = await anchored(call);
      const offer = audioOf(gained(await relay.offer(call, LEG)));
      assert.equal(offer.address.host, media.caller.relay.host);
      assert.notEqual(offer.address.port, media.caller.relay.port);
      assert.deepEqual(new Set(offer.codecs.map(({ name }) => name)), new Set(["PCMU", "PCMA"]));
      assert.equal(offer.dtmfPayloadType, 101);
      await relay.release(call);
    });

    test("a leg is bridged, parked, and another one takes its turn", async () => {
      const call = newCall();
      const { media, workerSendsTo } = await anchored(call);
      gained(await relay.offer(call, LEG));
      const bridged = gained(await relay.bridge(call, LEG, LEG_ANSWER));
      assert.deepEqual(bridged.media.caller, media.caller);
      assert.deepEqual(bridged.media.far.remote, { host: "127.0.0.8", port: 41_000 });
      const parked = gained(await relay.park(call, LEG));
      assert.deepEqual(parked, { workerSendsTo, media });
      assert.equal(codeOf(await relay.bridge(call, LEG, LEG_ANSWER)), "media.no-such-leg");
      gained(await relay.offer(call, OTHER_LEG));
      assert.equal(codeOf(await relay.bridge(call, OTHER_LEG, LEG_ANSWER)), "ok");
      await relay.release(call);
    });

    test("parking what is not there changes nothing", async () => {
      const call = newCall();
      const { workerSendsTo, media } = await anchored(call);
      assert.deepEqual(gained(await relay.park(call, undefined)), { workerSendsTo, media });
      assert.deepEqual(gained(await relay.park(call, LEG)), { workerSendsTo, media });
      await relay.release(call);
    });

    test("parking a leg that only rings leaves the bridged one in place", async () => {
      const call = newCall();
      await anchored(call);
      gained(await relay.offer(call, LEG));
      const bridged = gained(await relay.bridge(call, LEG, LEG_ANSWER));
      gained(await relay.offer(call, OTHER_LEG));
      assert.deepEqual(gained(await relay.park(call, OTHER_LEG)).media, bridged.media);
      await relay.release(call);
    });

    test("a leg that was not offered cannot be bridged", async () => {
      const call = newCall();
      await anchored(call);
      assert.deepEqual(await relay.bridge(call, LEG, LEG_ANSWER), {
        ok: false,
        failure: { code: "media.no-such-leg", leg: LEG },
      });
      await relay.release(call);
    });

    test("the caller's hold is answered on the same port, and so is its end", async () => {
      const call = newCall();
      const { media } = await anchored(call);
      const held = audioOf(gained(await relay.reoffer(call, "caller", CALLER_OFFER.replace("sendrecv", "sendonly"))));
      assert.equal(held.direction, "recvonly");
      assert.deepEqual(held.address, media.caller.relay);
      const resumed = audioOf(gained(await relay.reoffer(call, "caller", CALLER_OFFER)));
      assert.equal(resumed.direction, "sendrecv");
      assert.deepEqual(resumed.address, media.caller.relay);
      await relay.release(call);
    });

    test("a bridged leg's hold is answered on its own port; a leg that is not there has none", async () => {
      const call = newCall();
      await anchored(call);
      assert.equal(codeOf(await relay.reoffer(call, LEG, LEG_ANSWER)), "media.no-such-leg");
      const offer = audioOf(gained(await relay.offer(call, LEG)));
      gained(await relay.bridge(call, LEG, LEG_ANSWER));
      const held = audioOf(gained(await relay.reoffer(call, LEG, LEG_ANSWER.replace("sendrecv", "sendonly"))));
      assert.equal(held.direction, "recvonly");
      assert.deepEqual(held.address, offer.address);
      assert.equal(held.codecs[0]?.name, "PCMA");
      await relay.release(call);
    });

    test("release may be repeated, may come first, and the call may be anchored again", async () => {
      const call = newCall();
      await relay.release(call);
      await anchored(call);
      await relay.release(call);
      await relay.release(call);
      assert.equal(codeOf(await relay.offer(call, LEG)), "media.not-anchored");
      await anchored(call);
      await relay.release(call);
    });
  });
}
