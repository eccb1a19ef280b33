// Certificates for tests: a CA of their own in a folder of its own, made by openssl and gone with it.

import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface Pair {
  readonly certFile: string;
  readonly keyFile: string;
}

export class TestCa {
  readonly folder = mkdtempSync(join(tmpdir(), "sip-tls-"));
  readonly caFile = join(this.folder, "ca.pem");
  readonly crlFile = join(this.folder, "crl.pem");
  readonly #keyFile = join(this.folder, "ca.key");
  #serial = 100;

  constructor(name = "Test CA") {
    this.#key(this.#keyFile);
    const subject = ["-subj", `/CN=${name}`, "-days", "30", "-out", this.caFile];
    const uses = ["-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign"];
    this.#openssl("req", "-x509", "-new", "-key", this.#keyFile, ...subject, ...uses);
    writeFileSync(join(this.folder, "index.txt"), "");
    writeFileSync(join(this.folder, "index.txt.attr"), "unique_subject = no\n");
    writeFileSync(join(this.folder, "crlnumber"), "01\n");
    writeFileSync(
      join(this.folder, "ca.cnf"),
      `[ca]\ndefault_ca = it\n[it]\ndatabase = ${this.folder}/index.txt\ncrlnumber = ${this.folder}/crlnumber\n` +
        "default_md = sha256\ndefault_crl_days = 30\n",
    );
    this.publishCrl();
  }

  /** @param names like "DNS:a.example,URI:sip:a.example,IP:127.0.0.1" */
  issue(
    name: string,
    names: string,
    { days = 30, files = this.pair(name) }: { days?: number; files?: Pair } = {},
  ): Pair {
    this.#key(files.keyFile);
    const request = join(this.folder, `${name}.csr`);
    this.#openssl("req", "-new", "-key", files.keyFile, "-subj", `/CN=${name}`, "-out", request);
    const extensions = join(this.folder, `${name}.ext`);
    writeFileSync(extensions, names === "" ? "keyUsage=digitalSignature" : `subjectAltName=${names}`);
    const signer = ["-CA", this.caFile, "-CAkey", this.#keyFile, "-set_serial", String(++this.#serial)];
    if (days >= 0)
      this.#openssl(
        "x509",
        "-req",
        "-in",
        request,
        "-out",
        files.certFile,
        "-extfile",
        extensions,
        ...signer,
        "-days",
        String(days),
      );
    else this.#expired(request, extensions, files.certFile);
    return files;
  }

  /** `openssl x509` of Debian 12 knows no dates: `openssl ca` does. */
  #expired(request: string, extensions: string, out: string): void {
    const policy = join(this.folder, "expired.cnf");
    const base = readFileSync(join(this.folder, "ca.cnf"), "utf8");
    writeFileSync(
      policy,
      `${base}new_certs_dir = ${this.folder}\npolicy = any\nrand_serial = yes\n[any]\ncommonName = supplied\n`,
    );
    const dates = ["-startdate", "20200101000000Z", "-enddate", "20200201000000Z"];
    const signer = ["-cert", this.caFile, "-keyfile", this.#keyFile, "-extfile", extensions];
    this.#openssl("ca", "-batch", "-notext", "-config", policy, "-in", request, "-out", out, ...signer, ...dates);
  }

  pair(name: string): Pair {
    return { certFile: join(this.folder, `${name}.pem`), keyFile: join(this.folder, `${name}.key`) };
  }

  revoke({ certFile }: Pair): void {
    this.#openssl("ca", "-config", join(this.folder, "ca.cnf"), "-revoke", certFile, ...this.#signer);
    this.publishCrl();
  }

  publishCrl(): void {
    this.#openssl("ca", "-config", join(this.folder, "ca.cnf"), "-gencrl", "-out", this.crlFile, ...this.#signer);
  }

  get pem(): string {
    return readFileSync(this.caFile, "utf8");
  }

  get #signer(): string[] {
    return ["-cert", this.caFile, "-keyfile", this.#keyFile];
  }

  #key(file: string): void {
    this.#openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", file);
  }

  #openssl(...args: readonly string[]): void {
    execFileSync("openssl", args, { stdio: ["ignore", "ignore", "pipe"] });
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

export const readPair = ({ certFile, keyFile }: Pair) => ({
  cert: readFileSync(certFile, "utf8"),
  key: readFileSync(keyFile, "utf8"),
});
