// A server's calls as data, and back: what another process needs to go on with them. Plain functions over the parts that
// own the state; nothing here is asked while messages pass.

import { fail, type Outcome, succeed } from "../../../kernel/outcome.ts";
import { responseTo } from "../core/message/build.ts";
import { serialise } from "../core/message/serialise.ts";
import {
  type DialogRecord,
  type EndpointRecord,
  inspect,
  type Plain,
  RecordFault,
  type RecordUnusable,
  requestFrom,
  requestText,
  responseFrom,
} from "../core/record/record.ts";
import { RECORD_VERSION, readable } from "../core/record/versions.ts";
import type { SessionState } from "../core/session/session-timer.ts";
import { serverKey } from "../core/transaction/key.ts";
import type { Owner, Owners } from "./applications/owners.ts";
import type { UserAgentClient } from "./client/user-agent-client.ts";
import { type DialogEntry, type DialogStore, detached, keyOf, type Resolve } from "./dialogs/dialog-store.ts";
import type { UserAgentServer } from "./server/user-agent-server.ts";
import type { Shell } from "./shell/shell.ts";
import { type ClientUser, DEAF_USER } from "./transactions/client-transaction.ts";
import type { ServerTransaction } from "./transactions/server-transaction.ts";
import type { TransactionLayer } from "./transactions/transaction-layer.ts";

export interface StateParts {
  readonly shell: Shell;
  readonly transactions: TransactionLayer;
  readonly dialogs: DialogStore;
  readonly owners: Owners;
  readonly client: UserAgentClient;
  readonly server: UserAgentServer;
}

/** @param callId only what belongs to this Call-ID; default: everything */
export function takeRecord(parts: StateParts, callId?: string): EndpointRecord {
  const unixMs = parts.shell.clock.unixMs();
  const dialogs: DialogRecord[] = [];
  const entries = callId === undefined ? parts.dialogs.entries() : parts.dialogs.ofCallId(callId);
  for (const entry of entries) dialogs.push(dialogRecord(entry, parts.client.sessions.record(entry), unixMs));
  const served = callId === undefined ? undefined : parts.transactions.serversOf(callId);
  return {
    version: RECORD_VERSION,
    takenUnixMs: unixMs,
    dialogs,
    transactions: parts.transactions.records(unixMs, callId),
    pending: parts.server.pending.records(unixMs, served),
  };
}

export function dialogRecord(entry: DialogEntry, session: SessionState, unixMs: number): DialogRecord {
  const { dialog, owner, localSdp, exchange, peerUpdates, minSeSeconds, unacknowledged } = entry;
  const { rseq, invitingIn, invitingOut, ending, acceptance, heldBye } = entry;
  return {
    version: RECORD_VERSION,
    dialog,
    owner: owner.record,
    localSdp,
    exchange,
    peerUpdates,
    session,
    minSeSeconds,
    rseq,
    invitingIn,
    invitingOut,
    ending,
    acceptance: acceptance?.record(unixMs),
    unacknowledged:
      unacknowledged === undefined
        ? undefined
        : {
            invite: requestText(unacknowledged.invite),
            endBecause: unacknowledged.endBecause,
            answer: unacknowledged.answer && {
              sip: serialise(unacknowledged.answer.response),
              transactionId: unacknowledged.answer.transactionId,
            },
          },
    heldBye: heldBye?.record(unixMs),
  };
}

export interface Restored {
  readonly dialogs: number;
  readonly transactions: number;
  readonly pending: number;
  /** Those that were not known before: away, until their applications connect. */
  readonly owners: readonly Owner[];
}

export interface Restoring {
  /** Our CSeq numbers go on so much higher: some that the record does not know may have been used. */
  readonly cseqReserve: number;
}

/**
 * Takes up what a record holds, beside what is here already. All of it, or nothing when the record cannot be read.
 *
 * @fails record.unusable: another version, a message that is none, a listen point that this server does not have, a call
 * that is here already
 */
export function restoreRecord(
  parts: StateParts,
  given: unknown,
  { cseqReserve }: Restoring = { cseqReserve: 0 },
): Outcome<Restored, RecordUnusable> {
  const checked = readable(given);
  if (!checked.ok) return checked;
  const record = checked.value;
  const points = new Set(parts.shell.points.map(({ id }) => id));
  const known = record.dialogs.find(({ dialog }) => parts.dialogs.byKeyText(keyOf(dialog)) !== undefined);
  if (known !== undefined) return fail({ code: "record.unusable", reason: `already here: ${known.dialog.id}` });
  try {
    inspect(record, points);
    for (const { side, request: text } of record.transactions) {
      if (side !== "server") continue;
      const request = requestFrom(text);
      if (parts.transactions.find(request) !== undefined)
        return fail({ code: "record.unusable", reason: `already here: ${request.method} of ${request.callId}` });
    }
  } catch (error) {
    if (error instanceof RecordFault) return fail({ code: "record.unusable", reason: error.message });
    throw error;
  }
  try {
    return succeed(restored(parts, record, cseqReserve));
  } catch (error) {
    // Plausible, and yet not to be worked with: nothing of it may stay.
    for (const { dialog } of record.dialogs) dropCall(parts, dialog.callId);
    for (const { request } of record.transactions) dropCall(parts, requestFrom(request).callId);
    return fail({ code: "record.unusable", reason: error instanceof Error ? error.message : String(error) });
  }
}

