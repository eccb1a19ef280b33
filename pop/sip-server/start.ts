// Wires the parts of one sip-server and starts them. Used by main.ts and by tests that run it in their own process.

import { randomBytes } from "node:crypto";
import { setTimeout } from "node:timers/promises";
import { ConfiguredFileFault } from "../../kernel/config.ts";
import type { Log } from "../../kernel/log.ts";
import { type Ownership, soleOwner } from "../../kernel/ownership.ts";
import { systemRng } from "../../kernel/rng.ts";
import { readSecretFile } from "../../kernel/shell/secret-file.ts";
import { systemClock } from "../../kernel/time.ts";
import { RedisCheckpointStore } from "../checkpoint/adapters/redis/checkpoint-store.ts";
import type { CheckpointStore } from "../checkpoint/boundary/checkpoint-store.ts";
import { openAdmin } from "./adapters/admin-listener.ts";
import type { CertificateReload } from "./adapters/certificates.ts";
import { openDigest } from "./adapters/credentials-file.ts";
import { type HepCapture, type HepParts, openHepCapture } from "./adapters/hep-capture.ts";
import { openHttp } from "./adapters/http.ts";
import { Listeners, type ListenersSettings, pointOf } from "./adapters/listeners.ts";
import { openLoopProbe } from "./adapters/loop-probe.ts";
import { openNameService } from "./adapters/name-service.ts";
import { openRequestHandlers } from "./adapters/request-handlers.ts";
import { systemIds } from "./adapters/system-ids.ts";
import { TlsIdentity } from "./adapters/tls-identity.ts";
import { SOURCES_FIELD } from "./app/checkpoints/checkpoints.ts";
import { Endpoint, type GuardSettings } from "./app/endpoint.ts";
import { heldAlarm, systemAlarm } from "./app/shell/timer-wheel.ts";
import type { SipServerConfig } from "./config/sip-server-config.ts";
import { handlerOf } from "./core/drachtio/request-handler.ts";
import type { ListenPoint } from "./core/flow.ts";
import { GUARD_LIMITS } from "./core/guard/limits.ts";
import {
  ADMIN_LIMITS,
  DNS_CLIENT_LIMITS,
  HANDLER_LIMITS,
  NEXT_HOP_LIMITS,
  PROXY_LIMITS,
  USER_AGENT_LIMITS,
} from "./core/limits.ts";
import { PARSE_LIMITS } from "./core/message/parse.ts";

export interface SipServer {
  readonly endpoint: Endpoint;
  /** As bound: a port 0 of the configuration has become a real one. */
  readonly points: readonly ListenPoint[];
  readonly adminPort: number;
  readonly adminTlsPort: number | undefined;
  readonly httpPort: number;
  /** Certificates, keys, CAs and CRLs are read again; connections that stand are not touched. Never rejects. */
  reloadCertificates(why: "signal" | "request"): Promise<readonly CertificateReload[]>;
  /** Says and hears nothing more, and writes what the next owner of the service needs. */
  handOver(): Promise<void>;
  stop(): Promise<void>;
}

