// Session timers, glare and offers as values: RFC 4028, RFC 3261 §14, RFC 3311.

import assert from "node:assert/strict";
import { test } from "node:test";
import { requestOf, responseOf } from "../../test/messages.ts";
import { rowsOf, tableOf } from "../../test/table.ts";
import { glareWaitMs, retryAfterSeconds } from "./glare.ts";
import * as negotiation from "./negotiation.ts";
import { answeredIn, described, objection, withdrawn } from "./offer-answer.ts";
import * as timer from "./session-timer.ts";

const invite = (...headers: string[]) => requestOf("INVITE", { headers });
const policy = negotiation.SESSION_TIMER_POLICY;
const show = (answer: ReturnType<typeof negotiation.answered>) =>
  answer === undefined
    ? "none"
    : `${answer.headers.map(({ name, value }) => `${name}: ${value}`).join(", ")} | ${answer.terms.weRefresh ? "we" : "peer"}`;

test("our 2xx: interval and refresher (RFC 4028 §9, table 2)", () => {
  const running = { intervalSeconds: 600, weRefresh: true };
  const timed = "Supported: timer";
  const answer = (
    request: string[],
    wanted?: negotiation.SessionExpires,
    of = policy,
    terms?: negotiation.SessionTerms,
  ) => show(negotiation.answered(invite(...request), wanted, terms, of));
  const want = (seconds: number, refresher?: "uac" | "uas") => ({ seconds, refresher });
  const rows: [string, string][] = [
    // The peer asks.
    [
      answer([timed, "Session-Expires: 1800;refresher=uac"]),
      "Session-Expires: 1800;refresher=uac, Require: timer | peer",
    ],
    [
      answer([timed, "Session-Expires: 1800;refresher=uas"]),
      "Session-Expires: 1800;refresher=uas, Require: timer | we",
    ],
    [answer([timed, "x: 1800"]), "Session-Expires: 1800;refresher=uac, Require: timer | peer"],
    [
      answer([timed, "x: 1800"], undefined, { ...policy, refresher: "us" }),
      "Session-Expires: 1800;refresher=uas, Require: timer | we",
    ],
    // A proxy asked: the caller knows nothing of it.
    [answer(["Session-Expires: 1800"]), "Session-Expires: 1800;refresher=uas | we"],
    [answer(["Session-Expires: 60"]), "Session-Expires: 90;refresher=uas | we"],
    // The application wants: less, more, another refresher.
    [
      answer([timed, "Session-Expires: 1800"], want(600, "uas")),
      "Session-Expires: 600;refresher=uas, Require: timer | we",
    ],
    [
      answer([timed, "Session-Expires: 1800"], want(7200)),
      "Session-Expires: 1800;refresher=uac, Require: timer | peer",
    ],
    [
      answer([timed, "Session-Expires: 1800", "Min-SE: 900"], want(600)),
      "Session-Expires: 900;refresher=uac, Require: timer | peer",
    ],
    [
      answer([timed, "Session-Expires: 1800;refresher=uac"], want(600, "uas")),
      "Session-Expires: 600;refresher=uac, Require: timer | peer",
    ],
    [answer([timed], want(300, "uac")), "Session-Expires: 300;refresher=uac, Require: timer | peer"],
    [answer([], want(300, "uac")), "Session-Expires: 300;refresher=uas | we"],
    [answer([], want(10)), "Session-Expires: 90;refresher=uas | we"],
    // Nobody asks but us, or nobody.
    [answer([]), "none"],
    [answer([timed]), "none"],
    [
      answer([timed], undefined, { ...policy, intervalSeconds: 1200 }),
      "Session-Expires: 1200;refresher=uac, Require: timer | peer",
    ],
    [
      answer([timed, "x: 1800"], undefined, { ...policy, intervalSeconds: 1200 }),
      "Session-Expires: 1200;refresher=uac, Require: timer | peer",
    ],
    // A refresh without a word keeps the terms.
    [answer([timed], undefined, policy, running), "Session-Expires: 600;refresher=uas, Require: timer | we"],
    [
      answer([timed, "x: 900;refresher=uac"], undefined, policy, running),
      "Session-Expires: 900;refresher=uac, Require: timer | peer",
    ],
    // Not numbers, and more than anybody lives.
    [answer([timed, "Session-Expires: soon"]), "none"],
    [
      answer([timed, "Session-Expires: 9999999999;refresher=uac"]),
      "Session-Expires: 604800;refresher=uac, Require: timer | peer",
    ],
  ];
  for (const [got, wanted] of rows) assert.equal(got, wanted);
});

