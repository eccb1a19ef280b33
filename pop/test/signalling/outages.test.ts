// Connections break, processes die, at every stage of a call: it goes on, and nobody hears a SIP message for it.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { asId } from "../../../kernel/ids.ts";
import type { PhoneCall } from "../../../loadtest/phones/phone-call.ts";
import { OURS, type Outage, Stage, until } from "./stage.ts";

/** Nothing here takes longer than a second; a test that hangs must not. */
const WITHIN = { timeout: 20_000 };
const OUTAGES: readonly Outage[] = ["connection", "pop", "sip-server"];

/** What we have sent to a phone, copies left out. */
const heard = (call: PhoneCall) =>
  call.history.filter(({ direction }) => direction === "in").map(({ summary }) => summary);
const starts = (call: PhoneCall, what: string) => heard(call).filter((summary) => summary.startsWith(what)).length;

async function on(run: (stage: Stage) => Promise<void>, awayMs?: number): Promise<void> {
  const stage = await Stage.open(awayMs);
  try {
    await run(stage);
    await until(
      () => Object.values(stage.signalling.load).every((count) => count === 0),
      () => `nothing is left over: ${JSON.stringify(stage.signalling.load)}`,
    );
    assert.equal(stage.server.endpoint.facts.dialogs, 0);
    assert.equal(stage.server.endpoint.facts.pendingRequests, 0);
  } finally {
    await stage.close();
  }
}

/** The pop hangs up, and everything is over. */
async function over(stage: Stage, call: PhoneCall, id: ReturnType<typeof asId<"call">>): Promise<void> {
  stage.signalling.hangUp(id, "caller", "test.over");
  stage.signalling.forget(id);
  await call.until("ended");
  assert.equal(call.end?.by, "them");
}

