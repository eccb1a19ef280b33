// Certificates, keys, CAs and CRLs of one listener, and what TLS makes of them. They can be read again at any time: new
// connections get the new ones, connections that stand are not touched.

import { createPrivateKey, randomBytes, X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { isIP } from "node:net";
import {
  type ConnectionOptions,
  checkServerIdentity,
  createSecureContext,
  type SecureContext,
  type SecureContextOptions,
  type Server,
  type TLSSocket,
  type TlsOptions,
} from "node:tls";
import { fail, type Outcome, succeed } from "../../../kernel/outcome.ts";
import { identitiesOf, proves } from "../core/certificate-names.ts";

export interface TlsSettings {
  /** The first is shown to who names no server, or one we do not know; the others by SNI. */
  readonly identities: readonly { readonly certFile: string; readonly keyFile: string }[];
  /** Who may sign peers' certificates; the system's CAs for servers when empty. */
  readonly caFiles: readonly string[];
  readonly crlFiles: readonly string[];
  readonly clientCertificate: "none" | "request" | "require";
  /** False: connections we make stand whatever the peer's certificate is. */
  readonly rejectUnauthorized: boolean;
  readonly minVersion: "TLSv1.2" | "TLSv1.3";
  /** RFC 5922 §7.2 forbids them. */
  readonly wildcards: boolean;
}

export interface UnusableTls {
  readonly code: "tls.files-unusable";
  readonly file: string;
  readonly reason: string;
}

export interface CertificateExpiry {
  readonly file: string;
  /** Milliseconds since 1970. */
  readonly notAfterUnixMs: number;
}

interface Loaded {
  readonly common: SecureContextOptions;
  readonly pairs: readonly Pair[];
}

interface Pair {
  readonly file: string;
  readonly cert: string;
  readonly key: string;
  readonly leaf: X509Certificate;
  readonly context: SecureContext;
}

export class TlsIdentity {
  readonly settings: TlsSettings;
  #loaded: Loaded;
  readonly #servers = new Set<Server>();

  /** @fails tls.files-unusable */
  static async load(settings: TlsSettings): Promise<Outcome<TlsIdentity, UnusableTls>> {
    const loaded = await load(settings);
    return loaded.ok ? succeed(new TlsIdentity(settings, loaded.value)) : loaded;
  }

  private constructor(settings: TlsSettings, loaded: Loaded) {
    this.settings = settings;
    this.#loaded = loaded;
  }

  get wildcards(): boolean {
    return this.settings.wildcards;
  }

  get files(): readonly string[] {
    const { identities, caFiles, crlFiles } = this.settings;
    return [...identities.flatMap(({ certFile, keyFile }) => [certFile, keyFile]), ...caFiles, ...crlFiles];
  }

  get expiries(): readonly CertificateExpiry[] {
    return this.#loaded.pairs.map(({ file, leaf }) => ({ file, notAfterUnixMs: Date.parse(leaf.validTo) }));
  }

  /** All files or none: what is in use stays when one of them is no good. @fails tls.files-unusable */
  async reload(nowUnixMs: number): Promise<Outcome<void, UnusableTls>> {
    const loaded = await load(this.settings);
    if (!loaded.ok) return loaded;
    const expired = loaded.value.pairs.find(({ leaf }) => Date.parse(leaf.validTo) <= nowUnixMs);
    if (expired !== undefined)
      return fail({ code: "tls.files-unusable", file: expired.file, reason: `expired on ${expired.leaf.validTo}` });
    this.#loaded = loaded.value;
    for (const server of this.#servers) {
      server.setSecureContext(this.#defaultContext());
      // A ticket would bring back a client whose certificate has been revoked since.
      server.setTicketKeys(randomBytes(48));
    }
    return succeed(undefined);
  }

  /** New connections of this server follow every reload. */
  serves(server: Server): void {
    this.#servers.add(server);
  }

  serverOptions(): TlsOptions {
    const { clientCertificate } = this.settings;
    return {
      ...this.#defaultContext(),
      requestCert: clientCertificate !== "none",
      rejectUnauthorized: clientCertificate === "require",
      SNICallback: (name, done) => done(null, this.#byName(name)),
    };
  }

  /** @param domain the server's certificate must be good for it; an address stands for itself */
  clientOptions(domain: string): ConnectionOptions {
    const [pair] = this.#loaded.pairs;
    const { rejectUnauthorized, minVersion, wildcards } = this.settings;
    return {
      ...(pair === undefined ? {} : { secureContext: pair.context }),
      minVersion,
      rejectUnauthorized,
      ...(isIP(domain) === 0 ? { servername: domain } : {}),
      checkServerIdentity: (_name, certificate) => {
        const subject = certificate.subject?.CN;
        const names = identitiesOf(certificate.subjectaltname, subject === undefined ? undefined : `CN=${subject}`);
        if (proves(names, domain, wildcards)) return undefined;
        return checkServerIdentity(domain, certificate) ?? new Error("not by the rules of RFC 5922");
      },
    };
  }

  #defaultContext(): SecureContextOptions {
    const { common, pairs } = this.#loaded;
    return { ...common, cert: pairs[0]?.cert ?? "", key: pairs[0]?.key ?? "" };
  }

  #byName(name: string): SecureContext | undefined {
    // Whoever asks by a name has a name to check: here a wildcard only chooses, and proves nothing.
    return this.#loaded.pairs.find(({ leaf }) => leaf.checkHost(name) !== undefined)?.context;
  }
}

/**
 * What an accepted connection has proven; undefined: it showed no certificate. "unproven": one that we do not believe.
 */
export function peerIdentities(socket: TLSSocket): readonly string[] | "unproven" | undefined {
  const certificate = socket.getPeerX509Certificate();
  if (certificate === undefined) return undefined;
  if (!socket.authorized) return "unproven";
  return identitiesOf(certificate.subjectAltName, certificate.subject);
}

async function load(settings: TlsSettings): Promise<Outcome<Loaded, UnusableTls>> {
  let file = "";
  const read = (path: string) => {
    file = path;
    return readFile(path, "utf8");
  };
  try {
    const ca: string[] = [];
    for (const path of settings.caFiles) ca.push(certificatesIn(await read(path)));
    const crl: string[] = [];
    for (const path of settings.crlFiles) {
      const text = await read(path);
      if (!text.includes("-----BEGIN X509 CRL-----")) throw new Error("no CRL in PEM");
      createSecureContext({ crl: text });
      crl.push(text);
    }
    const common: SecureContextOptions = {
      minVersion: settings.minVersion,
      ...(ca.length > 0 ? { ca } : {}),
      ...(crl.length > 0 ? { crl } : {}),
    };
    const pairs: Pair[] = [];
    for (const { certFile, keyFile } of settings.identities) {
      const cert = certificatesIn(await read(certFile));
      const leaf = new X509Certificate(cert);
      const key = await read(keyFile);
      if (!leaf.checkPrivateKey(createPrivateKey(key))) throw new Error("is not the key of the certificate");
      file = certFile;
      pairs.push({ file: certFile, cert, key, leaf, context: createSecureContext({ ...common, cert, key }) });
    }
    return succeed({ common, pairs });
  } catch (error) {
    return fail({ code: "tls.files-unusable", file, reason: whyOf(error) });
  }
}

/** @throws when there is none, or one that cannot be read: OpenSSL passes over those in silence */
function certificatesIn(text: string): string {
  const found = text.match(/-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g);
  if (found === null) throw new Error("no certificate in PEM");
  for (const one of found) new X509Certificate(one);
  return text;
}

/** Never the content of a file. */
const whyOf = (error: unknown): string => (error instanceof Error ? error.message : String(error)).slice(0, 200);