test("422: only what the sender will understand (RFC 4028 §9)", () => {
  const isTooShort = (...headers: string[]) =>
    negotiation.isTooShort(invite(...headers), { ...policy, minSeSeconds: 120 });
  assert.equal(isTooShort("Supported: timer", "Session-Expires: 119"), true);
  assert.equal(isTooShort("Supported: 100rel, timer", "x: 119;refresher=uac"), true);
  assert.equal(isTooShort("Supported: timer", "Session-Expires: 120"), false);
  assert.equal(isTooShort("Session-Expires: 90"), false);
  assert.equal(isTooShort("Supported: timer"), false);
});

test("what our requests say, what a 2xx means, what a 422 changes (RFC 4028 §7)", () => {
  const said = (...given: Parameters<typeof negotiation.asked>) =>
    negotiation.asked(...given).map(({ name, value }) => `${name}: ${value}`);
  const nothing = { headers: [] };
  assert.deepEqual(said(nothing, undefined, policy), ["Supported: timer"]);
  assert.deepEqual(said(nothing, undefined, { ...policy, intervalSeconds: 1800 }), [
    "Supported: timer",
    "Session-Expires: 1800",
  ]);
  assert.deepEqual(said(nothing, { intervalSeconds: 600, weRefresh: true }, policy, 900), [
    "Supported: timer",
    "Session-Expires: 900;refresher=uac",
    "Min-SE: 900",
  ]);
  assert.deepEqual(said(nothing, { intervalSeconds: 600, weRefresh: false }, policy), [
    "Supported: timer",
    "Session-Expires: 600;refresher=uas",
  ]);
  assert.deepEqual(said(invite("Supported: timer", "Session-Expires: 100"), undefined, policy), []);

  const terms = (...headers: string[]) => negotiation.agreed(responseOf(invite(), 200, { headers }));
  assert.deepEqual(terms("Session-Expires: 1800;refresher=uac"), { intervalSeconds: 1800, weRefresh: true });
  assert.deepEqual(terms("Session-Expires: 1800;refresher=uas"), { intervalSeconds: 1800, weRefresh: false });
  assert.deepEqual(terms("Session-Expires: 1800"), { intervalSeconds: 1800, weRefresh: true });
  assert.equal(terms(), undefined);

  const raised = (request: string[], ...headers: string[]) =>
    negotiation
      .raised(invite(...request).headers, responseOf(invite(), 422, { headers }))
      ?.filter(({ key }) => key === "session-expires" || key === "min-se")
      .map(({ name, value }) => `${name}: ${value}`);
  assert.deepEqual(raised(["Session-Expires: 90;refresher=uac", "Min-SE: 90"], "Min-SE: 300"), [
    "Session-Expires: 300;refresher=uac",
    "Min-SE: 300",
  ]);
  assert.equal(raised(["Session-Expires: 300"], "Min-SE: 300"), undefined, "it would be refused again");
  assert.equal(raised(["Session-Expires: 300"]), undefined);
  assert.equal(raised([], "Min-SE: 300"), undefined);
});

