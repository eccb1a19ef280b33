import assert from "node:assert/strict";
import { isIP } from "node:net";
import { test } from "node:test";
import fc from "fast-check";
import { addressFamily } from "../address.ts";
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

test("an address is told from a name as node:net does", () => {
  const texts = [
    "1.2.3.4",
    "256.1.1.1",
    "1.2.3",
    "01.2.3.4",
    "1.2.3.4.",
    "1.2.3.4.5",
    "0.0.0.0",
    "a.b.c.4",
    "",
    "1..2.3",
  ];
  texts.push(
    "::",
    "::1",
    "1::",
    "2001:db8::1",
    "1:2:3:4:5:6:7:8",
    "1:2:3:4:5:6:7",
    "1::2::3",
    "::ffff:192.0.2.1",
    "12345::",
  );
  texts.push(":1", "1:", "1:2:3:4:5:6:7::", "::1:2:3:4:5:6:7:8", "1:2:3:4:5:6:192.0.2.1", "1.2.3.4::", "g::", ":::");
  for (const text of texts) assert.equal(addressFamily(text), isIP(text), text);
});

test("property: no text is taken for an address that node:net would not take", () => {
  const part = fc.constantFrom("0", "1", "25", "255", "256", "01", ".", ":", "::", "f", "abcd", "g", "192.0.2.1");
  fc.assert(
    fc.property(fc.array(part, { maxLength: 16 }), (parts) => {
      assert.equal(addressFamily(parts.join("")), isIP(parts.join("")));
    }),
    { numRuns: 5_000 },
  );
});
