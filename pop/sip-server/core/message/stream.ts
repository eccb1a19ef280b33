// Messages out of a byte stream: RFC 3261 §18.3, §7.5. Pure: bytes in, whole messages out.

import { fail, type Outcome, succeed } from "../../../../kernel/outcome.ts";

export interface StreamFault {
  readonly code: "sip.stream-unusable";
  /** A stream that cannot be cut into messages cannot be put right: the connection ends. */
  readonly fault: "no-content-length" | "too-large";
}

export interface StreamPart {
  readonly messages: readonly string[];
  /** CRLF CRLF from the peer: a ping that wants a CRLF back (RFC 5626 §3.5.1). */
  readonly pings: number;
}

/** Cuts a stream at Content-Length. Bounded by `messageBytesMax`, whatever the peer sends. */
export class MessageStream {
  #waiting = "";
  /** No need to look for the end of the headers before this index again. */
  #searched = 0;
  readonly messageBytesMax: number;

  constructor(messageBytesMax: number) {
    this.messageBytesMax = messageBytesMax;
  }

  /** @fails sip.stream-unusable: close the connection */
  take(chunk: string): Outcome<StreamPart, StreamFault> {
    let text = this.#waiting === "" ? chunk : this.#waiting + chunk;
    const messages: string[] = [];
    let pings = 0;
    for (;;) {
      let at = 0;
      while (text.startsWith("\r\n", at)) at += 2;
      pings += at >> 2;
      if (at > 0) {
        text = text.slice(at);
        this.#searched = 0;
      }
      const headEnd = text.indexOf("\r\n\r\n", Math.max(0, this.#searched - 3));
      if (headEnd === -1) {
        this.#searched = text.length;
        if (text.length > this.messageBytesMax) return fail({ code: "sip.stream-unusable", fault: "too-large" });
        break;
      }
      const bodyBytes = contentLengthOf(text, headEnd);
      if (bodyBytes === undefined) return fail({ code: "sip.stream-unusable", fault: "no-content-length" });
      const end = headEnd + 4 + bodyBytes;
      if (end > this.messageBytesMax) return fail({ code: "sip.stream-unusable", fault: "too-large" });
      if (text.length < end) {
        this.#searched = headEnd;
        break;
      }
      messages.push(text.slice(0, end));
      text = text.slice(end);
      this.#searched = 0;
    }
    this.#waiting = text;
    return succeed({ messages, pings });
  }
}

/** Case and compact form as anywhere; the last of several is as good as any, the parser refuses them. */
function contentLengthOf(text: string, headEnd: number): number | undefined {
  const found = /\r\n(?:content-length|l)[ \t]*:[ \t]*(\d{1,9})[ \t]*(?=\r\n)/i.exec(text.slice(0, headEnd + 2));
  return found === null ? undefined : Number(found[1]);
}
