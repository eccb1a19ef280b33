// Messages out of a byte stream: RFC 3261 §18.3, §7.5. Pure: bytes in, whole messages out.

import { fail, type Outcome, succeed } from "../../../../kernel/outcome.ts";
import { trimLws } from "./lws.ts";
import { ownText } from "./own-text.ts";

export interface StreamFault {
  readonly code: "sip.stream-unusable";
  /** A stream that cannot be cut into messages cannot be put right: the connection ends. */
  readonly fault: "no-content-length" | "two-content-lengths" | "too-large";
  /** The headers of a message whose end cannot be known: they may be answered (§20.14) before the connection ends. */
  readonly head?: string;
}

export interface StreamPart {
  readonly messages: readonly string[];
  /** CRLF CRLF from the peer: a ping that wants a CRLF back (RFC 5626 §3.5.1). */
  readonly pings: number;
}

/** Before the blank line. No carrier's INVITE comes near it. */
export const HEAD_BYTES_MAX = 32_768;

/** So many pieces wait before they are joined: what a peer sends byte by byte must not cost an object for each. */
const PIECES_MAX = 256;
const END_OF_HEADERS = "\r\n\r\n";
const NOTHING: StreamPart = { messages: [], pings: 0 };

/**
 * Cuts a stream at Content-Length. Holds at most `messageBytesMax` (before the blank line `headBytesMax`) and one chunk,
 * and looks at each byte a few times, however they arrive.
 */
export class MessageStream {
  readonly messageBytesMax: number;
  readonly headBytesMax: number;
  /** What has arrived of the next message. */
  #pieces: string[] = [];
  #waitingBytes = 0;
  /** Bytes of the message whose headers are complete; 0 while its length is not known. */
  #neededBytes = 0;
  /** The last three bytes: the end of the headers may be spread over chunks. */
  #tail = "";
  /** An odd CRLF was the last thing heard between messages. */
  #halfPing = false;
  #failure: StreamFault | undefined;

  constructor(messageBytesMax: number, headBytesMax = HEAD_BYTES_MAX) {
    this.messageBytesMax = messageBytesMax;
    this.headBytesMax = Math.min(headBytesMax, messageBytesMax);
  }

  /** Of a message that is not complete yet. */
  get waitingBytes(): number {
    return this.#waitingBytes;
  }

  /** Nothing more will come out: close the connection, once the messages that were whole are dealt with. */
  get fault(): StreamFault | undefined {
    return this.#failure;
  }

  /** @fails sip.stream-unusable: close the connection. What was whole before the fault has come out first, see `fault`. */
  take(chunk: string): Outcome<StreamPart, StreamFault> {
    const part = this.#failure === undefined ? this.#take(chunk) : NOTHING;
    if (this.#failure === undefined) return succeed(part);
    this.#pieces = [];
    this.#waitingBytes = 0;
    return part.messages.length === 0 ? fail(this.#failure) : succeed(part);
  }

  #take(chunk: string): StreamPart {
    if (this.#waitingBytes > 0 && !this.#isWorthALook(chunk)) {
      this.#keep(chunk);
      const isTooLarge = this.#neededBytes === 0 && this.#waitingBytes > this.headBytesMax;
      if (isTooLarge) this.#failure = unusable("too-large");
      return NOTHING;
    }
    let text = chunk;
    if (this.#waitingBytes > 0) {
      this.#pieces.push(chunk);
      text = this.#pieces.join("");
    }
    const messages: string[] = [];
    let pings = 0;
    let at = 0;
    this.#neededBytes = 0;
    for (;;) {
      while (text.startsWith("\r\n", at)) {
        at += 2;
        if (this.#halfPing) pings++;
        this.#halfPing = !this.#halfPing;
      }
      if (at < text.length && text !== "\r") this.#halfPing = false;
      const headEnd = text.indexOf(END_OF_HEADERS, at);
      if ((headEnd === -1 ? text.length : headEnd) - at > this.headBytesMax) this.#failure = unusable("too-large");
      if (headEnd === -1 || this.#failure !== undefined) break;
      const bodyBytes = contentLengthOf(text, at, headEnd);
      if (typeof bodyBytes === "string") {
        this.#failure = unusable(bodyBytes, text.slice(at, headEnd + 4));
        break;
      }
      const end = headEnd + 4 + bodyBytes;
      if (end - at > this.messageBytesMax) {
        this.#failure = unusable("too-large");
        break;
      }
      if (text.length < end) {
        this.#neededBytes = end - at;
        break;
      }
      const message = text.slice(at, end);
      // One that came with many others must not keep them in memory.
      messages.push(message.length * 2 < text.length ? ownText(message) : message);
      at = end;
    }
    this.#waitFor(text, at);
    return messages.length === 0 && pings === 0 ? NOTHING : { messages, pings };
  }

  /** Whether this chunk can complete something: the body, or the headers. */
  #isWorthALook(chunk: string): boolean {
    if (this.#neededBytes > 0) return this.#waitingBytes + chunk.length >= this.#neededBytes;
    if (this.#waitingBytes < 4) return true; // a lone CR may still turn out to be a ping
    return (this.#tail + chunk).includes(END_OF_HEADERS);
  }

  #keep(chunk: string): void {
    this.#pieces.push(chunk);
    this.#waitingBytes += chunk.length;
    this.#tail = (this.#tail + chunk).slice(-3);
    if (this.#pieces.length >= PIECES_MAX) this.#pieces = [this.#pieces.join("")];
  }

  #waitFor(text: string, from: number): void {
    // A copy: a slice would hold on to everything that arrived with it.
    const rest = from === 0 ? text : ownText(text.slice(from));
    this.#pieces = rest === "" ? [] : [rest];
    this.#waitingBytes = rest.length;
    this.#tail = rest.slice(-3);
  }
}

const unusable = (fault: StreamFault["fault"], head?: string): StreamFault => ({
  code: "sip.stream-unusable",
  fault,
  ...(head === undefined ? {} : { head }),
});

/** Case, compact form and folding as anywhere. Two of them, and nobody knows where the next message begins. */
function contentLengthOf(text: string, from: number, headEnd: number): number | StreamFault["fault"] {
  let bytes: number | undefined;
  let line = text.indexOf("\r\n", from) + 2;
  while (line > 1 && line < headEnd) {
    let next = text.indexOf("\r\n", line);
    const first = text.charCodeAt(line) | 32;
    if (first === 99 || first === 108) {
      // Only lines that begin with a C or an L are looked at.
      while (next < headEnd && isLws(text.charCodeAt(next + 2))) next = text.indexOf("\r\n", next + 2);
      const colon = text.indexOf(":", line);
      if (colon !== -1 && colon < next && isLength(text.slice(line, colon))) {
        if (bytes !== undefined) return "two-content-lengths";
        const digits = trimLws(text.slice(colon + 1, next));
        if (!/^\d{1,9}$/.test(digits)) return "no-content-length";
        bytes = Number(digits);
      }
    }
    line = next + 2;
  }
  return bytes ?? "no-content-length";
}

const isLws = (code: number): boolean => code === 32 || code === 9;

function isLength(written: string): boolean {
  if (written.length > 64) return false; // nobody writes fifty blanks before a colon
  const name = trimLws(written).toLowerCase();
  return name === "content-length" || name === "l";
}
