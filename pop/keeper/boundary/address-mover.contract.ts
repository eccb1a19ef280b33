import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { asId, type PopHostId } from "../../../kernel/ids.ts";
import type { AddressMover } from "./address-mover.ts";

export interface OpenAddressMover {
  /** Those of the two hosts that the address may go to. */
  readonly here: AddressMover;
  readonly there: AddressMover;
  readonly service: PopHostId;
  /** Where what is sent to the service's address arrives. */
  at(): Promise<"here" | "there">;
  /** What moves addresses does not answer any more. */
  hang(): Promise<void>;
  /** In which a take must have ended. */
  readonly withinMs: number;
  close(): Promise<void>;
}

/** What every AddressMover that has something to move must do. It begins with the address there. */
export function addressMoverContract(
  name: string,
  open: () => Promise<OpenAddressMover>,
  { skip = false }: { readonly skip?: string | false } = {},
): void {
  const within = async (run: (opened: OpenAddressMover) => Promise<void>) => {
    const opened = await open();
    try {
      await run(opened);
    } finally {
      await opened.close();
    }
  };
  const DONE = { ok: true, value: undefined };

  describe(`${name} is an AddressMover`, { skip }, () => {
    test("taken, it is here; taken by the other, there; as often as they like", () =>
      within(async ({ here, there, service, at }) => {
        assert.equal(await at(), "there");
        for (const [mover, where] of [
          [here, "here"],
          [there, "there"],
          [here, "here"],
        ] as const) {
          assert.deepEqual(await mover.take(service), DONE);
          assert.equal(await at(), where);
        }
      }));

    test("taken twice, it is still here", () =>
      within(async ({ here, service, at }) => {
        assert.deepEqual(await here.take(service), DONE);
        assert.deepEqual(await here.take(service), DONE);
        assert.equal(await at(), "here");
      }));

    test("a service without an address is unknown, and moves nothing", () =>
      within(async ({ here, at }) => {
        const taken = await here.take(asId<"pop-host">("xyz-99-a"));
        assert.deepEqual(taken, { ok: false, failure: { code: "address.unknown", address: "xyz-99-a" } });
        assert.equal(await at(), "there");
      }));

    test("no answer from outside: it says so in time", () =>
      within(async ({ here, service, hang, withinMs }) => {
        await hang();
        const askedAtMs = performance.now();
        const taken = await here.take(service);
        assert.ok(!taken.ok && taken.failure.code === "address.timed-out", JSON.stringify(taken));
        assert.ok(performance.now() - askedAtMs < withinMs + 500);
      }));
  });
}
