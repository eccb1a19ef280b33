// One process after another at the same SIP server in memory.

import assert from "node:assert/strict";
import { test } from "node:test";
import { asId } from "../../../kernel/ids.ts";
import type { SignallingHost } from "../../boundary/sip-signalling.ts";
import type { CallInput } from "../../core/call/call-execution.ts";
import { MemorySipServer, MemorySipSignalling } from "./sip-signalling.ts";

const CALL = asId<"call">("c");
const LEG = asId<"leg">("c.1");
const INCOMING = {
  call: CALL,
  sipCallId: "s",
  sourceAddress: "127.0.0.1",
  requestUri: "sip:1@pop",
  callingNumber: "2",
  maxForwards: 70,
  offer: "v=0",
};
const WISH = { uri: "sip:alice@phone", sdp: "v=0", callingNumber: "2" };

function host() {
  const inputs: CallInput[] = [];
  const told: SignallingHost = {
    invited: () => {},
    signalled: (_call, input) => inputs.push(input),
    dialog: () => {},
    serving: () => true,
  };
  return { told, kinds: () => inputs.map(({ kind }) => kind) };
}

async function successor(server: MemorySipServer, saved: unknown) {
  const next = new MemorySipSignalling(server);
  const { told, kinds } = host();
  next.restore(CALL, JSON.parse(JSON.stringify(saved)));
  await next.start(told);
  return { next, kinds, asked: () => next.asked.map(({ command }) => command) };
}

async function ringing() {
  const server = new MemorySipServer();
  const first = new MemorySipSignalling(server);
  await first.start(host().told);
  first.invited(INCOMING);
  first.answer(CALL, "v=0");
  first.signalled(CALL, { kind: "caller-acked" });
  first.invite(CALL, LEG, WISH);
  return { server, saved: first.saved(CALL), first };
}

test("what was fulfilled is not said again by the next process", async () => {
  const { server, saved } = await ringing();
  const { next, kinds, asked } = await successor(server, saved);
  next.answer(CALL, "v=0");
  next.invite(CALL, LEG, WISH);
  assert.deepEqual([kinds(), asked()], [["caller-acked"], []]);
  next.hangUp(CALL, "caller", "x");
  next.hangUp(CALL, "caller", "x");
  assert.deepEqual(asked(), ["BYE"]);
});

test("what parties did meanwhile is told; a call the server has lost is told as lost; a leg nobody claims is ended", async () => {
  const one = await ringing();
  one.server.missed(CALL, { kind: "leg-answered", leg: LEG, sdp: "v=0" });
  one.server.missed(CALL, { kind: "caller-hung-up", reason: "BYE" });
  const told = await successor(one.server, one.saved);
  assert.deepEqual([told.kinds(), told.asked()], [["leg-answered", "caller-hung-up"], []]);
  told.next.forget(CALL);
  assert.deepEqual(told.asked(), ["BYE"], "of the leg: the caller has gone");

  const two = await ringing();
  two.server.lose(CALL);
  assert.deepEqual((await successor(two.server, two.saved)).kinds(), ["signalling-lost"]);

  const three = await ringing();
  assert.deepEqual((await successor(three.server, [])).asked(), ["CANCEL"]);
});
