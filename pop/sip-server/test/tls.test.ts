// TLS on real sockets: who gets in, who is believed, which certificate is shown, and changes of files under traffic.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { connect } from "node:tls";
import { identitiesOf, proves } from "../core/certificate-names.ts";
import { headerValue } from "../core/message/message.ts";
import { event, openStage, type Req, type Res, type Stage, until } from "./application.ts";
import { readPair, TestCa } from "./certificates.ts";
import { aRequest, aResponse, SDP } from "./peer.ts";
import { TlsPeer } from "./secure-peer.ts";

let ca: TestCa;
let otherCa: TestCa;
before(() => {
  ca = new TestCa();
  otherCa = new TestCa("Another CA");
  ca.issue("server", "DNS:sip.example,URI:sip:example,IP:127.0.0.1");
  ca.issue("second", "DNS:second.example");
  ca.issue("client", "DNS:sbc.carrier.example,URI:sip:carrier.example,IP:127.0.0.1");
});
after(() => {
  ca.remove();
  otherCa.remove();
});

/** Of a call in the reload test: a busy machine must not look like a lost call. */
const CALL_WITHIN_MS = 20_000;
const local = { host: "127.0.0.1", port: 0 };
const tlsOf = (more: Record<string, unknown> = {}) => ({
  identities: [ca.pair("server"), ca.pair("second")],
  caFiles: [ca.caFile],
  ...more,
});
const portOf = (stage: Stage) => stage.server.points.find(({ transport }) => transport === "tls")?.port ?? 0;

function scenario(
  name: string,
  run: (stage: Stage, port: number) => Promise<void>,
  tls: () => Record<string, unknown> = () => ({}),
  settings: Record<string, unknown> = {},
) {
  test(name, async () => {
    const listen = [
      { transport: "udp", ...local },
      { transport: "tls", name: "carriers", ...local, tls: tlsOf(tls()) },
    ];
    const stage = await openStage({ listen, ...settings });
    try {
      await run(stage, portOf(stage));
    } finally {
      await stage.close();
    }
  });
}

const faults = (stage: Stage, fault: string) =>
  stage.server.endpoint.counters.get("connection_faults", `listener="carriers",transport="tls",fault="${fault}"`);

/** Handshake, then a word: over TLS 1.3 a client is refused only after it believes to be in. */
async function isHeard(peer: TlsPeer, port: number): Promise<boolean> {
  const closed = new Promise<false>((resolve) => peer.socket?.once("close", () => resolve(false)));
  const call = peer.call(`sip:here@127.0.0.1:${port};transport=tls`);
  peer.sendText(`${call.lines("OPTIONS", peer.branch()).join("\r\n")}\r\nContent-Length: 0\r\n\r\n`);
  return Promise.race([closed, peer.next(aResponse(503, "OPTIONS")).then(() => true)]);
}

scenario("a call over TLS: answered over the connection it came by, sips in, sips out", async (stage, port) => {
  const srf = await stage.application();
  let take: (one: { req: Req; res: Res }) => void = () => {};
  srf.invite((req, res) => take({ req, res }));
  for (const scheme of ["sip", "sips"]) {
    const invited = new Promise<{ req: Req; res: Res }>((resolve) => {
      take = resolve;
    });
    const alice = await TlsPeer.connect(port, { ca: ca.pem, servername: "sip.example" });
    const call = alice.call(`${scheme}:answer@127.0.0.1:${port}`);
    call.invite();
    const { req, res } = await invited;
    const dialog = await srf.createUAS(req, res, { localSdp: SDP });
    const answer = await call.answered();
    const expected = scheme === "sip" ? `sip:127.0.0.1:${port};transport=tls` : `sips:127.0.0.1:${port}`;
    assert.equal(headerValue(answer, "contact"), `<${expected}>`);
    call.ack();
    await event(dialog, "ack");
    const ended = dialog.destroy();
    const bye = await alice.next(aRequest("BYE"));
    assert.match(headerValue(bye, "via") ?? "", /^SIP\/2\.0\/TLS .*;alias/);
    alice.respond(bye, 200, "OK");
    await ended;
    alice.close();
  }
});

