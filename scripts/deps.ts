// Draws who imports whom, room by room, and fails when an arrow goes the wrong way.
//
//   npm run deps              the picture, and every wrong arrow with its file and line
//   npm run deps -- --json    the same as data

import { globSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { parseArgs } from "node:util";

/**
 * A room is a folder; a file belongs to the longest one that holds it. `may` names rooms (a trailing slash: and all below),
 * and "npm" for libraries beyond Node's own. Tests may import anything and are not looked at.
 */
const ROOMS: readonly { readonly room: string; readonly may: readonly string[]; readonly why: string }[] = [
  { room: "kernel", may: ["npm:zod"], why: "words everyone shares; pure" },
  { room: "kernel/shell", may: ["kernel", "npm:zod"], why: "how a process starts and stops" },
  { room: "kernel/sim", may: ["kernel"], why: "a world in memory" },
  { room: "proto/gen", may: ["npm"], why: "generated" },

  {
    room: "pop/core/failure",
    may: ["kernel", "pop/core/media"],
    why: "every failure code and its verdict",
  },
  { room: "pop/core/media", may: ["kernel"], why: "SDP, codecs, prompts as values" },
  { room: "pop/core/ivr", may: ["kernel", "pop/core/media", "pop/core/failure"], why: "the flow interpreter" },
  {
    room: "pop/core/routing",
    may: ["kernel", "pop/core/media", "pop/core/ivr", "pop/core/failure"],
    why: "the snapshot, numbers",
  },
  { room: "pop/core/admission", may: ["kernel", "pop/core/routing", "pop/core/failure"], why: "accept or refuse" },
  {
    room: "pop/core/call",
    may: ["kernel", "pop/core/media", "pop/core/ivr", "pop/core/failure", "pop/core/routing"],
    why: "legs joined",
  },
  {
    room: "pop/core/signalling",
    may: ["kernel", "pop/core/media", "pop/core/call"],
    why: "a call's dialogs over lost connections and processes",
  },
  { room: "pop/core/link", may: ["kernel", "pop/core/routing"], why: "our end of the region link" },
  { room: "pop/boundary", may: ["kernel", "pop/core/"], why: "interfaces in the core's words" },
  {
    room: "pop/adapters",
    may: ["kernel", "kernel/sim", "pop/core/", "pop/boundary", "proto/gen", "npm", "self"],
    why: "one outside thing each",
  },
  {
    room: "pop/app",
    may: ["kernel", "pop/core/", "pop/boundary", "pop/checkpoint/boundary"],
    why: "the shell: performs effects",
  },
  { room: "pop/config", may: ["kernel", "npm:zod"], why: "one schema" },

  { room: "pop/checkpoint/boundary", may: ["kernel"], why: "what is kept for a next owner" },
  {
    room: "pop/checkpoint/adapters",
    may: ["kernel", "pop/checkpoint/boundary", "npm"],
    why: "Redis, fenced by an epoch; memory",
  },

  { room: "pop/keeper/core", may: ["kernel"], why: "who serves an address, and when to take it; pure" },
  { room: "pop/keeper/boundary", may: ["kernel", "pop/keeper/core"], why: "interfaces" },
  {
    room: "pop/keeper/adapters",
    may: ["kernel", "kernel/shell", "pop/keeper/core", "pop/keeper/boundary", "npm"],
    why: "twin, owner store, processes, addresses",
  },
  {
    room: "pop/keeper/app",
    may: ["kernel", "pop/keeper/core", "pop/keeper/boundary"],
    why: "the shell",
  },
  { room: "pop/keeper/config", may: ["kernel", "npm:zod"], why: "one schema" },

  {
    room: "pop/sip-server/core",
    may: ["kernel", "pop/sip-server/core/"],
    why: "messages, transactions, dialogs; pure",
  },
  { room: "pop/sip-server/boundary", may: ["kernel", "pop/sip-server/core/"], why: "interfaces" },
  {
    room: "pop/sip-server/adapters",
    may: ["kernel", "pop/sip-server/core/", "pop/sip-server/boundary", "npm"],
    why: "transports, drachtio protocol",
  },
  {
    room: "pop/sip-server/app",
    may: [
      "kernel",
      "pop/checkpoint/boundary",
      "pop/sip-server/core/",
      "pop/sip-server/boundary",
      "pop/sip-server/app/",
    ],
    why: "the server, put together; the way in and out",
  },
  {
    room: "pop/sip-server/app/shell",
    may: ["kernel", "pop/sip-server/core/", "pop/sip-server/boundary"],
    why: "clock, timers, counters, records: what all others stand on",
  },
  {
    room: "pop/sip-server/app/transactions",
    may: ["kernel", "pop/sip-server/core/", "pop/sip-server/boundary", "pop/sip-server/app/shell"],
    why: "drives the transactions",
  },
  {
    room: "pop/sip-server/app/next-hops",
    may: [
      "kernel",
      "pop/sip-server/core/",
      "pop/sip-server/boundary",
      "pop/sip-server/app/shell",
      "pop/sip-server/app/transactions",
    ],
    why: "names to addresses, a request from target to target",
  },
  {
    room: "pop/sip-server/app/proxy",
    may: [
      "kernel",
      "pop/sip-server/core/",
      "pop/sip-server/boundary",
      "pop/sip-server/app/shell",
      "pop/sip-server/app/transactions",
      "pop/sip-server/app/next-hops",
    ],
    why: "requests that go through us",
  },
  {
    room: "pop/sip-server/app/applications",
    may: [
      "kernel",
      "pop/sip-server/core/",
      "pop/sip-server/boundary",
      "pop/sip-server/app/shell",
      "pop/sip-server/app/proxy",
    ],
    why: "who is connected, who takes a request",
  },
  {
    room: "pop/sip-server/app/dialogs",
    may: [
      "kernel",
      "pop/sip-server/core/",
      "pop/sip-server/boundary",
      "pop/sip-server/app/shell",
      "pop/sip-server/app/applications",
    ],
    why: "the dialogs, their timers and usages",
  },
  {
    room: "pop/sip-server/app/guard",
    may: [
      "kernel",
      "pop/sip-server/core/",
      "pop/sip-server/boundary",
      "pop/sip-server/app/shell",
      "pop/sip-server/app/applications",
      "pop/sip-server/app/dialogs",
    ],
    why: "what gets in, and what it must prove",
  },
  {
    room: "pop/sip-server/app/client",
    may: [
      "kernel",
      "pop/sip-server/core/",
      "pop/sip-server/boundary",
      "pop/sip-server/app/shell",
      "pop/sip-server/app/transactions",
      "pop/sip-server/app/next-hops",
      "pop/sip-server/app/applications",
      "pop/sip-server/app/dialogs",
    ],
    why: "requests of applications",
  },
  {
    room: "pop/sip-server/app/server",
    may: [
      "kernel",
      "pop/sip-server/core/",
      "pop/sip-server/boundary",
      "pop/sip-server/app/shell",
      "pop/sip-server/app/transactions",
      "pop/sip-server/app/proxy",
      "pop/sip-server/app/applications",
      "pop/sip-server/app/dialogs",
      "pop/sip-server/app/guard",
      "pop/sip-server/app/client",
    ],
    why: "requests of the network",
  },
  { room: "pop/sip-server/config", may: ["kernel", "npm:zod"], why: "one schema" },

  { room: "pop/media-worker/core", may: ["kernel", "pop/core/media", "npm:zod"], why: "the player; pure" },
  { room: "pop/media-worker/boundary", may: ["kernel", "pop/core/media", "pop/media-worker/core"], why: "interfaces" },
  {
    room: "pop/media-worker/adapters",
    may: ["kernel", "pop/core/media", "pop/media-worker/core", "pop/media-worker/boundary"],
    why: "RTP, control socket, files",
  },
  {
    room: "pop/media-worker/app",
    may: ["kernel", "pop/core/media", "pop/media-worker/core", "pop/media-worker/boundary"],
    why: "the shell",
  },
  { room: "pop/media-worker/config", may: ["kernel", "npm:zod"], why: "one schema" },

  {
    room: "control-plane/core",
    may: ["kernel", "control-plane/core/", "npm:zod"],
    why: "tenancy, snapshots, queue routing; pure",
  },
  { room: "control-plane/boundary", may: ["kernel", "control-plane/core/"], why: "interfaces" },
  {
    room: "control-plane/adapters",
    may: ["kernel", "control-plane/core/", "control-plane/boundary", "proto/gen", "npm", "self"],
    why: "one outside thing each",
  },
  { room: "control-plane/app", may: ["kernel", "control-plane/core/", "control-plane/boundary"], why: "the shell" },
  { room: "control-plane/config", may: ["kernel", "npm:zod"], why: "one schema" },

  { room: "regions/schema", may: ["kernel", "npm:zod", "npm:yaml"], why: "one schema and loader; pure" },
];

/** Main files, the command line, the load tests and scripts may know everybody. */
const KNOWS_EVERYBODY = /^(cli|loadtest|scripts|pulumi|regions)\/|(^|\/)main\.ts$/;
const TEST = /\.(test|contract)\.ts$|\/test\//;
/** What is pure asks nothing of the machine, not even through Node. */
const PURE = /^kernel$|^kernel\/sim$|\/core(\/|$)|\/boundary$|^regions\/schema$/;
/** Test parties that stand beside the code they test. */
const TEST_PARTY = /\/(fake-|own-|memory\/|.*rehearsal|.*contract)/;

interface Arrow {
  readonly from: string;
  readonly to: string;
  readonly file: string;
  readonly line: number;
  readonly specifier: string;
  readonly allowed: boolean;
}

const HASHING = new Set(["hash", "createHash", "createHmac", "timingSafeEqual"]);

const longestFirst = [...ROOMS].sort((a, b) => b.room.length - a.room.length);
const roomOf = (file: string): string | undefined => longestFirst.find(({ room }) => file.startsWith(`${room}/`))?.room;

/** Adapters know their own folder only: "pop/adapters/redis". */
const folderOf = (file: string): string => dirname(file);
const adapterOf = (file: string): string => file.split("/").slice(0, 3).join("/");

function arrowsOf(file: string): Arrow[] {
  const from = roomOf(file);
  if (from === undefined || KNOWS_EVERYBODY.test(file) || TEST.test(file) || TEST_PARTY.test(file)) return [];
  const rule = ROOMS.find(({ room }) => room === from);
  const found: Arrow[] = [];
  for (const [index, text] of readFileSync(file, "utf8").split("\n").entries()) {
    const specifier = /(?:\bfrom|^import)\s+"([^"]+)"/.exec(text)?.[1];
    if (specifier === undefined) continue;
    if (specifier.startsWith("node:")) {
      if (PURE.test(from) && !isOnlyHashing(specifier, text))
        found.push({ from, to: specifier, file, line: index + 1, specifier, allowed: false });
      continue;
    }
    const local = specifier.startsWith(".");
    const target = local ? relative(".", join(folderOf(file), specifier)) : specifier;
    const to = local
      ? (roomOf(target) ?? dirname(target))
      : `npm:${specifier
          .split("/")
          .slice(0, specifier.startsWith("@") ? 2 : 1)
          .join("/")}`;
    const allowed = local ? mayEnter(rule?.may ?? [], file, from, target, to) : mayUse(rule?.may ?? [], to);
    found.push({ from, to, file, line: index + 1, specifier, allowed });
  }
  return found;
}

