import type { LogLevel } from "../../kernel/log.ts";
import { EXIT } from "../exit.ts";
import { isForTerminal, showLogEntry } from "../terminal/log-line.ts";
import { isOwnNamespace } from "../up/fabric.ts";
import { startAgainInNewNetwork } from "../up/own-network.ts";
import { type RunningRegion, showUpFailure, startRegion } from "../up/start-region.ts";
import { type Command, dataDirOf, print, REGION_HELP, REGION_OPTIONS, regionOf, text, usageError } from "./command.ts";

const LEVELS: readonly LogLevel[] = ["debug", "info", "warn", "error"];

export const up: Command = {
  name: "up",
  summary: "run a region on this machine until Ctrl-C",
  usage: "[--region ID] [--hosts A,B] [--network netns] [--data DIR] [--log-level LEVEL]",
  help: `Starts etcd, Redis, the control plane and the first POP of the region with its hosts, each of them a sip-server,
rtpengine, media-worker and pop; shows what they write; restarts one that dies; stops them all on Ctrl-C.

${REGION_HELP}
  --hosts A,B        only these hosts (default: both of the region's first POP)
  --prompts DIR      recorded prompts and music (default DATA/prompts)
  --network netns    each host in a network namespace of its own, addresses 10.x instead of 127.x; root only
  --no-control-plane without control plane and etcd: the POP lives on its last snapshot
  --log-level LEVEL  debug, info, warn or error (default info); everything is in DATA/REGION/logs

Exit: 0 stopped on request · 78 bad region file or configuration · 69 a port is taken, a program is missing, or it is already up · 1 a process would not start`,
  options: {
    ...REGION_OPTIONS,
    hosts: { type: "string" },
    prompts: { type: "string" },
    network: { type: "string", default: "loopback" },
    "no-control-plane": { type: "boolean" },
    "log-level": { type: "string", default: "info" },
  },
  positionals: { min: 0, max: 0 },
  async run(invocation) {
    const { paint } = invocation;
    const level = LEVELS.find((one) => one === text(invocation, "log-level"));
    if (level === undefined) throw usageError(`--log-level is ${LEVELS.join(", ")}`);
    const hosts = text(invocation, "hosts")?.split(",");
    const network = text(invocation, "network") ?? "loopback";
    if (network !== "loopback" && network !== "netns") throw usageError("--network is loopback or netns");
    // Becomes this command once more, in a network of its own; what refuses it there says so.
    if (network === "netns" && process.getuid?.() === 0 && !isOwnNamespace()) startAgainInNewNetwork();

    const prompts = text(invocation, "prompts");

    const abort = new AbortController();
    let running: RunningRegion | undefined;
    let asked = 0;
    let finished: (() => void) | undefined;
    const done = new Promise<void>((resolve) => {
      finished = resolve;
    });
    const stop = (signal: string) => {
      asked++;
      if (asked > 1) {
        print(paint.yellow("asked twice: killing what is left"));
        running?.killAll();
        if (asked > 2) process.exit(EXIT.failed);
        return;
      }
      print(paint.dim(`${signal}: stopping (again to kill)`));
      if (running === undefined) abort.abort();
      else void running.stop().then(() => finished?.());
    };
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => stop(signal));

    const outcome = await startRegion({
      region: regionOf(invocation),
      dataDir: dataDirOf(invocation),
      network,
      ...(hosts === undefined ? {} : { hosts }),
      ...(prompts === undefined ? {} : { promptsDir: prompts }),
      controlPlane: invocation.values["no-control-plane"] !== true,
      signal: abort.signal,
      onLog: (entry) => {
        if (isForTerminal(entry, level)) print(showLogEntry(entry, paint));
      },
    });
    if (!outcome.ok) {
      if (outcome.failure.code === "up.interrupted") return EXIT.ok;
      process.stderr.write(`tollgate up: ${showUpFailure(outcome.failure)}\n`);
      switch (outcome.failure.code) {
        case "catalogue.invalid":
          return EXIT.config;
        case "up.network-needs-root":
          return EXIT.permission;
        case "up.region-unknown":
        case "up.host-unknown":
          return EXIT.usage;
        case "up.process-failed":
          return outcome.failure.exitCode === EXIT.config || outcome.failure.exitCode === EXIT.unavailable
            ? outcome.failure.exitCode
            : EXIT.failed;
        case "up.not-ready":
          return EXIT.failed;
        default:
          return EXIT.unavailable;
      }
    }
    running = outcome.value;
    const { addresses } = running;
    print("");
    print(paint.bold(`region ${running.region} is up`));
    for (const host of addresses.hosts)
      print(
        `  SIP of ${host.hostId}   ${host.address}:${host.sipPort} (UDP, TCP), :${host.sipTlsPort} (TLS), :${host.sipWssPort} (WSS)${
          host.sipV6Port === undefined ? "" : `, [::1]:${host.sipV6Port}`
        }   ${host.popUrl}/calls`,
      );
    print(`  REST API           ${addresses.restUrl}   token in ${addresses.adminTokenFile}`);
    print(`  logs               ${addresses.logs}`);
    print(
      paint.dim(
        "  in another terminal: tollgate status · tollgate apply FILE… · tollgate call list · Ctrl-C here stops all",
      ),
    );
    print("");
    await done;
    print("stopped; nothing is left running");
    return EXIT.ok;
  },
};
