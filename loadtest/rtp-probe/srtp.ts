// SRTP with the one cipher every carrier's SDES speaks: AES_CM_128_HMAC_SHA1_80 (RFC 3711, RFC 4568 §6.2.1). Test side only:
// one stream a direction, no key change, no replay list.

import { createCipheriv, createHmac, randomBytes } from "node:crypto";
import { RTP_HEADER_BYTES } from "../../pop/core/media/rtp.ts";

export const SUITE = "AES_CM_128_HMAC_SHA1_80";
const KEY_BYTES = 16;
const SALT_BYTES = 14;
const TAG_BYTES = 10;
const HALF = 0x8000;
const SEQUENCES = 0x10000;

/** Master key and salt, as `inline:` of a crypto line carries them. */
export const newMaster = (): Buffer => randomBytes(KEY_BYTES + SALT_BYTES);

export class SrtpStream {
  readonly #cipherKey: Buffer;
  readonly #authKey: Buffer;
  readonly #salt: Buffer;
  /** Roll-over counter and highest sequence number, by SSRC. RFC 3711 §3.3.1 */
  readonly #counters = new Map<number, { roc: number; highest: number }>();

  constructor(master: Buffer) {
    const key = master.subarray(0, KEY_BYTES);
    const salt = master.subarray(KEY_BYTES, KEY_BYTES + SALT_BYTES);
    this.#cipherKey = derived(key, salt, 0, KEY_BYTES);
    this.#authKey = derived(key, salt, 1, 20);
    this.#salt = derived(key, salt, 2, SALT_BYTES);
  }

  protect(packet: Uint8Array): Buffer {
    const plain = Buffer.from(packet.buffer, packet.byteOffset, packet.byteLength);
    const { roc } = this.#index(plain.readUInt32BE(8), plain.readUInt16BE(2));
    const secret = Buffer.concat([plain.subarray(0, RTP_HEADER_BYTES), this.#crypt(plain, roc)]);
    return Buffer.concat([secret, this.#tag(secret, roc)]);
  }

  /** undefined: not of this key, or damaged. */
  unprotect(packet: Buffer): Buffer | undefined {
    if (packet.length < RTP_HEADER_BYTES + TAG_BYTES) return undefined;
    const secret = packet.subarray(0, packet.length - TAG_BYTES);
    const { roc, keep } = this.#index(packet.readUInt32BE(8), packet.readUInt16BE(2), true);
    if (!this.#tag(secret, roc).equals(packet.subarray(packet.length - TAG_BYTES))) return undefined;
    keep();
    return Buffer.concat([secret.subarray(0, RTP_HEADER_BYTES), this.#crypt(secret, roc)]);
  }

  #index(ssrc: number, sequence: number, later = false): { roc: number; keep(): void } {
    const known = this.#counters.get(ssrc) ?? { roc: 0, highest: sequence };
    let { roc } = known;
    if (known.highest < HALF && sequence - known.highest > HALF) roc = (roc - 1 + 2 ** 32) % 2 ** 32;
    else if (known.highest >= HALF && known.highest - HALF > sequence) roc = (roc + 1) % 2 ** 32;
    const keep = () => {
      const ahead = (sequence - known.highest + SEQUENCES) % SEQUENCES < HALF;
      if (ahead) this.#counters.set(ssrc, { roc, highest: sequence });
    };
    if (!later) keep();
    return { roc, keep };
  }

  /** The payload, either way: the same key stream is added. RFC 3711 §4.1.1 */
  #crypt(packet: Buffer, roc: number): Buffer {
    const iv = Buffer.alloc(16);
    this.#salt.copy(iv);
    for (let at = 0; at < 4; at++) iv[4 + at] = (iv[4 + at] ?? 0) ^ (packet[8 + at] ?? 0);
    iv.writeUInt32BE((iv.readUInt32BE(8) ^ roc) >>> 0, 8);
    iv.writeUInt16BE(iv.readUInt16BE(12) ^ packet.readUInt16BE(2), 12);
    return createCipheriv("aes-128-ctr", this.#cipherKey, iv).update(packet.subarray(RTP_HEADER_BYTES));
  }

  #tag(secret: Buffer, roc: number): Buffer {
    const counter = Buffer.alloc(4);
    counter.writeUInt32BE(roc);
    return createHmac("sha1", this.#authKey).update(secret).update(counter).digest().subarray(0, TAG_BYTES);
  }
}

/** RFC 3711 §4.3.1, key derivation rate 0. */
function derived(key: Buffer, salt: Buffer, label: number, bytes: number): Buffer {
  const iv = Buffer.alloc(16);
  salt.copy(iv);
  iv[7] = (iv[7] ?? 0) ^ label;
  return createCipheriv("aes-128-ctr", key, iv).update(Buffer.alloc(bytes));
}

/** An SDP of ours as RTP/SAVP with this key. */
export const withCrypto = (sdp: string, master: Buffer): string =>
  `${sdp.replace(" RTP/AVP ", " RTP/SAVP ")}a=crypto:1 ${SUITE} inline:${master.toString("base64")}\r\n`;

/** The other side's key; undefined: it does not do SRTP, or not with this cipher. */
export function cryptoOf(sdp: string): Buffer | undefined {
  if (!/^m=audio \S+ RTP\/SAVPF? /m.test(sdp)) return undefined;
  const inline = new RegExp(`^a=crypto:\\d+ ${SUITE} inline:([A-Za-z0-9+/=]+)`, "m").exec(sdp)?.[1];
  return inline === undefined ? undefined : Buffer.from(inline, "base64");
}
