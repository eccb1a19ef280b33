// The connection to the SIP server. drachtio-srf dials, says hello, asks for methods, and dials again; it also serves requests
// outside of calls (OPTIONS). Every frame of a call is handled here instead: srf's dialogs and transactions are tied to the
// socket on which they began, and ours outlive it.

import type { EventEmitter } from "node:events";
import type { Socket } from "node:net";
import Srf from "drachtio-srf";
import type { Log } from "../../../kernel/log.ts";
import { type FromServer, methodOf, readFrame } from "./frames.ts";

export type Reply = Extract<FromServer, { kind: "reply" }>;
export type Message = Extract<FromServer, { kind: "message" }>;

export interface LinkSettings {
  readonly host: string;
  readonly port: number;
  readonly secret: string;
  readonly tags: readonly string[];
}

export interface LinkUser {
  connected(): void;
  lost(): void;
  /** A message of a call. */
  heard(message: Message): void;
}

/** What srf's type declarations leave out. */
interface SrfInternals {
  readonly app: {
    readonly client: {
      _getDefaultSocket(): Socket;
      route(verb: string): void;
      readonly wp: EventEmitter & {
        closing?: boolean;
        readonly reconnectVars?: { readonly retryTimer?: NodeJS.Timeout | null };
        send(socket: unknown, frame: string): string;
      };
    };
  };
}

/** What we read of a SIP message. */
export interface SipText {
  readonly uri: string;
  readonly status: number;
  readonly reason: string;
  readonly body: string;
  get(header: string): string | undefined;
}

const SipMessage = (Srf as unknown as { readonly SipMessage: new (text: string) => SipText }).SipMessage;

/** @throws Error: drachtio-srf's grammar does not know it */
export const parseSip = (text: string): SipText => new SipMessage(text);

/** The way to a server on the same host costs nothing, and calls wait. */
const RECONNECT_WAIT_MS_MAX = 50;

export class DrachtioLink {
  readonly srf = new Srf();
  readonly #settings: LinkSettings;
  readonly #log: Log;
  readonly #user: LinkUser;
  /** Who waits for the reply to a command. */
  readonly #replies = new Map<string, (reply: Reply) => void>();
  #socket: Socket | undefined;
  #closing = false;

  constructor(settings: LinkSettings, log: Log, user: LinkUser) {
    this.#settings = settings;
    this.#log = log;
    this.#user = user;
  }

  /** Not awaited: a server that is not there yet is dialled again and again. */
  start(): void {
    const { srf } = this;
    srf.on("error", (error) => this.#log.debug("sip-server.unreachable", { detail: error?.message }));
    srf.on("connect", (error) => this.#connected(error));
    // Also emitted for a socket that never came up; srf dials again by itself in both cases.
    (srf as EventEmitter).on("close", () => this.#lost());
    const { host, port, secret, tags } = this.#settings;
    const reconnect = { retryMaxDelay: RECONNECT_WAIT_MS_MAX };
    srf.connect({ host, port, secret, tags: [...tags], reconnect } as Srf.SrfConfig);
    this.#client.route("invite");
    this.#takeFrames();
  }

  get isUp(): boolean {
    return this.#socket !== undefined;
  }

  /** @param replied called at most once; never when the connection breaks first. @returns false: there is none */
  send(payload: string, replied?: (reply: Reply) => void): boolean {
    if (this.#socket === undefined) return false;
    const id = this.#client.wp.send(this.#socket, payload);
    if (replied !== undefined) this.#replies.set(id, replied);
    return true;
  }

  /** The next reply to the same command. */
  expect(commandId: string, replied: (reply: Reply) => void): void {
    this.#replies.set(commandId, replied);
  }

  close(): void {
    this.#closing = true;
    this.send("remove_route|invite"); // on purpose: new calls need not wait for us
    const socket = this.#socket;
    this.#socket = undefined;
    // srf's own `disconnect` throws while it has no connection, and would go on dialling.
    const client: SrfInternals["app"]["client"] | undefined = this.#client;
    if (client === undefined) return; // never started
    const { wp } = client;
    wp.closing = true;
    clearTimeout(wp.reconnectVars?.retryTimer ?? undefined);
    socket?.end();
  }

  get #client(): SrfInternals["app"]["client"] {
    return (this.srf as unknown as SrfInternals).app.client;
  }

  #connected(error: Error | null | undefined): void {
    if (error) {
      this.#log.error("sip-server.refused", { detail: error.message });
      return;
    }
    this.#socket = this.#client._getDefaultSocket();
    const { host, port } = this.#settings;
    this.#log.info("sip-server.connected", { host, port });
    this.#user.connected();
  }

  #lost(): void {
    const wasUp = this.isUp;
    this.#socket = undefined;
    this.#replies.clear();
    if (wasUp && !this.#closing) this.#user.lost();
  }

  /**
   * Before srf. It takes a frame out of its buffer when it was handled: one that throws would be handled again with each that
   * follows, and none after it ever.
   */
  #takeFrames(): void {
    const { wp } = this.#client;
    const others = wp.listeners("msg");
    wp.removeAllListeners("msg");
    wp.on("msg", (socket: unknown, payload: string) => {
      try {
        if (this.#isTaken(payload)) return;
        for (const handle of others) Reflect.apply(handle, wp, [socket, payload]);
      } catch (error) {
        this.#log.error("sip.handler-failed", { handler: "frame", error });
      }
    });
  }

  #isTaken(payload: string): boolean {
    const frame = readFrame(payload);
    if (frame === undefined) return false;
    if (frame.kind === "reply") {
      const replied = this.#replies.get(frame.commandId);
      if (replied === undefined) return false;
      this.#replies.delete(frame.commandId);
      replied(frame);
      return true;
    }
    if (frame.dialogId === "" && !OF_CALLS.has(methodOf(frame.text))) return false;
    this.#user.heard(frame);
    return true;
  }
}

/** Of messages outside a dialog; "": responses. */
const OF_CALLS: ReadonlySet<string> = new Set(["INVITE", "ACK", "CANCEL", ""]);
