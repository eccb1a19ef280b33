// Requests of the network that wait for an application's answer: by the application's name for them, by dialog, by transaction.

import type { PendingRecord } from "../../core/record/record.ts";
import { type DialogEntry, referenceTo } from "../dialogs/dialog-store.ts";
import type { ServerTransaction } from "../transactions/server-transaction.ts";
import type { PendingRequest } from "./pending-request.ts";

const NONE: readonly PendingRequest[] = [];

export class PendingRequests {
  readonly #byName = new Map<string, PendingRequest>();
  readonly #byEntry = new Map<DialogEntry, PendingRequest[]>();
  /** CANCEL looks here, and whoever writes a call down. */
  readonly #byTransaction = new Map<ServerTransaction, PendingRequest>();

  get size(): number {
    return this.#byName.size;
  }

  get(transactionId: string): PendingRequest | undefined {
    return this.#byName.get(transactionId);
  }

  has(transactionId: string): boolean {
    return this.#byName.has(transactionId);
  }

  of(transaction: ServerTransaction): PendingRequest | undefined {
    return this.#byTransaction.get(transaction);
  }

  inDialog(entry: DialogEntry): readonly PendingRequest[] {
    return this.#byEntry.get(entry) ?? NONE;
  }

  values(): Iterable<PendingRequest> {
    return this.#byName.values();
  }

  /** One that has its transaction. */
  add(pending: PendingRequest): void {
    this.#byName.set(pending.facts.transactionId, pending);
    if (pending.transaction !== undefined) this.#byTransaction.set(pending.transaction, pending);
    if (pending.entry !== undefined) this.attach(pending.entry, pending);
  }

  /** It has made a dialog. */
  attach(entry: DialogEntry, pending: PendingRequest): void {
    const others = this.#byEntry.get(entry);
    if (others === undefined) this.#byEntry.set(entry, [pending]);
    else others.push(pending);
  }

  detach(entry: DialogEntry, pending: PendingRequest): void {
    const left = this.#byEntry.get(entry)?.filter((other) => other !== pending) ?? [];
    if (left.length === 0) this.#byEntry.delete(entry);
    else this.#byEntry.set(entry, left);
  }

  /** It has its answer; its dialog is told apart (`detach`). */
  remove({ facts, transaction }: PendingRequest): void {
    this.#byName.delete(facts.transactionId);
    if (transaction !== undefined) this.#byTransaction.delete(transaction);
  }

  /** @param transactions undefined: all of them */
  records(unixMs: number, transactions: Iterable<ServerTransaction> | undefined): PendingRecord[] {
    const records: PendingRecord[] = [];
    if (transactions === undefined)
      for (const pending of this.#byName.values()) records.push(recordOf(pending, unixMs));
    else
      for (const transaction of transactions) {
        const pending = this.#byTransaction.get(transaction);
        if (pending !== undefined) records.push(recordOf(pending, unixMs));
      }
    return records;
  }
}

const recordOf = (pending: PendingRequest, unixMs: number): PendingRecord =>
  pending.record(unixMs, pending.entry === undefined ? undefined : referenceTo(pending.entry));
