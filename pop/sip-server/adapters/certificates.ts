// Keeps the certificates of all listeners fresh: read again on a signal, on request, and when their files change.
//
// A file that is no good changes nothing: what is in use stays, a log line says which file and why, and a metric counts it.

import { type FSWatcher, watch } from "node:fs";
import { realpath, stat } from "node:fs/promises";
import { dirname } from "node:path";
import type { Log } from "../../../kernel/log.ts";
import type { CertificateExpiry, TlsIdentity } from "./tls-identity.ts";

export interface CertificateReload {
  readonly listener: string;
  readonly outcome: "reloaded" | "kept";
  readonly file?: string;
  readonly reason?: string;
}

/** A certificate and its key are two files: what changes them has this long for both. */
const SETTLE_MS = 300;

export class Certificates {
  readonly #log: Log;
  readonly #counted: (result: "reloaded" | "kept") => void;
  readonly #identities: { readonly listener: string; readonly identity: TlsIdentity; seen: string }[] = [];
  readonly #watchers: FSWatcher[] = [];
  #poll: NodeJS.Timeout | undefined;
  #settling: NodeJS.Timeout | undefined;
  #running: Promise<unknown> = Promise.resolve();
  /** Asked for, not begun: whoever asks meanwhile shares it. */
  #due: Promise<readonly CertificateReload[]> | undefined;

  constructor(log: Log, counted: (result: "reloaded" | "kept") => void) {
    this.#log = log;
    this.#counted = counted;
  }

  add(listener: string, identity: TlsIdentity): void {
    this.#identities.push({ listener, identity, seen: "" });
  }

  *expiries(): Iterable<CertificateExpiry & { readonly listener: string }> {
    for (const { listener, identity } of this.#identities)
      for (const expiry of identity.expiries) yield { listener, ...expiry };
  }

  /** @param pollMs 0: files are looked at only when somebody asks */
  async start(pollMs: number): Promise<void> {
    if (this.#identities.length === 0 || pollMs === 0) return;
    for (const one of this.#identities) one.seen = await signatureOf(one.identity.files);
    const folders = new Set<string>();
    for (const { identity } of this.#identities)
      for (const file of identity.files) {
        folders.add(dirname(file));
        folders.add(dirname(await realpath(file).catch(() => file)));
      }
    for (const folder of folders) this.#watch(folder);
    this.#poll = setInterval(() => this.#look(), pollMs);
    this.#poll.unref();
  }

  /** The folder, because a file is replaced by renaming another over it. */
  #watch(folder: string): void {
    try {
      const watcher = watch(folder, { persistent: false }, () => {
        clearTimeout(this.#settling);
        this.#settling = setTimeout(() => this.#look(), SETTLE_MS);
        this.#settling.unref();
      });
      watcher.on("error", () => watcher.close()); // looking now and then is enough
      this.#watchers.push(watcher);
    } catch {
      // No inotify, or no more of it: the same.
    }
  }

  #look(): void {
    void this.#inTurn(async () => {
      for (const one of this.#identities) {
        const seen = await signatureOf(one.identity.files);
        if (seen === one.seen) continue;
        one.seen = seen; // a bad file is reported once, not at every look
        await this.#reloadOne(one.listener, one.identity, "files");
      }
    });
  }

  /** All listeners, whether their files have changed or not. Never rejects. */
  reload(why: "signal" | "request"): Promise<readonly CertificateReload[]> {
    this.#due ??= this.#inTurn(async () => {
      this.#due = undefined;
      const outcomes: CertificateReload[] = [];
      for (const one of this.#identities) {
        one.seen = await signatureOf(one.identity.files);
        outcomes.push(await this.#reloadOne(one.listener, one.identity, why));
      }
      return outcomes;
    });
    return this.#due;
  }

  #inTurn<T>(run: () => Promise<T>): Promise<T> {
    const turn = this.#running.then(run);
    this.#running = turn.catch(() => {});
    return turn;
  }

  async #reloadOne(listener: string, identity: TlsIdentity, why: string): Promise<CertificateReload> {
    const reloaded = await identity.reload(Date.now());
    if (reloaded.ok) {
      this.#counted("reloaded");
      this.#log.info("tls.reloaded", { listener, why });
      return { listener, outcome: "reloaded" };
    }
    const { file, reason } = reloaded.failure;
    this.#counted("kept");
    this.#log.error("tls.files-unusable", { listener, why, file, reason, kept: "the certificates in use" });
    return { listener, outcome: "kept", file, reason };
  }

  stop(): void {
    clearInterval(this.#poll);
    clearTimeout(this.#settling);
    for (const watcher of this.#watchers) watcher.close();
  }
}

/** Changes whenever one of the files does; follows links. */
async function signatureOf(files: readonly string[]): Promise<string> {
  const marks: string[] = [];
  for (const file of files)
    marks.push(
      await stat(file).then(
        ({ ino, size, mtimeMs }) => `${ino}:${size}:${mtimeMs}`,
        () => "missing",
      ),
    );
  return marks.join(" ");
}
