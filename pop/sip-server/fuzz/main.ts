// Fuzzes the sip-server for as long as it is told.
//
//   node pop/sip-server/fuzz/main.ts --minutes 10 [--seed 1] [--target parse|stream|frames|endpoint] [--keep] [--unguided]
//
// Exit 1 when something was found; each finding is printed whole, minimised, as a JSON string.
// --keep: inputs that reached new code are added to the corpus, shrunk as far as they still reach it.

import { parseArgs } from "node:util";
import { corpusOf, keep } from "./corpus.ts";
import { Coverage } from "./coverage.ts";
import { fuzz } from "./fuzzer.ts";

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "1" },
    seed: { type: "string", default: "1" },
    target: { type: "string" },
    keep: { type: "boolean", default: false },
    unguided: { type: "boolean", default: false },
  },
});
// Before the code under test is loaded: V8 counts blocks only of what it compiles from now on.
const coverage = values.unguided ? undefined : new Coverage();
const { allTargets } = await import("./targets.ts");

const minutes = Number(values.minutes);
const seed = Number(values.seed);
const targets = allTargets().filter(({ name }) => values.target === undefined || values.target === name);
if (!(minutes > 0) || !Number.isInteger(seed) || targets.length === 0) {
  console.error("usage: main.ts --minutes N [--seed S] [--target parse|stream|frames|endpoint] [--keep] [--unguided]");
  process.exit(2);
}

const KEPT_BYTES_MAX = 4_096;
let inputs = 0;
let findings = 0;
for (const target of targets) {
  const from = performance.now();
  let shownMs = from;
  const result = await fuzz(target, {
    seed,
    inputsMax: Number.POSITIVE_INFINITY,
    untilMs: from + (minutes * 60_000) / targets.length,
    coverage,
    corpus: corpusOf(target.name),
    onProgress(facts) {
      const now = performance.now();
      if (now - shownMs < 5_000) return;
      shownMs = now;
      const perSecond = Math.round(facts.inputs / ((now - from) / 1_000));
      console.log(
        `${target.name}: ${facts.inputs} inputs (${perSecond}/s), ${Math.round(facts.bytes / 1e6)} MB, ${facts.blocks} blocks reached, ${facts.corpus} kept, ${facts.findings} findings`,
      );
    },
  });
  inputs += result.inputs;
  findings += result.found.length;
  if (values.keep) for (const input of result.kept) if (input.length <= KEPT_BYTES_MAX) keep(target.name, input);
  for (const { input, error } of result.found) console.log(`\n${target.name} FOUND ${error}\n${JSON.stringify(input)}`);
  console.log(
    `${target.name}: ${result.inputs} inputs, ${result.bytes} bytes, ${result.blocks} blocks reached, ${result.kept.length} kept, ${result.found.length} findings`,
  );
}
coverage?.close();
console.log(`total: ${inputs} inputs, ${findings} findings, seed ${seed}`);
if (findings > 0) process.exitCode = 1;
