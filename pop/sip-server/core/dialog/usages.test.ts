// Dialog usages: every phase of a subscription against everything that can happen to it.

import assert from "node:assert/strict";
import { test } from "node:test";
import { requestOf } from "../../test/messages.ts";
import { rowsOf } from "../../test/table.ts";
import { eventOf, eventOfRefer, isOneReferTo, stateOf } from "./subscription-values.ts";
import {
  EXPIRES_SECONDS_MAX,
  find,
  NO_USAGE,
  SESSION,
  SUBSCRIPTIONS_MAX,
  type Subscription,
  step,
  type UsageInput,
  type Usages,
} from "./usages.ts";

const time = { nowUnixMs: 1_000_000, graceMs: 32_000 };
const presence = { event: "presence", id: "" };
const name = (role: Subscription["role"]) => ({ ...presence, role, by: "SUBSCRIBE" }) as const;
const one = (role: Subscription["role"], phase: Subscription["phase"], dueInMs: number): Usages => ({
  session: false,
  subscriptions: [{ ...name(role), phase, expiresSeconds: 300, dueUnixMs: time.nowUnixMs + dueInMs }],
});

function inWords({ session, subscriptions }: Usages): string {
  const parts = subscriptions.map(
    ({ role, event, id, phase, dueUnixMs }) =>
      `${role} ${event}${id === "" ? "" : `;${id}`} ${phase} ${(dueUnixMs - time.nowUnixMs) / 1_000}s`,
  );
  return [...(session ? ["session"] : []), ...parts].join(" + ") || "nothing";
}

function table(states: readonly (readonly [string, Usages])[], inputs: readonly (readonly [string, UsageInput])[]) {
  return states.flatMap(([label, state]) =>
    inputs.flatMap(([what, input]) => {
      const next = step(time, state, input);
      if (next.state === state && next.effects.length === 0) return [];
      const effects = next.effects.map((effect) =>
        "afterMs" in effect ? `timer ${effect.afterMs / 1_000}s` : effect.kind,
      );
      return [`${label} | ${what} -> ${inWords(next.state)} : ${effects.join(", ")}`.trimEnd()];
    }),
  );
}

const active = { terminated: false, expiresSeconds: undefined };
const inputsOf = (role: Subscription["role"]): [string, UsageInput][] => [
  ["2xx, 600 s", { kind: "granted", ...name(role), expiresSeconds: 600 }],
  ["2xx, 0 s", { kind: "granted", ...name(role), expiresSeconds: 0 }],
  ["481", { kind: "refused", ...name(role), status: 481 }],
  ["500", { kind: "refused", ...name(role), status: 500 }],
  ["NOTIFY active", { kind: "notified", ...presence, role, status: 200, state: active }],
  [
    "NOTIFY active;expires=60",
    { kind: "notified", ...presence, role, status: 200, state: { ...active, expiresSeconds: 60 } },
  ],
  ["NOTIFY terminated", { kind: "notified", ...presence, role, status: 200, state: { ...active, terminated: true } }],
  ["NOTIFY refused 481", { kind: "notified", ...presence, role, status: 481, state: active }],
  ["NOTIFY unheard 408", { kind: "notified", ...presence, role, status: 408, state: active }],
  [
    "NOTIFY challenged 401",
    { kind: "notified", ...presence, role, status: 401, state: { ...active, terminated: true } },
  ],
  ["BYE", { kind: "bye" }],
];

