// A call whose media has lost its place at the relay, and goes on at a new one: each side is told by a re-INVITE of
// ours. The only takeover that a party sees in SIP, so it is counted, noted and told apart.

import { showAddress } from "../media/addresses.ts";
import type { CallInput } from "./call-execution.ts";
import type { Turn } from "./turn.ts";

type ReAnchored = Extract<CallInput, { kind: "re-anchored" }>;
type ReinviteAnswered = Extract<CallInput, { kind: "reinvite-answered" }>;

/**
 * The leg that talks moves with the caller; one that rings is offered its new place when it has answered. For one that
 * is being prepared or joined the relay's own refusal is under way already.
 */
export function mediaLost(turn: Turn): void {
  const far = turn.runningOrNone()?.far;
  const leg = far?.name === "talking" || far?.name === "ringing" ? far.leg : undefined;
  turn.note("media", "the relay has lost the call", "a new place is asked for");
  turn.do({ kind: "re-anchor", leg });
}

export function reAnchored(turn: Turn, { offers, media }: ReAnchored): void {
  if (offers.length === 0) return turn.note("media", "anchored again", "every side's place is the old one");
  turn.reAnchored();
  turn.note("media", "re-anchored", `${offers.length} re-INVITE, relay ${showAddress(media.caller.relay)}`);
  turn.tell("call.re-anchored", { sides: String(offers.length) });
  for (const { side, sdp } of offers) {
    const run = turn.runningOrNone();
    if (side === "caller") {
      if (run !== undefined) turn.run({ callerSdp: sdp });
      else turn.answerIs(sdp);
    } else if (run?.far.name === "ringing" && run.far.leg === side) {
      turn.run({ far: { ...run.far, movedTo: sdp } });
      continue; // an INVITE cannot be followed by another before its answer
    } else if (run?.far.name === "talking" && run.far.leg === side) turn.run({ far: { ...run.far, farSdp: sdp } });
    else continue; // gone meanwhile
    turn.do({ kind: "reinvite", side, sdp });
  }
}

export function reinviteAnswered(turn: Turn, { side, sdp }: ReinviteAnswered): void {
  const far = turn.runningOrNone()?.far;
  if (far?.name === "joining" && far.leg === side) {
    const { movedTo: _, ...joining } = far;
    turn.run({ far: { ...joining, answer: sdp } });
    return turn.do({ kind: "bridge", leg: far.leg, answer: sdp });
  }
  if (side === "caller" || (far?.name === "talking" && far.leg === side)) turn.do({ kind: "take-answer", side, sdp });
}
