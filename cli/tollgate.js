#!/usr/bin/env node
// Starts the command line on a Node that can run it. The sources are TypeScript, which Node runs by itself from
// version 24 on; on an older one this re-executes with the Node 24 that `npm ci` put into the checkout.
// Plain JavaScript of the old kind, so that any Node can at least say what is wrong.

import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { constants } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const major = Number(process.versions.node.split(".")[0]);

if (major >= 24) {
  await import("./main.ts");
} else {
  const node = join(here, "..", "node_modules", ".bin", "node");
  if (!existsSync(node)) {
    process.stderr.write(
      `tollgate: this is Node ${process.versions.node}, and 24 is needed; run "npm ci" in ${dirname(here)} (or "make demo"), which brings it\n`,
    );
    process.exit(69);
  }
  reexecute(node);
}

/** @param {string} node */
function reexecute(node) {
  // Should this launcher be killed outright, then the real process is told to stop by the kernel.
  const setpriv = "/usr/bin/setpriv";
  const words = [node, join(here, "main.ts"), ...process.argv.slice(2)];
  if (existsSync(setpriv)) words.unshift(setpriv, "--pdeathsig", "SIGTERM", "--");
  const child = spawn(words[0], words.slice(1), { stdio: "inherit" });

  // A terminal sends Ctrl-C to both of us; what is sent to this process alone is passed on.
  for (const signal of ["SIGTERM", "SIGHUP", "SIGQUIT"]) process.on(signal, () => child.kill(signal));
  process.on("SIGINT", () => {
    if (!process.stdin.isTTY) child.kill("SIGINT");
  });
  child.on("error", (error) => {
    process.stderr.write(`tollgate: cannot run ${node}: ${error.message}\n`);
    process.exit(69);
  });
  child.on("exit", (code, signal) => {
    process.exit(signal === null ? (code ?? 1) : 128 + constants.signals[signal]);
  });
}
