import { resolve } from "node:path";
import type { parseArgs } from "node:util";
import { CommandEnd, EXIT } from "../exit.ts";
import { type Paint, paintFor } from "../terminal/colour.ts";
import { CHECKOUT, DEFAULT_DATA_DIR } from "../up/start-region.ts";

type Options = NonNullable<NonNullable<Parameters<typeof parseArgs>[0]>["options"]>;

export interface Invocation {
  readonly positionals: readonly string[];
  readonly values: Readonly<Record<string, string | boolean | undefined>>;
  readonly paint: Paint;
}

export interface Command {
  /** As typed: "call trace". */
  readonly name: string;
  readonly summary: string;
  /** After the name: "ID [--json]". */
  readonly usage: string;
  /** Lines below the usage: what it does, its options, an example. */
  readonly help: string;
  readonly options: Options;
  readonly positionals: { readonly min: number; readonly max: number };
  run(invocation: Invocation): Promise<number>;
}

/** Options that name a running region; the commands that ask it something share them. */
export const REGION_OPTIONS = {
  region: { type: "string", default: "eu" },
  data: { type: "string" },
} as const satisfies Options;

export const REGION_HELP = `  --region ID     region of the catalogue (default eu)
  --data DIR      where "tollgate up" keeps its data (default .tollgate in the checkout; TOLLGATE_DATA overrides it)`;

export const text = (invocation: Invocation, name: string): string | undefined => {
  const value = invocation.values[name];
  return typeof value === "string" ? value : undefined;
};

export const dataDirOf = (invocation: Invocation): string =>
  resolve(text(invocation, "data") ?? process.env.TOLLGATE_DATA ?? DEFAULT_DATA_DIR);

export const regionOf = (invocation: Invocation): string => text(invocation, "region") ?? "eu";

export const printJson = (value: unknown): void => {
  process.stdout.write(`${JSON.stringify(value, null, 2)}\n`);
};

export const print = (line: string): void => {
  process.stdout.write(`${line}\n`);
};

export const usageError = (message: string): CommandEnd => new CommandEnd(EXIT.usage, message);

export { CHECKOUT, paintFor };
