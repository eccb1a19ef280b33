// Call detail records of the drachtio protocol: attempt, start and stop of each leg, each to one application that asked
// for that kind, the next one next time. Nothing is kept: a record nobody wants is not made.

import type { ApplicationLink } from "../../boundary/application-link.ts";
import * as report from "../../core/drachtio/report.ts";
import type { SipMessage } from "../../core/message/message.ts";

export type LegRole = "uac" | "uas" | "proxy-uac" | "proxy-uas";

export type StopReason =
  | "call-rejected"
  | "call-canceled"
  | "normal-release"
  | "session-expired"
  /** A 2xx that crossed a CANCEL: acknowledged and ended. The C++ server's table of names misses this one. */
  | "ack-bye"
  | "system-initiated-termination";

export interface RecordShell {
  uuid(): string;
  timeOfDay(): string;
  textOf(message: SipMessage): string;
  /** The next application that routed this kind of record. */
  pick(kind: string): ApplicationLink | undefined;
}

export class CallRecords {
  readonly #shell: RecordShell;

  constructor(shell: RecordShell) {
    this.#shell = shell;
  }

  /** @param source "network" for a call that came in, "application" for one that goes out */
  attempt(source: report.Meta["source"], message: SipMessage): void {
    this.#tell("cdr:attempt", source, undefined, message);
  }

  started(source: report.Meta["source"], message: SipMessage, role: LegRole): void {
    this.#tell("cdr:start", source, role, message);
  }

  stopped(source: report.Meta["source"], message: SipMessage, reason: StopReason): void {
    this.#tell("cdr:stop", source, reason, message);
  }

  #tell(kind: string, source: report.Meta["source"], what: string | undefined, message: SipMessage): void {
    const link = this.#shell.pick(kind);
    if (link === undefined) return;
    const { uuid, timeOfDay, textOf } = this.#shell;
    link.send(report.callRecord(uuid(), kind, source, timeOfDay(), what, textOf(message)));
  }
}

/** Why a BYE of our own was sent, as a record calls it. */
export function stopReasonOf(why: string): StopReason {
  if (why.startsWith("ACK-BYE")) return "ack-bye";
  return why.startsWith("Session timer") ? "session-expired" : "system-initiated-termination";
}
