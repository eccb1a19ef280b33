// Where new requests go when the configuration says so: the URLs, what an HTTP handler is asked, and what it may answer.

import { fail, type Outcome, succeed } from "../../../../kernel/outcome.ts";
import { headerValue, type SipRequest } from "../message/message.ts";
import { parseNameAddr } from "../message/name-addr.ts";
import { parseUri } from "../message/uri.ts";

export type RequestHandler = {
  /** Upper case; empty: every method. */
  readonly methods: readonly string[];
} & (
  | { readonly kind: "connect"; readonly host: string; readonly port: number; readonly tls: boolean }
  | { readonly kind: "ask"; readonly url: string; readonly method: "GET" | "POST" }
);

/** `tcp://host:port`, `tls://host:port`, `http(s)://…`; undefined when it is none of these. */
export function handlerOf(url: string, named: readonly string[], method: "GET" | "POST"): RequestHandler | undefined {
  const methods = named.map((name) => name.toUpperCase());
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  switch (parsed?.protocol) {
    case "http:":
    case "https:":
      return { methods, kind: "ask", url, method };
    case "tcp:":
    case "tls:": {
      const port = Number(parsed.port);
      if (parsed.hostname === "" || parsed.port === "" || port === 0) return undefined;
      const host = parsed.hostname.replace(/^\[|\]$/g, "");
      return { methods, kind: "connect", host, port, tls: parsed.protocol === "tls:" };
    }
    default:
      return undefined;
  }
}

/** What a handler is told of a request, in the query: drachtio's names. */
export function questionUrl(
  handler: Extract<RequestHandler, { kind: "ask" }>,
  request: SipRequest,
  source: { readonly address: string; readonly protocol: string },
): string {
  const uri = parseUri(request.uri);
  const url = new URL(handler.url);
  const put = (name: string, value: string) => url.searchParams.set(name, utf8(value));
  put("method", request.method);
  put("domain", uri?.host ?? "");
  put("protocol", source.protocol);
  put("source_address", source.address);
  put("fromUser", userOf(headerValue(request, "from")));
  put("toUser", userOf(headerValue(request, "to")));
  put("uriUser", uri?.user ?? "");
  put("contentType", headerValue(request, "content-type") ?? "");
  put("uri", request.uri);
  for (const part of (uri?.params ?? "").split(";")) {
    const [name = "", value = ""] = part.split("=", 2);
    if (name !== "" && !url.searchParams.has(name)) put(name, value);
  }
  return url.href;
}

/** Bytes as latin-1 to text: a query is encoded as UTF-8. */
const utf8 = (bytes: string): string => Buffer.from(bytes, "latin1").toString("utf8");

function userOf(value: string | undefined): string {
  const address = value === undefined ? undefined : parseNameAddr(value);
  return (address === undefined ? undefined : parseUri(address.uri))?.user ?? "";
}

export type HandlerInstruction =
  | { readonly action: "reject"; readonly status: number; readonly reason: string | undefined }
  | { readonly action: "redirect"; readonly contacts: readonly string[] }
  | {
      readonly action: "proxy";
      readonly destinations: readonly string[];
      readonly remainInDialog: boolean;
      readonly followRedirects: boolean;
      readonly forking: "serial" | "simultaneous";
      readonly provisionalTimeoutMs: number | undefined;
      readonly finalTimeoutMs: number | undefined;
    }
  | { readonly action: "connect"; readonly host: string; readonly port: number; readonly tls: boolean }
  | { readonly action: "tag"; readonly tag: string };

export interface InstructionFault {
  readonly code: "handler.instruction-unusable";
  readonly detail: string;
}

const CONTACTS_MAX = 32;
/** As drachtio, where the answer does not say; redirects are followed likewise. */
const PROVISIONAL_TIMEOUT = "5s";

