// An application that comes back and says which calls it remembers: core/drachtio/resume.ts.

import assert from "node:assert/strict";
import { test } from "node:test";
import { SimWorld } from "../../../kernel/sim/world.ts";
import { CLAIMS_PER_FRAME_MAX, RESUME_TAG } from "../core/drachtio/resume.ts";
import { USER_AGENT_LIMITS } from "../core/limits.ts";
import { type Heard, SimulatedApplication, SimulatedHost } from "./simulated.ts";

const ALICE = "10.0.0.1";
const BOB = "10.0.0.2";
const TAGS = `instance:pop,${RESUME_TAG}`;

/** Says what it remembers as soon as it is connected, and writes down what it is told in which order. */
class Resuming extends SimulatedApplication {
  readonly told: string[] = [];
  onStanding: (line: string) => void = () => {};

  resume(callIds: readonly string[], part = "last"): void {
    this.say(`resume|${part}\r\n${callIds.join("\r\n")}`);
  }

  override send(payload: string): void {
    const [meta = "", ...lines] = payload.split("\r\n");
    const tokens = meta.split("|");
    if (tokens[1] === "response" && tokens[4] === "has") this.told?.push(...lines);
    else if (tokens[1] === "response" && tokens[4] === "done") this.told?.push(tokens.slice(4).join(" "));
    super.send(payload);
    const last = this.heard?.at(-1);
    if (tokens[1] === "sip" && last !== undefined) this.told?.push(last.what);
  }
}

function stage(onBob: (bob: SimulatedApplication, heard: Heard) => void = () => {}) {
  const world = new SimWorld(1);
  const alice = new SimulatedHost(world, ALICE);
  const bob = new SimulatedHost(world, BOB);
  bob.application.leave();
  const first = new Resuming(bob.endpoint, TAGS, "first");
  bob.application = first;
  first.onHeard = (heard) => onBob(first, heard);
  first.resume([]);
  alice.application.onHeard = (heard) => {
    if (heard.what === "200" && heard.text.includes(" INVITE")) alice.application.request("ACK", heard.dialogId);
    if (heard.what === "BYE" && heard.transactionId !== "unsolicited") alice.application.respond(heard, 200);
  };
  const back = (id = "again") => new Resuming(bob.endpoint, TAGS, id);
  return { world, alice, bob, first, back };
}
const answering = (bob: SimulatedApplication, heard: Heard) => {
  if (heard.what === "INVITE") bob.respond(heard, 200);
};
const callIdOf = (application: SimulatedApplication, what = "INVITE", at = -1): string =>
  /^Call-ID: (.*)$/im.exec(application.heard.filter((heard) => heard.what === what).at(at)?.text ?? "")?.[1] ?? "";
const said = (application: SimulatedApplication, what: string) => application.count(what);

test("a call that is up is claimed: nothing is sent, and it goes on in both directions", () => {
  const { world, alice, bob, first, back } = stage(answering);
  alice.application.request("INVITE", "", `sip:bob@${BOB}`);
  world.runFor(70_000);
  const callId = callIdOf(first);
  const { dialogId } = alice.application.heard.findLast(({ what }) => what === "200") as Heard;
  first.leave();
  const heardBefore = alice.application.heard.length;
  const again = back();
  again.onHeard = (heard) => world.after(0, () => again.respond(heard, 200));
  again.resume([callId]);
  assert.deepEqual(again.told, [`dialog|${dialogId}||uas|confirmed`, "done 0 0"]);
  world.runFor(2 * USER_AGENT_LIMITS.orphanGraceMs);
  assert.equal(alice.application.heard.length, heardBefore, "nobody was told a word");
  alice.application.request("INFO", dialogId);
  world.runFor(1_000);
  assert.equal(said(again, "INFO"), 1);
  again.request("BYE", dialogId);
  world.runFor(70_000);
  assert.ok(alice.isIdle && bob.isIdle, JSON.stringify(bob.endpoint.facts));
});

test("nothing of an old call is heard before `resume`, and everything after it: a request is delivered once", () => {
  const { world, alice, first, back } = stage(answering);
  alice.application.request("INVITE", "", `sip:bob@${BOB}`);
  world.runFor(70_000);
  const callId = callIdOf(first);
  const { dialogId } = alice.application.heard.findLast(({ what }) => what === "200") as Heard;
  first.leave();
  alice.application.request("INFO", dialogId);
  world.runFor(500);
  const again = back();
  alice.application.request("UPDATE", dialogId);
  world.runFor(500);
  assert.deepEqual(again.told, []);
  again.resume([callId]);
  assert.deepEqual(again.told, [`dialog|${dialogId}||uas|confirmed`, "INFO", "UPDATE", "done 0 0"]);
});

