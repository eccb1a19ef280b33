/** Where RTP goes. `host` is an IP address, never a name. */
export interface RtpAddress {
  readonly host: string;
  readonly port: number;
}

/** One stream's two ends: our relay's, which the other party sends to, and the party's own, as its SDP says. */
export interface MediaPath {
  readonly relay: RtpAddress;
  readonly remote: RtpAddress;
}

/** Where a call's media goes now: for the contact record, the trace, and the proof of residency. */
export interface MediaAddresses {
  readonly caller: MediaPath;
  /** The media worker while anchored or parked, the joined leg while bridged. */
  readonly far: MediaPath;
}

export const showAddress = ({ host, port }: RtpAddress): string => `${host.includes(":") ? `[${host}]` : host}:${port}`;
