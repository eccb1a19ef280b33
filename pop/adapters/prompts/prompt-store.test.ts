import assert from "node:assert/strict";
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, test } from "node:test";
import type { Outcome } from "../../../kernel/outcome.ts";
import { findAudio } from "../../../loadtest/rtp-probe/similarity.ts";
import { decodeG711 } from "../../core/media/g711.ts";
import { holdMusic } from "../../core/media/hold-music.ts";
import { toneSamples, toneShare } from "../../core/media/tone.ts";
import { writeWav } from "../../core/media/wav.ts";
import { FilePromptStore, type PromptStoreOptions } from "./prompt-store.ts";
import { SPEECH_LIMITS, Speech } from "./speech.ts";

function gained<Value>(outcome: Outcome<Value, unknown>): Value {
  if (!outcome.ok) assert.fail(`failed: ${JSON.stringify(outcome.failure)}`);
  return outcome.value;
}

describe("the prompt store", () => {
  let root: string;
  let folder: string;
  let cacheFolder: string;
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), "tollgate-prompts-"));
    folder = join(root, "acme");
    cacheFolder = join(root, "cache");
    mkdirSync(join(folder, "menu"), { recursive: true });
  });
  afterEach(() => rmSync(root, { recursive: true, force: true }));

  const store = (options: Partial<PromptStoreOptions> = {}) => new FilePromptStore({ folder, cacheFolder, ...options });
  const put = (name: string, bytes: Uint8Array | string) => writeFileSync(join(folder, name), bytes);
  const heard = (path: string) => decodeG711("PCMU", readFileSync(path));
  const pathOf = (ref: { kind: string; path?: string }) => ref.path ?? assert.fail("no file");

  test("a WAV file of any usual rate becomes 8 kHz mu-law of the same length", async () => {
    for (const sampleHz of [8_000, 16_000, 44_100, 48_000]) {
      put("menu/main.wav", writeWav({ samples: toneSamples(440, 500, sampleHz), sampleHz }));
      const prompt = gained(await store().resolve({ kind: "file", name: "menu/main" }));
      assert.equal(prompt.durationMs, 500);
      assert.ok(toneShare(heard(pathOf(prompt)), 440) > 0.99);
    }
  });

  test("the same file is converted once, a changed file again, under another name", async () => {
    const prompts = store();
    put("a.wav", writeWav({ samples: toneSamples(440, 100), sampleHz: 8_000 }));
    const [one, other] = await Promise.all([
      prompts.resolve({ kind: "file", name: "a" }),
      prompts.resolve({ kind: "file", name: "a.wav" }),
    ]);
    assert.deepEqual(gained(one), gained(other));
    assert.deepEqual(readdirSync(cacheFolder).length, 1);
    put("a.wav", writeWav({ samples: toneSamples(880, 200), sampleHz: 8_000 }));
    const changed = gained(await prompts.resolve({ kind: "file", name: "a" }));
    assert.equal(changed.durationMs, 200);
    assert.notEqual(pathOf(changed), pathOf(gained(one)));
  });

  test("a bad file says what is wrong with it, every time", async () => {
    const prompts = store();
    put("bad.wav", "OggS, in truth");
    for (let time = 0; time < 2; time++)
      assert.deepEqual(await prompts.resolve({ kind: "file", name: "bad" }), {
        ok: false,
        failure: { code: "prompt.unreadable", name: "bad", detail: "not a WAV file" },
      });
    put("long.wav", writeWav({ samples: new Int16Array(601 * 8_000), sampleHz: 8_000 }));
    assert.deepEqual(await prompts.resolve({ kind: "file", name: "long" }), {
      ok: false,
      failure: { code: "prompt.too-long", name: "long", secondsMax: 600 },
    });
  });

  test("no name leads out of the tenant's folder", async () => {
    writeFileSync(join(root, "secret.wav"), writeWav({ samples: toneSamples(440, 100), sampleHz: 8_000 }));
    for (const name of [
      "../secret",
      "menu/../../secret",
      "/etc/passwd",
      "",
      ".",
      "menu/.hidden",
      "a\0b",
      "x".repeat(200),
      "missing",
    ])
      assert.deepEqual(await store().resolve({ kind: "file", name }), {
        ok: false,
        failure: { code: "prompt.not-found", name },
      });
  });

  test("there is music without a file of it, and a file of that name takes its place", async () => {
    const builtIn = gained(await store().resolve({ kind: "file", name: "music/default" }));
    assert.equal(builtIn.durationMs, 16_000);
    assert.ok(findAudio(heard(pathOf(builtIn)), holdMusic().subarray(0, 16_000)).score > 0.99);
    mkdirSync(join(folder, "music"));
    put("music/default.wav", writeWav({ samples: toneSamples(440, 100), sampleHz: 8_000 }));
    assert.equal(gained(await store().resolve({ kind: "file", name: "music/default" })).durationMs, 100);
  });

  test("the cache gives up what was used least recently, and makes it again when asked", async () => {
    const prompts = store({ cacheBytesMax: 2_000 });
    for (const [at, hz] of [300, 400, 500, 600].entries())
      put(`${at}.wav`, writeWav({ samples: toneSamples(hz, 100), sampleHz: 8_000 }));
    for (const name of ["0", "1", "2", "3", "0"]) {
      const prompt = gained(await prompts.resolve({ kind: "file", name }));
      assert.equal(heard(pathOf(prompt)).length, 800);
    }
    assert.ok(readdirSync(cacheFolder).length <= 3);
  });

  test("a cache that cannot be written is a failure, not an exception", async () => {
    writeFileSync(cacheFolder, "a file where the folder should be");
    const failed = await store().resolve({ kind: "file", name: "music/default" });
    assert.equal(failed.ok ? "" : failed.failure.code, "prompt.store-away");
  });

  describe("with a speech engine", () => {
    const engine = (script: string): string => {
      const path = join(root, "engine.sh");
      writeFileSync(path, `#!/bin/sh\n${script}\n`);
      chmodSync(path, 0o700);
      return path;
    };
    const spoken = () => {
      const path = join(root, "spoken.wav");
      writeFileSync(path, writeWav({ samples: toneSamples(300, 400, 22_050), sampleHz: 22_050 }));
      return path;
    };
    const text = (words: string, language?: string) =>
      language === undefined
        ? ({ kind: "text", text: words } as const)
        : ({ kind: "text", text: words, language } as const);

    test("a text is spoken once for each voice, and never seen by a shell or as an option", async () => {
      const log = join(root, "log");
      const command = engine(`echo "$@" >> ${log}; cat >> ${log}; echo >> ${log}; cat ${spoken()}`);
      const prompts = store({ speech: new Speech(command) });
      const words = "-v $(touch /tmp/no) `id`; 'quoted'\u0007";
      const first = gained(await prompts.resolve(text(words)));
      assert.equal(first.durationMs, 400);
      assert.deepEqual(gained(await prompts.resolve(text(words))), first);
      gained(await prompts.resolve(text(words, "de")));
      assert.deepEqual(readFileSync(log, "utf8").trim().split("\n"), [
        "--stdin --stdout -b 1 -v en -s 155",
        "-v $(touch /tmp/no) `id`; 'quoted'",
        "--stdin --stdout -b 1 -v de -s 155",
        "-v $(touch /tmp/no) `id`; 'quoted'",
      ]);
    });

    test("a voice of the language stands in for one of the country", async () => {
      const command = engine(
        `cat >/dev/null; case "$*" in *de-de*) echo "no such voice" >&2; exit 1;; esac; cat ${spoken()}`,
      );
      assert.ok((await store({ speech: new Speech(command) }).resolve(text("Guten Tag", "de-DE"))).ok);
    });

    test("what cannot be spoken fails, and says why", async () => {
      const failureOf = async (speech: Speech, words: string, language?: string) => {
        const outcome = await store({ speech }).resolve(text(words, language));
        return outcome.ok ? undefined : outcome.failure;
      };
      const works = new Speech(engine(`cat >/dev/null; cat ${spoken()}`));
      assert.deepEqual(await failureOf(works, " \n"), {
        code: "prompt.text-unusable",
        detail: "nothing to say",
        charactersMax: 2_000,
      });
      assert.equal((await failureOf(works, "x".repeat(2_001)))?.code, "prompt.text-unusable");
      assert.equal((await failureOf(works, "hello", "--version"))?.code, "prompt.speech-failed");
      assert.deepEqual(await failureOf(new Speech("/nowhere/espeak-ng"), "hello"), {
        code: "prompt.speech-failed",
        detail: "/nowhere/espeak-ng is not installed",
      });
      assert.deepEqual(await failureOf(new Speech(engine("echo no voice >&2; exit 1")), "hello"), {
        code: "prompt.speech-failed",
        detail: "no voice",
      });
      assert.deepEqual(
        await failureOf(new Speech(engine("exec sleep 30"), { ...SPEECH_LIMITS, timeoutMs: 50 }), "hello"),
        {
          code: "prompt.speech-timeout",
          timeoutMs: 50,
        },
      );
    });

    test("only so many speak at once, so many wait, and one more is told so", async () => {
      const limits = { speakingMax: 1, waitingMax: 1, timeoutMs: 5_000 };
      const prompts = store({ speech: new Speech(engine(`cat >/dev/null; cat ${spoken()}`), limits) });
      const outcomes = await Promise.all(["one", "two", "three"].map((words) => prompts.resolve(text(words))));
      assert.deepEqual(outcomes.map((outcome) => (outcome.ok ? "spoken" : outcome.failure.code)).sort(), [
        "prompt.busy",
        "spoken",
        "spoken",
      ]);
      assert.ok((await prompts.resolve(text("four"))).ok);
    });
  });
});
