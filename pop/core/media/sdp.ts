// The little of SDP (RFC 8866) and offer/answer (RFC 3264) that a call with one audio stream needs. Reading is tolerant:
// what we do not know is skipped; bounded: what nobody sends is refused. The relay rewrites the rest of the text itself.

import { fail, type Outcome, succeed } from "../../../kernel/outcome.ts";
import type { RtpAddress } from "./addresses.ts";

/** A session description as it travels: text of RFC 8866. */
export type Sdp = string;

export type Direction = "sendrecv" | "sendonly" | "recvonly" | "inactive";

export interface AudioCodec {
  /** 0 … 127 */
  readonly payloadType: number;
  /** As registered, upper case: "PCMU", "TELEPHONE-EVENT", or "" for a dynamic type without a map. */
  readonly name: string;
  readonly clockHz: number;
  readonly parameters?: string;
}

/** The first audio stream of a session description. */
export interface AudioDescription {
  /** Port 0: the stream is refused or switched off (RFC 3264 §6, §8.2). */
  readonly address: RtpAddress;
  /** "RTP/AVP", "RTP/SAVP", "UDP/TLS/RTP/SAVPF" … */
  readonly transport: string;
  /** In order of preference, without telephone-event. */
  readonly codecs: readonly AudioCodec[];
  /** The RFC 4733 payload type at 8 kHz, if any. */
  readonly dtmfPayloadType?: number;
  readonly direction: Direction;
  readonly packetMs?: number;
  /** Keys, as they stand behind "a=crypto:" (RFC 4568 §9.1); none where SRTP is not offered that way. */
  readonly crypto?: readonly string[];
}

export interface SdpUnreadable {
  readonly code: "media.sdp-unreadable";
  readonly detail: string;
}

/** Far above what is seen (a browser's offer has some 8 kB, 150 lines). */
export const SDP_CHARACTERS_MAX = 32_768;
export const SDP_LINES_MAX = 1_000;
const PAYLOAD_TYPES_MAX = 64;
/** A phone offers one for each of its suites: a handful. */
const CRYPTO_LINES_MAX = 16;
const CRYPTO_CHARACTERS_MAX = 256;

const STATIC_CODECS: Readonly<Record<number, readonly [string, number]>> = {
  0: ["PCMU", 8_000],
  3: ["GSM", 8_000],
  8: ["PCMA", 8_000],
  9: ["G722", 8_000],
  13: ["CN", 8_000],
  18: ["G729", 8_000],
};
const DIRECTIONS: readonly string[] = ["sendrecv", "sendonly", "recvonly", "inactive"];

const unreadable = (detail: string) => fail<SdpUnreadable>({ code: "media.sdp-unreadable", detail });

