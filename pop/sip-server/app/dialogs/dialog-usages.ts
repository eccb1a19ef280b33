// Drives core/dialog/usages.ts: which requests a dialog still takes, when it ends, and the dialogs that a NOTIFY makes.
// RFC 6665, RFC 3515, RFC 5057.

import { confirmed, type Dialog, dialogId, dialogOfNotify, dialogOfUac, refreshed } from "../../core/dialog/dialog.ts";
import {
  type EventName,
  eventOf,
  expiresOf,
  isOneReferTo,
  stateOf,
  subscriptionOf,
  withoutSubscription,
} from "../../core/dialog/subscription-values.ts";
import { UNSOLICITED_EVENTS } from "../../core/dialog/unsolicited-events.ts";
import * as usages from "../../core/dialog/usages.ts";
import type { RequestDraft, ResponseDraft } from "../../core/drachtio/command.ts";
import * as report from "../../core/drachtio/report.ts";
import type { Flow } from "../../core/flow.ts";
import { type Header, header, headerValue, type SipRequest, type SipResponse } from "../../core/message/message.ts";
import { giveUpMs } from "../../core/transaction/timing.ts";
import type { Owner } from "../applications/owners.ts";
import type { Shell } from "../shell/shell.ts";
import { OneShot, type TimerOwner } from "../shell/timer-wheel.ts";
import type { DialogEntry, DialogStore } from "./dialog-store.ts";

export interface Refusal {
  readonly status: number;
  readonly reason?: string;
  readonly headers?: readonly Header[];
}

/** Sends a request of the server's own in a dialog. */
export type SendOwn = (entry: DialogEntry, draft: RequestDraft) => void;

/** They belong to the INVITE usage: after its BYE there is nobody to take them. */
const OF_SESSION: ReadonlySet<string> = new Set(["INVITE", "ACK", "BYE", "UPDATE", "PRACK", "INFO"]);
const NAMELESS: EventName = { event: "", id: "" };
/** Dialogs that one SUBSCRIBE or REFER may have made by forking. */
const FORKS_MAX = 16;
/** NOTIFYs that wait for the answer to their SUBSCRIBE: one of each fork, and a few more. */
const HELD_MAX = 32;
const RETRY_AFTER: readonly Header[] = [header("Retry-After", "retry-after", "5")];

const isSubscribing = (method: string): method is "SUBSCRIBE" | "REFER" => method === "SUBSCRIBE" || method === "REFER";

export const isOfSession = (method: string): boolean => OF_SESSION.has(method);

/** Whether the session a request needs has not had its BYE. */
export const hasUsageFor = (dialog: Dialog, method: string): boolean =>
  dialog.usages.session || !OF_SESSION.has(method);

export class DialogUsages {
  readonly #shell: Shell;
  readonly #unsolicited: ReadonlySet<string>;
  readonly #dialogs: DialogStore;
  readonly #timers = new Map<DialogEntry, OneShot>();
  /** SUBSCRIBEs and REFERs outside dialogs whose NOTIFYs may still make dialogs, by Call-ID and our tag. */
  readonly #asking = new Map<string, Asking>();
  /** Set by whoever can send. */
  sendOwn: SendOwn = () => {};

  /** @param unsolicited event packages that applications get in a call although nobody has subscribed; "*": all */
  constructor(shell: Shell, dialogs: DialogStore, unsolicited: readonly string[] = UNSOLICITED_EVENTS) {
    this.#unsolicited = new Set(unsolicited.map((event) => event.toLowerCase()));
    this.#shell = shell;
    this.#dialogs = dialogs;
    dialogs.onRemove = (entry) => this.#forget(entry);
  }

  /** Timers of dialogs, and requests whose NOTIFYs are waited for. */
  get size(): number {
    return this.#timers.size + this.#asking.size;
  }

  /** A request of the peer outside any dialog. */
  refusalOfNew(request: SipRequest): Refusal | undefined {
    if (request.method !== "REFER" || isOneReferTo(request)) return undefined;
    return { status: 400, reason: "Not one Refer-To" };
  }