for (const outage of OUTAGES)
  describe(`the ${outage} goes`, { concurrency: 4, ...WITHIN }, () => {
    test("before the answer: the INVITE is answered when it is back", () =>
      on(async (stage) => {
        const { call, incoming } = await stage.dial();
        await stage.begin(outage, [incoming.call]);
        await stage.end(outage);
        assert.deepEqual(stage.told.incoming, [], "it is no new call");
        stage.signalling.answer(incoming.call, OURS);
        await call.until("answered");
        await stage.told.next("caller-acked");
        await over(stage, call, incoming.call);
      }));

    test("before the answer, and the caller gives up meanwhile", () =>
      on(async (stage) => {
        const { call, incoming } = await stage.dial();
        await stage.begin(outage, [incoming.call]);
        call.cancel();
        if (outage !== "sip-server") await call.until("ended");
        await stage.end(outage);
        await stage.told.next("caller-cancelled");
        stage.signalling.forget(incoming.call);
        await call.until("ended");
        assert.equal(call.end?.status, 487);
      }));

    test("with the 200 said, its confirmation and the ACK unheard", () =>
      on(async (stage) => {
        const { call, incoming } = await stage.dial();
        stage.mute();
        stage.signalling.answer(incoming.call, OURS);
        await call.until("answered");
        await stage.begin(outage, [incoming.call]);
        await stage.end(outage);
        if (outage === "pop") stage.signalling.answer(incoming.call, OURS); // it cannot know that it did
        await stage.told.next("caller-acked");
        // A server that dies before the ACK is there says the 200 again, as every server does.
        if (outage !== "sip-server") assert.equal(starts(call, "200"), 1);
        await over(stage, call, incoming.call);
      }));

    test("with a call up: nobody hears a word, then both directions work", () =>
      on(async (stage) => {
        const { call, incoming } = await stage.answered();
        const before = heard(call).length;
        await stage.begin(outage, [incoming.call]);
        await stage.end(outage);
        assert.equal(heard(call).length, before);
        assert.deepEqual(
          stage.told.inputs.filter(({ input }) => input.kind !== "caller-acked"),
          [],
        );
        const [again] = await Promise.all([
          call.reinvite("sendonly"),
          stage.told
            .next("reoffered")
            .then(({ side, request }) => stage.signalling.answerReoffer(incoming.call, side, request, OURS)),
        ]);
        assert.equal(again.status, 200);
        await over(stage, call, incoming.call);
      }));

    test("with a call up, and the caller hangs up meanwhile: it is told", () =>
      on(async (stage) => {
        const { call, incoming } = await stage.answered();
        await stage.begin(outage, [incoming.call]);
        call.hangUp();
        if (outage !== "sip-server") await call.until("ended");
        await stage.end(outage);
        await stage.told.next("caller-hung-up");
        stage.signalling.forget(incoming.call);
        await call.until("ended");
        assert.deepEqual(
          stage.told.kinds.filter((kind) => kind !== "caller-acked"),
          [],
        );
      }));

    test("in the middle of a re-INVITE: it is answered once", () =>
      on(async (stage) => {
        const { call, incoming } = await stage.answered();
        const reinvited = call.reinvite("sendonly");
        const asked = await stage.told.next("reoffered");
        await stage.begin(outage, [incoming.call]);
        if (outage !== "pop") stage.signalling.answerReoffer(incoming.call, asked.side, asked.request, OURS);
        await stage.end(outage);
        if (outage === "pop") {
          const again = await stage.told.next("reoffered");
          assert.deepEqual(again, asked, "the next process knows it by the same name");
          stage.signalling.answerReoffer(incoming.call, again.side, again.request, OURS);
        }
        assert.equal((await reinvited).status, 200);
        assert.deepEqual(
          stage.told.kinds.filter((kind) => kind === "reoffered"),
          [],
        );
        await over(stage, call, incoming.call);
      }));

    test("while an agent's phone rings: it rings on, and its answer is heard", () =>
      on(async (stage) => {
        const { call, incoming } = await stage.answered();
        const alice = await stage.phone("alice", { kind: "ring" });
        const leg = asId<"leg">(`${incoming.call}.1`);
        const wish = { uri: alice.uri, sdp: OURS, callingNumber: "+491700000001" };
        stage.signalling.invite(incoming.call, leg, wish);
        const rung = await alice.nextCall();
        await stage.told.next("leg-ringing");
        await stage.begin(outage, [incoming.call]);
        await stage.end(outage);
        stage.signalling.invite(incoming.call, leg, wish); // as a next process says again
        rung.answer();
        await stage.told.next("leg-answered");
        await rung.until("confirmed");
        assert.equal(alice.called.length, 1);
        assert.deepEqual([starts(rung, "INVITE"), starts(rung, "CANCEL")], [1, 0]);
        stage.signalling.hangUp(incoming.call, leg, "test.over");
        await over(stage, call, incoming.call);
        await rung.until("ended");
      }));

    for (const [how, act] of [
      ["answers", (rung: PhoneCall) => rung.answer()],
      ["refuses", (rung: PhoneCall) => rung.refuse(486)],
    ] as const)
      test(`while an agent's phone rings, and it ${how} meanwhile`, () =>
        on(async (stage) => {
          const { call, incoming } = await stage.answered();
          const alice = await stage.phone("alice", { kind: "ring" });
          const leg = asId<"leg">(`${incoming.call}.1`);
          stage.signalling.invite(incoming.call, leg, { uri: alice.uri, sdp: OURS, callingNumber: "1" });
          const rung = await alice.nextCall();
          await stage.told.next("leg-ringing");
          await stage.begin(outage, [incoming.call]);
          act(rung);
          await stage.end(outage);
          if (how === "answers") await stage.told.next("leg-answered");
          else assert.equal((await stage.told.next("leg-failed")).status, 486);
          assert.equal(starts(rung, "CANCEL"), 0);
          stage.signalling.hangUp(incoming.call, leg, "test.over");
          await over(stage, call, incoming.call);
          await rung.until("ended");
        }));

    test("with caller and agent up, and the agent hangs up meanwhile", () =>
      on(async (stage) => {
        const { call, incoming } = await stage.answered();
        const alice = await stage.phone("alice", { kind: "answer", afterMs: 1 });
        const leg = asId<"leg">(`${incoming.call}.1`);
        stage.signalling.invite(incoming.call, leg, { uri: alice.uri, sdp: OURS, callingNumber: "1" });
        const rung = await alice.nextCall();
        await stage.told.next("leg-answered");
        await rung.until("confirmed");
        await stage.begin(outage, [incoming.call]);
        rung.hangUp();
        await stage.end(outage);
        assert.equal((await stage.told.next("leg-hung-up")).leg, leg);
        await rung.until("ended");
        await over(stage, call, incoming.call);
      }));

    if (outage !== "pop") {
      test("what is wished meanwhile is said when it is back: answer and BYE, refusal, CANCEL, NOTIFY", () =>
        on(async (stage) => {
          const { call, incoming } = await stage.answered();
          const alice = await stage.phone("alice", { kind: "ring" });
          const leg = asId<"leg">(`${incoming.call}.1`);
          stage.signalling.invite(incoming.call, leg, { uri: alice.uri, sdp: OURS, callingNumber: "1" });
          const rung = await alice.nextCall();
          await stage.told.next("leg-ringing");
          const second = await stage.dial();
          const third = await stage.dial();
          await stage.begin(outage, []);
          stage.signalling.reject(second.incoming.call, 486, "test.busy", undefined);
          stage.signalling.forget(second.incoming.call);
          stage.signalling.answer(third.incoming.call, OURS);
          stage.signalling.cancelLeg(incoming.call, leg);
          stage.signalling.hangUp(incoming.call, "caller", "test.over");
          stage.signalling.forget(incoming.call);
          await stage.end(outage);
          await Promise.all([call.until("ended"), rung.until("ended"), second.call.until("ended")]);
          assert.deepEqual([call.end?.how, rung.end?.how, second.call.end?.status], ["bye", "cancel", 486]);
          assert.match(String(call.end?.reason), /test\.over/);
          await third.call.until("answered");
          await stage.told.next("caller-acked");
          await over(stage, third.call, third.incoming.call);
        }));

      test("a leg wished meanwhile rings when it is back; one given up again is never heard of", () =>
        on(async (stage) => {
          const { call, incoming } = await stage.answered();
          const alice = await stage.phone("alice", { kind: "ring" });
          const bob = await stage.phone("bob", { kind: "ring" });
          const [toAlice, toBob] = [asId<"leg">(`${incoming.call}.1`), asId<"leg">(`${incoming.call}.2`)];
          await stage.begin(outage, []);
          stage.signalling.invite(incoming.call, toBob, { uri: bob.uri, sdp: OURS, callingNumber: "1" });
          stage.signalling.cancelLeg(incoming.call, toBob);
          stage.signalling.invite(incoming.call, toAlice, { uri: alice.uri, sdp: OURS, callingNumber: "1" });
          await stage.end(outage);
          const rung = await alice.nextCall();
          await stage.told.next("leg-ringing");
          assert.equal(bob.called.length, 0);
          stage.signalling.cancelLeg(incoming.call, toAlice);
          await over(stage, call, incoming.call);
          await rung.until("ended");
        }));

      test("a re-INVITE of ours, wished before and meanwhile: each gets its answer, once", () =>
        on(async (stage) => {
          const { call, incoming } = await stage.answered();
          stage.signalling.reinvite(incoming.call, "caller", OURS);
          assert.match((await stage.told.next("reinvite-answered")).sdp, /m=audio/);
          await stage.begin(outage, []);
          stage.signalling.reinvite(incoming.call, "caller", OURS);
          await stage.end(outage);
          assert.match((await stage.told.next("reinvite-answered")).sdp, /m=audio/);
          assert.equal(starts(call, "INVITE"), 2);
          await over(stage, call, incoming.call);
        }));

      test("a phone answers while its CANCEL waits: acknowledged, and hung up", () =>
        on(async (stage) => {
          const { call, incoming } = await stage.answered();
          const alice = await stage.phone("alice", { kind: "ring" });
          const leg = asId<"leg">(`${incoming.call}.1`);
          stage.signalling.invite(incoming.call, leg, { uri: alice.uri, sdp: OURS, callingNumber: "1" });
          const rung = await alice.nextCall();
          await stage.told.next("leg-ringing");
          await stage.begin(outage, []);
          rung.answer();
          stage.signalling.cancelLeg(incoming.call, leg);
          await stage.end(outage);
          await rung.until("ended");
          assert.ok(starts(rung, "ACK") > 0 && starts(rung, "BYE") === 1, heard(rung).join(", "));
          await over(stage, call, incoming.call);
          assert.deepEqual(stage.told.kinds, []);
        }));
    }
  });

