// Cancelling an INVITE of ours: RFC 3261 §9.1. A CANCEL may not overtake its INVITE, so it waits for a provisional.

import type { Step } from "../../../../kernel/step.ts";
import type { Header } from "../message/message.ts";
import { giveUpMs, type Timing } from "../transaction/timing.ts";

export type CancellationState =
  /** Nobody has asked. `provisional`: the peer has answered with a 1xx, so a CANCEL could go. */
  | { readonly name: "unasked"; readonly provisional: boolean }
  | { readonly name: "held"; readonly headers: readonly Header[] }
  | { readonly name: "sent" }
  /** A 2xx came although we asked: the call is acknowledged, then ended. */
  | { readonly name: "crossed" }
  | { readonly name: "over" };

export type CancellationInput =
  | { readonly kind: "asked"; readonly headers: readonly Header[] }
  | { readonly kind: "provisional" }
  | { readonly kind: "final"; readonly success: boolean }
  | { readonly kind: "timer" };

export type CancellationEffect =
  | { readonly kind: "send-cancel"; readonly headers: readonly Header[] }
  | { readonly kind: "start-timer"; readonly afterMs: number }
  | { readonly kind: "stop-timer" }
  /** 64·T1 after the CANCEL and no final response: the INVITE is dead (§9.1). */
  | { readonly kind: "give-up" };

type Next = Step<CancellationState, CancellationEffect>;

export const UNASKED: CancellationState = { name: "unasked", provisional: false };

export function step(timing: Timing, state: CancellationState, input: CancellationInput): Next {
  switch (input.kind) {
    case "asked":
      if (state.name !== "unasked") return stay(state);
      return state.provisional
        ? sent(timing, input.headers)
        : { state: { name: "held", headers: input.headers }, effects: [] };
    case "provisional":
      if (state.name === "held") return sent(timing, state.headers);
      return state.name === "unasked" && !state.provisional
        ? { state: { name: "unasked", provisional: true }, effects: [] }
        : stay(state);
    case "final": {
      const asked = state.name === "held" || state.name === "sent";
      const effects: CancellationEffect[] = state.name === "sent" ? [{ kind: "stop-timer" }] : [];
      if (state.name === "crossed" || state.name === "over") return stay(state);
      return { state: { name: asked && input.success ? "crossed" : "over" }, effects };
    }
    case "timer":
      return state.name === "sent" ? { state: { name: "over" }, effects: [{ kind: "give-up" }] } : stay(state);
  }
}

function sent(timing: Timing, headers: readonly Header[]): Next {
  return {
    state: { name: "sent" },
    effects: [
      { kind: "send-cancel", headers },
      { kind: "start-timer", afterMs: giveUpMs(timing) },
    ],
  };
}

const stay = (state: CancellationState): Next => ({ state, effects: [] });
