// Every bound that is not the parser's, with its default. The configuration may set most of them.

import type { DnsCacheLimits } from "./next-hop/dns-cache.ts";

export interface ConnectionLimits {
  readonly messageBytesMax: number;
  /** Of one listener, both ways. */
  readonly connectionsMax: number;
  /** Of one listener, from one address. */
  readonly connectionsPerSourceMax: number;
  /** Without a byte from the peer; RFC 3261 §18 wants at least 32 s (64·T1) after the last message. */
  readonly idleMs: number;
  /** From the connection to its first whole message. */
  readonly firstMessageMs: number;
  /** From the first byte of a message to its last. */
  readonly halfMessageMs: number;
  /** Until a TLS handshake or a WebSocket upgrade is over. */
  readonly handshakeMs: number;
  readonly connectTimeoutMs: number;
  /** Of one connection, unsent; a peer that does not read is let go. */
  readonly backlogBytesMax: number;
  /**
   * A peer we have not heard for so long is pinged: CRLF CRLF (RFC 5626 §4.4.1) on connections we made, a ping frame on
   * every WebSocket. 0: never.
   */
  readonly pingAfterMs: number;
  /** What the ping has to be answered within. */
  readonly pongWithinMs: number;
}

export const STREAM_LIMITS: ConnectionLimits = {
  messageBytesMax: 65_535,
  connectionsMax: 16_384,
  connectionsPerSourceMax: 1_024,
  idleMs: 600_000,
  firstMessageMs: 32_000,
  halfMessageMs: 10_000,
  handshakeMs: 10_000,
  connectTimeoutMs: 4_000,
  backlogBytesMax: 1_048_576,
  pingAfterMs: 0, // not every carrier answers CRLF
  pongWithinMs: 10_000,
};

/** A browser is silent for as long as nobody calls: only a ping tells whether it is there. */
export const WEB_SOCKET_LIMITS: ConnectionLimits = { ...STREAM_LIMITS, pingAfterMs: 30_000 };

/** To the port for operators. Those beyond it are closed unread: descriptors belong to calls first. */
export const HTTP_CONNECTIONS_MAX = 256;

/** What an HTTP request for an upgrade may take, headers and all. */
export const UPGRADE_HEAD_BYTES_MAX = 8_192;

export interface AdminLimits {
  readonly frameBytesMax: number;
  readonly connectionsMax: number;
  /** Unsent; an application that does not read is disconnected. */
  readonly backlogBytesMax: number;
  /** How long a frame nobody waits for (our echo of a message, an ACK) may wait for one to go with. */
  readonly unhurriedMs: number;
  /** Unsent: from here on we read no more commands of it, and give it no new requests, until it has read. */
  readonly backlogBytesHigh: number;
  readonly tlsHandshakeMs: number;
}

export const ADMIN_LIMITS: AdminLimits = {
  frameBytesMax: 1_048_576,
  connectionsMax: 64,
  backlogBytesMax: 64 * 1_048_576,
  unhurriedMs: 2,
  backlogBytesHigh: 4 * 1_048_576,
  tlsHandshakeMs: 5_000,
};

/** Of request handlers: connections we make to applications, and HTTP. */
export interface HandlerLimits {
  /** Connections and questions at once; at it 503. */
  readonly connectionsMax: number;
  readonly connectTimeoutMs: number;
  /** To connect and say who it is; then 480. */
  readonly authenticateMs: number;
  /** An application we connected to, without a request or dialog of its own, is let go after at most this. */
  readonly idleMs: number;
  /** For a whole HTTP answer; then 480. */
  readonly answerMs: number;
  readonly answerBytesMax: number;
}

export const HANDLER_LIMITS: HandlerLimits = {
  connectionsMax: 1_024,
  connectTimeoutMs: 4_000,
  authenticateMs: 9_000,
  idleMs: 120_000,
  answerMs: 4_000,
  answerBytesMax: 65_536,
};

/** Guessing the secret: so many wrong ones from an address, then it is not heard for a while. */
export interface AuthenticationLimits {
  readonly failuresMax: number;
  readonly forgetMs: number;
  /** Remembered; the oldest is forgotten. */
  readonly addressesMax: number;
}

