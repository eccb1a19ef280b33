// Has this very request been here before? RFC 3261 §16.3 step 4 with the branch of RFC 5393 §4.2. A spiral, where something
// that decides the way has changed in between, is none.

import { hash } from "node:crypto";
import type { SipRequest } from "../message/message.ts";
import { splitList } from "../message/parameters.ts";
import { MAGIC_COOKIE, parseVia, type Via } from "../message/via.ts";

/** Stands between what is unique in a branch of a proxied request and its mark; no other branch of ours has it. */
const MARK = "~";

/** What decides where we send it: the same mark again is a loop. */
export function loopMark(request: SipRequest, routes: readonly string[]): string {
  const { callId, fromTag, toTag, cseq, uri } = request;
  return hash("md5", [callId, fromTag, toTag, cseq.number, uri, ...routes].join("\n"), "hex").slice(0, 12);
}

export const markedBranch = (branch: string, mark: string): string => `${branch}${MARK}${mark}`;

/** The mark of one branch on another: the same request goes to its next target. */
export const markedLike = (fresh: string, marked: string): string => {
  const at = marked.indexOf(MARK);
  return at === -1 ? fresh : fresh + marked.slice(at);
};

/** A branch of a request that was not ours but went through us. */
export const isMarkedBranch = (branch: string): boolean => branch.startsWith(MAGIC_COOKIE) && branch.includes(MARK);

export function isLooped(request: SipRequest, mark: string, isOurs: (via: Via) => boolean): boolean {
  for (const { key, value } of request.headers) {
    if (key !== "via" || !value.includes(MARK + mark)) continue;
    for (const one of splitList(value)) {
      const via = parseVia(one);
      if (via?.branch.endsWith(MARK + mark) && isOurs(via)) return true;
    }
  }
  return false;
}
