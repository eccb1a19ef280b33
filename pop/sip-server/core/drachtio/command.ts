// What an application may ask of us: the payload of a frame, as a value.

import { fail, type Outcome, succeed } from "../../../../kernel/outcome.ts";
import { headerKey } from "../message/header-name.ts";
import { trimLws } from "../message/lws.ts";
import { type Header, header } from "../message/message.ts";
import { isCallId, tagIn } from "../message/parse.ts";
import { parseTimeout } from "./request-handler.ts";
import { CLAIMS_PER_FRAME_MAX, readClaims } from "./resume.ts";

/** A message as an application writes it: no Via, no CSeq it need care for. */
export interface Draft {
  readonly headers: readonly Header[];
  /** Everything to the end of the frame: an application's Content-Length counts characters, not bytes. */
  readonly body: string;
}

export type RequestDraft = Draft & { readonly method: string; readonly uri: string };
export type ResponseDraft = Draft & { readonly status: number; readonly reason: string };

export type Command = { readonly id: string } & (
  | { readonly kind: "authenticate"; readonly secret: string; readonly tags: readonly string[] }
  | { readonly kind: "route" | "remove_route"; readonly verb: string }
  | { readonly kind: "ping" }
  | {
      readonly kind: "proxy";
      readonly transactionId: string;
      readonly remainInDialog: boolean;
      /** Whether the final responses of the branches are wanted. */
      readonly fullResponse: boolean;
      readonly followRedirects: boolean;
      readonly forking: "serial" | "simultaneous";
      readonly provisionalTimeoutMs: number | undefined;
      readonly finalTimeoutMs: number | undefined;
      readonly destinations: readonly string[];
      /** Added to the request, or put in the place of its own. */
      readonly headers: readonly Header[];
    }
  /** Ours, not drachtio's: whose datagrams we look at. */
  | { readonly kind: "sources"; readonly allow: readonly string[] }
  /** Ours too: which calls the application remembers. */
  | { readonly kind: "resume"; readonly part: "more" | "last"; readonly callIds: readonly string[] }
  | {
      readonly kind: "send-request";
      readonly transactionId: string;
      readonly dialogId: string;
      readonly routeUrl: string;
      readonly draft: RequestDraft;
    }
  | { readonly kind: "send-response"; readonly transactionId: string; readonly draft: ResponseDraft }
);

export interface CommandFault {
  readonly code: "command.unusable";
  readonly id: string;
  readonly reason: string;
  /** As drachtio: a frame that makes no sense ends the connection (NO), a message that cannot be sent does not (NOK). */
  readonly verdict: "NO" | "NOK";
}

/** A receiver like us refuses more. */
const DRAFT_HEADERS_MAX = 256;
const SOURCES_MAX = 4_096;

/** What may be routed: methods an application may be given, methods drachtio-srf asks for as well, and CDRs. */
const VERBS: ReadonlySet<string> = new Set(
  (
    "invite register message options info notify subscribe publish refer " +
    "ack bye cancel prack update cdr:attempt cdr:start cdr:stop"
  ).split(" "),
);

/** Destinations of one proxy command. */
const DESTINATIONS_MAX = 32;

/** @fails command.unusable */
export function parseCommand(payload: string): Outcome<Command, CommandFault> {
  const metaEnd = payload.indexOf("\r\n");
  const tokens = (metaEnd === -1 ? payload : payload.slice(0, metaEnd)).split("|");
  const [id = "", kind = ""] = tokens;
  const no = (reason: string): Outcome<Command, CommandFault> =>
    fail({ code: "command.unusable", id, reason, verdict: "NO" });
  if (tokens.length < 2 || id === "") return no("Invalid message format");
  switch (kind) {
    case "authenticate":
      return succeed({
        id,
        kind,
        secret: tokens[2] ?? "",
        tags: (tokens[3] ?? "").split(",").filter((tag) => tag !== ""),
      });
    case "route":
    case "remove_route": {
      const verb = (tokens[2] ?? "").toLowerCase();
      if (VERBS.has(verb)) return succeed({ id, kind, verb });
      return fail({ code: "command.unusable", id, reason: `unsupported verb: ${verb.slice(0, 32)}`, verdict: "NOK" });
    }
    case "ping":
      return succeed({ id, kind });
    case "proxy":
      return metaEnd === -1 ? no("Invalid message format") : parseProxy(id, tokens, payload.slice(metaEnd + 2));
    case "sources": {
      const allow = (tokens[3] ?? "").split(",").map((cidr) => cidr.trim());
      const named = allow.filter((cidr) => cidr !== "");
      if (tokens[2] !== "allow" || named.length > SOURCES_MAX) return no("Invalid message format");
      return succeed({ id, kind, allow: named });
    }
    case "resume": {
      const [, , part] = tokens;
      const callIds = metaEnd === -1 ? [] : readClaims(payload.slice(metaEnd + 2));
      if ((part !== "more" && part !== "last") || callIds.length > CLAIMS_PER_FRAME_MAX)
        return no("Invalid message format");
      return succeed({ id, kind, part, callIds });
    }
    case "sip":
      return metaEnd === -1 ? no("Invalid message format") : parseSip(id, tokens, payload.slice(metaEnd + 2));
    default:
      return no("Unknown message type");
  }
}

