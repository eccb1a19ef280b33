// What libraries ask of the system at large (timers, the date, chance, a connection) answered by the simulated process
// whose turn it is. In force between `take` and `giveBack`; one simulation at a time in a thread.

import net, { type Socket } from "node:net";
import { systemRng } from "../../kernel/rng.ts";
import { SimProcess } from "../../kernel/sim/process.ts";
import type { Turns } from "../../kernel/sim/turns.ts";
import type { SimWorld } from "../../kernel/sim/world.ts";

/** Answers `net.connect` for a process. */
export const dialsOf = new WeakMap<SimProcess, (host: string, port: number) => Socket>();

interface Cancelled {
  cancel(): void;
}

export function takeGlobals(world: SimWorld, turns: Turns): () => void {
  const target = globalThis as unknown as Record<string, unknown>;
  const mutableNet = net as unknown as Record<string, unknown>;
  const mutableRng = systemRng as unknown as Record<string, unknown>;
  const before = {
    setTimeout: target.setTimeout,
    clearTimeout: target.clearTimeout,
    setInterval: target.setInterval,
    clearInterval: target.clearInterval,
    setImmediate: target.setImmediate,
    now: Date.now,
    connect: mutableNet.connect,
    next: mutableRng.next,
  };
  const inTurn = (): SimProcess => {
    const { current } = SimProcess;
    if (current === undefined) throw new Error("a timer of nobody");
    return current;
  };
  const cancel = (timer: Cancelled | undefined) => timer?.cancel();
  target.setTimeout = (run: (...given: unknown[]) => void, afterMs = 0, ...given: unknown[]) => ({
    ...inTurn().after(afterMs, () => run(...given)),
    unref() {},
    ref() {},
  });
  target.setInterval = (run: () => void, everyMs = 1) => {
    const by = inTurn();
    let alarm: Cancelled;
    const again = () => {
      alarm = by.after(everyMs, () => {
        again();
        run();
      });
    };
    again();
    return { cancel: () => alarm.cancel(), unref() {}, ref() {} };
  };
  target.clearTimeout = cancel;
  target.clearInterval = cancel;
  target.setImmediate = turns.immediate;
  Date.now = () => (SimProcess.current?.machine ?? world).unixMs();
  mutableNet.connect = ({ host, port }: { host: string; port: number }) => {
    const by = inTurn();
    const dial = dialsOf.get(by);
    if (dial === undefined) throw new Error(`${by.name} has no network`);
    return dial(host, port);
  };
  mutableRng.next = () => world.rng.next();
  return () => {
    for (const name of ["setTimeout", "clearTimeout", "setInterval", "clearInterval", "setImmediate"] as const)
      target[name] = before[name];
    Date.now = before.now;
    mutableNet.connect = before.connect;
    mutableRng.next = before.next;
    SimProcess.current = undefined;
  };
}
