// One TLS connection to the region, shared by the link, contact routing and events. Made anew for each attempt, because the
// certificates may have come, or changed, since the last one; a dead region is noticed by unanswered pings.

import { readFile } from "node:fs/promises";
import { isIP } from "node:net";
import { join } from "node:path";
import { checkServerIdentity, type PeerCertificate } from "node:tls";
import { connectivityState } from "@grpc/grpc-js";
import { type Channel, ChannelCredentials, createChannel } from "nice-grpc";
import type { Log } from "../../../kernel/log.ts";
import { fail, type Outcome, succeed } from "../../../kernel/outcome.ts";

export interface RegionChannelOptions {
  /** "127.10.1.1:7443" */
  readonly address: string;
  /** Holds key.pem, cert.pem and ca.pem; they may come later than we do. */
  readonly certDir: string;
  readonly log: Log;
  readonly connectMsMax?: number;
  /** A silent region is given up after this, plus `pingAnswerMsMax`. */
  readonly pingEveryMs?: number;
  readonly pingAnswerMsMax?: number;
}

export interface RegionUnreachable {
  readonly code: "region.unreachable";
  readonly detail: string;
}

/** A snapshot of a large POP; beyond it the stream breaks and is made anew. */
const MESSAGE_BYTES_MAX = 64 * 1024 * 1024;

export class RegionChannel {
  readonly #options: Required<RegionChannelOptions>;
  readonly #listeners = new Set<() => void>();
  #channel: Channel | undefined;
  #trying: Channel | undefined;
  #attempt: Promise<Outcome<Channel, RegionUnreachable>> | undefined;
  #closed = false;

  constructor(options: RegionChannelOptions) {
    this.#options = { connectMsMax: 3_000, pingEveryMs: 2_000, pingAnswerMsMax: 2_000, ...options };
  }

  /** Told whenever a stream was welcomed: who waits for its next try need not wait long. */
  onReachable(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  announceReachable(): void {
    for (const listener of [...this.#listeners]) listener();
  }

  /**
   * The connection that stands, else one attempt to make it, shared by all who ask meanwhile.
   * @fails region.unreachable: nobody there, no certificates, not our region's certificate, or no answer in time
   */
  async reach(): Promise<Outcome<Channel, RegionUnreachable>> {
    if (this.#closed) return unreachable("closed");
    if (this.#channel?.getConnectivityState(false) === connectivityState.READY) return succeed(this.#channel);
    this.#attempt ??= this.#connect().finally(() => {
      this.#attempt = undefined;
    });
    return this.#attempt;
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#listeners.clear();
    this.#channel?.close();
    this.#channel = undefined;
    this.#trying?.close();
    await this.#attempt;
  }

  async #connect(): Promise<Outcome<Channel, RegionUnreachable>> {
    // Streams that still hang on the old one end by themselves: it is not ready any more.
    this.#channel?.close();
    this.#channel = undefined;
    const credentials = await this.#credentials();
    if (!credentials.ok) return credentials;
    const { address, connectMsMax, pingEveryMs, pingAnswerMsMax } = this.#options;
    const channel = createChannel(address, credentials.value, {
      "grpc.keepalive_time_ms": pingEveryMs,
      "grpc.keepalive_timeout_ms": pingAnswerMsMax,
      "grpc.keepalive_permit_without_calls": 1,
      "grpc.min_reconnect_backoff_ms": connectMsMax, // nice-grpc: the time-out of one connection attempt
      "grpc.use_local_subchannel_pool": 1, // or an attempt would inherit another's back-off and certificates
      "grpc.max_receive_message_length": MESSAGE_BYTES_MAX,
      "grpc.max_send_message_length": MESSAGE_BYTES_MAX,
      "grpc.enable_http_proxy": 0,
      ...(isIP(hostOf(address)) > 0 ? { "grpc.ssl_target_name_override": SERVER_NAME_OF_AN_ADDRESS } : {}),
    });
    this.#trying = channel;
    const failure = await this.#ready(channel, Date.now() + connectMsMax);
    this.#trying = undefined;
    if (this.#closed) return unreachable("closed");
    if (failure !== undefined) {
      channel.close();
      return unreachable(failure);
    }
    this.#channel = channel;
    this.#options.log.info("region.reached", { address });
    return succeed(channel);
  }

  /** @returns why not, or undefined once the connection stands */
  async #ready(channel: Channel, deadlineUnixMs: number): Promise<string | undefined> {
    while (!this.#closed) {
      const state = channel.getConnectivityState(true);
      if (state === connectivityState.READY) return undefined;
      if (state === connectivityState.TRANSIENT_FAILURE) return "connection refused, broken off, or not trusted";
      if (Date.now() >= deadlineUnixMs) return "no answer in time";
      await new Promise<void>((resolve) => {
        channel.watchConnectivityState(state, deadlineUnixMs, () => resolve());
      });
    }
    return "closed";
  }

  async #credentials(): Promise<Outcome<ChannelCredentials, RegionUnreachable>> {
    const { certDir } = this.#options;
    try {
      const [ca, key, cert] = await Promise.all(
        ["ca.pem", "key.pem", "cert.pem"].map((name) => readFile(join(certDir, name))),
      );
      if (ca === undefined || key === undefined || cert === undefined) return unreachable("certificates missing");
      return succeed(ChannelCredentials.createSsl(ca, key, cert, verifying(hostOf(this.#options.address))));
    } catch (error) {
      return unreachable(`certificates: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
}

const hostOf = (address: string): string => address.slice(0, address.lastIndexOf(":")).replace(/^\[|\]$/g, "");

/** RFC 6066 §3 lets no address be a server name, and Node warns of it: we send this one, and check the address itself. */
const SERVER_NAME_OF_AN_ADDRESS = "region.tollgate.invalid";
const verifying = (host: string) =>
  isIP(host) > 0
    ? { checkServerIdentity: (_name: string, certificate: PeerCertificate) => checkServerIdentity(host, certificate) }
    : {};

const unreachable = (detail: string): Outcome<never, RegionUnreachable> => fail({ code: "region.unreachable", detail });
