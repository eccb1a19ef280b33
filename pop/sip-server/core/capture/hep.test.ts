import assert from "node:assert/strict";
import { test } from "node:test";
import { addressBytes, type CapturedMessage, encodeHep } from "./hep.ts";

const agent = { id: 2_001, name: "fra-01-a", password: "homer" };
const message: CapturedMessage = {
  text: "OPTIONS sip:a@b SIP/2.0\r\nCall-ID: c1\r\n\r\n",
  from: { address: "127.0.0.1", port: 5_060 },
  to: { address: "127.0.0.2", port: 5_080 },
  isUdp: true,
  unixMs: 1_700_000_000_123,
  callId: "c1",
};

/** Type to value, by the layout of the specification. */
function chunksOf(packet: Buffer): Map<number, Buffer> {
  assert.equal(packet.toString("latin1", 0, 4), "HEP3");
  assert.equal(packet.readUInt16BE(4), packet.length);
  const chunks = new Map<number, Buffer>();
  for (let at = 6; at < packet.length; ) {
    assert.equal(packet.readUInt16BE(at), 0, "vendor");
    const length = packet.readUInt16BE(at + 4);
    chunks.set(packet.readUInt16BE(at + 2), packet.subarray(at + 6, at + length));
    at += length;
  }
  return chunks;
}

test("a packet says who, when, which call and what", () => {
  const packet = encodeHep(message, agent);
  assert.ok(packet);
  const chunks = chunksOf(packet);
  assert.deepEqual([...(chunks.get(3) ?? [])], [127, 0, 0, 1]);
  assert.deepEqual([...(chunks.get(4) ?? [])], [127, 0, 0, 2]);
  assert.equal(chunks.get(7)?.readUInt16BE(), 5_060);
  assert.equal(chunks.get(9)?.readUInt32BE(), 1_700_000_000);
  assert.equal(chunks.get(10)?.readUInt32BE(), 123_000);
  assert.equal(chunks.get(12)?.readUInt32BE(), 2_001);
  assert.equal(chunks.get(15)?.toString("latin1"), message.text);
  assert.equal(chunks.get(17)?.toString("latin1"), "c1");
});

test("addresses of both families become their bytes", () => {
  assert.deepEqual(addressBytes("::1"), [...new Array<number>(15).fill(0), 1]);
  assert.deepEqual(addressBytes("2001:db8::5%eth0").slice(0, 4), [0x20, 1, 0x0d, 0xb8]);
  assert.deepEqual(addressBytes("::ffff:127.0.0.9").slice(10), [255, 255, 127, 0, 0, 9]);
  assert.equal(addressBytes("1:2:3:4:5:6:7:8").length, 16);
});

test("what is too large for a packet, or has no address, is refused", () => {
  assert.equal(encodeHep({ ...message, text: "x".repeat(65_000) }, agent), undefined);
  assert.equal(encodeHep({ ...message, to: { address: "localhost", port: 1 } }, agent), undefined);
});

test("a digest response does not leave the host", () => {
  const digest = 'Authorization: Digest username="u", nonce="n", response="0123456789abcdef"\r\n';
  const text = message.text.replace("Call-ID", `${digest}Call-ID`);
  const packet = encodeHep({ ...message, text }, agent);
  assert.ok(packet);
  const payload = chunksOf(packet).get(15)?.toString("latin1") ?? "";
  assert.equal(payload.length, text.length);
  assert.match(payload, /response="\*{16}"/);
  const others = [
    'Proxy-Authorization: Digest username="u",\r\n\tnonce="n",\r\n response = "0123456789abcdef"\r\n',
    "Authorization: Digest username=u, response=0123456789abcdef, nonce=n\r\n",
    'Authorization: Digest response="0123456789abcdef", Digest response="0123456789abcdef"\r\n',
  ];
  for (const other of others) {
    const hidden = encodeHep({ ...message, text: message.text.replace("Call-ID", `${other}Call-ID`) }, agent);
    assert.ok(hidden);
    assert.ok(!hidden.toString("latin1").includes("0123456789abcdef"), other);
  }
});
