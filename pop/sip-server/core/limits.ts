// Every bound that is not the parser's, with its default. The configuration may set most of them.

export interface TcpLimits {
  readonly messageBytesMax: number;
  readonly connectionsMax: number;
  /** Without a byte either way; RFC 3261 §18 wants at least 32 s (64·T1) after the last message. */
  readonly idleMs: number;
  readonly connectTimeoutMs: number;
  /** Of one connection, unsent; a peer that does not read is let go. */
  readonly backlogBytesMax: number;
}

export const TCP_LIMITS: TcpLimits = {
  messageBytesMax: 65_535,
  connectionsMax: 4_096,
  idleMs: 600_000,
  connectTimeoutMs: 4_000,
  backlogBytesMax: 1_048_576,
};

export interface AdminLimits {
  readonly frameBytesMax: number;
  readonly connectionsMax: number;
  /** Unsent; an application that does not read is disconnected. */
  readonly backlogBytesMax: number;
}

export const ADMIN_LIMITS: AdminLimits = {
  frameBytesMax: 1_048_576,
  connectionsMax: 64,
  backlogBytesMax: 64 * 1_048_576,
};

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
}

export const USER_AGENT_LIMITS: UserAgentLimits = {
  pendingMax: 20_000,
  unansweredInviteT1s: 120, // 60 s: within the 64 s the callers of drachtio know
  unansweredT1s: 54, // 27 s: before the peer's Timer F (32 s), RFC 4320 §4
  ringingMs: 600_000,
  orphanGraceMs: 60_000,
  nextTargetAfterMs: 4_000, // the fourth copy (3.5 s) has had its T1; a server that is alive says 100 within 200 ms (§17.2.1)
};

/** Beyond these, new calls get 503; requests inside dialogs still go through until transactions are full too. */
export const ENDPOINT_LIMITS = { transactionsMax: 200_000, dialogsMax: 50_000 } as const;
