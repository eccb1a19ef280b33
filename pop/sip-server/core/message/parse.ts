// Text to message: RFC 3261 §7, §25. One pass; nothing here looks at a character more than a few times,
// whatever the input. Tolerant where the RFC lets a sender choose, strict where a mistake would let two
// elements read the same bytes differently.

import { fail, type Outcome, succeed } from "../../../../kernel/outcome.ts";
import { headerKey, knownNameAt } from "./header-name.ts";
import { trimLws, trimmedBetween } from "./lws.ts";
import type { Answerable, Fault, Malformed } from "./malformed.ts";
import { type CSeq, type Header, isKnownMethod, type SipMessage } from "./message.ts";
import { parseNameAddr, tagOf } from "./name-addr.ts";
import { ownText } from "./own-text.ts";
import { hasEmptyParameter, hasOpenQuote } from "./parameters.ts";
import { parseVia, type Via } from "./via.ts";

export interface ParseLimits {
  /** Start line, headers and body together. */
  readonly messageBytesMax: number;
  readonly headersMax: number;
  readonly headerBytesMax: number;
}

export const PARSE_LIMITS: ParseLimits = { messageBytesMax: 65_535, headersMax: 256, headerBytesMax: 16_384 };

const TOKEN = /^[A-Za-z0-9\-.!%*_+`'~]+$/;
/** A line feed without its carriage return, or the reverse, before the body: two elements could see different lines. */
const CONTROL = /\r(?!\n)|(?<!\r)\n/;
/** Call-ID and tags end up in `|`-separated frames and map keys; the grammar allows none of these in them. */
const UNSAFE_ID = /[|\s,;"]/;
const UNSAFE_CALL_ID = /[|\s,;]/;
const CSEQ_NUMBER_MAX = 2 ** 31 - 1;

/**
 * Parses one datagram, or one message cut from a stream.
 *
 * @param text bytes as latin-1; an absent Content-Length means "to the end" (§18.3)
 * @fails sip.malformed, with what may be answered
 */
export function parseMessage(text: string, limits: ParseLimits = PARSE_LIMITS): Outcome<SipMessage, Malformed> {
  if (text.length > limits.messageBytesMax) return drop("too-large", `${text.length} bytes`);
  let at = 0;
  while (text.startsWith("\r\n", at)) at += 2; // §7.5: CRLFs before the start line
  const headEnd = text.indexOf("\r\n\r\n", at);
  if (at >= text.length) return drop("empty", "");
  const headText = headEnd === -1 ? text.slice(at) : text.slice(at, headEnd + 2);
  if (CONTROL.test(headText)) return drop("control-character", "bare CR or LF before the body");

  const lineEnd = text.indexOf("\r\n", at);
  const startLine = lineEnd === -1 ? text.slice(at) : text.slice(at, lineEnd);
  const start = parseStartLine(startLine);
  const headers: Header[] = [];
  const lines = readHeaders(text, lineEnd + 2, headEnd === -1 ? text.length : headEnd + 2, limits, headers);

  const method = start?.method ?? firstWord(startLine);
  const refuse = (fault: Fault, detail: string, status: Answerable["status"] = 400): Outcome<SipMessage, Malformed> =>
    fail({ code: "sip.malformed", fault, detail, answer: answerable(status, method, startLine, headers) });

  if (start?.version === "other") return refuse("version", firstWord(startLine), 505);
  if (start === undefined) return refuse("start-line", "not a request or status line");
  if (lines !== undefined) return refuse(lines.fault, lines.detail);
  if (headEnd === -1) return refuse("headers-unterminated", "no empty line after the headers");

  const essentials = readEssentials(headers);
  if ("fault" in essentials) return refuse(essentials.fault, essentials.detail);
  const { via, cseq, callId, fromTag, toTag, contentLength } = essentials;
  if (start.kind === "request" && cseq.method !== start.method)
    // RFC 4475 §3.1.2.18: of a method that nobody knows, 501 says more than 400.
    return refuse("cseq-method", `${cseq.method} in a ${start.method}`, isKnownMethod(start.method) ? 400 : 501);

  const bodyStart = headEnd + 4;
  const availableBytes = text.length - bodyStart;
  if (contentLength !== undefined && contentLength > availableBytes)
    return refuse("body-too-short", `${availableBytes} of ${contentLength} bytes`); // §18.3
  const body =
    availableBytes === 0
      ? ""
      : text.slice(bodyStart, contentLength === undefined ? undefined : bodyStart + contentLength);
  const sizeBytes = bodyStart - at + body.length;
  // What stands before and behind is not part of it (§18.3), and a lot of that must not stay with it.
  if (sizeBytes * 2 < text.length && text.length > 1_024)
    return parseMessage(ownText(text.slice(at, at + sizeBytes)), limits);
  return succeed(
    start.kind === "request"
      ? {
          kind: "request",
          method: start.method,
          uri: start.uri,
          headers,
          body,
          via,
          cseq,
          callId,
          fromTag,
          toTag,
          sizeBytes,
        }
      : {
          kind: "response",
          status: start.status,
          reason: start.reason,
          headers,
          body,
          via,
          cseq,
          callId,
          fromTag,
          toTag,
          sizeBytes,
        },
  );
}

type StartLine =
  | { readonly kind: "request"; readonly method: string; readonly uri: string; readonly version: "2.0" | "other" }
  | {
      readonly kind: "response";
      readonly method?: undefined;
      readonly status: number;
      readonly reason: string;
      readonly version: "2.0";
    };

/** §7.1, §7.2. undefined when it is neither. */
function parseStartLine(line: string): StartLine | undefined {
  if (line.startsWith("SIP/") || line.startsWith("sip/")) {
    if (line.slice(0, 8).toUpperCase() !== "SIP/2.0 ") return undefined;
    const code = line.slice(8, 11);
    if (!/^[1-6]\d\d$/.test(code)) return undefined;
    if (line.length > 11 && line.charCodeAt(11) !== 32) return undefined;
    return { kind: "response", status: Number(code), reason: line.slice(12), version: "2.0" };
  }
  const first = line.indexOf(" ");
  const last = line.lastIndexOf(" ");
  if (first <= 0 || last === first) return undefined;
  const method = line.slice(0, first);
  const uri = line.slice(first + 1, last);
  const version = line.slice(last + 1).toUpperCase();
  if (method.length > 64 || !TOKEN.test(method)) return undefined;
  if (!/^SIP\/\d{1,9}\.\d{1,9}$/.test(version)) return undefined;
  // Exactly one space on either side, and none inside (§7.1): "<sip:…>" is no Request-URI either.
  if (uri === "" || /[\0-\x20\x7f<>"]/.test(uri)) return undefined;
  return { kind: "request", method, uri, version: version === "SIP/2.0" ? "2.0" : "other" };
}

/** Fills `headers`; returns what stopped it, if anything did. */
function readHeaders(
  text: string,
  from: number,
  end: number,
  limits: ParseLimits,
  headers: Header[],
): { fault: Fault; detail: string } | undefined {
  if (from < 2) return undefined; // no line end at all: the caller says so
  let fault: { fault: Fault; detail: string } | undefined;
  let at = from;
  let colon = 0;
  while (at < end) {
    let lineEnd = text.indexOf("\r\n", at);
    if (lineEnd === -1 || lineEnd > end) lineEnd = end;
    let next = lineEnd + 2;
    let folded = false;
    while (next < end && isLws(text.charCodeAt(next))) {
      folded = true;
      lineEnd = text.indexOf("\r\n", next);
      if (lineEnd === -1 || lineEnd > end) lineEnd = end;
      next = lineEnd + 2;
    }
    if (lineEnd === at) break;
    if (lineEnd - at > limits.headerBytesMax)
      return { fault: "too-large", detail: `a header of ${lineEnd - at} bytes` };
    if (headers.length === limits.headersMax) return { fault: "too-many-headers", detail: `${headers.length}` };

    const lineAt = at;
    at = next;
    if (colon !== -1 && colon < lineAt) colon = text.indexOf(":", lineAt); // lines without one share the next one's
    let nameEnd = colon === -1 || colon >= lineEnd ? lineAt : colon;
    const known = knownNameAt(text, lineAt, nameEnd);
    if (known !== undefined && !folded) {
      headers.push({ name: known.name, key: known.key, value: trimmedBetween(text, colon + 1, lineEnd) });
      continue;
    }
    while (nameEnd > lineAt && isLws(text.charCodeAt(nameEnd - 1))) nameEnd--; // §7.3.1: LWS before the colon
    const name = text.slice(lineAt, nameEnd);
    if (name === "" || !TOKEN.test(name)) {
      // Read on: a refusal has to copy the good lines.
      fault ??=
        name === ""
          ? { fault: "header-line", detail: "a line without a name" }
          : { fault: "header-name", detail: "not a token" };
      continue;
    }
    const raw = text.slice(colon + 1, lineEnd);
    const value = trimLws(folded ? raw.replace(/\r\n[ \t]+/g, " ") : raw);
    headers.push({ name, key: headerKey(name), value });
  }
  return fault;
}

const isLws = (code: number): boolean => code === 32 || code === 9;

interface EssentialValues {
  readonly via: Via;
  readonly cseq: CSeq;
  readonly callId: string;
  readonly fromTag: string;
  readonly toTag: string;
  readonly contentLength: number | undefined;
}

/** §8.1.1: what no message may lack, or have twice. */
function readEssentials(headers: readonly Header[]): EssentialValues | { fault: Fault; detail: string } {
  let viaText: string | undefined;
  let fromText: string | undefined;
  let toText: string | undefined;
  let callId: string | undefined;
  let cseqText: string | undefined;
  let lengthText: string | undefined;
  let hopsText: string | undefined;
  for (const { key, value } of headers) {
    let earlier: string | undefined;
    switch (key) {
      case "via":
        viaText ??= value; // the first one is the last hop's
        break;
      case "from":
        earlier = fromText;
        fromText = value;
        break;
      case "to":
        earlier = toText;
        toText = value;
        break;
      case "call-id":
        earlier = callId;
        callId = value;
        break;
      case "cseq":
        earlier = cseqText;
        cseqText = value;
        break;
      case "content-length":
        earlier = lengthText;
        lengthText = value;
        break;
      case "max-forwards":
        earlier = hopsText;
        hopsText = value;
        break;
    }
    // A second one makes the message ambiguous.
    if (earlier !== undefined) return { fault: "repeated-header", detail: key };
  }
  if (viaText === undefined) return missing("via");
  if (fromText === undefined) return missing("from");
  if (toText === undefined) return missing("to");
  if (callId === undefined) return missing("call-id");
  if (cseqText === undefined) return missing("cseq");

  const via = parseVia(viaText);
  if (via === undefined) return { fault: "via", detail: "cannot be read" };
  if (hasEmptyParameter(via.params)) return { fault: "via", detail: "an empty parameter" };
  if (hasOpenQuote(via.params)) return { fault: "via", detail: "an open quote" };
  const cseq = parseCSeq(cseqText);
  if (cseq === undefined) return { fault: "cseq", detail: "not a number below 2^31 and a method" };
  if (!isCallId(callId)) return { fault: "call-id", detail: "empty, too long, or not a word" };
  const fromTag = tagIn(fromText);
  if (fromTag === undefined) return { fault: "from", detail: "not an address" };
  const toTag = tagIn(toText);
  if (toTag === undefined) return { fault: "to", detail: "not an address" };
  if (lengthText !== undefined && !/^\d{1,9}$/.test(lengthText))
    return { fault: "content-length", detail: "not a number" };
  return {
    via,
    cseq,
    callId,
    fromTag,
    toTag,
    contentLength: lengthText === undefined ? undefined : Number(lengthText),
  };
}

const missing = (key: string): { fault: Fault; detail: string } => ({ fault: "missing-header", detail: key });

export function parseCSeq(value: string): CSeq | undefined {
  const matched = /^(\d{1,10})[ \t]+(\S{1,64})$/.exec(value);
  if (matched === null) return undefined;
  const number = Number(matched[1]);
  const method = matched[2] ?? "";
  return number > CSEQ_NUMBER_MAX || !TOKEN.test(method) ? undefined : { number, method };
}

export const isCallId = (value: string): boolean => value !== "" && value.length <= 255 && !UNSAFE_CALL_ID.test(value);

/** Of From or To: the tag, "" without one, undefined when the value is no address or the tag is no token. */
export function tagIn(value: string): string | undefined {
  const address = parseNameAddr(value);
  if (address === undefined) return undefined;
  const tag = tagOf(address);
  return tag.length > 255 || UNSAFE_ID.test(tag) ? undefined : tag;
}

const firstWord = (line: string): string => line.slice(0, 64).split(" ", 1)[0] ?? "";

/**
 * Whether a refusal can be sent, and matched by its sender: that takes a Via and a CSeq (§17.1.3). What else
 * §8.2.6.2 wants copied is copied as far as it is there.
 */
function answerable(
  status: Answerable["status"],
  method: string,
  startLine: string,
  headers: readonly Header[],
): Answerable | undefined {
  if (method === "ACK" || /^SIP\//i.test(startLine) || !TOKEN.test(method)) return undefined;
  // Only who speaks SIP at all gets an answer: a request line ends in its version.
  if (!/ SIP\/\d+\.\d+\s*$/i.test(startLine)) return undefined;
  const first = (key: string) => headers.find((header) => header.key === key)?.value ?? "";
  if (first("cseq") === "" || parseVia(first("via"), "any-version") === undefined) return undefined;
  return { status, method, headers };
}

const drop = (fault: Fault, detail: string): Outcome<SipMessage, Malformed> =>
  fail({ code: "sip.malformed", fault, detail, answer: undefined });
