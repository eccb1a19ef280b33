import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { asId } from "../../kernel/ids.ts";
import { fail, type Outcome, succeed } from "../../kernel/outcome.ts";
import type { CallEvent } from "../core/call/contact-record.ts";
import type { EventPublisher, EventSink, PublishFailure } from "./event-sink.ts";

const CALL = asId<"call">("c1");

export const eventOfCall = (sequence: number, name = "flow.entered", padding = ""): CallEvent => ({
  id: `${CALL}/${sequence}`,
  callId: CALL,
  tenantId: asId<"tenant">("acme"),
  sequence,
  atUnixMs: 1_790_000_000_000 + sequence,
  name,
  fields: padding === "" ? {} : { padding },
  record: undefined,
});

const eventsOf = (from: number, until: number): readonly CallEvent[] =>
  Array.from({ length: until - from }, (_, at) => eventOfCall(from + at));

/** A region's intake that does as told. */
export class ScriptedPublisher implements EventPublisher {
  /** Stored ones, in order, repetitions included. */
  readonly stored: CallEvent[] = [];
  readonly batches: number[] = [];
  away = false;
  /** Ids of events that the region will never take. */
  readonly unwanted = new Set<string>();
  #wake: (() => void)[] = [];

  async publish(events: readonly CallEvent[]): Promise<Outcome<void, PublishFailure>> {
    this.batches.push(events.length);
    try {
      if (this.away) return fail({ code: "events.away", detail: "as the test asked" });
      if (events.some(({ id }) => this.unwanted.has(id)))
        return fail({ code: "events.refused", detail: "as the test asked" });
      this.stored.push(...events);
      return succeed(undefined);
    } finally {
      for (const wake of this.#wake.splice(0)) wake();
    }
  }

  get ids(): readonly string[] {
    return this.stored.map(({ id }) => id);
  }

  /** Resolves when `enough` holds after a request. */
  async until(enough: () => boolean): Promise<void> {
    while (!enough())
      await new Promise<void>((resolve) => {
        this.#wake.push(resolve);
      });
  }
}

/** What every EventSink must do; each adapter's test file calls this. */
export function eventSinkContract(name: string, open: (publisher: EventPublisher) => Promise<EventSink>): void {
  describe(`${name} is an EventSink`, () => {
    test("events reach the region in order, in batches of at most 200", async () => {
      const publisher = new ScriptedPublisher();
      const sink = await open(publisher);
      await sink.append(eventsOf(0, 450));
      await sink.append(eventsOf(450, 500));
      await publisher.until(() => publisher.stored.length >= 500);
      assert.deepEqual(
        publisher.ids,
        eventsOf(0, 500).map(({ id }) => id),
      );
      assert.ok(Math.max(...publisher.batches) <= 200);
      await sink.close();
    });

    test("with the region away they wait, are counted, and go when it is back", async () => {
      const publisher = new ScriptedPublisher();
      publisher.away = true;
      const sink = await open(publisher);
      await sink.append(eventsOf(0, 3));
      await publisher.until(() => publisher.batches.length >= 2);
      assert.deepEqual([sink.state().events, sink.state().dropped], [3, 0]);
      assert.ok(sink.state().bytes > 0);
      publisher.away = false;
      await publisher.until(() => publisher.stored.length >= 3);
      assert.deepEqual(
        publisher.ids,
        eventsOf(0, 3).map(({ id }) => id),
      );
      await sink.close();
    });

    test("one that the region refuses does not hold up the others", async () => {
      const publisher = new ScriptedPublisher();
      publisher.unwanted.add("c1/17");
      const sink = await open(publisher);
      await sink.append(eventsOf(0, 100));
      await publisher.until(() => publisher.stored.length >= 99);
      assert.deepEqual(
        publisher.ids,
        eventsOf(0, 100)
          .map(({ id }) => id)
          .filter((id) => id !== "c1/17"),
      );
      await sink.close();
    });

    test("it says which events are over: those that the region has stored, and those that it will never take", async () => {
      const publisher = new ScriptedPublisher();
      publisher.unwanted.add("c1/1");
      publisher.away = true;
      const sink = await open(publisher);
      const settled: string[] = [];
      let wake = () => {};
      sink.onSettled((events) => {
        settled.push(...events.map(({ id }) => id));
        wake();
      });
      await sink.append(eventsOf(0, 3));
      await publisher.until(() => publisher.batches.length >= 2);
      assert.deepEqual(settled, []);
      publisher.away = false;
      while (settled.length < 3)
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      assert.deepEqual(settled, ["c1/0", "c1/1", "c1/2"]);
      await sink.close();
    });

    test("nothing to append is no work, and closing twice is one closing", async () => {
      const sink = await open(new ScriptedPublisher());
      await sink.append([]);
      await sink.close();
      await sink.close();
    });
  });
}
