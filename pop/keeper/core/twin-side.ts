// The twin: the connection to it, what it says, what we promise it, and what its silence or refusal proves.

import type { LinkState, TwinUnreachable } from "./keeper-words.ts";
import type { Role } from "./owner-record.ts";
import { hasLease, lengthen, openUnrecorded, stanceOf } from "./tenure.ts";
import type { Answer, Beat, Grant, HostSays, Stance } from "./twin-talk.ts";
import type { Work } from "./work.ts";

// --- the connection we make ---------------------------------------------------------------------------------------

const isLink = (work: Work, link: number): boolean => {
  const now = work.twin.link;
  return now.name !== "closed" && now.link === link;
};

export function connected(work: Work, link: number): void {
  if (!isLink(work, link)) return work.do({ kind: "close-twin", link });
  work.twin = {
    ...work.twin,
    link: { name: "connected", link, answeredAtMs: work.now, beatAtMs: work.now },
    everConnected: true,
    refusedAtMs: undefined,
    unreachable: undefined,
    name: work.twin.name === "died" ? "unknown" : work.twin.name,
  };
}

export function closed(work: Work, link: number): void {
  if (!isLink(work, link)) return;
  const hurryUntilMs = work.now + work.settings.timing.hurryMs;
  work.twin = { ...work.twin, link: { name: "closed", connectAtMs: work.now }, hurryUntilMs };
}

export function unreachable(work: Work, link: number, because: TwinUnreachable): void {
  if (!isLink(work, link)) return;
  if (work.twin.unreachable !== because) work.note("warn", "twin.unreachable", { because });
  work.twin = { ...work.twin, link: later(work), refusedAtMs: undefined, unreachable: because };
}

function later(work: Work): LinkState {
  const { reconnectEveryMs, hurryEveryMs } = work.settings.timing;
  const hurries = work.twin.hurryUntilMs !== undefined && work.now < work.twin.hurryUntilMs;
  return { name: "closed", connectAtMs: work.now + (hurries ? hurryEveryMs : reconnectEveryMs) };
}

/**
 * Its keeper does not run, so nothing runs there, and what it begins later it begins after it has heard us or waited a
 * lease. That keeps what we hold for another lease; and where we had its connection, it proves a death.
 */
export function refused(work: Work, link: number): void {
  const { link: now } = work.twin;
  if (now.name !== "connecting" || now.link !== link) return;
  // Beats still come: somebody lives there, and answers for a listener that is gone.
  if (work.twin.incoming !== undefined) {
    work.twin = { ...work.twin, link: later(work), refusedAtMs: undefined };
    return;
  }
  work.twin = {
    ...work.twin,
    link: { name: "closed", connectAtMs: work.now + work.settings.timing.reconnectEveryMs },
    refusedAtMs: now.sinceMs,
    unreachable: undefined,
    clearOfPast: true,
  };
  endedSoFar(work, "home");
  for (const role of work.roles()) lengthen(work, role, now.sinceMs);
  if (!work.twin.everConnected || work.twin.name === "left") return;
  endedSoFar(work, "guest");
  work.twin = { ...work.twin, name: "died", everConnected: false };
  const unheardMs = work.now - (work.twin.heardAtMs ?? work.startedAtMs);
  work.note("error", "twin.died", { unheardMs: Math.round(unheardMs) });
}

function endedSoFar(work: Work, role: Role): void {
  const { ended, known, granted } = work.of(role);
  work.change(role, { ended: Math.max(ended, known, granted?.epoch ?? 0), twinSays: undefined });
}

/** Connects, beats, and gives a deaf connection up. */
export function keepLink(work: Work): void {
  if (work.settings.twin === undefined) return;
  const { timing } = work.settings;
  const { link, name } = work.twin;
  if (name === "heard" && work.twinUnheard) {
    work.twin = { ...work.twin, name: "silent" };
    work.note("warn", "twin.silent", { unheardMs: timing.silentMs });
  }
  if (link.name === "connecting" && work.now - link.sinceMs >= timing.callWithinMs) {
    work.do({ kind: "close-twin", link: link.link });
    unreachable(work, link.link, "timed-out");
  }
  if (link.name === "connected" && work.now - link.answeredAtMs >= timing.deafMs) {
    work.do({ kind: "close-twin", link: link.link });
    closed(work, link.link);
  }
  if (work.stopping === "finished") return;
  const next = work.twin.link;
  if (next.name === "closed" && work.now >= next.connectAtMs) {
    const fresh = work.id();
    work.twin = { ...work.twin, link: { name: "connecting", link: fresh, sinceMs: work.now } };
    work.do({ kind: "connect-twin", link: fresh });
  }
  if (next.name === "connected" && work.now >= next.beatAtMs) sendBeat(work);
}

