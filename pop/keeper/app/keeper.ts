// The shell around the keeper machine: one input at a time, every effect performed, only then the next. What an effect
// learns comes back as an input. Nothing is decided here.

import type { PopHostId } from "../../../kernel/ids.ts";
import type { Log } from "../../../kernel/log.ts";
import { type Outcome, succeed } from "../../../kernel/outcome.ts";
import type { InstantMs } from "../../../kernel/time.ts";
import type { UnixMs } from "../../../kernel/units.ts";
import type { AddressMover } from "../boundary/address-mover.ts";
import type { OwnerStore } from "../boundary/owner-store.ts";
import type { ServeWith, ServingProcesses } from "../boundary/serving-processes.ts";
import type { StateFence } from "../boundary/state-fence.ts";
import type { TwinLink } from "../boundary/twin-link.ts";
import {
  type FormerOwner,
  type HandOverFailure,
  initialKeeper,
  type KeeperEffect,
  type KeeperEvent,
  type KeeperMemory,
  type KeeperSettings,
  type KeeperState,
  type ProcessName,
  stepKeeper,
} from "../core/keeper-machine.ts";
import { type KeeperStatus, Timeline } from "./keeper-status.ts";

export interface KeeperParts {
  readonly owners: OwnerStore;
  readonly twin: TwinLink;
  readonly addresses: AddressMover;
  readonly fence: StateFence;
  readonly processes: ServingProcesses;
  readonly log: Log;
  /** The machine's monotonic clock. */
  nowMs(): InstantMs;
  unixMs(): UnixMs;
  /** Calls back at this moment; replaces the one before. */
  wakeAt(atMs: InstantMs, wake: () => void): void;
  /** On disk when it returns. @throws when the disk does not take it: said, and gone on without where etcd has it as well */
  persist(memory: KeeperMemory): void;
  /** All has ended. */
  finished(): void;
}

export class Keeper {
  readonly #settings: KeeperSettings;
  readonly #parts: KeeperParts;
  readonly #waiting: KeeperEvent[] = [];
  readonly #replies = new Map<string, (outcome: Outcome<void, HandOverFailure>) => void>();
  readonly #watches: { close(): void }[] = [];
  /** Of the services that are fenced for us: where the relay keeps its calls. */
  readonly #relayDatabases = new Map<PopHostId, number>();
  readonly #timeline: Timeline;
  readonly #changed = new Set<() => void>();
  #state: KeeperState;
  #busy = false;
  #asked = 0;
  #starting = new Set<string>();

  constructor(settings: KeeperSettings, memory: KeeperMemory, boot: string, parts: KeeperParts) {
    this.#settings = settings;
    this.#parts = parts;
    this.#state = initialKeeper(settings, { atMs: parts.nowMs(), boot, memory });
    this.#timeline = new Timeline(settings.host);
  }