  /** A request of the peer inside a dialog; undefined: the application gets it. */
  refusalOf({ dialog }: DialogEntry, request: SipRequest): Refusal | undefined {
    const { method } = request;
    if (!dialog.usages.session && OF_SESSION.has(method)) return { status: 481 };
    if (method === "NOTIFY") {
      const name = eventOf(request);
      if (name === undefined) return { status: 400, reason: "Missing Event" }; // RFC 6665 §8.2.1
      if (usages.find(dialog.usages, "subscriber", name) !== undefined) return undefined;
      // §4.1.3: 481. Phones and exchanges still send some packages into calls without being asked to (before RFC 6665 they could).
      const isUsual = this.#unsolicited.has(name.event.toLowerCase()) || this.#unsolicited.has("*");
      return dialog.usages.session && isUsual ? undefined : { status: 481 };
    }
    if (!isSubscribing(method)) return undefined;
    if (method === "REFER" && !isOneReferTo(request)) return { status: 400, reason: "Not one Refer-To" };
    const isFull = dialog.usages.subscriptions.length >= usages.SUBSCRIPTIONS_MAX;
    const name = subscriptionOf(request) ?? NAMELESS;
    if (!isFull || usages.find(dialog.usages, "notifier", name) !== undefined) return undefined;
    return { status: 500, reason: "Too Many Subscriptions", headers: RETRY_AFTER };
  }

  /** Every 2xx to a SUBSCRIBE says for how long: RFC 6665 §4.2.1.1. The peer's wish, when the application does not say. */
  expiresFor(request: SipRequest, draft: ResponseDraft): Header | undefined {
    if (request.method !== "SUBSCRIBE" || draft.status < 200 || draft.status >= 300) return undefined;
    if (headerValue(draft, "expires") !== undefined) return undefined;
    return header("Expires", "expires", String(expiresOf(request) ?? usages.SUBSCRIBE_EXPIRES_SECONDS));
  }

  /** An application's SUBSCRIBE or REFER is about to leave. `entry` is undefined outside a dialog. */
  asking(request: SipRequest, link: Owner, entry: DialogEntry | undefined): void {
    const { method } = request;
    if (!isSubscribing(method)) return;
    if (entry !== undefined) {
      const name = subscriptionOf(request) ?? NAMELESS;
      this.#feed(entry, { kind: "asked", role: "subscriber", by: method, ...name });
      return;
    }
    const key = askingKey(request.callId, request.fromTag);
    const known = this.#asking.get(key);
    if (known !== undefined)
      known.request = request; // the same once more, with credentials
    else this.#asking.set(key, new Asking(request, link));
  }

  /**
   * A NOTIFY that no dialog knows: it makes one when it belongs to a SUBSCRIBE or REFER of ours, whose answer it has
   * overtaken or which has forked. RFC 6665 §4.1.2.4, §4.4.1.
   */
  entryOfNotify(notify: SipRequest, from: Flow): DialogEntry | undefined {
    if (notify.method !== "NOTIFY") return undefined;
    const asking = this.#asking.get(askingKey(notify.callId, notify.toTag));
    if (asking === undefined || asking.forks >= FORKS_MAX) return undefined;
    const name = eventOf(notify);
    const wanted = subscriptionOf(asking.request) ?? NAMELESS;
    const isRefer = asking.request.method === "REFER";
    if (name === undefined || name.event !== wanted.event) return undefined;
    if (name.id !== wanted.id && !(isRefer && name.id === "")) return undefined;
    asking.forks++;
    const entry = this.#dialogs.add(dialogOfNotify(asking.request, notify, from), asking.link);
    this.#feed(entry, { kind: "asked", role: "subscriber", by: isRefer ? "REFER" : "SUBSCRIBE", ...wanted });
    return entry;
  }

  /**
   * Applications learn of a dialog by the answer to their SUBSCRIBE: a NOTIFY that is faster waits for it.
   *
   * @param deliver false: there was no subscription in the end, say 481
   */
  inTurn(entry: DialogEntry, request: SipRequest, deliver: (wanted: boolean) => void): void {
    const { dialog } = entry;
    const asking =
      request.method === "NOTIFY" && dialog.usage !== "INVITE" && this.#asking.size > 0
        ? this.#asking.get(askingKey(dialog.callId, dialog.localTag))
        : undefined;
    if (asking === undefined || asking.answered || asking.held.length >= HELD_MAX) deliver(true);
    else asking.held.push(deliver);
  }

