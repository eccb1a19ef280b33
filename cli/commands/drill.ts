// `tollgate drill`: breaks a region of its own on purpose, measures what that does to calls, and says whether it is within limits.

import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import {
  type Drill,
  findDrill,
  listDrills,
  type Network,
  showDrillFileFailure,
} from "../../loadtest/drill/drill-file.ts";
import type { DrillReport } from "../../loadtest/drill/report/drill-report.ts";
import { textReport } from "../../loadtest/drill/report/text.ts";
import { writeReport } from "../../loadtest/drill/report/write-report.ts";
import { Aborted, runDrill } from "../../loadtest/drill/run-drill.ts";
import type { SystemUnderTest } from "../../loadtest/drill/systems/system-under-test.ts";
import { SYSTEMS } from "../../loadtest/drill/systems/systems.ts";
import { CommandEnd, EXIT } from "../exit.ts";
import { table } from "../terminal/table.ts";
import { isOwnNamespace } from "../up/fabric.ts";
import { startAgainInNewNetwork } from "../up/own-network.ts";
import { DEFAULT_DATA_DIR } from "../up/start-region.ts";
import { type Command, type Invocation, print, printJson, text, usageError } from "./command.ts";

const REPORT = "report.json";

export const drillList: Command = {
  name: "drill list",
  summary: "the drills of drills/, what each breaks and where it can run",
  usage: "[--json]",
  help: `Drills are files: drills/NAME.yaml.

  --json          the same as data`,
  options: { json: { type: "boolean" } },
  positionals: { min: 0, max: 0 },
  run(invocation) {
    const all = listDrills();
    if (invocation.values.json === true)
      printJson(all.map(({ name, drill }) => (drill.ok ? drill.value : { name, ...drill.failure })));
    else
      print(
        table(
          ["drill", "calls", "network", "what it breaks"],
          all.map(({ name, drill }) =>
            drill.ok
              ? [
                  name,
                  String(drill.value.steadyState.calls),
                  drill.value.topology.networks.join(" or "),
                  faults(drill.value),
                ]
              : [name, "", "", "not usable: see tollgate drill run"],
          ),
        ),
      );
    return Promise.resolve(all.every(({ drill }) => drill.ok) ? EXIT.ok : EXIT.config);
  },
};

const faults = ({ fault }: Drill): string =>
  fault
    .map((step) => {
      if ("kill" in step) return `${step.signal} ${step.kill}`;
      if ("pause" in step) return `pause ${step.pause}`;
      return "cut" in step ? `cut ${step.cut.join(" – ")}` : `start ${step.start}`;
    })
    .join(", ");

export const drillRun: Command = {
  name: "drill run",
  summary: "runs one drill on a region of its own and judges it",
  usage: "NAME|FILE [--calls N] [--network netns|loopback] [--out DIR] [--json]",
  help: `Starts the region, puts up the calls, breaks what the drill says, watches, uses every call that is left, and writes
report.json, report.txt, report.html and the captures into DIR.

  --calls N       instead of the drill's own number; divided over its classes
  --network NET   netns: every host in a network namespace of its own (root) · loopback (default: the drill's first that works here)
  --out DIR       default .tollgate/drills/NAME in the checkout; emptied first
  --system NAME   what is drilled: ${Object.keys(SYSTEMS).join(", ")} (default tollgate)
  --json          the report as data on stdout

Exit: 0 every limit was met · 1 one was not, or the drill was broken off · 64 usage · 78 no such drill, or its file has mistakes · 69 it cannot run here`,
  options: {
    calls: { type: "string" },
    network: { type: "string" },
    out: { type: "string" },
    system: { type: "string", default: "tollgate" },
    json: { type: "boolean" },
  },
  positionals: { min: 1, max: 1 },
  async run(invocation) {
    const found = findDrill(invocation.positionals[0] ?? "");
    if (!found.ok) throw new CommandEnd(EXIT.config, showDrillFileFailure(found.failure));
    const drill = found.value;
    const system = SYSTEMS[text(invocation, "system") ?? ""];
    if (system === undefined) throw usageError(`--system is ${Object.keys(SYSTEMS).join(" or ")}`);
    const network = networkFor(drill, system, text(invocation, "network"));
    const calls = callsOf(invocation);
    if (network === "netns" && !isOwnNamespace()) startAgainInNewNetwork();
    const out = resolve(text(invocation, "out") ?? join(DEFAULT_DATA_DIR, "drills", drill.name));
    const report = await run(invocation, drill, system, network, calls, out);
    writeReport(report, out);
    if (invocation.values.json === true) printJson(report);
    else {
      print("");
      print(textReport(report, invocation.paint));
      print(`${join(out, "report.html")}`);
    }
    return report.verdict === "passed" ? EXIT.ok : EXIT.failed;
  },
};

