import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { rehearse, SAID } from "./call-rehearsal.ts";
import type { ContactRecord } from "./contact-record.ts";

const IN_QUEUE = ["anchored", "acked", "presses 1", "place 1"];
const RINGING = [...IN_QUEUE, "offer 1", "leg 1 offer ready", "leg 1 rings"];
const TALKING = [...RINGING, "leg 1 answers", "leg 1 bridged"];

const story = (said: readonly string[]): string => `\n${rehearse(said).lines.join("\n")}\n`;

function recordOf(said: readonly string[]): ContactRecord {
  const ended = rehearse(said).effects.filter((effect) => effect.kind === "ended");
  assert.equal(ended.length, 1, "exactly one record");
  return (ended[0] as Extract<(typeof ended)[0], { kind: "ended" }>).record;
}

test("a caller is greeted, queued, offered, joined with an agent, and hangs up", () => {
  assert.equal(
    story([...TALKING, "caller hangs up"]),
    `
arrives -> anchor, start call.setup 5000
anchored -> answer, start call.ack 1000, start call.limit 3600000
acked -> play acme/welcome
presses 1 -> stop-playing, play music/default forever, report enqueue, start call.routing 10000, start flow.wait 60000
place 1 -> 
offer 1 -> offer-leg c1.1
leg 1 offer ready -> invite c1.1, start call.ring 15000
leg 1 rings -> 
leg 1 answers -> bridge c1.1
leg 1 bridged -> report offer-accepted o1, stop-playing
caller hangs up -> hang-up c1.1 normal, report agent-released o1, release-media, ended by caller normal
`,
  );
});

test("the contact record tells the segments in order, without a gap", () => {
  const record = recordOf([...TALKING, "caller hangs up"]);
  assert.deepEqual(
    record.segments.map(({ kind, outcome, startedAtUnixMs, endedAtUnixMs }) => [
      kind,
      outcome,
      startedAtUnixMs,
      endedAtUnixMs,
    ]),
    [
      ["flow", "ended", 2_000, 4_000],
      ["ringing", "answered", 6_000, 10_000],
      ["queue", "answered", 4_000, 10_000],
      ["agent", "ended", 10_000, 11_000],
    ],
  );
  assert.deepEqual(
    record.media.map(({ leg, localAddress }) => [leg, localAddress]),
    [
      ["caller", "127.10.1.11:30000"],
      ["agent", "127.10.1.11:30002"],
    ],
  );
});

test("an agent who is busy is reported as rejected; the caller keeps music and place, and the next agent is rung", () => {
  assert.equal(
    story([...RINGING, "leg 1 busy", "offer 2", "leg 2 offer ready", "leg 2 answers", "leg 2 bridged"])
      .split("\n")
      .slice(-6, -1)
      .join("\n"),
    `leg 1 busy -> park c1.1, report o1 rejected
offer 2 -> offer-leg c1.2
leg 2 offer ready -> invite c1.2, start call.ring 15000
leg 2 answers -> bridge c1.2
leg 2 bridged -> report offer-accepted o2, stop-playing`,
  );
});

test("an agent who does not answer is cancelled and reported", () => {
  assert.match(story([...RINGING, "call.ring"]), /call.ring -> cancel-leg c1.1, park c1.1, report o1 no-answer\n$/);
});

test("a caller who leaves while the agent rings: the agent's phone stops, the region hears of both", () => {
  assert.match(
    story([...RINGING, "caller hangs up"]),
    /caller hangs up -> cancel-leg c1.1, park c1.1, report o1 contact-gone, report cancel abandoned, release-media, ended by caller abandoned\n$/,
  );
});

test("an agent who hangs up first: the flow ends, and so does the call, by the agent", () => {
  assert.match(
    story([...TALKING, "leg 1 hangs up"]),
    /leg 1 hangs up -> park c1.1, report agent-released o1, hang-up caller normal, release-media, ended by agent normal\n$/,
  );
});

test("an offer for a call that has gone is answered, or the agent would stay reserved", () => {
  assert.match(story([...IN_QUEUE, "caller hangs up", "offer 1"]), /offer 1 -> report o1 contact-gone\n$/);
});

test("an offer withdrawn while it rings stops the phone; one that was answered stays", () => {
  assert.match(
    story([...RINGING, "offer 1 withdrawn"]),
    /withdrawn -> cancel-leg c1.1, park c1.1, report o1 contact-gone\n$/,
  );
  assert.match(story([...TALKING, "offer 1 withdrawn"]), /withdrawn -> \n$/);
});

test("an answer after the ring timeout changes nothing", () => {
  assert.match(story([...RINGING, "call.ring", "leg 1 answers"]), /leg 1 answers -> \n$/);
});

test("a region that does not answer: the flow's failure path, and the contact is taken back", () => {
  assert.match(
    story(["anchored", "acked", "presses 1", "call.routing"]),
    /call.routing -> report cancel released, stop-playing, hang-up caller normal, .*ended by flow normal\n$/,
  );
});

