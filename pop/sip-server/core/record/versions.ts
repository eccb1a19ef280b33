// One call's record as text, in the version that its readers know.
//
//   1  every message in full, wherever it is needed
//   2  what stands twice in one record is written once: "=3" means the request of the fourth transaction
//
// This server reads both. It writes the older one for a release when it is told to (`checkpoints.writeVersion`), so that a
// host can go back to what it ran before. Fields may be added within a version: a reader skips what it does not know.

import { fail, type Outcome, succeed } from "../../../../kernel/outcome.ts";
import {
  type DialogRecord,
  disconnected,
  type EndpointRecord,
  type RecordUnusable,
  type TransactionRecord,
} from "./record.ts";
import { misshapen } from "./shape.ts";

export const RECORD_VERSIONS = [1, 2] as const;

export type RecordVersion = (typeof RECORD_VERSIONS)[number];

export const RECORD_VERSION: RecordVersion = 2;

export const isRecordVersion = (version: number): version is RecordVersion =>
  (RECORD_VERSIONS as readonly number[]).includes(version);

/** The record as JSON. */
export const writtenFor = (record: EndpointRecord, version: RecordVersion): string =>
  JSON.stringify(version === 1 ? inVersion1(record) : lean(record));

const inVersion1 = (record: EndpointRecord): EndpointRecord => ({
  ...record,
  version: 1,
  dialogs: record.dialogs.map((dialog) => ({ ...dialog, version: 1 })),
});

type Rewrite = (text: string) => string;

function lean(record: EndpointRecord): EndpointRecord {
  if (record.transactions.length === 0) return record; // an idle dialog
  return rewritten(record, (text) => {
    const at = record.transactions.findIndex(({ request }) => request === text);
    return at === -1 ? text : `=${at}`;
  });
}

/** With every message where it is needed; a reference to nothing stays what it is, and is no message. */
export const filled = (record: EndpointRecord): EndpointRecord =>
  rewritten(record, (text) =>
    text.startsWith("=") ? (record.transactions[Number(text.slice(1))]?.request ?? text) : text,
  );

function rewritten(record: EndpointRecord, rewrite: Rewrite): EndpointRecord {
  return {
    ...record,
    transactions: record.transactions.map((transaction) => rewrittenUser(transaction, rewrite)),
    dialogs: record.dialogs.map((dialog) => rewrittenDialog(dialog, rewrite)),
  };
}

function rewrittenUser(transaction: TransactionRecord, rewrite: Rewrite): TransactionRecord {
  const { user } = transaction;
  return user?.kind === "call" ? { ...transaction, user: { ...user, request: rewrite(user.request) } } : transaction;
}

function rewrittenDialog(dialog: DialogRecord, rewrite: Rewrite): DialogRecord {
  const { acceptance, unacknowledged } = dialog;
  if (acceptance === undefined && unacknowledged === undefined) return dialog;
  return {
    ...dialog,
    acceptance: acceptance && { ...acceptance, invite: rewrite(acceptance.invite) },
    unacknowledged: unacknowledged && { ...unacknowledged, invite: rewrite(unacknowledged.invite) },
  };
}

/** Whether this can be read here at all, whatever it is. @fails record.unusable */
export function readable(given: unknown): Outcome<EndpointRecord, RecordUnusable> {
  const version = versionOf(given);
  if (version !== undefined && !isRecordVersion(version)) return unknownVersion(version);
  const fault = misshapen(given);
  if (fault !== undefined) return fail({ code: "record.unusable", reason: fault });
  const record = disconnected(given as EndpointRecord);
  const other = record.dialogs.find((dialog) => !isRecordVersion(dialog.version));
  return other === undefined ? succeed(filled(record)) : unknownVersion(other.version);
}

const versionOf = (given: unknown): number | undefined =>
  typeof given === "object" && given !== null && "version" in given && typeof given.version === "number"
    ? given.version
    : undefined;

const unknownVersion = (version: number): Outcome<never, RecordUnusable> =>
  fail({
    code: "record.unusable",
    reason: `version ${version}, and this server reads ${RECORD_VERSIONS.join(" and ")}`,
  });
