// Where a proxied request may go: RFC 3261 §16.5.

export interface Target {
  readonly uri: string;
  /** The Request-URI becomes this one (§16.6 step 2); otherwise it is only where the request is sent. */
  readonly isRequestUri: boolean;
}
