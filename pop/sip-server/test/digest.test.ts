// Digest through the whole server: who must prove himself before an application hears of him, and who we prove ourselves to.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { silentLog } from "../../../kernel/log.ts";
import { watchCredentials } from "../adapters/credentials-file.ts";
import { parseDigest } from "../core/digest/auth-params.ts";
import { ha1Of } from "../core/digest/credentials.ts";
import { headersOf, headerValue, type SipRequest, type SipResponse } from "../core/message/message.ts";
import { event, offered, type Stage, scenario, until } from "./application.ts";
import { aRequest, aResponse, type Call, SDP, type UdpPeer } from "./peer.ts";

const md5 = (text: string) => createHash("md5").update(text).digest("hex");
const sha256 = (text: string) => createHash("sha256").update(text).digest("hex");

const folder = mkdtempSync(join(tmpdir(), "digest-"));
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
const file = (name: string, content: string): string => {
  const path = join(folder, name);
  writeFileSync(path, content, { mode: 0o600 });
  return path;
};
const credentialsFile = file("users", "alice:pop.example:plain:wonder\n");
const passwordFile = file("password", "secret word\n");

/** An answer to a challenge, made here and not by the code under test. */
function proofFor(
  challenge: string,
  call: Call,
  method: string,
  more: { password?: string; nc?: string } = {},
): string {
  const params = parseDigest(challenge);
  const { password = "wonder", nc = "00000001" } = more;
  const [realm, nonce, algorithm] = ["realm", "nonce", "algorithm"].map((name) => params?.get(name) ?? "");
  const hash = algorithm === "MD5" ? md5 : sha256;
  const response = hash(
    `${hash(`alice:${realm}:${password}`)}:${nonce}:${nc}:cn:auth:${hash(`${method}:${call.target}`)}`,
  );
  return `Digest username="alice", realm="${realm}", nonce="${nonce}", uri="${call.target}", response="${response}", algorithm=${algorithm}, qop=auth, nc=${nc}, cnonce="cn"`;
}

const challenges = (response: SipResponse): string[] =>
  headersOf(response, response.status === 407 ? "proxy-authenticate" : "www-authenticate").map(({ value }) => value);

async function challenged(stage: Stage, status: 401 | 407 = 401) {
  const srf = await stage.application();
  const invited = offered(srf, "invite");
  let heard = 0;
  void invited.then(() => heard++);
  const alice = await stage.udpPeer();
  const first = alice.call(`sip:answer@127.0.0.1:${stage.udpPort}`);
  first.invite();
  const refusal = await alice.next(aResponse(status));
  first.ackFailure(refusal);
  assert.equal(heard, 0);
  const again = (proof: string) => {
    const { callId, tag } = first.facts;
    const name = status === 407 ? "Proxy-Authorization" : "Authorization";
    const call = alice.call(first.facts.to, { callId, tag, headers: [`${name}: ${proof}`] });
    call.cseq = ++first.cseq;
    call.invite();
    return call;
  };
  return { srf, invited, alice, first, refusal, again };
}

const GUARDED = { digest: { challenge: [{ realm: "pop.example", credentialsFile }] } };

scenario(
  "an INVITE is challenged before an application hears of it: SHA-256 first, then MD5; proven, it is delivered",
  async (stage) => {
    const { srf, invited, refusal, first, again, alice } = await challenged(stage);
    const asked = challenges(refusal);
    assert.deepEqual(
      asked.map((value) => parseDigest(value)?.get("algorithm")),
      ["SHA-256", "MD5"],
    );
    const call = again(proofFor(asked[0] ?? "", first, "INVITE"));
    const { req, res } = await invited;
    assert.match(req.get("Authorization"), /username="alice"/);
    const dialog = await srf.createUAS(req, res, { localSdp: SDP });
    await call.answered();
    call.ack();
    const over = event(dialog, "destroy");
    call.request("BYE"); // inside the dialog nobody is asked
    await alice.next(aResponse(200, "BYE"));
    await over;
  },
  GUARDED,
);

scenario(
  "wrong passwords and replays are challenged again; only the replay is told stale",
  async (stage) => {
    const { invited, refusal, first, again, alice } = await challenged(stage);
    const [asked = ""] = challenges(refusal);
    const wrong = again(proofFor(asked, first, "INVITE", { password: "guess" }));
    const second = await alice.next(aResponse(401));
    wrong.ackFailure(second);
    assert.equal(parseDigest(challenges(second)[0] ?? "")?.get("stale"), undefined);
    const right = proofFor(asked, first, "INVITE");
    again(right);
    const { res } = await invited;
    res.send(486);
    await alice.next(aResponse(486));
    // The same header once more, as somebody who overheard it would send it.
    const replay = alice.call(first.facts.to, { headers: [`Authorization: ${right}`] });
    replay.invite();
    const stale = await alice.next(aResponse(401));
    assert.equal(parseDigest(challenges(stale)[0] ?? "")?.get("stale"), "true");
  },
  GUARDED,
);

