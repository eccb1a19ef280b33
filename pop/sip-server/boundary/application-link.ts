/** "soon": nobody waits for it, so it may share the way with a later one. The order is kept in any case. */
export type Urgency = "now" | "soon";

/** One connection of an application. */
export interface ApplicationLink {
  readonly id: string;
  /** Where it connects from: an IP address. */
  readonly address: string;
  readonly open: boolean;
  /** It reads more slowly than it is told: new work goes to others. */
  readonly busy: boolean;
  /** Said and not yet gone; left out where it is never much. */
  readonly backlogBytes?: number;
  /** @param payload bytes as latin-1, unframed */
  send(payload: string, urgency?: Urgency): void;
  /** It has said the secret; left out where nobody counts strangers. */
  authenticated?(): void;
  /** After what was sent has left. */
  close(): void;
}

/** What the admin listener tells the endpoint. */
export interface ApplicationHost {
  onOpen(link: ApplicationLink): void;
  onPayload(link: ApplicationLink, payload: string): void;
  /** Bytes that are no frame: the connection is given up after what the host says to it. `id` of the command, if it can be told. */
  onUnusable(link: ApplicationLink, id: string, reason: string): void;
  onClose(link: ApplicationLink): void;
}
