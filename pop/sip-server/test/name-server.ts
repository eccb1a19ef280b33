// A name server in this process, on 127.0.0.1, over UDP and TCP on one port; it misbehaves as the test says.

import { createSocket, type Socket } from "node:dgram";
import { createServer, type Server, type Socket as TcpSocket } from "node:net";
import { type Answer, type DecodedPacket, decode, encode, TRUNCATED_RESPONSE } from "dns-packet";
import type { DnsType, ReplyRecord } from "../core/next-hop/dns.ts";
import { nameOf } from "../core/next-hop/hop.ts";
import { Zone } from "./zone.ts";

export interface Behaviour {
  /** Datagrams sent in place of the honest one; none: silence. */
  readonly overUdp?: (honest: Packet, query: DecodedPacket) => readonly (Packet | Buffer)[];
  readonly overTcp?: (honest: Packet, query: DecodedPacket) => Packet | Buffer | "close";
}
export type Packet = Parameters<typeof encode>[0];

export class NameServer {
  readonly port: number;
  /** "udp SRV _sip._udp.a.example". */
  readonly asked: string[] = [];
  readonly ids: number[] = [];
  readonly spellings: string[] = [];
  readonly sourcePorts: number[] = [];
  zone: Zone;
  behaviour: Behaviour = {};
  readonly #udp: Socket;
  readonly #tcp: Server;
  readonly #connections = new Set<TcpSocket>();

  static async open(zone: string): Promise<NameServer> {
    // The kernel's free TCP port may be taken for UDP: then the next one.
    for (let attempt = 0; ; attempt++) {
      const tcp = createServer();
      await new Promise<void>((resolve) => tcp.listen(0, "127.0.0.1", resolve));
      const bound = tcp.address();
      const port = typeof bound === "object" && bound !== null ? bound.port : 0;
      const udp = createSocket("udp4");
      try {
        await new Promise<void>((resolve, reject) => {
          udp.once("error", reject);
          udp.bind(port, "127.0.0.1", () => resolve());
        });
        return new NameServer(udp, tcp, port, zone);
      } catch (error) {
        tcp.close();
        if (attempt > 20) throw error;
      }
    }
  }

  private constructor(udp: Socket, tcp: Server, port: number, zone: string) {
    this.#udp = udp;
    this.#tcp = tcp;
    this.port = port;
    this.zone = new Zone(zone);
    udp.on("message", (bytes, from) => {
      const query = decode(bytes);
      this.sourcePorts.push(from.port);
      const honest = this.#reply(query, "udp");
      if (honest === undefined) return;
      for (const packet of this.behaviour.overUdp?.(honest, query) ?? [honest])
        udp.send(Buffer.isBuffer(packet) ? packet : encode(packet), from.port, from.address);
    });
    tcp.on("connection", (socket) => {
      this.#connections.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => this.#connections.delete(socket));
      socket.once("data", (bytes) => {
        const query = decode(bytes.subarray(2));
        const honest = this.#reply(query, "tcp");
        if (honest === undefined) return;
        const packet = this.behaviour.overTcp?.(honest, query) ?? honest;
        if (packet === "close") {
          socket.destroy();
          return;
        }
        const body = Buffer.isBuffer(packet) ? packet : encode(packet);
        const length = Buffer.alloc(2);
        length.writeUInt16BE(body.length);
        // In two pieces, the first of them one byte.
        socket.write(length.subarray(0, 1));
        setImmediate(() => socket.write(Buffer.concat([length.subarray(1), body])));
      });
    });
  }

  close(): void {
    this.#udp.close();
    for (const socket of this.#connections) socket.destroy();
    this.#tcp.close();
  }

  #reply(query: DecodedPacket, over: "udp" | "tcp"): Packet | undefined {
    const [question] = query.questions ?? [];
    if (question === undefined) return undefined;
    const asked = { type: question.type as DnsType, name: nameOf(question.name) };
    this.asked.push(`${over} ${asked.type} ${asked.name}`);
    this.ids.push(query.id ?? -1);
    this.spellings.push(question.name);
    const answer = this.zone.answer(asked);
    if (answer === undefined) return undefined;
    const { code, answers, authorities } = this.zone.reply(asked);
    return {
      type: "response",
      id: query.id ?? 0,
      flags: answer.kind === "failed" ? 2 : code,
      questions: [question],
      answers: answers.map(onTheWire),
      authorities: authorities.map(onTheWire),
    };
  }
}

export const cutOff = (honest: Packet): Packet => ({
  ...honest,
  flags: (honest.flags ?? 0) | TRUNCATED_RESPONSE,
  answers: [],
});

function onTheWire({ name, ttlSeconds: ttl, record }: ReplyRecord): Answer {
  switch (record.type) {
    case "A":
    case "AAAA":
      return { type: record.type, name, ttl, data: record.address };
    case "CNAME":
      return { type: "CNAME", name, ttl, data: record.target };
    case "SRV":
      return { type: "SRV", name, ttl, data: record };
    case "NAPTR":
      return { type: "NAPTR", name, ttl, data: record };
    case "SOA":
      return {
        type: "SOA",
        name,
        ttl,
        data: { mname: "ns.example", rname: "x.example", serial: 1, minimum: record.minimumSeconds },
      };
  }
}
