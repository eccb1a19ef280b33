// A server that writes its calls down is killed at every moment of a call: after every message and every group, with what
// was on its way to the store arriving or not. Another one goes on with what was written. The peer is a whole server too.

import assert from "node:assert/strict";
import { test } from "node:test";
import { SimWorld } from "../../../kernel/sim/world.ts";
import { memoryBook } from "../../checkpoint/adapters/memory/checkpoint-store.ts";
import type { EndpointSettings } from "../app/endpoint.ts";
import { OPEN_ACCESS } from "../app/guard/request-gate.ts";
import type { SipMessage } from "../core/message/message.ts";
import { parseMessage } from "../core/message/parse.ts";
import { SDP } from "./peer.ts";
import { type Heard, SimulatedHost } from "./simulated.ts";

const CARRIER = "10.0.0.1";
const POP = "10.0.0.2";
const DELAY_MS = 20;
const ANSWER_MS = 2;
/** From death to the next owner. */
const GONE_MS = 700;

interface Stage {
  readonly world: SimWorld;
  readonly carrier: SimulatedHost;
  readonly pop: SimulatedHost;
  /** What the pop's application wants; said again to a new owner, as ours does. */
  readonly wishes: (() => void)[];
  /** What the carrier believes. */
  readonly believes: { dialogId: string; isUp: boolean };
}

interface Scenario {
  readonly what: string;
  readonly carrierSettings?: Partial<EndpointSettings>;
  readonly popSettings?: Partial<EndpointSettings>;
  play(stage: Stage): void;
}

const isInvite = (heard: Heard): boolean => / INVITE\r\n/.test(heard.text);
const isAsked = ({ transactionId }: Heard): boolean => transactionId !== "unsolicited";
const reliable = (heard: Heard): string =>
  `sip|${heard.transactionId}|\r\nSIP/2.0 183 Progress\r\nRequire: 100rel\r\n\r\n${SDP}`;

/** The carrier calls; the pop answers as `answer` says, and whoever it is hangs up. */
function incoming(
  { world, carrier, pop, wishes, believes }: Stage,
  plan: {
    answerAfterMs: number;
    popEnds?: boolean;
    carrierCancelsAfterMs?: number;
    popReinvites?: boolean;
    carrierReinvites?: boolean;
    ringsReliably?: boolean;
    status?: number;
  },
): void {
  const wish = (wanted: () => void) => {
    wishes.push(wanted);
    wanted();
  };
  pop.application.onHeard = (heard) => {
    if (heard.what === "INVITE" && !heard.text.includes(";tag=to") && !/^To:.*tag=/m.test(heard.text)) {
      wish(() =>
        pop.application.say(
          plan.ringsReliably ? reliable(heard) : `sip|${heard.transactionId}|\r\nSIP/2.0 180 Ringing\r\n\r\n`,
        ),
      );
      world.after(plan.answerAfterMs, () => wish(() => pop.application.respond(heard, plan.status ?? 200)));
    } else if (heard.what === "INVITE" || heard.what === "PRACK" || heard.what === "INFO")
      pop.application.respond(heard, 200);
    else if (heard.what === "BYE" && isAsked(heard)) pop.application.respond(heard, 200);
    else if (heard.what === "ACK") {
      if (plan.popReinvites) world.after(1_000, () => pop.application.request("INVITE", heard.dialogId));
      if (plan.popEnds) world.after(3_000, () => wish(() => pop.application.request("BYE", heard.dialogId)));
    } else if (heard.what === "200" && isInvite(heard)) pop.application.request("ACK", heard.dialogId);
  };
  carrier.application.onHeard = (heard) => {
    if (heard.what === "183") {
      const rseq = /RSeq: (\d+)/i.exec(heard.text)?.[1];
      const cseq = /CSeq: (\d+)/i.exec(heard.text)?.[1];
      carrier.application.say(`sip||${heard.dialogId}\r\nPRACK sip:x SIP/2.0\r\nRAck: ${rseq} ${cseq} INVITE\r\n\r\n`);
    }
    if (heard.what === "200" && isInvite(heard)) {
      const isFirst = believes.dialogId === "";
      believes.dialogId = heard.dialogId;
      believes.isUp = true;
      carrier.application.request("ACK", heard.dialogId);
      if (isFirst && plan.carrierReinvites)
        world.after(1_500, () => carrier.application.request("INVITE", heard.dialogId));
    } else if (heard.what === "INVITE" || heard.what === "INFO") carrier.application.respond(heard, 200);
    else if (heard.what === "BYE") {
      believes.isUp = false;
      if (isAsked(heard)) carrier.application.respond(heard, 200);
    }
  };
  const supported = plan.ringsReliably ? "Supported: 100rel\r\n" : "";
  carrier.application.say(`sip||\r\nINVITE sip:pop@${POP} SIP/2.0\r\n${supported}\r\n`);
  const { carrierCancelsAfterMs } = plan;
  if (carrierCancelsAfterMs !== undefined) world.after(carrierCancelsAfterMs, () => carrier.application.cancel());
}