test("an INVITE without an answer comes again under its old name, claimed or not, and can be answered", () => {
  for (const isClaimed of [true, false]) {
    const { world, alice, first, back } = stage();
    alice.application.request("INVITE", "", `sip:bob@${BOB}`);
    world.runFor(1_000);
    const callId = callIdOf(first);
    first.leave();
    world.runFor(1_000);
    const again = back();
    again.resume(isClaimed ? [callId] : []);
    const invite = again.heard.at(-1) as Heard;
    const lines = isClaimed
      ? [`request|${callId};from-tag=${/From:.*tag=(.*)/.exec(invite.text)?.[1]}|${invite.transactionId}`]
      : [];
    assert.deepEqual(again.told, [...lines, "INVITE", "done 0 0"]);
    assert.equal(invite.transactionId, first.heard.at(-1)?.transactionId);
    again.respond(invite, 200);
    world.runFor(1_000);
    assert.equal(said(alice.application, "200"), 1);
    assert.equal(said(again, "ACK"), 1);
  }
});

test("a call nobody claims gets its BYE at once; a BYE while nobody is there is answered at once, and its call is not there", () => {
  const { world, alice, bob, first, back } = stage(answering);
  for (let count = 0; count < 2; count++) {
    alice.application.request("INVITE", "", `sip:bob@${BOB}`);
    world.runFor(40_000);
  }
  const [kept, forgotten] = [callIdOf(first, "INVITE", 0), callIdOf(first, "INVITE", 1)];
  const { dialogId } = alice.application.heard.find(({ what }) => what === "200") as Heard;
  first.leave();
  alice.application.request("BYE", dialogId);
  world.runFor(100);
  assert.match(alice.application.heard.at(-1)?.text ?? "", /^SIP\/2\.0 200 [\s\S]*CSeq: \d+ BYE/);
  const again = back();
  again.resume([kept]);
  assert.deepEqual(again.told, ["BYE", "BYE", "done 1 0"], "one that has ended meanwhile, one that ends now");
  world.runFor(1_000);
  assert.equal(callIdOf(alice.application, "BYE"), forgotten);
  world.runFor(70_000);
  assert.ok(alice.isIdle && bob.isIdle, JSON.stringify(bob.endpoint.facts));
});

test("an INVITE of the application goes on ringing, with its last provisional, and its answer comes once", () => {
  for (const answersWhileAway of [false, true]) {
    const { world, alice, bob, first, back } = stage();
    let ringing: Heard | undefined;
    alice.application.onHeard = (heard) => {
      if (heard.what !== "INVITE") return;
      ringing = heard;
      alice.application.respond(heard, 180);
    };
    first.request("INVITE", "", `sip:alice@${ALICE}`);
    world.runFor(1_000);
    const callId = callIdOf(first, "180");
    const { transactionId, dialogId } = first.heard.at(-1) as Heard;
    first.leave();
    if (answersWhileAway) alice.application.respond(ringing as Heard, 200);
    world.runFor(1_000);
    const again = back();
    again.resume([callId]);
    if (answersWhileAway)
      assert.deepEqual(again.told, [`dialog|${dialogId}|${transactionId}|uac|unacknowledged`, "200", "done 0 0"]);
    else {
      assert.deepEqual(again.told, [`invite|${callId}|${transactionId}|180`, "done 0 0"]);
      alice.application.respond(ringing as Heard, 200);
      world.runFor(500);
    }
    assert.equal(said(again, "200"), 1);
    again.request("ACK", dialogId);
    world.runFor(500);
    assert.equal(said(alice.application, "ACK"), 1);
    assert.equal(said(alice.application, "CANCEL"), 0);
    again.request("BYE", dialogId);
    world.runFor(500);
    alice.application.respond(alice.application.heard.at(-1) as Heard, 200);
    world.runFor(70_000);
    assert.ok(alice.isIdle && bob.isIdle, JSON.stringify(bob.endpoint.facts));
  }
});

test("an INVITE of the application that nobody claims is cancelled", () => {
  const { world, alice, first, back } = stage();
  alice.application.onHeard = (heard) => {
    if (heard.what === "INVITE") alice.application.respond(heard, 180);
  };
  first.request("INVITE", "", `sip:alice@${ALICE}`);
  world.runFor(1_000);
  first.leave();
  const again = back();
  again.resume([]);
  world.runFor(1_000);
  assert.equal(again.told.at(-2), "done 0 1");
  assert.equal(said(alice.application, "CANCEL"), 1);
});

test("a refusal that came meanwhile is told, after what stands and before the end of the answer", () => {
  const { world, alice, first, back } = stage();
  first.request("INVITE", "", `sip:alice@${ALICE}`);
  world.runFor(1_000);
  first.leave();
  alice.application.respond(alice.application.heard.at(-1) as Heard, 486);
  world.runFor(1_000);
  const again = back();
  again.resume(["something"]);
  assert.deepEqual(again.told, ["486", "done 0 0"]);
});