test("a transfer that is refused follows the flow's failure path", () => {
  assert.match(
    story(["anchored", "acked", "presses 9", "leg 1 offer ready", "leg 1 busy"]),
    /leg 1 busy -> park c1.1, .*hang-up caller/,
  );
});

test("a relay that is away: 503, and a record of a call that was never answered", () => {
  const said = ["anchor fails"];
  assert.match(
    story(said),
    /anchor fails -> reject 503 media.relay-away, release-media, ended by system media.relay-away\n$/,
  );
  assert.equal(recordOf(said).answeredAtUnixMs, undefined);
});

test("hold: the relay answers the caller's new offer; a request without one gets our last answer", () => {
  assert.match(story([...TALKING, "caller re-offers"]), /-> reoffer caller\n$/);
  assert.match(story([...TALKING, "caller re-offers", "re-offer answered"]), /-> answer-reoffer caller\n$/);
  assert.match(story([...TALKING, "caller asks for an offer"]), /-> answer-reoffer caller\n$/);
});

test("a media worker that goes away is waited for; only when none comes the flow hears of it", () => {
  const lost = [...IN_QUEUE, "music lost"];
  assert.match(story(lost), /music lost -> start call.worker 3000\n$/);
  assert.match(story([...lost, "worker back"]), /worker back -> reattach-worker, play music\/default forever\n$/);
  assert.match(story([...IN_QUEUE, "welcome lost"]), /welcome lost -> \n$/);
  assert.match(story([...lost, "call.worker"]), /call.worker -> start flow.message 5000\n$/);
});

test("a media worker that comes back is told again what plays, but not into a conversation", () => {
  assert.match(story([...IN_QUEUE, "worker back"]), /worker back -> reattach-worker, play music\/default forever\n$/);
  assert.match(story([...TALKING, "worker back"]), /worker back -> \n$/);
  assert.match(story([...RINGING, "leg 1 answers", "worker back"]), /worker back -> \n$/);
});

test("every phase, taken up by the next process, says its wishes again and nothing else", () => {
  const table = (
    [
      ["anchoring", []],
      ["answering", ["anchored"]],
      ["in the menu's prompt", ["anchored", "acked", "welcome plays"]],
      ["in the menu's prompt, the worker has not answered", ["anchored", "acked"]],
      ["waiting for a key", ["anchored", "acked", "welcome plays", "welcome ends"]],
      ["joining the queue", ["anchored", "acked", "presses 1", "music plays"]],
      ["in queue", [...IN_QUEUE, "music plays"]],
      ["the worker is away", [...IN_QUEUE, "music plays", "music lost"]],
      ["a leg is prepared", [...IN_QUEUE, "music plays", "offer 1"]],
      ["a leg rings", [...RINGING, "music plays"]],
      ["a second leg rings", [...RINGING, "leg 1 busy", "offer 2", "leg 2 offer ready", "music plays"]],
      ["being joined", [...RINGING, "music plays", "leg 1 answers"]],
      ["talking", TALKING],
      ["after a transfer rang in vain", ["anchored", "acked", "presses 9", "leg 1 offer ready"]],
      ["the agent refers, the target is prepared", [...TALKING, "leg 1 refers"]],
      ["the agent refers, the target rings", [...TALKING, "leg 1 refers", "leg 2 offer ready"]],
      ["the target is being joined", [...TALKING, "leg 1 refers", "leg 2 offer ready", "leg 2 answers"]],
      ["the referrer is gone", [...TALKING, "leg 1 refers", "leg 2 offer ready", "leg 1 hangs up"]],
      ["ended", [...TALKING, "caller hangs up"]],
    ] as const
  ).map(
    ([phase, said]) =>
      `${phase}: ${rehearse([...said, "resumed"])
        .lines.at(-1)
        ?.replace("resumed -> ", "")}`,
  );
  assert.equal(
    `\n${table.join("\n")}\n`,
    `
anchoring: anchor
answering: answer
in the menu's prompt: play acme/welcome from 700
in the menu's prompt, the worker has not answered: play acme/welcome
waiting for a key: 
joining the queue: play music/default forever from 700
in queue: play music/default forever from 700
the worker is away: play music/default forever from 1000
a leg is prepared: play music/default forever from 1700, offer-leg c1.1
a leg rings: play music/default forever from 700, invite c1.1
a second leg rings: park c1.1, play music/default forever from 700, invite c1.2
being joined: bridge c1.1
talking: 
after a transfer rang in vain: play music/default forever, invite c1.1
the agent refers, the target is prepared: offer-leg c1.2
the agent refers, the target rings: invite c1.2
the target is being joined: bridge c1.2
the referrer is gone: park c1.1, invite c1.2
ended: 
`,
  );
});

