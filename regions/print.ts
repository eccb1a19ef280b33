// `npm run regions`: checks the whole catalogue and prints it.

import { EXIT } from "../kernel/shell/process.ts";
import { readCatalogue } from "./read-catalogue.ts";
import { showCatalogueMistakes } from "./schema/catalogue.ts";
import { regionTable } from "./schema/region-table.ts";

const catalogue = readCatalogue();
if (catalogue.ok) console.log(regionTable([...catalogue.value.values()]));
else {
  console.error(`the region catalogue is not usable:\n${showCatalogueMistakes(catalogue.failure.mistakes)}`);
  process.exitCode = EXIT.config;
}