/** @fails media.sdp-unreadable when there is no audio stream to an IP address in it */
export function readAudio(sdp: Sdp): Outcome<AudioDescription, SdpUnreadable> {
  if (sdp.length > SDP_CHARACTERS_MAX) return unreadable(`longer than ${SDP_CHARACTERS_MAX} characters`);
  const lines = sdp.split(/\r\n|\n|\r/);
  if (lines.length > SDP_LINES_MAX) return unreadable(`more than ${SDP_LINES_MAX} lines`);

  let sessionHost: string | undefined;
  let sessionDirection: Direction | undefined;
  let media: { port: number; transport: string; types: readonly number[] } | undefined;
  let inSession = true;
  let host: string | undefined;
  let direction: Direction | undefined;
  let packetMs: number | undefined;
  const maps = new Map<number, readonly [string, number]>();
  const parameters = new Map<number, string>();
  const crypto: string[] = [];

  for (const line of lines) {
    const kind = line.slice(0, 2);
    const value = line.slice(2).trim();
    if (kind === "m=") {
      if (media !== undefined) break; // only the first audio stream counts
      inSession = false;
      if (value.startsWith("audio ")) {
        const read = readMediaLine(value);
        if (!read.ok) return read;
        media = read.value;
      }
    } else if (!inSession && media === undefined) {
      // belongs to a stream that is not ours, such as video in front of the audio
    } else if (kind === "c=") {
      const address = readConnection(value);
      if (inSession) sessionHost = address;
      else host = address;
    } else if (kind === "a=") {
      if (DIRECTIONS.includes(value)) {
        if (inSession) sessionDirection = value as Direction;
        else direction = value as Direction;
      } else if (media !== undefined) {
        const map = /^rtpmap:(\d{1,3})\s+([^/\s]+)\/(\d{1,6})/.exec(value);
        if (map) maps.set(Number(map[1]), [(map[2] ?? "").toUpperCase(), Number(map[3])]);
        const own = /^fmtp:(\d{1,3})\s+(.*)$/.exec(value);
        if (own) parameters.set(Number(own[1]), own[2] ?? "");
        if (value.startsWith("crypto:") && crypto.length < CRYPTO_LINES_MAX && value.length <= CRYPTO_CHARACTERS_MAX)
          crypto.push(value.slice("crypto:".length));
        const ptime = /^ptime:(\d{1,3})/.exec(value);
        if (ptime && Number(ptime[1]) > 0) packetMs = Number(ptime[1]);
      }
    }
  }

  if (media === undefined) return unreadable("no audio stream");
  const at = host ?? sessionHost;
  if (at === undefined) return unreadable("no address of the audio stream");

  const codecs: AudioCodec[] = [];
  let dtmfPayloadType: number | undefined;
  for (const payloadType of media.types) {
    const [name, clockHz] = maps.get(payloadType) ?? STATIC_CODECS[payloadType] ?? ["", 0];
    if (name === "TELEPHONE-EVENT") {
      if (clockHz === 8_000) dtmfPayloadType ??= payloadType;
      continue;
    }
    const own = parameters.get(payloadType);
    codecs.push({ payloadType, name, clockHz, ...(own === undefined ? {} : { parameters: own }) });
  }
  return succeed({
    address: { host: at, port: media.port },
    transport: media.transport,
    codecs,
    ...(dtmfPayloadType === undefined ? {} : { dtmfPayloadType }),
    // RFC 3264 §5.1: c=0.0.0.0 is how hold was said before there were directions
    direction: at === "0.0.0.0" && direction === undefined ? "inactive" : (direction ?? sessionDirection ?? "sendrecv"),
    ...(packetMs === undefined ? {} : { packetMs }),
    ...(crypto.length === 0 ? {} : { crypto }),
  });
}

function readMediaLine(
  value: string,
): Outcome<{ port: number; transport: string; types: readonly number[] }, SdpUnreadable> {
  const [, portText = "", transport = "", ...formats] = value.split(/\s+/);
  const port = Number(/^(\d{1,5})(\/\d+)?$/.exec(portText)?.[1] ?? Number.NaN);
  if (!(port >= 0 && port <= 65_535)) return unreadable("audio port is not a number up to 65535");
  if (transport === "") return unreadable("audio stream without a transport");
  if (formats.length > PAYLOAD_TYPES_MAX) return unreadable(`more than ${PAYLOAD_TYPES_MAX} payload types`);
  const types = formats.filter((format) => /^\d{1,3}$/.test(format)).map(Number);
  return succeed({ port, transport, types: [...new Set(types.filter((type) => type <= 127))] });
}

/** "IN IP4 192.0.2.1/127" → "192.0.2.1"; undefined for what is not an IP address. */
function readConnection(value: string): string | undefined {
  const found = /^IN\s+(IP4|IP6)\s+([^\s/]+)/i.exec(value);
  const host = found?.[2];
  if (host === undefined) return undefined;
  if (found?.[1]?.toUpperCase() === "IP6") return /^[0-9a-fA-F:.]{2,45}$/.test(host) ? host : undefined;
  const octets = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(host);
  return octets?.slice(1).every((octet) => Number(octet) <= 255) ? host : undefined;
}

/** The codecs we carry without a licence or much CPU. The worker itself speaks only the first. */
export const G711 = ["PCMU", "PCMA"] as const;
export type G711Name = (typeof G711)[number];

