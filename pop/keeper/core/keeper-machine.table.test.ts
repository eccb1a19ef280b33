import assert from "node:assert/strict";
import { test } from "node:test";
import { asId } from "../../../kernel/ids.ts";
import {
  type Held,
  initialKeeper,
  KEEPER_TIMING,
  type KeeperEffect,
  type KeeperEvent,
  type KeeperSettings,
  type KeeperState,
  stepKeeper,
  type Tenure,
} from "./keeper-machine.ts";
import type { OwnerRecord } from "./owner-record.ts";
import type { Answer, Beat, Stance } from "./twin-talk.ts";

// The home service, every state of its tenure against every input that means something to it. Not shown: a cell in which
// the state stays and nothing is done for the service; notes, reads, beats, connects and wakes.
// Whoever changes the machine changes this page.
const TABLE = `
asking   + granted 10     -> opening  : persist, take-address, fence-store 10
asking   + written        -> claiming : write a 10 serving
asking   + conflict       -> none     : persist
asking   + seen: b has it -> asking   : persist
asking   + hand over      -> asking   : reply hand-over.not-serving
asking   + return home    -> asking   : reply hand-over.twin-declines
asking   + stop           -> none     : finished
asking   + 1.6 s later    -> none     :
claiming + written        -> opening  : take-address, fence-store 10, persist
claiming + conflict       -> none     : persist
claiming + etcd away      -> asking   : persist
claiming + seen: b has it -> claiming : persist
claiming + hand over      -> claiming : reply hand-over.not-serving
claiming + return home    -> claiming : reply hand-over.twin-declines
claiming + 1.6 s later    -> claiming : write a 12 serving, persist
opening  + conflict       -> ending   : kill-serving, persist
opening  + seen: b has it -> ending   : kill-serving, persist
opening  + fenced         -> serving  : start-serving 8
opening  + fence: behind  -> claiming : write a 10 serving, persist
opening  + fence: away    -> serving  : start-serving 8 without state
opening  + superseded     -> ending   : kill-serving, persist
opening  + hand over      -> opening  : reply hand-over.not-serving
opening  + return home    -> opening  : reply hand-over.already-home
opening  + stop           -> ending   : kill-serving
opening  + 1.6 s later    -> ending   : kill-serving
serving  + granted 8      -> serving  : extend-lease to +1890
serving  + written        -> serving  : extend-lease to +1880
serving  + conflict       -> ending   : kill-serving, persist
serving  + seen: b has it -> ending   : kill-serving, persist
serving  + fence: behind  -> ending   : kill-serving, persist
serving  + superseded     -> ending   : kill-serving, persist
serving  + process died   -> serving  : start-process
serving  + hand over      -> emptying : empty-serving
serving  + return home    -> serving  : reply hand-over.already-home
serving  + stop           -> stopping : stop-serving
serving  + 1.6 s later    -> ending   : kill-serving
emptying + granted 8      -> emptying : extend-lease to +1890
emptying + written        -> emptying : extend-lease to +1880
emptying + conflict       -> ending   : kill-serving, reply hand-over.store-away, persist
emptying + seen: b has it -> ending   : kill-serving, reply hand-over.store-away, persist
emptying + superseded     -> ending   : kill-serving, reply hand-over.store-away, persist
emptying + emptied        -> to give  : kill-serving
emptying + ended          -> giving   : write b 9 given
emptying + hand over      -> emptying : reply hand-over.under-way
emptying + return home    -> emptying : reply hand-over.already-home
emptying + 1.6 s later    -> ending   : kill-serving, reply hand-over.store-away
stopping + granted 8      -> stopping : extend-lease to +1890
stopping + written        -> stopping : extend-lease to +1880
stopping + conflict       -> ending   : kill-serving, persist
stopping + seen: b has it -> ending   : kill-serving, persist
stopping + superseded     -> ending   : kill-serving, persist
stopping + ended          -> closing  : write a 8 stopped
stopping + hand over      -> stopping : reply hand-over.under-way
stopping + return home    -> stopping : reply hand-over.already-home
stopping + 1.6 s later    -> ending   : kill-serving
ending   + conflict       -> ending   : persist
ending   + seen: b has it -> ending   : persist
ending   + ended          -> claiming : write a 10 serving
ending   + hand over      -> ending   : reply hand-over.under-way
ending   + return home    -> ending   : reply hand-over.twin-declines
ending   + 1.6 s later    -> ending   : kill-serving
to give  + conflict       -> to give  : persist
to give  + seen: b has it -> to give  : persist
to give  + ended          -> giving   : write b 9 given
to give  + hand over      -> to give  : reply hand-over.under-way
to give  + return home    -> to give  : reply hand-over.twin-declines
to give  + 1.6 s later    -> to give  : kill-serving
giving   + written        -> none     : reply done
giving   + conflict       -> none     : reply done, persist
giving   + seen: b has it -> none     : reply done, persist
giving   + hand over      -> giving   : reply hand-over.under-way
giving   + return home    -> giving   : reply hand-over.twin-declines
closing  + written        -> none     : finished
closing  + conflict       -> none     : finished, persist
closing  + etcd away      -> none     : finished
closing  + seen: b has it -> closing  : persist
closing  + hand over      -> closing  : reply hand-over.stopping
closing  + return home    -> closing  : reply hand-over.stopping
closing  + 1.6 s later    -> none     : finished
`;

