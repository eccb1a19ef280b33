import type { DnsAnswer, Question } from "../core/next-hop/dns.ts";

/** Whoever knows what names mean: the hosts file, the operating system, name servers. */
export interface NameService {
  /** Answers exactly once, later, within a bounded time of its own. Never throws. */
  ask(question: Question, answered: (answer: DnsAnswer) => void): void;
  stop(): void;
}
