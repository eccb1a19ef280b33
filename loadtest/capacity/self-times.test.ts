import assert from "node:assert/strict";
import { test } from "node:test";
import { selfTimes } from "./self-times.ts";

const node = (id: number, functionName: string, url = "", lineNumber = -1) => ({
  id,
  callFrame: { functionName, url, lineNumber },
});

test("a sample stands for the time until the next one; idle time is not in the shares", () => {
  const times = selfTimes(
    {
      nodes: [
        node(1, "(idle)"),
        node(2, "stepCall", "file:///src/tollgate/pop/core/call/call-machine.ts", 41),
        node(3, "stepCall", "file:///src/tollgate/pop/core/call/call-machine.ts", 41),
        node(4, "write", "node:internal/streams/writable", 9),
        node(5, "", "file:///src/tollgate/node_modules/@grpc/grpc-js/build/src/call.js", 0),
        node(6, "(garbage collector)"),
      ],
      samples: [1, 2, 3, 4, 5, 6, 1],
      timeDeltas: [0, 50_000, 10_000, 10_000, 10_000, 5_000, 5_000],
    },
    "/src/tollgate",
  );
  assert.deepEqual([times.wallMs, times.busyMs], [90, 40]);
  assert.deepEqual(
    times.functions.map(({ name, ms }) => [name, ms]),
    [
      ["stepCall  pop/core/call/call-machine.ts:42", 20],
      ["write  node:internal/streams/writable:10", 10],
      ["(anonymous)  @grpc/grpc-js/build/src/call.js:1", 5],
      ["(garbage collector)", 5],
    ],
  );
  assert.deepEqual(
    times.places.map(({ name, share }) => [name, share]),
    [
      ["pop/core/call", 0.5],
      ["node:streams", 0.25],
      ["@grpc/grpc-js", 0.125],
      ["(garbage collector)", 0.125],
    ],
  );
});