const [A, B] = [asId<"pop-host">("a"), asId<"pop-host">("b")];
const NOW = 100_000;
const settings: KeeperSettings = { host: A, twin: B, processes: ["pop"], timing: KEEPER_TIMING };

const entry = (record: OwnerRecord, revision: number) => ({ record, revision, writtenAtUnixMs: 1 });
const OURS = entry({ host: A, epoch: 8, state: "serving" }, 50);
const THEIRS = entry({ host: B, epoch: 9, state: "serving" }, 51);
const idle: Stance = { service: A, name: "idle", epoch: 8, yields: false };

/** An hour into its life: the twin is heard and holds nothing of ours, etcd answers, the record is ours under epoch 8. */
function stateWith(tenure: Tenure, change: { etcd?: boolean } = {}): KeeperState {
  const began = initialKeeper(settings, { atMs: 0, boot: "a/1", memory: { epochs: { [A]: 8 } } });
  const link = { name: "connected", link: 3, answeredAtMs: NOW - 50, beatAtMs: NOW + 50 } as const;
  const far = NOW + 400;
  return {
    ...began,
    steppedAtMs: NOW - 50,
    wakeAtMs: NOW,
    nextId: 100,
    twin: {
      ...began.twin,
      link,
      boot: "b/1",
      heardAtMs: NOW - 50,
      name: "heard",
      everConnected: true,
      clearOfPast: true,
    },
    store: { name: change.etcd === false ? "away" : "answering", sinceMs: 0 },
    home: { ...began.home, tenure, seen: { entry: OURS, atMs: NOW - 100 }, readAtMs: far, twinSays: idle, ended: 7 },
    guest: began.guest && {
      ...began.guest,
      readAtMs: far,
      seen: { entry: entry({ host: B, epoch: 4, state: "serving" }, 40), atMs: NOW - 100 },
    },
  };
}

const held: Held = {
  epoch: 8,
  leaseUntilMs: NOW + 1_500,
  toldUntilMs: NOW + 1_500,
  renewal: { id: 7, sentAtMs: NOW - 20 },
  renewAtMs: NOW + 280,
  reason: "own-record",
  beganAtMs: NOW - 1_000,
  address: { name: "here" },
};
const write = { id: 7, sentAtMs: NOW - 20 };
const running = {
  processes: { pop: { name: "serving", pongAtMs: NOW - 100 } },
  deaths: [],
  pingAtMs: NOW + 300,
  failing: false,
  complete: true,
} as const;
const giving = { why: "asked", replyTo: "op" } as const;
const states: readonly (readonly [string, KeeperState])[] = [
  ["asking", stateWith({ name: "asking", epoch: 10, sinceMs: NOW - 200 }, { etcd: false })],
  ["claiming", stateWith({ name: "claiming", epoch: 10, write, reason: "own-record", former: {} })],
  ["opening", stateWith({ name: "opening", held, former: {}, sinceMs: NOW - 20 })],
  ["serving", stateWith({ name: "serving", held, running })],
  ["emptying", stateWith({ name: "emptying", held, untilMs: NOW + 1_000, next: { kind: "give", ...giving } })],
  ["stopping", stateWith({ name: "emptying", held, untilMs: NOW + 1_000, next: { kind: "close" } })],
  ["ending", stateWith({ name: "ending", epoch: 8, againAtMs: NOW + 300, next: { kind: "none" }, sinceMs: NOW - 5 })],
  [
    "to give",
    stateWith({ name: "ending", epoch: 8, againAtMs: NOW + 300, next: { kind: "give", ...giving }, sinceMs: NOW - 5 }),
  ],
  ["giving", stateWith({ name: "giving", epoch: 8, write, untilMs: NOW + 2_900, giving })],
  ["closing", { ...stateWith({ name: "closing", epoch: 8, write }), stopping: "ending" }],
];

