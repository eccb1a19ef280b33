// `npm run capacity -- sip`: what a call costs our SIP server, beside the C++ drachtio-server in the same run.
//
// Exit: 0 the run worked, whatever the figures · 1 calls failed where they must not, or the run broke off · 64 a wrong flag
//       · 69 SIPp is missing

import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { EXIT } from "../../../cli/exit.ts";
import { paintFor } from "../../../cli/terminal/colour.ts";
import { CHECKOUT } from "../../../cli/up/start-region.ts";
import { SIP_SERVER_NODE_FLAGS } from "../../../cli/up/topology.ts";
import { sippVersion } from "../../sipp/run-sipp.ts";
import { selfTimeTable } from "../report.ts";
import { selfTimes } from "../self-times.ts";
import { SIP_PROFILES, type SipProfile } from "./figures.ts";
import { ceilings, flat, memory, type Opener, rates, type SipRun, sample, soak } from "./modes.ts";
import { OUR_MAIN, startDrachtio, startOurs } from "./parties.ts";
import { compare, flatTable, memoryTable, ratesTable } from "./report.ts";
import { farAddress } from "./step.ts";

const HELP = `npm run capacity -- sip [flags]

  Our sip-server with a minimal drachtio-srf application (answer: createUAS with a fixed SDP; b2bua: createB2BUA),
  SIPp around it, UDP on loopback. With DRACHTIO_SERVER=/path/to/drachtio the C++ server takes turns with ours.

  --rates 100,300,500   calls per second, each server in turn, --rounds times
  --ceiling             growing rates until calls fail
  --flat                CPU per call while --dialogs dialogs stand idle
  --memory              what an established dialog holds
  --soak CALLS          that many calls at one rate; does memory grow?
  --sample RATE         where our server spends its time

  --profile answer|b2bua   one of them; both if left out (--flat, --soak, --sample: answer)
  --seconds 20             of each step
  --warm-up 3              of these, the first that are not counted
  --rounds 2               of each rate
  --hold 500               ms from the answer to the caller's BYE
  --dialogs 10,100,…       for --flat: 10,100,500,1000,2000; for --memory: 20000
  --against MAIN           another checkout's pop/sip-server/main.ts instead of the C++ server: before and after
  --checkpoints            our server writes its calls to a Redis, and takes turns with itself without that
  --node-flags="--x --y"   for our server's Node, instead of those that tollgate up gives it
  --no-shedding            our server does not refuse calls when its event loop is late: on a machine that others use
  --json                   the figures as one JSON object on stdout
`;

const FOLDER = join(CHECKOUT, ".tollgate", "capacity", "sip");
const CEILING_RATES = [300, 400, 500, 600, 700, 800, 900, 1_000, 1_200, 1_400, 1_600];

type Mode = "rates" | "ceiling" | "flat" | "memory" | "soak" | "sample";

interface Flags {
  readonly mode: Mode;
  readonly profiles: readonly SipProfile[];
  readonly rates: readonly number[];
  readonly dialogs: readonly number[];
  readonly seconds: number;
  readonly warmUpSeconds: number;
  readonly rounds: number;
  readonly holdMs: number;
  readonly soakCalls: number;
  readonly against: string | undefined;
  readonly checkpoints: boolean;
  readonly shedding: boolean;
  readonly nodeFlags: readonly string[];
  readonly json: boolean;
}

/** @param args after "sip" */
export async function capacityOfSip(args: readonly string[]): Promise<number> {
  const flags = readFlags(args);
  if (flags === undefined) return EXIT.ok;
  if (typeof flags === "string") {
    process.stderr.write(`capacity sip: ${flags}\n\n${HELP}`);
    return EXIT.usage;
  }
  if (sippVersion() === undefined) {
    process.stderr.write('capacity sip: SIPp is missing (Debian package sip-tester); "make demo" installs it\n');
    return EXIT.unavailable;
  }
  const startedAtMs = performance.now();
  const progress = paintFor(process.stderr);
  const say = (line: string) => {
    const seconds = ((performance.now() - startedAtMs) / 1_000).toFixed(0).padStart(5);
    process.stderr.write(`${progress.dim(`${seconds} s`)}  ${line}\n`);
  };
  const folder = join(FOLDER, String(process.pid));
  mkdirSync(folder, { recursive: true });
  const run: SipRun = { ...flags, folder, far: await farAddress(), say, traffics: [], parties: [] };
  const end = async (): Promise<void> => {
    for (const traffic of run.traffics) traffic.stop();
    await Promise.all(run.parties.map((party) => party.stop()));
    rmSync(folder, { recursive: true, force: true });
  };
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const)
    process.once(signal, () => {
      say(`${signal}: stopping`);
      void end().then(() => process.exit(EXIT.failed));
    });
  try {
    return await perform(flags, run);
  } catch (error) {
    process.stderr.write(`capacity sip: broken off: ${error instanceof Error ? error.message : String(error)}\n`);
    return EXIT.failed;
  } finally {
    await end();
  }
}

