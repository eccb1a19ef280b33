// Messages by the grammar of RFC 3261 §25, with everything in it that is rare.

import type { Chance } from "./chance.ts";

export const METHODS = [
  "INVITE",
  "ACK",
  "BYE",
  "CANCEL",
  "OPTIONS",
  "REGISTER",
  "SUBSCRIBE",
  "NOTIFY",
  "INFO",
  "PRACK",
  "UPDATE",
  "MESSAGE",
  "REFER",
  "PUBLISH",
  "DANCE",
] as const;

const TOKEN = "abcXYZ019-.!%*_+`'~";
const word = (chance: Chance): string => {
  let text = "";
  for (let size = 1 + chance.below(chance.one(30) ? 300 : 8); size > 0; size--)
    text += TOKEN[chance.below(TOKEN.length)];
  return text;
};
const lws = (chance: Chance): string =>
  chance.of(["", "", "", " ", " ", "  ", "\t", "\r\n ", "\r\n\t ", chance.one(50) ? " ".repeat(500) : " "]);
const quoted = (chance: Chance): string =>
  `"${chance.of(["", "A", "\\\\", '\\"', "a, b; c=<d>", "\xc3\xa9", "\xff", "@:?", word(chance)])}"`;
const host = (chance: Chance): string =>
  chance.of([
    "10.0.0.9",
    "10.0.0.2",
    "h",
    "a.b.example",
    "[::1]",
    "[2001:db8::9]",
    "h_1-x.example",
    "255.255.255.255",
    word(chance).replace(/[^a-zA-Z0-9.-]/g, "h"),
  ]);
const port = (chance: Chance): string => chance.of(["", "", "", ":5060", ":1", ":65535", ":5061"]);

export function uri(chance: Chance): string {
  const user = chance.of(["", "bob@", "b%20b@", "u;p=1@", "u?x@", `${word(chance)}@`, "+4930@", "a:pw@"]);
  const params = chance.of([
    "",
    "",
    ";lr",
    ";transport=tcp",
    ";transport=UDP",
    ";maddr=10.0.0.7",
    ";user=phone;lr",
    ";method=INVITE",
    `;${word(chance)}`,
  ]);
  const headers = chance.one(12) ? chance.of(["?Route=%3Csip:x%3E", "?a=b&c=d"]) : "";
  const scheme = chance.one(15) ? chance.of(["tel:", "sips:", "SIP:", "urn:", "http://", "isbn:"]) : "sip:";
  return `${scheme}${user}${host(chance)}${port(chance)}${params}${headers}`;
}

const parameters = (chance: Chance): string => {
  let text = "";
  for (let count = chance.below(chance.one(40) ? 200 : 4); count > 0; count--)
    text += `${lws(chance)};${lws(chance)}${word(chance)}${chance.of(["", "=1", `${lws(chance)}=${lws(chance)}${word(chance)}`, `=${quoted(chance)}`])}`;
  return text;
};

export function address(chance: Chance, tag = ""): string {
  const name = chance.of(["", "", "Bob ", `${quoted(chance)} `, quoted(chance), `${word(chance)} ${word(chance)} `]);
  const end = `${tag === "" ? "" : `${lws(chance)};${lws(chance)}tag${lws(chance)}=${lws(chance)}${tag}`}${parameters(chance)}`;
  if (name === "" && chance.one(4)) return `sip:a@${host(chance)}${end}`;
  return `${name}<${uri(chance)}>${end}`;
}

const via = (chance: Chance, branch: string): string =>
  `SIP${lws(chance)}/${lws(chance)}2.0${lws(chance)}/${chance.of(["UDP", "TCP", "TLS", "udp", "SCTP", "WSS"])} ${lws(chance)}${host(chance)}${port(chance)}${parameters(chance)}${branch === "" ? "" : `;branch=${branch}`}${chance.of(["", ";rport", ";rport=", ";received=1.2.3.4", ";maddr=x", ";ttl=1"])}`;

const name = (chance: Chance, long: string, short: string): string =>
  chance.of([long, long, long, short, long.toLowerCase(), short.toUpperCase(), `${long} `, long.toUpperCase()]);

export interface Facts {
  readonly method?: string;
  readonly status?: number;
  readonly branch?: string;
  readonly callId?: string;
  readonly fromTag?: string;
  readonly toTag?: string;
  readonly cseq?: number;
  readonly sentBy?: string;
}

