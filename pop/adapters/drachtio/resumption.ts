// The `resume` exchange of our own sip-server (docs/DRACHTIO.md), from our end: claims as frames, standings as values.

import type { Standing } from "../../core/signalling/call-signalling.ts";

/** Said with the hello: nothing of our calls is told before we have said `resume`. */
export const RESUME_TAG = "resume:1";
const CLAIMS_PER_FRAME_MAX = 4_096;

/** Commands, in this order; the last of them is answered with what stands. */
export function resumeCommands(sipCallIds: readonly string[]): readonly string[] {
  const commands: string[] = [];
  for (let at = 0; at === 0 || at < sipCallIds.length; at += CLAIMS_PER_FRAME_MAX) {
    const part = sipCallIds.slice(at, at + CLAIMS_PER_FRAME_MAX);
    const isLast = at + CLAIMS_PER_FRAME_MAX >= sipCallIds.length;
    commands.push(`resume|${isLast ? "last" : "more"}\r\n${part.join("\r\n")}`);
  }
  return commands;
}

export interface NamedStanding {
  readonly sipCallId: string;
  /** uas: of the caller's side; uac: of a leg that we placed. */
  readonly role: "uas" | "uac";
  /** "": none yet. */
  readonly dialogId: string;
  readonly is: Standing;
}

/** @returns undefined: a line of a newer server */
export function readStanding(line: string): NamedStanding | undefined {
  const [kind, name = "", transactionId = "", third = "", phase = ""] = line.split("|");
  switch (kind) {
    case "invite":
      return {
        sipCallId: name,
        role: "uac",
        dialogId: "",
        is: { kind: "invite", transactionId, status: Number(third) || 0 },
      };
    case "request":
      return { sipCallId: callIdOf(name), role: "uas", dialogId: name, is: { kind: "request", transactionId } };
    case "dialog":
      if (third !== "uas" && third !== "uac") return undefined;
      if (phase !== "unacknowledged" && phase !== "confirmed" && phase !== "ending") return undefined;
      return {
        sipCallId: callIdOf(name),
        role: third,
        dialogId: name,
        is: { kind: "dialog", phase, transactionId },
      };
    default:
      return undefined;
  }
}

/** Of a dialog id. */
export const callIdOf = (dialogId: string): string => dialogId.slice(0, dialogId.lastIndexOf(";from-tag="));
