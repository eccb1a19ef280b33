// Whose certificate it is, in SIP's eyes: RFC 5922 §7. Pure: the text of a certificate's names in, identities out.

import { parseAddress } from "./address.ts";

const NAMES_MAX = 64;
const NAME_CHARACTERS_MAX = 255;

/**
 * The names of a certificate as identities: "sip:carrier.example", "dns:sbc.carrier.example", "ip:192.0.2.1". A common
 * name ("cn:…") only when there is no subjectAltName at all (§7.1).
 *
 * @param alternative as Node prints it: `DNS:a.example, URI:sip:b.example, IP Address:192.0.2.1`
 * @param subject one attribute a line: `CN=a.example`
 */
export function identitiesOf(alternative: string | undefined, subject: string | undefined): readonly string[] {
  if (alternative === undefined || alternative === "") {
    const name = /^CN=(.+)$/m.exec(subject ?? "")?.[1];
    return name === undefined || !isName(name) ? [] : [`cn:${name.toLowerCase()}`];
  }
  const identities: string[] = [];
  // A value that holds a comma or a quote is printed in quotes: no honest name needs them, so such a value is none.
  for (const entry of alternative.replace(/"(?:[^"\\]|\\.)*"/g, "\0").split(", ")) {
    if (identities.length >= NAMES_MAX) break;
    const colon = entry.indexOf(":");
    const value = entry.slice(colon + 1);
    const identity = identityOf(entry.slice(0, colon), value);
    if (identity !== undefined) identities.push(identity);
  }
  return identities;
}

function identityOf(kind: string, value: string): string | undefined {
  if (!isName(value)) return undefined;
  switch (kind) {
    case "DNS":
      return `dns:${value.toLowerCase()}`;
    case "IP Address":
      return `ip:${value.toLowerCase()}`;
    case "URI": {
      // A user part would make it a person's, any other scheme something else than SIP's.
      const domain = /^sip:([A-Za-z0-9.-]+)$/i.exec(value)?.[1];
      return domain === undefined ? undefined : `sip:${domain.toLowerCase()}`;
    }
    default:
      return undefined;
  }
}

const isName = (value: string): boolean =>
  value !== "" && value.length <= NAME_CHARACTERS_MAX && /^[\x21-\x7e]+$/.test(value);

/**
 * Whether who has these identities may speak for a domain, or an address. §7.2: whole names, in any case.
 *
 * @param wildcards §7.2 forbids "*.example"; carriers with a certificate of the web have nothing else
 */
export function proves(identities: readonly string[] | undefined, domain: string, wildcards = false): boolean {
  if (identities === undefined) return false;
  const wanted = domain.toLowerCase().replace(/\.$/, "");
  const dot = wanted.indexOf(".");
  const parent = wildcards && dot > 0 ? `*${wanted.slice(dot)}` : undefined;
  for (const identity of identities) {
    const colon = identity.indexOf(":");
    const kind = identity.slice(0, colon);
    const name = identity.slice(colon + 1);
    if (kind === "ip" ? isSameAddress(name, wanted) : name === wanted) return true;
    if (parent !== undefined && kind !== "ip" && name === parent && parent.includes(".", 2)) return true;
  }
  return false;
}

function isSameAddress(a: string, b: string): boolean {
  const left = parseAddress(a);
  const right = parseAddress(b);
  return (
    left !== undefined && right !== undefined && left.length === right.length && left.every((w, at) => w === right[at])
  );
}
