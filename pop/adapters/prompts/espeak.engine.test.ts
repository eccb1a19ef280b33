import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { findAudio } from "../../../loadtest/rtp-probe/similarity.ts";
import { decodeG711 } from "../../core/media/g711.ts";
import { levelOf } from "../../core/media/tone.ts";
import { FilePromptStore } from "./prompt-store.ts";
import { Speech } from "./speech.ts";

const installed = spawnSync("espeak-ng", ["--version"]).error === undefined;
const skip = installed ? false : "espeak-ng is not installed (Debian: espeak-ng)";

test("espeak-ng speaks texts, each its own way", { skip }, async () => {
  const root = mkdtempSync(join(tmpdir(), "tollgate-espeak-"));
  try {
    const store = new FilePromptStore({ folder: root, cacheFolder: join(root, "cache") });
    const say = async (text: string, language?: string) => {
      const said = await store.resolve({ kind: "text", text, ...(language === undefined ? {} : { language }) });
      assert.ok(said.ok && said.value.kind === "file", JSON.stringify(said));
      return decodeG711("PCMU", readFileSync(said.value.path));
    };
    const welcome = await say("Welcome to Acme. For sales, press one.");
    const other = await say("All our agents are busy. Please hold the line.");
    const german = await say("Willkommen bei Acme", "de-DE");
    for (const speech of [welcome, other, german]) {
      assert.ok(speech.length > 8_000);
      assert.ok(levelOf(speech) > 500);
    }
    assert.ok(findAudio(welcome, welcome).score > 0.99);
    assert.ok(findAudio(other, welcome).score < 0.5);
    const missing = await store.resolve({ kind: "text", text: "hello", language: "qq" });
    assert.equal(missing.ok ? "" : missing.failure.code, "prompt.speech-failed");
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
});

test("a text that was spoken leaves nothing in the user's home, nor where temporary files go", { skip }, async () => {
  const root = mkdtempSync(join(tmpdir(), "tollgate-espeak-"));
  const before = { HOME: process.env.HOME, TMPDIR: process.env.TMPDIR };
  const places = { HOME: join(root, "home"), TMPDIR: join(root, "tmp") };
  try {
    for (const place of Object.values(places)) mkdirSync(place);
    Object.assign(process.env, places);
    assert.ok((await new Speech().say("Goodbye", "en")).ok);
    for (const place of Object.values(places)) assert.deepEqual(readdirSync(place), []);
  } finally {
    for (const [name, value] of Object.entries(before))
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    rmSync(root, { recursive: true, force: true });
  }
});