/** The pop calls; the carrier's phone answers. */
function outgoing(
  { world, carrier, pop, wishes, believes }: Stage,
  plan: { answerAfterMs: number; challenges?: boolean; popCancelsAfterMs?: number; popEnds?: boolean },
): void {
  const wish = (wanted: () => void) => {
    wishes.push(wanted);
    wanted();
  };
  carrier.application.onHeard = (heard) => {
    if (heard.what === "INVITE" && plan.challenges && !/^Proxy-Authorization:/im.test(heard.text))
      carrier.application.say(`sip|${heard.transactionId}|\r\n${CHALLENGE}`);
    else if (heard.what === "INVITE") {
      carrier.application.respond(heard, 180);
      world.after(plan.answerAfterMs, () => carrier.application.respond(heard, 200));
    } else if (heard.what === "ACK") {
      believes.dialogId = heard.dialogId;
      believes.isUp = true;
    } else if (heard.what === "BYE") {
      believes.isUp = false;
      if (isAsked(heard)) carrier.application.respond(heard, 200);
    }
  };
  pop.application.onHeard = (heard) => {
    if (heard.what === "200" && isInvite(heard)) {
      pop.application.request("ACK", heard.dialogId);
      wishes.push(() => pop.application.request("ACK", heard.dialogId));
      if (plan.popEnds) world.after(2_000, () => wish(() => pop.application.request("BYE", heard.dialogId)));
    } else if ((heard.what === "INFO" || heard.what === "BYE") && isAsked(heard)) pop.application.respond(heard, 200);
  };
  pop.application.request("INVITE", "", `sip:carrier@${CARRIER}`);
  const { popCancelsAfterMs } = plan;
  if (popCancelsAfterMs !== undefined) world.after(popCancelsAfterMs, () => wish(() => pop.application.cancel()));
}

