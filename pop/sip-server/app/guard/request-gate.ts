// What a request must pass before an application sees it: digest, extensions it insists on, the dialog it wants to replace.
// RFC 3261 §8.2.2.3, §22, RFC 3891.

import { type Dialog, dialogKey } from "../../core/dialog/dialog.ts";
import { judge, replacesOf } from "../../core/dialog/replaces.ts";
import type { KnownPassword } from "../../core/digest/answer.ts";
import type { GuardSettings } from "../../core/digest/guard.ts";
import type { ListenPoint } from "../../core/flow.ts";
import type { SipRequest } from "../../core/message/message.ts";
import { SERVER_OPTION_TAGS, unsupported } from "../../core/user-agent/option-tags.ts";
import type { Owner } from "../applications/owners.ts";
import type { DialogStore } from "../dialogs/dialog-store.ts";
import type { Refusal } from "../dialogs/dialog-usages.ts";
import type { Counters } from "../shell/counters.ts";
import type { DigestGuards } from "./digest-guards.ts";

export interface GateSettings {
  /** Tags that the applications understand, besides the server's own. */
  readonly appOptionTags: readonly string[];
  /** "passed": the applications look at Replaces themselves, as those do that relay it. */
  readonly replaces: "checked" | "passed";
}

/** Who may ask what, and with which passwords we answer. */
export interface AccessSettings extends GateSettings {
  readonly guards: readonly GuardSettings[];
  /** 32 random bytes: nonces are sealed with them. */
  readonly nonceKey: Uint8Array;
  /** The latest. */
  readonly passwords: () => readonly KnownPassword[];
}

/** Nobody is asked for a proof, and no password is known. */
export const OPEN_ACCESS: AccessSettings = {
  appOptionTags: [],
  replaces: "checked",
  guards: [],
  nonceKey: new Uint8Array(32),
  passwords: () => [],
};

export type Admission =
  /** To this application, if there is one it must be; else to whoever is next. */
  { readonly kind: "admitted"; readonly owner: Owner | undefined } | ({ readonly kind: "refused" } & Refusal);

const ADMITTED: Admission = { kind: "admitted", owner: undefined };

export class RequestGate {
  readonly #settings: GateSettings;
  readonly #dialogs: DialogStore;
  readonly #guards: DigestGuards;
  readonly #counters: Counters;
  readonly #tags: ReadonlySet<string>;

  constructor(settings: GateSettings, dialogs: DialogStore, guards: DigestGuards, counters: Counters) {
    this.#settings = settings;
    this.#dialogs = dialogs;
    this.#guards = guards;
    this.#counters = counters;
    this.#tags = new Set([...SERVER_OPTION_TAGS, ...settings.appOptionTags.map((tag) => tag.toLowerCase())]);
  }

  /** Outside dialogs. */
  admit(request: SipRequest, point: ListenPoint): Admission {
    const challenge = this.#guards.challengeFor(request, point);
    if (challenge !== undefined) return this.#refused(challenge);
    let insists = false;
    let replaces = false;
    for (const { key } of request.headers) {
      if (key === "require") insists = true;
      else if (key === "replaces") replaces = true;
    }
    if (insists) {
      const refusal = this.#badExtension(request);
      if (refusal !== undefined) return refusal;
    }
    return replaces && this.#settings.replaces === "checked" ? this.#admitReplacing(request) : ADMITTED;
  }

  /** Whether a request that got in has had to prove itself. */
  wantsProof(request: SipRequest, point: ListenPoint): boolean {
    return this.#guards.guards(request, point);
  }

  /** Inside a dialog. An ACK is never refused. */
  refusalInDialog(request: SipRequest, point: ListenPoint): Refusal | undefined {
    const challenge = this.#guards.challengeFor(request, point);
    if (challenge !== undefined) return this.#refused(challenge);
    for (const { key } of request.headers) {
      if (key !== "require") continue;
      const refusal = this.#badExtension(request);
      return refusal?.kind === "refused" ? refusal : undefined;
    }
    return undefined;
  }

  #badExtension(request: SipRequest): Admission | undefined {
    const header = unsupported(request, "require", this.#tags);
    return header === undefined ? undefined : this.#refused({ status: 420, headers: [header] });
  }

  #admitReplacing(request: SipRequest): Admission {
    const parsed = replacesOf(request);
    if (!parsed.ok) return this.#refused({ status: 400, reason: parsed.failure.reason });
    if (parsed.value === undefined) return ADMITTED;
    const { callId, toTag, fromTag } = parsed.value;
    const entry = this.#dialogs.byKey(callId, toTag, fromTag);
    const ended = entry === undefined && this.#dialogs.hasEnded(dialogKey(callId, toTag, fromTag));
    const dialog: Dialog | undefined = entry?.dialog;
    const verdict = judge(parsed.value, dialog, ended);
    if (verdict.kind === "refuse") return this.#refused({ status: verdict.status });
    // Whoever has the dialog can do something about it; when it is away, anybody may answer.
    return entry?.owner.open ? { kind: "admitted", owner: entry.owner } : ADMITTED;
  }

  #refused(refusal: Refusal): { readonly kind: "refused" } & Refusal {
    this.#counters.add("requests_refused", `status="${refusal.status}"`);
    return { kind: "refused", ...refusal };
  }
}