test("the timer of a session (RFC 4028 §10)", () => {
  const weRefresh = { intervalSeconds: 90, weRefresh: true };
  const states: timer.SessionState[] = [
    timer.OFF,
    { name: "watching", intervalSeconds: 90, dueMs: 60_000 },
    { name: "waiting", intervalSeconds: 90, dueMs: 45_000, expiresMs: 60_000 },
    { name: "refreshing", intervalSeconds: 90, expiresMs: 60_000, raised: false },
    { name: "refreshing", intervalSeconds: 90, expiresMs: 60_000, raised: true },
  ];
  const refused = (status: number, more: { waitMs?: number; again?: boolean; intervalSeconds?: number } = {}) =>
    ({ kind: "refused", status, nowMs: 45_500, waitMs: undefined, again: false, ...more }) as const;
  const inputs: [string, timer.SessionInput][] = [
    ["we refresh", { kind: "agreed", terms: weRefresh, nowMs: 0 }],
    ["peer refreshes", { kind: "agreed", terms: { ...weRefresh, weRefresh: false }, nowMs: 0 }],
    ["no terms", { kind: "agreed", terms: undefined, nowMs: 0 }],
    ["half time", { kind: "timer", nowMs: 45_000 }],
    ["timer at the end", { kind: "timer", nowMs: 60_000 }],
    ["491", refused(491, { waitMs: 3_000 })],
    ["422", refused(422, { again: true, intervalSeconds: 300 })],
    ["481", refused(481)],
    ["408", refused(408)],
    ["500", refused(500)],
    ["busy", { kind: "busy", nowMs: 45_500, waitMs: 20_000 }],
    ["over", { kind: "over" }],
  ];
  assert.deepEqual(
    tableOf(states, inputs, timer.step),
    rowsOf(`
off          + we refresh       -> waiting      : start timer 45000
off          + peer refreshes   -> watching     : start timer 60000
watching     + we refresh       -> waiting      : start timer 45000
watching     + peer refreshes   -> watching     : start timer 60000
watching     + no terms         -> off          : stop timer
watching     + half time        -> off          : end
watching     + timer at the end -> off          : end
watching     + over             -> off          : stop timer
waiting      + we refresh       -> waiting      : start timer 45000
waiting      + peer refreshes   -> watching     : start timer 60000
waiting      + no terms         -> off          : stop timer
waiting      + half time        -> refreshing   : start timer 15000, refresh
waiting      + timer at the end -> off          : end
waiting      + over             -> off          : stop timer
refreshing   + we refresh       -> waiting      : start timer 45000
refreshing   + peer refreshes   -> watching     : start timer 60000
refreshing   + no terms         -> off          : stop timer
refreshing   + half time        -> off          : end
refreshing   + timer at the end -> off          : end
refreshing   + 491              -> waiting      : start timer 3000
refreshing   + 422              -> refreshing   : refresh
refreshing   + 481              -> off          : stop timer, end
refreshing   + 408              -> off          : stop timer, end
refreshing   + 500              -> waiting      : start timer 10000
refreshing   + busy             -> waiting      : start timer 14500
refreshing   + over             -> off          : stop timer
refreshing   + we refresh       -> waiting      : start timer 45000
refreshing   + peer refreshes   -> watching     : start timer 60000
refreshing   + no terms         -> off          : stop timer
refreshing   + half time        -> off          : end
refreshing   + timer at the end -> off          : end
refreshing   + 491              -> waiting      : start timer 3000
refreshing   + 422              -> waiting      : start timer 10000
refreshing   + 481              -> off          : stop timer, end
refreshing   + 408              -> off          : stop timer, end
refreshing   + 500              -> waiting      : start timer 10000
refreshing   + busy             -> waiting      : start timer 14500
refreshing   + over             -> off          : stop timer
`),
  );
  assert.deepEqual([timer.patienceMs(90), timer.patienceMs(1_800)], [60_000, 1_768_000]);
});

test("after a 491: 2.1 to 4 s for whoever made the Call-ID, 0 to 2 s for the other (RFC 3261 §14.1)", () => {
  const almostOne = 1 - Number.EPSILON;
  assert.deepEqual([glareWaitMs(true, 0), glareWaitMs(true, almostOne)], [2_100, 4_000]);
  assert.deepEqual([glareWaitMs(false, 0), glareWaitMs(false, almostOne)], [0, 2_000]);
  assert.deepEqual([retryAfterSeconds(0), retryAfterSeconds(almostOne)], [0, 10]);
});

test("offers: one at a time, withdrawn with the request that fails (RFC 3311 §5.2)", () => {
  const ours = described(undefined, "us", "INVITE", 1);
  const theirs = described(undefined, "peer", "UPDATE", 7);
  assert.deepEqual([objection(undefined), objection(ours), objection(theirs)], [undefined, 491, 500]);
  assert.equal(described(ours, "peer", "INVITE", 1), undefined, "answered");
  assert.deepEqual(described(ours, "us", "INVITE", 1), ours, "said again");
  assert.equal(answeredIn(ours, "peer"), undefined);
  assert.equal(answeredIn(undefined, "us"), undefined, "a description nobody asked for");
  assert.equal(withdrawn(ours, "INVITE", 1), undefined);
  assert.deepEqual(withdrawn(ours, "UPDATE", 1), ours);
});