const SCENARIOS: readonly Scenario[] = [
  { what: "an incoming call, the caller hangs up", play: (stage) => incoming(stage, { answerAfterMs: 300 }) },
  { what: "an incoming call, we hang up", play: (stage) => incoming(stage, { answerAfterMs: 300, popEnds: true }) },
  { what: "an incoming call that rings long", play: (stage) => incoming(stage, { answerAfterMs: 4_000 }) },
  { what: "an incoming call that is refused", play: (stage) => incoming(stage, { answerAfterMs: 300, status: 486 }) },
  {
    what: "an incoming call that rings reliably",
    play: (stage) => incoming(stage, { answerAfterMs: 900, ringsReliably: true }),
  },
  {
    what: "a CANCEL that meets our 200",
    play: (stage) => incoming(stage, { answerAfterMs: 300, carrierCancelsAfterMs: 335 }),
  },
  {
    what: "a CANCEL while it rings",
    play: (stage) => incoming(stage, { answerAfterMs: 3_000, carrierCancelsAfterMs: 1_000 }),
  },
  { what: "a re-INVITE of ours", play: (stage) => incoming(stage, { answerAfterMs: 100, popReinvites: true }) },
  {
    what: "a re-INVITE of the caller",
    play: (stage) => incoming(stage, { answerAfterMs: 100, carrierReinvites: true }),
  },
  { what: "an outgoing call, the callee hangs up", play: (stage) => outgoing(stage, { answerAfterMs: 600 }) },
  { what: "an outgoing call, we hang up", play: (stage) => outgoing(stage, { answerAfterMs: 600, popEnds: true }) },
  {
    what: "an outgoing call, our CANCEL meets the 200",
    play: (stage) => outgoing(stage, { answerAfterMs: 600, popCancelsAfterMs: 610 }),
  },
  {
    what: "an outgoing call that we cancel",
    play: (stage) => outgoing(stage, { answerAfterMs: 5_000, popCancelsAfterMs: 900 }),
  },
  {
    what: "an outgoing call that is asked for a password",
    popSettings: { access: { ...OPEN_ACCESS, passwords: () => PASSWORDS } },
    play: (stage) => outgoing(stage, { answerAfterMs: 600, popEnds: true, challenges: true }),
  },
];

const CHALLENGE =
  'SIP/2.0 407 Proof\r\nProxy-Authenticate: Digest realm="carrier", nonce="n1", algorithm=MD5, qop="auth"\r\n\r\n';
const PASSWORDS = [{ realm: undefined, host: undefined, username: "pop", password: "open sesame" }];

function stageOf({ carrierSettings, popSettings }: Scenario): Stage {
  const world = new SimWorld(1, { delayMs: DELAY_MS });
  const carrier = new SimulatedHost(world, CARRIER, carrierSettings, "instance:carrier");
  const checkpoints = { book: memoryBook(), answerMs: ANSWER_MS };
  const pop = new SimulatedHost(world, POP, popSettings, "instance:pop", checkpoints);
  return { world, carrier, pop, wishes: [], believes: { dialogId: "", isUp: false } };
}

const PLAY_MS = 8_000;

/** Every moment at which something happened at the pop, of the scenario played whole. */
function moments(scenario: Scenario): number[] {
  const stage = stageOf(scenario);
  scenario.play(stage);
  stage.world.runFor(PLAY_MS);
  const at = new Set<number>([5_500]); // when all is quiet
  for (const { from, to, atMs } of stage.world.history) {
    if (to === POP) for (const afterMs of [0, ANSWER_MS, 5, 5 + ANSWER_MS]) at.add(atMs + afterMs);
    if (from === POP) for (const afterMs of [0, ANSWER_MS, 5, 5 + ANSWER_MS]) at.add(atMs - DELAY_MS + afterMs);
  }
  // An instant before, and an instant after.
  return [...at].flatMap((ms) => [ms - 0.25, ms + 0.25]).filter((ms) => ms > 0);
}

interface Sent {
  readonly atMs: number;
  readonly text: string;
  readonly message: SipMessage;
}

function sentBy(stage: Stage, who: string): Sent[] {
  return stage.world.history.flatMap(({ from, atMs, payload }) => {
    const parsed = parseMessage(String(payload));
    return from === who && parsed.ok ? [{ atMs: atMs - DELAY_MS, text: String(payload), message: parsed.value }] : [];
  });
}

/** No number is used for two requests of one dialog. */
function checkNumbers(sent: readonly Sent[]): void {
  const used = new Map<string, string>();
  for (const { message } of sent) {
    if (message.kind !== "request" || message.method === "ACK" || message.method === "CANCEL") continue;
    const key = `${message.callId} ${message.fromTag} ${message.cseq.number}`;
    const name = `${message.method} ${message.via.branch}`;
    assert.equal(used.get(key) ?? name, name, `CSeq used twice: ${key}`);
    used.set(key, name);
  }
}