scenario("the name a client asks for chooses the certificate", async (_stage, port) => {
  const shown = async (servername: string) => {
    const socket = connect({ host: "127.0.0.1", port, ca: ca.pem, servername, checkServerIdentity: () => undefined });
    await once(socket, "secureConnect");
    const names = socket.getPeerX509Certificate()?.subjectAltName;
    socket.destroy();
    return names;
  };
  assert.equal(await shown("second.example"), "DNS:second.example");
  assert.match((await shown("sip.example")) ?? "", /sip\.example/);
  assert.match((await shown("who.example")) ?? "", /sip\.example/);
});

scenario(
  "a listener for TLS 1.3 alone refuses 1.2",
  async (stage, port) => {
    const old = connect({ host: "127.0.0.1", port, ca: ca.pem, servername: "sip.example", maxVersion: "TLSv1.2" });
    await assert.rejects(once(old, "secureConnect"));
    await until(() => faults(stage, "tls-handshake") === 1, "counted");
  },
  () => ({ minVersion: "TLSv1.3" }),
);

scenario(
  "mutual TLS: none, a stranger's, an expired and a revoked certificate stay outside; a good one says who it is",
  async (stage, port) => {
    const client = ca.pair("client");
    const heard = async (pair?: { certFile: string; keyFile: string }) => {
      const options = pair === undefined ? {} : readPair(pair);
      const peer = await TlsPeer.connect(port, { ca: ca.pem, servername: "sip.example", ...options }).catch(
        () => undefined,
      );
      if (peer === undefined) return false;
      const outcome = await isHeard(peer, port);
      peer.close();
      return outcome;
    };
    const expired = ca.issue("expired", "DNS:late.example", { days: -1 });
    const revoked = ca.issue("revoked", "DNS:gone.example");
    ca.revoke(revoked);
    const stranger = otherCa.issue("stranger", "DNS:sbc.carrier.example");
    assert.deepEqual(await stage.server.reloadCertificates("signal"), [{ listener: "carriers", outcome: "reloaded" }]);
    assert.equal(await heard(), false);
    assert.equal(await heard(stranger), false);
    assert.equal(await heard(expired), false);
    assert.equal(await heard(revoked), false);
    assert.equal(await heard(client), true);
    await until(() => faults(stage, "tls-handshake") === 4, "four refused");
  },
  () => ({ clientCertificate: "require", crlFiles: [ca.crlFile] }),
);

scenario(
  "a certificate that is asked for may be missing, but not bad",
  async (_stage, port) => {
    const plain = await TlsPeer.connect(port, { ca: ca.pem, servername: "sip.example" });
    assert.equal(await isHeard(plain, port), true);
    plain.close();
    const bad = await TlsPeer.connect(port, {
      ca: ca.pem,
      servername: "sip.example",
      ...readPair(otherCa.issue("bad", "DNS:sbc.carrier.example")),
    });
    assert.equal(await isHeard(bad, port), false);
  },
  () => ({ clientCertificate: "request" }),
);

scenario(
  "a server we call must be who it is called: SIP domain, DNS name or address; else 503 at once",
  async (stage) => {
    const srf = await stage.application();
    const attempt = async (names: string, signer: TestCa) => {
      const bob = await TlsPeer.listen(readPair(signer.issue("bob", names)));
      const uri = `sip:bob@127.0.0.1:${bob.port};transport=tls`;
      const outcome = srf.createUAC(uri, { localSdp: SDP }).then(
        () => "answered",
        (error: { status: number }) => String(error.status),
      );
      const invite = bob.next(aRequest("INVITE")).then(
        (request) => bob.respond(request, 486, "Busy Here"),
        () => {},
      );
      const result = await outcome;
      bob.close();
      void invite;
      return result;
    };
    assert.equal(await attempt("IP:127.0.0.1", ca), "486");
    assert.equal(await attempt("DNS:other.example", ca), "503");
    assert.equal(await attempt("IP:127.0.0.1", otherCa), "503");
    assert.equal(faults(stage, "tls-handshake"), 2);
  },
);