export function sendBeat(work: Work): void {
  const { link } = work.twin;
  if (link.name !== "connected") return;
  const beat: Beat = { ...says(work), n: work.id(), sentAtMs: work.now };
  work.twin = { ...work.twin, link: { ...link, beatAtMs: work.now + work.settings.timing.beatEveryMs } };
  work.do({ kind: "send-beat", link: link.link, beat });
}

// --- what is said --------------------------------------------------------------------------------------------------

const says = (work: Work): HostSays => ({
  boot: work.boot,
  stances: work.roles().map((role) => stanceOf(work, role)),
  leaving: work.stopping !== "no",
  wantsHome: work.returning !== undefined,
});

export function answered(work: Work, link: number, answer: Answer): void {
  const now = work.twin.link;
  if (now.name !== "connected" || now.link !== link || answer.sentAtMs > work.now) return;
  work.twin = { ...work.twin, link: { ...now, answeredAtMs: work.now } };
  hear(work, answer);
  for (const { service, epoch } of answer.grants) {
    const role = work.role(service);
    if (role !== undefined) granted(work, role, epoch, answer.sentAtMs);
  }
}

function granted(work: Work, role: Role, epoch: number, askedAtMs: number): void {
  const { tenure } = work.of(role);
  if (tenure.name === "asking" && tenure.epoch === epoch && askedAtMs >= tenure.sinceMs)
    openUnrecorded(work, epoch, askedAtMs, "twin-grants");
  else if (hasLease(tenure) && tenure.held.epoch === epoch) lengthen(work, role, askedAtMs);
}

export function beaten(work: Work, from: number, beat: Beat): void {
  work.twin = { ...work.twin, incoming: from, refusedAtMs: undefined };
  hear(work, beat);
  const grants = beat.stances.flatMap((stance) => grantFor(work, stance));
  const answer: Answer = { ...says(work), n: beat.n, sentAtMs: beat.sentAtMs, grants };
  work.do({ kind: "answer-beat", from, answer });
}

/** Given for what we neither hold nor are about to; then we keep to it. */
function grantFor(work: Work, stance: Stance): Grant[] {
  const role = work.role(stance.service);
  if (role === undefined || (stance.name !== "holds" && stance.name !== "asks")) return [];
  const { tenure, known, granted: before } = work.of(role);
  if (tenure.name !== "none" || stance.epoch < known) return [];
  const untilMs = Math.max(before?.untilMs ?? 0, work.now + work.patienceMs);
  work.change(role, { granted: { epoch: Math.max(before?.epoch ?? 0, stance.epoch), untilMs } });
  return [{ service: stance.service, epoch: stance.epoch }];
}

export function hungUp(work: Work, from: number): void {
  if (work.twin.incoming === from) work.twin = { ...work.twin, incoming: undefined };
}

function hear(work: Work, said: HostSays): void {
  const { twin } = work;
  const name = said.leaving ? "left" : "heard";
  if (twin.name !== name) {
    if (name === "left") work.note("info", "twin.left");
    else work.note("info", "twin.heard", { again: twin.boot === said.boot });
  }
  if (twin.boot !== said.boot) for (const role of work.roles()) work.change(role, { twinSays: undefined });
  work.twin = { ...twin, boot: said.boot, heardAtMs: work.now, name, wantsHome: said.wantsHome };
  for (const stance of said.stances) {
    const role = work.role(stance.service);
    if (role === undefined) continue;
    const { known, ended } = work.of(role);
    const real = stance.name === "holds" || stance.name === "idle";
    // A host has one tenure after the other, each with a larger epoch
    const endedBefore = stance.name === "idle" ? stance.epoch : stance.epoch - 1;
    work.change(role, {
      twinSays: stance,
      known: real ? Math.max(known, stance.epoch) : known,
      ended: Math.max(ended, endedBefore),
    });
    const holdsNothing = stance.name === "idle" || stance.name === "asks";
    if (role === "guest" && holdsNothing) work.twin = { ...work.twin, clearOfPast: true };
  }
}
