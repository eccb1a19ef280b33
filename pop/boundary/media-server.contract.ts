import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { asId, type CallId } from "../../kernel/ids.ts";
import type { Outcome } from "../../kernel/outcome.ts";
import type { PlayId, PromptRef } from "../core/media/prompt.ts";
import type { MediaServer, Played } from "./media-server.ts";

export interface MediaServerUnderTest {
  readonly server: MediaServer;
  /** Lets what plays once come to its end: time does, or in memory the test. */
  finish(call: CallId): void;
  /** A prompt file that exists, and its length. */
  readonly file: { readonly ref: PromptRef; readonly durationMs: number };
  close(): Promise<void>;
}

/** Nobody listens there. */
const SENDS_TO = { host: "127.0.0.1", port: 9 };
const TONE: PromptRef = { kind: "tone", hz: 440, ms: 100 };
const MUSIC: readonly PromptRef[] = [{ kind: "tone", hz: 440, ms: 10_000 }];

let count = 0;
const newCall = (): CallId => asId<"call">(`contract-${++count}`);
const newPlay = (): PlayId => asId<"play">(`play-${++count}`);

function gained<Value>(outcome: Outcome<Value, unknown>): Value {
  if (!outcome.ok) assert.fail(`failed: ${JSON.stringify(outcome.failure)}`);
  return outcome.value;
}

const codeOf = (outcome: Outcome<unknown, { readonly code: string }>): string =>
  outcome.ok ? "ok" : outcome.failure.code;

/** What every MediaServer must do; each adapter's test calls this. */
export function mediaServerContract(name: string, start: () => Promise<MediaServerUnderTest>): void {
  describe(`${name} is a MediaServer`, () => {
    let under: MediaServerUnderTest;
    let server: MediaServer;
    const ends: Played[] = [];
    const waiting: { readonly told: () => boolean; readonly resolve: () => void }[] = [];

    before(async () => {
      under = await start();
      server = under.server;
      server.onPlayed((event) => {
        ends.push(event);
        for (const { told, resolve } of waiting) if (told()) resolve();
      });
    });
    after(() => under.close());

    test("asked for again, what plays under that name plays on, and what has ended is told to have", async () => {
      const call = newCall();
      const name = newPlay();
      gained(await server.open(call));
      gained(await server.connect(call, SENDS_TO));
      gained(await server.play(call, name, MUSIC, "forever"));
      gained(await server.play(call, name, MUSIC, "forever", 5_000));
      gained(await server.stop(call));
      assert.equal((await ended(name)).how, "stopped");
      const short = newPlay();
      gained(await server.play(call, short, [TONE], "once"));
      under.finish(call);
      assert.equal((await ended(short)).how, "finished");
      const before = endsOf(short).length;
      gained(await server.play(call, short, [TONE], "once", 40));
      assert.deepEqual(
        endsOf(short)
          .slice(before)
          .map(({ how }) => how),
        ["finished"],
      );
      await server.close(call);
    });

    test("a call is taken up by what was saved of it", async () => {
      const call = newCall();
      const address = gained(await server.open(call));
      gained(await server.connect(call, SENDS_TO));
      assert.deepEqual(server.sendsTo(call), SENDS_TO);
      const saved = JSON.parse(JSON.stringify(server.saved(call)));
      server.restore(call, saved);
      assert.deepEqual(server.sendsTo(call), SENDS_TO);
      assert.deepEqual(gained(await server.open(call)), address);
      gained(await server.hush(call));
      assert.equal(server.sendsTo(call), undefined);
      await server.close(call);
      assert.equal(server.saved(call), undefined);
    });

    const endsOf = (play: PlayId) => ends.filter((event) => event.play === play);
    const ended = async (play: PlayId): Promise<Played> => {
      const told = () => endsOf(play).length > 0;
      if (!told()) await new Promise<void>((resolve) => waiting.push({ told, resolve }));
      assert.equal(endsOf(play).length, 1, "exactly one end of a play");
      return endsOf(play)[0] as Played;
    };
    const connected = async (): Promise<CallId> => {
      const call = newCall();
      gained(await server.open(call));
      gained(await server.connect(call, SENDS_TO));
      return call;
    };

    test("it is in good health", async () => {
      assert.ok((await server.health()).ok);
    });

    test("a call that is opened twice has one endpoint, two calls have two", async () => {
      const [one, other] = [newCall(), newCall()];
      const address = gained(await server.open(one));
      assert.deepEqual(gained(await server.open(one)), address);
      assert.notDeepEqual(gained(await server.open(other)), address);
      assert.equal(address.port % 2, 0);
      await server.close(one);
      await server.close(other);
    });

    test("what is not open cannot be connected, played to, stopped or hushed", async () => {
      const call = newCall();
      assert.equal(codeOf(await server.connect(call, SENDS_TO)), "media.not-open");
      assert.equal(codeOf(await server.play(call, newPlay(), [TONE], "once")), "media.not-open");
      assert.equal(codeOf(await server.stop(call)), "media.not-open");
      assert.equal(codeOf(await server.hush(call)), "media.not-open");
    });

    test("a play says how long it is, and ends by itself, once", async () => {
      const call = await connected();
      const play = newPlay();
      const items: readonly PromptRef[] = [TONE, { kind: "silence", ms: 60 }];
      assert.deepEqual(gained(await server.play(call, play, items, "once")), { durationMs: 160 });
      under.finish(call);
      assert.deepEqual(await ended(play), { call, play, how: "finished", atMs: 160 });
      await server.close(call);
      assert.equal(endsOf(play).length, 1);
    });

    test("a play may begin in its middle", async () => {
      const call = await connected();
      const play = newPlay();
      assert.deepEqual(gained(await server.play(call, play, [TONE], "once", 60)), { durationMs: 100 });
      under.finish(call);
      assert.deepEqual(await ended(play), { call, play, how: "finished", atMs: 40 });
      await server.close(call);
    });

    test("a prompt file has its length", async () => {
      const call = await connected();
      const { durationMs } = gained(await server.play(call, newPlay(), [under.file.ref], "forever"));
      assert.equal(durationMs, under.file.durationMs);
      await server.close(call);
    });

    test("stop ends the play; stopping what does not play is no failure", async () => {
      const call = await connected();
      const play = newPlay();
      gained(await server.play(call, play, MUSIC, "forever"));
      gained(await server.stop(call));
      assert.equal((await ended(play)).how, "stopped");
      assert.deepEqual(gained(await server.stop(call)), { atMs: 0 });
      await server.close(call);
    });

    test("a play replaces another, close ends it, hush ends it", async () => {
      const call = await connected();
      const [first, second, third] = [newPlay(), newPlay(), newPlay()];
      gained(await server.play(call, first, MUSIC, "forever"));
      gained(await server.play(call, second, MUSIC, "once"));
      assert.equal((await ended(first)).how, "stopped");
      gained(await server.hush(call));
      assert.equal((await ended(second)).how, "stopped");
      gained(await server.play(call, third, MUSIC, "once"));
      await server.close(call);
      assert.equal((await ended(third)).how, "stopped");
      assert.equal(codeOf(await server.stop(call)), "media.not-open");
    });

    test("close may be repeated, and may come first", async () => {
      const call = newCall();
      await server.close(call);
      gained(await server.open(call));
      await server.close(call);
      await server.close(call);
    });
  });
}
