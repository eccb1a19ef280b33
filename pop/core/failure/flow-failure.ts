/** Why an activity could not do its work. It takes the activity's failure path, else the tenant's default treatment. */
export type FlowFailure =
  /** A prompt of a play, menu or collect activity could not be played to its end. */
  | { readonly code: "flow.prompt-failed" }
  /** The caller pressed nothing, at the last attempt. */
  | { readonly code: "flow.no-input"; readonly attempts: number }
  /** The caller pressed a key that is no choice, or too few digits, at the last attempt. */
  | { readonly code: "flow.no-match"; readonly attempts: number }
  /** Activities follow one another without one that takes time. */
  | { readonly code: "flow.loop"; readonly activitiesMax: number }
  /** A template is malformed, reads a variable that has no value, or renders to more than is allowed. */
  | { readonly code: "flow.template-invalid"; readonly detail: string }
  /** less-than or greater-than on what is no number. */
  | { readonly code: "flow.not-a-number" }
  /** The flow has no such activity: cannot happen in a flow that checkFlow has passed. */
  | { readonly code: "flow.activity-unknown" }
  | { readonly code: "flow.queue-refused"; readonly queueCode: string }
  | { readonly code: "flow.wait-exceeded"; readonly waitMsMax: number }
  /** What is to be dialled is no telephone number once rendered. */
  | { readonly code: "flow.number-unusable" }
  | { readonly code: "flow.transfer-failed"; readonly transferCode: string };

export type FlowFailureCode = FlowFailure["code"];

/** For the trace. Holds nothing that the caller entered. */
export function showFlowFailure(failure: FlowFailure): string {
  switch (failure.code) {
    case "flow.prompt-failed":
      return "a prompt could not be played";
    case "flow.no-input":
      return `no key pressed, attempt ${failure.attempts} was the last`;
    case "flow.no-match":
      return `no valid input, attempt ${failure.attempts} was the last`;
    case "flow.loop":
      return `${failure.activitiesMax} activities in a row took no time`;
    case "flow.template-invalid":
      return failure.detail;
    case "flow.not-a-number":
      return "one side of the comparison is no number";
    case "flow.activity-unknown":
      return "the flow has no such activity";
    case "flow.queue-refused":
      return `the queue refused: ${failure.queueCode}`;
    case "flow.wait-exceeded":
      return `waited ${failure.waitMsMax} ms, the most allowed`;
    case "flow.number-unusable":
      return "what is to be dialled is no telephone number";
    case "flow.transfer-failed":
      return `the transfer failed: ${failure.transferCode}`;
  }
}