/** A hash is a function of its input; the rest of node:crypto is chance. */
function isOnlyHashing(specifier: string, line: string): boolean {
  const names = /\{([^}]*)\}/.exec(line)?.[1] ?? "";
  return specifier === "node:crypto" && names.split(",").every((name) => HASHING.has(name.trim()));
}

function mayEnter(may: readonly string[], file: string, from: string, target: string, to: string): boolean {
  if (may.includes("self") && from === to) return adapterOf(file) === adapterOf(target);
  if (from === to) return true;
  return may.some((room) => (room.endsWith("/") ? `${to}/`.startsWith(room) : room === to));
}

const mayUse = (may: readonly string[], library: string): boolean => may.includes("npm") || may.includes(library);

const { values } = parseArgs({ options: { json: { type: "boolean", default: false } } });
const files = globSync("{kernel,proto,pop,control-plane,regions,cli,pulumi,loadtest}/**/*.ts", {
  exclude: (name) => name === "node_modules",
});
const arrows = files.flatMap(arrowsOf);
const wrong = arrows.filter(({ allowed }) => !allowed);

if (values.json) console.log(JSON.stringify({ arrows, wrong }, undefined, 2));
else draw();
if (wrong.length > 0) process.exitCode = 1;

function draw(): void {
  const width = Math.max(...ROOMS.map(({ room }) => room.length));
  for (const { room, why } of ROOMS) {
    const own = arrows.filter(({ from }) => from === room);
    const targets = [...new Set(own.map(({ to }) => to).filter((to) => to !== room))].sort();
    const ours = targets.filter((to) => !to.startsWith("npm:"));
    const libraries = targets.filter((to) => to.startsWith("npm:")).map((to) => to.slice(4));
    console.log(`${room.padEnd(width)}  ${why}`);
    if (ours.length > 0) console.log(`${"".padEnd(width)}    ─► ${ours.join(", ")}`);
    if (libraries.length > 0) console.log(`${"".padEnd(width)}    ─· ${libraries.join(", ")}`);
  }
  console.log(`\n${arrows.length} imports in ${files.length} files, ${wrong.length} in the wrong direction`);
  for (const { file, line, specifier, from } of wrong)
    console.log(`  ${file}:${line}  ${from} may not import ${specifier}`);
}
