// From the configuration's `listen` to open sockets.

import { ConfiguredFileFault } from "../../../kernel/config.ts";
import type { Log } from "../../../kernel/log.ts";
import type { OpenTransport, SipReceiver, SipTransport } from "../boundary/sip-transport.ts";
import { type AddressPrefix, bracketed, parsePrefix } from "../core/address.ts";
import type { ListenPoint, TransportName } from "../core/flow.ts";
import type { ConnectionLimits } from "../core/limits.ts";
import { Certificates } from "./certificates.ts";
import { openTcp } from "./tcp.ts";
import { openTls } from "./tls.ts";
import { TlsIdentity, type TlsSettings } from "./tls-identity.ts";
import { openUdp } from "./udp.ts";
import { openWebSockets } from "./ws.ts";

export interface ListenSettings {
  readonly transport: TransportName;
  readonly name?: string | undefined;
  readonly host: string;
  readonly port: number;
  readonly externalHost?: string | undefined;
  readonly localNets?: readonly string[] | undefined;
  readonly tls?: (Omit<TlsSettings, "wildcards"> & { readonly wildcardNames: boolean }) | undefined;
  readonly origins?: readonly string[] | undefined;
}

export interface ListenersSettings {
  readonly udpBufferBytes: number;
  readonly streams: ConnectionLimits;
  readonly webSockets: ConnectionLimits;
}

export class Listeners {
  readonly certificates: Certificates;
  readonly #settings: ListenersSettings;
  readonly #receiver: SipReceiver;

  constructor(
    settings: ListenersSettings,
    log: Log,
    receiver: SipReceiver & { readonly counters: { add(name: string, label: string): void } },
  ) {
    this.#settings = settings;
    this.#receiver = receiver;
    this.certificates = new Certificates(log, (result) => receiver.counters.add("tls_reloads", `result="${result}"`));
  }

  /** @throws EADDRINUSE and its like; ConfiguredFileFault */
  async open(listen: ListenSettings): Promise<SipTransport> {
    return (await this.#openerOf(listen))(pointOf(listen), this.#receiver);
  }

  async #openerOf(listen: ListenSettings): Promise<OpenTransport> {
    const { udpBufferBytes, streams, webSockets } = this.#settings;
    const { transport, origins } = listen;
    const pages = origins === undefined ? {} : { origins };
    const identity = await this.#identityOf(listen);
    if (transport === "udp") return openUdp(udpBufferBytes);
    if (transport === "ws" || transport === "wss") return openWebSockets(webSockets, pages, identity);
    return identity === undefined ? openTcp(streams) : openTls(streams, identity);
  }

  async #identityOf({ tls, name, transport }: ListenSettings): Promise<TlsIdentity | undefined> {
    if (tls === undefined) return undefined;
    const { wildcardNames, ...settings } = tls;
    const identity = await TlsIdentity.load({ ...settings, wildcards: wildcardNames });
    if (!identity.ok) {
      const { file, reason } = identity.failure;
      throw new ConfiguredFileFault(`listen ${name ?? transport}: tls: ${file}: ${reason}`);
    }
    this.certificates.add(name ?? transport, identity.value);
    return identity.value;
  }
}

/** As others will know it; port 0 becomes a real one when it is opened. */
export function pointOf({ transport, name, host, port, externalHost, localNets }: ListenSettings): ListenPoint {
  const named = bracketed(externalHost ?? host);
  const nets = prefixesOf(localNets);
  return {
    id: `${transport}/${named}:${port}`,
    name: name ?? transport,
    transport,
    address: host,
    port,
    host: named,
    ...(nets === undefined ? {} : { localNets: nets }),
  };
}

function prefixesOf(texts: readonly string[] | undefined): readonly AddressPrefix[] | undefined {
  return texts?.flatMap((text) => {
    const prefix = parsePrefix(text);
    return prefix === undefined ? [] : [prefix];
  });
}
