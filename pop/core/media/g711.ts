// G.711: 16-bit linear samples ↔ 8-bit mu-law and A-law, by table in both directions. ITU-T G.711, G.191

export type G711Law = "PCMU" | "PCMA";

export const SAMPLES_PER_SECOND = 8_000;
/** What all our packets carry. RFC 3551 §4.5.14 */
export const FRAME_MS = 20;
export const FRAME_SAMPLES = 160;
/** The bytes that decode to (almost) nothing. */
export const ULAW_SILENCE = 0xff;
export const ALAW_SILENCE = 0xd5;

function ulawToLinear(byte: number): number {
  const inverted = ~byte & 0xff;
  const magnitude = (((inverted & 0x0f) << 3) + 0x84) << ((inverted & 0x70) >> 4);
  return inverted & 0x80 ? 0x84 - magnitude : magnitude - 0x84;
}

function alawToLinear(byte: number): number {
  const toggled = byte ^ 0x55;
  const segment = (toggled & 0x70) >> 4;
  const step = (toggled & 0x0f) << 4;
  const magnitude = segment === 0 ? step + 8 : (step + 0x108) << (segment - 1);
  return toggled & 0x80 ? magnitude : -magnitude;
}

const decodeTable = (toLinear: (byte: number) => number): Int16Array =>
  Int16Array.from({ length: 256 }, (_, byte) => toLinear(byte));
const ULAW_DECODE = decodeTable(ulawToLinear);
const ALAW_DECODE = decodeTable(alawToLinear);

/** For each 16-bit sample the byte whose value is nearest: so that encoding what was decoded gives the same byte. */
function encodeTable(decode: Int16Array): Uint8Array {
  const levels = [...decode.keys()].sort((a, b) => (decode[a] ?? 0) - (decode[b] ?? 0) || a - b);
  const table = new Uint8Array(65_536);
  let at = 0;
  for (let sample = -32_768; sample <= 32_767; sample++) {
    const distance = (level: number) => Math.abs((decode[levels[level] ?? 0] ?? 0) - sample);
    while (at + 1 < levels.length && distance(at + 1) <= distance(at)) at++;
    table[sample & 0xffff] = levels[at] ?? 0;
  }
  return table;
}
const ULAW_ENCODE = encodeTable(ULAW_DECODE);
const ALAW_ENCODE = encodeTable(ALAW_DECODE);

export function decodeG711(law: G711Law, bytes: Uint8Array): Int16Array {
  const table = law === "PCMU" ? ULAW_DECODE : ALAW_DECODE;
  const samples = new Int16Array(bytes.length);
  for (let at = 0; at < bytes.length; at++) samples[at] = table[bytes[at] as number] as number;
  return samples;
}

export function encodeG711(law: G711Law, samples: Int16Array): Uint8Array {
  const table = law === "PCMU" ? ULAW_ENCODE : ALAW_ENCODE;
  const bytes = new Uint8Array(samples.length);
  for (let at = 0; at < samples.length; at++) bytes[at] = table[(samples[at] as number) & 0xffff] as number;
  return bytes;
}
