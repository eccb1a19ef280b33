import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { appendFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, describe, test } from "node:test";
import { silentLog } from "../../../kernel/log.ts";
import { eventOfCall, eventSinkContract, ScriptedPublisher } from "../../boundary/event-sink.contract.ts";
import type { EventPublisher } from "../../boundary/event-sink.ts";
import type { CallEvent } from "../../core/call/contact-record.ts";
import { EventSpool, type EventSpoolOptions } from "./event-spool.ts";

const root = mkdtempSync(join(tmpdir(), "tollgate-spool-"));
after(() => rmSync(root, { recursive: true, force: true }));
let spools = 0;
const newDir = () => join(root, `spool-${spools++}`);

const opened = (dir: string, publisher: EventPublisher, options: Partial<EventSpoolOptions> = {}) =>
  EventSpool.open({
    dir,
    publisher,
    log: silentLog,
    backoff: { firstMs: 1, factor: 2, waitMsMax: 10, jitter: 0.5 },
    ...options,
  });

const away = () => {
  const publisher = new ScriptedPublisher();
  publisher.away = true;
  return publisher;
};

const numbered = (from: number, until: number, name?: string, padding?: string): readonly CallEvent[] =>
  Array.from({ length: until - from }, (_, at) => eventOfCall(from + at, name, padding));
const idsOf = (events: readonly CallEvent[]) => events.map(({ id }) => id);
const segmentsIn = (dir: string) => readdirSync(dir).filter((name) => name.startsWith("events-"));

eventSinkContract("disk", (publisher) => opened(newDir(), publisher));