scenario(
  "407 for applications that proxy; MD5 alone when the configuration says so",
  async (stage) => {
    const { invited, refusal, first, again } = await challenged(stage, 407);
    const [asked = "", ...others] = challenges(refusal);
    assert.equal(others.length, 0);
    again(proofFor(asked, first, "INVITE"));
    const { req } = await invited;
    assert.ok(req.get("Proxy-Authorization"));
  },
  { digest: { challenge: [{ realm: "pop.example", credentialsFile, as: "proxy", algorithms: ["MD5"] }] } },
);

scenario(
  "other methods and other listeners are not asked",
  async (stage) => {
    const srf = await stage.application();
    const alice = await stage.udpPeer();
    const optioned = offered(srf, "options");
    const call = alice.call(`sip:answer@127.0.0.1:${stage.udpPort}`);
    call.request("OPTIONS");
    (await optioned).res.send(200);
    await alice.next(aResponse(200, "OPTIONS"));
    const invited = offered(srf, "invite");
    const bob = await stage.tcpPeer();
    bob.call(`sip:answer@127.0.0.1:${stage.tcpPort}`).invite();
    (await invited).res.send(486);
    await bob.next(aResponse(486));
  },
  { digest: { challenge: [{ realm: "pop.example", credentialsFile, listeners: ["udp"] }] } },
);

// The other side: somebody asks us.

const OURS = { digest: { credentials: [{ realm: "carrier", username: "pop", passwordFile }] } };

function isProven(request: SipRequest, key: "authorization" | "proxy-authorization" = "authorization"): boolean {
  const params = parseDigest(headerValue(request, key) ?? "");
  const [nonce, nc, cnonce, uri, response] = ["nonce", "nc", "cnonce", "uri", "response"].map((name) =>
    params?.get(name),
  );
  const ha1 = sha256("pop:carrier:secret word");
  return response === sha256(`${ha1}:${nonce}:${nc}:${cnonce}:auth:${sha256(`${request.method}:${uri}`)}`);
}

const ask = (bob: UdpPeer, request: SipRequest, nonce: string, more = "", status = 401) =>
  bob.respond(request, status, "Prove it", {
    tag: `c${nonce}`,
    headers: [
      `${status === 407 ? "Proxy" : "WWW"}-Authenticate: Digest realm="carrier",nonce="${nonce}",qop="auth",algorithm=SHA-256${more}`,
    ],
  });

scenario(
  "a carrier asks our INVITE for a proof: the server gives it, the application hears only the call",
  async (stage) => {
    const srf = await stage.application();
    const bob = await stage.udpPeer();
    const provisionals: number[] = [];
    const answered = srf.createUAC(
      `sip:bob@127.0.0.1:${bob.port}`,
      { localSdp: SDP },
      { cbProvisional: (res) => provisionals.push(res.status) },
    );
    const first = await bob.next(aRequest("INVITE"));
    ask(bob, first, "n1", "", 407);
    await bob.next(aRequest("ACK"));
    const second = await bob.next(aRequest("INVITE"));
    assert.ok(isProven(second, "proxy-authorization"));
    assert.equal(second.cseq.number, first.cseq.number + 1);
    assert.deepEqual([second.callId, second.fromTag, second.body], [first.callId, first.fromTag, first.body]);
    ask(bob, second, "n2", ",stale=true", 407);
    await bob.next(aRequest("ACK"));
    const third = await bob.next(aRequest("INVITE"));
    assert.ok(isProven(third, "proxy-authorization"));
    assert.equal(headersOf(third, "proxy-authorization").length, 1);
    bob.respond(third, 180, "Ringing");
    bob.respond(third, 200, "OK", { body: SDP });
    const dialog = await answered;
    const ack = await bob.next(aRequest("ACK"));
    assert.equal(ack.cseq.number, third.cseq.number);
    assert.equal(headerValue(ack, "proxy-authorization"), headerValue(third, "proxy-authorization"));
    assert.deepEqual(provisionals, [180]);
    // Inside the dialog as well.
    const gone = dialog.destroy();
    const bye = await bob.next(aRequest("BYE"));
    bob.respond(bye, 401, "Prove it", {
      headers: ['WWW-Authenticate: Digest realm="carrier",nonce="n3",qop="auth",algorithm=SHA-256'],
    });
    const again = await bob.next(aRequest("BYE"));
    assert.ok(isProven(again));
    assert.equal(again.cseq.number, bye.cseq.number + 1);
    bob.respond(again, 200, "OK");
    await gone;
    await until(() => stage.server.endpoint.facts.dialogs === 0, "the dialog is gone");
  },
  OURS,
);

