// A region for tests: the three services that a POP host talks to, over real TLS, saying what it is told to say.

import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ServerCredentials } from "@grpc/grpc-js";
import { createServer, type Server, ServerError, Status } from "nice-grpc";
import { EventIntakeServiceDefinition, type PublishRequest } from "../../../proto/gen/call_events/v1/call_events.ts";
import * as link from "../../../proto/gen/pop_link/v1/pop_link.ts";
import * as queue from "../../../proto/gen/queue/v1/queue.ts";
import { Outgoing } from "./outgoing.ts";

export const OPENSSL_MISSING = spawnSync("openssl", ["version"]).error !== undefined && "openssl is missing";

export class FakeRegion {
  readonly #certDir: string;
  readonly linkReports: NonNullable<link.ConnectRequest["report"]>[] = [];
  readonly routingReports: NonNullable<queue.ConnectRequest["report"]>[] = [];
  readonly published: PublishRequest[] = [];
  /** Set to answer the next requests of the event intake with this status. */
  intakeStatus: Status = Status.OK;
  /** Takes requests of the event intake and never answers. */
  intakeStalls = false;
  /** Addresses that POPs have called from, one per connection. */
  readonly peers = new Set<string>();
  presenceIntervalMs = 250;
  /** Takes streams and says nothing. */
  mute = false;
  #server: Server | undefined;
  #link: Outgoing<link.ConnectResponse> | undefined;
  #routing: Outgoing<queue.ConnectResponse> | undefined;
  #port = 0;
  #heard: (() => void)[] = [];

  /** @param certDir as made by `makeCertificates` */
  constructor(certDir: string) {
    this.#certDir = certDir;
  }

  get port(): number {
    return this.#port;
  }

  /** Listens where it listened before, if it did. */
  async start(): Promise<void> {
    const file = (name: string) => readFileSync(join(this.#certDir, name));
    const credentials = ServerCredentials.createSsl(
      file("ca.pem"),
      [{ private_key: file("key.pem"), cert_chain: file("cert.pem") }],
      true,
    );
    const server = createServer();
    server.add(link.PopLinkServiceDefinition, { connect: (up, { peer }) => this.#linked(up, peer) });
    server.add(queue.ContactRoutingServiceDefinition, { connect: (up, { peer }) => this.#routed(up, peer) });
    server.add(EventIntakeServiceDefinition, {
      publish: async (request: PublishRequest, { peer, signal }) => {
        this.peers.add(peer);
        if (this.intakeStalls) await new Promise((resolve) => signal.addEventListener("abort", resolve));
        if (this.intakeStatus !== Status.OK) throw new ServerError(this.intakeStatus, "as the test asked");
        this.published.push(request);
        this.#tell();
        return { stored: request.events.length, repeatedCount: 0 };
      },
    });
    this.#port = await server.listen(`127.0.0.1:${this.#port}`, credentials);
    this.#server = server;
  }

  /** As if killed: streams break off, nobody listens any more. */
  kill(): void {
    this.#server?.forceShutdown();
    this.#server = undefined;
    this.#link?.end();
    this.#routing?.end();
  }

  direct(directive: NonNullable<link.ConnectResponse["directive"]>): void {
    this.#link?.put({ directive });
  }

  directRouting(directive: NonNullable<queue.ConnectResponse["directive"]>): void {
    this.#routing?.put({ directive });
  }

  /** The first in `list` that fits, taken out of it; waits for it. */
  async heard<Report>(list: Report[], fits: (report: Report) => boolean, withinMs = 10_000): Promise<Report> {
    const deadlineMs = performance.now() + withinMs;
    for (;;) {
      const at = list.findIndex(fits);
      const [found] = at < 0 ? [] : list.splice(at, 1);
      if (found !== undefined) return found;
      const leftMs = deadlineMs - performance.now();
      if (leftMs <= 0) throw new Error(`not heard within ${withinMs} ms; heard ${JSON.stringify(list)}`);
      await this.#next(leftMs);
    }
  }

  #next(withinMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, withinMs);
      this.#heard.push(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  }

  #tell(): void {
    const waiting = this.#heard;
    this.#heard = [];
    for (const wake of waiting) wake();
  }

  async *#linked(up: AsyncIterable<link.ConnectRequest>, peer: string): AsyncGenerator<link.ConnectResponse> {
    this.peers.add(peer);
    const down = new Outgoing<link.ConnectResponse>(100);
    this.#link = down;
    void this.#listen(up, down, ({ report }) => {
      if (report === undefined) return;
      this.linkReports.push(report);
      if (report.$case !== "hello" || this.mute) return;
      const { presenceIntervalMs } = this;
      down.put({ directive: { $case: "welcome", value: { regionId: "eu", presenceIntervalMs } } });
    });
    yield* down;
  }

  async *#routed(up: AsyncIterable<queue.ConnectRequest>, peer: string): AsyncGenerator<queue.ConnectResponse> {
    this.peers.add(peer);
    const down = new Outgoing<queue.ConnectResponse>(100);
    this.#routing = down;
    void this.#listen(up, down, ({ report }) => {
      if (report === undefined) return;
      this.routingReports.push(report);
      if (report.$case !== "hello" || this.mute) return;
      down.put({ directive: { $case: "welcome", value: { regionId: "eu" } } });
    });
    yield* down;
  }

  async #listen<Up>(up: AsyncIterable<Up>, down: { end(): void }, hear: (up: Up) => void): Promise<void> {
    try {
      for await (const report of up) {
        hear(report);
        this.#tell();
      }
    } catch {
      // the POP broke off
    } finally {
      down.end();
    }
  }
}

/** A CA, and for both ends a key and a certificate good for `address`, in `dir`/region and `dir`/pop. */
export function makeCertificates(dir: string, address = "127.0.0.1"): void {
  mkdirSync(dir, { recursive: true });
  const openssl = (...args: string[]) => execFileSync("openssl", args, { cwd: dir, stdio: "pipe" });
  const newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  openssl("req", "-x509", ...newKey, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=test ca");
  writeFileSync(join(dir, "san.cnf"), `subjectAltName=IP:${address}\n`);
  for (const name of ["region", "pop"]) {
    mkdirSync(join(dir, name), { recursive: true });
    openssl("req", ...newKey, "-keyout", `${name}/key.pem`, "-out", `${name}.csr`, "-subj", `/CN=${name}`);
    const sign = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "san.cnf"];
    openssl("x509", "-req", "-in", `${name}.csr`, "-out", `${name}/cert.pem`, ...sign);
    writeFileSync(join(dir, name, "ca.pem"), readFileSync(join(dir, "ca.pem")));
    rmSync(join(dir, `${name}.csr`));
  }
}
