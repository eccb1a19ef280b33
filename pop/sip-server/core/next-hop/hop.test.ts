import assert from "node:assert/strict";
import { test } from "node:test";
import { hopOf, targetOfAddress } from "./hop.ts";

const inWords = (uri: string): string => {
  const hop = hopOf(uri);
  if (!hop.ok) return `${hop.failure.code}: ${hop.failure.reason}`;
  const { secure, transport, host, port, isAddress } = hop.value;
  if (!isAddress) return `${secure ? "secure " : ""}${transport ?? "any"} ${host} ${port ?? "-"}`;
  const target = targetOfAddress(hop.value);
  return `target ${target.transport} ${target.address} ${target.port}`;
};

// RFC 3263 §4.1, §4.2; RFC 3261 §19.1.2, §26.2.2; RFC 7118 §5.
const TABLE: readonly (readonly [uri: string, words: string])[] = [
  ["sip:a@192.0.2.1", "target udp 192.0.2.1 5060"],
  ["sip:a@192.0.2.1:5070", "target udp 192.0.2.1 5070"],
  ["sip:a@[2001:db8::1]:5070;transport=TCP", "target tcp 2001:db8::1 5070"],
  ["sips:a@192.0.2.1", "target tls 192.0.2.1 5061"],
  ["sips:a@192.0.2.1;transport=tcp", "target tls 192.0.2.1 5061"],
  ["sip:a@192.0.2.1;transport=tls", "target tls 192.0.2.1 5061"],
  ["sip:a@192.0.2.1;transport=ws", "target ws 192.0.2.1 80"],
  ["sips:a@192.0.2.1;transport=ws", "target wss 192.0.2.1 443"],
  ["sip:a@b.example;maddr=192.0.2.3", "target udp 192.0.2.3 5060"],
  ["sip:a@B.Example.", "any b.example -"],
  ["sip:a@b.example:5080", "any b.example 5080"],
  ["sip:a@b.example;transport=tcp", "tcp b.example -"],
  ["sips:a@b.example", "secure any b.example -"],
  ["sips:a@b.example;transport=udp", "next-hop.unsupported: requested protocol/transport not available"],
  ["sip:a@b.example;transport=sctp", "next-hop.unsupported: requested protocol/transport not available"],
  ["tel:+491234", "next-hop.invalid: invalid request-uri: tel:+491234"],
];

for (const [uri, words] of TABLE)
  test(`${uri} leads to: ${words}`, () => {
    assert.equal(inWords(uri), words);
  });
