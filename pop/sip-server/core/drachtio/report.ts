// What we tell an application: payloads of frames, as drachtio-srf 5 reads them (it splits the first line at `|` and counts).

export interface Meta {
  readonly source: "network" | "application";
  readonly bytes: number;
  readonly protocol: string;
  readonly address: string;
  readonly port: number;
  /** UTC, HH:MM:SS.uuuuuu. */
  readonly time: string;
}

/** What a stack-made response carries: it came from nowhere. */
export const nowhere = (time: string): Meta => ({
  source: "network",
  bytes: 0,
  protocol: "udp",
  address: "",
  port: 0,
  time,
});

const showMeta = ({ source, bytes, protocol, address, port, time }: Meta): string =>
  `${source}|${bytes}|${protocol}|${address}|${port}|${time}`;

/** A new request, outside any dialog: with the address it reached. */
export const newRequest = (
  id: string,
  meta: Meta,
  transactionId: string,
  local: { readonly host: string; readonly port: number },
  text: string,
): string => `${id}|sip|${showMeta(meta)}|${transactionId}||${local.host}|${local.port}|\r\n${text}`;

/** Anything that belongs to a transaction or dialog the application knows. `dialogId` may be empty. */
export const message = (id: string, meta: Meta, transactionId: string, dialogId: string, text: string): string =>
  `${id}|sip|${showMeta(meta)}|${transactionId}|${dialogId}|\r\n${text}`;

/** A BYE the server sent on its own. */
export const unsolicited = (id: string, meta: Meta, dialogId: string, text: string): string =>
  message(id, meta, "unsolicited", dialogId, text);

export const requestSent = (id: string, commandId: string, meta: Meta, transactionId: string, text: string): string =>
  `${id}|response|${commandId}|OK|${showMeta(meta)}|${transactionId}|Msg sent:|\r\n${text}`;

export const responseSent = (
  id: string,
  commandId: string,
  meta: Meta,
  transactionId: string,
  dialogId: string,
  text: string,
): string => `${id}|response|${commandId}|OK|${showMeta(meta)}|${transactionId}|${dialogId}||Msg sent:|\r\n${text}`;

/** The final response of one branch of a proxied request; `done` follows the last of them. */
export const branchAnswered = (id: string, commandId: string, meta: Meta, text: string): string =>
  `${id}|response|${commandId}|OK|${showMeta(meta)}|||continue\r\n${text}`;

/** @param what the role in "cdr:start", the reason in "cdr:stop" */
export const callRecord = (
  id: string,
  kind: string,
  source: Meta["source"],
  time: string,
  what: string | undefined,
  text: string,
): string => `${id}|${kind}|${source}|${time}${what === undefined ? "" : `|${what}`}\r\n${text}`;

export const done = (id: string, commandId: string, ...more: readonly string[]): string =>
  [id, "response", commandId, "OK", ...more].join("|");

export const refused = (id: string, commandId: string, verdict: "NO" | "NOK", reason: string): string =>
  `${id}|response|${commandId}|${verdict}|${reason.replace(/[|\r\n]/g, " ")}`;
