// For tests: a flow played through without a telephone. Keeps what plays and which timers run, as the app would,
// and checks after each step what must always hold.

import assert from "node:assert/strict";
import { asId } from "../../../kernel/ids.ts";
import type { PlayId, Prompt } from "../media/prompt.ts";
import type { Activity, ActivityKind, Flow } from "./flow.ts";
import type { CallFacts, FlowContext, FlowEffect, FlowInput, FlowTimer } from "./flow-execution.ts";
import { type FlowStep, startFlow, stepFlow } from "./flow-machine.ts";
import type { FlowState } from "./flow-state.ts";

export const FACTS: CallFacts = { id: "c1", callingNumber: "+491700000017", calledNumber: "+4989123456" };

type Draft = ActivityKind & { readonly onFailure?: string | undefined };

export const flowOf = (activities: Readonly<Record<string, Draft>>, variables: Record<string, string> = {}): Flow => ({
  id: asId("main"),
  tenantId: asId("acme"),
  version: 1,
  start: Object.keys(activities)[0] ?? "",
  activities: Object.fromEntries(
    Object.entries(activities).map(([id, draft]): [string, Activity] => [id, { onFailure: undefined, ...draft }]),
  ),
  variables,
});

export const file = (name: string): Prompt => ({ kind: "file", name });
export const text = (words: string): Prompt => ({ kind: "text", text: words });

export const contextOf = (flow: Flow, defaultTreatment: readonly Prompt[] = [file("sorry")]): FlowContext => ({
  flow,
  defaultTreatment,
  musicOf: (queue) => (queue === "silent" ? undefined : file(`music/${queue}`)),
});

export class Rehearsal {
  readonly ctx: FlowContext;
  state: FlowState;
  readonly effects: FlowEffect[] = [];
  readonly timers = new Map<FlowTimer, number>();
  playing: { readonly play: PlayId; readonly prompts: readonly Prompt[] } | undefined;

  constructor(ctx: FlowContext, facts: CallFacts = FACTS) {
    this.ctx = ctx;
    const step = startFlow(ctx, facts);
    this.state = step.state;
    this.#perform(step);
  }

  /** What the step gave, notes left out. */
  give(input: FlowInput): readonly FlowEffect[] {
    if (input.kind === "played" && input.play === this.playing?.play) this.playing = undefined;
    if (input.kind === "timer") this.timers.delete(input.timer);
    const step = stepFlow(this.ctx, this.state, input);
    // State is plain data: after a journey through JSON the flow goes on just the same.
    const twin = stepFlow(this.ctx, JSON.parse(JSON.stringify(this.state)), input);
    assert.deepEqual(JSON.parse(JSON.stringify(twin)), JSON.parse(JSON.stringify(step)));
    this.state = step.state;
    this.#perform(step);
    return step.effects.filter(({ kind }) => kind !== "note");
  }

  press(keys: string): void {
    for (const digit of keys) this.give({ kind: "digit", digit });
  }

  finish(how: "finished" | "stopped" | "failed" = "finished"): void {
    assert.ok(this.playing, "nothing plays");
    this.give({ kind: "played", play: this.playing.play, how });
  }

  fire(timer: FlowTimer): void {
    assert.ok(this.timers.has(timer), `${timer} does not run`);
    this.give({ kind: "timer", timer });
  }

  /** What the caller hears: "menu + music/default", or "" for silence. */
  get heard(): string {
    return (this.playing?.prompts ?? []).map((one) => (one.kind === "file" ? one.name : one.text)).join(" + ");
  }

  get notes(): string[] {
    return this.effects.flatMap((one) => (one.kind === "note" ? [`${one.activity} | ${one.what} | ${one.why}`] : []));
  }

  get because(): string | undefined {
    return this.state.name === "ended" ? this.state.because : undefined;
  }

  #perform({ state, effects }: FlowStep): void {
    this.effects.push(...effects);
    for (const effect of effects) {
      switch (effect.kind) {
        case "play":
          assert.notEqual(effect.play, this.playing?.play, "every play has an id of its own");
          assert.ok(effect.prompts.length > 0, "a play of nothing never ends");
          this.playing = effect;
          break;
        case "stop-playing":
          this.playing = undefined;
          break;
        case "start-timer":
          this.timers.set(effect.timer, effect.afterMs);
          break;
        case "stop-timer":
          this.timers.delete(effect.timer);
          break;
        default:
          break;
      }
    }
    const elsewhere = ["queued", "with-agent", "transferring", "with-number"].includes(state.name);
    if (state.name === "ended") {
      assert.equal(this.playing, undefined, "nothing plays after the end");
      assert.deepEqual([...this.timers.keys()], [], "no timer runs after the end");
      assert.equal(this.effects.filter(({ kind }) => kind === "disconnect").length, 1, "released once");
    } else {
      assert.ok(this.playing || this.timers.size > 0 || elsewhere, `dead air in ${state.name}`);
    }
    if (state.name === "queued")
      assert.ok(this.playing || this.timers.has("flow.message"), "silence for ever in queue");
    if (state.name === "with-agent" || state.name === "with-number") {
      assert.equal(this.playing, undefined, "nothing plays while people talk");
      assert.deepEqual([...this.timers.keys()], [], "no timer runs while people talk");
    }
  }
}
