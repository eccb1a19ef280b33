// The `tollgate` command: finds the command, reads its options, runs it, and says how it went by the exit code.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { agentSignIn, agentSignOut, agentState } from "./commands/agent.ts";
import { apply } from "./commands/apply.ts";
import { callList } from "./commands/call-list.ts";
import { callTrace } from "./commands/call-trace.ts";
import { CHECKOUT, type Command, paintFor, print } from "./commands/command.ts";
import { drillList, drillReport, drillRun } from "./commands/drill.ts";
import { hostDrain, hostList, hostReturn } from "./commands/host.ts";
import { status } from "./commands/status.ts";
import { up } from "./commands/up.ts";
import { CommandEnd, EXIT } from "./exit.ts";

const COMMANDS: readonly Command[] = [
  up,
  status,
  apply,
  agentSignIn,
  agentSignOut,
  agentState,
  callList,
  callTrace,
  drillList,
  drillRun,
  drillReport,
  hostList,
  hostDrain,
  hostReturn,
];

const version = (): string => {
  const { version } = JSON.parse(readFileSync(join(CHECKOUT, "package.json"), "utf8")) as { version: string };
  return version;
};

const overview = (): string => {
  const width = Math.max(...COMMANDS.map(({ name }) => name.length));
  return `usage: tollgate COMMAND [OPTIONS]

${COMMANDS.map(({ name, summary }) => `  ${name.padEnd(width)}  ${summary}`).join("\n")}

  tollgate COMMAND --help   what it does and its options
  tollgate --version`;
};

const helpOf = (command: Command): string => `usage: tollgate ${command.name} ${command.usage}

${command.summary}

${command.help}`;

async function main(words: readonly string[]): Promise<number> {
  const [first, second] = words;
  if (first === undefined) {
    process.stderr.write(`${overview()}\n`);
    return EXIT.usage;
  }
  if (first === "--help" || first === "-h" || first === "help") {
    print(overview());
    return EXIT.ok;
  }
  if (first === "--version" || first === "-V") {
    print(version());
    return EXIT.ok;
  }
  const command =
    COMMANDS.find(({ name }) => name === `${first} ${second}`) ?? COMMANDS.find(({ name }) => name === first);
  if (command === undefined) {
    const family = COMMANDS.filter(({ name }) => name.startsWith(`${first} `));
    if (family.length > 0 && (second === "--help" || second === "-h")) {
      print(family.map(helpOf).join("\n\n"));
      return EXIT.ok;
    }
    const known =
      family.length > 0 ? `there is: ${family.map(({ name }) => name).join(", ")}` : 'see "tollgate --help"';
    process.stderr.write(
      `tollgate: no command "${family.length > 0 ? words.slice(0, 2).join(" ") : first}"; ${known}\n`,
    );
    return EXIT.usage;
  }
  const rest = words.slice(command.name.split(" ").length);
  try {
    const { values, positionals } = parseArgs({
      args: rest,
      options: { ...command.options, help: { type: "boolean", short: "h" } },
      allowPositionals: true,
    });
    if (values.help === true) {
      print(helpOf(command));
      return EXIT.ok;
    }
    const { min, max } = command.positionals;
    if (positionals.length < min || positionals.length > max)
      throw new CommandEnd(EXIT.usage, `usage: tollgate ${command.name} ${command.usage}`);
    return await command.run({
      positionals,
      values: values as Record<string, string | boolean | undefined>,
      paint: paintFor(process.stdout),
    });
  } catch (error) {
    if (error instanceof CommandEnd) {
      process.stderr.write(`tollgate ${command.name}: ${error.message}\n`);
      return error.code;
    }
    if (error instanceof TypeError && "code" in error && String(error.code).startsWith("ERR_PARSE_ARGS")) {
      process.stderr.write(
        `tollgate ${command.name}: ${error.message}\nusage: tollgate ${command.name} ${command.usage}\n`,
      );
      return EXIT.usage;
    }
    throw error;
  }
}

// A reader that has had enough (`| head`) is no failure.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(EXIT.ok);
  throw error;
});

process.exitCode = await main(process.argv.slice(2));
// What is left open (sockets kept alive, timers) must not keep a finished command from ending.
process.stdout.write("", () => process.exit());
