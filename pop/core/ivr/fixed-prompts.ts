// What flows will want to play, as far as it is known before any call: a text with a name in it depends on its call.

import type { Prompt } from "../media/prompt.ts";
import type { Flow } from "./flow.ts";

const isFixed = (prompt: Prompt): boolean => prompt.kind === "file" || !prompt.text.includes("{{");

function* promptsIn(flow: Flow): Generator<Prompt> {
  for (const activity of Object.values(flow.activities)) {
    if (activity.kind === "play" || activity.kind === "collect") yield* activity.prompts;
    else if (activity.kind === "menu") yield* [...activity.prompts, ...activity.noMatchPrompts];
    else if (activity.kind === "queue")
      yield* activity.music === undefined ? activity.messages : [...activity.messages, activity.music];
  }
}

/** In the order of the flows, each once. */
export function fixedPrompts(flows: readonly Flow[]): readonly Prompt[] {
  const prompts = new Map<string, Prompt>();
  for (const flow of flows)
    for (const prompt of promptsIn(flow)) if (isFixed(prompt)) prompts.set(JSON.stringify(prompt), prompt);
  return [...prompts.values()];
}
