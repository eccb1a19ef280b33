// The application of one request, before anybody has connected to it: what it is to be told waits until it may be told.

import type { ApplicationLink, Urgency } from "../../boundary/application-link.ts";

/** The request itself, and what may happen to it before the application is there. */
const HELD_FRAMES_MAX = 16;

export class OutboundApplication implements ApplicationLink {
  readonly id: string;
  /** The pending request it was made for; set as soon as that has a name. */
  transactionId = "";
  #inner: ApplicationLink | undefined;
  #held: string[] | undefined = [];
  #closed = false;

  constructor(id: string) {
    this.id = id;
  }

  get open(): boolean {
    return !this.#closed && (this.#inner === undefined || this.#inner.open);
  }

  get busy(): boolean {
    return this.#inner?.busy ?? false;
  }

  get address(): string {
    return this.#inner?.address ?? "";
  }

  get connection(): ApplicationLink | undefined {
    return this.#inner;
  }

  /** The connection on which it will say who it is. */
  attach(inner: ApplicationLink): void {
    this.#inner = inner;
  }

  /** It has said who it is: it hears what has waited, and from now on everything at once. */
  admit(): void {
    const held = this.#held ?? [];
    this.#held = undefined;
    for (const payload of held) this.#inner?.send(payload);
  }

  /** Another connection takes the request over: it hears what has waited. */
  handTo(link: ApplicationLink): void {
    const held = this.#held ?? [];
    this.#held = undefined;
    this.#closed = true;
    for (const payload of held) link.send(payload);
  }

  send(payload: string, urgency?: Urgency): void {
    if (this.#held === undefined) this.#inner?.send(payload, urgency);
    else if (this.#held.length < HELD_FRAMES_MAX) this.#held.push(payload);
  }

  close(): void {
    this.#closed = true;
    this.#held = undefined;
    this.#inner?.close();
  }
}
