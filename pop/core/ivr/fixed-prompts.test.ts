import assert from "node:assert/strict";
import { test } from "node:test";
import { asId } from "../../../kernel/ids.ts";
import { fixedPrompts } from "./fixed-prompts.ts";
import type { Flow } from "./flow.ts";

test("what is known before the call, each once: no text that names a variable", () => {
  const welcome = { kind: "text", text: "Welcome." } as const;
  const again = { kind: "text", text: "Once more." } as const;
  const music = { kind: "file", name: "music/default" } as const;
  const flow: Flow = {
    id: asId<"flow">("f"),
    tenantId: asId<"tenant">("acme"),
    version: 1,
    start: "hello",
    variables: {},
    activities: {
      hello: {
        kind: "play",
        prompts: [welcome, { kind: "text", text: "You are {{ name }}" }],
        next: "menu",
        onFailure: undefined,
      },
      menu: {
        kind: "menu",
        prompts: [welcome],
        choices: {},
        timeoutMs: 1,
        attemptsMax: 1,
        noMatchPrompts: [again],
        onNoInput: undefined,
        onNoMatch: undefined,
        onFailure: undefined,
      },
      queue: {
        kind: "queue",
        queueId: asId<"queue">("q"),
        music,
        messages: [],
        messageIntervalMs: 1,
        waitMsMax: 0,
        onWaitExceeded: undefined,
        priority: 0,
        next: undefined,
        onFailure: undefined,
      },
      bye: { kind: "disconnect", onFailure: undefined },
    },
  };
  assert.deepEqual(fixedPrompts([flow, flow]), [welcome, again, music]);
});
