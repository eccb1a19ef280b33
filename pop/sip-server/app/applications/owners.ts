// Applications as owners of dialogs. A connection may break and come back: what belongs to an application belongs to its
// owner, not to the connection, and what it is to be told meanwhile waits here for a while.

import type { Clock } from "../../../../kernel/time.ts";
import type { ApplicationLink, Urgency } from "../../boundary/application-link.ts";
import type { UserAgentLimits } from "../../core/limits.ts";
import type { OwnerRecord } from "../../core/record/record.ts";

interface Kept {
  readonly payload: string;
  readonly untilMs: number;
}

/** An application may name its process, so that it is known again for certain: `connect({ tags: ["instance:<id>"] })`. */
const INSTANCE = /^instance:[A-Za-z0-9@_+-]{1,64}$/;
const isNamed = (key: string): boolean => INSTANCE.test(key);

/** Sends to the application wherever it is connected at the moment. */
export class Owner implements ApplicationLink {
  readonly id: string;
  readonly key: string;
  readonly #clock: Clock;
  readonly #limits: UserAgentLimits;
  #link: ApplicationLink | undefined;
  #outbox: Kept[] = [];
  #outboxBytes = 0;
  /** What it asked for on its last connection, and when that closed: new requests of these wait for it. */
  took: ReadonlySet<string> = new Set();
  leftMs = Number.NEGATIVE_INFINITY;
  /** It came back under a name that is not its alone, and has not yet shown that it remembers anything. */
  isUnproven = false;

  constructor(record: OwnerRecord, link: ApplicationLink | undefined, clock: Clock, limits: UserAgentLimits) {
    this.id = record.name;
    this.key = record.key;
    this.#link = link;
    this.#clock = clock;
    this.#limits = limits;
  }

  get record(): OwnerRecord {
    return { name: this.id, key: this.key };
  }

  get address(): string {
    return this.#link?.address ?? "";
  }

  get open(): boolean {
    return this.#link?.open ?? false;
  }

  get busy(): boolean {
    return this.#link?.busy ?? false;
  }

  get waitingFrames(): number {
    return this.#outbox.length;
  }

  isSpokenForBy(link: ApplicationLink): boolean {
    return link === this || link === this.#link || (link instanceof Owner && link.#link === this.#link && link.open);
  }

