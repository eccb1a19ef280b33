// What people and programs are shown of a keeper: its services, who owns them, its processes, and how its takeovers went.

import type { PopHostId } from "../../../kernel/ids.ts";
import type { Log } from "../../../kernel/log.ts";
import type { InstantMs } from "../../../kernel/time.ts";
import type { ShownProcess } from "../boundary/serving-processes.ts";
import type { KeeperNote, KeeperState, ProcessName, ServiceState } from "../core/keeper-machine.ts";

export type ServiceRole = "serving" | "taking" | "leaving" | "standby";

export interface ShownService {
  readonly service: PopHostId;
  readonly role: ServiceRole;
  /** As the machine calls it: for those who look closer. */
  readonly tenure: string;
  /** As far as this host knows; undefined: nobody, or not read yet. */
  readonly owner: PopHostId | undefined;
  readonly epoch: number;
  /** Of our own lease; undefined where we do not serve. */
  readonly leaseLeftMs: number | undefined;
  readonly reason: string | undefined;
  /** Every process of it serves, just now. */
  readonly complete: boolean;
}

/** ms, from the moment at which the former owner was heard last. */
export interface ShownTakeover {
  readonly service: PopHostId;
  readonly why: string;
  readonly atUnixMs: number;
  /** Until it was sure, and began. */
  readonly detectedMs: number | undefined;
  /** Until etcd had said that it is ours. */
  readonly claimedMs: number | undefined;
  readonly addressMs: number | undefined;
  readonly servingMs: Readonly<Partial<Record<ProcessName, number>>>;
}

export interface KeeperStatus {
  readonly host: PopHostId;
  readonly twin: {
    readonly host: PopHostId | undefined;
    readonly state: string;
    readonly heardBeforeMs: number | undefined;
  };
  readonly ownerStore: string;
  /** Redis: what a next owner would take up stands there. */
  readonly stateStore: string;
  readonly stopping: boolean;
  readonly services: readonly ShownService[];
  readonly processes: readonly ShownProcess[];
  readonly takeovers: number;
  readonly restarts: number;
  readonly lastTakeover: ShownTakeover | undefined;
}

interface Taking {
  readonly service: PopHostId;
  readonly why: string;
  readonly zeroMs: InstantMs;
  readonly atUnixMs: number;
  detectedMs: number | undefined;
  claimedMs: number | undefined;
  addressMs: number | undefined;
  readonly servingMs: Partial<Record<ProcessName, number>>;
}

const PROCESSES_OF_A_SET = 4;

export class Timeline {
  readonly #host: PopHostId;
  #takeovers = 0;
  #restarts = 0;
  #taking: Taking | undefined;

  constructor(host: PopHostId) {
    this.#host = host;
  }

  note({ event, fields }: KeeperNote, state: KeeperState, nowMs: InstantMs): void {
    const service = String(fields.service ?? "") as PopHostId;
    const since = () => (this.#taking === undefined ? undefined : Math.round(nowMs - this.#taking.zeroMs));
    switch (event) {
      case "takeover.began":
        this.#taking = {
          service,
          why: String(fields.reason ?? fields.why ?? ""),
          zeroMs: state.twin.heardAtMs ?? nowMs,
          atUnixMs: Date.now(),
          detectedMs: undefined,
          claimedMs: undefined,
          addressMs: undefined,
          servingMs: {},
        };
        this.#taking.detectedMs = since();
        return;
      case "service.claimed":
        if (this.#taking?.service === service) {
          this.#taking.claimedMs = since();
          this.#takeovers++;
        }
        return;
      case "address.taken":
        if (this.#taking?.service === service) this.#taking.addressMs ??= since();
        return;
      case "process.restarting":
        this.#restarts++;
        return;
      default:
        return;
    }
  }

  serving(service: PopHostId, process: ProcessName, nowMs: InstantMs, log: Log): void {
    const taking = this.#taking;
    if (taking?.service !== service || taking.servingMs[process] !== undefined) return;
    taking.servingMs[process] = Math.round(nowMs - taking.zeroMs);
    if (Object.keys(taking.servingMs).length < PROCESSES_OF_A_SET) return;
    const { detectedMs, claimedMs, addressMs, servingMs } = taking;
    log.info("takeover.complete", { service, detectedMs, claimedMs, addressMs, ...servingMs });
  }

  status(state: KeeperState, processes: readonly ShownProcess[], nowMs: InstantMs): KeeperStatus {
    const { twin, store, home, guest } = state;
    const services = [home, ...(guest === undefined ? [] : [guest])];
    return {
      host: this.#host,
      twin: {
        host: guest?.service,
        state: twin.name,
        heardBeforeMs: twin.heardAtMs === undefined ? undefined : Math.round(nowMs - twin.heardAtMs),
      },
      ownerStore: store.name,
      stateStore: state.stateStore,
      stopping: state.stopping !== "no",
      services: services.map((one) => shownService(this.#host, one, nowMs)),
      processes,
      takeovers: this.#takeovers,
      restarts: this.#restarts,
      lastTakeover: this.#taking,
    };
  }
}

function shownService(host: PopHostId, state: ServiceState, nowMs: InstantMs): ShownService {
  const { service, tenure, seen, known } = state;
  const held = "held" in tenure ? tenure.held : undefined;
  return {
    service,
    role: roleOf(tenure.name),
    tenure: tenure.name,
    owner: held === undefined ? seen?.entry.record?.host : host,
    epoch: held?.epoch ?? seen?.entry.record?.epoch ?? known,
    leaseLeftMs: held === undefined ? undefined : Math.round(held.leaseUntilMs - nowMs),
    reason: held?.reason,
    complete:
      tenure.name === "serving" && Object.values(tenure.running.processes).every(({ name }) => name === "serving"),
  };
}

function roleOf(tenure: ServiceState["tenure"]["name"]): ServiceRole {
  switch (tenure) {
    case "serving":
      return "serving";
    case "asking":
    case "claiming":
    case "opening":
      return "taking";
    case "emptying":
    case "ending":
    case "giving":
    case "closing":
      return "leaving";
    case "none":
      return "standby";
  }
}
