import assert from "node:assert/strict";
import { test } from "node:test";
import { asId } from "../../../../kernel/ids.ts";
import type { AddressMover } from "../../boundary/address-mover.ts";
import { LocalAddressMover } from "./address-mover.ts";

test("on one machine there is nothing to move", async () => {
  const mover: AddressMover = new LocalAddressMover();
  assert.deepEqual(await mover.take(asId<"pop-host">("fra-01-a")), { ok: true, value: undefined });
});