  /** The final response to a SUBSCRIBE or REFER outside dialogs; `told` follows when the application has it. */
  answered(request: SipRequest, response: SipResponse, from: Flow, link: Owner): void {
    const { method } = request;
    if (!isSubscribing(method) || response.status >= 300) return;
    const name = subscriptionOf(request) ?? NAMELESS;
    const known = this.#dialogs.byKey(request.callId, request.fromTag, response.toTag);
    if (method === "REFER" && withoutSubscription(response)) {
      if (known !== undefined) this.#feed(known, { kind: "declined", role: "subscriber", by: method, ...name });
      return;
    }
    const entry = known ?? this.#dialogs.add(dialogOfUac(request, response, from), link);
    if (known === undefined) entry.dialog = confirmed(entry.dialog, response);
    else entry.dialog = refreshed(entry.dialog, response);
    this.#dialogs.prefer(entry);
    this.#grant(entry, "subscriber", method, request, response);
  }

  /** The application has the final response of its SUBSCRIBE or REFER: what waited for it follows. */
  told(request: SipRequest, succeeded: boolean): void {
    if (!isSubscribing(request.method) || request.toTag !== "") return;
    const key = askingKey(request.callId, request.fromTag);
    const asking = this.#asking.get(key);
    if (asking === undefined) return;
    asking.answered = true;
    for (const deliver of asking.held.splice(0)) deliver(succeeded);
    if (succeeded) {
      // Timer N: other forks may still be heard of. RFC 6665 §4.1.2.4.
      const over: TimerOwner = { onTimer: () => this.#giveUp(key, asking) };
      this.#shell.wheel.start(over, "timer-n", giveUpMs(this.#shell.timing));
      return;
    }
    this.#asking.delete(key);
    for (const entry of this.#dialogs.forksOf(dialogId(request.callId, request.fromTag))) {
      const name = subscriptionOf(request) ?? NAMELESS;
      const by = request.method === "REFER" ? "REFER" : "SUBSCRIBE";
      this.#feed(entry, { kind: "refused", role: "subscriber", by, ...name, status: 481 });
    }
  }

  /** A request inside a dialog has its final response. @param asker whose request it was */
  finished(entry: DialogEntry, asker: "us" | "peer", request: SipRequest, response: SipResponse): void {
    const { method } = request;
    const { status } = response;
    if (method === "BYE") {
      if (status !== 401 && status !== 407) this.endSession(entry);
    } else if (method === "NOTIFY") {
      const role = asker === "peer" ? "subscriber" : "notifier";
      const name = eventOf(request) ?? NAMELESS;
      this.#feed(entry, { kind: "notified", role, ...name, status, state: stateOf(request) });
    } else if (isSubscribing(method)) {
      const role = asker === "peer" ? "notifier" : "subscriber";
      const name = subscriptionOf(request) ?? NAMELESS;
      if (status >= 300) this.#feed(entry, { kind: "refused", role, by: method, ...name, status });
      else this.#grant(entry, role, method, request, response);
    }
  }

  /** The INVITE usage is over; the dialog is when nothing else uses it. */
  endSession(entry: DialogEntry): void {
    if (entry.sessionTimer !== undefined) this.#dialogs.onTimedDialogEnded(entry);
    this.#feed(entry, { kind: "bye" });
  }

  /** Nobody will speak for this dialog again: those who listen to it are told. */
  abandon(entry: DialogEntry): void {
    for (const subscription of entry.dialog.usages.subscriptions)
      if (subscription.role === "notifier") this.#sendTerminated(entry, subscription, "deactivated");
    this.#dialogs.remove(entry);
  }

  #grant(
    entry: DialogEntry,
    role: usages.Subscription["role"],
    method: "SUBSCRIBE" | "REFER",
    request: SipRequest,
    response: SipResponse,
  ): void {
    const named = { role, by: method, ...(subscriptionOf(request) ?? NAMELESS) } as const;
    if (method === "REFER" && withoutSubscription(response)) this.#feed(entry, { kind: "declined", ...named });
    else {
      const expiresSeconds = method === "REFER" ? undefined : (expiresOf(response) ?? expiresOf(request));
      this.#feed(entry, { kind: "granted", ...named, expiresSeconds });
    }
  }

  #feed(entry: DialogEntry, input: usages.UsageInput): void {
    if (entry.dialog.phase === "terminated") return;
    const time = { nowUnixMs: this.#shell.clock.unixMs(), graceMs: giveUpMs(this.#shell.timing) };
    const { state, effects } = usages.step(time, entry.dialog.usages, input);
    if (state !== entry.dialog.usages) entry.dialog = { ...entry.dialog, usages: state };
    for (const effect of effects) this.#perform(entry, effect);
  }

