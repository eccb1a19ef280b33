import type { Step } from "../../../kernel/step.ts";
import type { CallEffect } from "./call-execution.ts";
import type { CallState } from "./call-state.ts";

export type CallStep = Step<CallState, CallEffect>;
