// Digest as values: the examples of RFC 7616 and RFC 8760, what a server admits, what a client answers.

import assert from "node:assert/strict";
import { test } from "node:test";
import { requestOf, responseOf as sipResponseOf } from "../../test/messages.ts";
import { headersOf, headerValue } from "../message/message.ts";
import { algorithmOf, type DigestHash } from "./algorithm.ts";
import { ATTEMPTS_MAX, isChallenge, UNTRIED, withProof } from "./answer.ts";
import { parseDigest, quoted } from "./auth-params.ts";
import { parseCredentials } from "./credentials.ts";
import { challengeHeaders, examine, type GuardRules } from "./guard.ts";
import { issuedAt, makeNonce, NonceCounts, type NonceRules } from "./nonce.ts";
import { passwordHash, responseOf } from "./response.ts";

const utf8 = (text: string) => Buffer.from(text, "utf8").toString("latin1");

test("RFC 7616 §3.9.1: MD5 and SHA-256 of the same request", () => {
  const common = {
    method: "GET",
    uri: "/dir/index.html",
    nonce: "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
    qop: { name: "auth", nc: "00000001", cnonce: "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ" },
    body: "",
  } as const;
  const of = (hash: DigestHash) =>
    responseOf({
      ...common,
      algorithm: { hash, session: false },
      ha1: passwordHash(hash, "Mufasa", "http-auth@example.org", "Circle of Life"),
    });
  assert.equal(of("MD5"), "8ca523f5e9506fed4657c9700eebdbec");
  assert.equal(of("SHA-256"), "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1");
});

test("RFC 7616 §3.9.2 as corrected by erratum 4897: SHA-512-256 and a name beyond ASCII", () => {
  const ha1 = passwordHash("SHA-512-256", utf8("Jäsøn Doe"), "api@example.org", "Secret, or not?");
  const response = responseOf({
    algorithm: { hash: "SHA-512-256", session: false },
    ha1,
    method: "GET",
    uri: "/doe.json",
    nonce: "5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK",
    qop: { name: "auth", nc: "00000001", cnonce: "NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v" },
    body: "",
  });
  assert.equal(response, "3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5");
});

test("-sess mixes nonce and cnonce into the password's hash; auth-int the body; without qop it is RFC 2069", () => {
  const base = { ha1: "0".repeat(32), method: "INVITE", uri: "sip:b", nonce: "n", body: "v=0" } as const;
  const qop = { name: "auth", nc: "00000001", cnonce: "c" } as const;
  const plain = { hash: "MD5", session: false } as const;
  const all = [
    responseOf({ ...base, algorithm: plain, qop }),
    responseOf({ ...base, algorithm: { hash: "MD5", session: true }, qop }),
    responseOf({ ...base, algorithm: plain, qop: { ...qop, name: "auth-int" } }),
    responseOf({ ...base, algorithm: plain, qop: undefined }),
  ];
  assert.equal(new Set(all).size, 4);
  assert.deepEqual(algorithmOf("md5-SESS"), { hash: "MD5", session: true });
  assert.deepEqual(algorithmOf(undefined), { hash: "MD5", session: false });
  assert.equal(algorithmOf("SHA-1"), undefined);
});

test("the grammar: quotes, escapes, empty members, username*; repetition and bad quotes are refused", () => {
  const table: [string, Record<string, string> | undefined][] = [
    ['Digest realm="a \\"b\\" \\\\c", nonce="x,y"', { realm: 'a "b" \\c', nonce: "x,y" }],
    ["DIGEST realm=a,,qop=auth , ,nc=1", { realm: "a", qop: "auth", nc: "1" }],
    ["Digest username*=UTF-8''J%C3%A4s%C3%B8n", { "username*": "UTF-8''J%C3%A4s%C3%B8n", username: utf8("Jäsøn") }],
    ["Digest username*=ISO-8859-1''x", undefined],
    ["Digest username=\"a\", username*=UTF-8''a", undefined],
    ['Digest realm="a", realm="b"', undefined],
    ['Digest realm="a', undefined],
    ['Digest realm="a"b', undefined],
    ["Basic abc=", undefined],
    ["Digest", undefined],
    [`Digest ${Array.from({ length: 40 }, (_, at) => `p${at}=1`).join(",")}`, undefined],
  ];
  for (const [text, expected] of table) {
    const parsed = parseDigest(text);
    assert.deepEqual(parsed === undefined ? undefined : Object.fromEntries(parsed), expected, text);
  }
  assert.equal(parseDigest(`Digest realm=${quoted('q"\\')}`)?.get("realm"), 'q"\\');
});

