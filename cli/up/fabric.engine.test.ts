// The fabric as it is: real namespaces, real routes, real packets between them.

import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readlinkSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";

const skip =
  process.getuid?.() !== 0
    ? "network namespaces need root"
    : spawnSync("unshare", ["-n", "true"]).status !== 0
      ? "network namespaces cannot be made here"
      : false;

const A = "fra-01-a";
const B = "fra-01-b";
const MANAGEMENT = { [A]: "10.10.0.11", [B]: "10.10.0.12" } as const;
const SERVICE = { [A]: "10.10.1.11", [B]: "10.10.1.12" } as const;
const PORT = 5_060;

/** Runs in a namespace of its own, which is the fabric; does as it is told, line by line, and answers each. */
const FABRIC = `
import { createInterface } from "node:readline";
import { Fabric, isOwnNamespace } from ${JSON.stringify(join(import.meta.dirname, "fabric.ts"))};
const say = (what) => process.stdout.write(JSON.stringify(what) + "\\n");
const [A, B, MANAGEMENT, SERVICE] = ${JSON.stringify([A, B, MANAGEMENT, SERVICE])};
const hosts = [A, B].map((hostId) => ({ hostId, managementAddress: MANAGEMENT[hostId], serviceAddresses: [SERVICE[A], SERVICE[B]] }));
const fabric = await Fabric.open({ addresses: ["10.10.0.1"], hosts, services: new Map(Object.entries(SERVICE)) });
say({ own: isOwnNamespace(), places: Object.fromEntries([A, B].map((host) => [host, fabric.placeOf(host)])) });
createInterface({ input: process.stdin }).on("line", async (line) => {
  const [what, host] = line.split(" ");
  try {
    if (what === "cut") await fabric.cut(host);
    if (what === "heal") await fabric.heal(host);
    if (what === "close") await fabric.close();
    say({ done: line });
    if (what === "close") process.exit(0);
  } catch (error) {
    say({ failed: String(error) });
  }
});
`;

interface Place {
  readonly inside: readonly string[];
  readonly addressMover: { readonly fabric: string; readonly device: string; readonly via: string };
}

const GREETER = (who: typeof A | typeof B) =>
  `for (const host of ${JSON.stringify([...Object.values(SERVICE), MANAGEMENT[who]])}) require("net").createServer((s)=>s.on("error",()=>{}).end("${who}")).listen(${PORT},host,()=>console.log("up"))`;
const ASKER = (address: string) =>
  `require("net").connect(${PORT},"${address}").setTimeout(700,()=>process.exit(1)).on("error",()=>process.exit(1)).pipe(process.stdout)`;

test("a fabric of two hosts: addresses lead home, move, are cut off and healed; nothing is seen outside, nothing is left", {
  skip,
}, async () => {
  const outside = spawnSync("ip", ["-brief", "link"], { encoding: "utf8" }).stdout;
  const children: ChildProcess[] = [];
  try {
    const fabric = spawn("unshare", ["-n", process.execPath, "--input-type=module", "-e", FABRIC], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    children.push(fabric);
    const lines = createInterface({ input: fabric.stdout })[Symbol.asyncIterator]();
    const heard = async () => JSON.parse(String((await lines.next()).value));
    const tell = async (what: string) => {
      fabric.stdin.write(`${what}\n`);
      assert.deepEqual(await heard(), { done: what });
    };
    const { own, places } = (await heard()) as { own: boolean; places: Record<string, Place> };
    assert.equal(own, true, "only its own links are in it");
    const [atA, atB] = [places[A], places[B]];
    assert.ok(atA !== undefined && atB !== undefined);
    for (const [who, { inside }] of [
      [A, atA],
      [B, atB],
    ] as const) {
      const [command = "", ...args] = [...inside, process.execPath, "-e", GREETER(who)];
      const greeter = spawn(command, args, { stdio: ["ignore", "pipe", "inherit"] });
      children.push(greeter);
      await once(greeter.stdout, "data");
    }
    const run = (inside: readonly string[], ...words: readonly string[]) => {
      const [command = "", ...args] = [...inside, ...words];
      return spawnSync(command, args, { encoding: "utf8" });
    };
    const outer = ["nsenter", `--net=${atA.addressMover.fabric}`, "--"];
    const whoAt = (address: string) => run(outer, process.execPath, "-e", ASKER(address)).stdout || "nobody";

    assert.deepEqual([whoAt(SERVICE[A]), whoAt(SERVICE[B])], [A, B], "each begins at home");
    assert.equal(run(atA.inside, process.execPath, "-e", ASKER(MANAGEMENT[B])).stdout, B, "hosts reach each other");

    const { device, via } = atB.addressMover;
    const move = ["ip", "route", "replace", `${SERVICE[A]}/32`, "via", via, "dev", device];
    assert.equal(run(outer, ...move).status, 0);
    assert.equal(whoAt(SERVICE[A]), B, "as an address is associated anew in a cloud");

    await tell(`cut ${B}`);
    await tell(`cut ${B}`); // twice is once
    assert.deepEqual([whoAt(SERVICE[A]), whoAt(SERVICE[B])], ["nobody", "nobody"]);
    const taken = [
      "ip",
      "route",
      "replace",
      `${SERVICE[A]}/32`,
      "via",
      atA.addressMover.via,
      "dev",
      atA.addressMover.device,
    ];
    assert.equal(run(outer, ...taken).status, 0);
    await tell(`heal ${B}`);
    assert.deepEqual([whoAt(SERVICE[A]), whoAt(SERVICE[B])], [A, B], "what another has taken meanwhile stays there");

    const holders = Object.values(places).map(({ inside }) => /\/proc\/(\d+)\//.exec(inside[1] ?? "")?.[1]);
    await tell("close");
    await once(fabric, "exit");
    for (const pid of holders) assert.throws(() => readlinkSync(`/proc/${pid}/ns/net`), `${pid} is still there`);
    assert.equal(spawnSync("ip", ["-brief", "link"], { encoding: "utf8" }).stdout, outside);
  } finally {
    for (const child of children) child.kill("SIGKILL");
  }
});
