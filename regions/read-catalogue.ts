// Reads the region files from disk for those who run things: the command line, the local target, the stacks.

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Outcome } from "../kernel/outcome.ts";
import { type Catalogue, type CatalogueInvalid, loadCatalogue } from "./schema/catalogue.ts";

export const CATALOGUE_FOLDER = join(import.meta.dirname, "catalogue");

/** @fails catalogue.invalid with every mistake of every file */
export function readCatalogue(folder: string = CATALOGUE_FOLDER): Outcome<Catalogue, CatalogueInvalid> {
  const names = readdirSync(folder)
    .filter((name) => name.endsWith(".yaml"))
    .sort();
  return loadCatalogue(names.map((name) => ({ name, text: readFileSync(join(folder, name), "utf8") })));
}
