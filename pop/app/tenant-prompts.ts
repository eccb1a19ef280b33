import { fail } from "../../kernel/outcome.ts";
import type { PromptStore } from "../boundary/prompt-store.ts";

/** Folders of prompts that every tenant may play. */
const SHARED = /^(music|tone)\//;

/** What one tenant may play: its own folder, what everybody has, and any text. Another tenant's prompt does not exist for it. */
export const tenantPrompts = (tenant: string, store: PromptStore): PromptStore => ({
  async resolve(prompt) {
    if (prompt.kind === "file" && !SHARED.test(prompt.name) && !prompt.name.startsWith(`${tenant}/`))
      return fail({ code: "prompt.not-found", name: prompt.name });
    return store.resolve(prompt);
  },
});
