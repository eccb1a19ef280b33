import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { asId, type CallId } from "../../kernel/ids.ts";
import { fail, type Outcome, succeed } from "../../kernel/outcome.ts";
import type { Snapshot, SnapshotMistake } from "../core/routing/snapshot.ts";
import type { RegionCommand, RegionLink, RegionLinkHost, SnapshotRefused } from "./region-link.ts";
import { SNAPSHOT } from "./snapshot-store.contract.ts";

export type HeardReport =
  | { readonly kind: "hello"; readonly appliedVersion: number }
  | { readonly kind: "applied"; readonly version: number }
  | { readonly kind: "refused"; readonly version: number; readonly mistakes: readonly SnapshotMistake[] }
  | { readonly kind: "presence"; readonly calls: number; readonly draining: boolean }
  | { readonly kind: "command-done"; readonly id: string; readonly reason: string | undefined };

/** A link and its region, which hears and says what the test wants. */
export interface RegionLinkWorld {
  readonly link: RegionLink;
  /** The next report of this kind, those of other kinds before it left where they are. */
  heard<Kind extends HeardReport["kind"]>(kind: Kind): Promise<Extract<HeardReport, { kind: Kind }>>;
  send(snapshot: Snapshot): void;
  /** One that lacks the id of its first tenant. */
  sendUnreadable(version: number): void;
  command(id: string, command: RegionCommand): void;
  goAway(): Promise<void>;
  comeBack(): Promise<void>;
  close(): Promise<void>;
}

/** A POP that applies every snapshot with flows and refuses others. */
export class ScriptedHost implements RegionLinkHost {
  heldCalls(): readonly CallId[] {
    return [asId<"call">("c1")];
  }

  readonly applied: number[] = [];
  readonly commands: RegionCommand[] = [];
  calls = 2;
  draining = false;

  appliedVersion(): number {
    return this.applied.at(-1) ?? 3; // 3: from disk
  }
  apply(snapshot: Snapshot): Outcome<void, SnapshotRefused> {
    if (snapshot.flows.length === 0)
      return fail({ code: "snapshot.refused", mistakes: [{ path: "flows", message: "none" }] });
    this.applied.push(snapshot.version);
    return succeed(undefined);
  }
  command(command: RegionCommand): string | undefined {
    this.commands.push(command);
    return command.kind === "hang-up" ? "call.unknown" : undefined;
  }
  presence() {
    return { calls: this.calls, draining: this.draining };
  }
}

/** What every RegionLink must do; each adapter's test file calls this. */
export function regionLinkContract(name: string, open: () => Promise<RegionLinkWorld>): void {
  describe(`${name} is a RegionLink`, () => {
    let world: RegionLinkWorld;
    const host = new ScriptedHost();
    before(async () => {
      world = await open();
    });
    after(async () => {
      await world.link.close();
      await world.close();
    });

    test("the first thing said is the version that serves calls", async () => {
      assert.equal(world.link.linked(), false);
      world.link.start(host);
      assert.deepEqual(await world.heard("hello"), { kind: "hello", appliedVersion: 3 });
    });

    test("presence follows the welcome, and then comes again and again", async () => {
      assert.deepEqual(await world.heard("presence"), { kind: "presence", calls: 2, draining: false });
      assert.equal(world.link.linked(), true);
      host.calls = 5;
      host.draining = true;
      while ((await world.heard("presence")).calls !== 5);
    });

    test("a newer snapshot is applied and answered", async () => {
      world.send({ ...SNAPSHOT, version: 4 });
      assert.deepEqual(await world.heard("applied"), { kind: "applied", version: 4 });
      assert.deepEqual(host.applied, [4]);
    });

    test("the same one again is answered again, and not applied again", async () => {
      world.send({ ...SNAPSHOT, version: 4 });
      assert.deepEqual(await world.heard("applied"), { kind: "applied", version: 4 });
      assert.deepEqual(host.applied, [4]);
    });

    test("one that the POP cannot use is refused with its mistakes, and nothing changes", async () => {
      world.send({ ...SNAPSHOT, version: 5, flows: [] });
      const refused = await world.heard("refused");
      assert.deepEqual(refused, { kind: "refused", version: 5, mistakes: [{ path: "flows", message: "none" }] });
      assert.equal(host.appliedVersion(), 4);
    });

    test("one that cannot be read is refused with where it is wrong", async () => {
      world.sendUnreadable(6);
      const { version, mistakes } = await world.heard("refused");
      assert.equal(version, 6);
      assert.deepEqual(
        mistakes.map(({ path }) => path),
        ["tenants[0].id"],
      );
    });

    test("an older one is refused: the applied version never goes back", async () => {
      world.send({ ...SNAPSHOT, version: 2 });
      const { version, mistakes } = await world.heard("refused");
      assert.deepEqual([version, mistakes.map(({ path }) => path)], [2, ["version"]]);
      assert.deepEqual(host.applied, [4]);
    });

    test("a command is performed once, however often it comes, and answered each time", async () => {
      world.command("c-1", { kind: "drain", on: true });
      world.command("c-1", { kind: "drain", on: true });
      const done = { kind: "command-done", id: "c-1", reason: undefined };
      assert.deepEqual([await world.heard("command-done"), await world.heard("command-done")], [done, done]);
      assert.deepEqual(host.commands, [{ kind: "drain", on: true }]);
    });

    test("what cannot be done is answered with why", async () => {
      world.command("c-2", { kind: "hang-up", callId: asId<"call">("nobody") });
      assert.deepEqual(await world.heard("command-done"), { kind: "command-done", id: "c-2", reason: "call.unknown" });
    });

    test("with the region gone and back it says hello with the version applied meanwhile", async () => {
      await world.goAway();
      await world.comeBack();
      assert.deepEqual(await world.heard("hello"), { kind: "hello", appliedVersion: 4 });
      world.send({ ...SNAPSHOT, version: 9 });
      assert.deepEqual(await world.heard("applied"), { kind: "applied", version: 9 });
    });

    test("closed, it is not linked, and closing again is harmless", async () => {
      await world.link.close();
      assert.equal(world.link.linked(), false);
      await world.link.close();
    });
  });
}