const rulesOf = (noncesMax = 4): NonceRules => ({ key: Buffer.alloc(32, 7), lifetimeMs: 60_000, noncesMax });

test("a nonce tells when it was issued, to its maker alone, for its realm alone", () => {
  const nonce = makeNonce(rulesOf(), "r", 1_000_000, "0123456789abcdef");
  assert.equal(issuedAt(rulesOf(), "r", nonce), 1_000_000);
  assert.equal(issuedAt(rulesOf(), "other", nonce), undefined);
  assert.equal(issuedAt({ ...rulesOf(), key: Buffer.alloc(32, 8) }, "r", nonce), undefined);
  assert.equal(issuedAt(rulesOf(), "r", `f${nonce.slice(1)}`), undefined);
  assert.equal(issuedAt(rulesOf(), "r", ""), undefined);
});

test("each count of a nonce is good once, in any order within a window; too old is stale", () => {
  const nonces = new NonceCounts(rulesOf());
  const nonce = makeNonce(rulesOf(), "r", 0, "00000001");
  const take = (count: number, at = 0) => nonces.take("r", nonce, count, at);
  assert.deepEqual(
    [1, 1, 3, 2, 2, 3].map((count) => take(count)),
    ["good", "stale", "good", "good", "stale", "stale"],
  );
  assert.deepEqual(
    [40, 8, 7, 39].map((count) => take(count)),
    ["good", "good", "stale", "good"],
  );
  assert.equal(take(41, 60_000), "good");
  assert.equal(take(42, 60_001), "stale");
  assert.equal(nonces.take("r", "nonsense", 1, 0), "foreign");
});

test("the memory of counts is bounded, and forgetting never lets a replay in", () => {
  const nonces = new NonceCounts(rulesOf(4));
  const made = Array.from({ length: 10 }, (_, at) => makeNonce(rulesOf(), "r", 100 + at, "00000001"));
  for (const nonce of made) assert.equal(nonces.take("r", nonce, 1, 200), "good");
  assert.equal(nonces.size, 4);
  for (const nonce of made) assert.equal(nonces.take("r", nonce, 1, 200), "stale");
  assert.equal(nonces.take("r", makeNonce(rulesOf(), "r", 300, "00000001"), 1, 70_000), "stale");
  assert.equal(nonces.take("r", makeNonce(rulesOf(), "r", 69_000, "00000001"), 1, 70_000), "good");
  assert.equal(nonces.size, 1); // what can no longer be used need not be remembered
});

const known = (() => {
  const parsed = parseCredentials(
    [
      "# users",
      "alice:pop.example:plain:wonder:land",
      `bob:pop.example:${passwordHash("MD5", "bob", "pop.example", "builder")}`,
      "",
    ].join("\r\n"),
  );
  assert.ok(parsed.ok);
  return parsed.value;
})();

test("a credentials file: what is no line of it is told by number, without the secret", () => {
  for (const bad of ["alice", "alice:r", "alice:r:xyz", `a:r:SHA-1:${"0".repeat(40)}`, `a:r:MD5:${"0".repeat(64)}`]) {
    const parsed = parseCredentials(`# one\n${bad}`);
    assert.ok(!parsed.ok, bad);
    assert.equal(parsed.failure.line, 2);
    assert.ok(!parsed.failure.reason.includes("xyz"));
  }
});

const guard: GuardRules = { realm: "pop.example", algorithms: ["SHA-256", "MD5"], as: "user-agent" };
const alice = { realm: "pop.example", host: undefined, username: "alice", password: "wonder:land" };
const chance = { cseq: 2, branch: "z9hG4bK-2", cnonce: "cc" };

