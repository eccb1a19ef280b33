// A log line is an event with fields, one JSON object a line. Redaction happens here and nowhere else.

export type LogLevel = "debug" | "info" | "warn" | "error";
export type LogFields = Readonly<Record<string, unknown>>;

/** error: a person must act; warn: a person should look; info: a call or link changed state; debug: messages. */
export interface Log {
  debug(event: string, fields?: LogFields): void;
  info(event: string, fields?: LogFields): void;
  warn(event: string, fields?: LogFields): void;
  error(event: string, fields?: LogFields): void;
}

export const silentLog: Log = { debug() {}, info() {}, warn() {}, error() {} };

const LEVELS: readonly LogLevel[] = ["debug", "info", "warn", "error"];
const SECRET = /secret|password|token|authorization|credential|privatekey/i;
const PERSONAL = /^(sdp|body|digits|callednumber|callingnumber|caller|did|e164|number|from|to|requesturi)$/i;

/** "+498912345678" → "+4989…78": enough to find a call, not enough to ring anyone. */
export const redactNumber = (text: string): string =>
  text.replace(/\+?\d{5,}/g, (digits) => `${digits.slice(0, 5)}…${digits.slice(-2)}`);

function redacted(key: string, value: unknown): unknown {
  if (SECRET.test(key)) return "[secret]";
  if (value instanceof Error) return { name: value.name, message: redactNumber(value.message), stack: value.stack };
  if (typeof value === "string") {
    if (/^(sdp|body|digits)$/i.test(key)) return `[${value.length} characters]`;
    return PERSONAL.test(key) ? redactNumber(value) : value;
  }
  if (typeof value === "bigint") return value.toString();
  return value;
}

/**
 * @param write takes one finished line without its end; never throws
 * @param fixed fields of every line, such as `process` and `hostId`
 */
export function jsonLog(
  write: (line: string) => void,
  level: LogLevel,
  unixMs: () => number,
  fixed: LogFields = {},
): Log {
  const from = LEVELS.indexOf(level);
  const at =
    (own: LogLevel) =>
    (event: string, fields: LogFields = {}): void => {
      if (LEVELS.indexOf(own) < from) return;
      const line = { time: new Date(unixMs()).toISOString(), level: own, event, ...fixed, ...fields };
      write(JSON.stringify(line, (key, value) => redacted(key, value)));
    };
  return { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
}