test("the SIP server comes back without its calls: they are told that it has, and nothing is left over", () =>
  on(async (stage) => {
    const { call, incoming } = await stage.answered();
    const alice = await stage.phone("alice", { kind: "answer", afterMs: 1 });
    const leg = asId<"leg">(`${incoming.call}.1`);
    stage.signalling.invite(incoming.call, leg, { uri: alice.uri, sdp: OURS, callingNumber: "1" });
    await alice.nextCall();
    await stage.told.next("leg-answered");
    const second = await stage.dial();
    await stage.begin("sip-server", []);
    await stage.end("sip-server", true);
    assert.equal((await stage.told.next("leg-hung-up")).reason, "sip.dialog-lost");
    const lost = stage.told.inputs
      .filter(({ input }) => input.kind !== "leg-ringing")
      .map(({ call: of, input }) => ({ of, ...input }));
    assert.deepEqual(
      new Set(lost.map(({ of, kind }) => `${of} ${kind}`)),
      new Set([`${incoming.call} signalling-lost`, `${second.incoming.call} signalling-lost`]),
    );
    for (const each of [incoming.call, second.incoming.call]) stage.signalling.forget(each);
    void call;
  }));

test("a server that stays away: its calls end after a while, and are not taken up again", () =>
  on(async (stage) => {
    const { call, incoming } = await stage.answered();
    await stage.begin("connection", []);
    assert.equal((await stage.told.next("signalling-lost")).code, "sip.server-away");
    assert.equal(stage.signalling.saved(incoming.call), undefined);
    await stage.end("connection");
    await call.until("ended");
    assert.equal(call.end?.by, "them");
    await until(
      () => stage.server.endpoint.facts.dialogs === 0,
      () => "the server has ended it",
    );
  }, 100));

