import assert from "node:assert/strict";
import { test } from "node:test";
import { parseConfig } from "../../../kernel/config.ts";
import {
  ADMIN_LIMITS,
  DNS_CLIENT_LIMITS,
  ENDPOINT_LIMITS,
  STREAM_LIMITS,
  USER_AGENT_LIMITS,
  WEB_SOCKET_LIMITS,
} from "../core/limits.ts";
import { PARSE_LIMITS } from "../core/message/parse.ts";
import { SESSION_TIMER_POLICY } from "../core/session/negotiation.ts";
import { SipServerConfigSchema } from "./sip-server-config.ts";

const good = {
  listen: [{ transport: "udp", host: "127.10.1.11", port: 5060 }],
  admin: { host: "127.10.1.11", port: 9022, secret: "s" },
  http: { host: "127.10.1.11", port: 9023 },
};
const mistakes = (config: unknown) => {
  const parsed = parseConfig(SipServerConfigSchema, config);
  return parsed.ok ? [] : parsed.failure.mistakes.map(({ path }) => path).sort();
};

test("the least configuration is enough; the rest has its defaults", () => {
  const parsed = parseConfig(SipServerConfigSchema, good);
  assert.ok(parsed.ok);
  const { t1Ms, trustedSources, traceCallIds, udpBufferBytes, dialogsMax } = parsed.value;
  assert.deepEqual(
    [t1Ms, trustedSources, traceCallIds, udpBufferBytes, dialogsMax],
    [500, "any", 2_000, 4_194_304, 50_000],
  );
});

test("every mistake is listed with its place", () => {
  assert.deepEqual(
    mistakes({
      ...good,
      listen: [{ transport: "sctp", host: "somewhere", port: 70_000 }],
      t1Ms: 1,
      tracecallids: 3,
    }),
    ["", "listen.0.host", "listen.0.port", "listen.0.transport", "t1Ms"],
  );
  assert.deepEqual(mistakes({ ...good, admin: { host: "127.0.0.1", port: 1 } }), ["admin.secret"]);
  const both = { host: "127.0.0.1", port: 1, secret: "a", secretFile: "/b" };
  assert.deepEqual(mistakes({ ...good, admin: both }), ["admin.secret"]);
  assert.deepEqual(mistakes({ ...good, listen: [{ transport: "udp", host: "0.0.0.0", port: 5060 }] }), [
    "listen.0.externalHost",
  ]);
});

test("tls and wss need certificates, peers' certificates need a CA, and nothing else may have what it cannot use", () => {
  const at = { host: "127.10.1.11", port: 5061 };
  const tls = { identities: [{ certFile: "c", keyFile: "k" }] };
  const listen = (one: object) => mistakes({ ...good, listen: [{ ...at, ...one }] });
  assert.deepEqual(listen({ transport: "tls" }), ["listen.0.tls"]);
  assert.deepEqual(listen({ transport: "tls", tls }), []);
  assert.deepEqual(listen({ transport: "udp", tls }), ["listen.0.tls"]);
  assert.deepEqual(listen({ transport: "wss", tls: { ...tls, clientCertificate: "require" } }), [
    "listen.0.tls.caFiles",
  ]);
  assert.deepEqual(listen({ transport: "tcp", origins: ["https://a"] }), ["listen.0.origins"]);
  assert.deepEqual(
    listen({ transport: "ws", origins: ["https://a.example"], localNets: ["10.0.0.0/8", "fd00::/8"] }),
    [],
  );
  assert.deepEqual(listen({ transport: "tcp", localNets: ["10.0.0.0/99"] }), ["listen.0.localNets.0"]);
});

test("request handlers and the TLS port for applications", () => {
  const tls = { host: "127.0.0.1", port: 1, certFile: "c", keyFile: "k" };
  const admin = { host: "127.0.0.1", port: 1, secret: "s" };
  const urls = ["tcp://127.0.0.1:4000", "tls://app.example:4001", "http://app.example/", "https://app.example/x?y=1"];
  const requestHandlers = urls.map((url) => ({ methods: ["INVITE"], url }));
  assert.deepEqual(mistakes({ ...good, admin: { ...admin, tls }, requestHandlers, cdrs: true }), []);
  const required = { ...tls, clientCertificates: "required" };
  assert.deepEqual(mistakes({ ...good, admin: { ...admin, tls: required } }), ["admin.tls.caFile"]);
  const bad = ["ftp://a", "tcp://127.0.0.1", "tcp://:1", "nothing"].map((url) => ({ url }));
  assert.deepEqual(
    mistakes({ ...good, requestHandlers: bad }),
    bad.map((_, at) => `requestHandlers.${at}.url`),
  );
});

test("the defaults are the limits that tests and simulations run with", () => {
  const parsed = parseConfig(SipServerConfigSchema, good);
  assert.ok(parsed.ok);
  const { admin, ...config } = parsed.value;
  assert.equal(admin.frameBytesMax, ADMIN_LIMITS.frameBytesMax);
  assert.equal(admin.connectionsMax, ADMIN_LIMITS.connectionsMax);
  assert.equal(config.messageBytesMax, PARSE_LIMITS.messageBytesMax);
  const { max, perSourceMax, webSocketPingAfterMs, ...times } = config.connections;
  const streams = { ...times, connectionsMax: max, connectionsPerSourceMax: perSourceMax };
  assert.deepEqual({ ...streams, messageBytesMax: config.messageBytesMax }, STREAM_LIMITS);
  assert.equal(webSocketPingAfterMs, WEB_SOCKET_LIMITS.pingAfterMs);
  assert.equal(config.transactionsMax, ENDPOINT_LIMITS.transactionsMax);
  assert.equal(config.dialogsMax, ENDPOINT_LIMITS.dialogsMax);
  assert.equal(config.pendingRequestsMax, USER_AGENT_LIMITS.pendingMax);
  assert.equal(config.ringingMs, USER_AGENT_LIMITS.ringingMs);
  assert.equal(config.orphanGraceMs, USER_AGENT_LIMITS.orphanGraceMs);
  assert.equal(config.orphanByesPerSecond, USER_AGENT_LIMITS.orphanByesPerSecond);
  assert.equal(config.returnWaitMs, USER_AGENT_LIMITS.returnWaitMs);
  assert.deepEqual(config.sessionTimer, SESSION_TIMER_POLICY);
  assert.equal(config.nextTargetAfterMs, USER_AGENT_LIMITS.nextTargetAfterMs);
  assert.equal(config.udpRequestBytesMax, USER_AGENT_LIMITS.udpRequestBytesMax);
  assert.equal(config.dns.timeoutMs, DNS_CLIENT_LIMITS.timeoutMs);
  assert.equal(config.dns.attemptsMax, DNS_CLIENT_LIMITS.attemptsMax);
});

test("name servers are addresses, with or without a port", () => {
  const servers = ["192.0.2.1", "192.0.2.1:5353", "2001:db8::1", "[2001:db8::1]:53", "[2001:db8::1]"];
  assert.deepEqual(mistakes({ ...good, dns: { servers } }), []);
  for (const server of ["dns.example", "192.0.2.1:x", "[192.0.2.1]:53", "192.0.2.300:53", "::1:"])
    assert.deepEqual(mistakes({ ...good, dns: { servers: [server] } }), ["dns.servers.0"], server);
});
