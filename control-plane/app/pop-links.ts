// The POP hosts that are linked: one stream each, the newest snapshot on every one of them, commands and their answers.

import type { CallId, PopHostId } from "../../kernel/ids.ts";
import { newId } from "../../kernel/ids.ts";
import type { Log } from "../../kernel/log.ts";
import { fail, type Outcome, succeed } from "../../kernel/outcome.ts";
import type { Rng } from "../../kernel/rng.ts";
import type { Clock } from "../../kernel/time.ts";
import type { AdmissionFailure, Directive, PopLink, PopRegistry } from "../boundary/pop-links.ts";
import type { HostEpochs } from "../core/pop-registry/host-epochs.ts";
import {
  type HostInput,
  type HostRecord,
  hostLinked,
  type PopCommand,
  type Report,
  stepHost,
} from "../core/pop-registry/pop-registry.ts";
import type { Snapshot } from "../core/snapshot/snapshot.ts";
import { Outbox } from "./outbox.ts";

const OUTBOX_MAX = 1_000;

export type CommandFailure =
  | { readonly code: "pop.not-linked"; readonly hostId: PopHostId }
  | { readonly code: "pop.silent"; readonly hostId: PopHostId; readonly waitedMs: number }
  /** The host answered that it could not. */
  | { readonly code: "pop.command-failed"; readonly hostId: PopHostId; readonly reason: string };

