// How many messages came and went, by direction, transport, method and status. On the way of every message: an index and an addition.

import type { MessageCount } from "../../boundary/observable.ts";
import { TRANSPORT_NAMES, type TransportName } from "../../core/flow.ts";
import type { SipMessage } from "../../core/message/message.ts";

export const METHOD_LABELS = [
  ..."INVITE ACK BYE CANCEL OPTIONS INFO PRACK UPDATE MESSAGE REGISTER SUBSCRIBE NOTIFY REFER PUBLISH".split(" "),
  // A label that a stranger cannot multiply.
  "other",
] as const;
const OTHER = METHOD_LABELS.length - 1;
const METHOD_INDEX = new Map(METHOD_LABELS.map((method, index) => [method, index]));

/** Status 0 stands for a request. */
const STATUSES = 700;
const PER_METHOD = STATUSES;
const PER_TRANSPORT = METHOD_LABELS.length * PER_METHOD;
const PER_DIRECTION = TRANSPORT_NAMES.length * PER_TRANSPORT;

export class MessageCounts {
  readonly #counts = new Float64Array(2 * PER_DIRECTION);
  readonly #transports = new Map(TRANSPORT_NAMES.map((name, index) => [name, index]));

  add(message: SipMessage, direction: "in" | "out", transport: TransportName): void {
    if (message.kind === "request") this.count(direction, transport, message.method, 0);
    else this.count(direction, transport, message.cseq.method, message.status);
  }

  count(direction: "in" | "out", transport: TransportName, method: string, status: number): void {
    const methodIndex = METHOD_INDEX.get(method) ?? OTHER;
    const transportIndex = this.#transports.get(transport) ?? 0;
    const at = (direction === "in" ? 0 : PER_DIRECTION) + transportIndex * PER_TRANSPORT + methodIndex * PER_METHOD;
    const index = at + (status < STATUSES ? status : 0);
    this.#counts[index] = (this.#counts[index] ?? 0) + 1;
  }

  /** Those that are not zero. */
  *entries(): Iterable<MessageCount> {
    for (const [index, count] of this.#counts.entries()) {
      if (count === 0) continue;
      yield {
        direction: index < PER_DIRECTION ? "in" : "out",
        transport: TRANSPORT_NAMES[Math.floor((index % PER_DIRECTION) / PER_TRANSPORT)] ?? "udp",
        method: METHOD_LABELS[Math.floor((index % PER_TRANSPORT) / PER_METHOD)] ?? "other",
        status: index % PER_METHOD,
        count,
      };
    }
  }
}
