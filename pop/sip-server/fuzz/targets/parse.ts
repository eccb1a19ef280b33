// The parser and everything that reads or writes what it made.

import { targetOf } from "../../core/dialog/dialog.ts";
import { ackForFailure, cancelFor, refusalText, responseTo } from "../../core/message/build.ts";
import { listsToken, type SipMessage } from "../../core/message/message.ts";
import { PARSE_LIMITS, parseMessage } from "../../core/message/parse.ts";
import { serialise } from "../../core/message/serialise.ts";
import { parseUri, showUri } from "../../core/message/uri.ts";
import { parseVia, replaceFirstVia, withSource } from "../../core/message/via.ts";
import { clientKey, serverKey } from "../../core/transaction/key.ts";
import { syntaxFault } from "../../core/user-agent/syntax-fault.ts";
import type { Chance } from "../chance.ts";
import { message } from "../grammar.ts";
import { damage, smallerText } from "../mutate.ts";
import { hold, type Target } from "../target.ts";

const SEEDS = [
  "OPTIONS sip:x@10.0.0.2 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.9;branch=z9hG4bK-1;rport\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:x@10.0.0.2>\r\nCall-ID: c\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n",
  'SIP/2.0 200 OK\r\nv: SIP/2.0/UDP 10.0.0.2:5060;branch=z9hG4bK-2\r\nf: "A" <sip:a@b>;tag=1\r\nt: <sip:b@c>;tag=2\r\ni: c@d\r\nCSeq: 7 INVITE\r\nm: <sip:b@10.0.0.9>\r\nl: 4\r\n\r\nv=0\n',
];

export function parseTarget(seeds: readonly string[] = []): Target {
  return {
    name: "parse",
    seeds: [...SEEDS, ...seeds],
    make: (chance: Chance) =>
      message(chance, chance.one(4) ? { status: chance.of([100, 180, 200, 302, 401, 486, 503, 699]) } : {}),
    mutate: damage,
    run: check,
    smaller: smallerText,
  };
}

function check(input: string): void {
  const parsed = parseMessage(input);
  if (!parsed.ok) {
    const { answer } = parsed.failure;
    if (answer === undefined) return;
    hold(!input.startsWith("SIP/2.0") && answer.method !== "ACK", () => "a response or an ACK would be answered");
    const top = answer.headers.find(({ key }) => key === "via");
    const via = parseVia(top?.value ?? "", "any-version");
    hold(via !== undefined, () => "a refusal without a readable Via");
    const text = refusalText(answer, withSource(via, "192.0.2.1", 5060), "tag");
    hold(/^SIP\/2\.0 (?:400|501|505) /.test(text), () => "no refusal");
    hold(text.endsWith("\r\n\r\n"), () => "a refusal that does not end");
    hold(!/[^\r]\n|\r[^\n]/.test(text), () => "a bare CR or LF in a refusal");
    hold(text.length <= input.length + 512, () => `${text.length} bytes for ${input.length}`);
    return;
  }
  const { value } = parsed;
  hold(value.sizeBytes <= input.length, () => "larger than what came");
  hold(octetsA0(headOf(input)) === octetsA0(headOf(serialise(value))), () => "octets were taken for blanks");
  hold(value.headers.length <= PARSE_LIMITS.headersMax, () => "too many headers");
  same(value, serialise(value));
  if (value.kind === "request") {
    const uri = parseUri(value.uri);
    if (uri !== undefined)
      hold(parseUri(showUri(uri)) !== undefined, () => `written URI cannot be read: ${showUri(uri)}`);
    syntaxFault(value);
    targetOf(value);
    serverKey(value);
    listsToken(value, "require", "100rel");
    const via = withSource(value.via, "192.0.2.1", 1024);
    let first = true;
    const headers = value.headers.map((line) => {
      if (line.key !== "via" || !first) return line;
      first = false;
      return { ...line, value: replaceFirstVia(line.value, via) };
    });
    const stamped = { ...value, via, headers };
    answers(stamped, 100);
    answers(stamped, 200);
    const refused = answers(stamped, 486);
    if (value.method === "INVITE") {
      readable(serialise(cancelFor(stamped, [])));
      if (refused.kind === "response") readable(serialise(ackForFailure(stamped, refused)));
    }
  } else clientKey(value);
}

function answers(request: Extract<SipMessage, { kind: "request" }>, status: number): SipMessage {
  const answer = readable(serialise(responseTo(request, { status, toTag: "ours" })));
  hold(answer.via.branch === request.via.branch, () => "another branch");
  hold(answer.callId === request.callId, () => "another Call-ID");
  hold(answer.cseq.number === request.cseq.number && answer.cseq.method === request.cseq.method, () => "another CSeq");
  hold(answer.fromTag === request.fromTag, () => "another From tag");
  hold(answer.toTag === (request.toTag || (status === 100 ? "" : "ours")), () => `another To tag: ${answer.toTag}`);
  return answer;
}

const headOf = (text: string): string => text.replace(/^[\r\n]+/, "").split("\r\n\r\n", 1)[0] ?? "";
const octetsA0 = (text: string): number => text.split("\xa0").length - 1;

function readable(text: string): SipMessage {
  const parsed = parseMessage(text, {
    ...PARSE_LIMITS,
    messageBytesMax: 1_000_000,
    headersMax: 10_000,
    headerBytesMax: 100_000,
  });
  hold(
    parsed.ok,
    () => `what we write cannot be read: ${parsed.ok ? "" : `${parsed.failure.fault} ${parsed.failure.detail}`}`,
  );
  return parsed.value;
}

/** Written and read again it is the same message. */
function same(value: SipMessage, text: string): void {
  const again = readable(text);
  hold(serialise(again) === text, () => "written twice, differently");
  hold(again.body === value.body, () => "another body");
  hold(again.headers.length === value.headers.length, () => "other headers");
  for (const [at, { key, value: text_ }] of value.headers.entries()) {
    const other = again.headers[at];
    hold(other?.key === key && other.value === text_, () => `header ${key}`);
    hold(!/[\r\n]/.test(text_), () => `CR or LF in ${key}`);
  }
  hold(!/[|\s]/.test(value.callId + value.fromTag + value.toTag), () => "an id that breaks a frame");
}