export class PopLinks implements PopRegistry {
  readonly #parts: {
    regionId: string;
    presenceIntervalMs: number;
    commandTimeoutMs: number;
    snapshot: () => Snapshot | undefined;
    isReady: () => boolean;
    epochs: HostEpochs;
    /** Told of every hello that was admitted. */
    linked: (hostId: PopHostId, held: readonly CallId[] | undefined) => void;
    clock: Clock;
    rng: Rng;
    log: Log;
  };
  readonly #hosts = new Map<PopHostId, HostRecord>();
  readonly #outboxes = new Map<PopHostId, Outbox<Directive>>();
  readonly #commands = new Map<string, (answer: { done: boolean; reason: string }) => void>();
  #stopping = false;

  constructor(parts: {
    regionId: string;
    presenceIntervalMs: number;
    commandTimeoutMs: number;
    snapshot: () => Snapshot | undefined;
    isReady: () => boolean;
    epochs: HostEpochs;
    clock: Clock;
    rng: Rng;
    log: Log;
    linked: (hostId: PopHostId, held: readonly CallId[] | undefined) => void;
  }) {
    this.#parts = parts;
  }

  get hosts(): readonly HostRecord[] {
    return [...this.#hosts.values()].sort((a, b) => (a.hostId < b.hostId ? -1 : 1));
  }

  /** @fails pop.not-itself, pop.superseded, region.starting, region.stopping */
  admit(hello: Extract<Report, { kind: "hello" }>, certificateOf: string): Outcome<PopLink, AdmissionFailure> {
    const { hostId, epoch } = hello;
    if (certificateOf !== hostId) return fail({ code: "pop.not-itself", hostId, certificateOf });
    if (this.#stopping) return fail({ code: "region.stopping" });
    if (!this.#parts.isReady()) return fail({ code: "region.starting" });
    const by = this.#parts.epochs.heard(hostId, epoch);
    if (by !== undefined) return fail({ code: "pop.superseded", hostId, epoch, by });
    const { regionId, presenceIntervalMs, clock, log } = this.#parts;
    const outbox = new Outbox<Directive>(OUTBOX_MAX);
    this.#outboxes.get(hostId)?.close(); // the older stream of the same host
    this.#outboxes.set(hostId, outbox);
    this.#hosts.set(hostId, hostLinked(hello, this.#hosts.get(hostId), clock.unixMs()));
    this.#parts.linked(hostId, hello.held);
    log.info("pop.linked", { hostId, popId: hello.popId, appliedVersion: hello.appliedVersion });
    const newest = this.#parts.snapshot()?.version ?? 0;
    if (hello.appliedVersion > newest)
      log.warn("pop.ahead", { hostId, appliedVersion: hello.appliedVersion, newestVersion: newest });
    outbox.put({ kind: "welcome", regionId, presenceIntervalMs });
    this.#step(hostId, { kind: "newest" });

    return succeed({
      receive: (report) => {
        if (this.#outboxes.get(hostId) === outbox) this.#receive(hostId, report);
      },
      directives: () => outbox,
      close: () => {
        outbox.close();
        if (this.#outboxes.get(hostId) !== outbox) return; // a newer stream took over
        this.#outboxes.delete(hostId);
        this.#step(hostId, { kind: "lost" });
        log.info("pop.lost", { hostId });
      },
    });
  }

  /** A newer snapshot is there: every host gets it, each after it answered the one before. */
  pushNewest(): void {
    for (const hostId of this.#outboxes.keys()) this.#step(hostId, { kind: "newest" });
  }

  /** @fails pop.not-linked, pop.silent, pop.command-failed */
  command(hostId: PopHostId, command: PopCommand): Promise<Outcome<void, CommandFailure>> {
    const outbox = this.#outboxes.get(hostId);
    const { clock, rng, commandTimeoutMs } = this.#parts;
    const commandId = newId<"command">(clock.unixMs(), rng);
    if (!outbox?.put({ kind: "command", commandId, command }))
      return Promise.resolve(fail({ code: "pop.not-linked", hostId }));
    return new Promise((resolve) => {
      const giveUp = setTimeout(() => {
        this.#commands.delete(commandId);
        resolve(fail({ code: "pop.silent", hostId, waitedMs: commandTimeoutMs }));
      }, commandTimeoutMs);
      this.#commands.set(commandId, ({ done, reason }) => {
        clearTimeout(giveUp);
        this.#commands.delete(commandId);
        resolve(done ? succeed(undefined) : fail({ code: "pop.command-failed", hostId, reason }));
      });
    });
  }

  /** Asks every linked host: only one of them holds the call. */
  async hangUp(
    callId: CallId,
  ): Promise<Outcome<PopHostId, { readonly code: "call.unknown"; readonly callId: CallId }>> {
    const hostIds = [...this.#outboxes.keys()];
    const answers = await Promise.all(hostIds.map((hostId) => this.command(hostId, { kind: "hang-up", callId })));
    const at = answers.findIndex(({ ok }) => ok);
    const hostId = hostIds[at];
    return hostId === undefined ? fail({ code: "call.unknown", callId }) : succeed(hostId);
  }

  /** Ends every stream; POPs go on with what they have. */
  stop(): void {
    this.#stopping = true;
    for (const outbox of this.#outboxes.values()) outbox.close();
  }

  #receive(hostId: PopHostId, report: Report): void {
    switch (report.kind) {
      case "hello":
        return; // once is enough
      case "command-done":
        this.#commands.get(report.commandId)?.(report);
        return;
      case "refused":
        this.#parts.log.error("snapshot.refused", { hostId, version: report.version, mistakes: report.mistakes });
        break;
      case "applied":
        this.#parts.log.info("snapshot.applied", { hostId, version: report.version });
        break;
      case "presence":
        break;
    }
    this.#step(hostId, { kind: "report", report });
  }

  #step(hostId: PopHostId, input: HostInput): void {
    const host = this.#hosts.get(hostId);
    if (host === undefined) return;
    const snapshot = this.#parts.snapshot();
    const { state, effects } = stepHost(host, input, snapshot?.version ?? 0, this.#parts.clock.unixMs());
    this.#hosts.set(hostId, state);
    for (const _ of effects)
      if (snapshot && !this.#outboxes.get(hostId)?.put({ kind: "snapshot", snapshot }))
        this.#outboxes.get(hostId)?.close();
  }
}
