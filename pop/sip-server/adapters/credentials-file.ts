// Files with passwords: read when the server starts, and again when they change.

import { readFileSync, statSync } from "node:fs";
import { ConfiguredFileFault } from "../../../kernel/config.ts";
import type { Log } from "../../../kernel/log.ts";
import type { Outcome } from "../../../kernel/outcome.ts";
import type { KnownPassword } from "../core/digest/answer.ts";
import { type Credentials, parseCredentials } from "../core/digest/credentials.ts";
import type { GuardSettings } from "../core/digest/guard.ts";

export interface WatchedFile<Content> {
  /** The latest that could be read. */
  readonly current: () => Content;
  stop(): void;
}

/** As config/digest-config.ts has it. */
interface DigestFiles {
  readonly challenge: readonly (Omit<GuardSettings, "credentials" | "nonceLifetimeMs"> & {
    readonly credentialsFile: string;
    readonly nonceSeconds: number;
  })[];
  readonly credentials: readonly {
    readonly realm?: string | undefined;
    readonly host?: string | undefined;
    readonly username: string;
    readonly passwordFile: string;
  }[];
}

/** Every file the configuration names. @throws ConfiguredFileFault */
export function openDigest(files: DigestFiles, log: Log) {
  const watched: { stop(): void }[] = [];
  const keep = <Content>(file: WatchedFile<Content>): WatchedFile<Content> => {
    watched.push(file);
    return file;
  };
  const stop = () => {
    for (const file of watched) file.stop();
  };
  try {
    const guards = files.challenge.map(({ credentialsFile, nonceSeconds, ...rules }, at): GuardSettings => {
      const file = keep(watchCredentials(`digest.challenge.${at}.credentialsFile`, credentialsFile, log));
      return { ...rules, nonceLifetimeMs: nonceSeconds * 1_000, credentials: file.current };
    });
    const known = files.credentials.map(({ realm, host, username, passwordFile }, at) => {
      const file = keep(watchPassword(`digest.credentials.${at}.passwordFile`, passwordFile, log));
      return (): KnownPassword => ({ realm, host, username, password: file.current().password });
    });
    return { guards, passwords: () => known.map((one) => one()), stop };
  } catch (error) {
    stop();
    throw error;
  }
}

const FILE_BYTES_MAX = 33_554_432;
const LOOK_EVERY_MS = 1_000;

/**
 * A file that cannot be used later leaves what was read before in force, with a warning.
 *
 * @param setting where the configuration names it
 * @throws ConfiguredFileFault when it cannot be used at the start
 */
export function watchCredentials(setting: string, path: string, log: Log): WatchedFile<Credentials> {
  return watchText(setting, path, log, (text) => {
    const parsed: Outcome<Credentials, { readonly line: number; readonly reason: string }> = parseCredentials(text);
    return parsed.ok ? parsed.value : `line ${parsed.failure.line}: ${parsed.failure.reason}`;
  });
}

/** One password, trimmed. @throws ConfiguredFileFault */
export function watchPassword(setting: string, path: string, log: Log): WatchedFile<{ readonly password: string }> {
  return watchText(setting, path, log, (text) => {
    const password = Buffer.from(text, "latin1").toString("utf8").trim();
    return password === "" ? "it is empty" : { password };
  });
}

function watchText<Content extends object>(
  setting: string,
  path: string,
  log: Log,
  read: (text: string) => Content | string,
): WatchedFile<Content> {
  let seen = "";
  const look = (): string => {
    try {
      const { mtimeMs, size, ino } = statSync(path);
      return `${mtimeMs} ${size} ${ino}`;
    } catch {
      return "none"; // reading it says why
    }
  };
  const load = (): Content | string => {
    try {
      seen = look();
      if (statSync(path).size > FILE_BYTES_MAX) return `more than ${FILE_BYTES_MAX} bytes`;
      return read(readFileSync(path, "latin1"));
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
  };
  const first = load();
  if (typeof first === "string") throw new ConfiguredFileFault(`${setting}: cannot use ${path}: ${first}`);
  let content: Content = first;
  const onLook = () => {
    if (look() === seen) return;
    const next = load();
    if (typeof next === "string") log.warn("credentials.unreadable", { setting, reason: next });
    else {
      content = next;
      log.info("credentials.read", { setting });
    }
  };
  const timer = setInterval(onLook, LOOK_EVERY_MS).unref();
  return { current: () => content, stop: () => clearInterval(timer) };
}