describe("the spool on disk", () => {
  test("what was not sent goes after a restart, in order, before what is new", async () => {
    const dir = newDir();
    const first = await opened(dir, away());
    await first.append(numbered(0, 5));
    await first.close();
    const publisher = new ScriptedPublisher();
    const second = await opened(dir, publisher);
    await second.append(numbered(5, 7));
    await publisher.until(() => publisher.stored.length >= 7);
    assert.deepEqual(publisher.ids, idsOf(numbered(0, 7)));
    await second.close();
    assert.deepEqual(segmentsIn(dir), []);
  });

  test("an event comes back from disk as it was, record and all", async () => {
    const event: CallEvent = { ...eventOfCall(1, "call.ended", 'ü\n"name":"x"'), record: undefined };
    const publisher = new ScriptedPublisher();
    const spool = await opened(newDir(), publisher);
    await spool.append([event]);
    await publisher.until(() => publisher.stored.length === 1);
    assert.deepEqual(publisher.stored, [event]);
    await spool.close();
  });

  test("a torn last line is no event, and no obstacle", async () => {
    const dir = newDir();
    const first = await opened(dir, away());
    await first.append(numbered(0, 3));
    await first.close();
    appendFileSync(join(dir, segmentsIn(dir)[0] ?? ""), '{"id":"c1/3","callId":"c');
    const publisher = new ScriptedPublisher();
    const second = await opened(dir, publisher);
    await second.append(numbered(4, 5));
    await publisher.until(() => publisher.stored.length >= 4);
    assert.deepEqual(publisher.ids, ["c1/0", "c1/1", "c1/2", "c1/4"]);
    await second.close();
  });

  test("a damaged line in the middle is left out, the others go", async () => {
    const dir = newDir();
    const first = await opened(dir, away());
    await first.append(numbered(0, 3));
    await first.close();
    const path = join(dir, segmentsIn(dir)[0] ?? "");
    const lines = readFileSync(path, "utf8").split("\n");
    writeFileSync(path, [lines[0], "\0\0\0\0", lines[2], ""].join("\n"));
    const publisher = new ScriptedPublisher();
    const second = await opened(dir, publisher);
    await publisher.until(() => publisher.stored.length >= 2);
    assert.deepEqual(publisher.ids, ["c1/0", "c1/2"]);
    await second.close();
    assert.deepEqual(segmentsIn(dir), []);
  });

  test("segments are deleted only when the region has stored what is in them", async () => {
    const dir = newDir();
    const publisher = away();
    const spool = await opened(dir, publisher, { segmentBytesMax: 1_000 });
    for (let at = 0; at < 20; at++) await spool.append([eventOfCall(at, "flow.entered", "x".repeat(200))]);
    const waiting = segmentsIn(dir).length;
    assert.ok(waiting > 3, `${waiting} segments`);
    publisher.away = false;
    await publisher.until(() => publisher.stored.length >= 20);
    await spool.close();
    assert.deepEqual(publisher.ids, idsOf(numbered(0, 20)));
    assert.deepEqual(segmentsIn(dir), []);
  });

  test("the first event goes at once, those that come right after it go together", async () => {
    const batches: number[] = [];
    const publisher = new ScriptedPublisher();
    const counting: EventPublisher = {
      publish: (events) => {
        batches.push(events.length);
        return publisher.publish(events);
      },
    };
    const spool = await opened(newDir(), counting, { gatherMs: 60_000 });
    await spool.append(numbered(0, 1));
    await publisher.until(() => publisher.stored.length === 1);
    await spool.append(numbered(1, 2));
    await spool.append(numbered(2, 4));
    await spool.close(); // which waits for nothing
    assert.deepEqual(batches, [1, 3]);
  });

  test("at its bound the oldest go first and are counted, contact records never", async () => {
    const dir = newDir();
    const publisher = away();
    const spool = await opened(dir, publisher, { bytesMax: 64 * 1024 });
    const padding = "x".repeat(400);
    for (let at = 0; at < 1_000; at += 10) {
      const nine = numbered(at, at + 9, "flow.entered", padding);
      await spool.append([...nine, eventOfCall(at + 9, "call.ended", padding)]);
    }
    const { events, bytes, dropped } = spool.state();
    assert.ok(bytes <= 64 * 1024, `${bytes} bytes`);
    assert.equal(events + dropped, 1_000);
    publisher.away = false;
    await publisher.until(() => publisher.stored.length >= events);
    const ended = publisher.stored.filter(({ name }) => name === "call.ended");
    assert.deepEqual(new Set(idsOf(ended)).size, 100);
    const others = publisher.stored.filter(({ name }) => name !== "call.ended").map(({ sequence }) => sequence);
    assert.ok(others.length > 0 && Math.min(...others) > 800, `oldest kept: ${Math.min(...others)}`);
    await spool.close();
  });

  test("contact records alone may grow beyond the bound; other events then do not come in", async () => {
    const publisher = away();
    const spool = await opened(newDir(), publisher, { bytesMax: 8 * 1024 });
    const padding = "x".repeat(400);
    await spool.append(numbered(0, 100, "call.ended", padding));
    await spool.append(numbered(100, 110, "flow.entered", padding));
    assert.deepEqual([spool.state().events, spool.state().dropped], [100, 10]);
    publisher.away = false;
    await publisher.until(() => publisher.stored.length >= 100);
    await spool.append(numbered(110, 111));
    await publisher.until(() => publisher.stored.length >= 101);
    await spool.close();
  });

  test("what the region refuses is kept for a person to look at", async () => {
    const dir = newDir();
    const publisher = new ScriptedPublisher();
    publisher.unwanted.add("c1/2");
    const spool = await opened(dir, publisher);
    await spool.append(numbered(0, 5));
    await publisher.until(() => publisher.stored.length >= 4);
    await spool.close();
    const refused = readFileSync(join(dir, "refused.ndjson"), "utf8").trim().split("\n");
    assert.deepEqual(
      refused.map((line) => JSON.parse(line).id),
      ["c1/2"],
    );
  });

  test("a disk that fails holds appends up, and they go through when it is well again", async () => {
    const dir = newDir();
    const publisher = new ScriptedPublisher();
    let failed: (event: string) => void = () => {};
    const failure = new Promise<string>((resolve) => {
      failed = resolve;
    });
    const spool = await opened(dir, publisher, { log: { ...silentLog, error: (event) => failed(event) } });
    rmSync(dir, { recursive: true });
    writeFileSync(dir, "a file where the folder was");
    let written = false;
    const appended = spool.append(numbered(0, 2)).then(() => {
      written = true;
    });
    assert.equal(await failure, "spool.unwritable");
    assert.equal(written, false);
    rmSync(dir);
    mkdirSync(dir);
    await appended;
    await publisher.until(() => publisher.stored.length >= 2);
    await spool.close();
  });

  test("an append to a closed spool is rejected", async () => {
    const spool = await opened(newDir(), new ScriptedPublisher());
    await spool.close();
    await assert.rejects(spool.append(numbered(0, 1)), /closed/);
  });

  test("kill -9 loses nothing that was acknowledged", async () => {
    const dir = newDir();
    const acknowledged = await killedWhileAppending(dir, 300);
    const publisher = new ScriptedPublisher();
    const spool = await opened(dir, publisher);
    await publisher.until(() => publisher.stored.length > acknowledged);
    const found = new Set(publisher.stored.map(({ sequence }) => sequence));
    for (let sequence = 0; sequence <= acknowledged; sequence++) assert.ok(found.has(sequence), `event ${sequence}`);
    await spool.close();
  });
});

/** @returns the last sequence number that the killed process said was on disk, all before it being so too */
async function killedWhileAppending(dir: string, enough: number): Promise<number> {
  const child: ChildProcess = spawn(
    process.execPath,
    [join(import.meta.dirname, "append-until-killed.fixture.ts"), dir],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  try {
    assert.ok(child.stdout);
    let last = -1;
    for await (const line of createInterface(child.stdout)) {
      last = Number(line);
      if (last >= enough) child.kill("SIGKILL"); // what it still says before it dies counts as well
    }
    return last;
  } finally {
    child.kill("SIGKILL");
  }
}