scenario(
  "an alias brings our requests back over the peer's own connection, for the names it has proven and no others",
  async (stage, port) => {
    const srf = await stage.application();
    srf.options((_req, res) => res.send(200));
    const carrier = await TlsPeer.connect(port, {
      ca: ca.pem,
      servername: "sip.example",
      ...readPair(ca.pair("client")),
    });
    const alias = 45_061; // nobody listens there
    const options = (peer: TlsPeer) => {
      const lines = peer.call(`sip:127.0.0.1:${port}`).lines("OPTIONS", peer.branch());
      const via = lines[1]?.replace(/:\d+;/, `:${alias};alias;`) ?? "";
      peer.sendText(`${[lines[0], via, ...lines.slice(2)].join("\r\n")}\r\nContent-Length: 0\r\n\r\n`);
      return peer.next(aResponse(200, "OPTIONS"));
    };
    await options(carrier);
    // Somebody else at the same address, with a good certificate of its own, asks for the same port: it stays the carrier's.
    const other = await TlsPeer.connect(port, {
      ca: ca.pem,
      servername: "sip.example",
      ...readPair(ca.issue("other", "DNS:other.example")),
    });
    await options(other);
    const called = srf.createUAC(`sip:carrier@127.0.0.1:${alias};transport=tls`, { localSdp: SDP });
    const invite = await carrier.next(aRequest("INVITE"));
    carrier.respond(invite, 486, "Busy Here");
    await assert.rejects(called, { status: 486 });
    assert.equal(
      other.count(({ kind }) => kind === "request"),
      0,
    );
    carrier.close();
    // Gone in the middle of a request, too: the caller hears of it at once, not after 32 s.
    await assert.rejects(srf.createUAC(`sip:carrier@127.0.0.1:${alias};transport=tls`, { localSdp: SDP }), {
      status: 503,
    });
    other.close();
  },
  () => ({ clientCertificate: "request" }),
);

