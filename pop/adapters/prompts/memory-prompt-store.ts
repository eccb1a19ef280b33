import { fail, type Outcome, succeed } from "../../../kernel/outcome.ts";
import type { PromptFailure, PromptStore, ResolvedPrompt } from "../../boundary/prompt-store.ts";
import type { Prompt } from "../../core/media/prompt.ts";

/** A PromptStore for tests: any text can be spoken, and files exist unless the test names them missing. */
export class MemoryPromptStore implements PromptStore {
  readonly asked: Prompt[] = [];
  readonly missing = new Set<string>();
  durationMs = 1_000;

  async resolve(prompt: Prompt): Promise<Outcome<ResolvedPrompt, PromptFailure>> {
    this.asked.push(prompt);
    const name = prompt.kind === "file" ? prompt.name : `text/${prompt.text}`;
    if (this.missing.has(name)) return fail({ code: "prompt.not-found", name });
    return succeed({ kind: "file", path: `/prompts/${name}.ulaw`, durationMs: this.durationMs });
  }
}
