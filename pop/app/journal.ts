// What happened to calls and why, for `tollgate call trace`: kept for living calls and the last ones that ended.

import type { CallId } from "../../kernel/ids.ts";
import type { UnixMs } from "../../kernel/units.ts";
import type { CallNote } from "../core/call/call-execution.ts";
import type { ContactRecord } from "../core/call/contact-record.ts";

export interface JournalEntry extends CallNote {
  readonly atUnixMs: UnixMs;
}

export interface TracedDialog {
  readonly leg: string;
  readonly sipCallId: string;
  readonly role: "uas" | "uac";
}

export interface CallJournal {
  readonly dialogs: TracedDialog[];
  readonly entries: JournalEntry[];
  record: ContactRecord | undefined;
}

/** Enough for any sane flow; a caller who walks in circles for hours loses the middle, never the beginning. */
export const JOURNAL_ENTRIES_MAX = 500;

export class Journals {
  readonly #living = new Map<CallId, CallJournal>();
  /** In order of their ends: the oldest is forgotten first. */
  readonly #ended = new Map<CallId, CallJournal>();
  readonly #endedMax: number;

  constructor(endedMax: number) {
    this.#endedMax = endedMax;
  }

  open(call: CallId): CallJournal {
    const journal: CallJournal = { dialogs: [], entries: [], record: undefined };
    this.#living.set(call, journal);
    return journal;
  }

  of(call: CallId): CallJournal | undefined {
    return this.#living.get(call) ?? this.#ended.get(call);
  }

  close(call: CallId, record: ContactRecord): void {
    const journal = this.#living.get(call);
    if (journal === undefined) return;
    journal.record = record;
    this.#living.delete(call);
    this.#ended.set(call, journal);
    for (const oldest of this.#ended.keys()) {
      if (this.#ended.size <= this.#endedMax) break;
      this.#ended.delete(oldest);
    }
  }

  recentlyEnded(): readonly CallId[] {
    return [...this.#ended.keys()];
  }
}

export function note(journal: CallJournal, entry: JournalEntry): void {
  if (journal.entries.length >= JOURNAL_ENTRIES_MAX) journal.entries.splice(JOURNAL_ENTRIES_MAX / 2, 1);
  journal.entries.push(entry);
}
