// An application that is back on another connection, or as another process, and says which calls it remembers: it learns what
// there is of them, gets what it missed, and what nobody remembers is ended. The frames: core/drachtio/resume.ts.

import type { ApplicationLink } from "../boundary/application-link.ts";
import type { Command } from "../core/drachtio/command.ts";
import * as report from "../core/drachtio/report.ts";
import { CLAIMS_MAX, STANDINGS_PER_FRAME, type Standing, showStanding } from "../core/drachtio/resume.ts";
import type { Owner, Owners } from "./applications/owners.ts";
import type { UnrestoredCalls } from "./checkpoints/unrestored-calls.ts";
import type { ClientCall } from "./client/client-call.ts";
import type { UserAgentClient } from "./client/user-agent-client.ts";
import type { DialogEntry, DialogStore, UnacknowledgedAnswer } from "./dialogs/dialog-store.ts";
import type { Orphans } from "./dialogs/orphans.ts";
import type { PendingRequest } from "./server/pending-request.ts";
import type { UserAgentServer } from "./server/user-agent-server.ts";
import { metaOfArrived, sendArrived } from "./shell/frames.ts";
import type { Shell } from "./shell/shell.ts";
import type { TimerOwner } from "./shell/timer-wheel.ts";

/** A connection that is to say `resume` and does not would keep its calls waiting. */
const RESUME_WITHIN_MS = 5_000;

type ResumeCommand = Extract<Command, { kind: "resume" }>;

export interface ResumptionParts {
  readonly shell: Shell;
  readonly owners: Owners;
  readonly orphans: Orphans;
  readonly dialogs: DialogStore;
  readonly client: UserAgentClient;
  readonly server: UserAgentServer;
  readonly unrestored: UnrestoredCalls;
}

/** What there is of an owner's calls, sorted by whether it remembers them. */
interface Inventory {
  readonly standings: Standing[];
  readonly unclaimedDialogs: DialogEntry[];
  readonly unclaimedCalls: ClientCall[];
  /** 2xx that it has not acknowledged. */
  readonly answers: (UnacknowledgedAnswer & { readonly entry: DialogEntry })[];
  readonly owed: readonly PendingRequest[];
}

export class Resumption {
  readonly #parts: ResumptionParts;
  /** Of connections that have begun to say them, or are expected to. */
  readonly #claims = new Map<ApplicationLink, Set<string>>();

  constructor(parts: ResumptionParts) {
    this.#parts = parts;
  }

  /** It has announced `resume`: what it had stays as if it were away until then. */
  expect(link: ApplicationLink): void {
    this.#claims.set(link, new Set());
    const late: TimerOwner = {
      onTimer: () => {
        if (this.#claims.has(link)) link.close();
      },
    };
    this.#parts.shell.wheel.start(late, "resume", RESUME_WITHIN_MS);
  }

  forget(link: ApplicationLink): void {
    this.#claims.delete(link);
  }

  onCommand(link: ApplicationLink, id: string, { id: commandId, part, callIds }: ResumeCommand): void {
    const claims = this.#claims.get(link) ?? new Set();
    for (const callId of callIds) claims.add(callId);
    if (claims.size > CLAIMS_MAX) {
      this.#claims.delete(link);
      link.send(report.refused(id, commandId, "NO", `more than ${CLAIMS_MAX} calls`));
      link.close();
      return;
    }
    if (part === "last") {
      this.#claims.delete(link);
      this.#resume(link, commandId, claims);
      return;
    }
    this.#claims.set(link, claims);
    link.send(report.done(id, commandId));
  }

  #resume(link: ApplicationLink, commandId: string, claims: ReadonlySet<string>): void {
    const { shell, owners, orphans, server, unrestored } = this.#parts;
    unrestored.needLive(); // what nobody claims is ended: all must be there
    const owner = owners.of(link);
    const found = this.#inventory(owner, claims);
    const { standings, unclaimedDialogs, unclaimedCalls, owed, answers } = found;
    for (let at = 0; at < standings.length; at += STANDINGS_PER_FRAME) {
      const lines = standings.slice(at, at + STANDINGS_PER_FRAME).map(showStanding);
      link.send(`${report.done(shell.ids.uuid(), commandId, "has")}\r\n${lines.join("\r\n")}`);
    }
    const covered = new Set([
      ...owed.map(({ facts }) => facts.transactionId),
      ...answers.map(({ transactionId }) => `${transactionId} 2`),
    ]);
    owner.back(link, (payload) => covered.has(nameOf(payload)));
    for (const { entry, transactionId, response } of answers)
      sendArrived(shell, link, response, entry.dialog.flow, transactionId, entry.dialog.id);
    for (const pending of owed) this.#deliverAgain(link, pending, claims);
    orphans.end(owner);
    server.answers.onOwnerMoved(owner);
    orphans.doom(unclaimedDialogs);
    for (const call of unclaimedCalls) call.cancel({ kind: "asked", headers: [] });
    shell.counters.add("resumptions", 'outcome="claimed"', standings.length);
    shell.counters.add("resumptions", 'outcome="unclaimed"', unclaimedDialogs.length + unclaimedCalls.length);
    const counts = [unclaimedDialogs.length, unclaimedCalls.length].map(String);
    link.send(report.done(shell.ids.uuid(), commandId, "done", ...counts));
  }

