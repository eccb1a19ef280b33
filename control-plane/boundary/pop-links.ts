// The stream that a POP host keeps open to its region, in our words.

import type { PopHostId } from "../../kernel/ids.ts";
import type { Outcome } from "../../kernel/outcome.ts";
import type { PopCommand, Report } from "../core/pop-registry/pop-registry.ts";
import type { Snapshot } from "../core/snapshot/snapshot.ts";

/** What a region tells a POP host. Versions only grow; the host answers each with applied or refused. */
export type Directive =
  | { readonly kind: "welcome"; readonly regionId: string; readonly presenceIntervalMs: number }
  | { readonly kind: "snapshot"; readonly snapshot: Snapshot }
  | { readonly kind: "command"; readonly commandId: string; readonly command: PopCommand };

export type AdmissionFailure =
  /** The certificate is that of another host. */
  | { readonly code: "pop.not-itself"; readonly hostId: PopHostId; readonly certificateOf: string }
  /** The host's service has a newer owner: this one was taken over. */
  | { readonly code: "pop.superseded"; readonly hostId: PopHostId; readonly epoch: number; readonly by: number }
  /** Nothing to tell yet: the intent was never read since this process started. */
  | { readonly code: "region.starting" }
  | { readonly code: "region.stopping" };

/** One host's link to this region, from its hello until the stream ends. */
export interface PopLink {
  /** Notes what the host reported; never throws. */
  receive(report: Report): void;
  /** Directives in order, until the link is closed. Holds back a fixed number at most. */
  directives(): AsyncIterable<Directive>;
  /** Safe to repeat. */
  close(): void;
}

export interface PopRegistry {
  /** @param certificateOf the common name of the client's certificate */
  admit(hello: Extract<Report, { kind: "hello" }>, certificateOf: string): Outcome<PopLink, AdmissionFailure>;
}