  /** @throws when the twin cannot reach us: the address is in use, the certificate is unusable */
  async start(): Promise<void> {
    const { owners, twin, processes, fence } = this.#parts;
    processes.listen({
      serving: (service, process) => {
        this.#starting.delete(`${service}/${process}`);
        this.#timeline.serving(service, process, this.#parts.nowMs(), this.#parts.log);
        this.handle({ kind: "process-serving", service, process });
        this.#spares();
      },
      died: (service, process) => {
        this.#starting.delete(`${service}/${process}`);
        this.handle({ kind: "process-died", service, process });
      },
      pong: (service, process) => this.handle({ kind: "pong", service, process }),
      emptied: (service) => this.handle({ kind: "serving-emptied", service }),
      ended: (service) => {
        for (const one of this.#starting) if (one.startsWith(`${service}/`)) this.#starting.delete(one);
        this.handle({ kind: "serving-ended", service });
        this.#spares(); // a start that was under way has held them up
      },
      superseded: (service, by) => this.handle({ kind: "superseded", service, by }),
      changed: () => this.#tell(),
    });
    await twin.listen({
      connected: (link) => this.handle({ kind: "twin-connected", link }),
      closed: (link) => this.handle({ kind: "twin-closed", link }),
      refused: (link) => this.handle({ kind: "twin-refused", link }),
      unreachable: (link, because) => this.handle({ kind: "twin-unreachable", link, because }),
      answer: (link, answer) => this.handle({ kind: "answer", link, answer }),
      beat: (from, beat) => this.handle({ kind: "beat", from, beat }),
      hungUp: (from) => this.handle({ kind: "twin-hung-up", from }),
    });
    fence.watch((answers) => this.handle({ kind: "state-store", answers }));
    const { host, twin: twinHost } = this.#settings;
    for (const service of twinHost === undefined ? [] : [host, twinHost])
      this.#watches.push(owners.watch(service, (entry) => this.handle({ kind: "owner-seen", service, entry })));
    this.handle({ kind: "woke" });
  }

  /** Gives one of our services to the twin. Answered within the machine's bounds. */
  handOver(service: PopHostId): Promise<Outcome<void, HandOverFailure>> {
    return this.#ask((id) => ({ kind: "hand-over", id, service }));
  }

  /** Brings the home service back. */
  returnHome(): Promise<Outcome<void, HandOverFailure>> {
    return this.#ask((id) => ({ kind: "return-home", id }));
  }

  /** Everything outside that is still open. */
  async close(): Promise<void> {
    const { owners, twin, fence } = this.#parts;
    await twin.end();
    owners.close();
    fence.close();
  }

  stop(): void {
    this.handle({ kind: "stop" });
  }

  status(): KeeperStatus {
    return this.#timeline.status(this.#state, this.#parts.processes.shown(), this.#parts.nowMs());
  }

  /** Calls back when `status()` is another in more than its clock. @returns takes the wish back */
  onChange(changed: () => void): () => void {
    this.#changed.add(changed);
    return () => this.#changed.delete(changed);
  }

  handle(event: KeeperEvent): void {
    this.#waiting.push(event);
    if (this.#busy) return; // an effect led to it: its turn comes
    this.#busy = true;
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) {
      const before = this.#state;
      const { state, effects } = stepKeeper(this.#settings, before, { ...next, atMs: this.#parts.nowMs() });
      this.#state = state;
      for (const effect of effects) this.#perform(effect);
      if (tenureNames(before) !== tenureNames(state)) this.#tell();
    }
    this.#busy = false;
  }

  #perform(effect: KeeperEffect): void {
    const { owners, twin, addresses, fence, processes, log, persist, wakeAt } = this.#parts;
    switch (effect.kind) {
      case "connect-twin":
        return twin.connect(effect.link);
      case "close-twin":
        return twin.close(effect.link);
      case "send-beat":
        return twin.sendBeat(effect.link, effect.beat);
      case "answer-beat":
        return twin.answerBeat(effect.from, effect.answer);
      case "read-owner": {
        const { service, id } = effect;
        void owners.read(service).then((outcome) => this.handle({ kind: "owner-read", service, id, outcome }));
        return;
      }
      case "write-owner": {
        const { service, id, record, ifRevision } = effect;
        void owners
          .write(service, record, ifRevision)
          .then((outcome) => this.handle({ kind: "owner-written", service, id, outcome }));
        return;
      }
      case "take-address": {
        const { service } = effect;
        void addresses.take(service).then((outcome) => this.handle({ kind: "address-taken", service, outcome }));
        return;
      }
      case "fence-store": {
        const { service, epoch } = effect;
        this.#relayDatabases.delete(service);
        void fence.raise(service, epoch).then((outcome) => {
          if (outcome.ok) this.#relayDatabases.set(service, outcome.value.relayDatabase);
          this.handle({
            kind: "store-fenced",
            service,
            epoch,
            outcome: outcome.ok ? succeed(undefined) : outcome,
          });
        });
        return;
      }
      case "start-serving": {
        const { service, epoch, untilMs, former } = effect;
        const diedAt = this.#formerDied(former);
        for (const process of this.#settings.processes)
          this.#start(service, process, {
            epoch,
            untilMs,
            ...(diedAt === undefined ? {} : { formerDiedAtUnixMs: diedAt }),
          });
        return;
      }
      case "start-process": {
        const { service, process, epoch, untilMs, diedAtMs } = effect;
        this.#start(service, process, { epoch, untilMs, formerDiedAtUnixMs: this.#unixOf(diedAtMs) });
        return;
      }
      case "kill-process":
        return processes.kill(effect.service, effect.process);
      case "kill-serving":
        return processes.killAll(effect.service);
      case "stop-serving":
        return processes.stopAll(effect.service);
      case "empty-serving":
        return processes.empty(effect.service);
      case "extend-lease":
        return processes.extendLease(effect.service, effect.untilMs);
      case "ping":
        return processes.ping(effect.service);
      case "persist":
        try {
          persist(effect.memory);
        } catch (error) {
          if (effect.isNeeded) throw error;
          log.error("keeper.not-persisted", { error }); // a full disk is no reason to end a host: etcd knows the epoch as well
        }
        return;
      case "wake":
        return wakeAt(effect.atMs, () => this.handle({ kind: "woke" }));
      case "reply":
        this.#replies.get(effect.id)?.(effect.outcome);
        this.#replies.delete(effect.id);
        return;
      case "note":
        log[effect.level](effect.event, effect.fields);
        this.#timeline.note(effect, this.#state, this.#parts.nowMs());
        if (effect.event === "service.standing-by") this.#spares(); // nothing starts here, and the twin may die at any time
        this.#tell();
        return;
      case "finished":
        for (const watch of this.#watches) watch.close();
        return this.#parts.finished();
    }
  }

  #start(service: PopHostId, process: ProcessName, how: ServeWith): void {
    const relayDatabase = this.#relayDatabases.get(service);
    this.#starting.add(`${service}/${process}`);
    this.#spares();
    this.#parts.processes.start(service, process, {
      ...how,
      ...(relayDatabase === undefined ? {} : { relayDatabase }),
    });
  }

  #spares(): void {
    this.#parts.processes.keepSpares(this.#starting.size === 0);
  }

  /** What was heard of it last, else what it wrote last. */
  #formerDied({ heardAtMs, wroteAtUnixMs }: FormerOwner): UnixMs | undefined {
    return heardAtMs === undefined ? wroteAtUnixMs : this.#unixOf(heardAtMs);
  }

  #unixOf(atMs: InstantMs): UnixMs {
    return this.#parts.unixMs() - (this.#parts.nowMs() - atMs);
  }

  #ask(event: (id: string) => KeeperEvent): Promise<Outcome<void, HandOverFailure>> {
    const id = String(++this.#asked);
    return new Promise((resolve) => {
      this.#replies.set(id, resolve);
      this.handle(event(id));
    });
  }

  #tell(): void {
    for (const changed of this.#changed) changed();
  }
}

const tenureNames = ({ home, guest }: KeeperState): string => `${home.tenure.name} ${guest?.tenure.name ?? ""}`;
