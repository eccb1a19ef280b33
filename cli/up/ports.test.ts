import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { holderOf, occupied, showOccupied } from "./ports.ts";

test("a taken port is named, and so is who has it", async () => {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  try {
    const { port } = server.address() as AddressInfo;
    const asked = { transport: "tcp", host: "127.0.0.1", port, what: "SIP" } as const;
    const [taken] = await occupied([asked]);
    assert.ok(taken !== undefined);
    const said = showOccupied(taken);
    assert.ok(said.startsWith(`127.0.0.1:${port}/tcp (SIP) is in use by process ${process.pid} (`), said);
    // A process that has the port on every address has it on ours, too.
    assert.equal(holderOf({ ...asked, host: "127.0.0.2" }), undefined);
  } finally {
    server.close();
  }
});
