// Requests inside a dialog: where they go, under which number; and those that the server sends of its own accord.
// RFC 3261 §12.2.1, §13.2.2.4, §15.1.1.

import type { Outcome } from "../../../../kernel/outcome.ts";
import { addressing, type Dialog } from "../../core/dialog/dialog.ts";
import { UNTRIED } from "../../core/digest/answer.ts";
import type { RequestDraft } from "../../core/drachtio/command.ts";
import * as report from "../../core/drachtio/report.ts";
import { isWebSocket } from "../../core/flow.ts";
import { header, headersOf, isSdp, type SipResponse } from "../../core/message/message.ts";
import { hopOf, type NoHop, targetOfAddress } from "../../core/next-hop/hop.ts";
import { described, withdrawn } from "../../core/session/offer-answer.ts";
import { isPrivate } from "../../core/user-agent/destination.ts";
import { requestInDialog, type Unsendable } from "../../core/user-agent/outgoing.ts";
import type { Owner } from "../applications/owners.ts";
import type { AckKeeper, DialogEntry, DialogStore } from "../dialogs/dialog-store.ts";
import type { ClientRequest, ClientRequestUser, Route } from "../next-hops/client-request.ts";
import type { ClientRequests, NextHop } from "../next-hops/client-requests.ts";
import { stopReasonOf } from "../shell/call-records.ts";
import { metaOfSent } from "../shell/frames.ts";
import type { Shell } from "../shell/shell.ts";
import type { Retries } from "./retries.ts";

/** The request as it is to leave, or why it cannot. */
export type Prepared = Outcome<ClientRequest, NoHop | Unsendable>;

export class DialogRequests {
  readonly #shell: Shell;
  readonly #dialogs: DialogStore;
  readonly #requests: ClientRequests;
  readonly #retries: Retries;

  constructor(shell: Shell, dialogs: DialogStore, requests: ClientRequests, retries: Retries) {
    this.#shell = shell;
    this.#dialogs = dialogs;
    this.#requests = requests;
    this.#retries = retries;
  }

