// The sip-server's configuration: parsed once, whole, strictly.

import { isIP } from "node:net";
import { z } from "zod";
import { DigestSchema } from "./digest-config.ts";

const port = z.int().min(0).max(65_535); // 0: any free one, for tests
const host = z.string().refine((text) => isIP(text) !== 0, "an IP address");
const isServer = (text: string): boolean =>
  isIP(text) !== 0 ||
  isIP(text.replace(/:\d{1,5}$/, "")) === 4 ||
  isIP(/^\[(.*)\](?::\d{1,5})?$/.exec(text)?.[1] ?? "") === 6;

const file = z.string().min(1).max(4_096);
const prefix = z.union([z.cidrv4(), z.cidrv6(), z.ipv4(), z.ipv6()], {
  error: "an address or a prefix, like 10.0.0.0/8",
});

const TlsSchema = z
  .strictObject({
    /** PEM; the certificate first, then those between it and the CA. The first identity is everybody's, the others are asked for by name (SNI). */
    identities: z
      .array(z.strictObject({ certFile: file, keyFile: file }))
      .min(1)
      .max(64),
    /** Who may sign the certificates of peers. Empty: the CAs of the system, for servers we call. */
    caFiles: z.array(file).max(64).default([]),
    /** Every CA of a chain needs one as soon as there is one. */
    crlFiles: z.array(file).max(64).default([]),
    /** "request": who shows a certificate must show a good one. "require": who shows none is refused. */
    clientCertificate: z.enum(["none", "request", "require"]).default("none"),
    /** False: servers we call may show any certificate. */
    rejectUnauthorized: z.boolean().default(true),
    minVersion: z.enum(["TLSv1.2", "TLSv1.3"]).default("TLSv1.2"),
    /** Believe "*.example" for "sbc.example": RFC 5922 §7.2 says no, carriers with a certificate of the web need it. */
    wildcardNames: z.boolean().default(false),
  })
  .refine(({ clientCertificate, caFiles }) => clientCertificate === "none" || caFiles.length > 0, {
    path: ["caFiles"],
    error: "needed when peers show certificates: the CAs of the system would let the whole web in",
  });

const perSecond = z.int().min(1).max(10_000_000);

const ListenSchema = z
  .strictObject({
    transport: z.enum(["udp", "tcp", "tls", "ws", "wss"]),
    /** The connection's name in logs and metrics: "carriers", "agents". The transport's when left out. */
    name: z
      .string()
      .regex(/^[a-z0-9][a-z0-9-]{0,31}$/, "lower-case letters, digits and hyphens, like carriers")
      .optional(),
    host,
    port,
    /** What peers call us when it is not `host`: a name, or the address in front of a NAT. */
    externalHost: z
      .string()
      .regex(/^[A-Za-z0-9._:-]{1,255}$/)
      .optional(),
    /** Peers in these prefixes see `host` all the same: they are on our side of the NAT. */
    localNets: z.array(prefix).max(64).optional(),
    /** Of tls and wss. */
    tls: TlsSchema.optional(),
    /** Of ws and wss: pages whose scripts may connect, like https://phone.example. Any when left out. */
    origins: z
      .array(z.string().regex(/^https?:\/\/[A-Za-z0-9.:[\]-]{1,255}$/, "like https://phone.example"))
      .max(256)
      .optional(),
  })
  .refine(({ transport, tls }) => (transport === "tls" || transport === "wss") === (tls !== undefined), {
    path: ["tls"],
    error: "tls and wss need it, no other transport may have it",
  })
  .refine(({ transport, origins }) => origins === undefined || transport === "ws" || transport === "wss", {
    path: ["origins"],
    error: "only ws and wss have origins",
  })
  .refine(({ host, externalHost }) => externalHost !== undefined || (host !== "0.0.0.0" && host !== "::"), {
    path: ["externalHost"],
    error: "needed when host is a wildcard: Via and Contact must name an address",
  });

const RequestHandlerSchema = z.strictObject({
  /** All methods when left out. */
  methods: z
    .array(z.string().regex(/^[A-Za-z]{1,32}$/))
    .max(32)
    .default([]),
  /** tcp://host:port and tls://host:port: a connection for each request. http(s)://…: asked what to do. */
  url: z.string().max(2_048).refine(isHandlerUrl, "tcp://host:port, tls://host:port, http://… or https://…"),
  httpMethod: z.enum(["GET", "POST"]).default("GET"),
});

function isHandlerUrl(text: string): boolean {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol === "tcp:" || url?.protocol === "tls:") return url.hostname !== "" && Number(url.port) > 0;
  return url?.protocol === "http:" || url?.protocol === "https:";
}