/** Ours first; then the C++ server, or another version of ours. */
function openers(flags: Flags, run: SipRun): readonly [ours: Opener, ...others: Opener[]] {
  const { nodeFlags, against } = flags;
  const plan = (profile: SipProfile, main = OUR_MAIN, more = nodeFlags, checkpoints = flags.checkpoints) => ({
    ...{
      checkpoints,
      profile,
      far: run.far,
      folder: run.folder,
      nodeFlags: more,
      main,
      untraced: flags.mode === "memory",
      shedding: flags.shedding,
    },
  });
  const ours = (profile: SipProfile) => startOurs(plan(profile));
  if (against !== undefined)
    return [ours, async (profile) => ({ ...(await startOurs(plan(profile, against, []))), name: "other" })];
  if (flags.checkpoints)
    return [
      ours,
      async (profile) => ({ ...(await startOurs(plan(profile, OUR_MAIN, nodeFlags, false))), name: "other" }),
    ];
  const binary = process.env.DRACHTIO_SERVER ?? "";
  if (binary === "") {
    run.say("drachtio-server: skipped, DRACHTIO_SERVER is not set");
    return [ours];
  }
  if (!existsSync(binary)) {
    run.say(`drachtio-server: skipped, there is no ${binary}`);
    return [ours];
  }
  return [ours, (profile) => startDrachtio(binary, plan(profile))];
}

async function perform(flags: Flags, run: SipRun): Promise<number> {
  const paint = paintFor(process.stdout);
  const open = openers(flags, run);
  const [ours] = open;
  const print = (value: object, ...lines: readonly string[]) => {
    const [cpu] = cpus();
    const machine = `${cpus().length} cores (${cpu?.model ?? "?"}), Node ${process.version}`;
    const head = `${paint.bold(`sip ${flags.mode}`)}  ${machine}; hold ${flags.holdMs} ms`;
    const text = flags.json
      ? JSON.stringify({ mode: flags.mode, machine, ...value })
      : ["", head, "", ...lines].join("\n");
    process.stdout.write(`${text}\n`);
  };
  switch (flags.mode) {
    case "rates": {
      const { steps, names } = await rates(run, open);
      const compared = compare(steps, names);
      print({ steps, compared }, ratesTable(compared, paint));
      return steps.every(({ calls, successful }) => calls === successful) ? EXIT.ok : EXIT.failed;
    }
    case "ceiling": {
      const { steps, names, clean } = await ceilings(run, open);
      const lines = clean.map(({ server, profile, callsPerSecond, why }) =>
        [paint.bold(`${server}, ${profile}:`), `clean to ${callsPerSecond} calls/s;`, why].join(" "),
      );
      print({ steps, clean }, ratesTable(compare(steps, names), paint), "", ...lines);
      return EXIT.ok;
    }
    case "flat": {
      const rows = await flat(run, open);
      print({ rows }, flatTable(rows, paint));
      return rows.every(({ step }) => step.calls === step.successful) ? EXIT.ok : EXIT.failed;
    }
    case "memory": {
      const rows = await memory(run, open);
      print({ rows }, memoryTable(rows, paint));
      return EXIT.ok;
    }
    case "soak": {
      const soaked = await soak(run, ours);
      const mib = (bytes: number) => (bytes / 1_048_576).toFixed(1);
      print(
        soaked,
        `${soaked.successful} of ${soaked.calls} calls in ${soaked.seconds.toFixed(0)} s, ${soaked.retransmissions} retransmissions ${JSON.stringify(soaked.failures)}`,
        `RSS ${mib(soaked.rssFirstBytes)} MiB after the first tenth, ${mib(soaked.rssLastBytes)} at the end; live ${mib(soaked.liveFirstBytes)} and ${mib(soaked.liveLastBytes)} MiB`,
        `growth over the last nine tenths: ${soaked.rssBytesPerCall.toFixed(1)} bytes of RSS per call`,
      );
      return soaked.successful === soaked.calls ? EXIT.ok : EXIT.failed;
    }
    case "sample": {
      const { profile, step } = await sample(run, ours);
      const file = join(FOLDER, `sip-server-${step.profile}-${step.callsPerSecond}.cpuprofile`);
      writeFileSync(file, JSON.stringify(profile));
      const times = selfTimes(profile, CHECKOUT);
      print(
        { step, times, file },
        ratesTable(compare([step], [step.server]), paint),
        "",
        selfTimeTable("sip-server", times, file, paint),
      );
      return EXIT.ok;
    }
  }
}