  /** The dialog's next request. Calls back once, before it returns unless a name has to be looked up. */
  prepare(entry: DialogEntry, draft: RequestDraft, then: (prepared: Prepared) => void): void {
    this.#requests.locate(nextHopOf(entry.dialog), (located) => {
      const cseq = entry.dialog.localSeq + 1;
      const prepared = located.ok ? this.#made(entry, draft, located.value, cseq) : located;
      if (prepared.ok) entry.dialog = { ...entry.dialog, localSeq: cseq };
      then(prepared);
    });
  }

  #made({ dialog }: DialogEntry, draft: RequestDraft, route: Route, cseq: number): Prepared {
    return this.#requests.prepare(route, (point, branch) => requestInDialog(dialog, draft, { point, branch, cseq }));
  }

  /** ACK to a 2xx: §13.2.2.4. Its own request, on its own branch, with the INVITE's number and credentials. */
  sendAck(entry: DialogEntry, draft: RequestDraft, done: (sent: ClientRequest | undefined) => void): void {
    const { unacknowledged } = entry;
    if (unacknowledged === undefined) return done(undefined);
    const { invite } = unacknowledged;
    const credentials = [...headersOf(invite, "authorization"), ...headersOf(invite, "proxy-authorization")];
    const ack: RequestDraft = { ...draft, method: "ACK", headers: [...draft.headers, ...credentials] };
    this.#requests.locate(nextHopOf(entry.dialog), (located) => {
      const cseq = invite.cseq.number;
      const prepared = located.ok ? this.#made(entry, ack, located.value, cseq) : located;
      if (!prepared.ok) return done(undefined);
      entry.unacknowledged = undefined;
      if (isSdp(ack)) {
        entry.localSdp = ack.body;
        entry.exchange = described(entry.exchange, "us", "INVITE", cseq);
      }
      entry.exchange = withdrawn(entry.exchange, "INVITE", cseq);
      prepared.value.transmit((request, flow) => unacknowledged.keeper.keepAck(entry, request, flow));
      done(prepared.value);
    });
  }

  /** A 2xx is acknowledged whatever became of the call; here the application does not. */
  acknowledge(entry: DialogEntry, keeper: AckKeeper): void {
    entry.unacknowledged = { invite: keeper.request, endBecause: undefined, keeper };
    this.sendAck(entry, { method: "ACK", uri: entry.dialog.remoteTarget, headers: [], body: "" }, NOTHING);
  }

  /** A 2xx nobody can use: acknowledged, then ended. §13.2.2.4. */
  endFork(entry: DialogEntry, keeper: AckKeeper): void {
    this.acknowledge(entry, keeper);
    this.#shell.counters.add("forks_ended");
    this.sendBye(entry, "answered elsewhere", false); // the application never knew this one
  }

  /** A BYE of ours; the application is told what we did. */
  sendBye(entry: DialogEntry, why: string, isKnown = true): void {
    const { dialog, owner } = entry;
    const reason = header("Reason", "reason", `SIP;cause=200;text="${why}"`);
    const draft: RequestDraft = { method: "BYE", uri: dialog.remoteTarget, headers: [reason], body: "" };
    this.prepare(entry, draft, (located) => {
      // Nowhere to send it: the application is told all the same.
      const prepared = located.ok
        ? located
        : this.#made(entry, draft, this.#requests.nowhere(dialog.flow), entry.dialog.localSeq + 1);
      if (!prepared.ok) return;
      const { request, point } = prepared.value;
      prepared.value.start(new OwnRequest(this.#retries, entry, prepared.value));
      this.#shell.records?.stopped("application", request, stopReasonOf(why));
      const text = this.#shell.textOf(request);
      const meta = metaOfSent(this.#shell, point, text.length);
      if (isKnown) this.#tellUnsolicited(owner, report.unsolicited(this.#shell.ids.uuid(), meta, dialog.id, text));
    });
    this.#dialogs.remove(entry);
  }

  /** What the server says in a dialog of its own accord; nobody waits for the answer, unless it asks for a proof. */
  sendOwn(entry: DialogEntry, draft: RequestDraft): void {
    this.prepare(entry, draft, (prepared) => {
      if (prepared.ok) prepared.value.start(new OwnRequest(this.#retries, entry, prepared.value));
    });
  }

  /** Its call is over: an application that is away learns it for as long as its dialogs would have waited for it. */
  #tellUnsolicited(owner: Owner, payload: string): void {
    if (owner.open) owner.send(payload);
    else owner.keep(payload, this.#shell.limits.orphanGraceMs);
  }
}

const NOTHING = () => {};

/** A request of the server's own: all that is heard of its answer is a challenge. */
class OwnRequest implements ClientRequestUser {
  readonly #retries: Retries;
  readonly #entry: DialogEntry;
  readonly #outgoing: ClientRequest;
  #attempts = UNTRIED;

  constructor(retries: Retries, entry: DialogEntry, outgoing: ClientRequest) {
    this.#retries = retries;
    this.#entry = entry;
    this.#outgoing = outgoing;
  }

  onResponse(response: SipResponse): void {
    const { request, flow } = this.#outgoing;
    const call = { request, sentTo: flow?.address ?? "" };
    const retry = this.#retries.prove(call, response, this.#attempts, this.#entry);
    if (retry === undefined) return;
    this.#attempts = retry.attempts;
    this.#outgoing.again(retry.request);
  }

  onFailed(): void {}
}

/** Where an in-dialog request goes: §8.1.2, and the connection or NAT binding the dialog already uses. */
function nextHopOf(dialog: Dialog): NextHop {
  const { routeSet, remoteTarget, flow } = dialog;
  const { pointId } = flow;
  if (routeSet.length > 0) return { uri: addressing(dialog).nextHop, pointId };
  const hop = hopOf(remoteTarget);
  if (!hop.ok) return { uri: remoteTarget };
  // A browser has no address of its own: its connection is the only way. RFC 7118 §5.
  if (isWebSocket(flow.transport)) return { uri: remoteTarget, flow };
  if (!hop.value.isAddress) return { uri: remoteTarget, pointId };
  const { transport, address, port } = targetOfAddress(hop.value);
  if (transport !== flow.transport) return { uri: remoteTarget, pointId };
  // A peer behind a NAT names an address we cannot reach; it is where its messages come from. Never with a proxy between.
  if (address !== flow.address)
    return isPrivate(address) ? { uri: remoteTarget, flow } : { uri: remoteTarget, pointId };
  return transport === "udp" ? { uri: remoteTarget, pointId } : { uri: remoteTarget, flow: { ...flow, port } };
}
