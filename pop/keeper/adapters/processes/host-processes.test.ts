// The processes of a host as they are: real children, with a stand-in for ours and for the relay.

import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, test } from "node:test";
import { asId } from "../../../../kernel/ids.ts";
import { silentLog } from "../../../../kernel/log.ts";
import { monotonicMs } from "../../../../kernel/shell/monotonic.ts";
import type { ShownProcess } from "../../boundary/serving-processes.ts";
import type { ProcessName } from "../../core/keeper-words.ts";
import { HostProcesses } from "./host-processes.ts";

const HOME = asId<"pop-host">("fra-01-a");
const GUEST = asId<"pop-host">("fra-01-b");
const ALL: readonly ProcessName[] = ["rtpengine", "sip-server", "media-worker", "pop"];

let folder = "";
let main = "";
let relay = "";
const ports = new Map<string, number>();
const open: HostProcesses[] = [];

before(async () => {
  folder = mkdtempSync(join(tmpdir(), "tollgate-host-"));
  main = join(folder, "kept.ts");
  const shell = join(import.meta.dirname, "..", "..", "..", "..", "kernel", "shell", "process.ts");
  writeFileSync(
    main,
    `import { createRequire } from "node:module";
     import { runProcess } from ${JSON.stringify(shell)};
     const { z } = createRequire(${JSON.stringify(import.meta.filename)})("zod");
     await runProcess({
       name: "fixture",
       schema: z.strictObject({ fails: z.boolean().default(false) }),
       async start(config, log, ownership) {
         if (config.fails) throw new Error("no such thing");
         log.info("fixture.serves", { epoch: ownership.epoch });
         return { async stop() {}, async handOver() { log.info("fixture.emptied"); } };
       },
     });`,
  );
  relay = join(folder, "relay.mjs");
  writeFileSync(
    relay,
    `import { createSocket } from "node:dgram";
     const socket = createSocket("udp4");
     socket.on("message", (m, from) => socket.send(String(m).split(" ")[0] + " d6:result4:ponge", from.port, from.address));
     socket.bind(Number(process.argv[2]), "127.0.0.1");
     console.log("database " + process.argv[3]);`,
  );
  for (const service of [HOME, GUEST]) ports.set(service, await freePort());
});
afterEach(async () => {
  for (const one of open.splice(0)) await one.end();
});
after(() => rmSync(folder, { recursive: true, force: true }));

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const socket = createSocket("udp4").bind(0, "127.0.0.1", () => {
      const { port } = socket.address() as AddressInfo;
      socket.close(() => resolve(port));
    });
  });
}

interface Host {
  readonly processes: HostProcesses;
  readonly lines: string[];
  start(service: typeof HOME, epoch?: number): void;
  /** Resolves when this was heard: "serving fra-01-a pop". */
  heard(what: string): Promise<void>;
  until(holds: (shown: readonly ShownProcess[]) => boolean): Promise<void>;
}

function host(more: { readonly failing?: boolean; readonly relayFault?: boolean } = {}): Host {
  const lines: string[] = [];
  const processes = new HostProcesses(
    {
      host: HOME,
      node: process.execPath,
      programs: {
        "sip-server": { main, nodeFlags: [] },
        "media-worker": { main, nodeFlags: [] },
        pop: { main, nodeFlags: [] },
      },
      services: [HOME, GUEST].map((service) => ({
        service,
        configs: { "sip-server": {}, "media-worker": {}, pop: more.failing === true ? { fails: true } : {} },
        mediaWorkerSocket: join(folder, "mw.sock"),
        relay: {
          ng: { host: "127.0.0.1", port: ports.get(service) ?? 0 },
          spawn: (database) => {
            if (more.relayFault === true) throw new Error("no password file");
            return {
              command: process.execPath,
              args: [relay, String(ports.get(service)), String(database)],
              files: [],
            };
          },
        },
      })),
      spares: true,
      spareAfterMs: 1,
      stopMs: 5_000,
      logLevel: "info",
    },
    silentLog,
    (name, line) => lines.push(`${name}: ${line}`),
  );
  open.push(processes);
  const heard: string[] = [];
  const waiting = new Set<() => void>();
  const tell = (what: string) => {
    heard.push(what);
    for (const wake of waiting) wake();
  };
  processes.listen({
    serving: (service, process) => tell(`serving ${service} ${process}`),
    died: (service, process) => tell(`died ${service} ${process}`),
    pong: (service, process) => tell(`pong ${service} ${process}`),
    emptied: (service) => tell(`emptied ${service}`),
    ended: (service) => tell(`ended ${service}`),
    superseded: (service) => tell(`superseded ${service}`),
    changed: () => tell("changed"),
  });
  const wait = async (holds: () => boolean) => {
    while (!holds())
      await new Promise<void>((resolve) => {
        const wake = () => {
          waiting.delete(wake);
          resolve();
        };
        waiting.add(wake);
      });
  };
  return {
    processes,
    lines,
    start: (service, epoch = 2) => {
      for (const process of ALL)
        processes.start(service, process, { epoch, untilMs: monotonicMs() + 60_000, relayDatabase: 7 });
    },
    heard: (what) =>
      wait(() => {
        const at = heard.indexOf(what);
        if (at !== -1) heard.splice(at, 1);
        return at !== -1;
      }),
    until: (holds) => wait(() => holds(processes.shown())),
  };
}

