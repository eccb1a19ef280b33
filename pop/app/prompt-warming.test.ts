import assert from "node:assert/strict";
import { test } from "node:test";
import { silentLog } from "../../kernel/log.ts";
import { fail, succeed } from "../../kernel/outcome.ts";
import type { Prompt } from "../core/media/prompt.ts";
import { EXAMPLE } from "../core/routing/example-snapshot.ts";
import { PromptWarming } from "./prompt-warming.ts";

const settled = async () => {
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
};

test("one prompt at a time, a failed one holds up nothing, and a newer snapshot takes the place of the rest", async () => {
  const asked: string[] = [];
  let atOnce = 0;
  let rest: (() => void)[] = [];
  const promptsOf = (tenant: string) => ({
    async resolve(prompt: Prompt) {
      asked.push(`${tenant} ${prompt.kind === "text" ? prompt.text : prompt.name}`);
      assert.equal(++atOnce, 1);
      await new Promise((resolve) => setImmediate(resolve));
      atOnce--;
      return asked.length === 1
        ? fail({ code: "prompt.speech-failed", detail: "no voice" } as const)
        : succeed({ kind: "file", path: "/x", durationMs: 1 } as const);
    },
  });
  const later = (_ms: number, run: () => void) => {
    rest.push(run);
    return { cancel() {} };
  };
  const warming = new PromptWarming(promptsOf, later, silentLog);
  const goOn = async () => {
    const due = rest;
    rest = [];
    for (const run of due) run();
    await settled();
  };
  warming.applied(EXAMPLE);
  await settled();
  assert.equal(asked.length, 0, "calls that are taken up come first");
  await goOn();
  assert.equal(asked.length, 1, "the next waits for its rest");
  await goOn();
  assert.equal(asked.length, 2);
  warming.applied({
    ...EXAMPLE,
    version: 2,
    flows: [],
    queues: [],
    tenants: EXAMPLE.tenants.slice(0, 1),
  });
  for (let turn = 0; turn < 10; turn++) await goOn();
  assert.equal(asked.at(-1)?.split(" ")[1], "music/default");
  const all = asked.length;
  await goOn();
  assert.equal(asked.length, all);
});