export function message(chance: Chance, facts: Facts = {}): string {
  const method = facts.method ?? chance.of(METHODS);
  const branch = facts.branch ?? chance.of(["z9hG4bK-1", "z9hG4bK-2", "z9hG4bK", "old", "", `z9hG4bK${word(chance)}`]);
  const lines = [
    `${name(chance, "Via", "v")}:${lws(chance)}${facts.sentBy === undefined ? via(chance, branch) : `SIP/2.0/UDP ${facts.sentBy};branch=${branch}`}`,
    `${name(chance, "From", "f")}:${lws(chance)}${address(chance, facts.fromTag ?? chance.of(["a", "b", "", word(chance)]))}`,
    `${name(chance, "To", "t")}:${lws(chance)}${address(chance, facts.toTag ?? chance.of(["", "", "a", word(chance)]))}`,
    `${name(chance, "Call-ID", "i")}:${lws(chance)}${facts.callId ?? chance.of(["c1", "c2", `${word(chance)}@${host(chance)}`])}`,
    `CSeq:${lws(chance)}${facts.cseq ?? chance.of([0, 1, 2, 3, 2147483647])} ${lws(chance)}${chance.one(40) ? "BYE" : method}`,
    `Max-Forwards: ${chance.of([70, 0, 1, 255])}`,
  ];
  const others = [
    () =>
      `${name(chance, "Contact", "m")}: ${chance.of(["*", address(chance), `${address(chance)}, ${address(chance)}`])}`,
    () => `Record-Route: ${address(chance)}`,
    () => `Route: <${uri(chance)};lr>`,
    () => `${name(chance, "Supported", "k")}: ${chance.of(["100rel", "timer, replaces", "", word(chance)])}`,
    () => `Require: ${chance.of(["100rel", "timer", "nothing", word(chance)])}`,
    () => `RAck: ${chance.of(["1 1 INVITE", "2 1 INVITE", "x", "1  1   INVITE"])}`,
    () => `RSeq: ${chance.of([0, 1, 2, 4294967295])}`,
    () => `Session-Expires: ${chance.of(["90", "1", "1800;refresher=uas", "1800;refresher=uac", "x"])}`,
    () => `Min-SE: ${chance.of(["90", "3600"])}`,
    () => `Expires: ${chance.of(["0", "1", "3600", "99999999999"])}`,
    () => `Event: ${chance.of(["presence", "refer", "dialog;id=1"])}`,
    () => `Subscription-State: ${chance.of(["active;expires=60", "terminated;reason=timeout", "pending"])}`,
    () => `Refer-To: <${uri(chance)}>`,
    () => `Replaces: c1;to-tag=a;from-tag=${chance.of(["a", "b"])}${chance.of(["", ";early-only"])}`,
    () =>
      `Authorization: Digest username=${quoted(chance)}, realm=${quoted(chance)}, nonce="n", uri="sip:x", response="0", qop=auth, nc=1`,
    () => `Subject: ${lws(chance)}${word(chance)}\r\n ${word(chance)}`,
    () => `Via: ${via(chance, "z9hG4bK-below")}`,
    () => `Retry-After: ${chance.of(["5 (later (or never))", "0"])}`,
    () => `X-${word(chance)}: ${word(chance)}`,
    () => `Content-Type: ${chance.of(["application/sdp", "multipart/mixed;boundary=x"])}`,
    () => `Reason: SIP;cause=200;text=${quoted(chance)}`,
  ];
  for (let count = chance.below(chance.one(60) ? 250 : 7); count > 0; count--) lines.push(chance.of(others)());
  for (let count = chance.below(3); count > 0; count--) lines.push(...lines.splice(chance.below(lines.length), 1));
  const body = chance.of(["", "", "v=0\r\n", "\r\n\r\n", "\0\0\xff", word(chance)]);
  if (!chance.one(8))
    lines.push(
      `${name(chance, "Content-Length", "l")}: ${body.length + (chance.one(15) ? chance.of([-1, 1, 1000]) : 0)}`,
    );
  const start =
    facts.status === undefined
      ? `${method} ${uri(chance)} SIP/2.0`
      : `SIP/2.0 ${facts.status} ${chance.of(["Said", "", word(chance)])}`;
  return `${start}\r\n${lines.join("\r\n")}\r\n\r\n${body}`;
}
