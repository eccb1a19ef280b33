// SIP messages out of a capture: datagrams as they are, TCP put together by sequence number. What TLS carries stays unread.

import type { SipMessage } from "../../../pop/sip-server/core/message/message.ts";
import { parseMessage } from "../../../pop/sip-server/core/message/parse.ts";
import { MessageStream } from "../../../pop/sip-server/core/message/stream.ts";
import { TCP_FIN, TCP_RST, TCP_SYN, type WireAddress, type WirePacket } from "./pcap.ts";

export interface WireMessage {
  readonly atMs: number;
  readonly transport: "udp" | "tcp";
  readonly from: WireAddress;
  readonly to: WireAddress;
  readonly message: SipMessage;
}

export interface SipCapture {
  readonly messages: readonly WireMessage[];
  /** Datagrams, or parts of a stream, that were no SIP: TLS is counted here too. */
  readonly unread: number;
}

interface Half {
  stream: MessageStream;
  next: number;
  /** Segments that came before their turn. */
  early: Map<number, WirePacket>;
}

const MESSAGE_BYTES_MAX = 262_144;
const EARLY_MAX = 256;

export function readSip(packets: Iterable<WirePacket>): SipCapture {
  const messages: WireMessage[] = [];
  const halves = new Map<string, Half>();
  let unread = 0;
  const take = (text: string, packet: WirePacket) => {
    const parsed = parseMessage(text);
    if (!parsed.ok) unread++;
    else messages.push({ ...roadOf(packet), message: parsed.value });
  };
  const feed = (half: Half, packet: WirePacket) => {
    const part = half.stream.take(packet.payload.toString("latin1"));
    half.next = (packet.sequence + packet.payload.length) >>> 0;
    if (!part.ok) {
      unread++;
      half.stream = new MessageStream(MESSAGE_BYTES_MAX);
      return;
    }
    for (const text of part.value.messages) take(text, packet);
  };
  for (const packet of packets) {
    if (packet.protocol === "udp") {
      if (packet.payload.length > 4) take(packet.payload.toString("latin1"), packet); // 4 and less: a keep-alive
      continue;
    }
    const key = `${packet.from.host}:${packet.from.port}>${packet.to.host}:${packet.to.port}`;
    if ((packet.flags & (TCP_SYN | TCP_FIN | TCP_RST)) !== 0) halves.delete(key);
    if (packet.payload.length === 0) continue;
    let half = halves.get(key);
    if (half === undefined) {
      half = { stream: new MessageStream(MESSAGE_BYTES_MAX), next: packet.sequence, early: new Map() };
      halves.set(key, half);
    }
    const ahead = (packet.sequence - half.next) | 0;
    if (ahead < 0) continue; // a copy
    if (ahead > 0) {
      if (half.early.size < EARLY_MAX) half.early.set(packet.sequence, packet);
      continue;
    }
    feed(half, packet);
    for (let next = half.early.get(half.next); next !== undefined; next = half.early.get(half.next)) {
      half.early.delete(half.next);
      feed(half, next);
    }
  }
  return { messages, unread };
}

const roadOf = ({ atMs, protocol, from, to }: WirePacket) => ({ atMs, transport: protocol, from, to });
