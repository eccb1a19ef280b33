import type { Outcome } from "../../kernel/outcome.ts";
import type { Prompt, PromptRef } from "../core/media/prompt.ts";

export type ResolvedPrompt = PromptRef & { readonly durationMs: number };

export type PromptFailure =
  | { readonly code: "prompt.not-found"; readonly name: string }
  /** Not a WAV that we read: says what is wrong. */
  | { readonly code: "prompt.unreadable"; readonly name: string; readonly detail: string }
  | { readonly code: "prompt.too-long"; readonly name: string; readonly secondsMax: number }
  | { readonly code: "prompt.text-unusable"; readonly detail: string; readonly charactersMax: number }
  /** The speech engine is missing, failed, or gave no audio. */
  | { readonly code: "prompt.speech-failed"; readonly detail: string }
  | { readonly code: "prompt.speech-timeout"; readonly timeoutMs: number }
  /** As many texts as allowed are being spoken or waiting. */
  | { readonly code: "prompt.busy"; readonly waitingMax: number }
  /** The cache folder cannot be written. */
  | { readonly code: "prompt.store-away"; readonly detail: string };

/** Turns what a flow says into what the media worker plays. Same prompt, same file: a second time costs a look-up. */
export interface PromptStore {
  resolve(prompt: Prompt): Promise<Outcome<ResolvedPrompt, PromptFailure>>;
}