export const SipServerConfigSchema = z
  .strictObject({
    listen: z.array(ListenSchema).min(1).max(64),
    admin: z.strictObject({
      host,
      port,
      secret: z.string().min(1).optional(),
      /** A file whose content, trimmed, is the secret. */
      secretFile: z.string().min(1).optional(),
      frameBytesMax: z.int().min(4_096).max(16_777_216).default(1_048_576),
      connectionsMax: z.int().min(1).max(1_024).default(64),
      /** The same protocol once more, inside TLS 1.2 or later. */
      tls: z
        .strictObject({
          host,
          port,
          /** PEM files. */
          certFile: z.string().min(1),
          keyFile: z.string().min(1),
          /** Of the authority that signs applications' certificates. */
          caFile: z.string().min(1).optional(),
          /** "required": an application shows a certificate of that authority, or is turned away. */
          clientCertificates: z.enum(["none", "required"]).default("none"),
        })
        .refine(({ caFile, clientCertificates }) => clientCertificates === "none" || caFile !== undefined, {
          path: ["caFile"],
          error: "needed when client certificates are required",
        })
        .optional(),
    }),
    /** New requests whose method one of these names, the first that does, go there and not to connected applications. */
    requestHandlers: z.array(RequestHandlerSchema).max(32).default([]),
    /** For handlers over TLS and HTTPS: a PEM file of the authority that signs theirs; the system's when left out. */
    requestHandlerTls: z
      .strictObject({ caFile: z.string().min(1).optional(), verifyCertificates: z.boolean().default(true) })
      .prefault({}),
    /** Call records (cdr:attempt, cdr:start, cdr:stop) for applications that route them. */
    cdrs: z.boolean().default(false),
    http: z.strictObject({ host, port }),
    digest: DigestSchema.prefault({}),
    /** Option tags the applications understand, as in Require; others than the server's own get 420. */
    appOptionTags: z
      .array(z.string().regex(/^[A-Za-z0-9.!%*_+`'~-]{1,64}$/))
      .max(64)
      .default([]),
    /**
     * Event packages whose NOTIFYs reach applications inside calls without a subscription (RFC 6665 §4.1.3 says 481); "*": all.
     * Default: those that phones and exchanges are known to send so.
     */
    unsolicitedEvents: z
      .array(z.string().regex(/^[A-Za-z0-9.!%*_+`'~-]{1,64}$/))
      .max(64)
      .optional(),
    /** "passed": applications that relay Replaces to others look at it themselves. */
    replaces: z.enum(["checked", "passed"]).default("checked"),
    /** RFC 3261 T1; T2 and T4 follow it (8 and 10 times). */
    t1Ms: z.int().min(10).max(2_000).default(500),
    /** "told": datagrams and connections of sources no application has named are dropped unread. */
    trustedSources: z.enum(["any", "told"]).default("any"),
    traceCallIds: z.int().min(0).max(100_000).default(2_000),
    traceLinesPerCall: z.int().min(1).max(2_000).default(200),
    /** A copy of every message to a Homer collector, HEPv3. It must stand in this region: copies hold personal data. */
    capture: z
      .strictObject({
        transport: z.enum(["udp", "tcp"]).default("udp"),
        host,
        port,
        agentId: z.int().min(0).max(4_294_967_295),
        /** A file whose content, trimmed, is the collector's key. */
        passwordFile: z.string().min(1).optional(),
        backlogBytesMax: z.int().min(65_536).max(1_073_741_824).default(4_194_304),
      })
      .optional(),
    /** Calls are written down for whoever serves next, and taken up at the start. Absent: they end with the process. */
    checkpoints: z
      .strictObject({
        /** Named by the host that is its home. */
        service: z.string().regex(/^[a-z0-9][a-z0-9-]{0,62}$/, "a host id, like fra-01-a"),
        redis: z.strictObject({
          host: z.string().min(1).max(255),
          port,
          /** A file whose content is the password. */
          passwordFile: z.string().min(1).optional(),
        }),
        /** How long a message waits at most for its call to be written: docs/LIMITS.md. */
        waitMsMax: z.int().min(1).max(150).default(50),
        /** 1 while the host may yet go back to a release that reads no other. */
        writeVersion: z.union([z.literal(1), z.literal(2)]).default(2),
      })
      .optional(),
    udpBufferBytes: z.int().min(65_536).max(67_108_864).default(4_194_304),
    messageBytesMax: z.int().min(2_048).max(65_535).default(65_535),
    /** Connections of each tcp, tls, ws and wss listener. What each bound does: docs/LIMITS.md. */
    connections: z
      .strictObject({
        max: z.int().min(1).max(262_144).default(16_384),
        perSourceMax: z.int().min(1).max(262_144).default(1_024),
        idleMs: z.int().min(32_000).max(86_400_000).default(600_000),
        firstMessageMs: z.int().min(100).max(600_000).default(32_000),
        halfMessageMs: z.int().min(100).max(600_000).default(10_000),
        handshakeMs: z.int().min(100).max(120_000).default(10_000),
        connectTimeoutMs: z.int().min(100).max(32_000).default(4_000),
        backlogBytesMax: z.int().min(65_535).max(268_435_456).default(1_048_576),
        /** Pings on TCP and TLS connections that we made; 0: none. */
        pingAfterMs: z.int().min(0).max(600_000).default(0),
        /** Pings on WebSockets; 0: none. */
        webSocketPingAfterMs: z.int().min(0).max(600_000).default(30_000),
        pongWithinMs: z.int().min(100).max(60_000).default(10_000),
      })
      .prefault({}),
    /** How often certificate files are looked at; a change of their folders is noticed at once. 0: only when asked. */
    certificatePollMs: z.int().min(0).max(3_600_000).default(10_000),
    transactionsMax: z.int().min(100).max(2_000_000).default(200_000),
    dialogsMax: z.int().min(10).max(1_000_000).default(50_000),
    pendingRequestsMax: z.int().min(10).max(1_000_000).default(20_000),
    ringingMs: z.int().min(10_000).max(3_600_000).default(600_000),
    /** How long dialogs outlive the connection of their application before they get a BYE. */
    orphanGraceMs: z.int().min(0).max(86_400_000).default(60_000),
    /** An INVITE whose target says nothing for so long goes to the next target of its host name. */
    nextTargetAfterMs: z.int().min(500).max(32_000).default(4_000),
    /** Longer requests go by TCP: 200 below the path MTU. 65,535: never. */
    udpRequestBytesMax: z.int().min(500).max(65_535).default(1_300),
    dns: z
      .strictObject({
        /** `address` or `address:port`, IPv6 in brackets; default: those of the operating system. */
        servers: z.array(z.string().refine(isServer, "an IP address, with or without a port")).min(1).max(8).optional(),
        timeoutMs: z.int().min(50).max(5_000).default(750),
        attemptsMax: z.int().min(1).max(8).default(3),
      })
      .prefault({}),
    /** RFC 4028. */
    sessionTimer: z
      .strictObject({
        /** What we ask for when neither the application nor the peer does, seconds; 0: never. */
        intervalSeconds: z
          .int()
          .min(0)
          .max(86_400)
          .refine((seconds) => seconds === 0 || seconds >= 90, "0, or at least 90 (RFC 4028 §4)")
          .default(0),
        /** A shorter interval is refused with 422. */
        minSeSeconds: z.int().min(90).max(86_400).default(90),
        /** Who refreshes when the peer leaves it to us. */
        refresher: z.enum(["peer", "us"]).default("peer"),
      })
      .prefault({}),
    /** BYEs per second to dialogs whose application is gone for good. */
    orphanByesPerSecond: z.int().min(1).max(10_000).default(200),
    /** Budgets by source address (IPv6: by /64), before anything is parsed. */
    guard: z
      .strictObject({
        enabled: z.boolean().default(true),
        /** Addresses and prefixes with the larger budget, never banned by themselves; besides them those that applications tell. */
        trusted: z.array(prefix).max(4_096).default(["127.0.0.0/8", "::1"]),
        strangerNewPerSecond: perSecond.default(50),
        strangerNewBurst: perSecond.default(200),
        strangerGoingOnPerSecond: perSecond.default(500),
        strangerGoingOnBurst: perSecond.default(2_000),
        trustedNewPerSecond: perSecond.default(2_000),
        trustedNewBurst: perSecond.default(8_000),
        trustedGoingOnPerSecond: perSecond.default(20_000),
        trustedGoingOnBurst: perSecond.default(80_000),
        sourcesMax: z.int().min(100).max(1_000_000).default(20_000),
        /** Points (a message that cannot be read 1, credentials refused 2) until a source is banned; one is forgotten per pointMs. */
        banPoints: z.int().min(2).max(10_000).default(20),
        pointMs: z.int().min(100).max(3_600_000).default(10_000),
        /** The first ban; each further one lasts twice as long. */
        banMs: z.int().min(1_000).max(86_400_000).default(60_000),
        banMsMax: z.int().min(1_000).max(2_592_000_000).default(86_400_000),
        bansMax: z.int().min(10).max(1_000_000).default(10_000),
        /** Parts of User-Agent, Server or From; default: the well-known tools. */
        scanners: z.array(z.string().min(3).max(64)).max(256).optional(),
      })
      .prefault({}),
    /** When the event loop is late, new requests get 503 first. */
    overload: z
      .strictObject({
        delayHighMs: z.int().min(5).max(10_000).default(100),
        delayLowMs: z.int().min(1).max(10_000).default(30),
        utilizationHigh: z.number().min(0.1).max(1).default(0.98),
        utilizationLow: z.number().min(0.05).max(1).default(0.93),
        backlogBytesHigh: z.int().min(65_536).max(1_073_741_824).default(8_388_608),
        probeMs: z.int().min(50).max(10_000).default(250),
        newPerSecondMin: z.int().min(1).max(1_000).default(10),
      })
      .refine((o) => o.delayLowMs < o.delayHighMs && o.utilizationLow < o.utilizationHigh, {
        error: "the lower bounds must be below the higher ones",
      })
      .prefault({}),
    /** How long what an application that has lost its connection must answer waits for it to come back. */
    returnWaitMs: z.int().min(0).max(16_000).default(4_000),
  })
  .refine(({ admin }) => (admin.secret === undefined) !== (admin.secretFile === undefined), {
    path: ["admin", "secret"],
    error: "give either secret or secretFile",
  });

export type SipServerConfig = z.output<typeof SipServerConfigSchema>;
