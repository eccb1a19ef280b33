// Our refreshes of a session: RFC 4028 §7.4, §10. The application knows nothing of them.

import { refreshed } from "../../core/dialog/dialog.ts";
import { UNTRIED } from "../../core/digest/answer.ts";
import type { Flow } from "../../core/flow.ts";
import { headerValue, type SipRequest, type SipResponse } from "../../core/message/message.ts";
import { type RefreshRecord, requestFrom, requestText } from "../../core/record/record.ts";
import { agreed, asked, minSeOf } from "../../core/session/negotiation.ts";
import { described, withdrawn } from "../../core/session/offer-answer.ts";
import { type AckKeeper, type DialogEntry, referenceTo } from "../dialogs/dialog-store.ts";
import { SessionTimers, type SessionTimerUser } from "../dialogs/session-timers.ts";
import type { ClientRequest, ClientRequestUser } from "../next-hops/client-request.ts";
import type { Shell } from "../shell/shell.ts";
import type { Failed } from "../transactions/transaction-driver.ts";

import type { DialogRequests } from "./dialog-requests.ts";
import type { Retries } from "./retries.ts";

const NOTHING = () => {};

/** Sends what session timers ask for. */
export class SessionRefreshes implements SessionTimerUser {
  readonly sessions: SessionTimers;
  readonly retries: Retries;
  readonly inDialogs: DialogRequests;
  readonly #shell: Shell;

  constructor(shell: Shell, inDialogs: DialogRequests, retries: Retries) {
    this.#shell = shell;
    this.inDialogs = inDialogs;
    this.retries = retries;
    this.sessions = new SessionTimers(shell, this);
  }

  sendBye(entry: DialogEntry, why: string): void {
    this.inDialogs.sendBye(entry, why);
  }

  /** UPDATE where the peer takes it; it disturbs nothing. */
  refresh(entry: DialogEntry, intervalSeconds: number): void {
    const { localSdp } = entry;
    const method = entry.peerUpdates || localSdp === "" ? "UPDATE" : "INVITE";
    const isBusy = entry.invitingOut || entry.invitingIn || entry.acceptance !== undefined;
    if (method === "INVITE" && (isBusy || entry.unacknowledged !== undefined || entry.exchange !== undefined))
      return this.sessions.busy(entry);
    const terms = { intervalSeconds, weRefresh: true };
    const headers = asked({ headers: [] }, terms, this.#shell.sessionTimer, entry.minSeSeconds);
    const body = method === "INVITE" ? localSdp : "";
    this.inDialogs.prepare(
      entry,
      { method, uri: entry.dialog.remoteTarget, headers: [...headers], body },
      (prepared) => {
        if (!prepared.ok) return this.sessions.refused(entry, { status: 503, waitMs: undefined, again: false });
        if (method === "INVITE") {
          entry.invitingOut = true;
          entry.exchange = described(undefined, "us", "INVITE", prepared.value.request.cseq.number);
        }
        prepared.value.start(new Refresh(this.#shell, this, entry, prepared.value));
      },
    );
  }

  /** One that is under way, from its record. */
  resume(record: RefreshRecord, entry: DialogEntry, outgoing: ClientRequest): Refresh {
    return new Refresh(this.#shell, this, entry, outgoing, record);
  }
}

/** A refresh of the session that the application knows nothing of. */
export class Refresh implements ClientRequestUser, AckKeeper {
  readonly #shell: Shell;
  readonly #user: SessionRefreshes;
  readonly #entry: DialogEntry;
  readonly #outgoing: ClientRequest;
  #ack: { readonly ack: SipRequest; readonly flow: Flow } | undefined;
  #isOver = false;
  #attempts = UNTRIED;

  constructor(
    shell: Shell,
    user: SessionRefreshes,
    entry: DialogEntry,
    outgoing: ClientRequest,
    record?: RefreshRecord,
  ) {
    this.#shell = shell;
    this.#user = user;
    this.#entry = entry;
    this.#outgoing = outgoing;
    this.#isOver = record?.isOver ?? false;
    if (record?.ack !== undefined) this.#ack = { ack: requestFrom(record.ack.ack), flow: record.ack.flow };
  }

  record(): RefreshRecord | undefined {
    const { flow } = this.#outgoing;
    if (flow === undefined) return undefined;
    const dialog = referenceTo(this.#entry);
    const ack = this.#ack && { dialog, ack: requestText(this.#ack.ack), flow: this.#ack.flow };
    return { kind: "refresh", owner: this.#entry.owner.record, dialog, flow, isOver: this.#isOver, ack };
  }

  get request(): SipRequest {
    return this.#outgoing.request;
  }

  keepAck(_entry: DialogEntry, ack: SipRequest, flow: Flow): void {
    this.#ack = { ack, flow };
  }

  expectOwner(): void {} // the ACK is ours, and out

  onResponse(response: SipResponse): void {
    const { status } = response;
    if (status < 200) return;
    const entry = this.#entry;
    const isInvite = this.request.method === "INVITE";
    if (this.#isOver) {
      if (isInvite && status < 300 && this.#ack !== undefined)
        this.#shell.send(this.#ack.ack, this.#ack.flow, true, NOTHING);
      return;
    }
    if (this.#proves(response)) return;
    this.#end();
    if (status >= 300) return this.#refused(response);
    entry.dialog = refreshed(entry.dialog, response);
    if (isInvite) this.#user.inDialogs.acknowledge(entry, this);
    this.#user.sessions.agreed(entry, agreed(response));
  }

  onFailed(because: Failed): void {
    if (this.#isOver) return;
    this.#end();
    this.#user.sessions.refused(this.#entry, {
      status: because === "timeout" ? 408 : 503,
      waitMs: undefined,
      again: false,
    });
  }

  #end(): void {
    this.#isOver = true;
    if (this.request.method !== "INVITE") return;
    const entry = this.#entry;
    entry.invitingOut = false;
    entry.exchange = withdrawn(entry.exchange, "INVITE", this.request.cseq.number);
  }

  #proves(response: SipResponse): boolean {
    const { request } = this;
    const call = { request, sentTo: this.#outgoing.flow?.address ?? "" };
    const retry = this.#user.retries.prove(call, response, this.#attempts, this.#entry);
    if (retry === undefined) return false;
    this.#attempts = retry.attempts;
    this.#outgoing.again(retry.request);
    return true;
  }

  #refused(response: SipResponse): void {
    const { status } = response;
    const entry = this.#entry;
    const retryAfter = Number.parseInt(headerValue(response, "retry-after") ?? "", 10);
    const waitMs = Number.isNaN(retryAfter) ? undefined : 1_000 * retryAfter;
    if (status === 422) {
      const intervalSeconds = minSeOf(response);
      entry.minSeSeconds = intervalSeconds;
      return this.#user.sessions.refused(entry, { status, waitMs, again: true, intervalSeconds });
    }
    const isUnknown = this.request.method === "UPDATE" && (status === 405 || status === 501);
    if (isUnknown) entry.peerUpdates = false;
    this.#user.sessions.refused(entry, { status, waitMs, again: isUnknown && entry.localSdp !== "" });
  }
}
