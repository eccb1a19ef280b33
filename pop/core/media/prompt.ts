import type { Id } from "../../../kernel/ids.ts";

/** One play of one call, named by whoever asks for it. */
export type PlayId = Id<"play">;

/** Something the media worker can play as it stands. */
export type PromptRef =
  | { readonly kind: "tone"; readonly hz: number; readonly ms: number }
  | { readonly kind: "silence"; readonly ms: number }
  /** A file already encoded by the PromptStore: raw 8 kHz mu-law, nothing else. */
  | { readonly kind: "file"; readonly path: string };

/** What a flow asks for; the PromptStore turns it into a PromptRef. */
export type Prompt =
  | { readonly kind: "file"; readonly name: string }
  | { readonly kind: "text"; readonly text: string; readonly language?: string };
