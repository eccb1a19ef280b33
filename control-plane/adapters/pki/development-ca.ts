// A certificate authority for one region on one machine: made on first start, kept, renewed. Not for production:
// there, certificates come from outside and only their files are named.

import { execFile } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { chmod, mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { isIP } from "node:net";
import { join } from "node:path";
import { promisify } from "node:util";
import type { Log } from "../../../kernel/log.ts";

const run = promisify(execFile);
const CA_DAYS = 3_650;
const LEAF_DAYS = 365;
const RENEW_BEFORE_MS = 30 * 86_400_000;
/** RFC 5280 §4.2.1.12. */
const SERVER_AUTH = "1.3.6.1.5.5.7.3.1";

export interface PkiWish {
  readonly dir: string;
  /** Address or name by which POP hosts reach this server. */
  readonly serverHost: string;
  /** One certificate each, for client and server; its common name. */
  readonly hostIds: readonly string[];
}

export interface PkiFiles {
  readonly caFile: string;
  readonly certFile: string;
  readonly keyFile: string;
}

export interface SipCertificateWish {
  readonly dir: string;
  /** The file's name, and the certificate's common name: a host's id. */
  readonly hostId: string;
  /** Names and addresses peers know the host by: "DNS:…", "IP:…", "URI:sip:…" (RFC 5922 §4). */
  readonly names: readonly string[];
}

/**
 * sip/<id>.crt and sip/<id>.key below `dir`, signed by the CA there, which is made when it is missing. A host shows it
 * to callers, and to servers that it calls.
 * @throws when openssl is missing or fails
 */
export const developmentSipCertificate = (wish: SipCertificateWish, log: Log): Promise<PkiFiles> =>
  bothWays("sip", wish, log);

/** The same below keepers/: what the keepers of a pair of hosts show each other. @throws when openssl is missing or fails */
export const developmentKeeperCertificate = (wish: SipCertificateWish, log: Log): Promise<PkiFiles> =>
  bothWays("keepers", wish, log);

/** For one that both connects and is connected to. */
async function bothWays(
  folder: "sip" | "keepers",
  { dir, hostId, names }: SipCertificateWish,
  log: Log,
): Promise<PkiFiles> {
  await mkdir(join(dir, folder), { recursive: true, mode: 0o700 });
  const ca = await developmentCa(dir, log);
  const host = { cert: join(dir, folder, `${hostId}.crt`), key: join(dir, folder, `${hostId}.key`) };
  const written = (certificate: X509Certificate) =>
    names.every((name) =>
      name.startsWith("IP:")
        ? certificate.checkIP(name.slice(3)) !== undefined
        : certificate.subjectAltName?.includes(name) === true,
    );
  if (!(await isGood(host, ca, written))) {
    const uses = "extendedKeyUsage=serverAuth,clientAuth\nkeyUsage=critical,digitalSignature";
    await issue(host, hostId, ca, `subjectAltName=${names.join(",")}\n${uses}`);
    log.info("pki.host-made", { hostId, folder });
  }
  return { caFile: ca.cert, certFile: host.cert, keyFile: host.key };
}

async function developmentCa(dir: string, log: Log): Promise<KeyPair> {
  const ca = { cert: join(dir, "ca.crt"), key: join(dir, "ca.key") };
  if (await isGood(ca, undefined, () => true)) return ca;
  await issue(
    ca,
    "Tollgate development CA",
    undefined,
    "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign",
  );
  log.info("pki.ca-made", { dir });
  return ca;
}

/**
 * ca.crt, ca.key, server.crt, server.key and hosts/<id>.crt, hosts/<id>.key below `dir`. What is there and good stays as it is.
 * Private keys are EC P-256, readable by the owner only.
 * @throws when openssl is missing or fails
 */
export async function developmentPki({ dir, serverHost, hostIds }: PkiWish, log: Log): Promise<PkiFiles> {
  await mkdir(join(dir, "hosts"), { recursive: true, mode: 0o700 });
  const ca = await developmentCa(dir, log);
  const server = { cert: join(dir, "server.crt"), key: join(dir, "server.key") };
  const named = (certificate: X509Certificate) =>
    (isIP(serverHost) ? certificate.checkIP(serverHost) : certificate.checkHost(serverHost)) !== undefined;
  if (!(await isGood(server, ca, named))) {
    const alternative = `${isIP(serverHost) ? "IP" : "DNS"}:${serverHost}`;
    await issue(
      server,
      serverHost,
      ca,
      `subjectAltName=${alternative}\nextendedKeyUsage=serverAuth\nkeyUsage=critical,digitalSignature`,
    );
    log.info("pki.server-made", { serverHost });
  }
  for (const hostId of hostIds) {
    const host = { cert: join(dir, "hosts", `${hostId}.crt`), key: join(dir, "hosts", `${hostId}.key`) };
    const fits = ({ subject, keyUsage }: X509Certificate) =>
      subject.split("\n").includes(`CN=${hostId}`) && keyUsage.includes(SERVER_AUTH);
    if (await isGood(host, ca, fits)) continue;
    // A host is a client of the region, and both to its twin
    await issue(host, hostId, ca, "extendedKeyUsage=serverAuth,clientAuth\nkeyUsage=critical,digitalSignature");
    log.info("pki.host-made", { hostId });
  }
  return { caFile: ca.cert, certFile: server.cert, keyFile: server.key };
}

interface KeyPair {
  readonly cert: string;
  readonly key: string;
}

async function isGood(
  pair: KeyPair,
  signer: KeyPair | undefined,
  fits: (certificate: X509Certificate) => boolean,
): Promise<boolean> {
  try {
    const certificate = new X509Certificate(await readFile(pair.cert));
    await readFile(pair.key);
    const by = signer ? new X509Certificate(await readFile(signer.cert)) : certificate;
    return (
      Date.parse(certificate.validTo) - Date.now() > RENEW_BEFORE_MS &&
      certificate.checkIssued(by) &&
      certificate.verify(by.publicKey) &&
      fits(certificate)
    );
  } catch {
    return false; // missing, cut short, or not a certificate: made anew
  }
}

/** Written beside and renamed: who reads meanwhile sees the old pair or the new, the key first. */
async function issue(
  pair: KeyPair,
  commonName: string,
  signer: KeyPair | undefined,
  extensions: string,
): Promise<void> {
  const next = {
    cert: `${pair.cert}.new`,
    key: `${pair.key}.new`,
    request: `${pair.cert}.csr`,
    extensions: `${pair.cert}.ext`,
  };
  try {
    await writeFile(next.key, "", { mode: 0o600 });
    await openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", next.key);
    await chmod(next.key, 0o600);
    await writeFile(next.extensions, extensions, { mode: 0o600 });
    await openssl("req", "-new", "-key", next.key, "-subj", `/CN=${commonName}`, "-out", next.request);
    const serial = `0x${crypto.randomUUID().replaceAll("-", "")}`;
    await openssl(
      ...["x509", "-req", "-in", next.request, "-out", next.cert, "-extfile", next.extensions, "-set_serial", serial],
      ...["-days", String(signer ? LEAF_DAYS : CA_DAYS)],
      ...(signer ? ["-CA", signer.cert, "-CAkey", signer.key] : ["-signkey", next.key]),
    );
    await chmod(next.cert, 0o600);
    await rename(next.key, pair.key);
    await rename(next.cert, pair.cert);
  } finally {
    await Promise.all(Object.values(next).map((file) => rm(file, { force: true })));
  }
}

async function openssl(...args: readonly string[]): Promise<void> {
  await run("openssl", args, { timeout: 20_000 });
}