test("the server is replaced as well: what it has written down says the same", () => {
  const { world, alice, bob, first } = stage(answering);
  alice.application.request("INVITE", "", `sip:bob@${BOB}`);
  world.runFor(40_000);
  const up = callIdOf(first);
  let ringing: Heard | undefined;
  const { onHeard } = alice.application;
  alice.application.onHeard = (heard) => {
    onHeard(heard);
    if (heard.what === "INVITE") {
      ringing = heard;
      alice.application.respond(heard, 180);
    }
  };
  for (let count = 0; count < 2; count++) {
    first.request("INVITE", "", `sip:alice@${ALICE}`);
    world.runFor(1_000);
  }
  const legs = [callIdOf(first, "180", 0), callIdOf(first, "180", 1)];
  first.leave();
  alice.application.respond(ringing as Heard, 200);
  world.runFor(100);
  const record = JSON.stringify(bob.endpoint.exportState());
  void bob.endpoint.stop();
  const successor = new SimulatedHost(world, BOB);
  const restored = successor.endpoint.restoreState(JSON.parse(record));
  assert.ok(restored.ok);
  const again = new Resuming(successor.endpoint, TAGS, "again");
  again.resume([up, ...legs]);
  assert.deepEqual(
    again.told.map((line) =>
      line
        .split("|")
        .filter((_, at) => at === 0 || at > 2)
        .join(" "),
    ),
    ["dialog uas confirmed", "dialog uac unacknowledged", "invite 180", "200", "done 0 0"],
  );
  const { dialogId } = again.heard.at(-1) as Heard;
  again.request("ACK", dialogId);
  world.runFor(500);
  assert.equal(said(alice.application, "ACK"), 1);
  assert.equal(said(alice.application, "BYE") + said(alice.application, "CANCEL"), 0);
});

test("many claims in many frames; a connection that announces `resume` and is silent is closed; one without the tag is as ever", () => {
  const { world, first, bob, back } = stage();
  first.leave();
  const again = back();
  const many = Array.from({ length: CLAIMS_PER_FRAME_MAX }, (_, at) => `call-${at}`);
  again.resume(many, "more");
  again.resume(many.map((name) => `${name}-2`));
  assert.equal(again.told.at(-1), "done 0 0");
  const refusals: string[] = [];
  const silent = back("silent");
  let isClosed = 0;
  silent.close = () => isClosed++;
  const greedy = back("greedy");
  greedy.send = (payload) => refusals.push(payload);
  for (let part = 0; part <= 32; part++)
    greedy.resume(
      many.map((name) => `${name}-${part}`),
      "more",
    );
  assert.match(refusals.at(-1) ?? "", /\|NO\|more than 131072 calls/);
  greedy.resume([...many, "one too many"]);
  assert.match(refusals.at(-1) ?? "", /\|NO\|Invalid message format/);
  world.runFor(6_000);
  assert.ok(isClosed > 0);
  assert.equal(bob.endpoint.facts.dialogs, 0);
});

test("a new call finds the application between two processes: the next one takes it; who left on purpose is not waited for", () => {
  const { world, alice, bob, first, back } = stage();
  first.leave();
  alice.application.request("INVITE", "", `sip:bob@${BOB}`);
  world.runFor(1_000);
  assert.equal(said(alice.application, "503"), 0, "refused though somebody comes back");
  const again = back();
  assert.equal(said(again, "INVITE"), 0, "not before it has said what it remembers");
  again.onHeard = (heard) => {
    if (heard.what === "INVITE") again.respond(heard, 486);
  };
  again.resume([]);
  world.runFor(100);
  assert.equal(said(again, "INVITE"), 1);
  assert.equal(said(alice.application, "486"), 1);
  world.runFor(70_000);

  again.say("remove_route|invite");
  again.leave();
  alice.application.request("INVITE", "", `sip:bob@${BOB}`);
  world.runFor(200);
  assert.equal(said(alice.application, "503"), 1);
  world.runFor(70_000);
  assert.ok(alice.isIdle && bob.isIdle, JSON.stringify(bob.endpoint.facts));
});

test("an application that does not come back: new calls wait no longer than returnWaitMs after it left", () => {
  const { world, alice, bob, first } = stage();
  first.leave();
  world.runFor(USER_AGENT_LIMITS.returnWaitMs - 500);
  alice.application.request("INVITE", "", `sip:bob@${BOB}`);
  world.runFor(USER_AGENT_LIMITS.returnWaitMs + 500);
  assert.equal(said(alice.application, "503"), 1);
  alice.application.request("INVITE", "", `sip:bob@${BOB}`);
  world.runFor(200);
  assert.equal(said(alice.application, "503"), 2, "at once");
  const refusal = alice.application.heard.findLast(({ what }) => what === "503");
  assert.match(refusal?.text ?? "", /^Retry-After: /m);
  world.runFor(70_000);
  assert.ok(alice.isIdle && bob.isIdle, JSON.stringify(bob.endpoint.facts));
});