async function run(
  invocation: Invocation,
  drill: Drill,
  system: SystemUnderTest,
  network: Network,
  calls: number | undefined,
  out: string,
): Promise<DrillReport> {
  const { paint } = invocation;
  const say = (line: string) => {
    if (invocation.values.json !== true) print(line);
  };
  const abort = new AbortController();
  let asked = 0;
  const stop = (signal: string) => {
    asked++;
    say(paint.yellow(asked === 1 ? `${signal}: stopping everything (again to kill)` : "killed"));
    if (asked > 1) process.exit(EXIT.failed); // all that we started dies with us
    abort.abort();
  };
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => stop(signal));
  say(`${paint.bold(drill.name)} on ${network}: ${faults(drill)}`);
  try {
    return await runDrill({
      drill,
      system,
      network,
      out,
      ...(calls === undefined ? {} : { calls }),
      signal: abort.signal,
      onPhase: ({ name, said, lastedMs }) => {
        if (lastedMs === undefined) say(paint.dim(`  ${name} …`));
        else say(`  ${name.padEnd(13)} ${`${(lastedMs / 1_000).toFixed(1)} s`.padStart(7)}  ${said ?? ""}`);
      },
    });
  } catch (error) {
    if (error instanceof Aborted)
      throw new CommandEnd(EXIT.failed, `broken off: ${error.message}; nothing is left running`);
    throw error;
  }
}

function networkFor(drill: Drill, system: SystemUnderTest, asked: string | undefined): Network {
  const { networks } = drill.topology;
  const [first] = networks;
  if (asked !== undefined) {
    const known = networks.find((one) => one === asked);
    if (known === undefined) throw usageError(`${drill.name} runs on ${networks.join(" or ")}, not on ${asked}`);
    const why = system.cannotRunOn(known);
    if (why !== undefined) throw new CommandEnd(EXIT.unavailable, `${system.name} cannot run on ${known}: ${why}`);
    return known;
  }
  const possible = networks.find((one) => system.cannotRunOn(one) === undefined);
  if (possible === undefined)
    throw new CommandEnd(
      EXIT.unavailable,
      `${drill.name} is skipped: ${networks.map((one) => `${one}: ${system.cannotRunOn(one)}`).join("; ")}`,
    );
  return possible ?? first;
}

function callsOf(invocation: Invocation): number | undefined {
  const asked = text(invocation, "calls");
  if (asked === undefined) return undefined;
  const calls = Number(asked);
  if (!Number.isInteger(calls) || calls < 1 || calls > 2_000) throw usageError("--calls is a number, 1 … 2000");
  return calls;
}

export const drillReport: Command = {
  name: "drill report",
  summary: "shows a report again, from the folder that a run has written",
  usage: "DIR|NAME [--json]",
  help: `Reads DIR/report.json and draws report.txt and report.html anew.

Exit: 0 it says passed · 1 failed or aborted · 66 there is none`,
  options: { json: { type: "boolean" } },
  positionals: { min: 1, max: 1 },
  run(invocation) {
    const [asked = ""] = invocation.positionals;
    const folder = [resolve(asked), join(DEFAULT_DATA_DIR, "drills", asked)].find((one) =>
      existsSync(join(one, REPORT)),
    );
    if (folder === undefined)
      throw new CommandEnd(EXIT.noInput, `no ${REPORT} in ${asked}, and no drill of that name has been run`);
    const report = JSON.parse(readFileSync(join(folder, REPORT), "utf8")) as DrillReport;
    if (report.version !== 1) throw new CommandEnd(EXIT.data, `${join(folder, REPORT)} is of another version`);
    writeReport(report, folder);
    if (invocation.values.json === true) printJson(report);
    else print(textReport(report, invocation.paint));
    return Promise.resolve(report.verdict === "passed" ? EXIT.ok : EXIT.failed);
  },
};