scenario(
  "certificates change under calls: none fails, connections stay, new ones see the new certificate",
  async (stage, port) => {
    const srf = await stage.application();
    srf.invite((req, res) => void srf.createUAS(req, res, { localSdp: SDP }).catch(() => {}));
    const peers = await Promise.all(
      Array.from({ length: 10 }, () => TlsPeer.connect(port, { ca: ca.pem, servername: "sip.example" })),
    );
    const before = peers[0]?.socket?.getPeerX509Certificate()?.serialNumber;
    const failures: unknown[] = [];
    const oneCall = async (at: number) => {
      // Every tenth call comes over a connection of its own, made in the middle of it all.
      const fresh = at % 10 === 0;
      const connected = { ca: ca.pem, servername: "sip.example" };
      const peer = fresh ? await TlsPeer.connect(port, connected) : peers[at % peers.length];
      const call = peer?.call(`sip:answer@127.0.0.1:${port}`);
      if (peer === undefined || call === undefined) throw new Error("no peer");
      call.invite();
      call.learn(
        await peer.next(
          (m): m is never => m.callId === call.facts.callId && m.kind === "response" && m.status === 200,
          CALL_WITHIN_MS,
        ),
      );
      call.ack();
      call.request("BYE");
      await peer.next(
        (m): m is never => m.callId === call.facts.callId && m.cseq.method === "BYE" && m.kind === "response",
        CALL_WITHIN_MS,
      );
      if (fresh) peer.close();
    };
    const calls: Promise<void>[] = [];
    // 50 a second for three seconds; the files change four times meanwhile, once for the worse.
    for (let at = 0; at < 150; at++) {
      calls.push(oneCall(at).catch((error: unknown) => void failures.push(error)));
      if (at % 30 === 15) {
        if (at === 75) writeFileSync(ca.pair("server").certFile, "not a certificate");
        else ca.issue("server", "DNS:sip.example,URI:sip:example,IP:127.0.0.1");
        const [outcome] = await stage.server.reloadCertificates("signal");
        assert.equal(outcome?.outcome, at === 75 ? "kept" : "reloaded");
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    await Promise.all(calls);
    assert.deepEqual(failures, []);
    assert.ok(peers.every(({ socket }) => socket?.destroyed === false));
    const late = await TlsPeer.connect(port, { ca: ca.pem, servername: "sip.example" });
    assert.notEqual(late.socket?.getPeerX509Certificate()?.serialNumber, before);
    for (const peer of [late, ...peers]) peer.close();
    const metrics = await (await fetch(`http://127.0.0.1:${stage.server.httpPort}/metrics`)).text();
    assert.match(metrics, /sip_tls_reloads_total\{result="kept"\} 1/);
    assert.match(metrics, /sip_certificate_expiry_seconds\{listener="carriers",file="[^"]*server\.pem"\} 2[45]\d{5}/);
    assert.match(metrics, /sip_connections\{listener="carriers",transport="tls"/);
  },
  () => ({}),
  { certificatePollMs: 0 }, // what changes when is this test's to say
);

scenario(
  "a changed file is noticed, by name or by content; the admin call says which file is no good",
  async (stage, port) => {
    const serial = async () => {
      const peer = await TlsPeer.connect(port, { ca: ca.pem, servername: "sip.example" });
      const number = peer.socket?.getPeerX509Certificate()?.serialNumber;
      peer.close();
      return number;
    };
    const { counters } = stage.server.endpoint;
    const first = await serial();
    // As certbot and its like do it: written beside, renamed over.
    const next = ca.issue("next", "DNS:sip.example");
    const { certFile, keyFile } = ca.pair("server");
    renameSync(next.keyFile, keyFile);
    renameSync(next.certFile, certFile);
    await until(() => counters.get("tls_reloads", 'result="reloaded"') > 0, "reloaded");
    assert.notEqual(await serial(), first);

    const reload = () => fetch(`http://127.0.0.1:${stage.server.httpPort}/certificates/reload`, { method: "POST" });
    copyFileSync(ca.caFile, certFile); // a certificate, but not the key's
    const refused = await reload();
    assert.equal(refused.status, 422);
    const { listeners } = (await refused.json()) as { listeners: { file: string; reason: string }[] };
    assert.equal(listeners[0]?.file, keyFile);
    assert.match(listeners[0]?.reason ?? "", /not the key/);
    ca.issue("server", "DNS:sip.example,URI:sip:example,IP:127.0.0.1");
    assert.equal((await reload()).status, 200);
  },
  () => ({}),
  { certificatePollMs: 100 },
);

test("a file that is no good at the start says which one and why", async () => {
  const tls = tlsOf({ identities: [{ ...ca.pair("server"), keyFile: ca.pair("client").keyFile }] });
  await assert.rejects(openStage({ listen: [{ transport: "tls", ...local, tls }] }), /client\.key: is not the key/);
});

test("a certificate's names: SIP domains, DNS names and addresses; a common name only alone; no trick with quotes", () => {
  const names = identitiesOf;
  assert.deepEqual(names("DNS:A.example, URI:sip:B.example, IP Address:192.0.2.1", "CN=c"), [
    "dns:a.example",
    "sip:b.example",
    "ip:192.0.2.1",
  ]);
  assert.deepEqual(
    names("URI:sip:alice@b.example, URI:sips:b.example, URI:https://b.example, email:a@b.example", "CN=c"),
    [],
  );
  assert.deepEqual(names('DNS:"evil.example, DNS:bank.example", DNS:evil.example', undefined), ["dns:evil.example"]);
  assert.deepEqual(names(undefined, "C=DE\nCN=Carrier.example"), ["cn:carrier.example"]);
  assert.deepEqual(names("", undefined), []);
});

test("SIGHUP to the process reads the certificates again", async () => {
  const configFile = join(ca.folder, "sip-server.json");
  const listen = [{ transport: "tls", name: "carriers", ...local, tls: tlsOf() }];
  writeFileSync(configFile, JSON.stringify({ listen, admin: { ...local, secret: "s" }, http: local }));
  const main = join(import.meta.dirname, "..", "main.ts");
  const child = spawn(process.execPath, [main, "--config", configFile], { stdio: ["ignore", "pipe", "inherit"] });
  const said = createInterface({ input: child.stdout });
  try {
    for await (const line of said) {
      const { event: name } = JSON.parse(line);
      if (name === "process.started") child.kill("SIGHUP");
      if (name === "tls.reloaded") break;
    }
    assert.equal(child.exitCode, null);
  } finally {
    child.kill("SIGTERM");
  }
  await once(child, "exit");
});

test("a name is proven whole and in any case; a wildcard only where it was allowed", () => {
  const identities = ["dns:sbc.example", "sip:example", "dns:*.web.example", "ip:2001:db8:0:0:0:0:0:1"];
  for (const [domain, wildcards, outcome] of [
    ["SBC.example", false, true],
    ["example", false, true],
    ["x.sbc.example", false, false],
    ["a.web.example", false, false],
    ["a.web.example", true, true],
    ["a.b.web.example", true, false],
    ["web.example", true, false],
    ["2001:db8::1", false, true],
    ["2001:db8::2", false, false],
  ] as const)
    assert.equal(proves(identities, domain, wildcards), outcome, domain);
});
