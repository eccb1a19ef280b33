// The processes under measurement: a SIP server (ours, or the C++ drachtio-server) with its own application.

import { type ChildProcess, spawn } from "node:child_process";
import { createSocket } from "node:dgram";
import { mkdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { holderOf } from "../../../cli/up/ports.ts";
import { CHECKOUT } from "../../../cli/up/start-region.ts";
import { eventually } from "../../demo/operator.ts";
import type { CpuProfile } from "../self-times.ts";
import type { SipProfile } from "./figures.ts";
import type { Probed, ProbeQuestion } from "./probe.ts";

/** Addresses of this load test alone; the ports are whichever are free. */
export const SERVER_HOST = "127.40.0.1";
export const CALLER_HOST = "127.40.0.2";
export const FAR_HOST = "127.40.0.3";
const SECRET = "capacity";
const START_MS_MAX = 15_000;
const STOP_MS_MAX = 5_000;
const ANSWER_MS_MAX = 60_000;

export type ServerName = "ours" | "drachtio-server" | "other";

/** A server and its application, up. */
export interface Party {
  readonly name: ServerName;
  /** "127.40.0.1:40123" */
  readonly target: string;
  readonly pids: { readonly server: number; readonly application: number; readonly store?: number | undefined };
  /** What it has written for a next owner so far; undefined: it writes nothing. */
  stored(): Promise<Stored | undefined>;
  /** Undefined for a server that is not ours. `collect`: after a garbage collection. */
  state(collect: boolean): Promise<Probed | undefined>;
  /** That stand; undefined for a server that is not ours. */
  dialogs(): Promise<number | undefined>;
  /** Where our server's time goes while `during` runs. */
  sampled(during: () => Promise<void>): Promise<CpuProfile>;
  /** Promises of drachtio-srf's that were rejected so far. */
  rejected(): Promise<number>;
  stop(): Promise<void>;
}

export type Stored = Readonly<Record<"groups" | "fields" | "characters" | "waits", number>>;

export interface PartyPlan {
  /** Of our server: it writes its calls down, to a Redis of its own. */
  readonly checkpoints: boolean;
  readonly profile: SipProfile;
  /** Where a B2BUA's second leg goes. */
  readonly far: string;
  readonly folder: string;
  /** Of our server: it keeps no trace of the last calls, whose size depends on what they did. */
  readonly untraced: boolean;
  /** Of our server: it refuses new calls when its event loop is late, as it does in life. */
  readonly shedding: boolean;
  /** Of our server: more flags for its Node. */
  readonly nodeFlags: readonly string[];
  /** Of our server: another main.ts than this checkout's, to compare two versions. */
  readonly main: string;
}

export const OUR_MAIN = join(CHECKOUT, "pop/sip-server/main.ts");
const PROBE = join(import.meta.dirname, "probe.ts");
const APPLICATION = join(import.meta.dirname, "application.ts");

/** A floor far above any rate here: whatever the loop looks like, as many get in. */
const NEVER_OVERLOADED = { delayHighMs: 10_000, utilizationHigh: 1, newPerSecondMin: 1_000 };

/** None outlives us, however we end. */
const running = new Set<ChildProcess>();
process.on("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});

/** @throws Error when it is not up in time, with the last it said */
export async function startOurs(plan: PartyPlan): Promise<Party> {
  const [sipPort, adminPort] = [await freePort("udp", SERVER_HOST), await freePort("tcp", "127.0.0.1")];
  const httpPort = await freePort("tcp", "127.0.0.1");
  mkdirSync(plan.folder, { recursive: true });
  const file = join(plan.folder, `sip-server-${sipPort}.json`);
  const redis = plan.checkpoints ? await startRedis() : undefined;
  const config = {
    listen: [{ transport: "udp", host: SERVER_HOST, port: sipPort }],
    admin: { host: "127.0.0.1", port: adminPort, secret: SECRET },
    http: { host: "127.0.0.1", port: httpPort },
    ...(redis === undefined
      ? {}
      : { checkpoints: { service: "capacity", redis: { host: "127.0.0.1", port: redis.port } } }),
    ...(plan.untraced ? { traceCallIds: 0 } : {}),
    ...(plan.shedding ? {} : { overload: NEVER_OVERLOADED }),
  };
  writeFileSync(file, JSON.stringify(config));
  const server = run(process.execPath, [
    ...["--expose-gc", ...plan.nodeFlags, "--import", PROBE],
    ...[plan.main, "--config", file, "--log-level", "warn"],
  ]);
  const party = await withApplication("ours", server, plan, sipPort, adminPort);
  return {
    ...party,
    pids: { ...party.pids, store: redis?.child.pid },
    stored: async () => (redis === undefined ? undefined : storedAt(httpPort)),
    dialogs: () => dialogsAt(httpPort),
    async stop() {
      await party.stop();
      await redis?.child.stop();
    },
  };
}

async function startRedis(): Promise<{ readonly child: Child; readonly port: number }> {
  const port = await freePort("tcp", "127.0.0.1");
  const child = run("redis-server", [
    "--bind",
    "127.0.0.1",
    "--port",
    String(port),
    "--save",
    "",
    "--appendonly",
    "no",
  ]);
  await eventually(`Redis listens on ${port}`, START_MS_MAX, async () => {
    if (child.ended) throw new Error(`redis-server has ended: ${child.said()}`);
    return holderOf({ transport: "tcp", host: "127.0.0.1", port, what: "" });
  });
  return { child, port };
}

async function storedAt(httpPort: number): Promise<Stored> {
  const page = await (await fetch(`http://127.0.0.1:${httpPort}/metrics`)).text();
  const count = (what: string) => Number(new RegExp(`^sip_checkpoint_${what}_total (\\d+)$`, "m").exec(page)?.[1]);
  return { groups: count("groups"), fields: count("fields"), characters: count("characters"), waits: count("waits") };
}

/** @throws Error when it is not up in time, with the last it said */
export async function startDrachtio(binary: string, plan: PartyPlan): Promise<Party> {
  const [sipPort, adminPort] = [await freePort("udp", SERVER_HOST), await freePort("tcp", "127.0.0.1")];
  mkdirSync(plan.folder, { recursive: true });
  const file = join(plan.folder, `drachtio-${sipPort}.xml`);
  const lines = [
    `<drachtio><admin port="${adminPort}" secret="${SECRET}">127.0.0.1</admin>`,
    `<sip><contacts><contact>sip:${SERVER_HOST}:${sipPort};transport=udp</contact></contacts></sip>`,
    "<logging><sofia-loglevel>0</sofia-loglevel><loglevel>notice</loglevel></logging></drachtio>",
  ];
  writeFileSync(file, lines.join("\n"));
  const server = run(binary, ["-f", file]);
  return withApplication("drachtio-server", server, plan, sipPort, adminPort);
}

async function withApplication(
  name: ServerName,
  server: Child,
  plan: PartyPlan,
  sipPort: number,
  adminPort: number,
): Promise<Party> {
  const up = (transport: "udp" | "tcp", host: string, port: number) =>
    eventually(`${name} listens on ${host}:${port}/${transport}`, START_MS_MAX, async () => {
      if (server.ended) throw new Error(`${name} has ended: ${server.said()}`);
      return holderOf({ transport, host, port, what: "" });
    });
  await up("udp", SERVER_HOST, sipPort);
  await up("tcp", "127.0.0.1", adminPort);
  const application = run(process.execPath, [APPLICATION, plan.profile, String(adminPort), SECRET, plan.far]);
  await eventually(`${name}'s application is connected`, START_MS_MAX, async () =>
    application.said().includes("connected") ? true : undefined,
  );
  return {
    name,
    target: `${SERVER_HOST}:${sipPort}`,
    pids: { server: server.pid, application: application.pid },
    state: async (collect) => (name === "ours" ? server.ask<Probed>({ ask: "state", collect }) : undefined),
    dialogs: async () => undefined,
    stored: async () => undefined,
    async sampled(during) {
      await server.ask({ ask: "sample", on: true });
      await during();
      const { profile } = await server.ask<{ profile: CpuProfile }>({ ask: "sample", on: false });
      return profile;
    },
    rejected: async () => (await application.ask<{ failed: number }>({ ask: "state", collect: false })).failed,
    async stop() {
      await application.stop();
      await server.stop();
    },
  };
}

/** What our server says itself on its metrics page. */
async function dialogsAt(httpPort: number): Promise<number> {
  const page = await (await fetch(`http://127.0.0.1:${httpPort}/metrics`)).text();
  return Number(/^sip_dialogs (\d+)$/m.exec(page)?.[1]);
}

interface Child {
  readonly pid: number;
  readonly ended: boolean;
  /** The last it wrote. */
  said(): string;
  ask<Answer>(question: ProbeQuestion): Promise<Answer>;
  stop(): Promise<void>;
}

const SAID_MAX = 4_000;

function run(command: string, args: readonly string[]): Child {
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe", "ipc"] });
  running.add(child);
  let said = "";
  for (const stream of [child.stdout, child.stderr])
    stream?.on("data", (data: Buffer) => {
      said = (said + data.toString("utf8")).slice(-SAID_MAX);
    });
  let ended = false;
  const gone = new Promise<void>((resolve) => {
    const over = () => {
      ended = true;
      running.delete(child);
      resolve();
    };
    child.on("error", over);
    child.on("close", over);
  });
  return {
    pid: child.pid ?? 0,
    get ended() {
      return ended;
    },
    said: () => said,
    ask: <Answer>(question: ProbeQuestion) =>
      new Promise<Answer>((resolve, reject) => {
        const timer = setTimeout(() => reject(new Error(`process ${child.pid} does not answer`)), ANSWER_MS_MAX);
        child.once("message", (answer) => {
          clearTimeout(timer);
          resolve(answer as Answer);
        });
        child.send(question);
      }),
    async stop() {
      child.kill("SIGTERM");
      const timer = setTimeout(() => child.kill("SIGKILL"), STOP_MS_MAX);
      await gone;
      clearTimeout(timer);
    },
  };
}

/** Free a moment ago: good enough for a load test. */
export function freePort(transport: "udp" | "tcp", host: string): Promise<number> {
  return new Promise((resolve, reject) => {
    if (transport === "udp") {
      const socket = createSocket("udp4").once("error", reject);
      socket.bind(0, host, () => {
        const { port } = socket.address();
        socket.close(() => resolve(port));
      });
      return;
    }
    const server = createServer().once("error", reject);
    server.listen(0, host, () => {
      const bound = server.address();
      const port = typeof bound === "object" && bound !== null ? bound.port : 0;
      server.close(() => resolve(port));
    });
  });
}
