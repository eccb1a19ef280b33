// A stream connection in simulated time: bytes in, cut as the TCP adapter cuts them.

import type { Endpoint } from "../app/endpoint.ts";
import type { Flow, ListenPoint } from "../core/flow.ts";
import { MessageStream, type StreamFault } from "../core/message/stream.ts";

export class SimulatedConnection {
  /** What the server sent, whole messages. */
  readonly received: string[] = [];
  closed: string | undefined;
  readonly #endpoint: Endpoint;
  readonly #stream = new MessageStream(65_535);
  readonly #point: ListenPoint;
  readonly #flow: Flow;

  constructor(endpoint: Endpoint, from: string) {
    this.#endpoint = endpoint;
    const id = "tcp/10.0.0.2:5060";
    this.#point = { id, name: "tcp", transport: "tcp", address: "10.0.0.2", port: 5060, host: "10.0.0.2" };
    this.#flow = { pointId: id, transport: "tcp", address: from, port: 40_000, connection: `${id}#1` };
    endpoint.addTransport({
      point: this.#point,
      send: (text, _to, failed) => {
        if (this.closed === undefined) this.received.push(text);
        else setImmediate(failed);
      },
      stop: async () => {},
    });
  }

  arrive(bytes: string): void {
    if (this.closed !== undefined) return;
    const taken = this.#stream.take(bytes);
    if (!taken.ok) return this.#lost(taken.failure);
    for (const text of taken.value.messages) this.#endpoint.onMessage(text, this.#flow, this.#point);
    if (this.#stream.fault !== undefined) this.#lost(this.#stream.fault);
  }

  #lost({ fault, head }: StreamFault): void {
    if (head !== undefined) this.#endpoint.onUnframed(head, this.#flow, this.#point);
    this.#endpoint.onStreamFault(fault, this.#point);
    this.closed = fault;
  }

  get waitingBytes(): number {
    return this.#stream.waitingBytes;
  }
}