/** Undefined: help was asked for and given. A string: what is wrong. */
function readFlags(args: readonly string[]): Flags | string | undefined {
  try {
    const { values } = parse(args);
    if (values.help === true) {
      process.stdout.write(HELP);
      return undefined;
    }
    const modes = (["ceiling", "flat", "memory", "soak", "sample"] as const).filter(
      (name) => values[name] !== undefined,
    );
    if (modes.length > 1) return `one of ${modes.map((name) => `--${name}`).join(", ")}`;
    const mode: Mode = modes[0] ?? "rates";
    const { profile } = values;
    if (profile !== undefined && !SIP_PROFILES.some((name) => name === profile))
      return `--profile: ${SIP_PROFILES.join(" or ")}`;
    const one = mode === "flat" || mode === "soak" || mode === "sample" || mode === "memory";
    const number = (name: "seconds" | "warm-up" | "rounds" | "hold" | "soak", from: number, to: number): number => {
      const value = Number(values[name] ?? 0);
      if (!(value >= from && value <= to)) throw new Error(`--${name}: a number from ${from} to ${to}`);
      return value;
    };
    const list = (name: "rates" | "dialogs", text: string, max: number): readonly number[] => {
      const numbers = text.split(",").map(Number);
      if (!numbers.every((value, at) => value > 0 && value <= max && value > (numbers[at - 1] ?? 0)))
        throw new Error(`--${name}: growing numbers to ${max}, such as 10,25,50`);
      return numbers;
    };
    const seconds = number("seconds", 2, 3_600);
    const warmUpSeconds = number("warm-up", 0.5, 600);
    if (warmUpSeconds + 1 > seconds) return "--warm-up: shorter than --seconds";
    const asked = values.sample ?? values.rates;
    return {
      ...{ mode, seconds, warmUpSeconds },
      profiles: profile === undefined ? (one ? ["answer"] : SIP_PROFILES) : [profile as SipProfile],
      rates: asked !== undefined ? list("rates", asked, 5_000) : DEFAULT_RATES[mode],
      dialogs: list("dialogs", values.dialogs ?? (mode === "memory" ? "20000" : "10,100,500,1000,2000"), 40_000),
      rounds: number("rounds", 1, 20),
      holdMs: number("hold", 0, 50_000),
      soakCalls: mode === "soak" ? number("soak", 100, 10_000_000) : 0,
      against: values.against,
      checkpoints: values.checkpoints === true,
      shedding: values["no-shedding"] !== true,
      nodeFlags: (values["node-flags"] ?? SIP_SERVER_NODE_FLAGS.join(" ")).split(" ").filter((flag) => flag !== ""),
      json: values.json === true,
    };
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

const DEFAULT_RATES: Readonly<Record<Mode, readonly number[]>> = {
  rates: [100, 300, 500],
  ceiling: CEILING_RATES,
  flat: [100],
  memory: [500],
  soak: [400],
  sample: [300],
};

const parse = (args: readonly string[]) =>
  parseArgs({
    args: [...args],
    options: {
      rates: { type: "string" },
      ceiling: { type: "boolean" },
      flat: { type: "boolean" },
      memory: { type: "boolean" },
      soak: { type: "string" },
      sample: { type: "string" },
      profile: { type: "string" },
      seconds: { type: "string", default: "20" },
      "warm-up": { type: "string", default: "3" },
      rounds: { type: "string", default: "2" },
      hold: { type: "string", default: "500" },
      dialogs: { type: "string" },
      against: { type: "string" },
      checkpoints: { type: "boolean" },
      "no-shedding": { type: "boolean" },
      "node-flags": { type: "string" },
      json: { type: "boolean" },
      help: { type: "boolean", short: "h" },
    },
  });
