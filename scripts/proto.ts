// After a change in proto/idl: lint, compare with the last release for breaking changes, generate.
//
//   npm run proto                 all three
//   npm run proto -- --check      the same, and fails when what is generated differs from what is committed
//   npm run proto -- --release    makes today's definitions the ones that later ones must not break

import { spawnSync } from "node:child_process";
import { parseArgs } from "node:util";

const { values } = parseArgs({
  options: { check: { type: "boolean", default: false }, release: { type: "boolean", default: false } },
});

function run(what: string, command: string, ...args: string[]): void {
  const { status, stdout, stderr } = spawnSync(command, args, { cwd: "proto", encoding: "utf8" });
  if (status === 0) return console.log(`${what}: ok`);
  console.error(`${what} failed:\n${stdout}${stderr}`);
  process.exit(1);
}

run("lint", "buf", "lint");
run("format", "buf", "format", "--diff", "--exit-code");
if (values.release) run("release", "buf", "build", "-o", "released.binpb");
else run("no breaking change since the last release", "buf", "breaking", "--against", "released.binpb");
run("generate", "buf", "generate");
if (values.check) run("generated files are committed", "git", "diff", "--exit-code", "--stat", "--", "gen");
