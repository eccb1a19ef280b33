// Who is connected, and who wants which requests.

import { createHash, timingSafeEqual } from "node:crypto";
import type { ApplicationLink } from "../../boundary/application-link.ts";
import { sourceKey } from "../../core/guard/source-key.ts";
import { AUTHENTICATION_LIMITS, type AuthenticationLimits } from "../../core/limits.ts";

interface Application {
  readonly link: ApplicationLink;
  authenticated: boolean;
  tags: readonly string[];
  readonly verbs: Set<string>;
  sources: readonly string[] | undefined;
}

/** Verbs one application may ask for; far above the methods there are. */
const VERBS_MAX = 64;
const TAGS_MAX = 32;

/** Whose turn it is. */
interface Turns {
  readonly links: ApplicationLink[];
  next: number;
}

function add(all: Map<string, Turns>, name: string, link: ApplicationLink): void {
  const turns = all.get(name);
  if (turns === undefined) all.set(name, { links: [link], next: 0 });
  else turns.links.push(link);
}

/** The others keep their turns. */
function remove(all: Map<string, Turns>, name: string, link: ApplicationLink): void {
  const turns = all.get(name);
  const at = turns?.links.indexOf(link) ?? -1;
  if (turns === undefined || at === -1) return;
  turns.links.splice(at, 1);
  if (turns.next > at) turns.next--;
  if (turns.links.length === 0) all.delete(name);
}

/** The next that is there and keeps up; when none keeps up, the next that is there. */
function next(turns: Turns | undefined): ApplicationLink | undefined {
  if (turns === undefined) return undefined;
  const { links } = turns;
  let second: ApplicationLink | undefined;
  for (let tried = 0; tried < links.length; tried++) {
    const link = links[turns.next % links.length];
    turns.next = (turns.next + 1) % links.length;
    if (link?.open !== true) continue;
    if (!link.busy) return link;
    second ??= link;
  }
  return second;
}

export class Applications {
  readonly #byLink = new Map<string, Application>();
  /** By verb, in the order they asked; the next call goes to the next one. */
  readonly #takers = new Map<string, Turns>();
  readonly #tagged = new Map<string, Turns>();
  /** Sources told by connections that have closed since: they hold until a living one tells. */
  #left: readonly string[] = [];

  open(link: ApplicationLink): void {
    this.#byLink.set(link.id, { link, authenticated: false, tags: [], verbs: new Set(), sources: undefined });
  }

  close(link: ApplicationLink): void {
    const application = this.#byLink.get(link.id);
    if (application === undefined) return;
    for (const verb of application.verbs) this.unroute(link, verb);
    for (const tag of application.tags) remove(this.#tagged, tag, link);
    this.#byLink.delete(link.id);
    if (application.sources !== undefined) this.#left = [...new Set([...this.#left, ...application.sources])];
  }

  authenticate(link: ApplicationLink, tags: readonly string[]): void {
    const application = this.#byLink.get(link.id);
    if (application === undefined) return;
    application.authenticated = true;
    for (const tag of application.tags) remove(this.#tagged, tag, link);
    application.tags = [...new Set(tags)].slice(0, TAGS_MAX);
    for (const tag of application.tags) add(this.#tagged, tag, link);
  }

  isAuthenticated(link: ApplicationLink): boolean {
    return this.#byLink.get(link.id)?.authenticated === true;
  }

  route(link: ApplicationLink, verb: string): boolean {
    const application = this.#byLink.get(link.id);
    if (application === undefined || application.verbs.size >= VERBS_MAX) return false;
    if (application.verbs.has(verb)) return true;
    application.verbs.add(verb);
    add(this.#takers, verb, link);
    return true;
  }

  /** That verb only: the C++ server forgets them all. */
  unroute(link: ApplicationLink, verb: string): void {
    if (this.#byLink.get(link.id)?.verbs.delete(verb)) remove(this.#takers, verb, link);
  }

  verbsOf(link: ApplicationLink): ReadonlySet<string> {
    return this.#byLink.get(link.id)?.verbs ?? new Set();
  }

  /** Round robin over those who asked for the verb and are there. */
  pick(verb: string): ApplicationLink | undefined {
    return next(this.#takers.get(verb));
  }

  /** Round robin over those who gave themselves the tag. */
  pickTagged(tag: string): ApplicationLink | undefined {
    return next(this.#tagged.get(tag));
  }

  /** Whether somebody who is there asked for the verb. */
  takes(verb: string): boolean {
    return this.#takers.get(verb)?.links.some(({ open }) => open) === true;
  }

  /** @returns every source that any application trusts */
  tellSources(link: ApplicationLink, allow: readonly string[]): readonly string[] {
    const application = this.#byLink.get(link.id);
    if (application !== undefined) application.sources = allow;
    this.#left = [];
    return [...new Set([...this.#byLink.values()].flatMap(({ sources }) => sources ?? []))];
  }

  get connected(): number {
    let count = 0;
    for (const { authenticated } of this.#byLink.values()) if (authenticated) count++;
    return count;
  }

  get links(): readonly ApplicationLink[] {
    return [...this.#byLink.values()].map(({ link }) => link);
  }
}

/** In the same time whatever the guess, its length included. */
export function isSameSecret(given: string, secret: string): boolean {
  const digest = (bytes: Buffer) => createHash("sha256").update(bytes).digest();
  return timingSafeEqual(digest(Buffer.from(given, "latin1")), digest(Buffer.from(secret, "utf8")));
}

/** Wrong secrets by the address they came from, IPv6 by its /64. Bounded: the oldest address is forgotten. */
export class FailedAttempts {
  readonly #bySource = new Map<string | number, { count: number; sinceMs: number }>();
  readonly #limits: AuthenticationLimits;

  constructor(limits: AuthenticationLimits = AUTHENTICATION_LIMITS) {
    this.#limits = limits;
  }

  note(address: string, nowMs: number): void {
    const source = sourceKey(address);
    const known = this.#bySource.get(source);
    const isStale = known === undefined || nowMs - known.sinceMs >= this.#limits.forgetMs;
    this.#bySource.delete(source);
    this.#bySource.set(source, isStale ? { count: 1, sinceMs: nowMs } : { ...known, count: known.count + 1 });
    if (this.#bySource.size <= this.#limits.addressesMax) return;
    for (const oldest of this.#bySource.keys()) {
      this.#bySource.delete(oldest);
      break;
    }
  }

  isBarred(address: string, nowMs: number): boolean {
    const source = sourceKey(address);
    const known = this.#bySource.get(source);
    if (known === undefined) return false;
    if (nowMs - known.sinceMs < this.#limits.forgetMs) return known.count >= this.#limits.failuresMax;
    this.#bySource.delete(source);
    return false;
  }
}
