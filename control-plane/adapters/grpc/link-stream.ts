// What the two streams of a POP host have in common: a hello that is admitted, reports up, directives down.

import { type CallContext, ServerError, Status } from "nice-grpc";
import type { Outcome } from "../../../kernel/outcome.ts";
import { impossible } from "../../../kernel/step.ts";
import type { AdmissionFailure } from "../../boundary/pop-links.ts";
import { certificateOf } from "./grpc-server.ts";

interface Link<Report, Directive> {
  receive(report: Report): void;
  directives(): AsyncIterable<Directive>;
  close(): void;
}

interface Stream<Wire, Report extends { readonly kind: string }, Directive, DirectiveWire> {
  /** Undefined for a report newer than we are: skipped, never an error. */
  readonly fromWire: (wire: Wire) => Report | undefined;
  readonly toWire: (directive: Directive) => DirectiveWire;
  readonly admit: (
    hello: Extract<Report, { readonly kind: "hello" }>,
    certificateOf: string,
  ) => Outcome<Link<Report, Directive>, AdmissionFailure>;
}

/** A handler for a stream of that kind: translates, and nothing else. */
export const linkStream = <Wire, Report extends { readonly kind: string }, Directive, DirectiveWire>({
  fromWire,
  toWire,
  admit,
}: Stream<Wire, Report, Directive, DirectiveWire>) =>
  async function* connect(uplink: AsyncIterable<Wire>, context: Pick<CallContext, "signal" | "metadata">) {
    const reports = uplink[Symbol.asyncIterator]();
    const first = await reports.next();
    const hello = first.done ? undefined : fromWire(first.value);
    if (hello?.kind !== "hello") throw new ServerError(Status.INVALID_ARGUMENT, "the first message must be a hello");
    const admitted = admit(hello as Extract<Report, { readonly kind: "hello" }>, certificateOf(context));
    if (!admitted.ok) throw new ServerError(statusOf(admitted.failure), admitted.failure.code);
    const link = admitted.value;
    const close = () => link.close();
    context.signal.addEventListener("abort", close, { once: true }); // the call was cancelled
    void listen(reports, fromWire, link).finally(close); // the POP hung up, or broke off
    try {
      for await (const directive of link.directives()) yield toWire(directive);
    } finally {
      close();
    }
  };

/** Reads reports until the stream ends, however it ends. Never rejects. */
async function listen<Wire, Report>(
  reports: AsyncIterator<Wire>,
  fromWire: (wire: Wire) => Report | undefined,
  link: Pick<Link<Report, unknown>, "receive">,
): Promise<void> {
  try {
    for (let next = await reports.next(); !next.done; next = await reports.next()) {
      const report = fromWire(next.value);
      if (report !== undefined) link.receive(report);
    }
  } catch {
    // The transport broke, which for the link is the same as a hang-up.
  }
}

function statusOf(failure: AdmissionFailure): Status {
  switch (failure.code) {
    case "pop.not-itself":
      return Status.PERMISSION_DENIED;
    case "pop.superseded":
      return Status.FAILED_PRECONDITION;
    case "region.starting":
    case "region.stopping":
      return Status.UNAVAILABLE;
    default:
      return impossible(failure);
  }
}
