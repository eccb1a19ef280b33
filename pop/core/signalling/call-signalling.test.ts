// The machine against a server and parties that do what they may, over connections that break and processes that die at any
// moment: nobody is asked twice, nobody is left over, nothing is told that did not happen.

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { asId, type LegId } from "../../../kernel/ids.ts";
import type { CallInput, CallSide } from "../call/call-execution.ts";
import {
  claims,
  incoming,
  isOver,
  restored,
  type SignallingEffect,
  type SignallingInput,
  type SignallingState,
  type Standing,
  saved,
  step,
} from "./call-signalling.ts";

const LEG = asId<"leg">("call.1");
const WISH = { uri: "sip:alice@phone", sdp: "OFFER", callingNumber: "1" };
const DIALOG = "sip-call;from-tag=a";

type CallerAt = "offered" | "answered" | "acked" | "gone";
type LegAt = "none" | "calling" | "ringing" | "accepted" | "up" | "gone";

/** The server with both parties. It loses nothing; what it says while nobody is connected waits (a few words) or is forgotten. */
class World {
  caller: CallerAt = "offered";
  leg: LegAt = "none";
  /** SIP messages the parties hear, in order. */
  readonly wire: string[] = [];
  readonly told: CallInput[] = [];
  state: SignallingState = incoming(DIALOG, "t0");
  isUp = true;
  /** Said to us, and not heard yet: lost with the connection. */
  #toUs: SignallingInput[] = [];
  #kept: SignallingInput[] = [];
  #saved = saved(this.state);

  input(input: SignallingInput): void {
    const { state, effects } = step(this.state, input);
    this.state = state;
    for (const effect of effects) this.#perform(effect);
    if (!state.forgotten) this.#saved = saved(state);
  }

  /** One thing the server has said is heard. */
  hear(): void {
    const next = this.#toUs.shift();
    if (next !== undefined) this.input(next);
  }

  hearAll(): void {
    for (let left = 100; this.#toUs.length > 0 && left > 0; left--) this.hear();
  }

  #say(input: SignallingInput, isKept = false): void {
    if (this.isUp) this.#toUs.push(input);
    else if (isKept) this.#kept.push(input);
  }