/** Server and client in turn, as they would meet on the wire. */
function challenged(rules: GuardRules, unixMs: number, stale = false) {
  const headers = challengeHeaders(rules, rulesOf(), unixMs, "0123456789abcdef", stale);
  const lines = headers.map(({ name, value }) => `${name}: ${value}`);
  return sipResponseOf(requestOf("INVITE"), rules.as === "proxy" ? 407 : 401, { headers: lines });
}

test("what the server asks the client can answer: strongest algorithm first, then admitted once", () => {
  for (const as of ["user-agent", "proxy"] as const) {
    const rules = { ...guard, as };
    const nonces = new NonceCounts(rulesOf());
    const invite = requestOf("INVITE");
    assert.deepEqual(examine(rules, nonces, known, invite, 0), { kind: "challenge", because: "absent" });
    const response = challenged(rules, 0);
    assert.equal(headersOf(response, as === "proxy" ? "proxy-authenticate" : "www-authenticate").length, 2);
    const retry = withProof(invite, response, [alice], UNTRIED, "192.0.2.1", chance);
    assert.ok(retry);
    const { request } = retry;
    assert.equal(request.cseq.number, invite.cseq.number + 1);
    assert.equal(request.via.branch, "z9hG4bK-2");
    assert.match(headerValue(request, "via") ?? "", /;branch=z9hG4bK-2$/);
    assert.equal(headerValue(request, "cseq"), `${invite.cseq.number + 1} INVITE`);
    assert.deepEqual([request.callId, request.fromTag], [invite.callId, invite.fromTag]);
    const proof = headerValue(request, as === "proxy" ? "proxy-authorization" : "authorization") ?? "";
    assert.match(proof, /algorithm=SHA-256/);
    assert.deepEqual(examine(rules, nonces, known, request, 1), { kind: "admitted", username: "alice" });
    assert.deepEqual(examine(rules, nonces, known, request, 1), { kind: "challenge", because: "stale" });
    assert.deepEqual(examine(rules, new NonceCounts(rulesOf()), known, request, 90_000), {
      kind: "challenge",
      because: "stale",
    });
    const other = { ...request, method: "BYE" };
    assert.deepEqual(examine(rules, new NonceCounts(rulesOf()), known, other, 1), {
      kind: "challenge",
      because: "wrong",
    });
  }
});

test("who only has an MD5 hash is admitted by MD5; strangers, wrong passwords and other realms are not", () => {
  const md5 = { ...guard, algorithms: ["MD5"] as const };
  const response = challenged(md5, 0);
  const verdict = (username: string, password: string, rules: GuardRules = md5, realm = "pop.example") => {
    const retry = withProof(requestOf("INVITE"), response, [{ ...alice, username, password }], UNTRIED, "", chance);
    assert.ok(retry);
    return examine({ ...rules, realm }, new NonceCounts(rulesOf()), known, retry.request, 0);
  };
  assert.equal(verdict("bob", "builder").kind, "admitted");
  assert.deepEqual(verdict("bob", "wrong"), { kind: "challenge", because: "wrong" });
  assert.deepEqual(verdict("nobody", "wrong"), { kind: "challenge", because: "wrong" });
  assert.deepEqual(verdict("bob", "builder", { ...guard, algorithms: ["SHA-256"] }), {
    kind: "challenge",
    because: "wrong",
  });
  assert.deepEqual(verdict("bob", "builder", md5, "elsewhere"), { kind: "challenge", because: "absent" });
});

test("proofs that cannot be one: missing parts, no count, too many lines", () => {
  const examined = (...values: string[]) =>
    examine(
      guard,
      new NonceCounts(rulesOf()),
      known,
      requestOf("INVITE", { headers: values.map((value) => `Authorization: ${value}`) }),
      0,
    );
  const unreadable = { kind: "challenge", because: "unreadable" };
  assert.deepEqual(examined("Digest realm"), unreadable);
  assert.deepEqual(examined('Digest realm="pop.example",username="alice"'), unreadable);
  const parts = 'realm="pop.example",username="alice",nonce="n",uri="sip:b",response="00",algorithm=MD5';
  assert.deepEqual(examined(`Digest ${parts}`), unreadable); // as of RFC 2069: nothing would stop a replay
  assert.deepEqual(examined(`Digest ${parts},qop=auth,nc=1,cnonce="c"`), unreadable);
  assert.deepEqual(examined(`Digest ${parts},qop=auth,nc=00000001,cnonce="c"`), {
    kind: "challenge",
    because: "wrong",
  });
  const others = Array.from({ length: 4 }, (_, at) => `Digest realm="r${at}",username="alice"`);
  assert.deepEqual(examined(...others, "Digest realm"), { kind: "challenge", because: "absent" });
});

