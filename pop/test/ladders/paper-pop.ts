// A whole POP on paper: the real app and cores, memory at every boundary, simulated time. The test says what caller,
// agent and region do; what the POP does is written down as a ladder.

import { asId, type CallId, type LegId, newId } from "../../../kernel/ids.ts";
import { silentLog } from "../../../kernel/log.ts";
import { soleOwner } from "../../../kernel/ownership.ts";
import { seededRng } from "../../../kernel/rng.ts";
import { SimWorld } from "../../../kernel/sim/world.ts";
import { MemoryContactRouting } from "../../adapters/memory/contact-routing.ts";
import { MemoryEventSink } from "../../adapters/memory/event-sink.ts";
import { MemoryMediaRelay } from "../../adapters/memory/media-relay.ts";
import { MemoryMediaServer } from "../../adapters/memory/media-server.ts";
import { MemorySipSignalling } from "../../adapters/memory/sip-signalling.ts";
import { MemorySnapshotStore } from "../../adapters/memory/snapshot-store.ts";
import { MemoryPromptStore } from "../../adapters/prompts/memory-prompt-store.ts";
import { type CallCount, Calls } from "../../app/calls.ts";
import { MemoryCheckpointStore } from "../../checkpoint/adapters/memory/checkpoint-store.ts";
import type { CallInput } from "../../core/call/call-execution.ts";
import type { ContactRecord } from "../../core/call/contact-record.ts";
import { PCMU, writeAudio } from "../../core/media/sdp.ts";
import type { Snapshot } from "../../core/routing/snapshot.ts";

export const SDP_OF_PHONE = writeAudio({
  address: { host: "127.20.0.1", port: 6_000 },
  codecs: [PCMU],
  dtmfPayloadType: 101,
});

export class PaperPop {
  readonly world = new SimWorld(1);
  readonly signalling = new MemorySipSignalling();
  readonly relay = new MemoryMediaRelay();
  readonly server = new MemoryMediaServer();
  readonly routing: MemoryContactRouting;
  readonly store = new MemoryCheckpointStore();
  readonly events = new MemoryEventSink();
  readonly prompts = new MemoryPromptStore();
  readonly counts: CallCount[] = [];
  readonly calls: Calls;
  readonly #lines: string[] = [];
  readonly #rng = seededRng(7);
  #reportsSeen = 0;

  constructor(snapshot: Snapshot, { regionReachable = true } = {}) {
    this.routing = new MemoryContactRouting({ reachable: regionReachable });
    this.calls = new Calls(
      {
        regionId: asId<"region">("eu"),
        popId: asId<"pop">("fra-01"),
        hostId: asId<"pop-host">("fra-01-a"),
        limits: { setupTimeoutMs: 5_000, ackGraceMs: 1_000, routingTimeoutMs: 10_000, callMsMax: 3_600_000 },
        callsConcurrentMax: 100,
        journalsMax: 10,
      },
      {
        clock: this.world,
        setAlarm: (afterMs, run) => {
          let live = true;
          this.world.after(afterMs, () => live && run());
          return {
            cancel: () => {
              live = false;
            },
          };
        },
        log: silentLog,
        signalling: this.signalling,
        routing: this.routing,
        ownership: soleOwner,
        store: this.store,
        flows: new MemoryCheckpointStore(),
        media: { relay: this.relay, server: this.server, promptsOf: () => this.prompts },
        events: this.events,
        snapshots: new MemorySnapshotStore(),
        counted: (count) => this.counts.push(count),
      },
    );
    this.signalling.onAsked = ({ command, side, detail }) =>
      this.#line(side === "caller" ? "caller" : "agent", `<-- ${command}`, detail);
    this.server.onPlayed(({ call, play, how }) => this.calls.signalled(call, { kind: "played", play, how }));
    this.relay.onForgotten((call) => this.calls.signalled(call, { kind: "media-lost" }));
    this.relay.onDtmf(({ call, side, digit }) => this.calls.signalled(call, { kind: "dtmf", side, digit }));
    this.calls.apply(snapshot);
    void this.signalling.start(this.calls);
    this.routing.start(this.calls);
  }

  async ring(number = "+498912345678", from = "127.20.0.1"): Promise<CallId> {
    const call = newId<"call">(this.world.unixMs(), this.#rng);
    this.#line("caller", "--> INVITE", number);
    this.signalling.invited({
      call,
      sipCallId: `sip-${call}`,
      sourceAddress: from,
      requestUri: `sip:${number}@127.10.1.11`,
      callingNumber: "+491700000001",
      maxForwards: 70,
      offer: SDP_OF_PHONE,
    });
    await this.settle();
    return call;
  }

  /** Somebody outside does something; everything that follows at once is done when this resolves. */
  async says(who: "caller" | "agent", what: string, call: CallId, input: CallInput): Promise<void> {
    this.#line(who, `--> ${what}`);
    this.signalling.signalled(call, input);
    await this.settle();
  }

  async presses(call: CallId, digit: string): Promise<void> {
    this.#line("caller", `--> digit ${digit}`);
    this.relay.press(call, "caller", digit);
    await this.settle();
  }

  async promptEnds(call: CallId): Promise<void> {
    this.server.finish(call);
    await this.settle();
  }

  async pass(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= 100) {
      this.world.runFor(Math.min(100, left));
      await this.settle();
    }
  }

  /** What the region hears and says belongs to the ladder too. */
  async region(directive: Parameters<MemoryContactRouting["direct"]>[0]): Promise<void> {
    this.#line("region", `--> ${directive.kind}`);
    this.routing.direct(directive);
    await this.settle();
  }

  leg(call: CallId, n = 1): LegId {
    return asId<"leg">(`${call}.${n}`);
  }

  records(): readonly ContactRecord[] {
    return this.events.appended.flatMap(({ record }) => (record === undefined ? [] : [record]));
  }

  ladder(): string {
    return `\n${this.#lines.join("\n")}\n`;
  }

  /** Lets every promise that can go on go on. */
  async settle(): Promise<void> {
    for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
    this.#heard();
  }

  #heard(): void {
    for (const report of this.routing.reports.slice(this.#reportsSeen)) {
      this.#reportsSeen++;
      if (report.kind !== "hello") this.#line("region", `<-- ${report.kind}`);
    }
  }

  #line(who: string, what: string, detail = ""): void {
    const at = String(this.world.nowMs()).padStart(6);
    this.#lines.push(`${at}  ${who.padEnd(6)} ${what}${detail === "" ? "" : ` ${detail}`}`);
  }
}
