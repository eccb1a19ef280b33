// Sends YAML documents to the control plane: a tenant's in one request, because they are applied together or not at all.

import { readFileSync } from "node:fs";
import { z } from "zod";
import { complaintOf, connectRegion } from "../client/region-client.ts";
import { CommandEnd, EXIT } from "../exit.ts";
import { table } from "../terminal/table.ts";
import { type Command, dataDirOf, print, printJson, REGION_HELP, REGION_OPTIONS, regionOf, text } from "./command.ts";
import { type ObjectDocument, placeOf, readDocuments } from "./object-documents.ts";

const AppliedSchema = z.object({
  version: z.union([z.number(), z.string()]),
  changed: z.array(z.object({ kind: z.string(), id: z.string(), change: z.string() })),
});

const RefusedSchema = z.object({
  code: z.string(),
  mistakes: z.array(
    z.object({
      document: z.number().optional(),
      kind: z.string().optional(),
      id: z.string().optional(),
      path: z
        .union([z.string(), z.array(z.union([z.string(), z.number()])).transform((parts) => parts.join("."))])
        .default(""),
      message: z.string(),
    }),
  ),
});

export const apply: Command = {
  name: "apply",
  summary: "send a tenant's objects (YAML) to the control plane",
  usage: "FILE… [--tenant ID] [--region ID] [--json]",
  help: `Applies a tenant's documents of all the files together: either all of them or, if one is wrong, none, and then every
mistake is listed with its file and line. Of several tenants, one after the other: the first refusal ends the command,
and what tenants before it got stays. "-" reads standard input.

  --tenant ID     whose objects they are (default: the tenant document among them)
  --json          the control plane's answer as it is
${REGION_HELP}

Exit: 0 applied · 65 refused · 66 a file cannot be read · 69 no control plane · 77 token refused`,
  options: { ...REGION_OPTIONS, tenant: { type: "string" }, json: { type: "boolean" } },
  positionals: { min: 1, max: 1_000 },
  async run(invocation) {
    const documents = invocation.positionals.flatMap((file) => readDocuments(file, readFile(file)));
    if (documents.length === 0) throw new CommandEnd(EXIT.data, "no document in these files");
    const byTenant = groupByTenant(documents, text(invocation, "tenant"));
    const client = connectRegion(dataDirOf(invocation), regionOf(invocation));

    for (const [tenant, own] of byTenant) {
      const answer = await client.rest("POST", `/v1/tenants/${encodeURIComponent(tenant)}/apply`, {
        documents: own.map(({ value }) => value),
      });
      if (invocation.values.json === true) printJson(answer.body);
      const refused = RefusedSchema.safeParse(answer.body);
      if (answer.status >= 400 && refused.success) {
        const lines = refused.data.mistakes.map(({ document, kind, id, path, message }) => {
          const place = placeOf(own, document, path);
          const what = [kind, id].filter((part) => part !== undefined && part !== "").join(" ");
          return `${place}: ${what === "" ? "" : `${what}: `}${path === "" ? "" : `${path}: `}${message}`;
        });
        throw new CommandEnd(
          EXIT.data,
          `${refused.data.code}: nothing was changed, ${lines.length} mistake${lines.length === 1 ? "" : "s"}\n${lines.join("\n")}`,
        );
      }
      if (answer.status >= 500) throw new CommandEnd(EXIT.unavailable, complaintOf(answer));
      if (answer.status >= 300) throw new CommandEnd(EXIT.data, complaintOf(answer));
      if (invocation.values.json === true) continue;
      const applied = AppliedSchema.parse(answer.body);
      const changed = applied.changed.filter(({ change }) => change !== "unchanged");
      if (changed.length > 0)
        print(
          table(
            ["kind", "id", "change"],
            changed.map(({ kind, id, change }) => [kind, id, change]),
          ),
        );
      print(
        changed.length === 0
          ? `tenant ${tenant}: nothing to change, version ${applied.version}`
          : `tenant ${tenant}: version ${applied.version}`,
      );
    }
    return EXIT.ok;
  },
};

function readFile(file: string): string {
  try {
    return readFileSync(file === "-" ? 0 : file, "utf8");
  } catch (error) {
    throw new CommandEnd(
      EXIT.noInput,
      `cannot read ${file}: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
}

/**
 * A tenant's documents in their order. Whose a document is says the option, else the tenant document of its file, else
 * the only tenant document of all the files.
 */
function groupByTenant(
  documents: readonly ObjectDocument[],
  option: string | undefined,
): Map<string, ObjectDocument[]> {
  const named = (of: readonly ObjectDocument[]) => {
    const tenants = new Set(of.flatMap(({ tenant }) => tenant ?? []));
    return tenants.size === 1 ? [...tenants][0] : undefined;
  };
  const groups = new Map<string, ObjectDocument[]>();
  const homeless: string[] = [];
  for (const document of documents) {
    const neighbours = documents.filter(({ file }) => file === document.file);
    const tenant = option ?? document.tenant ?? named(neighbours) ?? named(documents);
    if (tenant === undefined)
      homeless.push(
        `${document.file}:${document.line}: whose is it? Put a tenant document into the file, or use --tenant ID`,
      );
    else groups.set(tenant, [...(groups.get(tenant) ?? []), document]);
  }
  if (homeless.length > 0) throw new CommandEnd(EXIT.data, homeless.join("\n"));
  return groups;
}
