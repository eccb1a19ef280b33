// Asks name servers: RFC 1035 over UDP, over TCP when an answer is cut off (RFC 7766) or looks forged.
//
// A forger has to guess the query id (16 bits), the source port (the kernel's choice, anew for every question: RFC 5452) and
// the case of every letter of the name. A reply that has only the case wrong is asked for again over TCP: a few honest
// servers do not keep it.

import { randomBytes, randomInt } from "node:crypto";
import { createSocket, type Socket } from "node:dgram";
import { connect, type Socket as TcpSocket } from "node:net";
import { type Answer, type DecodedPacket, decode, encode, RECURSION_DESIRED } from "dns-packet";
import type { DnsClientLimits } from "../core/limits.ts";
import {
  answerOf,
  type DnsAnswer,
  type DnsFailure,
  type Question,
  type Reply,
  type ReplyRecord,
} from "../core/next-hop/dns.ts";
import { nameOf } from "../core/next-hop/hop.ts";

export interface DnsServer {
  readonly address: string;
  readonly port: number;
}

/** What fits a datagram on any path: the DNS flag day's 1,232 bytes. */
const UDP_ANSWER_BYTES = 1_232;
/** Datagrams that are no answer to our question: after so many somebody is guessing, and TCP is asked instead. */
const STRANGE_MAX = 16;
const FORMAT_ERROR = 1;
const NOT_IMPLEMENTED = 4;

export class DnsClient {
  readonly #limits: DnsClientLimits;
  readonly #queries = new Set<Query>();

  constructor(limits: DnsClientLimits) {
    this.#limits = limits;
  }

