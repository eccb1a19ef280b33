// Which parts are there. Asked now and then, off the call path; told to /readyz and to the metrics.

import type { ContactRouting } from "../boundary/contact-routing.ts";
import type { MediaRelay } from "../boundary/media-relay.ts";
import type { MediaServer } from "../boundary/media-server.ts";
import type { RegionLink } from "../boundary/region-link.ts";
import type { SipSignalling } from "../boundary/sip-signalling.ts";
import type { CheckpointStore } from "../checkpoint/boundary/checkpoint-store.ts";
import type { Calls } from "./calls.ts";

export interface Parts {
  readonly relay: MediaRelay;
  readonly server: MediaServer;
  readonly store: CheckpointStore;
  readonly signalling: SipSignalling;
  readonly link: RegionLink;
  readonly routing: ContactRouting;
  readonly calls: Calls;
}

export interface PartState {
  readonly part: string;
  readonly ready: boolean;
  /** Without it no call can be taken; the others cost a feature: agents, takeover. */
  readonly needed: boolean;
  readonly detail: string;
}

const ASK_EVERY_MS = 1_000;

export class PartHealth {
  readonly #parts: Parts;
  #relay = "not asked yet";
  #worker = "not asked yet";
  #timer: NodeJS.Timeout | undefined;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  start(): void {
    const ask = async (): Promise<void> => {
      const [relay, worker] = await Promise.all([this.#parts.relay.health(), this.#parts.server.health()]);
      this.#relay = relay.ok ? "" : relay.failure.code;
      this.#worker = worker.ok ? "" : worker.failure.code;
      this.#timer = setTimeout(ask, ASK_EVERY_MS);
    };
    void ask();
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  parts(): readonly PartState[] {
    const { store, signalling, link, routing, calls } = this.#parts;
    const { draining } = calls.presence();
    const version = calls.appliedVersion();
    const kept = store.health();
    return [
      state("sip-server", true, signalling.connected() ? "" : "not connected"),
      state("rtpengine", true, this.#relay),
      state("media-worker", true, this.#worker),
      state("snapshot", true, version > 0 ? "" : "none yet"),
      state("serving", true, draining ? "draining" : ""),
      state("region-link", false, link.linked() ? "" : "region away"),
      state("contact-routing", false, routing.linked() ? "" : "region away"),
      state("call-store", false, kept.ok ? "" : kept.failure.code),
      state("takeover", false, kept.ok ? "" : `off: ${kept.failure.code}, and calls of this moment would be lost`),
    ];
  }

  byName(): Readonly<Record<string, boolean>> {
    return Object.fromEntries(this.parts().map(({ part, ready }) => [part, ready]));
  }
}

const state = (part: string, needed: boolean, trouble: string): PartState => ({
  part,
  needed,
  ready: trouble === "",
  detail: trouble === "" ? "ok" : trouble,
});