scenario(
  "a proof refused, and a realm we know nothing of: the application sees the challenge",
  async (stage) => {
    const srf = await stage.application();
    const bob = await stage.udpPeer();
    const refused = srf.createUAC(`sip:bob@127.0.0.1:${bob.port}`, { localSdp: SDP });
    const seen = assert.rejects(refused, { status: 401 });
    ask(bob, await bob.next(aRequest("INVITE")), "n1");
    const second = await bob.next(aRequest("INVITE"));
    ask(bob, second, "n2"); // not stale: the password is wrong
    await seen;
    assert.equal(bob.count(aRequest("INVITE")), 2);
    const other = srf.createUAC(`sip:bob@127.0.0.1:${bob.port}`, { localSdp: SDP });
    const passed = assert.rejects(other, { status: 407 });
    bob.respond(await bob.next(aRequest("INVITE")), 407, "Prove it", {
      headers: ['Proxy-Authenticate: Digest realm="elsewhere",nonce="n",qop="auth"'],
    });
    await passed;
    assert.equal(stage.server.endpoint.facts.dialogs, 0);
  },
  OURS,
);

scenario("without passwords of ours drachtio-srf's own digest goes on to work", async (stage) => {
  const srf = await stage.application();
  const bob = await stage.udpPeer();
  const answered = srf.createUAC(`sip:bob@127.0.0.1:${bob.port}`, {
    localSdp: SDP,
    auth: { username: "pop", password: "secret word" },
  });
  const first = await bob.next(aRequest("INVITE"));
  bob.respond(first, 401, "Prove it", {
    headers: ['WWW-Authenticate: Digest realm="carrier",nonce="n1",qop="auth",algorithm=MD5'],
  });
  const second = await bob.next(aRequest("INVITE"));
  assert.deepEqual([second.callId, second.fromTag], [first.callId, first.fromTag]);
  assert.equal(second.cseq.number, first.cseq.number + 1);
  assert.match(headerValue(second, "authorization") ?? "", /username="pop"/);
  bob.respond(second, 200, "OK", { body: SDP });
  await answered;
  await bob.next(aRequest("ACK"));
});

test("a credentials file that changes is read again; one that cannot be read leaves what was", async () => {
  const path = file("changing", "bob:r:plain:one\n");
  const watched = watchCredentials("digest.challenge.0.credentialsFile", path, silentLog);
  const known = () => ha1Of(watched.current(), "bob", "r", "MD5");
  try {
    assert.equal(known(), md5("bob:r:one"));
    writeFileSync(path, "bob:r:plain:two and more\n");
    await until(() => known() === md5("bob:r:two and more"), "the new password is known", 8_000);
    writeFileSync(path, "nonsense\n");
    writeFileSync(path, "bob:r:plain:three, longer\n");
    await until(() => known() === md5("bob:r:three, longer"), "the third password is known", 8_000);
  } finally {
    watched.stop();
  }
  assert.throws(
    () => watchCredentials("digest.challenge.0.credentialsFile", join(folder, "absent"), silentLog),
    /digest\.challenge\.0\.credentialsFile: cannot use .*ENOENT/,
  );
  assert.throws(() => watchCredentials("x", file("bad", "a:b\n"), silentLog), /line 1/);
});

scenario(
  "a challenge keeps no transaction and is never repeated: nobody is drowned in answers to what he did not send",
  async (stage) => {
    const alice = await stage.udpPeer();
    const call = alice.call(`sip:answer@127.0.0.1:${stage.udpPort}`);
    const lines = call.lines("INVITE", alice.branch());
    const text = `${lines.join("\r\n")}\r\nContact: <sip:alice@127.0.0.1>\r\nContent-Length: 0\r\n\r\n`;
    alice.sendText(text);
    const first = await alice.next(aResponse(401));
    assert.equal(stage.server.endpoint.facts.transactions, 0);
    alice.sendText(text);
    const second = await alice.next(aResponse(401));
    assert.equal(second.toTag, first.toTag);
    assert.notEqual(first.toTag, "");
    const metrics = await (await fetch(`http://127.0.0.1:${stage.server.httpPort}/metrics`)).text();
    assert.match(metrics, /^sip_digest_challenges_total\{because="absent"\} 2$/m);
    assert.match(metrics, /^sip_requests_refused_total\{status="401"\} 2$/m);
  },
  { digest: { challenge: [{ realm: "pop.example", credentialsFile }] } },
);
