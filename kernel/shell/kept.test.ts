// Kept processes as they are: real children with a channel, real signals.

import assert from "node:assert/strict";
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { KeeperSays, KeptSays } from "./kept.ts";
import { monotonicMs } from "./monotonic.ts";
import { EXIT } from "./process.ts";

let folder = "";
let main = "";
const children: ChildProcess[] = [];
before(() => {
  folder = mkdtempSync(join(tmpdir(), "tollgate-kept-"));
  main = join(folder, "main.ts");
  writeFileSync(
    main,
    `
    import { createServer } from "node:net";
    import { once } from "node:events";
    import { createRequire } from "node:module";
    import { runProcess } from ${JSON.stringify(join(import.meta.dirname, "process.ts"))};
    const { z } = createRequire(${JSON.stringify(import.meta.filename)})("zod");
    await runProcess({
      name: "fixture",
      schema: z.strictObject({ port: z.int().default(0), deaf: z.boolean().default(false), stuck: z.boolean().default(false) }),
      startsAgain: true,
      async start(config, log, ownership, beginning) {
        const server = createServer();
        server.listen(config.port, "127.0.0.1");
        await once(server, "listening");
        log.info("fixture.started", { epoch: ownership.epoch, held: ownership.held(), died: beginning.formerDiedAtUnixMs ?? 0 });
        if (config.stuck) setTimeout(() => { for (;;); }, 20);
        process.on("SIGHUP", () => beginning.superseded(9));
        return {
          stop: async () => { log.info("fixture.stopped"); },
          handOver: async () => { log.info("fixture.handed-over"); },
        };
      },
    });`,
  );
});
after(() => {
  for (const child of children) child.kill("SIGKILL");
  rmSync(folder, { recursive: true, force: true });
});

interface Kept {
  readonly child: ChildProcess;
  readonly lines: string[];
  say(what: KeeperSays): void;
  heard(kind: KeptSays["kind"]): Promise<KeptSays>;
  ended(): Promise<readonly [number | null, string | null]>;
}

function spare(): Kept {
  const child = fork(main, ["--kept"], { silent: true });
  children.push(child);
  const lines: string[] = [];
  const hear = (data: Buffer) => lines.push(...String(data).split("\n").filter(Boolean));
  child.stdout?.on("data", hear);
  child.stderr?.on("data", hear);
  const said: KeptSays[] = [];
  const waiting: { kind: string; hear: (what: KeptSays) => void }[] = [];
  child.on("message", (what: KeptSays) => {
    const at = waiting.findIndex(({ kind }) => kind === what.kind);
    if (at === -1) said.push(what);
    else waiting.splice(at, 1)[0]?.hear(what);
  });
  const end = once(child, "exit") as Promise<[number | null, string | null]>;
  return {
    child,
    lines,
    say: (what) => child.send(what),
    heard: (kind) =>
      new Promise((resolve, reject) => {
        const at = said.findIndex((one) => one.kind === kind);
        const found = at === -1 ? undefined : said.splice(at, 1)[0];
        if (found !== undefined) return resolve(found);
        waiting.push({ kind, hear: resolve });
        void end.then(([code]) => reject(new Error(`ended with ${code} before "${kind}": ${lines.join("\n")}`)));
      }),
    ended: () => end,
  };
}

const serve = (config: object, forMs: number): KeeperSays => ({
  kind: "serve",
  config,
  epoch: 4,
  untilMs: monotonicMs() + forMs,
  formerDiedAtUnixMs: 1234,
});

test("a spare waits, serves what it is told under its epoch, and answers pings all the while", async () => {
  const kept = spare();
  await kept.heard("spare");
  kept.say({ kind: "ping", n: 1 });
  assert.deepEqual(await kept.heard("pong"), { kind: "pong", n: 1 });
  kept.say(serve({}, 60_000));
  await kept.heard("serving");
  kept.say({ kind: "ping", n: 2 });
  assert.deepEqual(await kept.heard("pong"), { kind: "pong", n: 2 });
  kept.child.kill("SIGTERM");
  assert.deepEqual(await kept.ended(), [EXIT.ok, null]);
  assert.match(kept.lines.join("\n"), /"event":"fixture.started".*"epoch":4,"held":true,"died":1234/);
  assert.match(kept.lines.join("\n"), /fixture.stopped/);
});

test("a lease that nobody extends ends the process; one that is extended does not", async () => {
  const [left, kept] = [spare(), spare()];
  await Promise.all([left.heard("spare"), kept.heard("spare")]);
  left.say(serve({}, 400));
  kept.say(serve({}, 400));
  kept.say({ kind: "lease", untilMs: monotonicMs() + 60_000 });
  kept.say({ kind: "lease", untilMs: monotonicMs() + 10 }); // overtaken: shortens nothing
  assert.deepEqual(await left.ended(), [EXIT.leaseLost, null]);
  kept.say({ kind: "ping", n: 3 });
  await kept.heard("pong");
  kept.child.disconnect();
  assert.deepEqual(await kept.ended(), [EXIT.keeperGone, null]);
});

test("one that was stopped past its lease ends as soon as it runs again", async () => {
  const kept = spare();
  await kept.heard("spare");
  const untilMs = monotonicMs() + 1_000;
  kept.say({ kind: "serve", config: {}, epoch: 1, untilMs });
  await kept.heard("serving");
  kept.child.kill("SIGSTOP");
  while (monotonicMs() < untilMs) await new Promise((resolve) => setTimeout(resolve, untilMs - monotonicMs()));
  kept.child.kill("SIGCONT");
  assert.deepEqual(await kept.ended(), [EXIT.leaseLost, null]);
});

test("a stuck event loop answers no ping", async () => {
  const kept = spare();
  await kept.heard("spare");
  kept.say(serve({ stuck: true }, 60_000));
  await kept.heard("serving");
  let n = 10;
  const answered = () => {
    kept.say({ kind: "ping", n: ++n });
    return Promise.race([
      kept.heard("pong").then(() => true),
      new Promise<false>((resolve) => setTimeout(() => resolve(false), 300)),
    ]).catch(() => false);
  };
  while (await answered()); // until it is stuck
  kept.child.kill("SIGKILL");
  await kept.ended();
});

test("told to hand over, it writes what it has and says so", async () => {
  const kept = spare();
  await kept.heard("spare");
  kept.say(serve({}, 60_000));
  await kept.heard("serving");
  kept.say({ kind: "hand-over" });
  await kept.heard("ready-to-go");
  kept.child.kill("SIGKILL");
  await kept.ended();
  assert.match(kept.lines.join("\n"), /fixture.handed-over/);
});

test("an address that a dead one still has is waited for", async () => {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  assert.ok(typeof address === "object" && address !== null);
  const kept = spare();
  await kept.heard("spare");
  kept.say(serve({ port: address.port }, 60_000));
  kept.say({ kind: "ping", n: 1 });
  await kept.heard("pong"); // it has begun, and it turns
  server.close();
  await kept.heard("serving");
  kept.child.disconnect();
  await kept.ended();
});

test("a configuration that is not usable, a superseded owner, no channel: each has its exit code", async () => {
  const [bad, late] = [spare(), spare()];
  await Promise.all([bad.heard("spare"), late.heard("spare")]);
  bad.say(serve({ port: "x", more: 1 }, 60_000));
  assert.deepEqual(await bad.ended(), [EXIT.config, null]);
  assert.match(bad.lines.join("\n"), /port.*\n.*more/);
  late.say(serve({}, 60_000));
  await late.heard("serving");
  late.child.kill("SIGHUP");
  assert.deepEqual(await late.ended(), [EXIT.superseded, null]);
});
