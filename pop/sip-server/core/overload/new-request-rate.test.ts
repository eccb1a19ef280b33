import assert from "node:assert/strict";
import { test } from "node:test";
import { seededRng } from "../../../../kernel/rng.ts";
import { Overload } from "../../app/guard/overload.ts";
import { BEGINNING, OVERLOAD_LIMITS, step, UNLIMITED } from "./new-request-rate.ts";

const probe = (more: Partial<Parameters<typeof step>[2]> = {}) => ({
  intervalMs: 250,
  delayMs: 5,
  utilization: 0.5,
  backlogBytes: 0,
  offered: 50,
  admitted: 50,
  ...more,
});

test("one long pause is no overload; two are, and then what got in is the measure", () => {
  const once = step(OVERLOAD_LIMITS, UNLIMITED, probe({ delayMs: 150, utilization: 0.9 }));
  assert.equal(once.name, "unlimited");
  assert.deepEqual(step(OVERLOAD_LIMITS, once, probe()), UNLIMITED);
  const twice = step(OVERLOAD_LIMITS, once, probe({ delayMs: 150, utilization: 0.9 }));
  assert.deepEqual(twice, { name: "limited", perSecond: 170, calmProbes: 0 });
});

test("a loop that is never idle for a second, or an application that does not read, is overload too", () => {
  let busy = UNLIMITED;
  for (let at = 0; at < 4; at++) {
    assert.equal(busy.name, "unlimited");
    busy = step(OVERLOAD_LIMITS, busy, probe({ utilization: 1 }));
  }
  assert.equal(busy.name, "limited");
  let choked = UNLIMITED;
  for (let at = 0; at < 2; at++) choked = step(OVERLOAD_LIMITS, choked, probe({ backlogBytes: 16 * 1_048_576 }));
  assert.equal(choked.name, "limited");
});

test("a loop that is late because others have the machine is not overloaded: its own work is little", () => {
  let state = UNLIMITED;
  for (let at = 0; at < 50; at++) state = step(OVERLOAD_LIMITS, state, probe({ delayMs: 900, utilization: 0.4 }));
  assert.deepEqual(state, UNLIMITED);
});

test("between the bounds nothing moves; never below the least rate", () => {
  const limited = { name: "limited", perSecond: 100, calmProbes: 0 } as const;
  assert.equal(step(OVERLOAD_LIMITS, limited, probe({ delayMs: 60, utilization: 0.9 })), limited);
  let state: ReturnType<typeof step> = limited;
  for (let at = 0; at < 200; at++)
    state = step(OVERLOAD_LIMITS, state, probe({ delayMs: 5_000, utilization: 1, admitted: 0 }));
  assert.deepEqual(state, { name: "limited", perSecond: OVERLOAD_LIMITS.newPerSecondMin, calmProbes: 0 });
});

test("calm for two seconds with everybody let in: the limit goes", () => {
  let state: ReturnType<typeof step> = { name: "limited", perSecond: 500, calmProbes: 0 };
  for (let at = 0; at < 8; at++) {
    assert.equal(state.name, "limited");
    state = step(OVERLOAD_LIMITS, state, probe());
  }
  assert.deepEqual(state, UNLIMITED);
});

test("a stall that was taken for overload, with nothing let in meanwhile, costs new calls two seconds and not ten", () => {
  let state: ReturnType<typeof step> = UNLIMITED;
  for (let at = 0; at < 2; at++)
    state = step(OVERLOAD_LIMITS, state, probe({ delayMs: 300, utilization: 1, offered: 0, admitted: 0 }));
  assert.deepEqual(state, { name: "limited", perSecond: OVERLOAD_LIMITS.newPerSecondMin, calmProbes: 0 });
  let probes = 0;
  for (; state.name === "limited" && state.perSecond < 100; probes++) {
    const admitted = state.perSecond / 4;
    state = step(OVERLOAD_LIMITS, state, probe({ utilization: 0.4, offered: 25, admitted }));
  }
  assert.ok(probes <= 8, `${probes} probes`);
});

test("where a core is nearly used up the limit rises by small steps", () => {
  const limited = { name: "limited", perSecond: 100, calmProbes: 0 } as const;
  const next = step(OVERLOAD_LIMITS, limited, probe({ utilization: 0.92, offered: 60, admitted: 25 }));
  assert.ok(next.name === "limited" && next.perSecond > 100 && next.perSecond <= 105, JSON.stringify(next));
});

test("a process that begins is not judged by its first second; one that stays so is", () => {
  let state: ReturnType<typeof step> = BEGINNING;
  for (let at = 0; at < 4; at++) {
    state = step(OVERLOAD_LIMITS, state, probe({ delayMs: 300, utilization: 1 }));
    assert.equal(state.name, "unlimited");
  }
  state = step(OVERLOAD_LIMITS, state, probe({ delayMs: 300, utilization: 1 }));
  assert.equal(state.name, "limited");
  assert.deepEqual(step(OVERLOAD_LIMITS, BEGINNING, probe()), UNLIMITED);
});