function parseSip(id: string, tokens: readonly string[], text: string): Outcome<Command, CommandFault> {
  const [, , transactionId = "", dialogId = "", routeUrl = ""] = tokens;
  const nok = (reason: string): Outcome<Command, CommandFault> =>
    fail({ code: "command.unusable", id, reason, verdict: "NOK" });
  const headEnd = text.indexOf("\r\n\r\n");
  const head = headEnd === -1 ? text : text.slice(0, headEnd);
  const body = headEnd === -1 ? "" : text.slice(headEnd + 4);
  const lines = head.split(/\r\n(?![ \t])/);
  const startLine = lines[0] ?? "";
  if (lines.length > DRAFT_HEADERS_MAX) return nok("too many headers");
  const draft: Draft = { headers: readLines(lines), body };
  for (const { key, name, value } of draft.headers)
    if (((key === "from" || key === "to") && tagIn(value) === undefined) || (key === "call-id" && !isCallId(value)))
      return nok(`invalid ${name}`);

  if (startLine.startsWith("SIP/")) {
    if (transactionId === "")
      return fail({ code: "command.unusable", id, reason: "transaction id missing", verdict: "NO" });
    const matched = /^SIP\/2\.0 ([1-6]\d\d)(?: (.{0,512}))?$/.exec(startLine);
    if (matched === null) return nok("invalid status line");
    const status = Number(matched[1]);
    return succeed({
      id,
      kind: "send-response",
      transactionId,
      draft: { ...draft, status, reason: matched[2] ?? "" },
    });
  }
  const matched = /^([A-Za-z0-9\-.!%*_+`'~]{1,64}) ([^\0-\x20\x7f]{1,2048}) SIP\/2\.0$/.exec(startLine);
  if (matched === null) return nok(`invalid request-uri: ${startLine.slice(0, 128)}`);
  const [, method = "", uri = ""] = matched;
  return succeed({ id, kind: "send-request", transactionId, dialogId, routeUrl, draft: { ...draft, method, uri } });
}

function parseProxy(id: string, tokens: readonly string[], text: string): Outcome<Command, CommandFault> {
  const [, , transactionId = "", remain, full, follow, forking, provisional = "", final = "", ...more] = tokens;
  const nok = (reason: string): Outcome<Command, CommandFault> =>
    fail({ code: "command.unusable", id, reason, verdict: "NOK" });
  const destinations = more.map((uri) => uri.trim()).filter((uri) => uri !== "");
  if (destinations.length === 0) return nok("no destination");
  if (destinations.length > DESTINATIONS_MAX) return nok(`more than ${DESTINATIONS_MAX} destinations`);
  const provisionalTimeoutMs = parseTimeout(provisional);
  const finalTimeoutMs = parseTimeout(final);
  if (provisionalTimeoutMs === "bad" || finalTimeoutMs === "bad") return nok("invalid timeout");
  const headEnd = text.indexOf("\r\n\r\n");
  const lines = (headEnd === -1 ? text : text.slice(0, headEnd)).split(/\r\n(?![ \t])/);
  return succeed({
    id,
    kind: "proxy",
    transactionId,
    remainInDialog: remain === "remainInDialog",
    fullResponse: full === "fullResponse",
    followRedirects: follow === "followRedirects",
    forking: forking === "simultaneous" ? "simultaneous" : "serial",
    provisionalTimeoutMs,
    finalTimeoutMs,
    destinations,
    headers: readLines(lines),
  });
}

/** Lines without a colon, or with a space in the name, are skipped, as drachtio does. */
function readLines(lines: readonly string[]): Header[] {
  const headers: Header[] = [];
  for (let at = 1; at < lines.length; at++) {
    const line = lines[at] ?? "";
    const colon = line.indexOf(":");
    if (colon <= 0) continue;
    const name = line.slice(0, colon).trimEnd();
    if (!/^[A-Za-z0-9\-.!%*_+`'~]+$/.test(name)) continue;
    const value = trimLws(line.slice(colon + 1).replace(/\r\n[ \t]+/g, " "));
    // A bare CR or LF would be read as a line end by somebody: it is none of ours to pass on.
    headers.push(header(name, headerKey(name), value.replace(/[\r\n\0]/g, " ")));
  }
  return headers;
}
