// A phone in simulated time: it says what the test says, at 127.0.0.1, and remembers what it hears.

import type { SimWorld } from "../../../kernel/sim/world.ts";
import { headerValue, type SipMessage, type SipRequest, type SipResponse } from "../core/message/message.ts";
import { parseMessage } from "../core/message/parse.ts";
import { type Call, Peer } from "./peer.ts";

export const PHONE = "127.0.0.1";

export class SimulatedPhone extends Peer {
  readonly transport = "UDP";
  readonly port = 5060;
  readonly #world: SimWorld;
  readonly #server: string;
  onMessage: (message: SipMessage) => void = () => {};

  constructor(world: SimWorld, server: string) {
    super();
    this.#world = world;
    this.#server = server;
    world.attach(PHONE, (payload) => {
      this.take(String(payload));
      const parsed = parseMessage(String(payload));
      if (parsed.ok) this.onMessage(parsed.value);
    });
  }

  sendText(text: string): void {
    this.#world.send(PHONE, this.#server, text);
  }

  close(): void {}

  requests(method: string): SipRequest[] {
    return this.received.filter((message) => message.kind === "request" && message.method === method) as SipRequest[];
  }

  responses(method: string): SipResponse[] {
    return this.received.filter(
      (message) => message.kind === "response" && message.cseq.method === method,
    ) as SipResponse[];
  }

  /** "INVITE 422 ACK …": all but 100, each kind once in a row. */
  get story(): string {
    const words = this.received.map((message) =>
      message.kind === "request" ? message.method : String(message.status),
    );
    return words.filter((word, at) => word !== "100" && word !== words[at - 1]).join(" ");
  }

  /** Rings off the hook: answers, and acknowledges what is acknowledged to it. */
  lastOf(method: string): SipRequest {
    const last = this.requests(method).at(-1);
    if (last === undefined) throw new Error(`no ${method} came`);
    return last;
  }
}

/** The call is up: the 2xx has been read and acknowledged. */
export function acknowledged(phone: SimulatedPhone, call: Call): SipResponse {
  const answer = phone.responses("INVITE").findLast(({ status }) => status === 200);
  if (answer === undefined) throw new Error(`not answered: ${phone.story}`);
  call.learn(answer);
  call.ack();
  return answer;
}

export const has = (message: SipMessage, name: string): string | undefined => headerValue(message, name.toLowerCase());