test("a subscriber: RFC 6665 §4.1", () => {
  const states: [string, Usages][] = [
    ["none", SESSION],
    ["asked", one("subscriber", "asked", 5_000)],
    ["active", one("subscriber", "active", 100_000)],
    ["ending", one("subscriber", "ending", 5_000)],
  ];
  assert.deepEqual(
    table(states, inputsOf("subscriber")),
    rowsOf(`
none | 2xx, 600 s -> session + subscriber presence asked 32s : timer 32s
none | 2xx, 0 s -> session + subscriber presence ending 32s : timer 32s
none | BYE -> nothing : stop-timer, over
asked | 2xx, 600 s -> subscriber presence asked 32s : timer 32s
asked | 2xx, 0 s -> subscriber presence ending 32s : timer 32s
asked | 481 -> nothing : stop-timer, over
asked | 500 -> nothing : stop-timer, over
asked | NOTIFY active -> subscriber presence active 332s : timer 332s
asked | NOTIFY active;expires=60 -> subscriber presence active 92s : timer 92s
asked | NOTIFY terminated -> nothing : stop-timer, over
asked | NOTIFY refused 481 -> nothing : stop-timer, over
asked | NOTIFY unheard 408 -> subscriber presence active 332s : timer 332s
asked | BYE -> subscriber presence asked 5s :
active | 2xx, 600 s -> subscriber presence active 632s : timer 632s
active | 2xx, 0 s -> subscriber presence ending 32s : timer 32s
active | 481 -> nothing : stop-timer, over
active | NOTIFY active;expires=60 -> subscriber presence active 92s : timer 92s
active | NOTIFY terminated -> nothing : stop-timer, over
active | NOTIFY refused 481 -> nothing : stop-timer, over
active | BYE -> subscriber presence active 100s :
ending | 2xx, 600 s -> subscriber presence asked 32s : timer 32s
ending | 2xx, 0 s -> subscriber presence ending 32s : timer 32s
ending | 481 -> nothing : stop-timer, over
ending | NOTIFY terminated -> nothing : stop-timer, over
ending | NOTIFY refused 481 -> nothing : stop-timer, over
ending | BYE -> subscriber presence ending 5s :
`),
  );
});

test("a notifier: RFC 6665 §4.2", () => {
  const states: [string, Usages][] = [
    ["none", SESSION],
    ["active", one("notifier", "active", 100_000)],
    ["ending", one("notifier", "ending", 5_000)],
  ];
  assert.deepEqual(
    table(states, inputsOf("notifier")),
    rowsOf(`
none | 2xx, 600 s -> session + notifier presence active 600s : timer 600s
none | 2xx, 0 s -> session + notifier presence ending 32s : timer 32s
none | BYE -> nothing : stop-timer, over
active | 2xx, 600 s -> notifier presence active 600s : timer 600s
active | 2xx, 0 s -> notifier presence ending 32s : timer 32s
active | 481 -> nothing : stop-timer, over
active | NOTIFY active;expires=60 -> notifier presence active 60s : timer 60s
active | NOTIFY terminated -> nothing : stop-timer, over
active | NOTIFY refused 481 -> nothing : stop-timer, over
active | NOTIFY unheard 408 -> nothing : stop-timer, over
active | BYE -> notifier presence active 100s :
ending | 2xx, 600 s -> notifier presence active 600s : timer 600s
ending | 2xx, 0 s -> notifier presence ending 32s : timer 32s
ending | 481 -> nothing : stop-timer, over
ending | NOTIFY terminated -> nothing : stop-timer, over
ending | NOTIFY refused 481 -> nothing : stop-timer, over
ending | NOTIFY unheard 408 -> nothing : stop-timer, over
ending | BYE -> notifier presence ending 5s :
`),
  );
});

test("time: a subscriber forgets and tells, a notifier is warned and then spoken for", () => {
  const due: [string, UsageInput][] = [["due", { kind: "due" }]];
  const states: [string, Usages][] = [
    ["asked", one("subscriber", "asked", 0)],
    ["active in", one("subscriber", "active", -1)],
    ["active out", one("notifier", "active", 0)],
    ["ending out", one("notifier", "ending", 0)],
    ["too early", one("notifier", "active", 4_000)],
  ];
  assert.deepEqual(
    table(states, due),
    rowsOf(`
asked | due -> nothing : tell-terminated, stop-timer, over
active in | due -> nothing : tell-terminated, stop-timer, over
active out | due -> notifier presence ending 32s : tell-lapsed, timer 32s
ending out | due -> nothing : send-terminated, stop-timer, over
too early | due -> notifier presence active 4s : timer 4s
`),
  );
});

