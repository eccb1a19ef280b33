// Header names: what is compared (the key, lower case, never compact) and what is written.

/** RFC 3261 §7.3.3 and the registry since: one letter stands for a name. */
const COMPACT: Readonly<Record<string, string>> = {
  a: "accept-contact",
  b: "referred-by",
  c: "content-type",
  d: "request-disposition",
  e: "content-encoding",
  f: "from",
  i: "call-id",
  j: "reject-contact",
  k: "supported",
  l: "content-length",
  m: "contact",
  n: "identity-info",
  o: "event",
  r: "refer-to",
  s: "subject",
  t: "to",
  u: "allow-events",
  v: "via",
  x: "session-expires",
  y: "identity",
};

/** As RFCs spell them. Anything else gets an upper-case letter after each hyphen. */
const CANONICAL: readonly string[] = [
  "Accept",
  "Accept-Contact",
  "Accept-Encoding",
  "Accept-Language",
  "Alert-Info",
  "Allow",
  "Allow-Events",
  "Authentication-Info",
  "Authorization",
  "Call-ID",
  "Call-Info",
  "Contact",
  "Content-Disposition",
  "Content-Encoding",
  "Content-Language",
  "Content-Length",
  "Content-Type",
  "CSeq",
  "Date",
  "Diversion",
  "Error-Info",
  "Event",
  "Expires",
  "From",
  "History-Info",
  "Identity",
  "Identity-Info",
  "In-Reply-To",
  "Info-Package",
  "Join",
  "Max-Forwards",
  "MIME-Version",
  "Min-Expires",
  "Min-SE",
  "Organization",
  "P-Asserted-Identity",
  "P-Preferred-Identity",
  "Path",
  "Priority",
  "Privacy",
  "Proxy-Authenticate",
  "Proxy-Authorization",
  "Proxy-Require",
  "RAck",
  "Reason",
  "Record-Route",
  "Recv-Info",
  "Refer-Sub",
  "Refer-To",
  "Referred-By",
  "Reject-Contact",
  "Remote-Party-ID",
  "Replaces",
  "Reply-To",
  "Request-Disposition",
  "Require",
  "Retry-After",
  "Route",
  "RSeq",
  "Server",
  "Service-Route",
  "Session-Expires",
  "SIP-ETag",
  "SIP-If-Match",
  "Subject",
  "Subscription-State",
  "Supported",
  "Timestamp",
  "To",
  "Unsupported",
  "User-Agent",
  "User-to-User",
  "Via",
  "Warning",
  "WWW-Authenticate",
];

const keyBySpelling = new Map<string, string>();
const spellingByKey = new Map<string, string>();
for (const name of CANONICAL) {
  const key = name.toLowerCase();
  keyBySpelling.set(name, key);
  keyBySpelling.set(key, key);
  spellingByKey.set(key, name);
}
for (const [letter, key] of Object.entries(COMPACT)) {
  keyBySpelling.set(letter, key);
  keyBySpelling.set(letter.toUpperCase(), key);
}

export interface KnownName {
  readonly name: string;
  readonly key: string;
}

/** By first letter and length: nearly always one name is left to compare with. */
const knownNames: (KnownName[] | undefined)[] = [];
const LENGTHS = 32;
for (const [name, key] of keyBySpelling) {
  const place = name.charCodeAt(0) * LENGTHS + name.length;
  knownNames[place] ??= [];
  knownNames[place].push({ name, key });
}

/** The known name that `text` holds from `at` to `end`, without cutting it out; undefined: ask `headerKey`. */
export function knownNameAt(text: string, at: number, end: number): KnownName | undefined {
  const length = end - at;
  if (length >= LENGTHS) return undefined;
  const candidates = knownNames[text.charCodeAt(at) * LENGTHS + length];
  if (candidates === undefined) return undefined;
  for (const candidate of candidates) if (text.startsWith(candidate.name, at)) return candidate;
  return undefined;
}

/** The one spelling that is compared: "v", "Via" and "VIA" are all "via". */
export function headerKey(name: string): string {
  const known = keyBySpelling.get(name);
  if (known !== undefined) return known;
  const lower = name.toLowerCase();
  return COMPACT[lower] ?? lower;
}

/** Of the names above, those whose value is optional in the grammar: RFC 3261 §25.1, RFC 6086 §7. */
const OPTIONAL_VALUE: ReadonlySet<string> = new Set(
  "accept accept-encoding accept-language allow organization recv-info subject supported".split(" "),
);

/** Whether `key` says something without a value; a header nobody knows may (`extension-header`). */
export const mayBeEmpty = (key: string): boolean => OPTIONAL_VALUE.has(key) || !spellingByKey.has(key);

/** How we write a header an application named: known ones as the RFC does, `X-…` as given. */
export function headerSpelling(name: string): string {
  const known = spellingByKey.get(headerKey(name));
  if (known !== undefined) return known;
  if (name.startsWith("X-") || name.startsWith("x-") || name.startsWith("P-")) return name;
  return name.replace(/(^|-)[a-z]/g, (letter) => letter.toUpperCase());
}
