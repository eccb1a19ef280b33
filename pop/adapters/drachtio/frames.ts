// What passes between a drachtio server and us, as text and back: the frames' meta lines, and the few SIP lines we write.
// The server fills in whatever belongs to transaction and dialog: Via, From, To, Call-ID, CSeq, Contact.

export type FromServer =
  | {
      readonly kind: "reply";
      readonly commandId: string;
      readonly isOk: boolean;
      /** After OK, NO or NOK. */
      readonly tokens: readonly string[];
      readonly text: string;
    }
  | {
      readonly kind: "message";
      /** "application": the server has said it of its own accord. */
      readonly source: string;
      readonly address: string;
      readonly transactionId: string;
      readonly dialogId: string;
      readonly text: string;
    };

/** undefined: neither of them. */
export function readFrame(payload: string): FromServer | undefined {
  const metaEnd = payload.indexOf("\r\n");
  const tokens = (metaEnd === -1 ? payload : payload.slice(0, metaEnd)).split("|");
  const text = metaEnd === -1 ? "" : payload.slice(metaEnd + 2);
  if (tokens[1] === "response") {
    const [, , commandId = "", verdict] = tokens;
    return { kind: "reply", commandId, isOk: verdict === "OK", tokens: tokens.slice(4), text };
  }
  if (tokens[1] !== "sip" || tokens.length < 10) return undefined;
  const [, , source = "", , , address = "", , , transactionId = "", dialogId = ""] = tokens;
  return { kind: "message", source, address, transactionId, dialogId, text };
}

/** Of the reply to a request that was sent: the server's name for its transaction. */
export const transactionOf = (tokens: readonly string[]): string => tokens[6] ?? "";

/** "INVITE", or "" for a response. */
export function methodOf(text: string): string {
  const method = text.slice(0, text.indexOf(" "));
  return method === "SIP/2.0" ? "" : method;
}

export type Headers = Readonly<Record<string, string>>;

export interface Content {
  readonly headers?: Headers;
  readonly sdp?: string | undefined;
  readonly body?: string;
}

export const response = (transactionId: string, status: number, content: Content = {}): string =>
  `sip|${transactionId}|\r\nSIP/2.0 ${status} ${PHRASES[status] ?? ""}\r\n${shown(content)}`;

export const requestInDialog = (method: string, dialogId: string, content: Content = {}): string =>
  `sip||${dialogId}\r\n${method} sip:placeholder SIP/2.0\r\n${shown(content)}`;

/** @param uri without a space or line end */
export const newInvite = (uri: string, content: Content): string =>
  `sip||\r\nINVITE ${uri} SIP/2.0\r\n${shown(content)}`;

export const cancel = (transactionId: string): string =>
  `sip|${transactionId}|\r\nCANCEL sip:placeholder SIP/2.0\r\n\r\n`;

function shown({ headers = {}, sdp, body = sdp ?? "" }: Content): string {
  let lines = "";
  for (const [name, value] of Object.entries(headers)) lines += `${name}: ${value}\r\n`;
  if (sdp !== undefined) lines += "Content-Type: application/sdp\r\n";
  return `${lines}\r\n${body}`;
}

/** Our own server knows them all; the C++ one sends what it is given. */
const PHRASES: Readonly<Record<number, string>> = {
  200: "OK",
  202: "Accepted",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  415: "Unsupported Media Type",
  480: "Temporarily Unavailable",
  481: "Call/Transaction Does Not Exist",
  483: "Too Many Hops",
  484: "Address Incomplete",
  486: "Busy Here",
  488: "Not Acceptable Here",
  489: "Bad Event",
  491: "Request Pending",
  500: "Server Internal Error",
  501: "Not Implemented",
  503: "Service Unavailable",
  603: "Decline",
};