test("several REFERs in one call: a BYE ends the session only, each subscription ends by itself (RFC 5057 §4)", () => {
  const refer = (id: string) => ({ role: "subscriber", by: "REFER", event: "refer", id }) as const;
  let state: Usages = SESSION;
  const feed = (input: UsageInput) => {
    const next = step(time, state, input);
    state = next.state;
    return next.effects.map(({ kind }) => kind);
  };
  feed({ kind: "asked", ...refer("7") });
  feed({ kind: "granted", ...refer("7"), expiresSeconds: undefined });
  feed({ kind: "asked", ...refer("9") });
  feed({ kind: "granted", ...refer("9"), expiresSeconds: undefined });
  assert.equal(inWords(state), "session + subscriber refer;7 asked 32s + subscriber refer;9 asked 32s");
  // Without an id the first is meant (RFC 3515 §2.4.6).
  assert.equal(find(state, "subscriber", { event: "refer", id: "" })?.id, "7");
  assert.equal(find(state, "subscriber", { event: "refer", id: "8" }), undefined);
  // An update leaves it the first.
  feed({ kind: "notified", role: "subscriber", event: "refer", id: "7", status: 200, state: active });
  assert.equal(find(state, "subscriber", { event: "refer", id: "" })?.id, "7");
  assert.deepEqual(feed({ kind: "bye" }), []);
  feed({
    kind: "notified",
    role: "subscriber",
    event: "refer",
    id: "9",
    status: 200,
    state: { ...active, terminated: true },
  });
  assert.equal(inWords(state), "subscriber refer;7 active 92s");
  feed({ kind: "notified", role: "subscriber", event: "refer", id: "", status: 200, state: active });
  assert.equal(inWords(state), "subscriber refer;7 active 92s");
  assert.deepEqual(
    feed({
      kind: "notified",
      role: "subscriber",
      event: "refer",
      id: "",
      status: 200,
      state: { ...active, terminated: true },
    }),
    ["stop-timer", "over"],
  );
});

test("Refer-Sub: false leaves nothing to wait for (RFC 4488)", () => {
  const refer = { role: "subscriber", by: "REFER", event: "refer", id: "1" } as const;
  const asked = step(time, SESSION, { kind: "asked", ...refer }).state;
  const { state, effects } = step(time, asked, { kind: "declined", ...refer });
  assert.deepEqual([inWords(state), effects.map(({ kind }) => kind)], ["session", ["stop-timer"]]);
});

test("bounds: so many subscriptions, none longer than a week", () => {
  let state: Usages = NO_USAGE;
  for (let id = 0; id < 40; id++) {
    const named = { role: "notifier", by: "SUBSCRIBE", event: "dialog", id: String(id) } as const;
    state = step(time, state, { kind: "granted", ...named, expiresSeconds: 0xffff_ffff }).state;
  }
  assert.equal(state.subscriptions.length, SUBSCRIPTIONS_MAX);
  assert.equal(state.subscriptions[0]?.dueUnixMs, time.nowUnixMs + EXPIRES_SECONDS_MAX * 1_000);
});

test("what the headers say", () => {
  const notify = (...headers: string[]) => requestOf("NOTIFY", { headers });
  assert.deepEqual(eventOf(notify("o: dialog;shared=all;id=7")), { event: "dialog", id: "7" });
  assert.equal(eventOf(notify()), undefined);
  assert.equal(eventOf(notify("Event: ;id=1")), undefined);
  assert.deepEqual(stateOf(notify("Subscription-State: Terminated ;reason=noresource")), {
    terminated: true,
    expiresSeconds: undefined,
  });
  assert.deepEqual(stateOf(notify("Subscription-State: pending;expires=60")), {
    terminated: false,
    expiresSeconds: 60,
  });
  assert.deepEqual(stateOf(notify("Subscription-State: terminatedish;expires=x")), active);
  assert.deepEqual(stateOf(notify()), active);
  assert.deepEqual(eventOfRefer(requestOf("REFER", { cseq: 93 })), { event: "refer", id: "93" });
  const refer = (...headers: string[]) => isOneReferTo(requestOf("REFER", { headers }));
  assert.ok(refer("Refer-To: <sip:c@x?Replaces=a%40b%3Bto-tag%3D1%3Bfrom-tag%3D2>"));
  assert.ok(!refer());
  assert.ok(!refer("Refer-To: <sip:c@x>", "r: <sip:d@x>"));
  assert.ok(!refer("Refer-To: <sip:c@x>, <sip:d@x>"));
});
