import type { PopHostId } from "../../../kernel/ids.ts";
import type { Outcome } from "../../../kernel/outcome.ts";

export interface IntakeFailure {
  readonly code: "drain.pop-away";
  readonly detail: string;
}

/** Whether a service takes new calls. */
export interface CallIntake {
  /** Safe to repeat. Answers within 1 s. @fails drain.pop-away */
  drain(service: PopHostId, on: boolean): Promise<Outcome<void, IntakeFailure>>;
}