const allServe = (one: Host, service: typeof HOME) =>
  Promise.all(ALL.map((process) => one.heard(`serving ${service} ${process}`)));
const spares = (shown: readonly ShownProcess[]) => shown.filter(({ state }) => state === "spare");

test("a set serves; spares wait; the twin's service is served from them, by the same processes", async () => {
  const one = host();
  one.start(HOME);
  await allServe(one, HOME);
  one.processes.ping(HOME);
  await Promise.all(ALL.map((process) => one.heard(`pong ${HOME} ${process}`)));
  one.processes.keepSpares(true);
  await one.until((shown) => spares(shown).length === 3);
  const waiting = new Set(spares(one.processes.shown()).map(({ pid }) => pid));
  one.processes.keepSpares(false);
  one.start(GUEST, 5);
  await allServe(one, GUEST);
  const guests = one.processes.shown().filter(({ service, process }) => service === GUEST && process !== "rtpengine");
  assert.ok(guests.every(({ pid }) => waiting.has(pid)));
  assert.equal(spares(one.processes.shown()).length, 0, "none is made while it is not wanted");
  assert.ok(one.lines.some((line) => /^fra-01-a\/pop@fra-01-b: .*fixture.serves.*"epoch":5/.test(line)));
  assert.ok(one.lines.some((line) => line === "fra-01-a/rtpengine@fra-01-b: database 7"));
});

test("one that is killed is told as dead; one that will not start says why; both can be started again", async () => {
  const one = host({ failing: true });
  one.start(HOME);
  await one.heard(`died ${HOME} pop`);
  const pop = one.processes.shown().find(({ process }) => process === "pop");
  assert.equal(pop?.lastEnd?.exitCode, 1);
  assert.match(pop?.lastEnd?.lastLines.join("\n") ?? "", /no such thing/);
  await one.heard(`serving ${HOME} sip-server`);
  one.processes.kill(HOME, "sip-server");
  await one.heard(`died ${HOME} sip-server`);
  one.processes.start(HOME, "sip-server", { epoch: 2, untilMs: monotonicMs() + 60_000 });
  await one.heard(`serving ${HOME} sip-server`);
  one.processes.kill(GUEST, "pop"); // nothing runs there
  await one.heard(`died ${GUEST} pop`);
});

test("emptied, then killed: every one has written what it has, and nothing is left; killing nothing ends at once", async () => {
  const one = host();
  one.start(HOME);
  await allServe(one, HOME);
  one.processes.empty(HOME);
  await one.heard(`emptied ${HOME}`);
  one.processes.killAll(HOME);
  await one.heard(`ended ${HOME}`);
  assert.ok(one.processes.shown().every(({ pid }) => pid === undefined));
  one.processes.killAll(GUEST);
  await one.heard(`ended ${GUEST}`);
});

test("stopped in order, pop first; one that is held stays down until it is released", async () => {
  const one = host();
  one.start(HOME);
  await allServe(one, HOME);
  one.processes.hold(HOME, "pop", "SIGTERM");
  await one.heard(`died ${HOME} pop`);
  one.processes.start(HOME, "pop", { epoch: 2, untilMs: monotonicMs() + 60_000 });
  assert.equal(one.processes.shown().find(({ process }) => process === "pop")?.pid, undefined);
  one.processes.release(HOME, "pop");
  await one.heard(`serving ${HOME} pop`);
  one.processes.stopAll(HOME);
  await one.heard(`ended ${HOME}`);
  assert.ok(one.processes.shown().every(({ state }) => state !== "ready"));
});

test("killed while they are still starting: nothing starts late", async () => {
  const one = host();
  one.start(HOME);
  one.processes.killAll(HOME);
  await one.heard(`ended ${HOME}`);
  await one.processes.end();
  assert.ok(one.processes.shown().every(({ pid }) => pid === undefined));
});

test("a relay whose files cannot be read or written is told as dead, and nothing else of the host ends", async () => {
  const { start, heard } = host({ relayFault: true });
  start(HOME);
  await heard("died fra-01-a rtpengine");
  await heard("serving fra-01-a pop");
});
