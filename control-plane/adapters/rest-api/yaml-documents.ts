import { LineCounter, parseAllDocuments } from "yaml";
import type { Mistake } from "../../core/tenancy/apply.ts";

/** A multi-document text as values. Mistakes of syntax name the document and the line; empty documents are skipped. */
export function readYamlDocuments(text: string): {
  readonly documents: readonly unknown[];
  readonly mistakes: readonly Mistake[];
} {
  const lineCounter = new LineCounter();
  const documents: unknown[] = [];
  const mistakes: Mistake[] = [];
  for (const parsed of [...parseAllDocuments(text, { lineCounter, uniqueKeys: true })]) {
    const number = documents.length + 1;
    for (const { message, linePos } of parsed.errors) {
      const line = linePos?.[0].line;
      const path = line === undefined ? "" : `line ${line}`;
      mistakes.push({ document: number, kind: "", id: "", path, message: message.split("\n")[0] ?? message });
    }
    if (parsed.errors.length > 0) {
      documents.push(undefined);
      continue;
    }
    try {
      const value: unknown = parsed.toJS({ maxAliasCount: 100 });
      if (value !== null && value !== undefined) documents.push(value);
    } catch (error) {
      mistakes.push({ document: number, kind: "", id: "", path: "", message: String(error) });
      documents.push(undefined);
    }
  }
  return { documents, mistakes };
}
