// Messages for tests of the core.

import type { SipRequest, SipResponse } from "../core/message/message.ts";
import { parseMessage } from "../core/message/parse.ts";
import { finish } from "./peer.ts";

export function requestOf(
  method: string,
  more: { branch?: string; headers?: string[]; body?: string; cseq?: number; to?: string } = {},
): SipRequest {
  const { branch = "z9hG4bK-1", headers = [], body = "", cseq = 1, to = "<sip:bob@pop.example>" } = more;
  const parsed = parseMessage(
    finish(
      [
        `${method} sip:bob@pop.example SIP/2.0`,
        `Via: SIP/2.0/UDP 192.0.2.7:5060;branch=${branch}`,
        "From: <sip:alice@192.0.2.7>;tag=a",
        `To: ${to}`,
        "Call-ID: call-1",
        `CSeq: ${cseq} ${method}`,
        "Contact: <sip:alice@192.0.2.7>",
        ...headers,
      ],
      body,
    ),
  );
  if (!parsed.ok || parsed.value.kind !== "request") throw new Error("a bad request in a test");
  return parsed.value;
}

export function responseOf(
  request: SipRequest,
  status: number,
  more: { tag?: string; headers?: string[] } = {},
): SipResponse {
  const { tag = "b", headers = [] } = more;
  const parsed = parseMessage(
    finish(
      [
        `SIP/2.0 ${status} Said So`,
        `Via: SIP/2.0/UDP 192.0.2.7:5060;branch=${request.via.branch}`,
        "From: <sip:alice@192.0.2.7>;tag=a",
        `To: <sip:bob@pop.example>${status > 100 ? `;tag=${tag}` : ""}`,
        "Call-ID: call-1",
        `CSeq: ${request.cseq.number} ${request.cseq.method}`,
        "Contact: <sip:bob@192.0.2.8>",
        ...headers,
      ],
      "",
    ),
  );
  if (!parsed.ok || parsed.value.kind !== "response") throw new Error("a bad response in a test");
  return parsed.value;
}
