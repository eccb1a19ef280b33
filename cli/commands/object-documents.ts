// YAML documents with the places of what they say, so that a mistake the control plane finds can be shown by file and
// line. Pure.

import { type Document, isNode, LineCounter, parseAllDocuments } from "yaml";
import { CommandEnd, EXIT } from "../exit.ts";

export interface ObjectDocument {
  readonly file: string;
  /** Of its first key. */
  readonly line: number;
  /** The tenant that this document is: a file says once, by its tenant document, whose objects it holds. */
  readonly tenant: string | undefined;
  readonly value: unknown;
  /** Line of what a path points to: the deepest part of it that is there. */
  lineOf(path: readonly (string | number)[]): number;
}

/** @throws CommandEnd 65 with every syntax error by file and line */
export function readDocuments(file: string, text: string): ObjectDocument[] {
  const lines = new LineCounter();
  const parsed = parseAllDocuments(text, { lineCounter: lines, prettyErrors: false });
  const documents: Document.Parsed[] = Array.isArray(parsed) ? [...parsed] : [];
  const errors = documents.flatMap((document) =>
    document.errors.map(({ pos, message }) => `${file}:${lines.linePos(pos[0]).line}: ${message}`),
  );
  if (errors.length > 0) throw new CommandEnd(EXIT.data, errors.join("\n"));
  return documents
    .filter((document) => document.contents !== null)
    .map((document) => {
      const start = document.contents === null ? 0 : (document.contents.range?.[0] ?? 0);
      const value = resolved(document, `${file}:${lines.linePos(start).line}`);
      return {
        file,
        line: lines.linePos(start).line,
        tenant: tenantOf(value),
        value,
        lineOf: (path) => lineIn(document, lines, path, start),
      };
    });
}

/** Aliases are resolved only here, and refused when few lines would become millions of values. */
function resolved(document: Document.Parsed, place: string): unknown {
  try {
    return document.toJS();
  } catch (error) {
    throw new CommandEnd(EXIT.data, `${place}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function lineIn(
  document: Document.Parsed,
  lines: LineCounter,
  path: readonly (string | number)[],
  start: number,
): number {
  for (let depth = path.length; depth > 0; depth--) {
    const node = document.getIn(path.slice(0, depth), true);
    if (isNode(node) && node.range != null) return lines.linePos(node.range[0]).line;
  }
  return lines.linePos(start).line;
}

function tenantOf(value: unknown): string | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const { kind, id } = value as { kind?: unknown; id?: unknown };
  return kind === "tenant" && typeof id === "string" ? id : undefined;
}

/**
 * "acme.yaml:12", or what can be said when the mistake names no document.
 *
 * @param number as the control plane counts: from 1; 0 is the whole transaction
 */
export function placeOf(documents: readonly ObjectDocument[], number: number | undefined, path: string): string {
  const document = number === undefined ? undefined : documents[number - 1];
  if (document === undefined) return documents[0]?.file ?? "?";
  return `${document.file}:${document.lineOf(partsOf(path))}`;
}

/** "activities.greet.next", "/activities/0/next" or "activities[0].next". */
const partsOf = (path: string): (string | number)[] =>
  path
    .split(/[./[\]]+/)
    .filter((part) => part !== "")
    .map((part) => (/^\d+$/.test(part) ? Number(part) : part));