  /** Answers exactly once, later. */
  ask(question: Question, servers: readonly DnsServer[], answered: (answer: DnsAnswer) => void): void {
    const query: Query = new Query(question, servers, this.#limits, (answer) => {
      this.#queries.delete(query);
      answered(answer);
    });
    this.#queries.add(query);
    query.begin();
  }

  stop(): void {
    for (const query of [...this.#queries]) query.end({ kind: "failed", because: "timeout" });
  }
}

class Query {
  readonly #question: Question;
  readonly #servers: readonly DnsServer[];
  readonly #limits: DnsClientLimits;
  readonly #answered: (answer: DnsAnswer) => void;
  #attempt = 0;
  #strange = 0;
  #id = 0;
  #name = "";
  /** RFC 6891; left out for servers that do not know it. */
  #extended = true;
  #because: DnsFailure = "timeout";
  #udp: Socket | undefined;
  #tcp: TcpSocket | undefined;
  #timer: NodeJS.Timeout | undefined;
  #ended = false;

  constructor(
    question: Question,
    servers: readonly DnsServer[],
    limits: DnsClientLimits,
    answered: (answer: DnsAnswer) => void,
  ) {
    this.#question = question;
    this.#servers = servers;
    this.#limits = limits;
    this.#answered = answered;
  }

  begin(): void {
    setImmediate(() => this.#askNext());
  }

  end(answer: DnsAnswer): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#close();
    this.#answered(answer);
  }

  /** The next server, as long as there are attempts; the first one again after the last. */
  #askNext(): void {
    if (this.#ended) return;
    this.#close();
    const server = this.#servers[this.#attempt % this.#servers.length];
    if (server === undefined || this.#attempt >= this.#limits.attemptsMax) {
      this.end({ kind: "failed", because: this.#because });
      return;
    }
    const afterMs = this.#limits.timeoutMs * 1.5 ** this.#attempt;
    this.#attempt++;
    this.#timer = setTimeout(() => this.#fail("timeout"), afterMs);
    this.#overUdp(server);
  }

  #fail(because: DnsFailure): void {
    if (because !== "timeout") this.#because = because;
    this.#askNext();
  }

  #overUdp(server: DnsServer): void {
    const packet = this.#packet();
    if (packet === undefined) {
      this.end({ kind: "none", ttlSeconds: 0 }); // a name that does not fit the wire is nobody's
      return;
    }
    const socket = createSocket(server.address.includes(":") ? "udp6" : "udp4");
    this.#udp = socket;
    const isCurrent = () => this.#udp === socket;
    socket.on("error", () => {
      if (isCurrent()) this.#fail("refused");
    });
    socket.on("message", (bytes) => {
      if (isCurrent()) this.#onDatagram(bytes, server);
    });
    // Connected: the kernel lets nobody else's datagrams in, and tells us when nobody listens there.
    socket.connect(server.port, server.address, () => {
      if (isCurrent()) socket.send(packet);
    });
  }

  #onDatagram(bytes: Buffer, server: DnsServer): void {
    const packet = bytes.length > UDP_ANSWER_BYTES ? undefined : decoded(bytes);
    const match = packet === undefined ? "strange" : this.#match(packet);
    if (packet === undefined || match === "strange") {
      if (++this.#strange > STRANGE_MAX) this.#overTcp(server);
      return;
    }
    if (match === "other-case" || packet.flag_tc) this.#overTcp(server);
    else this.#onReply(packet, server);
  }

  #overTcp(server: DnsServer): void {
    this.#closeSockets();
    const packet = this.#packet();
    if (packet === undefined) return;
    const length = Buffer.alloc(2);
    length.writeUInt16BE(packet.length);
    const socket = connect({ host: server.address, port: server.port });
    this.#tcp = socket;
    const isCurrent = () => this.#tcp === socket;
    let bytes = Buffer.alloc(0);
    socket.on("connect", () => socket.write(Buffer.concat([length, packet])));
    socket.on("error", () => {}); // "close" follows
    socket.on("close", () => {
      if (isCurrent()) this.#fail("truncated");
    });
    socket.on("data", (more) => {
      if (!isCurrent()) return;
      bytes = Buffer.concat([bytes, more]);
      if (bytes.length < 2) return;
      const size = bytes.readUInt16BE(0);
      if (size > this.#limits.answerBytesMax) this.#fail("malformed");
      else if (bytes.length >= size + 2) {
        const reply = decoded(bytes.subarray(2, size + 2));
        // Over TCP nobody guesses: case is not needed.
        if (reply === undefined || this.#match(reply) === "strange") this.#fail("malformed");
        else this.#onReply(reply, server);
      }
    });
  }

  #onReply(packet: DecodedPacket, server: DnsServer): void {
    const reply = replyOf(packet);
    if (this.#extended && (reply.code === FORMAT_ERROR || reply.code === NOT_IMPLEMENTED)) {
      this.#extended = false;
      this.#closeSockets();
      this.#overUdp(server);
      return;
    }
    const answer = answerOf(this.#question, reply);
    if (answer.kind === "failed") this.#fail(answer.because);
    else this.end(answer);
  }

  /** The question, with an id and a spelling of its own. undefined: it cannot be written. */
  #packet(): Buffer | undefined {
    this.#id = randomInt(65_536);
    this.#name = inMixedCase(this.#question.name);
    const additionals: Answer[] = this.#extended
      ? [
          {
            type: "OPT",
            name: ".",
            udpPayloadSize: UDP_ANSWER_BYTES,
            extendedRcode: 0,
            ednsVersion: 0,
            flags: 0,
            flag_do: false,
            options: [],
          },
        ]
      : [];
    try {
      return encode({
        type: "query",
        id: this.#id,
        flags: RECURSION_DESIRED,
        questions: [{ type: this.#question.type, name: this.#name }],
        additionals,
      });
    } catch {
      return undefined;
    }
  }

  #match(packet: DecodedPacket): "ours" | "other-case" | "strange" {
    const [question, ...more] = packet.questions ?? [];
    if (!packet.flag_qr || packet.id !== this.#id || question === undefined || more.length > 0) return "strange";
    if (question.type !== this.#question.type || (question.class ?? "IN") !== "IN") return "strange";
    if (question.name === this.#name) return "ours";
    return nameOf(question.name) === this.#question.name ? "other-case" : "strange";
  }

  #close(): void {
    clearTimeout(this.#timer);
    this.#closeSockets();
  }

  #closeSockets(): void {
    const udp = this.#udp;
    const tcp = this.#tcp;
    this.#udp = undefined;
    this.#tcp = undefined;
    try {
      udp?.close();
    } catch {
      // closed by its own error
    }
    tcp?.destroy();
  }
}

/** "sIp.ExAMple": each letter's case is a bit that a forger has to guess. */
function inMixedCase(name: string): string {
  const bits = randomBytes(name.length);
  let mixed = "";
  for (let at = 0; at < name.length; at++) {
    const letter = name.charAt(at);
    mixed += ((bits[at] ?? 0) & 1) === 1 ? letter.toUpperCase() : letter;
  }
  return mixed;
}

function decoded(bytes: Buffer): DecodedPacket | undefined {
  try {
    return decode(bytes);
  } catch {
    return undefined;
  }
}

function replyOf(packet: DecodedPacket): Reply {
  return {
    code: (packet.flags ?? 0) & 0xf,
    truncated: packet.flag_tc,
    answers: recordsOf(packet.answers),
    authorities: recordsOf(packet.authorities),
  };
}

function recordsOf(answers: readonly Answer[] | undefined): ReplyRecord[] {
  const records: ReplyRecord[] = [];
  for (const answer of answers ?? []) {
    const record = recordOf(answer);
    if (record === undefined || answer.type === "OPT") continue;
    const ttlSeconds = "ttl" in answer ? (answer.ttl ?? 0) : 0;
    // RFC 2181 §8: the topmost bit is to be read as zero.
    records.push({ name: nameOf(answer.name), ttlSeconds: ttlSeconds > 0x7fff_ffff ? 0 : ttlSeconds, record });
  }
  return records;
}

function recordOf(answer: Answer): ReplyRecord["record"] | undefined {
  switch (answer.type) {
    case "A":
    case "AAAA":
      return { type: answer.type, address: answer.data };
    case "CNAME":
      return { type: "CNAME", target: nameOf(answer.data) };
    case "SRV": {
      const { priority = 0, weight = 0, port, target } = answer.data;
      return { type: "SRV", priority, weight, port, target };
    }
    case "NAPTR":
      return { type: "NAPTR", ...answer.data };
    case "SOA":
      return { type: "SOA", minimumSeconds: answer.data.minimum ?? 0 };
    default:
      return undefined;
  }
}
