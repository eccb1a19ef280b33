// The few SIP values that pop itself has to read; the server has checked the message's grammar before.

/** The user part of a From header, unescaped; "anonymous" where there is none we could show. */
export function callingNumberOf(from: string | undefined): string {
  const user = /<?(?:sips?|tel):([^@;>]{1,64})[@;>]/i.exec(from ?? "")?.[1];
  return user === undefined ? "anonymous" : dialableUser(decoded(user));
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** What may stand in the user part of a header that we write: nothing that could end it. */
export function dialableUser(text: string): string {
  const clean = text.replace(/[^A-Za-z0-9+*#._-]/g, "").slice(0, 64);
  return clean === "" ? "anonymous" : clean.replaceAll("#", "%23");
}

/** RFC 3261 §20.33: Retry-After goes with these. */
export const retryable = (status: number): boolean =>
  status === 404 ||
  status === 413 ||
  status === 480 ||
  status === 486 ||
  status === 500 ||
  status === 503 ||
  status >= 600;

/** DTMF in SIP INFO: "application/dtmf-relay" (Signal=5) and "application/dtmf" (5). */
export function digitOfInfo(contentType: string | undefined, body: string | undefined): string | undefined {
  if (body === undefined || body.length > 256) return undefined;
  const type = mediaType(contentType);
  const found =
    type === "application/dtmf-relay"
      ? /^\s*signal\s*=\s*([0-9A-D*#]|1[0-6])\s*$/im.exec(body)?.[1]
      : type === "application/dtmf"
        ? /^\s*([0-9A-D*#]|1[0-6])\s*$/i.exec(body)?.[1]
        : undefined;
  return found === undefined ? undefined : (EVENT_NAMES[found] ?? found.toUpperCase());
}

/** Some senders write the RFC 4733 event number. */
const EVENT_NAMES: Readonly<Record<string, string>> = {
  "10": "*",
  "11": "#",
  "12": "A",
  "13": "B",
  "14": "C",
  "15": "D",
};

/** The number that a Refer-To names; undefined: none we could dial, or a transfer to a call that stands (RFC 3891, not built). */
export function referredNumber(referTo: string | undefined): string | undefined {
  const uri = /<?\s*((?:sips?|tel):[^>]{1,512})>?/i.exec(referTo ?? "")?.[1];
  if (uri === undefined || /[?&]replaces=/i.test(uri)) return undefined;
  const user = /^(?:sips?:([^@;:?]{1,64})(?::[^@]*)?@|tel:([^;?]{1,64}))/i.exec(uri);
  const number = decoded(user?.[1] ?? user?.[2] ?? "").replace(/[().-]/g, "");
  return /^\+?[0-9*#]{1,32}$/.test(number) ? number : undefined;
}

/**
 * The session description of a message: its body, or the part that is one where a switch sends ISUP or a location
 * beside it. RFC 5621 §3.1
 * @returns undefined: there is none
 */
export function sdpOf(contentType: string | undefined, body: string | undefined): string | undefined {
  if (body === undefined || body === "") return undefined;
  const type = mediaType(contentType);
  if (type === "application/sdp" || type === "") return body;
  if (!type.startsWith("multipart/")) return undefined;
  const boundary = /;\s*boundary\s*=\s*(?:"([^"]{1,70})"|([^\s;"]{1,70}))/i.exec(contentType ?? "");
  if (boundary === null) return undefined;
  for (const part of `\r\n${body}`.split(`\r\n--${boundary[1] ?? boundary[2]}`)) {
    const end = part.indexOf("\r\n\r\n");
    if (end < 0) continue;
    const partType = /^content-type\s*:(.*)$/im.exec(part.slice(0, end))?.[1];
    if (mediaType(partType) === "application/sdp") return `${part.slice(end + 4).replace(/\r\n$/, "")}\r\n`;
  }
  return undefined;
}

const mediaType = (contentType: string | undefined): string =>
  (contentType ?? "").split(";")[0]?.trim().toLowerCase() ?? "";
