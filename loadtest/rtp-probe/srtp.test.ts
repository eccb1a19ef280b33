import assert from "node:assert/strict";
import { createCipheriv } from "node:crypto";
import { test } from "node:test";
import { writeRtp } from "../../pop/core/media/rtp.ts";
import { cryptoOf, newMaster, SrtpStream, withCrypto } from "./srtp.ts";

const packet = (sequence: number) =>
  writeRtp({ marker: false, payloadType: 0, sequence, timestamp: 160, ssrc: 7, payload: new Uint8Array(160).fill(5) });

test("what one side protects the other reads, over the wrap of the sequence number", () => {
  const master = newMaster();
  const [sender, receiver] = [new SrtpStream(master), new SrtpStream(master)];
  for (let at = 65_500; at < 65_600; at++) {
    const plain = Buffer.from(packet(at & 0xffff));
    const secret = sender.protect(plain);
    assert.equal(secret.length, plain.length + 10);
    assert.notDeepEqual(secret.subarray(12, 172), plain.subarray(12));
    assert.deepEqual(receiver.unprotect(secret), plain);
  }
});

test("a changed packet and a foreign key are refused", () => {
  const sender = new SrtpStream(newMaster());
  const secret = sender.protect(packet(1));
  assert.equal(new SrtpStream(newMaster()).unprotect(secret), undefined);
});

// RFC 3711 appendix B.3: key derivation, seen through the first key stream of a packet of zeros.
test("the session keys are those of RFC 3711 B.3", () => {
  const master = Buffer.from("E1F97A0D3E018BE0D64FA32C06DE41390EC675AD498AFEEBB6960B3AABE6", "hex");
  // Encrypting zeros shows the key stream; the same by another road: AES-CTR with the RFC's cipher key and salt.
  const plain = Buffer.alloc(28);
  plain[0] = 0x80;
  const secret = new SrtpStream(master).protect(plain);
  assert.equal(secret.subarray(12, 28).toString("hex"), keyStreamOfTheRfc());
});

function keyStreamOfTheRfc(): string {
  const cipherKey = Buffer.from("C61E7A93744F39EE10734AFE3FF7A087", "hex");
  const iv = Buffer.concat([Buffer.from("30CBBC08863D8C85D49DB34A9AE1", "hex"), Buffer.alloc(2)]);
  return createCipheriv("aes-128-ctr", cipherKey, iv).update(Buffer.alloc(16)).toString("hex");
}

test("the crypto line of an SDP is written and read", () => {
  const master = newMaster();
  const sdp = withCrypto("v=0\r\nm=audio 4000 RTP/AVP 0\r\n", master);
  assert.match(sdp, /RTP\/SAVP 0/);
  assert.deepEqual(cryptoOf(sdp), master);
  assert.equal(cryptoOf("v=0\r\nm=audio 4000 RTP/AVP 0\r\n"), undefined);
});
