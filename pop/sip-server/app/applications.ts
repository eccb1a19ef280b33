// Who is connected, and who wants which requests.

import { timingSafeEqual } from "node:crypto";
import type { ApplicationLink } from "../boundary/application-link.ts";

interface Application {
  readonly link: ApplicationLink;
  authenticated: boolean;
  readonly verbs: Set<string>;
  sources: readonly string[] | undefined;
}

/** Verbs one application may ask for; far above the methods there are. */
const VERBS_MAX = 64;

export class Applications {
  readonly #byLink = new Map<string, Application>();
  /** By verb, in the order they asked; the next call goes to the next one. */
  readonly #takers = new Map<string, { links: ApplicationLink[]; next: number }>();
  /** Sources told by connections that have closed since: they hold until a living one tells. */
  #left: readonly string[] = [];

  open(link: ApplicationLink): void {
    this.#byLink.set(link.id, { link, authenticated: false, verbs: new Set(), sources: undefined });
  }

  close(link: ApplicationLink): void {
    const application = this.#byLink.get(link.id);
    if (application === undefined) return;
    for (const verb of application.verbs) this.unroute(link, verb);
    this.#byLink.delete(link.id);
    if (application.sources !== undefined) this.#left = [...new Set([...this.#left, ...application.sources])];
  }

  authenticate(link: ApplicationLink): void {
    const application = this.#byLink.get(link.id);
    if (application !== undefined) application.authenticated = true;
  }

  isAuthenticated(link: ApplicationLink): boolean {
    return this.#byLink.get(link.id)?.authenticated === true;
  }

  route(link: ApplicationLink, verb: string): boolean {
    const application = this.#byLink.get(link.id);
    if (application === undefined || application.verbs.size >= VERBS_MAX) return false;
    if (application.verbs.has(verb)) return true;
    application.verbs.add(verb);
    const takers = this.#takers.get(verb);
    if (takers === undefined) this.#takers.set(verb, { links: [link], next: 0 });
    else takers.links.push(link);
    return true;
  }

  /** That verb only: the C++ server forgets them all. */
  unroute(link: ApplicationLink, verb: string): void {
    this.#byLink.get(link.id)?.verbs.delete(verb);
    const takers = this.#takers.get(verb);
    if (takers === undefined) return;
    takers.links = takers.links.filter((taker) => taker !== link);
    if (takers.links.length === 0) this.#takers.delete(verb);
  }

  /** Round robin over those who asked for the verb and are there. */
  pick(verb: string): ApplicationLink | undefined {
    const takers = this.#takers.get(verb);
    if (takers === undefined) return undefined;
    for (let tried = 0; tried < takers.links.length; tried++) {
      const link = takers.links[takers.next % takers.links.length];
      takers.next = (takers.next + 1) % takers.links.length;
      if (link?.open) return link;
    }
    return undefined;
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

/** In the same time whatever the guess. */
export function isSameSecret(given: string, secret: string): boolean {
  const a = Buffer.from(given, "latin1");
  const b = Buffer.from(secret, "utf8");
  return a.length === b.length && timingSafeEqual(a, b);
}
