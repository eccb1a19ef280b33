// Where a request may go: the targets of a URI, best first. Drives core/next-hop: asks, remembers, and asks once for all who
// want to know the same. RFC 3263.

import type { NameService } from "../../boundary/name-service.ts";
import type { NextHopLimits } from "../../core/limits.ts";
import { type DnsAnswer, type Question, questionKey } from "../../core/next-hop/dns.ts";
import { DnsCache } from "../../core/next-hop/dns-cache.ts";
import { type Hop, type Target, targetOfAddress } from "../../core/next-hop/hop.ts";
import { Quarantine, type QuarantineInput } from "../../core/next-hop/quarantine.ts";
import * as resolution from "../../core/next-hop/resolution.ts";
import type { Shell } from "../shell/shell.ts";
import { NamedTimers, type TimerOwner, type WheelTimer } from "../shell/timer-wheel.ts";

export interface NextHopParts {
  readonly shell: Shell;
  readonly names: NameService;
  readonly limits: NextHopLimits;
  /** Told when somebody who waited for a name throws: that bug must not keep the others from their answer. */
  readonly failed: (error: unknown) => void;
}

type Found = (targets: readonly Target[]) => void;
type Where = Omit<Target, "domain">;

export class NextHops {
  readonly #parts: NextHopParts;
  readonly #cache: DnsCache;
  readonly #quarantine: Quarantine;
  /** Questions under way, each with everybody who waits for its answer. */
  readonly #asked = new Map<string, Asked>();
  #resolutions = 0;
  #support: resolution.Support = [];
  #supportOf = 0;

  constructor(parts: NextHopParts) {
    this.#parts = parts;
    this.#cache = new DnsCache(parts.limits);
    this.#quarantine = new Quarantine(parts.limits.quarantinedMax);
  }

  get facts() {
    return {
      namesRemembered: this.#cache.size,
      nameQuestions: this.#asked.size,
      targetsInQuarantine: this.#quarantine.count(this.#parts.shell.clock.nowMs()),
    };
  }

