// Questions to name servers and what their answers mean: RFC 1035, 2308, 2782, 3403. No wire format here.

export type DnsType = "NAPTR" | "SRV" | "A" | "AAAA";

export interface Question {
  readonly type: DnsType;
  /** Lower case, without a final dot. */
  readonly name: string;
}

export interface NaptrRecord {
  readonly type: "NAPTR";
  readonly order: number;
  readonly preference: number;
  readonly flags: string;
  readonly services: string;
  readonly regexp: string;
  readonly replacement: string;
}

export interface SrvRecord {
  readonly type: "SRV";
  readonly priority: number;
  readonly weight: number;
  readonly port: number;
  /** ".": decidedly no such service. */
  readonly target: string;
}

export interface AddressRecord {
  readonly type: "A" | "AAAA";
  readonly address: string;
}

export type DnsRecord = NaptrRecord | SrvRecord | AddressRecord;

export type DnsAnswer =
  | { readonly kind: "found"; readonly records: readonly DnsRecord[]; readonly ttlSeconds: number }
  /** No such name, or no record of that type. */
  | { readonly kind: "none"; readonly ttlSeconds: number }
  /** The name is another one's, and the server did not say what that one has. */
  | { readonly kind: "alias"; readonly name: string; readonly ttlSeconds: number }
  | { readonly kind: "failed"; readonly because: DnsFailure };

export type DnsFailure = "servfail" | "refused" | "timeout" | "truncated" | "malformed" | "busy";

/** One record of a reply, as far as we look into it. */
export interface ReplyRecord {
  readonly name: string;
  readonly ttlSeconds: number;
  readonly record:
    | DnsRecord
    | { readonly type: "CNAME"; readonly target: string }
    | { readonly type: "SOA"; readonly minimumSeconds: number };
}

export interface Reply {
  /** 0 no error, 2 server failure, 3 no such name, 5 refused. RFC 1035 §4.1.1. */
  readonly code: number;
  /** Cut off, and not to be had whole. */
  readonly truncated: boolean;
  readonly answers: readonly ReplyRecord[];
  readonly authorities: readonly ReplyRecord[];
}

/** A chain of aliases longer than this is a loop, or might as well be one. */
export const ALIASES_MAX = 8;
/** "No" without a start of authority says nothing about how long (RFC 2308 §5): asked again soon. */
const NO_WITHOUT_SOA_SECONDS = 5;

/** What a reply says to the question, aliases followed as far as it goes. */
export function answerOf(question: Question, reply: Reply): DnsAnswer {
  if (reply.truncated) return { kind: "failed", because: "truncated" };
  if (reply.code === 5) return { kind: "failed", because: "refused" };
  if (reply.code !== 0 && reply.code !== 3) return { kind: "failed", because: "servfail" };
  let { name } = question;
  let ttlSeconds = Number.POSITIVE_INFINITY;
  for (let aliases = 0; aliases <= ALIASES_MAX; aliases++) {
    const records: DnsRecord[] = [];
    let alias: ReplyRecord | undefined;
    let aliasOf = "";
    for (const answer of reply.answers) {
      if (answer.name !== name) continue;
      const { record } = answer;
      if (record.type === "CNAME") {
        alias = answer;
        aliasOf = record.target;
      } else if (record.type === question.type) {
        records.push(record);
        ttlSeconds = Math.min(ttlSeconds, answer.ttlSeconds);
      }
    }
    if (records.length > 0) return { kind: "found", records, ttlSeconds };
    if (alias === undefined) break;
    ttlSeconds = Math.min(ttlSeconds, alias.ttlSeconds);
    name = aliasOf;
  }
  if (name !== question.name && reply.code === 0 && !hasSoa(reply)) return { kind: "alias", name, ttlSeconds };
  return { kind: "none", ttlSeconds: Math.min(ttlSeconds, negativeTtl(reply)) };
}

const hasSoa = (reply: Reply): boolean => reply.authorities.some(({ record }) => record.type === "SOA");

/** RFC 2308 §5: the smaller of the SOA's own TTL and its minimum field. */
function negativeTtl({ authorities }: Reply): number {
  for (const { record, ttlSeconds } of authorities)
    if (record.type === "SOA") return Math.min(ttlSeconds, record.minimumSeconds);
  return NO_WITHOUT_SOA_SECONDS;
}

/** What a host of ours may be called: letters, digits, hyphens, underscores, dots; 253 characters, 63 between dots. */
export const isDomainName = (name: string): boolean =>
  name.length <= 253 && /^[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*$/.test(name);

export const questionKey = ({ type, name }: Question): string => `${type} ${name}`;
