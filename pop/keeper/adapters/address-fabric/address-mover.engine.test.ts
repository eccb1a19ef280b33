import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdtempSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { asId } from "../../../../kernel/ids.ts";
import { addressMoverContract } from "../../boundary/address-mover.contract.ts";
import { FabricAddressMover } from "./address-mover.ts";

const skip =
  process.getuid?.() !== 0
    ? "network namespaces need root"
    : spawnSync("unshare", ["-n", "true"]).status !== 0
      ? "network namespaces cannot be made here"
      : false;

const SERVICE = asId<"pop-host">("fra-01-a");
const ADDRESS = "10.10.1.11";
const PORT = 5_060;

/** A namespace that is there as long as its process; it does what it is told to, with `sh -c` first. */
async function namespace(command = "exec sleep 60"): Promise<ChildProcess> {
  const child = spawn("unshare", ["-n", "sh", "-c", command], { stdio: ["ignore", "pipe", "inherit"] });
  if (child.pid === undefined) throw new Error("unshare did not start");
  while (readlinkSync(`/proc/${child.pid}/ns/net`) === readlinkSync("/proc/self/ns/net"))
    await new Promise((resolve) => setTimeout(resolve, 5));
  return child;
}

const pathOf = (child: ChildProcess): string => `/proc/${child.pid}/ns/net`;
const inside = (child: ChildProcess, ...command: readonly string[]): string =>
  execFileSync("nsenter", [`--net=${pathOf(child)}`, ...command], { encoding: "utf8" });

/** Says who it is to everybody who connects to the service's address. */
const GREETER = (who: string) =>
  `require("net").createServer((s)=>s.on("error",()=>{}).end("${who}")).listen(${PORT},"${ADDRESS}",()=>console.log("up"))`;
const ASKER = `require("net").connect(${PORT},"${ADDRESS}").setTimeout(2000,()=>process.exit(1)).on("error",()=>process.exit(1)).pipe(process.stdout)`;

async function fabric() {
  const children: ChildProcess[] = [];
  const outer = await namespace();
  children.push(outer);
  for (const [at, who] of ["here", "there"].entries()) {
    const host = await namespace();
    children.push(host);
    const [link, near, far] = [`to-${who}`, `10.10.255.${4 * at + 1}`, `10.10.255.${4 * at + 2}`];
    inside(outer, "ip", "link", "add", link, "type", "veth", "peer", "name", "up0", "netns", String(host.pid));
    inside(outer, "ip", "addr", "add", `${near}/30`, "dev", link);
    inside(outer, "ip", "link", "set", link, "up");
    inside(host, "ip", "link", "set", "lo", "up");
    inside(host, "ip", "addr", "add", `${far}/30`, "dev", "up0");
    inside(host, "ip", "link", "set", "up0", "up");
    inside(host, "ip", "route", "add", "default", "via", near);
    inside(host, "ip", "addr", "add", `${ADDRESS}/32`, "dev", "lo");
    const node = ["nsenter", `--net=${pathOf(host)}`, process.execPath, "-e", GREETER(who)] as const;
    const greeter = spawn(node[0], node.slice(1), { stdio: ["ignore", "pipe", "inherit"] });
    children.push(greeter);
    await once(greeter.stdout, "data");
  }
  inside(outer, "ip", "link", "set", "lo", "up");
  return { outer, children };
}

addressMoverContract(
  "the fabric",
  async () => {
    const { outer, children } = await fabric();
    const dir = mkdtempSync(join(tmpdir(), "tollgate-fabric-"));
    const slow = join(dir, "nsenter");
    writeFileSync(slow, '#!/bin/sh\n[ -e "$0.hangs" ] && exec sleep 30\nexec nsenter "$@"\n');
    chmodSync(slow, 0o700);
    const mover = (device: string, via: string) =>
      new FabricAddressMover({
        fabric: pathOf(outer),
        device,
        via,
        addresses: new Map([[SERVICE, ADDRESS]]),
        nsenter: slow,
      });
    const there = mover("to-there", "10.10.255.6");
    await there.take(SERVICE);
    return {
      here: mover("to-here", "10.10.255.2"),
      there,
      service: SERVICE,
      at: async () => {
        const who = inside(outer, process.execPath, "-e", ASKER);
        assert.ok(who === "here" || who === "there", `nobody answers: ${who}`);
        return who;
      },
      hang: async () => writeFileSync(`${slow}.hangs`, ""),
      withinMs: 500,
      close: async () => {
        for (const child of children) child.kill("SIGKILL");
        rmSync(dir, { recursive: true, force: true });
      },
    };
  },
  { skip },
);

test("a fabric or a device that is not there is refused, with what was said of it", { skip }, async () => {
  const outer = await namespace();
  try {
    const place = { device: "to-nowhere", addresses: new Map([[SERVICE, ADDRESS]]) };
    const noDevice = await new FabricAddressMover({ ...place, fabric: pathOf(outer) }).take(SERVICE);
    assert.ok(!noDevice.ok && noDevice.failure.code === "address.refused");
    assert.match(noDevice.failure.detail, /to-nowhere/);
    const noFabric = await new FabricAddressMover({ ...place, fabric: "/nowhere" }).take(SERVICE);
    assert.ok(!noFabric.ok && noFabric.failure.code === "address.refused");
  } finally {
    outer.kill("SIGKILL");
  }
});

test("nsenter is missing: refused; an address that is none: unknown", async () => {
  const place = { fabric: "/nowhere", device: "x", nsenter: "/nowhere/nsenter" };
  const missing = await new FabricAddressMover({ ...place, addresses: new Map([[SERVICE, ADDRESS]]) }).take(SERVICE);
  assert.ok(!missing.ok && missing.failure.code === "address.refused");
  for (const address of ["", "10.1.1", "::1", "10.1.1.1; reboot"]) {
    const taken = await new FabricAddressMover({ ...place, addresses: new Map([[SERVICE, address]]) }).take(SERVICE);
    assert.deepEqual(taken, { ok: false, failure: { code: "address.unknown", address } });
  }
});