/** @throws EADDRINUSE and its like, with what was opened closed again; ConfiguredFileFault */
export async function startSipServer(
  config: SipServerConfig,
  log: Log,
  ownership: Ownership = soleOwner,
  superseded: (by: number) => void = () => {},
): Promise<SipServer> {
  const { admin } = config;
  const secret = admin.secret ?? readSecretFile("admin.secretFile", admin.secretFile ?? "");
  const { caFile, verifyCertificates } = config.requestHandlerTls;
  const handlerTrust = {
    ca: caFile === undefined ? undefined : readSecretFile("requestHandlerTls.caFile", caFile),
    verifyCertificates,
  };
  const adminLimits = { ...ADMIN_LIMITS, frameBytesMax: admin.frameBytesMax, connectionsMax: admin.connectionsMax };
  const reach = openRequestHandlers(handlerTrust, adminLimits, HANDLER_LIMITS);
  // The counters are the endpoint's, which does not exist yet.
  const capture = captureOf(config, log, (reason) => endpoint.counters.add("capture_lost", `reason="${reason}"`));
  const { timeoutMs, attemptsMax, servers } = config.dns;
  const names = openNameService({ ...DNS_CLIENT_LIMITS, timeoutMs, attemptsMax }, servers);
  const { guards, passwords, stop: stopWatching } = openDigest(config.digest, log);
  const alarm = heldAlarm(systemAlarm(), systemClock);
  const store = config.checkpoints && openCheckpoints(config.checkpoints, log, ownership, superseded);
  const endpoint: Endpoint = new Endpoint({
    settings: {
      secret,
      t1Ms: config.t1Ms,
      trustedSources: config.trustedSources,
      trace: { callIdsMax: config.traceCallIds, linesPerCallMax: config.traceLinesPerCall },
      parse: { ...PARSE_LIMITS, messageBytesMax: config.messageBytesMax },
      transactionsMax: config.transactionsMax,
      dialogsMax: config.dialogsMax,
      sessionTimer: config.sessionTimer,
      ...(config.guard.enabled ? { guard: guardOf(config.guard) } : {}),
      overload: config.overload,
      limits: {
        ...USER_AGENT_LIMITS,
        pendingMax: config.pendingRequestsMax,
        ringingMs: config.ringingMs,
        orphanGraceMs: config.orphanGraceMs,
        nextTargetAfterMs: config.nextTargetAfterMs,
        udpRequestBytesMax: config.udpRequestBytesMax,
        orphanByesPerSecond: config.orphanByesPerSecond,
        returnWaitMs: Math.min(config.returnWaitMs, 32 * config.t1Ms),
      },
      access: {
        guards,
        passwords,
        nonceKey: randomBytes(32),
        appOptionTags: config.appOptionTags,
        replaces: config.replaces,
      },
      unsolicitedEvents: config.unsolicitedEvents,
      proxy: PROXY_LIMITS,
      handlers: config.requestHandlers.flatMap(
        ({ url, methods, httpMethod }) => handlerOf(url, methods, httpMethod) ?? [],
      ),
      handlerLimits: HANDLER_LIMITS,
      records: config.cdrs,
      writeVersion: config.checkpoints?.writeVersion,
    },
    clock: systemClock,
    alarm,
    checkpoints: store,
    ownership,
    ids: systemIds,
    log,
    tap: capture,
    names,
    nextHops: NEXT_HOP_LIMITS,
    reach,
  });
  const closers: (() => Promise<void>)[] = [
    async () => store?.close(),
    async () => capture?.stop(),
    async () => names.stop(),
    async () => stopWatching(),
    () => endpoint.stop(),
    async () => reach.stop(),
  ];
  try {
    const opener = new Listeners(listenersSettings(config), log, endpoint);
    closers.push(async () => opener.certificates.stop());
    if (store !== undefined) {
      for (const listen of config.listen) endpoint.announce(pointOf(listen));
      await takeUp(store, endpoint, log);
      if (config.checkpoints !== undefined) endpoint.expectApplication(`instance:${config.checkpoints.service}`);
    }
    for (const listen of config.listen) endpoint.addTransport(await opener.open(listen));
    alarm.open();
    const adminIdentity = admin.tls && (await adminIdentityOf(admin.tls));
    if (adminIdentity !== undefined) opener.certificates.add("admin", adminIdentity);
    await opener.certificates.start(config.certificatePollMs);
    const probe = openLoopProbe(config.overload.probeMs, (seen) => endpoint.onLoopProbe(seen));
    closers.push(async () => probe.stop());
    const http = await openHttp(config.http, endpoint, opener.certificates, store);
    closers.push(() => http.stop());
    const listener = await openAdmin(admin, endpoint, adminLimits);
    closers.push(() => listener.stop());
    const tlsListener = admin.tls && (await openAdmin(admin.tls, endpoint, adminLimits, adminIdentity));
    if (tlsListener !== undefined) closers.push(() => tlsListener.stop());
    log.info("sip-server.listening", {
      points: endpoint.points.map(({ name, id }) => `${name}=${id}`),
      admin: `${admin.host}:${listener.port}`,
      http: `${config.http.host}:${http.port}`,
    });
    return {
      endpoint,
      points: endpoint.points,
      adminPort: listener.port,
      adminTlsPort: tlsListener?.port,
      httpPort: http.port,
      reloadCertificates: (why) => opener.certificates.reload(why),
      async handOver() {
        endpoint.silence();
        await store?.flush();
      },
      stop: () => closeAll(closers),
    };
  } catch (error) {
    await closeAll(closers);
    throw error;
  }
}

function openCheckpoints(
  { service, redis, waitMsMax }: NonNullable<SipServerConfig["checkpoints"]>,
  log: Log,
  { epoch }: Ownership,
  superseded: (by: number) => void,
): RedisCheckpointStore {
  const onSuperseded = ({ by }: { readonly by: number }) => superseded(by);
  return new RedisCheckpointStore({ service, book: "sip", epoch, ...redis, waitMsMax, log, onSuperseded });
}

