// What applications are told besides SIP, and how far they are trusted: call records, TLS, the secret, frames without end.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { connect as connectTls } from "node:tls";
import Srf from "drachtio-srf";
import { Applications, FailedAttempts } from "../app/applications/applications.ts";
import type { ApplicationLink } from "../boundary/application-link.ts";
import { FrameReader, frame } from "../core/drachtio/frame.ts";
import {
  type Application,
  event,
  offered,
  openStage,
  type Req,
  type Res,
  SECRET,
  type Stage,
  scenario,
  until,
} from "./application.ts";
import { aRequest, aResponse, SDP } from "./peer.ts";

const folder = mkdtempSync(join(tmpdir(), "admin-tls-"));
const certFile = join(folder, "cert.pem");
const keyFile = join(folder, "key.pem");
before(issue);
function issue(): void {
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", keyFile];
  const subject = ["-subj", "/CN=server", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"];
  execFileSync("openssl", ["req", "-x509", ...key, ...subject, "-out", certFile], { stdio: "ignore" });
}
after(() => rmSync(folder, { recursive: true, force: true }));

interface CallRecord {
  readonly kind: string;
  readonly source: string;
  readonly what: string;
  readonly line: string;
}

/** An application that asked for all records. */
async function recorded(stage: Stage) {
  const srf = await stage.application();
  const records: CallRecord[] = [];
  const startLine = (msg: { method?: string; status?: number }) => msg.method ?? String(msg.status);
  type Message = { method?: string; status?: number };
  const on = srf as unknown as { on(name: string, heard: (...args: unknown[]) => void): void };
  on.on("cdr:attempt", (source, _time, msg) =>
    records.push({ kind: "attempt", source: String(source), what: "", line: startLine(msg as Message) }),
  );
  for (const kind of ["start", "stop"])
    on.on(`cdr:${kind}`, (source, _time, what, msg) =>
      records.push({ kind, source: String(source), what: String(what), line: startLine(msg as Message) }),
    );
  const shown = () =>
    records.map(({ kind, source, what, line }) => [kind, source, what, line].filter(Boolean).join(" "));
  return { srf, shown };
}

const CDRS = { cdrs: true };

scenario(
  "records of an answered call: attempt, start, stop, in that order",
  async (stage) => {
    const { srf, shown } = await recorded(stage);
    const invited = offered(srf, "invite");
    const alice = await stage.udpPeer();
    const call = alice.call(`sip:here@127.0.0.1:${stage.udpPort}`);
    call.invite();
    const { req, res } = await invited;
    const dialog = await srf.createUAS(req, res, { localSdp: SDP });
    await call.answered();
    call.ack();
    await event(dialog, "ack");
    call.request("BYE");
    await alice.next(aResponse(200, "BYE"));
    await until(() => shown().length === 3, "three records");
    assert.deepEqual(shown(), [
      "attempt network INVITE",
      "start application uas 200",
      "stop network normal-release BYE",
    ]);
  },
  CDRS,
);

scenario(
  "records of a refused call and of a cancelled one",
  async (stage) => {
    const { srf, shown } = await recorded(stage);
    const alice = await stage.udpPeer();
    const waiting: (() => void)[] = [];
    srf.invite((req: Req, res: Res) => {
      if (req.uri.includes("busy")) res.send(486);
      else waiting.push(() => {});
    });
    const busy = alice.call(`sip:busy@127.0.0.1:${stage.udpPort}`);
    busy.invite();
    busy.ackFailure(await alice.next(aResponse(486)));
    const call = alice.call(`sip:ring@127.0.0.1:${stage.udpPort}`);
    call.invite();
    await until(() => waiting.length === 1, "offered");
    call.cancel();
    call.ackFailure(await alice.next(aResponse(487)));
    await until(() => shown().length === 4, "four records");
    assert.deepEqual(shown(), [
      "attempt network INVITE",
      "stop application call-rejected 486",
      "attempt network INVITE",
      "stop network call-canceled CANCEL",
    ]);
  },
  CDRS,
);

scenario(
  "records of a call of the application, ended by it",
  async (stage) => {
    const { srf, shown } = await recorded(stage);
    const bob = await stage.udpPeer();
    const calling = srf.createUAC(`sip:bob@127.0.0.1:${bob.port}`, { localSdp: SDP });
    bob.respond(await bob.next(aRequest("INVITE")), 200, "OK", { body: SDP });
    const dialog = await calling;
    const ended = dialog.destroy();
    bob.respond(await bob.next(aRequest("BYE")), 200, "OK");
    await ended;
    await until(() => shown().length === 3, "three records");
    assert.deepEqual(shown(), [
      "attempt application INVITE",
      "start network uac 200",
      "stop application normal-release BYE",
    ]);
  },
  CDRS,
);

scenario(
  "an ACK that never comes has its record, and an ACK-BYE its own name",
  async (stage) => {
    const { srf, shown } = await recorded(stage);
    const invited = offered(srf, "invite");
    const alice = await stage.udpPeer();
    const call = alice.call(`sip:here@127.0.0.1:${stage.udpPort}`);
    call.invite();
    const { req, res } = await invited;
    await srf.createUAS(req, res, { localSdp: SDP });
    await call.answered();
    alice.respond(await alice.next(aRequest("BYE")), 200, "OK");
    await until(() => shown().length === 3, "three records");
    assert.equal(shown()[2], "stop application system-initiated-termination BYE");
  },
  { ...CDRS, t1Ms: 20 },
);

scenario(
  "records of a proxied call: both legs",
  async (stage) => {
    const { srf, shown } = await recorded(stage);
    const bob = await stage.udpPeer();
    const invited = offered(srf, "invite");
    const alice = await stage.udpPeer();
    const call = alice.call(`sip:here@127.0.0.1:${stage.udpPort}`);
    call.invite();
    const { req } = await invited;
    const results = srf.proxyRequest(req, `sip:bob@127.0.0.1:${bob.port}`);
    bob.respond(await bob.next(aRequest("INVITE")), 200, "OK");
    await call.answered();
    await results;
    await until(() => shown().length === 4, "four records");
    assert.deepEqual(shown().sort(), [
      "attempt application INVITE",
      "attempt network INVITE",
      "start application proxy-uas 200",
      "start network proxy-uac 200",
    ]);
  },
  CDRS,
);

scenario("without cdrs in the configuration nobody gets records", async (stage) => {
  const { srf, shown } = await recorded(stage);
  srf.invite((_req, res) => res.send(486));
  const alice = await stage.udpPeer();
  const call = alice.call(`sip:here@127.0.0.1:${stage.udpPort}`);
  call.invite();
  call.ackFailure(await alice.next(aResponse(486)));
  assert.deepEqual(shown(), []);
});

async function withTls(more: Record<string, unknown>, story: (stage: Stage, port: number) => Promise<void>) {
  const tls = { host: "127.0.0.1", port: 0, certFile, keyFile, ...more };
  const stage = await openStage({ admin: { host: "127.0.0.1", port: 0, secret: SECRET, tls } });
  try {
    await story(stage, stage.server.adminTlsPort ?? 0);
  } finally {
    await stage.close();
  }
}

test("drachtio-srf over TLS: the same frames", () =>
  withTls({}, async (stage, port) => {
    const srf = new Srf() as unknown as Application;
    srf.on("error", () => {});
    const tls = { ca: readFileSync(certFile, "utf8") };
    const socketOf = new Promise<void>((resolve, reject) => {
      srf.on("connect", (error: unknown) => (error ? reject(error) : resolve()));
      // drachtio-srf says hello on "connect", which a TLS socket says before its handshake: what is written waits.
      srf.connect({ host: "127.0.0.1", port, secret: SECRET, tls } as never);
    });
    await socketOf;
    const alice = await stage.udpPeer();
    srf.options((_req, res) => res.send(200));
    await until(() => stage.server.endpoint.facts.applications === 1, "connected");
    const id = alice.call(`sip:here@127.0.0.1:${stage.udpPort}`);
    await new Promise((resolve) => setImmediate(resolve));
    id.request("OPTIONS");
    await alice.next(aResponse(200, "OPTIONS"));
    srf.disconnect();
  }));

test("TLS below 1.2 is refused, and so is an application without the certificate that is asked for", () =>
  withTls({ caFile: certFile, clientCertificates: "required" }, async (stage, port) => {
    const handshake = (options: Record<string, unknown>) =>
      new Promise<string>((resolve) => {
        const socket = connectTls({ host: "127.0.0.1", port, ca: readFileSync(certFile, "utf8"), ...options });
        const id = "1";
        let said = "";
        socket.on("secureConnect", () => socket.write(frame(`${id}|authenticate|${SECRET}|`)));
        socket.on("data", (bytes) => {
          said = bytes.toString("latin1");
          socket.end();
        });
        socket.on("error", () => {});
        socket.on("close", () => resolve(said));
      });
    assert.equal(await handshake({ maxVersion: "TLSv1.1", minVersion: "TLSv1.1" }), "");
    assert.equal(await handshake({}), "");
    const own = { cert: readFileSync(certFile, "utf8"), key: readFileSync(keyFile, "utf8") };
    assert.match(await handshake(own), /\|response\|1\|OK\|/);
    assert.equal(stage.server.endpoint.facts.dialogs, 0);
  }));

test("a new certificate for applications is taken up without a restart; a connection that stands is not touched", () =>
  withTls({}, async (stage, port) => {
    const serialOf = () =>
      new Promise<string>((resolve) => {
        const socket = connectTls({ host: "127.0.0.1", port, rejectUnauthorized: false }, () => {
          resolve(socket.getPeerX509Certificate()?.serialNumber ?? "");
          socket.destroy();
        });
      });
    const standing = connectTls({ host: "127.0.0.1", port, rejectUnauthorized: false });
    await new Promise((resolve) => standing.once("secureConnect", resolve));
    const first = await serialOf();
    issue();
    assert.deepEqual(await stage.server.reloadCertificates("request"), [{ listener: "admin", outcome: "reloaded" }]);
    assert.notEqual(await serialOf(), first);
    standing.write(frame(`1|authenticate|${SECRET}|`));
    const said = await new Promise<Buffer>((resolve) => standing.once("data", resolve));
    assert.match(said.toString("latin1"), /\|OK\|/);
    standing.destroy();
  }));

/** Writes, and gathers the payloads that come back until the connection ends or `count` have come. */
async function spoken(stage: Stage, bytes: string, count = Number.POSITIVE_INFINITY): Promise<string[]> {
  const socket = connect(stage.server.adminPort, "127.0.0.1");
  const reader = new FrameReader(1_048_576);
  const payloads: string[] = [];
  await new Promise<void>((resolve) => {
    socket.on("error", () => {});
    socket.on("close", () => resolve());
    socket.on("data", (chunk) => {
      const taken = reader.take(chunk.toString("latin1"));
      if (taken.ok) payloads.push(...taken.value);
      if (payloads.length >= count) socket.destroy();
    });
    socket.write(bytes, "latin1");
  });
  return payloads;
}

scenario("a secret that is guessed at: after ten wrong ones that address is not heard for a while", async (stage) => {
  for (let guess = 0; guess < 10; guess++)
    assert.match(
      (await spoken(stage, frame(`${guess}|authenticate|guess${guess}|`)))[0] ?? "",
      /NO\|incorrect secret$/,
    );
  assert.deepEqual(await spoken(stage, frame(`x|authenticate|${SECRET}|`)), []);
  assert.equal(stage.server.endpoint.counters.get("dropped", 'reason="application-barred"'), 1);
});

test("failed attempts are forgotten after their time, and the oldest address when there are too many", () => {
  const attempts = new FailedAttempts({ failuresMax: 2, forgetMs: 1_000, addressesMax: 2 });
  attempts.note("a", 0);
  assert.equal(attempts.isBarred("a", 1), false);
  attempts.note("a", 10);
  assert.equal(attempts.isBarred("a", 999), true);
  assert.equal(attempts.isBarred("a", 1_000), false);
  for (const address of ["b", "b", "c", "c", "d", "d"]) attempts.note(address, 2_000);
  assert.deepEqual(
    ["b", "c", "d"].map((address) => attempts.isBarred(address, 2_001)),
    [false, true, true],
  );
});

scenario(
  "a frame beyond the bound is answered by an error, after those before it; then the connection ends",
  async (stage) => {
    const hello = frame(`1|authenticate|${SECRET}|`);
    const said = await spoken(stage, `${hello}${frame("2|ping")}${"9".repeat(7)}#3|sip||\r\nINVITE`);
    assert.equal(said.length, 3);
    assert.match(said[1] ?? "", /\|response\|2\|OK\|pong$/);
    assert.match(said[2] ?? "", /\|response\|3\|NO\|frame larger than 1048576 bytes$/);
    const nonsense = await spoken(stage, `${hello}what?#`);
    assert.match(nonsense[1] ?? "", /\|response\|\|NO\|Invalid message length$/);
  },
);

scenario("verbs are looked at: what is no method and no record cannot be routed", async (stage) => {
  const hello = frame(`1|authenticate|${SECRET}|`);
  const said = await spoken(
    stage,
    `${hello}${frame("2|route|dance")}${frame("3|route|INVITE")}${frame("4|route|cdr:stop")}`,
    4,
  );
  assert.match(said[1] ?? "", /\|2\|NOK\|unsupported verb: dance$/);
  assert.match(said[2] ?? "", /\|3\|OK$/);
  assert.match(said[3] ?? "", /\|4\|OK$/);
});

scenario("UTF-8 cut anywhere comes out whole", async (stage) => {
  const bob = await stage.udpPeer();
  const body = "grüße 🙂";
  const bytes = Buffer.from(
    `2|sip||\r\nMESSAGE sip:b@127.0.0.1:${bob.port} SIP/2.0\r\nContent-Type: text/plain\r\n\r\n${body}`,
    "utf8",
  ).toString("latin1");
  const socket = connect(stage.server.adminPort, "127.0.0.1");
  socket.on("error", () => {});
  const stream = frame(`1|authenticate|${SECRET}|`) + frame(bytes);
  for (const byte of stream) {
    socket.write(byte, "latin1");
    if (byte.charCodeAt(0) > 127) await new Promise((resolve) => setImmediate(resolve));
  }
  const message = await bob.next(aRequest("MESSAGE"));
  assert.equal(Buffer.from(message.body, "latin1").toString("utf8"), body);
  socket.destroy();
});

test("turns: fair among those who asked, whoever comes and goes; one that does not keep up gets no new work", () => {
  const applications = new Applications();
  const linkOf = (id: string) => ({ id, address: "", open: true, busy: false, send: () => {}, close: () => {} });
  const [a, b, c] = [linkOf("a"), linkOf("b"), linkOf("c")];
  for (const link of [a, b, c]) {
    applications.open(link);
    applications.authenticate(link, ["all"]);
    applications.route(link, "invite");
  }
  const ids = (count: number, pick: () => ApplicationLink | undefined) =>
    Array.from({ length: count }, () => pick()?.id).join("");
  const pick = () => applications.pick("invite");
  assert.equal(ids(4, pick), "abca");
  applications.unroute(a, "invite");
  assert.equal(ids(3, pick), "bcb");
  applications.route(a, "invite");
  c.busy = true;
  assert.equal(ids(4, pick), "abab");
  for (const link of [a, b]) link.busy = true;
  assert.equal(applications.pick("invite")?.open, true); // better late than 503
  b.open = false;
  a.open = false;
  assert.equal(applications.pick("invite")?.id, "c");
  assert.equal(
    ids(2, () => applications.pickTagged("all")),
    "cc",
  );
  applications.close(c);
  assert.equal(applications.pick("invite"), undefined);
  assert.equal(applications.pickTagged("none"), undefined);
});
