// What must be true after every step, whatever goes wrong. Each has a name; the first one broken ends the run.

import type { SimProcess } from "../../kernel/sim/process.ts";
import type { SimWorld } from "../../kernel/sim/world.ts";
import type { CallEvent } from "../../pop/core/call/contact-record.ts";
import type { OwnerRecord } from "../../pop/keeper/core/owner-record.ts";
import type { ServingSet, SimHost } from "./host.ts";
import type { OpenOffer, SimRegion } from "./region.ts";
import type { SimRedis } from "./sim-redis.ts";
import type { Sent } from "./sip-network.ts";
import type { Ending, PartyDialog } from "./sip-party.ts";
import { TRUNK_CALLS_MAX } from "./tenant.ts";
import type { CallerCall, Traffic } from "./traffic.ts";

export type InvariantName =
  | "one-owner-at-a-time"
  | "one-owner-per-epoch"
  | "silent-without-lease"
  | "cseq-never-again"
  | "no-message-without-cause"
  | "answered-calls-live"
  | "legs-end-once"
  | "one-record-per-call"
  | "media-ends-with-its-call"
  | "trunk-limit"
  | "one-agent-at-a-time"
  | "everything-drains"
  | "calls-are-served-again"
  | "no-bug-told";

export interface Broken {
  readonly invariant: InvariantName;
  readonly detail: string;
  readonly atMs: number;
  /** What to look for in the history. */
  readonly about: string | undefined;
}

/** Why an answered call may end otherwise: what was lost was stated to be lost. */
export type Excuse = "store-gone" | "pair-lost";

interface DialogSide {
  cseqMax: number;
  readonly branches: Map<string, number>;
}

interface Said {
  by: SimProcess;
  /** When a timer last had it said; one that was asked for is no timer's. */
  lastMs: number;
  copies: number;
  /** Of them, those that were asked for. */
  answers: number;
}

/** A message repeated sooner than any of RFC 3261's timers would have it, and asked for by nobody. */
const SOONEST_COPY_MS = 400;

/** A leg that answers is joined within this, or let go. */
const SET_UP_MS = 2_500;

/** How a call that was answered may end. */
const FAIR_REASONS = new Set([
  "normal",
  "abandoned",
  "flow.disconnected",
  "call.too-long",
  "wait-exceeded",
  "withdrawn",
  "released",
]);

export class Invariants {
  broken: Broken | undefined;
  /** re-INVITEs of ours that tell a side a new place for its audio. */
  reAnchored = 0;
  readonly excused = new Map<PartyDialog, Excuse>();
  /** SIP Call-IDs that a store without memory has lived through. */
  readonly excusedCalls = new Set<string>();
  readonly #world: SimWorld;
  readonly #hosts: readonly SimHost[];
  readonly #region: SimRegion;
  readonly #redis: SimRedis;
  readonly #traffic: Traffic;
  readonly #ownersOfEpoch = new Map<string, string>();
  readonly #sides = new Map<string, DialogSide>();
  readonly #said = new Map<string, Said>();
  /** Why a service hung up, by Call-ID. */
  readonly #byes = new Map<string, string>();
  /** Requests that have reached a service, by branch and method: how often. */
  readonly #asked = new Map<string, number>();
  readonly #records = new Map<string, CallEvent>();
  readonly #arrivedCalls = new Map<string, CallEvent>();

  constructor(parts: {
    readonly world: SimWorld;
    readonly hosts: readonly SimHost[];
    readonly region: SimRegion;
    readonly redis: SimRedis;
    readonly traffic: Traffic;
  }) {
    this.#world = parts.world;
    this.#hosts = parts.hosts;
    this.#region = parts.region;
    this.#redis = parts.redis;
    this.#traffic = parts.traffic;
  }