/**
 * What the owner before us has left. Without the store we serve all the same, and what it holds is given up: half of a
 * service's calls must not come back when the other half has ended.
 */
async function takeUp(store: CheckpointStore, endpoint: Endpoint, log: Log): Promise<void> {
  const book = await store.load();
  if (book.ok) {
    const beganMs = performance.now();
    endpoint.openBook(book.value, (restored) => {
      if (book.value.size > 0)
        log.info("calls.restored", { ...restored, tookMs: Math.round(performance.now() - beganMs) });
    });
    return;
  }
  log.error("calls.not-restored", { ...book.failure });
  if (book.failure.code === "store.away") void giveUp(store, endpoint, log);
}

async function giveUp(store: CheckpointStore, endpoint: Endpoint, log: Log): Promise<void> {
  let book = await store.load();
  while (!book.ok && book.failure.code === "store.away" && !endpoint.isStopped) {
    await setTimeout(LOAD_AGAIN_MS, undefined, { ref: false });
    book = await store.load();
  }
  if (!book.ok || endpoint.isStopped) return;
  const lost = [...book.value.keys()].filter((callId) => callId !== SOURCES_FIELD && !endpoint.knows(callId));
  for (const callId of lost) store.remove(callId);
  if (lost.length > 0) log.warn("calls.lost", { calls: lost.length });
}

const LOAD_AGAIN_MS = 1_000;

function captureOf({ capture, http }: SipServerConfig, log: Log, lost: HepParts["lost"]): HepCapture | undefined {
  if (capture === undefined) return undefined;
  const { transport, host, port, agentId, passwordFile, backlogBytesMax } = capture;
  const password = passwordFile === undefined ? "" : readSecretFile("capture.passwordFile", passwordFile);
  const agent = { id: agentId, name: http.host, password };
  const settings = { transport, host, port, agent, backlogBytesMax };
  return openHepCapture({ settings, log, lost, rng: systemRng, unixMs: () => systemClock.unixMs() });
}

function listenersSettings({ connections, messageBytesMax, udpBufferBytes }: SipServerConfig): ListenersSettings {
  const { max: connectionsMax, perSourceMax: connectionsPerSourceMax, webSocketPingAfterMs, ...times } = connections;
  const streams = { ...times, connectionsMax, connectionsPerSourceMax, messageBytesMax };
  return { udpBufferBytes, streams, webSockets: { ...streams, pingAfterMs: webSocketPingAfterMs } };
}

/** @throws ConfiguredFileFault */
async function adminIdentityOf({
  certFile,
  keyFile,
  caFile,
  clientCertificates,
}: NonNullable<SipServerConfig["admin"]["tls"]>): Promise<TlsIdentity> {
  const loaded = await TlsIdentity.load({
    identities: [{ certFile, keyFile }],
    caFiles: caFile === undefined ? [] : [caFile],
    crlFiles: [],
    clientCertificate: clientCertificates === "required" ? "require" : "none",
    rejectUnauthorized: true,
    minVersion: "TLSv1.2",
    wildcards: false,
  });
  if (loaded.ok) return loaded.value;
  throw new ConfiguredFileFault(`admin.tls: ${loaded.failure.file}: ${loaded.failure.reason}`);
}

function guardOf(config: SipServerConfig["guard"]): GuardSettings {
  const { trusted, sourcesMax, banPoints, pointMs, banMs, banMsMax, bansMax } = config;
  return {
    trusted,
    limits: {
      ...GUARD_LIMITS,
      strangers: {
        newPerSecond: config.strangerNewPerSecond,
        newBurst: config.strangerNewBurst,
        goingOnPerSecond: config.strangerGoingOnPerSecond,
        goingOnBurst: config.strangerGoingOnBurst,
      },
      trusted: {
        newPerSecond: config.trustedNewPerSecond,
        newBurst: config.trustedNewBurst,
        goingOnPerSecond: config.trustedGoingOnPerSecond,
        goingOnBurst: config.trustedGoingOnBurst,
      },
      sourcesMax,
      banPoints,
      pointMs,
      banMs,
      banMsMax,
      bansMax,
      scanners: config.scanners ?? GUARD_LIMITS.scanners,
    },
  };
}

/** Applications first, sockets last: what is being said still leaves. */
async function closeAll(closers: readonly (() => Promise<void>)[]): Promise<void> {
  for (const close of [...closers].reverse()) await close();
}