/**
 * A server that takes so many milliseconds of its one thread for a call's messages, and one tenth of that to refuse one, reading
 * at most 32 datagrams per turn of its loop from a kernel buffer that drops what does not fit. Callers give up after four seconds.
 */
class Server {
  readonly overload = new Overload(OVERLOAD_LIMITS);
  nowMs = 0;
  #queue: { readonly atMs: number }[] = [];
  #busyMs = 0;
  #probeAtMs: number = OVERLOAD_LIMITS.probeMs;
  #delayMs = 0;
  readonly #rng = seededRng(7);
  readonly callMs: number;
  readonly controlled: boolean;
  answered = 0;
  shed = 0;
  late = 0;
  waitedMs = 0;

  constructor(callMs: number, controlled: boolean) {
    this.callMs = callMs;
    this.controlled = controlled;
  }

  run(forMs: number, perSecond: number): void {
    const untilMs = this.nowMs + forMs;
    let nextMs = this.nowMs;
    while (this.nowMs < untilMs) {
      const beganMs = this.nowMs;
      for (; nextMs <= this.nowMs; nextMs += (-Math.log(1 - this.#rng.next()) * 1_000) / perSecond)
        if (this.#queue.length < 4_000) this.#queue.push({ atMs: nextMs });
      const turn = this.#queue.splice(0, 32);
      if (turn.length === 0) this.nowMs += 1;
      for (const { atMs } of turn) {
        if (this.controlled && !this.overload.admits(this.nowMs)) {
          this.shed++;
          this.#spend(this.callMs / 10);
          continue;
        }
        this.#spend(this.callMs * (0.5 + this.#rng.next()));
        const waitedMs = this.nowMs - atMs;
        this.waitedMs = Math.max(this.waitedMs, waitedMs);
        if (waitedMs < 4_000) this.answered++;
        else this.late++;
      }
      this.#delayMs = Math.max(this.#delayMs, turn.length === 0 ? 0 : this.nowMs - beganMs);
      if (this.nowMs < this.#probeAtMs) continue;
      const intervalMs = this.nowMs - (this.#probeAtMs - OVERLOAD_LIMITS.probeMs);
      this.overload.onProbe({
        intervalMs,
        delayMs: this.#delayMs,
        utilization: Math.min(1, this.#busyMs / intervalMs),
        backlogBytes: 0,
      });
      this.#busyMs = 0;
      this.#delayMs = 0;
      this.#probeAtMs = this.nowMs + OVERLOAD_LIMITS.probeMs;
    }
  }

  reset(): void {
    this.answered = this.shed = this.late = this.waitedMs = 0;
  }

  #spend(ms: number): void {
    this.nowMs += ms;
    this.#busyMs += ms;
  }
}

const CAPACITY = 400; // calls per second, at 2.5 ms each

test("simulation: at twice its capacity the server answers nearly as many calls as it can, soon; without control it answers late", () => {
  const server = new Server(2.5, true);
  server.run(30_000, 2 * CAPACITY); // finding its rate
  server.reset();
  server.run(60_000, 2 * CAPACITY);
  const goodput = server.answered / 60;
  assert.ok(goodput > 0.75 * CAPACITY, `${goodput} of ${CAPACITY} calls per second`);
  assert.ok(server.waitedMs < 1_500, `waited ${server.waitedMs} ms`);
  assert.equal(server.late, 0);
  assert.ok(server.shed > 0);

  const uncontrolled = new Server(2.5, false);
  uncontrolled.run(30_000, 2 * CAPACITY);
  uncontrolled.reset();
  uncontrolled.run(60_000, 2 * CAPACITY);
  assert.ok(uncontrolled.answered / 60 < 0.1 * CAPACITY, `${uncontrolled.answered / 60}`);
});

test("simulation: at four times and ten times its capacity it still works for itself", () => {
  for (const [times, share] of [
    [4, 0.5],
    [8, 0.1],
  ] as const) {
    const server = new Server(2.5, true);
    server.run(30_000, times * CAPACITY);
    server.reset();
    server.run(30_000, times * CAPACITY);
    assert.ok(server.answered / 30 > share * CAPACITY, `${times} times: ${server.answered / 30}`);
  }
});

test("simulation: below its capacity nothing is shed, and after a storm it is well again within seconds", () => {
  const server = new Server(2.5, true);
  server.run(60_000, 0.8 * CAPACITY);
  assert.equal(server.shed, 0);
  server.run(20_000, 3 * CAPACITY);
  assert.equal(server.overload.rate.name, "limited");
  server.run(15_000, 0.4 * CAPACITY);
  assert.equal(server.overload.rate.name, "unlimited");
  server.reset();
  server.run(30_000, 0.8 * CAPACITY);
  assert.equal(server.shed, 0);
  assert.equal(server.late, 0);
});
