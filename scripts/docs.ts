// Holds docs/ against the code: a code, a file or a constant that a page names must exist, and every failure code has its row.
//
//   npm run docs              check; exit 1 and a list of what is wrong
//   npm run docs -- --write   write the tables that are made from the code (FAILURES.md), then check

import { existsSync, globSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { allFailures } from "../pop/core/failure/all-failures.ts";

const FAILURES = "docs/FAILURES.md";
const BEGIN = "<!-- pop failures: written by npm run docs -->";
const END = "<!-- end -->";

const { values } = parseArgs({ options: { write: { type: "boolean", default: false } } });
const wrong: string[] = [];

function failureTable(): string {
  const rows = Object.entries(allFailures)
    .sort(([a], [b]) => a.localeCompare(b))
    .map(([code, { blame, sipStatus, operator }]) => {
      const status = sipStatus === undefined ? "–" : sipStatus === 0 ? "none (dropped)" : String(sipStatus);
      return `| \`${code}\` | ${blame} | ${status} | ${operator} |`;
    });
  return ["| code | whose fault | SIP answer | what an operator does |", "|---|---|---|---|", ...rows].join("\n");
}

function checkFailures(): void {
  const page = readFileSync(FAILURES, "utf8");
  const begin = page.indexOf(BEGIN);
  const end = page.indexOf(END);
  if (begin < 0 || end < begin) {
    wrong.push(`${FAILURES}: the markers of the written table are gone`);
    return;
  }
  const made = `${page.slice(0, begin + BEGIN.length)}\n\n${failureTable()}\n\n${page.slice(end)}`;
  if (made === page) return;
  if (values.write) writeFileSync(FAILURES, made);
  else wrong.push(`${FAILURES}: the table differs from pop/core/failure/all-failures.ts; run: npm run docs -- --write`);
}

/** Rows that say `NAME` in `file`: the file has that name. Paths in backticks exist. Links lead somewhere. */
function checkNames(): void {
  for (const page of ["README.md", "ARCHITECTURE.md", "CHANGELOG.md", ...globSync("docs/**/*.md")]) {
    const text = readFileSync(page, "utf8");
    for (const [line, content] of text.split("\n").entries()) {
      const where = `${page}:${line + 1}`;
      for (const [, path = ""] of content.matchAll(
        /`((?:kernel|proto|pop|control-plane|regions|cli|pulumi|loadtest|docs|scripts|examples)\/[\w./-]*\w)`/g,
      ))
        if (!existsSync(path)) wrong.push(`${where}: there is no ${path}`);
      for (const [, name = "", path = ""] of content.matchAll(/`(\w+)` in `([\w./-]+)`/g))
        if (existsSync(path) && !readFileSync(path, "utf8").includes(name))
          wrong.push(`${where}: ${path} has no ${name}`);
      for (const [, target = ""] of content.matchAll(/\]\(([^)#:]+)(?:#[^)]*)?\)/g))
        if (!existsSync(join(dirname(page), target))) wrong.push(`${where}: the link to ${target} leads nowhere`);
    }
  }
}

checkFailures();
checkNames();
if (wrong.length > 0) {
  console.error(wrong.join("\n"));
  process.exitCode = 1;
} else console.log("docs and code agree");
