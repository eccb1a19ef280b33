import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";

const BYTES = 32;

/** Reads the token, or makes one on the first start. The file is readable by its owner only. */
export function readAdminToken(file: string): { readonly token: string; readonly made: boolean } {
  try {
    // Exclusive: of two processes that start at once one makes it, the other reads it.
    writeFileSync(file, `${randomBytes(BYTES).toString("base64url")}\n`, { mode: 0o600, flag: "wx" });
    return { token: readFileSync(file, "utf8").trim(), made: true };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  }
  const token = readFileSync(file, "utf8").trim();
  if (token.length < 16) throw new Error(`${file}: the admin token must have at least 16 characters`);
  return { token, made: false };
}

const digest = (text: string) => createHash("sha256").update(text).digest();

/** Takes as long for a wrong token as for the right one, whatever its length. */
export function bearerCheck(token: string): (authorization: string | undefined) => boolean {
  const expected = digest(token);
  return (authorization) => {
    const [, given = ""] = /^Bearer +(\S+)$/i.exec(authorization ?? "") ?? [];
    return timingSafeEqual(digest(given), expected);
  };
}
