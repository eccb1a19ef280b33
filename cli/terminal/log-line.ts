// What the processes of a region write, made readable side by side: ours as JSON events, etcd's, Redis' and
// rtpengine's in their own forms. Pure.

import type { LogLevel } from "../../kernel/log.ts";
import type { Paint } from "./colour.ts";

export interface LogEntry {
  /** As the supervisor calls it: "fra-01-a/pop". */
  readonly process: string;
  readonly atUnixMs: number;
  readonly level: LogLevel;
  readonly event: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** @param atUnixMs when the line was read: used where the line does not say when it was written */
export function parseLogLine(process: string, line: string, atUnixMs: number): LogEntry {
  const json = line.startsWith("{") ? parseJson(line) : undefined;
  if (json !== undefined) return fromJson(process, json, atUnixMs);
  return fromRedis(process, line, atUnixMs) ?? fromRtpengine(process, line, atUnixMs) ?? plain(process, line, atUnixMs);
}

const plain = (process: string, line: string, atUnixMs: number): LogEntry => ({
  process,
  atUnixMs,
  level: "info",
  event: line,
  fields: {},
});

function parseJson(line: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}

/** Ours: time, level, event. etcd (zap): ts, level, msg. fastify (pino): time and level as numbers, msg. */
function fromJson(name: string, json: Record<string, unknown>, readAtUnixMs: number): LogEntry {
  const {
    time,
    ts,
    level,
    event,
    msg,
    process: _process,
    pid: _pid,
    hostname: _hostname,
    caller: _caller,
    ...fields
  } = json;
  const written = typeof time === "number" ? time : Date.parse(String(time ?? ts ?? ""));
  return {
    process: name,
    atUnixMs: Number.isFinite(written) ? written : readAtUnixMs,
    level: levelOf(level),
    event: String(event ?? msg ?? ""),
    fields,
  };
}

function levelOf(level: unknown): LogLevel {
  if (typeof level === "number") return level >= 50 ? "error" : level >= 40 ? "warn" : level >= 30 ? "info" : "debug";
  switch (String(level).toLowerCase()) {
    case "debug":
    case "trace":
      return "debug";
    case "warn":
    case "warning":
      return "warn";
    case "error":
    case "fatal":
    case "panic":
    case "dpanic":
      return "error";
    default:
      return "info";
  }
}

/** "1234:M 22 Nov 2026 15:00:00.000 * Ready to accept connections" */
function fromRedis(process: string, line: string, atUnixMs: number): LogEntry | undefined {
  const found = /^\d+:[XCSM] (?:\d+ \w+ \d+ [\d:.]+ )?([.*#-]) (.*)$/.exec(line);
  if (found === null) return undefined;
  const event = found[2] ?? "";
  // Its "#" stands for anything from "Configuration loaded" to a disk that is full.
  const grave = found[1] === "#" && /can't|cannot|fail|error|fatal|denied|out of memory|misconf/i.test(event);
  const ordinary = found[1] === "*" || found[1] === "#" ? "info" : "debug";
  return { process, atUnixMs, level: grave && !/overcommit/.test(event) ? "warn" : ordinary, event, fields: {} };
}

/** "[1763821000.123456] INFO: [call-id]: [control] Received command 'ping'" */
function fromRtpengine(process: string, line: string, atUnixMs: number): LogEntry | undefined {
  const found = /^(?:\[[\d.]+\] )?(EMERG|ALERT|CRIT|ERR|WARNING|WARN|NOTICE|INFO|DEBUG): (.*)$/.exec(line);
  if (found === null) return undefined;
  const levels: Record<string, LogLevel> = {
    WARNING: "warn",
    WARN: "warn",
    NOTICE: "info",
    INFO: "info",
    DEBUG: "debug",
  };
  return { process, atUnixMs, level: levels[found[1] ?? ""] ?? "error", event: found[2] ?? "", fields: {} };
}

const LEVELS: readonly LogLevel[] = ["debug", "info", "warn", "error"];
const isEngine = (process: string) => /(^|\/)(etcd|redis|rtpengine)(@|$)/.test(process);

/** The engines narrate; of them only what somebody should look at is for the terminal. All of it is in the files. */
export const isForTerminal = (entry: LogEntry, from: LogLevel): boolean =>
  LEVELS.indexOf(entry.level) >= Math.max(LEVELS.indexOf(from), isEngine(entry.process) ? LEVELS.indexOf("warn") : 0);

/** "15:03:22.104  fra-01-a/pop           call.answered  callId=… afterMs=12" */
export function showLogEntry(entry: LogEntry, paint: Paint): string {
  const time = new Date(entry.atUnixMs).toISOString().slice(11, 23);
  const tint = [...entry.process].reduce((sum, letter) => (sum * 31 + letter.charCodeAt(0)) >>> 0, 7);
  const mark = { debug: paint.dim("·"), info: " ", warn: paint.yellow("!"), error: paint.red("✗") }[entry.level];
  const event =
    entry.level === "error"
      ? paint.red(entry.event)
      : entry.level === "warn"
        ? paint.yellow(entry.event)
        : paint.bold(entry.event);
  const fields = Object.entries(entry.fields)
    .map(([key, value]) => `${paint.dim(`${key}=`)}${showField(value)}`)
    .join(" ");
  return `${paint.dim(time)} ${paint.tint(entry.process.padEnd(21), tint)} ${mark} ${event}${fields === "" ? "" : `  ${fields}`}`;
}

const FIELD_LENGTH_MAX = 400;

function showField(value: unknown): string {
  // A stack belongs on lines of its own, and into the file; here its first line says enough.
  const text = typeof value === "string" ? value : (JSON.stringify(value) ?? "");
  const short = text.length > FIELD_LENGTH_MAX ? `${text.slice(0, FIELD_LENGTH_MAX)}…` : text;
  return /[\s"]/.test(short) && typeof value === "string" ? JSON.stringify(short) : short;
}