/** The one of `codecs` to use, by their order; undefined when neither PCMU nor PCMA is among them. */
export const firstG711 = (codecs: readonly AudioCodec[]): (AudioCodec & { readonly name: G711Name }) | undefined =>
  codecs.find(
    (codec): codec is AudioCodec & { readonly name: G711Name } =>
      (G711 as readonly string[]).includes(codec.name) && codec.clockHz === 8_000,
  );

export interface SdpToWrite {
  readonly address: RtpAddress;
  readonly codecs: readonly AudioCodec[];
  readonly dtmfPayloadType?: number;
  readonly direction?: Direction;
  readonly packetMs?: number;
  /** Default "RTP/AVP". */
  readonly transport?: string;
  readonly crypto?: readonly string[];
  /** RFC 8866 §5.2: stays for the life of the dialog. */
  readonly sessionId?: number;
  /** Must rise by one with each change (RFC 3264 §8). */
  readonly version?: number;
}

export function writeAudio(audio: SdpToWrite): Sdp {
  const { address, codecs, dtmfPayloadType, direction = "sendrecv", packetMs = 20, sessionId = 1, version = 1 } = audio;
  const { transport = "RTP/AVP", crypto = [] } = audio;
  const family = address.host.includes(":") ? "IP6" : "IP4";
  const types = [
    ...codecs.map(({ payloadType }) => payloadType),
    ...(dtmfPayloadType === undefined ? [] : [dtmfPayloadType]),
  ];
  const lines = [
    "v=0",
    `o=- ${sessionId} ${version} IN ${family} ${address.host}`,
    "s=-",
    `c=IN ${family} ${address.host}`,
    "t=0 0",
    `m=audio ${address.port} ${transport} ${types.join(" ")}`,
  ];
  for (const { payloadType, name, clockHz, parameters } of codecs) {
    if (name !== "") lines.push(`a=rtpmap:${payloadType} ${name}/${clockHz}`);
    if (parameters !== undefined) lines.push(`a=fmtp:${payloadType} ${parameters}`);
  }
  if (dtmfPayloadType !== undefined) {
    lines.push(`a=rtpmap:${dtmfPayloadType} telephone-event/8000`, `a=fmtp:${dtmfPayloadType} 0-15`);
  }
  for (const keys of crypto) lines.push(`a=crypto:${keys}`);
  lines.push(`a=${direction}`, `a=ptime:${packetMs}`);
  return `${lines.join("\r\n")}\r\n`;
}

export const PCMU: AudioCodec = { payloadType: 0, name: "PCMU", clockHz: 8_000 };
export const PCMA: AudioCodec = { payloadType: 8, name: "PCMA", clockHz: 8_000 };

/** What the answerer says to `direction`. RFC 3264 §6.1 */
export const answerDirection = (direction: Direction): Direction =>
  direction === "sendonly" ? "recvonly" : direction === "recvonly" ? "sendonly" : direction;

/**
 * An answer has as many streams as its offer (RFC 3264 §6): puts the streams other than the first audio stream back
 * in their places, refused with port 0.
 */
export function refuseOtherStreams(answer: Sdp, offer: Sdp): Sdp {
  const streams = offer.split(/\r\n|\n|\r/).filter((line) => line.startsWith("m="));
  const ours = streams.findIndex((line) => line.startsWith("m=audio "));
  if (streams.length <= 1 || ours < 0) return answer;
  const refused = streams.map((line) => line.replace(/^(m=\S+)\s+\S+/, "$1 0"));
  const at = answer.indexOf("m=audio ");
  if (at < 0) return answer;
  const lines = (texts: readonly string[]) => texts.map((text) => `${text}\r\n`).join("");
  return `${answer.slice(0, at)}${lines(refused.slice(0, ours))}${answer.slice(at)}${lines(refused.slice(ours + 1))}`;
}

/** Our own origin instead of what a relay copied from the other side: the id stays, the version rises. RFC 3264 §8 */
export const withOrigin = (sdp: Sdp, sessionId: number, version: number): Sdp =>
  sdp.replace(/^o=\S+ \S+ \S+ /m, `o=- ${sessionId} ${version} `).replace(/^s=.*$/m, "s=-");