  /** Kept for `returnWaitMs` when the application is away; the oldest give way to the newest. */
  send(payload: string, urgency: Urgency = "now"): void {
    if (this.#link?.open) this.#link.send(payload, urgency);
    else this.keep(payload, this.#limits.returnWaitMs);
  }

  keep(payload: string, forMs: number): void {
    this.#outbox.push({ payload, untilMs: this.#clock.nowMs() + forMs });
    this.#outboxBytes += payload.length;
    let dropped = 0;
    while (
      this.#outbox.length - dropped > this.#limits.outboxFramesMax ||
      this.#outboxBytes > this.#limits.outboxBytesMax
    ) {
      const oldest = this.#outbox[dropped++];
      if (oldest === undefined) break;
      this.#outboxBytes -= oldest.payload.length;
    }
    if (dropped > 0) this.#outbox.splice(0, dropped);
  }

  close(): void {
    this.#link?.close();
  }

  /** The connection that speaks for it from now on; what waited goes out, but for what it gets in another way. */
  back(link: ApplicationLink, isCovered: (payload: string) => boolean = () => false): void {
    this.#link = link;
    const nowMs = this.#clock.nowMs();
    const waiting = this.#outbox;
    this.#outbox = [];
    this.#outboxBytes = 0;
    for (const { payload, untilMs } of waiting) if (untilMs >= nowMs && !isCovered(payload)) link.send(payload);
  }

  away(): void {
    this.#link = undefined;
  }
}

/** What an application of a former run is believed to take until it says so itself. */
const BELIEVED: ReadonlySet<string> = new Set(["invite", "options"]);

/** Owners away at the same time; the one away longest is given up first. */
const AWAY_MAX = 256;

/**
 * Who is who. A connection gets back what it had, when
 * - it names its process (a tag `instance:<id>`): certain, also while an old connection has not been noticed to be dead;
 * - or it comes from the same address with the same tags as exactly one owner that is away: likely. An answer that shows it
 *   knows nothing of a dialog undoes that (`isUnproven`);
 * - or it uses a dialog of an owner that is away: only who had it can know its name.
 */
export class Owners {
  readonly #clock: Clock;
  readonly #limits: UserAgentLimits;
  /** The first is its own; the others it has proven to speak for. */
  readonly #byLink = new Map<ApplicationLink, Owner[]>();
  readonly #away = new Map<string, Owner>();
  /** Named, and gone a moment ago: a new process of it is expected under the same name. */
  readonly #expected = new Set<Owner>();
  #sequence = 0;

  constructor(clock: Clock, limits: UserAgentLimits) {
    this.#clock = clock;
    this.#limits = limits;
  }

  /** Whoever speaks on this connection. */
  of(link: ApplicationLink): Owner {
    const [owner] = this.#byLink.get(link) ?? [];
    return owner ?? this.#make(link, `${link.address}|`);
  }

  get awayCount(): number {
    return this.#away.size;
  }

  /**
   * A connection has said who it is.
   * @returns the owner it speaks for, and whether that one has been away
   */
  authenticated(link: ApplicationLink, tags: readonly string[]): { readonly owner: Owner; readonly isBack: boolean } {
    const name = tags.find(isNamed);
    const key = name ?? `${link.address}|${[...tags].sort().join(",")}`;
    const known = this.#byLink.get(link)?.[0];
    if (known !== undefined) return { owner: known, isBack: false }; // said twice
    const [old, ...proven] = name === undefined ? this.#onlyAway(key) : this.#named(key);
    if (old === undefined) return { owner: this.#make(link, key), isBack: false };
    old.isUnproven = name === undefined;
    this.#byLink.set(link, [old, ...proven]);
    for (const owner of proven) owner.back(link);
    this.#away.delete(old.id);
    return { owner: old, isBack: true };
  }

  /** `link` has used a dialog of `owner`, who is away: they are the same. @returns false: they were already */
  claim(owner: Owner, link: ApplicationLink): boolean {
    const real = link instanceof Owner ? [...this.#byLink].find(([, owners]) => owners.includes(link))?.[0] : link;
    if (real === undefined || owner.open) return false;
    const owners = this.#byLink.get(real);
    if (owners === undefined) this.#byLink.set(real, [this.of(real), owner]);
    else if (!owners.includes(owner)) owners.push(owner);
    this.#away.delete(owner.id);
    owner.isUnproven = false;
    owner.back(real);
    return true;
  }

  /**
   * Who took requests of that verb until a moment ago, and will be back under its own name: a restart costs no new call.
   * For `returnWaitMs` after its connection closed.
   */
  awaited(verb: string): Owner | undefined {
    const goneMs = this.#clock.nowMs() - this.#limits.returnWaitMs;
    for (const owner of this.#expected) {
      if (owner.open || owner.leftMs < goneMs) this.#expected.delete(owner);
      else if (owner.took.has(verb)) return owner;
    }
    return undefined;
  }

  isExpected(owner: Owner): boolean {
    return this.#expected.has(owner);
  }

  /**
   * @param verbs what it had asked for
   * @returns the owners that are away now, and those given up to bound their number
   */
  closed(
    link: ApplicationLink,
    verbs: ReadonlySet<string>,
  ): { readonly away: readonly Owner[]; readonly givenUp: readonly Owner[] } {
    const away = this.#byLink.get(link) ?? [];
    this.#byLink.delete(link);
    const givenUp: Owner[] = [];
    for (const owner of away) {
      owner.away();
      this.#away.set(owner.id, owner);
      this.#expect(owner, verbs);
    }
    for (const [id, owner] of this.#away) {
      if (this.#away.size <= AWAY_MAX) break;
      this.#away.delete(id);
      this.#expected.delete(owner);
      givenUp.push(owner);
    }
    return { away, givenUp };
  }

  /** It will not come back, or owns nothing. */
  forget(owner: Owner): void {
    this.#away.delete(owner.id);
    this.#expected.delete(owner);
  }

  /** From a record: away until its application connects. */
  restored(record: OwnerRecord): Owner {
    const known = this.#away.get(record.name);
    if (known !== undefined) return known;
    if (isNamed(record.key)) for (const owner of this.#away.values()) if (owner.key === record.key) return owner;
    for (const [owner] of this.#byLink.values())
      if (owner !== undefined && (owner.id === record.name || (isNamed(record.key) && owner.key === record.key)))
        return owner;
    const owner = new Owner(record, undefined, this.#clock, this.#limits);
    this.#away.set(owner.id, owner);
    this.#expect(owner, BELIEVED);
    return owner;
  }

  #expect(owner: Owner, verbs: ReadonlySet<string>): void {
    if (!isNamed(owner.key) || verbs.size === 0) return;
    owner.took = verbs;
    owner.leftMs = this.#clock.nowMs();
    this.#expected.add(owner);
  }

  #make(link: ApplicationLink, key: string): Owner {
    const name = `${key}#${++this.#sequence}.${Math.round(this.#clock.unixMs()).toString(36)}`;
    const owner = new Owner({ name, key }, link, this.#clock, this.#limits);
    this.#byLink.set(link, [owner]);
    return owner;
  }

  #onlyAway(key: string): readonly Owner[] {
    const found = [...this.#away.values()].filter((owner) => owner.key === key);
    return found.length > 1 ? [] : found; // either could be meant: whoever uses a dialog will tell
  }

  /**
   * Also one whose connection nobody has noticed to be dead: the new connection is the one that counts, also for what the
   * old one had proven to speak for.
   */
  #named(key: string): readonly Owner[] {
    for (const owner of this.#away.values()) if (owner.key === key) return [owner];
    for (const [link, owners] of this.#byLink) {
      if (owners[0]?.key !== key) continue;
      this.#byLink.delete(link);
      link.close();
      return owners;
    }
    return [];
  }
}