const beat: Beat = { boot: "b/1", stances: [], leaving: false, wantsHome: false, n: 1, sentAtMs: NOW - 10 };
const answer = (epoch: number): Answer => ({ ...beat, grants: [{ service: A, epoch }] });
const OK = { ok: true, value: undefined } as const;
const written = (outcome: Extract<KeeperEvent, { kind: "owner-written" }>["outcome"]): KeeperEvent => ({
  kind: "owner-written",
  service: A,
  id: 7,
  outcome,
});
const inputs: readonly (readonly [string, KeeperEvent, number?])[] = [
  ["granted 8", { kind: "answer", link: 3, answer: answer(8) }],
  ["granted 10", { kind: "answer", link: 3, answer: answer(10) }],
  ["written", written({ ok: true, value: entry({ host: A, epoch: 8, state: "serving" }, 52) })],
  ["conflict", written({ ok: false, failure: { code: "owner.conflict", entry: THEIRS } })],
  ["etcd away", written({ ok: false, failure: { code: "owner.store-away", detail: "" } })],
  ["seen: b has it", { kind: "owner-seen", service: A, entry: THEIRS }],
  ["fenced", { kind: "store-fenced", service: A, epoch: 8, outcome: OK }],
  [
    "fence: behind",
    {
      kind: "store-fenced",
      service: A,
      epoch: 8,
      outcome: { ok: false, failure: { code: "store.superseded", epoch: 8, by: 9 } },
    },
  ],
  [
    "fence: away",
    { kind: "store-fenced", service: A, epoch: 8, outcome: { ok: false, failure: { code: "store.away", forMs: 1 } } },
  ],
  ["superseded", { kind: "superseded", service: A, by: 9 }],
  ["process died", { kind: "process-died", service: A, process: "pop" }],
  ["emptied", { kind: "serving-emptied", service: A }],
  ["ended", { kind: "serving-ended", service: A }],
  ["hand over", { kind: "hand-over", id: "op", service: A }],
  ["return home", { kind: "return-home", id: "op" }],
  ["stop", { kind: "stop" }],
  ["1.6 s later", { kind: "woke" }, NOW + 1_600],
];

test("the home service's tenure, on one page", () => {
  const rows = states.flatMap(([name, state]) =>
    inputs.flatMap(([label, event, atMs = NOW]) => {
      const next = stepKeeper(settings, state, { atMs, ...event });
      const said = next.effects.flatMap(inWords);
      const [before, after] = [nameOf(state), nameOf(next.state)];
      if (before === after && said.length === 0) return [];
      return [`${name.padEnd(8)} + ${label.padEnd(14)} -> ${after.padEnd(8)} : ${said.join(", ")}`.trimEnd()];
    }),
  );
  assert.deepEqual(rows, TABLE.trim().split("\n"));
});

function nameOf({ home: { tenure } }: KeeperState): string {
  if (tenure.name === "emptying" && tenure.next.kind === "close") return "stopping";
  return tenure.name === "ending" && tenure.next.kind === "give" ? "to give" : tenure.name;
}

function inWords(effect: KeeperEffect): string[] {
  if ("service" in effect && effect.service === B) return [];
  switch (effect.kind) {
    case "note":
    case "read-owner":
    case "connect-twin":
    case "close-twin":
    case "send-beat":
    case "wake":
    case "ping":
      return [];
    case "write-owner":
      return [`write ${effect.record.host} ${effect.record.epoch} ${effect.record.state}`];
    case "start-serving":
      return [`start-serving ${effect.epoch}${effect.stateAtHand ? "" : " without state"}`];
    case "extend-lease":
      return [`extend-lease to +${effect.untilMs - NOW}`];
    case "fence-store":
      return [`fence-store ${effect.epoch}`];
    case "reply":
      return [`reply ${effect.outcome.ok ? "done" : effect.outcome.failure.code}`];
    default:
      return [effect.kind];
  }
}
