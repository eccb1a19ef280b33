// Runs tests by kind and ends with one line: "N passed, N failed".
//
//   node scripts/run-tests.ts                 steps, values, properties, contracts on memory (no engines)
//   node scripts/run-tests.ts engines         the contracts against real etcd, Redis, rtpengine …
//   node scripts/run-tests.ts e2e             the real processes, end to end
//   node scripts/run-tests.ts all             everything
//   node scripts/run-tests.ts PATH …          what stands below these paths, whatever its kind

import { globSync } from "node:fs";
import { run } from "node:test";
import { spec } from "node:test/reporters";

const ENGINE = ".engine.test.ts";
const END_TO_END = ".e2e.test.ts";
const isEngine = (file: string) => file.endsWith(ENGINE);
const isEndToEnd = (file: string) => file.endsWith(END_TO_END);
const isPlain = (file: string) => !isEngine(file) && !isEndToEnd(file);

const every = globSync("{kernel,proto,pop,control-plane,regions,cli,pulumi,loadtest,scripts}/**/*.test.ts", {
  exclude: (name) => name === "node_modules",
}).sort();

const asked = process.argv.slice(2);
const kind = asked[0] ?? "plain";

interface Batch {
  readonly files: readonly string[];
  /** Test files at once: engines and real processes share ports and two cores, so they go one by one. */
  readonly concurrency: number;
}

const BATCHES: Record<string, readonly Batch[]> = {
  plain: [{ files: every.filter(isPlain), concurrency: 2 }],
  engines: [{ files: every.filter(isEngine), concurrency: 1 }],
  e2e: [{ files: every.filter(isEndToEnd), concurrency: 1 }],
  all: [
    { files: every.filter(isPlain), concurrency: 2 },
    { files: every.filter(isEngine), concurrency: 1 },
    { files: every.filter(isEndToEnd), concurrency: 1 },
  ],
};

const below = (paths: readonly string[]) => every.filter((file) => paths.some((path) => file.startsWith(path)));
const batches = BATCHES[kind] ?? [{ files: below(asked), concurrency: 1 }];

let passed = 0;
let failed = 0;
let skipped = 0;
const failures: string[] = [];

for (const { files, concurrency } of batches) {
  if (files.length === 0) continue;
  await new Promise<void>((resolve) => {
    const events = run({ files: [...files], concurrency });
    events.on("test:pass", ({ skip, todo, details }) => {
      if (details.type === "suite") return;
      if (skip !== undefined || todo !== undefined) skipped++;
      else passed++;
    });
    events.on("test:fail", ({ name, file, details }) => {
      if (details.type === "suite") return;
      failed++;
      failures.push(`${file ?? "?"}: ${name}`);
    });
    events.on("end", resolve);
    events.compose(spec).pipe(process.stdout, { end: false });
  });
}

if (batches.every(({ files }) => files.length === 0)) {
  console.error(`no test file matches: ${asked.join(" ")}`);
  process.exitCode = 2;
}
if (failures.length > 0) console.log(`\nfailed:\n${failures.map((line) => `  ${line}`).join("\n")}`);
console.log(`\n${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`);
if (failed > 0) process.exitCode = 1;