  /** Calls back once: before it returns when nobody has to be asked. No targets: the name leads nowhere. */
  find(hop: Hop, found: Found): void {
    if (hop.isAddress) {
      found([targetOfAddress(hop)]);
      return;
    }
    const { shell, limits } = this.#parts;
    if (this.#resolutions >= limits.resolutionsMax) {
      shell.counters.add("next_hop_failures", 'because="busy"');
      found([]);
      return;
    }
    this.#resolutions++;
    const seed = Math.floor(shell.ids.chance() * 2 ** 32);
    new Resolving(this, shell, { hop, support: this.#supported(), seed }, (targets) => {
      this.#resolutions--;
      found(this.#quarantine.order(targets, shell.clock.nowMs()));
    }).begin();
  }

  isFit(target: Where): boolean {
    return this.#quarantine.isFit(target, this.#parts.shell.clock.nowMs());
  }

  /** What became of a request there. */
  report(target: Where, input: QuarantineInput): void {
    this.#quarantine.handle(target, input, this.#parts.shell.clock.nowMs());
  }

  /** Answers once, before it returns if the answer is remembered. */
  ask(question: Question, answered: (answer: DnsAnswer) => void): void {
    const { shell, names, limits, failed } = this.#parts;
    const remembered = this.#cache.find(question, shell.clock.nowMs());
    if (remembered?.fresh) {
      answered(remembered.answer);
      return;
    }
    const key = questionKey(question);
    const underWay = this.#asked.get(key);
    if (underWay !== undefined) {
      underWay.wait(answered);
      return;
    }
    if (this.#asked.size >= limits.questionsMax) {
      answered(remembered?.answer ?? { kind: "failed", because: "busy" });
      return;
    }
    const asked = new Asked(shell, failed, remembered?.answer, limits.staleAfterMs);
    this.#asked.set(key, asked);
    asked.wait(answered);
    shell.counters.add("name_questions", `type="${question.type}"`);
    names.ask(question, (answer) => {
      this.#asked.delete(key);
      if (answer.kind === "failed") shell.counters.add("name_failures", `because="${answer.because}"`);
      asked.answer(this.#cache.keep(question, answer, shell.clock.nowMs()));
    });
  }

  /** Transports and families in the order of the configuration: what is listed first is liked best. */
  #supported(): resolution.Support {
    const { points } = this.#parts.shell;
    if (this.#supportOf === points.length) return this.#support;
    const support = new Map<string, { transport: Target["transport"]; families: (4 | 6)[] }>();
    for (const { transport, address } of points) {
      const family = address.includes(":") ? 6 : 4;
      const known = support.get(transport);
      if (known === undefined) support.set(transport, { transport, families: [family] });
      else if (!known.families.includes(family)) known.families.push(family);
    }
    this.#support = [...support.values()];
    this.#supportOf = points.length;
    return this.#support;
  }
}

/** One question, and everybody who waits for its answer. */
class Asked implements TimerOwner {
  readonly #shell: Shell;
  readonly #failed: (error: unknown) => void;
  readonly #stale: DnsAnswer | undefined;
  readonly #timer: WheelTimer | undefined;
  #waiting: ((answer: DnsAnswer) => void)[] = [];
  #useStale = false;

  constructor(shell: Shell, failed: (error: unknown) => void, stale: DnsAnswer | undefined, staleAfterMs: number) {
    this.#shell = shell;
    this.#failed = failed;
    this.#stale = stale;
    if (stale !== undefined) this.#timer = shell.wheel.start(this, "stale", staleAfterMs);
  }

  wait(answered: (answer: DnsAnswer) => void): void {
    if (this.#useStale && this.#stale !== undefined) answered(this.#stale);
    else this.#waiting.push(answered);
  }

  answer(answer: DnsAnswer): void {
    if (this.#timer !== undefined) this.#shell.wheel.stop(this.#timer);
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const answered of waiting)
      try {
        answered(answer);
      } catch (error) {
        this.#failed(error);
      }
  }

  /** The servers take their time, and we have an answer grown old: RFC 8767 §5. */
  onTimer(): void {
    this.#useStale = true;
    if (this.#stale !== undefined) this.answer(this.#stale);
  }
}

/** Drives core/next-hop/resolution.ts. */
class Resolving implements TimerOwner {
  readonly #hops: NextHops;
  readonly #shell: Shell;
  readonly #context: resolution.ResolutionContext;
  readonly #done: Found;
  readonly #timers: NamedTimers;
  readonly #inputs: resolution.ResolutionInput[] = [];
  #state: resolution.ResolutionState = { name: "done" };
  #busy = true;

  constructor(hops: NextHops, shell: Shell, context: resolution.ResolutionContext, done: Found) {
    this.#hops = hops;
    this.#shell = shell;
    this.#context = context;
    this.#done = done;
    this.#timers = new NamedTimers(shell.wheel, this);
  }

  begin(): void {
    const { state, effects } = resolution.start(this.#context);
    this.#state = state;
    for (const effect of effects) this.#perform(effect);
    this.#drain();
  }

  onTimer(name: string): void {
    this.#handle({ kind: "timer", timer: name as resolution.ResolutionTimer });
  }

  #handle(input: resolution.ResolutionInput): void {
    this.#inputs.push(input);
    if (!this.#busy) this.#drain();
  }

  #drain(): void {
    this.#busy = true;
    for (let input = this.#inputs.shift(); input !== undefined; input = this.#inputs.shift()) {
      const { state, effects } = resolution.step(this.#context, this.#state, input);
      this.#state = state;
      for (const effect of effects) this.#perform(effect);
    }
    this.#busy = false;
  }

  #perform(effect: resolution.ResolutionEffect): void {
    switch (effect.kind) {
      case "ask":
        this.#hops.ask(effect.question, (answer) =>
          this.#handle({ kind: "answer", question: effect.question, answer }),
        );
        break;
      case "start-timer":
        this.#timers.start(effect.timer, effect.afterMs);
        break;
      case "found":
        this.#timers.stopAll();
        this.#done(effect.targets);
        break;
      case "failed":
        this.#timers.stopAll();
        this.#shell.counters.add("next_hop_failures", `because="${effect.because}"`);
        this.#done([]);
        break;
    }
  }
}
