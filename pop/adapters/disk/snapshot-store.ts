// The last good snapshot in one file: a format number, a checksum, the snapshot. Written beside it and renamed, so that a
// crash leaves the old one or the new one; what cannot be read is moved aside for whoever wants to know why.

import { createHash } from "node:crypto";
import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { fail, type Outcome, succeed } from "../../../kernel/outcome.ts";
import type { SnapshotStore, SnapshotStoreFailure } from "../../boundary/snapshot-store.ts";
import type { Snapshot } from "../../core/routing/snapshot.ts";

/** Raised with every change of Snapshot that an older reader would misunderstand. */
const FORMAT = 1;

export class DiskSnapshotStore implements SnapshotStore {
  readonly #path: string;
  readonly #fallback: string | undefined;

  /**
   * @param path of the file, its folder is made if need be
   * @param fallback another process's file, of the same POP: only read, and taken where it is the newer one, or the only good one
   */
  constructor(path: string, fallback?: string) {
    this.#path = path;
    this.#fallback = fallback;
  }

  load(): Outcome<Snapshot, SnapshotStoreFailure> {
    const own = read(this.#path);
    if (own.damaged) this.#moveAside();
    if (this.#fallback === undefined) return own.snapshot;
    const others = read(this.#fallback).snapshot;
    if (!others.ok) return own.snapshot;
    return own.snapshot.ok && own.snapshot.value.version >= others.value.version ? own.snapshot : others;
  }

  save(snapshot: Snapshot): Outcome<void, SnapshotStoreFailure> {
    const aside = `${this.#path}.new`;
    try {
      mkdirSync(dirname(this.#path), { recursive: true });
      const file = openSync(aside, "w", 0o600); // numbers and addresses of tenants: nobody else's business
      try {
        writeFileSync(file, encoded(snapshot));
        fsyncSync(file);
      } finally {
        closeSync(file);
      }
      renameSync(aside, this.#path);
      syncFolder(dirname(this.#path));
      return succeed(undefined);
    } catch (error) {
      return fail({ code: "snapshot-store.unwritable", detail: messageOf(error) });
    }
  }

  #moveAside(): void {
    try {
      renameSync(this.#path, `${this.#path}.bad`);
    } catch {
      // then it stays where it is, and the next good snapshot replaces it
    }
  }
}

function read(path: string): { readonly snapshot: Outcome<Snapshot, SnapshotStoreFailure>; readonly damaged: boolean } {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if (isMissing(error)) return { snapshot: fail({ code: "snapshot-store.empty" }), damaged: false };
    return { snapshot: fail({ code: "snapshot-store.unreadable", detail: messageOf(error) }), damaged: false };
  }
  const snapshot = decoded(text);
  return { snapshot, damaged: !snapshot.ok };
}

function encoded(snapshot: Snapshot): string {
  const body = JSON.stringify(withNulls(snapshot));
  return `{"format":${FORMAT},"sha256":"${sha256(body)}","snapshot":${body}}\n`;
}

function decoded(text: string): Outcome<Snapshot, SnapshotStoreFailure> {
  const unreadable = (detail: string) => fail({ code: "snapshot-store.unreadable" as const, detail });
  let file: unknown;
  try {
    file = JSON.parse(text);
  } catch (error) {
    return unreadable(messageOf(error));
  }
  if (!isRecord(file)) return unreadable("is no object");
  if (file.format !== FORMAT) return unreadable(`has format ${String(file.format)}, not ${FORMAT}`);
  // Node writes what it parsed in the order it parsed it, so the checksum can be taken of the object.
  if (sha256(JSON.stringify(file.snapshot)) !== file.sha256) return unreadable("does not match its checksum");
  return succeed(withoutNulls(file.snapshot) as Snapshot);
}

/** JSON knows no undefined, and a snapshot no null: each stands for the other. */
function withNulls(value: unknown): unknown {
  if (value === undefined) return null;
  if (Array.isArray(value)) return value.map(withNulls);
  return isRecord(value) ? Object.fromEntries(Object.entries(value).map(([key, of]) => [key, withNulls(of)])) : value;
}

function withoutNulls(value: unknown): unknown {
  if (value === null) return undefined;
  if (Array.isArray(value)) return value.map(withoutNulls);
  return isRecord(value)
    ? Object.fromEntries(Object.entries(value).map(([key, of]) => [key, withoutNulls(of)]))
    : value;
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const sha256 = (text: string | undefined): string =>
  createHash("sha256")
    .update(text ?? "")
    .digest("hex");

const isMissing = (error: unknown): boolean => error instanceof Error && "code" in error && error.code === "ENOENT";

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** A rename is on disk once its folder is. */
function syncFolder(path: string): void {
  const folder = openSync(path, "r");
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}