  break(invariant: InvariantName, detail: string, about?: string): void {
    this.broken ??= { invariant, detail, atMs: this.#world.nowMs(), about };
  }

  // ---- after every step ----

  look(): void {
    this.#owners();
    for (const host of this.#hosts)
      for (const { pop, service } of host.sets.values()) {
        const calls = pop?.calls.presence().calls ?? 0;
        if (calls > TRUNK_CALLS_MAX) this.break("trunk-limit", `${calls} calls of ${service}, of ${TRUNK_CALLS_MAX}`);
      }
  }

  /** Where two hosts have processes for one service, one of them may hold it at most. */
  #owners(): void {
    const [one, other] = this.#hosts;
    if (one === undefined || other === undefined) return;
    for (const [service, set] of one.sets) {
      const second = other.sets.get(service);
      if (second === undefined) continue;
      const here = holderOf(set);
      const there = holderOf(second);
      if (here !== undefined && there !== undefined)
        this.break("one-owner-at-a-time", `${service} is held at ${one.name} (${here}) and ${other.name} (${there})`);
    }
  }

  /** A host begins to serve. */
  began(service: string, epoch: number, host: string): void {
    const key = `${service} ${epoch}`;
    const known = this.#ownersOfEpoch.get(key);
    if (known === undefined) this.#ownersOfEpoch.set(key, host);
    else if (known !== host) this.break("one-owner-per-epoch", `${key} is ${known}'s and ${host}'s`, "serves");
  }

  owned(service: string, record: OwnerRecord): void {
    if (record.state !== "serving") return;
    this.began(service, record.epoch, record.host);
  }

  // ---- SIP ----

  sent({ by, to, text }: Sent): void {
    if (by === undefined) return;
    const found = this.#setOf(by);
    if (found === undefined || !found.ownership.held())
      this.break("silent-without-lease", `${by.name} says ${text.slice(0, 30)} to ${to}`, by.name);
    const head = read(text);
    if (head === undefined) return;
    this.#copy(head, by);
    if (head.kind === "request") this.#cseq(head);
    if (head.kind === "request" && head.method === "BYE")
      this.#byes.set(head.callId, /\r\nReason: *([^\r]*)/i.exec(text)?.[1] ?? "");
    if (head.method !== "INVITE" || head.kind !== "request") return;
    if (head.toTag !== "") this.#inDialog(head, text);
    else this.#invited(head, to, text);
  }

  /** A message reaches a service. */
  reached(text: string): void {
    const head = read(text);
    if (head?.kind !== "request") return;
    const key = `${head.branch} ${head.method}`;
    this.#asked.set(key, (this.#asked.get(key) ?? 0) + 1);
  }

  #cseq({ callId, fromTag, method, cseq, branch }: Head): void {
    if (method === "ACK" || method === "CANCEL") return;
    const key = `${callId} ${fromTag}`;
    let side = this.#sides.get(key);
    if (side === undefined) {
      side = { cseqMax: 0, branches: new Map() };
      this.#sides.set(key, side);
    }
    if (side.branches.has(branch)) {
      if (side.branches.get(branch) !== cseq)
        this.break("cseq-never-again", `${method} ${cseq} in the transaction of ${side.branches.get(branch)}`, callId);
      return;
    }
    if (cseq <= side.cseqMax && !this.excusedCalls.has(callId))
      this.break("cseq-never-again", `${method} leaves with CSeq ${cseq} after ${side.cseqMax}`, callId);
    side.branches.set(branch, cseq);
    side.cseqMax = Math.max(side.cseqMax, cseq);
  }

  /** A copy is a timer's, or the answer to a copy. */
  #copy({ kind, branch, method, status, callId }: Head, by: SimProcess): void {
    if (method === "ACK") return; // answers copies of the 2xx
    const key = `${kind} ${branch} ${method} ${status}`;
    const nowMs = this.#world.nowMs();
    const said = this.#said.get(key);
    const asked = kind === "response" ? (this.#asked.get(`${branch} ${method}`) ?? 0) : 0;
    if (said === undefined) {
      this.#said.set(key, { by, lastMs: nowMs, copies: 1, answers: 1 });
      return;
    }
    said.copies += 1;
    if (said.answers < asked) {
      said.answers += 1;
      said.by = by;
      return;
    }
    const sinceMs = nowMs - said.lastMs;
    said.lastMs = nowMs;
    const before = said.by;
    said.by = by;
    if (before !== by) return; // its timer was due before it died: which copies had left, no record says
    if (sinceMs < SOONEST_COPY_MS)
      this.break("no-message-without-cause", `${method} ${status} again after ${sinceMs.toFixed(1)} ms`, callId);
  }

