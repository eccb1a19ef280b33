import assert from "node:assert/strict";
import { test } from "node:test";
import { asId } from "../../../kernel/ids.ts";
import { mediaRelayContract } from "../../boundary/media-relay.contract.ts";
import { MemoryMediaRelay } from "./media-relay.ts";

mediaRelayContract("the relay in memory", async () => new MemoryMediaRelay());

test("the relay in memory presses keys and fails as told", async () => {
  const relay = new MemoryMediaRelay();
  const call = asId<"call">("call-1");
  const heard: unknown[] = [];
  relay.onDtmf((event) => heard.push(event));
  relay.press(call, "caller", "5");
  assert.deepEqual(heard, [{ call, side: "caller", digit: "5", durationMs: 100 }]);
  relay.failNext("health", { code: "media.relay-away", command: "ping", waitedMs: 1_000 });
  assert.equal((await relay.health()).ok, false);
  assert.equal((await relay.health()).ok, true);
});