function dropCall({ dialogs, transactions, server }: StateParts, callId: string): void {
  for (const transaction of [...transactions.serversOf(callId)]) {
    const pending = server.pending.of(transaction);
    if (pending === undefined) continue;
    pending.end();
    server.pending.remove(pending);
  }
  transactions.drop(callId);
  for (const entry of [...dialogs.ofCallId(callId)]) {
    entry.acceptance?.over();
    dialogs.remove(entry);
  }
}

function restored(parts: StateParts, record: EndpointRecord, cseqReserve: number): Restored {
  const { dialogs, owners, transactions, client, server, shell } = parts;
  const unixMs = shell.clock.unixMs();
  const returning = new Set<Owner>();
  const ended = new Map<string, DialogEntry>();
  const resolve: Resolve = (reference, owner) => {
    if (typeof reference === "string") return dialogs.byKeyText(reference);
    const key = keyOf(reference);
    const entry = ended.get(key) ?? detached(reference, owner);
    ended.set(key, entry);
    return entry;
  };
  for (const { dialog: written, owner: name, ...state } of record.dialogs) {
    const dialog = cseqReserve === 0 ? written : { ...written, localSeq: written.localSeq + cseqReserve };
    const owner = owners.restored(name);
    returning.add(owner);
    const entry = detached(dialog, owner);
    const { localSdp, exchange, peerUpdates, session, minSeSeconds, rseq, invitingIn, invitingOut, ending } = state;
    Object.assign(entry, {
      localSdp,
      exchange,
      peerUpdates,
      session,
      minSeSeconds,
      rseq,
      invitingIn,
      invitingOut,
      ending,
    });
    dialogs.put(entry);
    if (dialog.phase === "confirmed") dialogs.prefer(entry);
    client.sessions.resume(entry, record.takenUnixMs);
    client.usages.resume(entry);
  }
  const served = new Map<string, ServerTransaction>();
  const invites = new Map<string, ClientUser>();
  for (const transaction of record.transactions) {
    const request = requestFrom(transaction.request);
    if (transaction.side === "server") {
      const user = server.userFor(transaction.flow);
      served.set(serverKey(request), transactions.resumeServer(transaction, request, user, unixMs));
      continue;
    }
    const { user: waiting } = transaction;
    // Of a proxied request, which is in no record: nobody could do anything with an answer to it.
    if (waiting === undefined && request.method === "INVITE" && !isOver(transaction.state)) continue;
    const user = waiting === undefined ? undefined : client.restored.user(waiting, request, resolve, unixMs);
    if (user?.owner !== undefined) returning.add(user.owner);
    const resumed = transactions.resumeClient(transaction, request, user?.user ?? DEAF_USER, unixMs);
    user?.outgoing.adopt(user.user, resumed);
    if (user !== undefined && request.method === "INVITE")
      invites.set(`${request.callId}|${request.cseq.number}`, user.user);
  }
  for (const pending of record.pending) {
    const transaction = served.get(pending.transaction);
    if (transaction === undefined) continue; // it has ended in between: nobody waits for the answer
    const owner = owners.restored(pending.owner);
    returning.add(owner);
    const entry = pending.dialog === undefined ? undefined : resolve(pending.dialog, owner);
    server.restored.pending(pending, transaction, entry, unixMs);
  }
  const answerable = new Set(record.pending.map(({ transaction }) => transaction));
  for (const [key, transaction] of served) {
    if (answerable.has(key) || (transaction.state !== "proceeding" && transaction.state !== "trying")) continue;
    // Of the proxy, likewise. A moment later: the sockets are not open yet.
    const refusal = responseTo(transaction.request, { status: 503, toTag: shell.ids.tag() });
    shell.wheel.start({ onTimer: () => transaction.respond(refusal) }, "refuse", 0);
  }
  for (const { dialog, acceptance, unacknowledged, heldBye } of record.dialogs) {
    const entry = dialogs.byKeyText(keyOf(dialog));
    if (entry === undefined) continue;
    if (acceptance !== undefined)
      server.restored.acceptance(entry, acceptance, served.get(acceptance.transaction), unixMs);
    if (unacknowledged !== undefined) {
      const invite = requestFrom(unacknowledged.invite);
      const { answer } = unacknowledged;
      client.restored.unacknowledged(
        entry,
        invite,
        unacknowledged.endBecause,
        invites.get(`${invite.callId}|${invite.cseq.number}`),
        answer && { response: responseFrom(answer.sip), transactionId: answer.transactionId },
      );
    }
    if (heldBye !== undefined) client.restored.heldBye(entry, heldBye, resolve, unixMs);
  }
  return {
    dialogs: record.dialogs.length,
    transactions: record.transactions.length,
    pending: record.pending.length,
    owners: [...returning].filter(({ open }) => !open),
  };
}

/** Its request has a final response. */
function isOver(state: Plain): boolean {
  const name = typeof state === "object" && state !== null && "name" in state ? state.name : "";
  return name !== "calling" && name !== "proceeding" && name !== "trying";
}
