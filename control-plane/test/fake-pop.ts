// A POP host as the control plane sees one: both streams over a real socket with its own certificate, and a memory of
// everything it was told.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ChannelCredentials, createChannel, createClient } from "nice-grpc";
import { EventIntakeServiceDefinition } from "../../proto/gen/call_events/v1/call_events.ts";
import {
  type DeepPartial,
  type ConnectResponse as LinkDirective,
  type ConnectRequest as LinkReport,
  PopLinkServiceDefinition,
} from "../../proto/gen/pop_link/v1/pop_link.ts";
import {
  ContactRoutingServiceDefinition,
  type DeepPartial as DeepPartialQueue,
  type ConnectResponse as RoutingDirective,
  type ConnectRequest as RoutingReport,
} from "../../proto/gen/queue/v1/queue.ts";

export type Heard<Directive> = NonNullable<Directive>;

/** Reports waiting to go up, as an async iterable that ends when closed. */
class Uplink<Report> implements AsyncIterable<Report> {
  readonly #waiting: Report[] = [];
  #closed = false;
  #wake: () => void = () => {};

  say(report: Report): void {
    this.#waiting.push(report);
    this.#wake();
  }

  close(): void {
    this.#closed = true;
    this.#wake();
  }

  async *[Symbol.asyncIterator](): AsyncIterator<Report> {
    while (!this.#closed) {
      const next = this.#waiting.shift();
      if (next !== undefined) yield next;
      else
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
    }
  }
}

/** One stream: what was said and heard, and how it ended. */
export class FakeStream<Report, Directive> {
  readonly heard: Directive[] = [];
  readonly #uplink = new Uplink<Report>();
  readonly #cancel = new AbortController();
  #listeners: (() => void)[] = [];
  ended: { readonly error: unknown } | undefined;

  constructor(
    connect: (uplink: AsyncIterable<Report>, options: { signal: AbortSignal }) => AsyncIterable<Directive>,
    hello: Report,
  ) {
    this.#uplink.say(hello);
    void this.#listen(connect(this.#uplink, { signal: this.#cancel.signal }));
  }

  say(report: Report): void {
    this.#uplink.say(report);
  }

  /** The first directive that fits, heard already or within the time. */
  async hear<Wanted>(
    pick: (directive: Directive) => Wanted | undefined,
    what: string,
    withinMs = 5_000,
  ): Promise<Wanted> {
    const giveUpAtMs = Date.now() + withinMs;
    let seen = 0;
    for (;;) {
      for (; seen < this.heard.length; seen++) {
        const directive = this.heard[seen];
        const wanted = directive === undefined ? undefined : pick(directive);
        if (wanted !== undefined) return wanted;
      }
      if (this.ended) throw new Error(`the stream ended (${String(this.ended.error)}) before ${what}`);
      const leftMs = giveUpAtMs - Date.now();
      if (leftMs <= 0) throw new Error(`never heard ${what}; heard ${JSON.stringify(this.heard)}`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, leftMs);
        this.#listeners.push(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
  }

  /** Resolves when the region ended it, or it broke. */
  async end(withinMs = 5_000): Promise<unknown> {
    const giveUpAtMs = Date.now() + withinMs;
    while (!this.ended) {
      if (Date.now() > giveUpAtMs) throw new Error("the stream did not end");
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, 100);
        this.#listeners.push(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
    return this.ended.error;
  }

  close(): void {
    this.#uplink.close();
    this.#cancel.abort();
  }

  async #listen(downlink: AsyncIterable<Directive>): Promise<void> {
    let error: unknown;
    try {
      for await (const directive of downlink) {
        this.heard.push(directive);
        this.#notify();
      }
    } catch (thrown) {
      error = thrown;
    }
    this.ended = { error };
    this.#uplink.close();
    this.#notify();
  }

  #notify(): void {
    const listeners = this.#listeners;
    this.#listeners = [];
    for (const listener of listeners) listener();
  }
}

export interface FakeContact {
  readonly contactId: string;
  readonly tenantId: string;
  readonly queueId: string;
  readonly enqueuedAtUnixMs: number;
  readonly priority?: number;
}

export class FakePop {
  readonly hostId: string;
  /** Of the owner of the host's service, said in both hellos. */
  epoch = 0;
  /** Calls that it says it has; undefined: it does not say. */
  held: readonly string[] | undefined;
  readonly #channel: ReturnType<typeof createChannel>;
  readonly #streams: { close(): void }[] = [];

  /** @param certificateOf whose certificate it shows, if not its own */
  constructor(hostId: string, address: string, pkiDir: string, certificateOf = hostId) {
    this.hostId = hostId;
    const file = (...name: string[]) => readFileSync(join(pkiDir, ...name));
    this.#channel = createChannel(
      `https://${address}`,
      ChannelCredentials.createSsl(
        file("ca.crt"),
        file("hosts", `${certificateOf}.key`),
        file("hosts", `${certificateOf}.crt`),
      ),
      { "grpc.initial_reconnect_backoff_ms": 50, "grpc.max_reconnect_backoff_ms": 200 },
    );
  }

  link(appliedVersion = 0): FakeStream<DeepPartial<LinkReport>, LinkDirective> {
    const client = createClient(PopLinkServiceDefinition, this.#channel);
    const stream = new FakeStream<DeepPartial<LinkReport>, LinkDirective>(
      (uplink, options) => client.connect(uplink, options),
      {
        report: {
          $case: "hello",
          value: {
            popId: "fra-01",
            hostId: this.hostId,
            appliedVersion,
            softwareVersion: "test",
            epoch: this.epoch,
            ...(this.held === undefined ? {} : { held: { callIds: [...this.held] } }),
          },
        },
      },
    );
    this.#streams.push(stream);
    return stream;
  }

  route(
    waiting: readonly FakeContact[] = [],
    offers: readonly {
      offerId: string;
      contactId: string;
      tenantId: string;
      agentId: string;
      queueId: string;
      accepted: boolean;
    }[] = [],
  ): FakeStream<DeepPartialQueue<RoutingReport>, RoutingDirective> {
    const client = createClient(ContactRoutingServiceDefinition, this.#channel);
    const stream = new FakeStream<DeepPartialQueue<RoutingReport>, RoutingDirective>(
      (uplink, options) => client.connect(uplink, options),
      {
        report: {
          $case: "hello",
          value: {
            popId: "fra-01",
            hostId: this.hostId,
            waiting: [...waiting],
            offers: [...offers],
            epoch: this.epoch,
          },
        },
      },
    );
    this.#streams.push(stream);
    return stream;
  }

  get events() {
    return createClient(EventIntakeServiceDefinition, this.#channel);
  }

  close(): void {
    for (const stream of this.#streams) stream.close();
    this.#channel.close();
  }
}

export const offerIn = ({ directive }: RoutingDirective) =>
  directive?.$case === "offer" ? directive.value : undefined;
export const queuedIn = ({ directive }: RoutingDirective) =>
  directive?.$case === "queued" ? directive.value : undefined;
export const refusedIn = ({ directive }: RoutingDirective) =>
  directive?.$case === "contactRefused" ? directive.value : undefined;
export const snapshotIn = ({ directive }: LinkDirective) =>
  directive?.$case === "snapshot" ? directive.value : undefined;
export const commandIn = ({ directive }: LinkDirective) =>
  directive?.$case === "command" ? directive.value : undefined;
export const welcomeIn = ({ directive }: { directive: { $case: string; value: unknown } | undefined }) =>
  directive?.$case === "welcome" ? directive.value : undefined;
