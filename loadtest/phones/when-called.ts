/** What a phone does with a call that comes in. */
export type WhenCalled =
  | {
      readonly kind: "answer";
      /** Rings so long first. */
      readonly afterMs?: number;
      /** Sent once answered; silence when left out. */
      readonly toneHz?: number;
      /** Hangs up by itself so long after the answer. */
      readonly hangUpAfterMs?: number;
    }
  | {
      readonly kind: "refuse";
      readonly status: number;
      readonly reason?: string;
      /** Rings so long first; refuses at once, without ringing, when left out. */
      readonly afterMs?: number;
    }
  /** For ever, or until the test says `answer()`. */
  | { readonly kind: "ring" }
  /** As if switched off: not even a 100. */
  | { readonly kind: "silent" };