  #inventory(owner: Owner, claims: ReadonlySet<string>): Inventory {
    const { dialogs, client, server } = this.#parts;
    const owed = server.answers.owedBy(owner);
    const found: Inventory = { standings: [], unclaimedDialogs: [], unclaimedCalls: [], answers: [], owed };
    for (const entry of dialogs.ownedBy(owner)) this.#look(entry, claims, found);
    for (const call of client.opening(owner)) {
      const { callId } = call.request;
      const { transactionId, provisional: status } = call;
      if (!claims.has(callId)) found.unclaimedCalls.push(call);
      else found.standings.push({ kind: "invite", callId, transactionId, status });
    }
    for (const { facts, isInvite, startsDialog } of owed) {
      const { request, transactionId } = facts;
      if (!isInvite || !startsDialog || !claims.has(request.callId)) continue;
      const dialogId = `${request.callId};from-tag=${request.fromTag}`;
      found.standings.push({ kind: "request", dialogId, transactionId });
    }
    return found;
  }

  #look(entry: DialogEntry, claims: ReadonlySet<string>, { standings, unclaimedDialogs, answers }: Inventory): void {
    const { dialog, acceptance, unacknowledged, ending, heldBye } = entry;
    if (dialog.phase !== "confirmed") return; // its INVITE is what counts
    const { id: dialogId, role, callId } = dialog;
    const answer = unacknowledged?.answer;
    if (!claims.has(callId)) {
      if (!ending && heldBye === undefined) unclaimedDialogs.push(entry);
      return;
    }
    const standing = { kind: "dialog", role, dialogId } as const;
    if (ending || heldBye !== undefined) standings.push({ ...standing, phase: "ending", transactionId: "" });
    else if (acceptance?.state === "waiting" && role === "uas")
      standings.push({ ...standing, phase: "unacknowledged", transactionId: acceptance.transactionId });
    else if (answer !== undefined) {
      answers.push({ entry, ...answer });
      standings.push({ ...standing, phase: "unacknowledged", transactionId: answer.transactionId });
    } else standings.push({ ...standing, phase: "confirmed", transactionId: "" });
  }

  /** A new call that nobody remembers is a new call. In a dialog that nobody remembers there is nobody to ask. */
  #deliverAgain(link: ApplicationLink, pending: PendingRequest, claims: ReadonlySet<string>): void {
    const { shell, server } = this.#parts;
    const { request, from, point, transactionId } = pending.facts;
    const { entry, startsDialog } = pending;
    if (entry === undefined || startsDialog) {
      const text = shell.textOf(request);
      link.send(report.newRequest(shell.ids.uuid(), metaOfArrived(shell, request, from), transactionId, point, text));
    } else if (claims.has(request.callId)) sendArrived(shell, link, request, from, transactionId, entry.dialog.id);
    else server.answers.finish(pending, server.answers.answer(pending, request.method === "BYE" ? 200 : 481));
  }
}

/** Of a frame that waited: the transaction it is about, and whether it is a 2xx to an INVITE. */
function nameOf(payload: string): string {
  const metaEnd = payload.indexOf("\r\n");
  const [, kind, , , , , , , transactionId = ""] = payload.slice(0, metaEnd === -1 ? 0 : metaEnd).split("|");
  if (kind !== "sip") return "";
  return payload.startsWith("SIP/2.0 2", metaEnd + 2) ? `${transactionId} 2` : transactionId;
}
