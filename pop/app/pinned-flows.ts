// A call keeps the flow version it began with, also in the hands of the next process, whose snapshot may be another: each
// version in use stands once in the service's book of flows.

import type { Log } from "../../kernel/log.ts";
import type { CheckpointStore } from "../checkpoint/boundary/checkpoint-store.ts";
import type { CallBasics } from "../core/call/call-state.ts";
import type { Flow } from "../core/ivr/flow.ts";
import { keyOf } from "../core/routing/routing-table.ts";

const keyOfFlow = ({ tenantId, id, version }: Flow): string => keyOf(tenantId, id, version);
type Began = Pick<CallBasics, "tenantId" | "flowId" | "flowVersion">;
const keyOfCall = ({ tenantId, flowId, flowVersion }: Began): string => keyOf(tenantId, flowId, flowVersion);

interface Pinned {
  calls: number;
  readonly flow: Flow;
}

export class PinnedFlows {
  readonly #book: CheckpointStore;
  readonly #log: Log;
  readonly #isCurrent: (flow: Flow) => boolean;
  readonly #pinned = new Map<string, Pinned>();

  /** @param isCurrent in the snapshot in use: such a one stays in the book while no call uses it, or each quiet minute would write it anew */
  constructor(book: CheckpointStore, log: Log, isCurrent: (flow: Flow) => boolean) {
    this.#book = book;
    this.#log = log;
    this.#isCurrent = isCurrent;
  }

  pin(flow: Flow): void {
    const key = keyOfFlow(flow);
    const pinned = this.#pinned.get(key);
    if (pinned !== undefined) {
      pinned.calls++;
      return;
    }
    this.#pinned.set(key, { calls: 1, flow });
    this.#book.save(key, () => JSON.stringify(flow));
  }

  unpin(call: Began): void {
    const key = keyOfCall(call);
    const pinned = this.#pinned.get(key);
    if (pinned === undefined) return;
    pinned.calls--;
    this.#dropIfIdle(key, pinned);
  }

  /** After another snapshot, and after a restore: what neither a call nor the snapshot knows goes. */
  sweep(): void {
    for (const [key, pinned] of this.#pinned) this.#dropIfIdle(key, pinned);
  }

  of(call: Began): Flow | undefined {
    return this.#pinned.get(keyOfCall(call))?.flow;
  }

  /** What an earlier process has left; kept until `sweep`. Without the store: nothing, and the snapshot has to do. */
  async load(): Promise<void> {
    const loaded = await this.#book.load();
    if (!loaded.ok) return;
    for (const [key, text] of loaded.value) {
      if (this.#pinned.has(key)) continue;
      const flow = flowOf(text);
      if (flow !== undefined && keyOfFlow(flow) === key) this.#pinned.set(key, { calls: 0, flow });
      else {
        this.#log.error("flow.unreadable", { key });
        this.#book.remove(key);
      }
    }
    // From here on it is ours: a store that comes back empty is told it again.
    for (const [key, { flow }] of this.#pinned) this.#book.save(key, () => JSON.stringify(flow));
  }

  #dropIfIdle(key: string, { calls, flow }: Pinned): void {
    if (calls > 0 || this.#isCurrent(flow)) return;
    this.#pinned.delete(key);
    this.#book.remove(key);
  }
}

function flowOf(text: string): Flow | undefined {
  try {
    const flow = JSON.parse(text) as Partial<Flow>;
    const whole =
      typeof flow.id === "string" &&
      typeof flow.tenantId === "string" &&
      typeof flow.version === "number" &&
      typeof flow.activities === "object";
    return whole ? (flow as Flow) : undefined;
  } catch {
    return undefined;
  }
}