test("a process that remembers nothing: what it had is ended at once, what is not answered yet is a new call", () =>
  on(async (stage) => {
    const { call } = await stage.answered();
    const alice = await stage.phone("alice", { kind: "ring" });
    const second = await stage.dial();
    const leg = asId<"leg">(`${second.incoming.call}.1`);
    stage.signalling.invite(second.incoming.call, leg, { uri: alice.uri, sdp: OURS, callingNumber: "1" });
    const rung = await alice.nextCall();
    await stage.told.next("leg-ringing");
    await stage.begin("pop", []);
    await stage.end("pop");
    await Promise.all([call.until("ended"), rung.until("ended")]);
    const again = await stage.told.nextCall();
    assert.notEqual(again.call, second.incoming.call);
    assert.equal(again.sipCallId, second.incoming.sipCallId);
    stage.signalling.answer(again.call, OURS);
    await second.call.until("answered");
    await over(stage, second.call, again.call);
  }));

test("two outages in a row, the second before the first is over", () =>
  on(async (stage) => {
    const { call, incoming } = await stage.answered();
    const before = heard(call).length;
    for (const outage of ["connection", "pop", "sip-server", "pop", "connection"] as const) {
      await stage.begin(outage, [incoming.call]);
      await stage.end(outage);
    }
    assert.equal(heard(call).length, before);
    await over(stage, call, incoming.call);
  }));
