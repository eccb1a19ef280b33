// An INVITE that takes the place of another dialog. RFC 3891.

import { fail, type Outcome, succeed } from "../../../../kernel/outcome.ts";
import { hasHeader, headersOf, type SipRequest } from "../message/message.ts";
import { parameter } from "../message/parameters.ts";
import type { Dialog } from "./dialog.ts";

export interface Replaces {
  readonly callId: string;
  /** Ours, in the dialog it means. */
  readonly toTag: string;
  readonly fromTag: string;
  readonly earlyOnly: boolean;
}

export interface ReplacesFault {
  readonly code: "replaces.unusable";
  readonly reason: string;
}

const TOKEN = /^[A-Za-z0-9\-.!%*_+`'~]{1,255}$/;
const CALL_ID = /^[^\s,;"|]{1,255}$/;

/** undefined without such a header. RFC 3891 §3, §6.1. @fails replaces.unusable: answer 400 */
export function replacesOf(request: SipRequest): Outcome<Replaces | undefined, ReplacesFault> {
  const lines = headersOf(request, "replaces");
  const [line] = lines;
  if (line === undefined) return succeed(undefined);
  const unusable = (reason: string) => fail<ReplacesFault>({ code: "replaces.unusable", reason });
  if (request.method !== "INVITE") return unusable("Replaces in a request that is no INVITE");
  if (lines.length > 1 || line.value.includes(",")) return unusable("More than one Replaces");
  if (hasHeader(request, "join")) return unusable("Replaces and Join"); // RFC 3911 §4
  const semicolon = line.value.indexOf(";");
  const callId = (semicolon === -1 ? line.value : line.value.slice(0, semicolon)).trim();
  const params = semicolon === -1 ? "" : line.value.slice(semicolon);
  const toTag = parameter(params, "to-tag");
  const fromTag = parameter(params, "from-tag");
  if (!CALL_ID.test(callId)) return unusable("Bad Replaces: no Call-ID");
  if (toTag === undefined || !TOKEN.test(toTag)) return unusable("Bad Replaces: no to-tag");
  if (fromTag === undefined || !TOKEN.test(fromTag)) return unusable("Bad Replaces: no from-tag");
  if (isTwice(params, "to-tag") || isTwice(params, "from-tag")) return unusable("Bad Replaces: a tag twice");
  return succeed({ callId, toTag, fromTag, earlyOnly: parameter(params, "early-only") !== undefined });
}

const isTwice = (params: string, name: string): boolean => params.toLowerCase().split(`;${name}=`).length > 2;

export type ReplacesVerdict =
  | { readonly kind: "match" }
  | { readonly kind: "refuse"; readonly status: 481 | 486 | 603 };

/**
 * What becomes of the INVITE. RFC 3891 §3.
 *
 * @param dialog the one of that Call-ID, local and remote tag
 * @param ended there was one, and it is over
 */
export function judge(replaces: Replaces, dialog: Dialog | undefined, ended: boolean): ReplacesVerdict {
  if (dialog === undefined) return { kind: "refuse", status: ended ? 603 : 481 };
  if (dialog.usage !== "INVITE") return { kind: "refuse", status: 481 };
  if (dialog.phase === "terminated" || !dialog.usages.session) return { kind: "refuse", status: 603 };
  if (dialog.phase === "confirmed") return replaces.earlyOnly ? { kind: "refuse", status: 486 } : { kind: "match" };
  // Ringing here: only who made the call may have it picked up elsewhere.
  return dialog.role === "uac" ? { kind: "match" } : { kind: "refuse", status: 481 };
}
