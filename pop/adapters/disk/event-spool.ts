// Events on their way to the region, on disk until it has stored them.
//
// Invariants:
//   (a) an append resolves only after its events are synced to disk;
//   (b) a segment is deleted only after the region has stored every event in it, so that a crash repeats, never loses;
//   (c) events leave in the order in which they were appended;
//   (d) at the bound the oldest events go first, segment by segment, but never a "call.ended": contact records alone may
//       grow beyond the bound, until the disk is full.

import { appendFile, mkdir, open, readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { type BackoffPolicy, backoffMs } from "../../../kernel/backoff.ts";
import type { Log } from "../../../kernel/log.ts";
import { fail, type Outcome } from "../../../kernel/outcome.ts";
import { type Rng, systemRng } from "../../../kernel/rng.ts";
import type { EventPublisher, EventSink, PublishFailure, SpoolState } from "../../boundary/event-sink.ts";
import type { CallEvent } from "../../core/call/contact-record.ts";
import { eventOf, lineOf, type SpoolLine, SpoolSegment } from "./spool-segment.ts";

export interface EventSpoolOptions {
  /** A folder of its own, made if need be; one process at a time. */
  readonly dir: string;
  readonly publisher: EventPublisher;
  readonly log: Log;
  readonly bytesMax?: number;
  readonly segmentBytesMax?: number;
  /** How long the first of a group waits for others before all go to disk together. */
  readonly commitWindowMs?: number;
  /** After a request to the region that had room for more, how long others gather for the next one. */
  readonly gatherMs?: number;
  readonly backoff?: BackoffPolicy;
  readonly rng?: Rng;
}

const MEBIBYTE = 1024 * 1024;
const EVENTS_PER_BATCH_MAX = 200;
/** Waiting for the disk itself; beyond it events other than "call.ended" are dropped. */
const EVENTS_UNWRITTEN_MAX = 20_000;
/** What the region refuses is kept for a person to look at, up to this. */
const REFUSED_BYTES_MAX = 16 * MEBIBYTE;
const LAST_SENDING_MS_MAX = 1_000;
const SEGMENT_NAME = /^events-(\d{12})\.ndjson$/;

interface Commit {
  readonly lines: SpoolLine[];
  readonly done: Promise<void>;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

export class EventSpool implements EventSink {
  readonly #options: Required<EventSpoolOptions>;
  readonly #segments: SpoolSegment[];
  #nextNumber: number;
  #pending: Commit = newCommit();
  #commitTimer: NodeJS.Timeout | undefined;
  #committing: Promise<void> | undefined;
  #diskFailures = 0;
  #dropped = 0;
  #full = false;
  /** Nothing more is appended; what waits may still go. */
  #closed = false;
  /** Nothing more is touched. */
  #stopped = false;
  readonly #listeners: ((events: readonly CallEvent[]) => void)[] = [];
  readonly #sender: Promise<void>;
  #closing: Promise<void> | undefined;
  /** One at a time changes which segments there are and where they are sent up to. */
  #turn: Promise<unknown> = Promise.resolve();
  #wakeSender: (() => void) | undefined;
  /** Appended since the sender last looked. */
  #news = false;

  private constructor(options: Required<EventSpoolOptions>, segments: SpoolSegment[]) {
    this.#options = options;
    this.#segments = segments;
    this.#nextNumber = (segments.at(-1)?.number ?? 0) + 1;
    this.#sender = this.#send();
  }

  /** Takes over what an earlier process has left in `dir`. Rejects if the folder cannot be used. */
  static async open(options: EventSpoolOptions): Promise<EventSpool> {
    const bytesMax = options.bytesMax ?? 256 * MEBIBYTE;
    const full = {
      bytesMax,
      segmentBytesMax: Math.min(MEBIBYTE, Math.ceil(bytesMax / 8)),
      commitWindowMs: 5,
      gatherMs: 25,
      backoff: { firstMs: 200, factor: 2, waitMsMax: 5_000, jitter: 0.5 },
      rng: systemRng,
      ...options,
    };
    await mkdir(full.dir, { recursive: true, mode: 0o700 });
    const segments: SpoolSegment[] = [];
    for (const name of (await readdir(full.dir)).sort()) {
      if (name.endsWith(".new")) await rm(join(full.dir, name), { force: true });
      const number = SEGMENT_NAME.exec(name)?.[1];
      if (number === undefined) continue;
      const segment = await SpoolSegment.existing(Number(number), join(full.dir, name));
      if (segment.events > 0) segments.push(segment);
      else await segment.remove();
    }
    const spool = new EventSpool(full, segments);
    const { events, bytes } = spool.state();
    if (events > 0) full.log.info("spool.resumed", { events, bytes });
    return spool;
  }

  append(events: readonly CallEvent[]): Promise<void> {
    if (events.length === 0) return Promise.resolve();
    if (this.#closed) return quietly(Promise.reject(new Error("the spool is closed")));
    const { lines, done } = this.#pending;
    for (const event of events) {
      if (lines.length >= EVENTS_UNWRITTEN_MAX && event.name !== "call.ended") this.#dropped++;
      else lines.push(lineOf(event));
    }
    this.#commitSoon();
    return done;
  }

  onSettled(listener: (events: readonly CallEvent[]) => void): void {
    this.#listeners.push(listener);
  }

  /** Events and bytes that the region has not stored yet and that are on disk. */
  state(): SpoolState {
    let events = 0;
    let bytes = 0;
    for (const segment of this.#segments) {
      events += segment.unsentEvents;
      bytes += segment.bytes - segment.sentBytes;
    }
    return { events, bytes, dropped: this.#dropped };
  }

  /** The region has a last second to take what waits; the rest stays on disk for the next start. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#commitTimer);
    await this.#committing;
    if (this.#pending.lines.length > 0) await this.#commit();
    const unwritten = this.#pending.lines.length;
    if (unwritten > 0) {
      this.#options.log.error("spool.lost", { events: unwritten });
      this.#pending.reject(new Error(`the spool was closed before the disk took ${unwritten} events`));
    }
    clearTimeout(this.#commitTimer);
    this.#wakeSender?.();
    await withinMs(LAST_SENDING_MS_MAX, this.#sender);
    await this.#exclusively(async () => {
      this.#stopped = true;
      for (const segment of this.#segments) await (segment.unsentEvents === 0 ? segment.remove() : segment.seal());
    });
  }

  // ---- to disk ----

  #commitSoon(afterMs = this.#options.commitWindowMs): void {
    if (this.#commitTimer !== undefined || this.#committing !== undefined) return;
    this.#commitTimer = setTimeout(() => {
      this.#commitTimer = undefined;
      this.#committing = this.#commit().finally(() => {
        this.#committing = undefined;
        if (this.#pending.lines.length > 0 && !this.#closed) this.#commitSoon(this.#commitPauseMs());
      });
    }, afterMs);
  }

  #commitPauseMs(): number {
    const { commitWindowMs, backoff, rng } = this.#options;
    return this.#diskFailures === 0 ? commitWindowMs : backoffMs(backoff, this.#diskFailures - 1, rng);
  }

  async #commit(): Promise<void> {
    const commit = this.#pending;
    this.#pending = newCommit();
    try {
      await this.#exclusively(() => this.#write(commit.lines));
      this.#diskFailures = 0;
      commit.resolve();
      this.#news = true;
      this.#wakeSender?.();
    } catch (error) {
      this.#diskFailures++;
      this.#options.log.error("spool.unwritable", { detail: messageOf(error), events: commit.lines.length });
      // Back to the front of the queue. Whoever waits goes on waiting.
      const later = this.#pending;
      commit.lines.push(...later.lines);
      commit.done.then(later.resolve, later.reject);
      this.#pending = commit;
    }
  }

  async #write(lines: readonly SpoolLine[]): Promise<void> {
    const fitting = await this.#madeToFit(lines);
    if (fitting.length === 0) return;
    const active = await this.#activeSegment();
    try {
      await active.append(fitting);
    } catch (error) {
      if (active.events === 0) await this.#forget(active); // or a full disk would collect empty files
      throw error;
    }
    if (active.bytes >= this.#options.segmentBytesMax) await active.seal();
  }

  async #activeSegment(): Promise<SpoolSegment> {
    const last = this.#segments.at(-1);
    if (last?.writable) return last;
    const number = this.#nextNumber++;
    const name = `events-${String(number).padStart(12, "0")}.ndjson`;
    const segment = await SpoolSegment.create(number, join(this.#options.dir, name));
    this.#segments.push(segment);
    await syncFolder(this.#options.dir);
    return segment;
  }

  /** (d) */
  async #madeToFit(lines: readonly SpoolLine[]): Promise<readonly SpoolLine[]> {
    const { bytesMax, log } = this.#options;
    const wanted = sumOf(lines);
    let kept = sumOf(this.#segments);
    for (const segment of [...this.#segments]) {
      if (kept + wanted <= bytesMax) break;
      kept -= segment.bytes;
      const dropped = segment.droppable > 0 || segment.unsentEvents === 0 ? await segment.thin() : 0;
      kept += segment.bytes;
      if (segment.events === 0) await this.#forget(segment);
      if (dropped === 0) continue;
      this.#dropped += dropped;
      log.warn("spool.dropped", { events: dropped, droppedSoFar: this.#dropped, bytesMax });
    }
    const full = kept + wanted > bytesMax;
    if (full && !this.#full) log.error("spool.full", { bytes: kept, bytesMax });
    this.#full = full;
    if (!full) return lines;
    const ended = lines.filter((line) => line.ended);
    this.#dropped += lines.length - ended.length;
    return ended;
  }

  // ---- to the region ----

  async #send(): Promise<void> {
    const { backoff, rng, log, gatherMs } = this.#options;
    let batchMax = EVENTS_PER_BATCH_MAX;
    let failures = 0;
    while (!this.#stopped) {
      this.#news = false;
      const batch = await this.#nextBatch(batchMax).catch((error: unknown) => {
        log.error("spool.unreadable", { detail: messageOf(error) });
        return "unreadable" as const;
      });
      if (batch === "unreadable") {
        if (this.#closed) return;
        await this.#pause(backoff.waitMsMax);
        continue;
      }
      if (batch === undefined) {
        if (this.#closed) return;
        await this.#pause(undefined);
        continue;
      }
      const stored = batch.events.length === 0 ? ALREADY : await this.#publish(batch.events);
      if (stored.ok) {
        if (failures > 0) log.info("spool.sending", { waiting: this.state().events });
        failures = 0;
        const roomLeft = batch.lines < batchMax;
        batchMax = EVENTS_PER_BATCH_MAX;
        await this.#advance(batch);
        this.#settled(batch.events);
        // The first of a burst goes at once; a request for each event after it would cost both ends more than the event.
        if (roomLeft) await this.#pause(gatherMs);
      } else if (stored.failure.code === "events.refused") {
        // One that makes no sense to the region must not hold up the others: halve until it stands alone.
        if (batch.events.length > 1) batchMax = Math.ceil(batch.events.length / 2);
        else {
          batchMax = EVENTS_PER_BATCH_MAX;
          await this.#setAside(batch, stored.failure.detail);
        }
      } else {
        if (failures === 0) log.warn("spool.region-away", { detail: stored.failure.detail });
        if (this.#closed) return;
        await this.#pause(backoffMs(backoff, failures++, rng));
      }
    }
  }

  /** A publisher that throws has a bug, but calls go on, and their events stay on disk. */
  async #publish(events: readonly CallEvent[]): Promise<Outcome<void, PublishFailure>> {
    try {
      return await this.#options.publisher.publish(events);
    } catch (error) {
      this.#options.log.error("spool.publisher-threw", { error });
      return fail({ code: "events.away", detail: messageOf(error) });
    }
  }

  /** The lines last read from the front segment: a segment is read once, not once per batch. */
  #ahead: { segment: SpoolSegment; generation: number; from: number; lines: readonly SpoolLine[] } | undefined;

  async #nextBatch(eventsMax: number): Promise<Batch | undefined> {
    return this.#exclusively(async () => {
      if (this.#stopped) return undefined;
      const segment = this.#segments.find(({ unsentEvents }) => unsentEvents > 0);
      if (segment === undefined) return undefined;
      const { generation, sentBytes } = segment;
      let ahead = this.#ahead;
      if (
        ahead?.segment !== segment ||
        ahead.generation !== generation ||
        ahead.from !== sentBytes ||
        ahead.lines.length === 0
      )
        ahead = { segment, generation, from: sentBytes, lines: await segment.unsent() };
      const lines = ahead.lines.slice(0, eventsMax);
      const bytes = sumOf(lines);
      this.#ahead = { ...ahead, from: ahead.from + bytes, lines: ahead.lines.slice(lines.length) };
      const events = lines.map(eventOf).filter((event) => event !== undefined);
      const damaged = lines.length - events.length;
      if (lines.length === 0) this.#options.log.error("spool.vanished", { path: segment.path });
      if (damaged > 0) this.#options.log.error("spool.damaged", { lines: damaged, path: segment.path });
      return { segment, generation, lines: lines.length, bytes, events };
    });
  }

  /** (b) */
  #advance(batch: Batch): Promise<void> {
    return this.#exclusively(async () => {
      const { segment } = batch;
      if (this.#stopped || segment.generation !== batch.generation) return; // rewritten meanwhile: what is left of it goes again
      segment.sentBytes += batch.bytes;
      // Lines that vanished from the file would otherwise be waited for for ever.
      segment.sentEvents = batch.lines === 0 ? segment.events : segment.sentEvents + batch.lines;
      if (segment.unsentEvents === 0 && !segment.writable) await this.#forget(segment);
    });
  }

  async #setAside(batch: Batch, detail: string): Promise<void> {
    const { dir, log } = this.#options;
    const [event] = batch.events;
    log.error("spool.refused", { eventId: event?.id, name: event?.name, detail });
    try {
      const path = join(dir, "refused.ndjson");
      const { size } = await stat(path).catch(() => ({ size: 0 }));
      if (size < REFUSED_BYTES_MAX) await appendFile(path, `${JSON.stringify(event)}\n`, { mode: 0o600, flush: true });
      await this.#advance(batch);
      this.#settled(batch.events);
    } catch (error) {
      log.error("spool.unwritable", { detail: messageOf(error) });
      if (!this.#closed) await this.#pause(this.#options.backoff.waitMsMax);
    }
  }

  #settled(events: readonly CallEvent[]): void {
    for (const listener of this.#listeners) listener(events);
  }

  async #forget(segment: SpoolSegment): Promise<void> {
    this.#segments.splice(this.#segments.indexOf(segment), 1);
    await segment.remove();
  }

  /** Until something was appended, if no time is given; closing ends it at once. */
  #pause(forMs: number | undefined): Promise<void> {
    return new Promise((resolve) => {
      if (this.#closed || (forMs === undefined && this.#news)) return resolve();
      const timer = forMs === undefined ? undefined : setTimeout(resolve, forMs);
      this.#wakeSender = () => {
        if (forMs !== undefined && !this.#closed) return; // backing off: new events do not bring the region back
        clearTimeout(timer);
        resolve();
      };
    });
  }

  #exclusively<Result>(work: () => Promise<Result>): Promise<Result> {
    const result = this.#turn.then(work);
    this.#turn = result.catch(() => {});
    return result;
  }
}

interface Batch {
  readonly segment: SpoolSegment;
  readonly generation: number;
  readonly lines: number;
  readonly bytes: number;
  readonly events: readonly CallEvent[];
}

const ALREADY = { ok: true, value: undefined } as const;

function newCommit(): Commit {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  return { lines: [], done: quietly(promise), resolve, reject };
}

/** Whoever does not wait for it is not brought down by it. */
function quietly(promise: Promise<void>): Promise<void> {
  promise.catch(() => {});
  return promise;
}

async function withinMs(msMax: number, work: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, msMax);
  });
  await Promise.race([work, late]);
  clearTimeout(timer);
}

const sumOf = (things: readonly { readonly bytes: number }[]): number =>
  things.reduce((sum, { bytes }) => sum + bytes, 0);

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** A new file is on disk once its folder is. */
async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
