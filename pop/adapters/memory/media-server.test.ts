import assert from "node:assert/strict";
import { test } from "node:test";
import { asId } from "../../../kernel/ids.ts";
import { mediaServerContract } from "../../boundary/media-server.contract.ts";
import type { Played } from "../../boundary/media-server.ts";
import { MemoryMediaServer } from "./media-server.ts";

mediaServerContract("the server in memory", async () => {
  const server = new MemoryMediaServer();
  return {
    server,
    finish: (call) => server.finish(call),
    file: { ref: { kind: "file", path: "/prompt.ulaw" }, durationMs: 1_000 },
    close: async () => {},
  };
});

test("losing the server in memory ends its plays, then tells of the loss", async () => {
  const server = new MemoryMediaServer();
  const told: (string | Played)[] = [];
  server.onPlayed((event) => told.push(event));
  server.onLost(() => told.push("lost"));
  const call = asId<"call">("call-1");
  const play = asId<"play">("play-1");
  await server.open(call);
  await server.play(call, play, [{ kind: "silence", ms: 100 }], "forever");
  server.lose();
  assert.deepEqual(told, [{ call, play, how: "lost", atMs: 0 }, "lost"]);
});