test("being taken up is told and noted, once each time; the state is otherwise as it was", () => {
  const before = rehearse(RINGING);
  const after = rehearse([...RINGING, "resumed", "resumed"]);
  const told = after.effects.flatMap((effect) => (effect.kind === "tell" ? [effect.event] : [])).slice(-2);
  assert.deepEqual(
    told.map(({ name, fields }) => [name, fields]),
    [
      ["call.taken-over", { epoch: "2", outageMs: "300" }],
      ["call.taken-over", { epoch: "2", outageMs: "300" }],
    ],
  );
  assert.deepEqual({ ...after.state, eventCount: 0 }, { ...before.state, eventCount: 0 });
});

test("a leg that could not be joined after all: the music goes on where it stood when the host died", () => {
  const said = [...RINGING, "music plays", "leg 1 answers", "resumed", "leg 1 bridge fails"];
  assert.match(
    story(said),
    /fails -> hang-up c1.1 media.no-such-leg, park c1.1, play music\/default forever from 1700, report o1 unreachable\n$/,
  );
});

test("a prompt that was cut off by its worker goes on from there, not from its start", () => {
  assert.match(
    story([...IN_QUEUE, "music plays", "place 1", "music lost", "worker back"]),
    /worker back -> reattach-worker, play music\/default forever from 2000\n$/,
  );
});

const anyStory = fc.array(fc.constantFrom(...Object.keys(SAID)), { maxLength: 40 });
/** Most random stories die at once: these get somewhere first. */
const anyLongStory = fc
  .tuple(fc.constantFrom([], IN_QUEUE, RINGING, TALKING), anyStory)
  .map(([first, rest]) => [...first, ...rest]);

test("property: whatever happens, in whatever order, a call keeps its invariants and ends when the caller hangs up", () => {
  fc.assert(
    fc.property(anyLongStory, (said) => {
      const { effects, state } = rehearse([...said, "caller hangs up"]);
      assert.equal(state.phase.name, "ended");

      // (a) one end, and after it only answers to offers that come too late
      const end = effects.findIndex(({ kind }) => kind === "ended");
      assert.equal(effects.filter(({ kind }) => kind === "ended").length, 1);
      assert.ok(effects.slice(end + 1).every(({ kind }) => kind === "report"));

      // (b) every leg that was invited is over: by us, or because it said so itself
      const overBySelf = new Set(
        said.flatMap((name) => {
          const input = SAID[name];
          return input?.kind === "leg-failed" || input?.kind === "leg-hung-up" ? [input.leg] : [];
        }),
      );
      for (const invited of effects.filter((effect) => effect.kind === "invite")) {
        const { leg } = invited as { leg: string };
        const ended = effects.some(
          (effect) =>
            (effect.kind === "cancel-leg" && effect.leg === leg) || (effect.kind === "hang-up" && effect.side === leg),
        );
        assert.ok(ended || overBySelf.has(leg as never), `leg ${leg} is left up`);
      }

      // (c) every offer taken up is failed, or accepted and released, as often as it was accepted
      const reports = effects.flatMap((effect) => (effect.kind === "report" ? [effect.report] : []));
      const count = (kind: string) => reports.filter((report) => report.kind === kind).length;
      const taken = effects.filter((effect) => effect.kind === "tell" && effect.event.name === "agent.offered").length;
      assert.equal(count("offer-accepted"), count("agent-released"));
      assert.ok(count("offer-failed") + count("agent-released") >= taken, "an offer is left open");

      // (d) a contact in a queue leaves it
      const enqueued = reports.filter(({ kind }) => kind === "enqueue").length;
      const left =
        reports.filter(({ kind }) => kind === "cancel" || kind === "offer-accepted").length +
        effects.filter((effect) => effect.kind === "tell" && effect.event.name === "queue.refused").length;
      assert.equal(enqueued, left);

      // (e) media is released once, and events are numbered without a hole
      assert.equal(effects.filter(({ kind }) => kind === "release-media").length, 1);
      const numbers = effects.flatMap((effect) => (effect.kind === "tell" ? [effect.event.sequence] : []));
      assert.deepEqual(
        numbers,
        numbers.map((_, index) => index),
      );
    }),
    { numRuns: 2_000 },
  );
});

test("an offer withdrawn a moment after the agent answered: they talk all the same", () => {
  assert.match(story([...RINGING, "leg 1 answers", "offer 1 withdrawn"]), /withdrawn -> \n$/);
});

test("a caller that cancels as we answer was never answered: the 200 never left the server", () => {
  const record = recordOf(["anchored", "cancelled"]);
  assert.deepEqual([record.answeredAtUnixMs, record.endedBy, record.endCode], [undefined, "caller", "abandoned"]);
  assert.equal(recordOf(["anchored", "answer fails"]).answeredAtUnixMs, undefined);
});

test("a contact that the region refuses while an agent rings: the phone stops before the flow goes on", () => {
  assert.match(
    story([...RINGING, "queue refuses"]),
    /queue refuses -> cancel-leg c1.1, park c1.1, report o1 contact-gone, stop-playing, .*hang-up caller/,
  );
});