export const AUTHENTICATION_LIMITS: AuthenticationLimits = { failuresMax: 10, forgetMs: 60_000, addressesMax: 1_000 };

export interface UserAgentLimits {
  /** Requests an application has yet to answer. */
  readonly pendingMax: number;
  /** A request no application has reacted to gets a final response after this many T1: INVITE 408, others 500. */
  readonly unansweredInviteT1s: number;
  readonly unansweredT1s: number;
  /** An INVITE may ring this long. */
  readonly ringingMs: number;
  /** Dialogs of an application that has gone: BYE after this. */
  readonly orphanGraceMs: number;
  /** An INVITE whose target has not said a word for so long goes to the next one, when there is one. */
  readonly nextTargetAfterMs: number;
  /** A longer request goes by TCP where UDP was meant: RFC 3261 §18.1.1. 200 below the path MTU, or 1,300 when that is unknown. */
  readonly udpRequestBytesMax: number;
  /** BYEs to orphans go out at this rate. */
  readonly orphanByesPerSecond: number;
  /** What an application that is away is to answer, or to hear, waits this long for it; never beyond 32·T1 (Timer F is 64·T1). */
  readonly returnWaitMs: number;
  /** Frames kept for one application that is away; the oldest give way. */
  readonly outboxFramesMax: number;
  readonly outboxBytesMax: number;
}

export const USER_AGENT_LIMITS: UserAgentLimits = {
  pendingMax: 20_000,
  unansweredInviteT1s: 120, // 60 s: within the 64 s the callers of drachtio know
  unansweredT1s: 54, // 27 s: before the peer's Timer F (32 s), RFC 4320 §4
  ringingMs: 600_000,
  orphanGraceMs: 60_000,
  nextTargetAfterMs: 4_000, // the fourth copy (3.5 s) has had its T1; a server that is alive says 100 within 200 ms (§17.2.1)
  udpRequestBytesMax: 1_300,
  orphanByesPerSecond: 200,
  returnWaitMs: 4_000,
  outboxFramesMax: 10_000,
  outboxBytesMax: 16 * 1_048_576,
};

export interface NextHopLimits extends DnsCacheLimits {
  /** Requests that wait for a name; further ones fail at once (503). */
  readonly resolutionsMax: number;
  /** Questions under way; a further one fails at once, or is answered from what is remembered. */
  readonly questionsMax: number;
  /** How long servers may take when an answer grown old is at hand. */
  readonly staleAfterMs: number;
  /** Targets remembered as dead. */
  readonly quarantinedMax: number;
}

export const NEXT_HOP_LIMITS: NextHopLimits = {
  answersMax: 10_000,
  ttlMinSeconds: 5,
  ttlMaxSeconds: 3_600,
  negativeTtlMaxSeconds: 300,
  failureSeconds: 10,
  staleSeconds: 3_600,
  resolutionsMax: 10_000,
  questionsMax: 512,
  staleAfterMs: 1_000,
  quarantinedMax: 1_024,
};

export interface DnsClientLimits {
  /** For the first answer; each further attempt may take half as long again. */
  readonly timeoutMs: number;
  /** Over all servers, one after the other. */
  readonly attemptsMax: number;
  /** Of an answer over TCP; more than any honest set of servers needs. */
  readonly answerBytesMax: number;
}

/** All attempts together take 3.6 s at most: within the 5 s of a whole resolution. */
export const DNS_CLIENT_LIMITS: DnsClientLimits = { timeoutMs: 750, attemptsMax: 3, answerBytesMax: 16_384 };

/** Of what an application has us proxy. */
export interface ProxyLimits {
  /** Of one request, those a redirect names included. */
  readonly targetsMax: number;
  /** RFC 3261 §16.6 step 11: more than three minutes without 101 … 199 and an INVITE's branch is cancelled. */
  readonly timerCMs: number;
}

export const PROXY_LIMITS: ProxyLimits = { targetsMax: 32, timerCMs: 181_000 };

/** Beyond these, new calls get 503; requests inside dialogs still go through until transactions are full too. */
export const ENDPOINT_LIMITS = { transactionsMax: 200_000, dialogsMax: 50_000 } as const;
