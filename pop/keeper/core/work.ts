// A keeper's state while one step is made of it: taken apart, changed, put together again.

import type { PopHostId } from "../../../kernel/ids.ts";
import type { Step } from "../../../kernel/step.ts";
import type { InstantMs } from "../../../kernel/time.ts";
import type {
  KeeperEffect,
  KeeperNote,
  KeeperSettings,
  KeeperState,
  ServiceState,
  StoreView,
  TwinView,
} from "./keeper-words.ts";
import type { Role } from "./owner-record.ts";

export class Work {
  readonly settings: KeeperSettings;
  readonly now: InstantMs;
  readonly startedAtMs: InstantMs;
  readonly boot: string;
  readonly effects: KeeperEffect[] = [];
  twin: TwinView;
  store: StoreView;
  stateStore: KeeperState["stateStore"];
  home: ServiceState;
  guest: ServiceState | undefined;
  stopping: KeeperState["stopping"];
  returning: KeeperState["returning"];
  #nextId: number;

  constructor(settings: KeeperSettings, state: KeeperState, now: InstantMs) {
    this.settings = settings;
    this.now = now;
    this.startedAtMs = state.startedAtMs;
    this.boot = state.boot;
    this.twin = state.twin;
    this.store = state.store;
    this.stateStore = state.stateStore;
    this.home = state.home;
    this.guest = state.guest;
    this.stopping = state.stopping;
    this.returning = state.returning;
    this.#nextId = state.nextId;
  }

  id(): number {
    return this.#nextId++;
  }

  roles(): readonly Role[] {
    return this.guest === undefined ? ["home"] : ["home", "guest"];
  }

  of(role: Role): ServiceState {
    return role === "home" || this.guest === undefined ? this.home : this.guest;
  }

  role(service: PopHostId): Role | undefined {
    if (service === this.home.service) return "home";
    return service === this.guest?.service ? "guest" : undefined;
  }

  change(role: Role, change: Partial<ServiceState>): void {
    if (role === "home") this.home = { ...this.home, ...change };
    else if (this.guest !== undefined) this.guest = { ...this.guest, ...change };
  }

  do(effect: KeeperEffect): void {
    this.effects.push(effect);
  }

  note(level: KeeperNote["level"], event: KeeperNote["event"], fields: KeeperNote["fields"] = {}): void {
    this.effects.push({ kind: "note", level, event, fields });
  }

  /** By our clock, how long another host's lease may last. */
  get patienceMs(): number {
    return this.settings.timing.leaseMs * this.settings.timing.patience;
  }

  /** Nothing came from the twin lately, or it has died since. */
  get twinUnheard(): boolean {
    if (this.twin.name === "died") return true;
    return this.now - (this.twin.heardAtMs ?? this.startedAtMs) >= this.settings.timing.silentMs;
  }

  get twinHeard(): boolean {
    return this.twin.heardAtMs !== undefined && !this.twinUnheard;
  }

  done(wakeAtMs: InstantMs): Step<KeeperState, KeeperEffect> {
    return {
      state: {
        startedAtMs: this.startedAtMs,
        steppedAtMs: this.now,
        boot: this.boot,
        nextId: this.#nextId,
        stopping: this.stopping,
        twin: this.twin,
        store: this.store,
        stateStore: this.stateStore,
        home: this.home,
        guest: this.guest,
        returning: this.returning,
        wakeAtMs,
      },
      effects: this.effects,
    };
  }
}