  #perform(effect: SignallingEffect): void {
    if (effect.kind === "tell") {
      this.told.push(effect.input);
      return;
    }
    assert.ok(this.isUp || effect.kind === "pause", `${effect.kind} without a connection`);
    switch (effect.kind) {
      case "send-answer":
        if (this.caller !== "offered") return this.#say({ kind: "answer-refused", detail: "unknown" });
        this.caller = "answered";
        this.wire.push("200 caller");
        return this.#say({ kind: "answer-taken" });
      case "send-refusal":
        if (this.caller === "offered") this.wire.push("refusal caller");
        if (this.caller === "offered") this.caller = "gone";
        return this.#say({ kind: "refusal-settled" });
      case "send-invite":
        this.wire.push("INVITE leg");
        this.leg = "calling";
        return this.#say({ kind: "invite-taken", leg: LEG, transactionId: "t1" });
      case "send-cancel":
        if (this.leg !== "calling" && this.leg !== "ringing") return;
        this.wire.push("CANCEL leg");
        this.leg = "gone";
        return this.#say({ kind: "refused", leg: LEG, status: 487, detail: "" }, true);
      case "send-ack":
        if (this.leg === "accepted") this.leg = "up";
        return;
      case "send-bye": {
        const isThere =
          effect.side === "caller" ? this.caller === "answered" || this.caller === "acked" : this.leg === "up";
        if (isThere) this.wire.push(`BYE ${effect.side === "caller" ? "caller" : "leg"}`);
        if (isThere && effect.side === "caller") this.caller = "gone";
        else if (isThere) this.leg = "gone";
        return this.#say({ kind: "bye-settled", side: effect.side });
      }
    }
  }

  // what parties do

  act(what: "ack" | "cancel" | "caller bye" | "ring" | "accept" | "busy" | "leg bye"): void {
    if (what === "ack" && this.caller === "answered") {
      this.caller = "acked";
      this.#say({ kind: "acked" });
    } else if (what === "cancel" && this.caller === "offered") {
      this.caller = "gone";
      this.#say({ kind: "cancelled" }, true);
    } else if (what === "caller bye" && this.caller === "acked") {
      this.caller = "gone";
      this.#say({ kind: "hung-up", side: "caller", reason: "BYE" }, true);
    } else if (what === "ring" && this.leg === "calling") {
      this.leg = "ringing";
      this.#say({ kind: "progress", leg: LEG, status: 180 });
    } else if (what === "accept" && (this.leg === "calling" || this.leg === "ringing")) {
      this.leg = "accepted";
      this.#say({ kind: "accepted", leg: LEG, sdp: "ANSWER", usable: true });
    } else if (what === "busy" && (this.leg === "calling" || this.leg === "ringing")) {
      this.leg = "gone";
      this.#say({ kind: "refused", leg: LEG, status: 486, detail: "" }, true);
    } else if (what === "leg bye" && this.leg === "up") {
      this.leg = "gone";
      this.#say({ kind: "hung-up", side: LEG, reason: "BYE" }, true);
    }
  }

  // what breaks

  /** A refusal that was on its way comes after all: one that is lost is a phone that rings once more. */
  #loseConnection(): void {
    if (this.isUp) this.#kept.push(...this.#toUs.filter(({ kind }) => kind === "refused"));
    this.isUp = false;
    this.#toUs = [];
  }

  cut(): void {
    this.#loseConnection();
    this.input({ kind: "detached" });
  }

  die(): void {
    this.#loseConnection();
    if (!this.state.forgotten) this.state = restored(JSON.parse(JSON.stringify(this.#saved)));
  }

  mend(): void {
    if (this.isUp) return;
    this.isUp = true;
    const claimed = claims(this.state);
    const standing = (side: CallSide, is: Standing | undefined) => {
      if (is !== undefined && claimed.includes(side)) this.input({ kind: "standing", side, is });
    };
    standing("caller", this.#callerStanding());
    standing(LEG, this.#legStanding());
    for (const missed of this.#kept.splice(0)) this.input(missed);
    if (this.leg === "accepted" && claimed.includes(LEG))
      this.input({ kind: "accepted", leg: LEG, sdp: "ANSWER", usable: true });
    if (this.caller === "offered" && claimed.includes("caller"))
      this.input({ kind: "offered-again", transactionId: "t0" });
    if (!claimed.includes("caller") && (this.caller === "answered" || this.caller === "acked")) this.caller = "gone";
    if (!claimed.includes(LEG) && this.leg !== "none") this.leg = "gone";
    this.input({ kind: "attached" });
  }

  #callerStanding(): Standing | undefined {
    if (this.caller === "offered") return { kind: "request", transactionId: "t0" };
    if (this.caller === "gone") return undefined;
    return { kind: "dialog", phase: this.caller === "acked" ? "confirmed" : "unacknowledged", transactionId: "" };
  }

  #legStanding(): Standing | undefined {
    if (this.leg === "calling" || this.leg === "ringing")
      return { kind: "invite", transactionId: "t1", status: this.leg === "ringing" ? 180 : 0 };
    if (this.leg === "accepted") return { kind: "dialog", phase: "unacknowledged", transactionId: "t1" };
    return this.leg === "up" ? { kind: "dialog", phase: "confirmed", transactionId: "" } : undefined;
  }
}

const MOVES = {
  answer: (world) => world.input({ kind: "answer", sdp: "OURS" }),
  invite: (world) => world.input({ kind: "invite", leg: LEG, wish: WISH }),
  hear: (world) => world.hear(),
  ack: (world) => world.act("ack"),
  cancel: (world) => world.act("cancel"),
  "caller bye": (world) => world.act("caller bye"),
  ring: (world) => world.act("ring"),
  accept: (world) => world.act("accept"),
  busy: (world) => world.act("busy"),
  "leg bye": (world) => world.act("leg bye"),
  "end leg": (world) => world.input({ kind: "end", side: LEG, code: undefined }),
  cut: (world) => world.isUp && world.cut(),
  die: (world) => world.die(),
  mend: (world) => world.mend(),
} as const satisfies Record<string, (world: World) => unknown>;
type Move = keyof typeof MOVES;

const anyMoves = fc.array(fc.constantFrom(...(Object.keys(MOVES) as Move[])), { maxLength: 40 });

function played(moves: readonly Move[]): World {
  const world = new World();
  let isInvited = false;
  for (const move of moves) {
    // The call places its leg once; a next process says the wish again only while it waits for the leg.
    if (move === "invite") {
      const isKnown = world.state.legs.some(({ leg }) => leg === LEG);
      if (isInvited && !isKnown) continue;
      isInvited = true;
    }
    MOVES[move](world);
  }
  return world;
}

test("property: whatever breaks, in the end nobody is left over, and each message was sent once", () => {
  fc.assert(
    fc.property(anyMoves, (moves) => {
      const world = played(moves);
      world.mend();
      world.hearAll();
      world.input({ kind: "end", side: "caller", code: "over" });
      if (world.caller === "offered" && world.state.caller.name === "offered")
        world.input({ kind: "reject", refusal: { status: 480, code: "over", retryAfterSeconds: undefined } });
      world.input({ kind: "forget" });
      world.hearAll();
      assert.ok(isOver(world.state), JSON.stringify(world.state));
      assert.equal(world.caller, "gone");
      assert.ok(world.leg === "gone" || world.leg === "none", world.leg);
      const counts = new Map<string, number>();
      for (const message of world.wire) counts.set(message, (counts.get(message) ?? 0) + 1);
      assert.ok(
        [...counts].every(([, count]) => count === 1),
        world.wire.join(", "),
      );
    }),
    { numRuns: 3_000 },
  );
});

test("property: what breaks is not heard by parties: without a wish or an act nothing is sent", () => {
  const breaks = fc.array(fc.constantFrom<Move>("cut", "die", "mend", "hear"), { maxLength: 12 });
  const beginnings: readonly (readonly Move[])[] = [
    [],
    ["answer"],
    ["answer", "ack"],
    ["answer", "ack", "hear", "hear", "invite"],
    ["answer", "ack", "hear", "hear", "invite", "hear", "ring"],
    ["answer", "ack", "hear", "hear", "invite", "hear", "ring", "hear", "accept"],
    ["answer", "ack", "hear", "hear", "invite", "hear", "ring", "hear", "accept", "hear"],
  ];
  fc.assert(
    fc.property(fc.constantFrom(...beginnings), breaks, (beginning, broken) => {
      const world = played(beginning);
      const before = [...world.wire];
      for (const move of broken) MOVES[move](world);
      world.mend();
      world.hearAll();
      assert.deepEqual(world.wire, before);
      const lost = world.told.filter(({ kind }) => kind === "signalling-lost" || kind === "leg-hung-up");
      assert.deepEqual(lost, []);
    }),
    { numRuns: 2_000 },
  );
});

test("the server has died with our 200, or our INVITE, unsaid: both are said again", () => {
  const start = incoming(DIALOG, "t0");
  const feed = (state: SignallingState, ...inputs: readonly SignallingInput[]) => {
    const effects: SignallingEffect[] = [];
    let at = state;
    for (const input of inputs) {
      const taken = step(at, input);
      at = taken.state;
      effects.push(...taken.effects);
    }
    return { state: at, sent: effects.map(({ kind }) => kind) };
  };
  const { state } = feed(
    start,
    { kind: "answer", sdp: "OURS" },
    { kind: "answer-taken" },
    { kind: "invite", leg: LEG as LegId, wish: WISH },
    { kind: "invite-taken", leg: LEG, transactionId: "t1" },
  );
  const again = feed(
    state,
    { kind: "detached" },
    { kind: "standing", side: "caller", is: { kind: "request", transactionId: "t0" } },
    { kind: "attached" },
  );
  assert.deepEqual(again.sent, ["send-answer", "send-invite"]);
});
