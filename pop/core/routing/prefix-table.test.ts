import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { bitAt, type IpBytes, type IpPrefix, parseCidr, parseIp } from "./ip-address.ts";
import { PrefixTable } from "./prefix-table.ts";

const ADDRESSES: readonly (readonly [text: string, bytes: readonly number[] | undefined])[] = [
  ["192.0.2.7", [192, 0, 2, 7]],
  ["192.0.2.07", undefined],
  ["192.0.2.256", undefined],
  ["192.0.2", undefined],
  ["::", Array(16).fill(0)],
  ["::1", [...Array(15).fill(0), 1]],
  ["::ffff:192.0.2.7", [192, 0, 2, 7]],
  ["::FFFF:c000:207", [192, 0, 2, 7]],
  ["fe80::1%eth0", [0xfe, 0x80, ...Array(13).fill(0), 1]],
  ["2001:db8:0:0:0:0:0:1", [0x20, 1, 0x0d, 0xb8, ...Array(11).fill(0), 1]],
  ["1:2:3:4:5:6:7::", [0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0, 7, 0, 0]],
  ["1:2:3:4:5:6:7:8:9", undefined],
  ["1:2:3:4:5:6:7:8::", undefined],
  ["1::2::3", undefined],
  [":1", undefined],
  ["1.2.3.4::", undefined],
  ["12345::", undefined],
  ["[::1]", undefined],
];
for (const [text, bytes] of ADDRESSES) {
  test(`address "${text}" ${bytes === undefined ? "is none" : `is ${bytes.length} bytes`}`, () => {
    assert.deepEqual(parseIp(text), bytes);
  });
}

test("an IPv4-mapped prefix is one of IPv4", () => {
  assert.deepEqual(parseCidr("::ffff:10.1.0.0/112"), { ok: true, value: { bytes: [10, 1, 0, 0], bits: 16 } });
  assert.equal(parseCidr("::ffff:10.1.0.0/16").ok, false);
});

const masked = (bytes: IpBytes, bits: number): number[] =>
  bytes.map((byte, at) => byte & (0xff00 >> Math.max(0, Math.min(8, bits - at * 8))) & 0xff);
// Few different bytes, so that prefixes and addresses meet.
const anyBytes = fc
  .constantFrom(4, 16)
  .chain((length) => fc.array(fc.constantFrom(0, 1, 127, 128, 255), { minLength: length, maxLength: length }));
const anyPrefix: fc.Arbitrary<IpPrefix> = anyBytes.chain((bytes) =>
  fc.nat(bytes.length * 8).map((bits) => ({ bytes: masked(bytes, bits), bits })),
);
const covers = ({ bytes, bits }: IpPrefix, address: IpBytes): boolean =>
  bytes.length === address.length &&
  Array.from({ length: bits }, (_, at) => at).every((at) => bitAt(bytes, at) === bitAt(address, at));

test("property: the longest prefix is found, as by looking at them all", () => {
  fc.assert(
    fc.property(
      fc.array(anyPrefix, { maxLength: 30 }),
      fc.array(anyBytes, { maxLength: 10 }),
      (prefixes, addresses) => {
        const table = new PrefixTable<IpPrefix>();
        for (const prefix of prefixes) table.add(prefix, prefix);
        for (const address of [...addresses, ...prefixes.map(({ bytes }) => bytes)]) {
          const longest = prefixes
            .filter((prefix) => covers(prefix, address))
            .sort((a, b) => b.bits - a.bits)
            .at(0);
          assert.deepEqual(table.find(address), longest);
        }
      },
    ),
    { numRuns: 500 },
  );
});

test("property: no text makes the parsers throw", () => {
  const anyText = fc.oneof(
    fc.string(),
    fc.array(fc.constantFrom("1", "ff", ":", "::", ".", "/", "%", "0"), { maxLength: 20 }).map((bits) => bits.join("")),
  );
  fc.assert(
    fc.property(anyText, (text) => {
      parseIp(text);
      parseCidr(text);
    }),
  );
});
