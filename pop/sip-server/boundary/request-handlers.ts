import type { Outcome } from "../../../kernel/outcome.ts";
import type { ApplicationHost, ApplicationLink } from "./application-link.ts";

/** An application that listens, and that we connect to for each request. */
export interface ApplicationAddress {
  readonly host: string;
  readonly port: number;
  readonly tls: boolean;
}

export interface HandlerQuestion {
  readonly url: string;
  readonly method: "GET" | "POST";
  /** Of a POST: the request itself, bytes as latin-1. */
  readonly body: string;
}

export type HandlerFailure =
  /** Nobody there, or no answer in time. */
  | { readonly code: "handler.away"; readonly detail: string }
  /** An answer that is no 2xx, or too large. */
  | { readonly code: "handler.unusable"; readonly detail: string };

/** How requests get to applications that do not connect to us. */
export interface RequestHandlers {
  /** Begins to connect; the host hears of frames, and of the end whether or not it ever stood. Never throws. */
  dial(to: ApplicationAddress, host: ApplicationHost): ApplicationLink;
  /** The body of the answer. Never rejects. @fails handler.away, handler.unusable */
  ask(question: HandlerQuestion): Promise<Outcome<string, HandlerFailure>>;
  /** Ends every connection it made. */
  stop(): void;
}