test("a client answers each realm it knows once; a second challenge counts only when it says stale with a new nonce", () => {
  const invite = requestOf("INVITE");
  const ask = (lines: string[], passwords = [alice], attempts = UNTRIED, from = invite, sentTo = "") =>
    withProof(from, sipResponseOf(invite, 401, { headers: lines }), passwords, attempts, sentTo, {
      ...chance,
      cseq: from.cseq.number + 1,
    });
  const www = (nonce: string, more = "") =>
    `WWW-Authenticate: Digest realm="pop.example",nonce="${nonce}",qop="auth-int,auth",algorithm=MD5${more}`;
  const first = ask([www("n1")]);
  assert.ok(first);
  assert.match(headerValue(first.request, "authorization") ?? "", /qop=auth,nc=00000001$/);
  assert.equal(ask([www("n1")], [alice], first.attempts, first.request), undefined);
  assert.equal(ask([www("n2")], [alice], first.attempts, first.request), undefined);
  const second = ask([www("n2", ",stale=TRUE")], [alice], first.attempts, first.request);
  assert.ok(second);
  assert.equal(headersOf(second.request, "authorization").length, 1);
  assert.equal(second.request.cseq.number, 3);
  assert.equal(ask([www("n2", ",stale=true")], [alice], second.attempts, second.request), undefined);
  // Never for ever, however many new nonces there are.
  let attempts = UNTRIED;
  let rounds = 0;
  for (let retry = ask([www("x0")]); retry !== undefined; rounds++) {
    attempts = retry.attempts;
    retry = ask([www(`x${rounds + 1}`, ",stale=true")], [alice], attempts);
  }
  assert.equal(rounds, ATTEMPTS_MAX);
  // Whom we have nothing for goes to the application.
  assert.equal(ask([www("n1")], [{ ...alice, realm: "other" }]), undefined);
  assert.equal(ask([www("n1")], [{ ...alice, host: "192.0.2.9" } as never]), undefined);
  assert.ok(ask([www("n1")], [{ ...alice, host: "POP.example" } as never]));
  assert.ok(ask([www("n1")], [{ ...alice, host: "192.0.2.9" } as never], UNTRIED, invite, "192.0.2.9"));
  assert.equal(ask(["WWW-Authenticate: Basic realm=x"]), undefined);
  assert.equal(ask(['WWW-Authenticate: Digest realm="pop.example",nonce="n",algorithm=SHA-1']), undefined);
});

test("several challenges in one line and in several, 401 and 407 at once", () => {
  const invite = requestOf("INVITE");
  const response = sipResponseOf(invite, 407, {
    headers: [
      'Proxy-Authenticate: Digest realm="p1", nonce="a", algorithm=SHA-999, Digest realm="p1", nonce="b", opaque="o\\"", algorithm=SHA-512-256-sess, qop="auth"',
      'Proxy-Authenticate: Digest realm="p2", nonce="c"',
      'WWW-Authenticate: Digest realm="u", nonce="d"',
    ],
  });
  const retry = withProof(invite, response, [{ ...alice, realm: undefined } as never], UNTRIED, "", chance);
  assert.ok(retry);
  const proxy = headersOf(retry.request, "proxy-authorization").map(({ value }) => parseDigest(value));
  assert.deepEqual(
    proxy.map((params) => [
      params?.get("realm"),
      params?.get("nonce"),
      params?.get("opaque"),
      params?.get("algorithm"),
    ]),
    [
      ["p1", "b", 'o"', "SHA-512-256-sess"],
      ["p2", "c", undefined, "MD5"],
    ],
  );
  assert.equal(parseDigest(headerValue(retry.request, "authorization") ?? "")?.get("realm"), "u");
  assert.ok(isChallenge(response));
  assert.ok(!isChallenge(sipResponseOf(invite, 401)));
});
