// Prompts are made before somebody waits for them: a host that takes calls over has not spoken the texts of their flows yet.
// One at a time, and with a rest after each, so that a call's own prompt never waits for more than one of these.

import type { SetAlarm } from "../../kernel/alarm.ts";
import type { Log } from "../../kernel/log.ts";
import { fixedPrompts } from "../core/ivr/fixed-prompts.ts";
import type { Prompt } from "../core/media/prompt.ts";
import type { Snapshot } from "../core/routing/snapshot.ts";
import type { MediaEngines } from "./call-media.ts";

/** Of one snapshot; what is beyond is made when it is first played. */
export const WARMED_PROMPTS_MAX = 2_000;
const REST_MS = 20;
/** A snapshot is applied, too, when a process takes calls up: those come first. */
const BEGIN_AFTER_MS = 5_000;

export class PromptWarming {
  readonly #promptsOf: MediaEngines["promptsOf"];
  readonly #setAlarm: SetAlarm;
  readonly #log: Log;
  #waiting: { readonly tenant: string; readonly prompt: Prompt }[] = [];
  #busy = false;
  #made = 0;

  constructor(promptsOf: MediaEngines["promptsOf"], setAlarm: SetAlarm, log: Log) {
    this.#promptsOf = promptsOf;
    this.#setAlarm = setAlarm;
    this.#log = log;
  }

  /** Takes the place of what still waited of an older one. */
  applied(snapshot: Snapshot): void {
    const wanted = snapshot.tenants.flatMap(({ id, defaultTreatment }) => {
      const music = snapshot.queues.flatMap((queue) => (queue.tenantId === id && queue.music ? [queue.music] : []));
      const flows = snapshot.flows.filter(({ tenantId }) => tenantId === id);
      const builtIn: Prompt = { kind: "file", name: "music/default" };
      return [...defaultTreatment, ...music, ...fixedPrompts(flows), builtIn].map((prompt) => ({ tenant: id, prompt }));
    });
    if (wanted.length > WARMED_PROMPTS_MAX)
      this.#log.warn("prompts.not-all-made", { prompts: wanted.length, promptsMax: WARMED_PROMPTS_MAX });
    this.#waiting = wanted.slice(0, WARMED_PROMPTS_MAX);
    this.#made = 0;
    if (this.#busy) return;
    this.#busy = true;
    this.#setAlarm(BEGIN_AFTER_MS, () => void this.#next());
  }

  stop(): void {
    this.#waiting = [];
  }

  async #next(): Promise<void> {
    const first = this.#waiting.shift();
    this.#busy = first !== undefined;
    if (first === undefined) return this.#log.info("prompts.made", { prompts: this.#made });
    const made = await this.#promptsOf(first.tenant).resolve(first.prompt);
    if (made.ok) this.#made++;
    else this.#log.warn("prompt.not-made", { ...made.failure, tenantId: first.tenant });
    this.#setAlarm(REST_MS, () => void this.#next());
  }
}
