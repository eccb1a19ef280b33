// npm run sim -- --seed N [--minutes M] [--log] [--history]    one run: seed, faults, first broken invariant
// npm run sim:twice -- --seed N [--minutes M]                  the same run twice: the histories must be equal
// npm run sim:many -- --seeds N [--from N] [--minutes M] [--failures N]    many, each twice; stops at the first failure, or the n-th

import { parseArgs } from "node:util";
import { showFault } from "./faults.ts";
import { runMany } from "./many.ts";
import { simulate } from "./pair.ts";
import { judge, showBroken } from "./run.ts";

const USAGE = 64;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seed: { type: "string", default: "1" },
    seeds: { type: "string", default: "1000" },
    from: { type: "string", default: "1" },
    minutes: { type: "string", default: "0.5" },
    workers: { type: "string", default: "2" },
    failures: { type: "string", default: "1" },
    log: { type: "boolean", default: false },
    history: { type: "boolean", default: false },
  },
});

function whole(name: "seed" | "seeds" | "from" | "workers" | "failures", max: number): number {
  const value = Number(values[name]);
  if (Number.isInteger(value) && value >= 1 && value <= max) return value;
  console.error(`sim: --${name} is a whole number from 1 to ${max}, not "${values[name]}"`);
  process.exit(USAGE);
}

const seed = whole("seed", 2 ** 31);
const minutes = Number(values.minutes);
if (!(minutes > 0 && minutes <= 600)) {
  console.error(`sim: --minutes is a number up to 600, not "${values.minutes}"`);
  process.exit(USAGE);
}

switch (positionals[0] ?? "one") {
  case "one": {
    const show = values.log ? (line: string) => console.log(line) : undefined;
    const result = await simulate({ seed, minutes, ...(show === undefined ? {} : { show }) });
    if (values.history) for (const line of result.history.lines) console.log(line);
    if (result.broken !== undefined) {
      console.log(showBroken(result, minutes));
      process.exitCode = 1;
    } else for (const fault of result.faults) console.log(showFault(fault));
    console.log(`seed ${seed}: ${JSON.stringify(result.facts)}, history ${result.digest}`);
    break;
  }
  case "twice": {
    const verdict = await judge({ seed, minutes });
    if (verdict.failure !== undefined) process.exitCode = 1;
    console.log(verdict.failure ?? `seed ${seed}: twice the same history, ${verdict.digest}`);
    break;
  }
  case "many":
    process.exitCode = await runMany({
      from: whole("from", 2 ** 31),
      seeds: whole("seeds", 10_000_000),
      minutes,
      workers: whole("workers", 64),
      failures: whole("failures", 1_000),
    });
    break;
  default:
    console.error("sim: one, twice or many");
    process.exitCode = USAGE;
}