  #perform(entry: DialogEntry, effect: usages.UsageEffect): void {
    switch (effect.kind) {
      case "start-timer":
        this.#startTimer(entry, effect.afterMs);
        break;
      case "stop-timer":
        this.#stopTimer(entry);
        break;
      case "tell-lapsed":
        this.#shell.counters.add("subscriptions_lapsed", 'role="notifier"');
        // drachtio-srf makes "unsubscribe" of it, and its application says the last word.
        if (effect.subscription.by === "SUBSCRIBE") this.#tell(entry, "SUBSCRIBE", effect.subscription, "Expires: 0");
        break;
      case "send-terminated":
        if (effect.subscription.by === "SUBSCRIBE") this.#sendTerminated(entry, effect.subscription, "timeout");
        break;
      case "tell-terminated":
        this.#shell.counters.add("subscriptions_lapsed", 'role="subscriber"');
        if (effect.subscription.phase === "asked") {
          const key = askingKey(entry.dialog.callId, entry.dialog.localTag);
          this.#giveUp(key, this.#asking.get(key)); // Timer N of the one is that of the other
        }
        // An application that made the dialog by subscribing keeps it until it hears this.
        if (entry.dialog.usage === "SUBSCRIBE" && effect.subscription.by === "SUBSCRIBE")
          this.#tell(entry, "NOTIFY", effect.subscription, "Subscription-State: terminated;reason=timeout");
        break;
      case "over":
        this.#dialogs.remove(entry);
        break;
    }
  }

  #giveUp(key: string, asking: Asking | undefined): void {
    if (asking?.answered && this.#asking.get(key) === asking) this.#asking.delete(key);
  }

  #sendTerminated(entry: DialogEntry, { event, id }: usages.Subscription, why: string): void {
    const headers = [
      header("Event", "event", showEvent(event, id)),
      header("Subscription-State", "subscription-state", `terminated;reason=${why}`),
    ];
    this.sendOwn(entry, { method: "NOTIFY", uri: entry.dialog.remoteTarget, headers, body: "" });
  }

  /** What the peer should have said, in its name: never on the wire, and marked as ours. */
  #tell({ dialog, owner }: DialogEntry, method: string, { event, id }: usages.Subscription, line: string): void {
    const text = [
      `${method} ${dialog.localContact.replace(/^[^<]*<([^>]*)>.*$/, "$1") || "sip:localhost"} SIP/2.0`,
      `From: ${dialog.remoteParty}`,
      `To: ${dialog.localParty}`,
      `Call-ID: ${dialog.callId}`,
      `CSeq: ${dialog.remoteSeq ?? 0} ${method}`,
      `Event: ${showEvent(event, id)}`,
      line,
      "Content-Length: 0",
      "\r\n",
    ].join("\r\n");
    const time = this.#shell.timeOfDay();
    const { transport: protocol, address, port } = dialog.flow;
    const meta: report.Meta = { source: "application", bytes: text.length, protocol, address, port, time };
    owner.send(report.unsolicited(this.#shell.ids.uuid(), meta, dialog.id, text));
  }

  #forget(entry: DialogEntry): void {
    this.#stopTimer(entry);
  }

  /** The dialog has been taken up from a record: its subscriptions lapse when they would have. */
  resume(entry: DialogEntry): void {
    const due = entry.dialog.usages.subscriptions.map(({ dueUnixMs }) => dueUnixMs);
    if (due.length > 0) this.#startTimer(entry, Math.max(0, Math.min(...due) - this.#shell.clock.unixMs()));
  }

  #startTimer(entry: DialogEntry, afterMs: number): void {
    this.#stopTimer(entry);
    const owner = new OneShot(() => {
      this.#timers.delete(entry);
      this.#feed(entry, { kind: "due" });
    });
    owner.timer = this.#shell.wheel.start(owner, "usage", afterMs);
    this.#timers.set(entry, owner);
  }

  #stopTimer(entry: DialogEntry): void {
    const running = this.#timers.get(entry);
    if (running?.timer === undefined) return;
    this.#shell.wheel.stop(running.timer);
    this.#timers.delete(entry);
  }
}

const askingKey = (callId: string, localTag: string): string => `${callId}|${localTag}`;
const showEvent = (event: string, id: string): string => (id === "" ? event : `${event};id=${id}`);

class Asking {
  request: SipRequest;
  readonly link: Owner;
  readonly held: ((wanted: boolean) => void)[] = [];
  answered = false;
  forks = 0;

  constructor(request: SipRequest, link: Owner) {
    this.request = request;
    this.link = link;
  }
}
