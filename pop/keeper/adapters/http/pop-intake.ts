import type { PopHostId } from "../../../../kernel/ids.ts";
import { fail, type Outcome, succeed } from "../../../../kernel/outcome.ts";
import type { CallIntake, IntakeFailure } from "../../boundary/call-intake.ts";

const ANSWER_MS_MAX = 1_000;

/** By the POP's own HTTP, on the service's address. */
export class PopIntake implements CallIntake {
  readonly #urls: ReadonlyMap<PopHostId, string>;

  constructor(urls: ReadonlyMap<PopHostId, string>) {
    this.#urls = urls;
  }

  async drain(service: PopHostId, on: boolean): Promise<Outcome<void, IntakeFailure>> {
    try {
      const answer = await fetch(`${this.#urls.get(service)}/drain`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ on }),
        signal: AbortSignal.timeout(ANSWER_MS_MAX),
      });
      if (answer.ok) return succeed(undefined);
      return fail({ code: "drain.pop-away", detail: `HTTP ${answer.status}` });
    } catch (error) {
      return fail({ code: "drain.pop-away", detail: error instanceof Error ? error.message : String(error) });
    }
  }
}