/** A request gets one answer, however often it is asked, and one To tag. */
function checkAnswers(sent: readonly Sent[]): void {
  const finals = new Map<string, number>();
  const tags = new Map<string, string>();
  for (const { message } of sent) {
    if (message.kind !== "response" || message.status === 100) continue;
    const key = `${message.via.branch} ${message.cseq.method}`;
    assert.equal(tags.get(key) ?? message.toTag, message.toTag, `two To tags: ${key}`);
    tags.set(key, message.toTag);
    if (message.status < 200) continue;
    assert.equal(finals.get(key) ?? message.status, message.status, `two answers: ${key}`);
    finals.set(key, message.status);
  }
}

/** What leaves because of the restoring alone: copies, and what was written but had not left yet. */
function checkQuiet(sent: readonly Sent[], diedAtMs: number, roseAtMs: number): void {
  const before = new Set(sent.filter(({ atMs }) => atMs <= diedAtMs).map(({ text }) => text));
  for (const { atMs, text, message } of sent) {
    if (atMs < roseAtMs || atMs > roseAtMs + 5) continue;
    const wasHeld = message.kind === "response" ? message.status >= 200 : message.method === "INVITE";
    assert.ok(before.has(text) || wasHeld, `sent because of the restoring: ${text}`);
  }
}

async function cutAt(scenario: Scenario, atMs: number, landed: boolean): Promise<void> {
  const stage = stageOf(scenario);
  const { world, carrier, pop, wishes, believes } = stage;
  scenario.play(stage);
  world.runFor(atMs);
  pop.die(landed);
  const wished = wishes.length;
  world.runFor(GONE_MS);
  const roseAtMs = world.nowMs();
  await pop.rise(true);
  world.runFor(10);
  checkQuiet(sentBy(stage, POP), atMs, roseAtMs);
  for (const wish of wishes.slice(0, Math.max(wished, wishes.length))) wish();
  world.runFor(PLAY_MS);
  // An INVITE that had its 100 and was never written is lost: its caller gives up.
  if (!believes.isUp && carrier.endpoint.facts.clientCalls > 0) carrier.application.cancel();
  if (pop.endpoint.facts.clientCalls > 0 && pop.application.hasInvited) pop.application.cancel();
  world.runFor(60_000);
  if (believes.isUp) {
    const before = pop.application.count("INFO");
    carrier.application.request("INFO", believes.dialogId);
    world.runFor(1_000);
    const answer = sentBy(stage, POP).findLast(
      ({ message }) => message.kind === "response" && message.cseq.method === "INFO",
    );
    assert.equal(
      answer?.message.kind === "response" && answer.message.status,
      200,
      "the dialog a peer believes in is known",
    );
    assert.equal(pop.application.count("INFO"), before + 1);
    carrier.application.request("BYE", believes.dialogId);
  }
  world.runFor(700_000); // a re-INVITE that had its 100 and was never written rings as long as it may
  const sent = sentBy(stage, POP);
  checkNumbers(sent);
  checkAnswers(sent);
  assert.ok(carrier.isIdle, `carrier ${JSON.stringify(carrier.endpoint.facts)}`);
  assert.ok(pop.isIdle, `pop ${JSON.stringify(pop.endpoint.facts)}`);
  assert.equal(pop.store?.written.size, 0, "nothing is left in the book");
}

for (const scenario of SCENARIOS)
  test(`cut at every moment: ${scenario.what}`, async () => {
    const failures: string[] = [];
    for (const atMs of moments(scenario))
      for (const landed of [false, true])
        await cutAt(scenario, atMs, landed).catch((error: unknown) =>
          failures.push(
            `at ${atMs} ms${landed ? ", landed" : ""}: ${error instanceof Error ? error.message : String(error)}`,
          ),
        );
    assert.equal(failures.length, 0, failures.slice(0, 8).join("\n"));
  });