  /** A session refresh repeats what was said; anything else tells a side of a new place. */
  #inDialog({ callId, fromTag }: Head, text: string): void {
    const media = /\r\nm=audio (\d+)/.exec(text)?.[1] ?? "none";
    const key = `place ${callId} ${fromTag}`;
    const before = this.#places.get(key);
    this.#places.set(key, media);
    if (before !== undefined && before !== media) this.reAnchored += 1;
  }
  readonly #places = new Map<string, string>();

  #invited({ callId, branch }: Head, to: string, text: string): void {
    const call = /\r\nX-Call-ID: *([^\r]*)/i.exec(text)?.[1] ?? "";
    if (this.#said.get(`request ${branch} INVITE 0`)?.copies !== 1) return;
    for (const party of this.#traffic.parties)
      for (const dialog of party.dialogs.values())
        if (dialog.popCall === call && dialog.callId !== callId && dialog.alive && dialog.isAcknowledged)
          this.break(
            "one-agent-at-a-time",
            `${call} is offered to ${to} while ${party.name} talks to it`,
            dialog.callId,
          );
  }

  #setOf(process: SimProcess) {
    for (const host of this.#hosts)
      for (const set of host.sets.values())
        for (const served of set.processes.values()) if (served.process === process) return served;
    return undefined;
  }

  // ---- parties ----

  ended(dialog: PartyDialog, ending: Ending, who: string): void {
    if (dialog.answeredAtMs === undefined || this.excused.has(dialog)) return;
    const broken = (detail: string) => this.break("answered-calls-live", `${who}: ${detail}`, dialog.callId);
    // Our BYE is under way, or was lost: what they say meanwhile finds no dialog. RFC 3261 §15.1.1
    const bye = ending.kind === "unknown-there" ? this.#byes.get(dialog.callId) : undefined;
    const reason = ending.kind === "they-hung-up" ? ending.reason : bye;
    if (reason !== undefined) {
      const code = /text="([^"]*)"/.exec(reason)?.[1] ?? reason;
      const sinceMs = dialog.acknowledgedAtMs ?? dialog.answeredAtMs;
      const isSetUp = !dialog.isCaller && this.#world.nowMs() - sinceMs < SET_UP_MS;
      if (isSetUp && code.startsWith("media.")) return; // never joined: the relay was away just then, the caller is told
      if (!dialog.isCaller && code === "ACK-BYE due to cancel race condition") return; // RFC 3261 §9.1
      if (!FAIR_REASONS.has(code)) broken(`hung up, because "${code}"`);
    } else if (ending.kind === "unknown-there") broken(`the dialog is unknown there (${ending.method})`);
    else if (ending.kind === "silence") broken(`no answer to ${ending.method}`);
  }

  // ---- the region ----

  event(event: CallEvent): void {
    if (event.name === "call.arrived") this.#arrivedCalls.set(event.callId, event);
    const { record } = event;
    if (record === undefined) return;
    if (this.#records.has(event.callId))
      this.break("one-record-per-call", `two records of ${event.callId}`, record.callingNumber);
    this.#records.set(event.callId, event);
    if (record.answeredAtUnixMs === undefined || FAIR_REASONS.has(record.endCode)) return;
    const call = this.#traffic.calls.find(({ callingNumber }) => callingNumber === record.callingNumber);
    if (
      call !== undefined &&
      call.dialog.answeredAtMs !== undefined &&
      !this.excused.has(call.dialog) &&
      call.dialog.ending?.kind !== "we-hung-up"
    )
      this.break("answered-calls-live", `the record says ${record.endCode}`, record.callingNumber);
  }

  /** Of a caller whose record the region has, nothing can be lost any more. */
  hasRecord(dialog: PartyDialog): boolean {
    const call = this.#traffic.calls.find((other) => other.dialog === dialog);
    if (call === undefined) return true;
    for (const { record } of this.#records.values()) if (record?.callingNumber === call.callingNumber) return true;
    return false;
  }

  offered(offer: OpenOffer): void {
    for (const other of this.#region.offers.values())
      if (other.contact === offer.contact && other !== offer)
        this.break("one-agent-at-a-time", `${offer.contact} is offered twice: ${other.id} and ${offer.id}`);
  }

  // ---- at the end ----

  /** undefined: nothing is left of any call. Else what is. */
  leftOver(): string | undefined {
    for (const party of this.#traffic.parties)
      for (const dialog of party.dialogs.values())
        if (dialog.state !== "ended" && !this.excused.has(dialog))
          return `${party.name} still believes in ${dialog.callId} (${dialog.state})`;
    for (const host of this.#hosts)
      for (const { service, pop, sipServer, relay } of host.sets.values()) {
        const [state] = pop?.calls.list() ?? [];
        if (state !== undefined)
          return `pop of ${service} still believes in ${state.basics.id} (${state.basics.callingNumber}, ${state.phase.name})`;
        const facts = sipServer?.endpoint.facts;
        if (facts !== undefined && facts.dialogs + facts.pendingRequests + facts.clientCalls > 0)
          return `sip-server of ${service} still has ${facts.dialogs} dialogs, ${facts.pendingRequests} requests, ${facts.clientCalls} calls`;
        if (facts !== undefined && facts.transactions > 0)
          return `sip-server of ${service} still has ${facts.transactions} transactions`;
        const [relayed] = relay?.calls.keys() ?? [];
        if (relayed !== undefined) return `relay of ${service} still has ${relayed}`;
        // A media worker lets go by a time limit of its own whatever it was not told to close.
      }
    if (this.#region.waiting.length + this.#region.offers.size > 0)
      return `the region still has ${this.#region.waiting.length} contacts, ${this.#region.offers.size} offers`;
    for (const host of this.#hosts) {
      for (const name of ["calls", "sip"]) {
        // Whom a SIP server hears is in its book as well, and stays.
        const field = [...this.#redis.book(host.name, name).fields.keys()].find((each) => each !== "sources told");
        if (field !== undefined) return `the book ${name} of ${host.name} still has ${field}`;
      }
    }
    return undefined;
  }

  /** Every call that was answered, and every one the region heard of, has left its record. */
  records(): void {
    for (const call of this.#traffic.calls) {
      if (call.dialog.answeredAtMs === undefined || this.excused.has(call.dialog)) continue;
      const own = [...this.#records.values()].filter(({ record }) => record?.callingNumber === call.callingNumber);
      const answered = own.filter(({ record }) => record?.answeredAtUnixMs !== undefined);
      if (answered.length !== 1)
        this.break("one-record-per-call", `${answered.length} records of an answered call`, aboutCall(call));
    }
    for (const [call, event] of this.#arrivedCalls) {
      if (this.#records.has(call) || this.excused.size > 0) continue;
      this.break("one-record-per-call", `no record of ${call}`, event.callId);
    }
  }
}

function holderOf({ processes }: ServingSet): string | undefined {
  for (const [name, { process, ownership }] of processes)
    if (process.alive && ownership.held()) return `${name} under epoch ${ownership.epoch}`;
  return undefined;
}

const aboutCall = ({ dialog }: CallerCall): string => dialog.callId;

interface Head {
  readonly kind: "request" | "response";
  readonly method: string;
  /** 0 of a request. */
  readonly status: number;
  readonly callId: string;
  readonly fromTag: string;
  readonly toTag: string;
  readonly cseq: number;
  readonly branch: string;
}

function read(text: string): Head | undefined {
  const head = text.slice(0, text.indexOf("\r\n\r\n"));
  const cseq = /\r\nCSeq: *(\d+) +(\w+)/i.exec(head);
  const callId = /\r\nCall-ID: *([^\r]*)/i.exec(head)?.[1];
  if (cseq === null || callId === undefined) return undefined;
  const isResponse = head.startsWith("SIP/2.0 ");
  return {
    kind: isResponse ? "response" : "request",
    method: isResponse ? (cseq[2] ?? "") : head.slice(0, head.indexOf(" ")),
    status: isResponse ? Number(head.slice(8, 11)) : 0,
    callId,
    fromTag: /\r\nFrom:[^\r]*;tag=([^;\r]*)/i.exec(head)?.[1] ?? "",
    toTag: /\r\nTo:[^\r]*;tag=([^;\r]*)/i.exec(head)?.[1] ?? "",
    cseq: Number(cseq[1]),
    branch: /\r\nVia:[^\r]*;branch=([^;\r,]*)/i.exec(head)?.[1] ?? "",
  };
}