/** @fails handler.instruction-unusable */
export function parseInstruction(json: string): Outcome<HandlerInstruction, InstructionFault> {
  let parsed: unknown;
  try {
    parsed = JSON.parse(json);
  } catch {
    return unusable("no JSON");
  }
  if (!isRecord(parsed)) return unusable("no object");
  const data = isRecord(parsed.data) ? parsed.data : {};
  switch (parsed.action) {
    case "reject": {
      const { status, reason } = data;
      if (typeof status !== "number" || !Number.isInteger(status) || status < 300 || status > 699)
        return unusable("status of a reject: 300 to 699");
      return succeed({ action: "reject", status, reason: typeof reason === "string" ? oneLine(reason) : undefined });
    }
    case "redirect": {
      const contacts = uris(data.contact);
      return contacts === undefined ? unusable("contact of a redirect") : succeed({ action: "redirect", contacts });
    }
    case "proxy": {
      const destinations = uris(data.destination);
      const provisionalTimeoutMs = timeout(data.provisionalTimeout ?? PROVISIONAL_TIMEOUT);
      const finalTimeoutMs = timeout(data.finalTimeout);
      if (destinations === undefined) return unusable("destination of a proxy");
      if (provisionalTimeoutMs === "bad" || finalTimeoutMs === "bad") return unusable("timeout of a proxy");
      return succeed({
        action: "proxy",
        destinations,
        remainInDialog: data.recordRoute === true || data.remainInDialog === true,
        followRedirects: data.followRedirects !== false,
        forking: data.simultaneous === true || data.forking === "simultaneous" ? "simultaneous" : "serial",
        provisionalTimeoutMs,
        finalTimeoutMs,
      });
    }
    case "route": {
      if (typeof data.tag === "string" && data.tag !== "") return succeed({ action: "tag", tag: data.tag });
      const matched = /^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]{1,255}):(\d{1,5})(?:;transport=(tcp|tls))?$/.exec(
        typeof data.uri === "string" ? data.uri : "",
      );
      const port = Number(matched?.[2]);
      if (matched === null || !(port > 0 && port < 65_536)) return unusable("uri or tag of a route");
      const host = (matched[1] ?? "").replace(/^\[|\]$/g, "");
      return succeed({ action: "connect", host, port, tls: matched[3] === "tls" });
    }
    default:
      return unusable("action: reject, redirect, proxy or route");
  }
}

const unusable = (detail: string): { readonly ok: false; readonly failure: InstructionFault } =>
  fail({ code: "handler.instruction-unusable", detail });

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const oneLine = (text: string): string =>
  Buffer.from(text.replace(/[\r\n\0]/g, " ").slice(0, 256), "utf8").toString("latin1");

/** One URI or several, each a SIP URI; the scheme may be left out. */
function uris(value: unknown): string[] | undefined {
  const given: unknown[] = Array.isArray(value) ? value : [value];
  if (given.length === 0 || given.length > CONTACTS_MAX) return undefined;
  const made: string[] = [];
  for (const one of given) {
    if (typeof one !== "string") return undefined;
    const bare = parseNameAddr(oneLine(one))?.uri ?? "";
    const uri = /^sips?:/i.test(bare) ? bare : `sip:${bare}`;
    if (parseUri(uri) === undefined) return undefined;
    made.push(uri);
  }
  return made;
}

function timeout(value: unknown): number | undefined | "bad" {
  if (value === undefined || value === null || value === "") return undefined;
  return typeof value === "string" ? parseTimeout(value) : "bad";
}

const TIMEOUT_MS_MAX = 3_600_000;

/** "2s", "1500ms", "18" (seconds); undefined when there is none. */
export function parseTimeout(text: string): number | undefined | "bad" {
  if (text === "" || text === "undefined") return undefined;
  const matched = /^(\d{1,7})(ms|s)?$/.exec(text.trim());
  if (matched === null) return "bad";
  const ms = Number(matched[1]) * (matched[2] === "ms" ? 1 : 1_000);
  return ms === 0 ? undefined : Math.min(ms, TIMEOUT_MS_MAX);
}
