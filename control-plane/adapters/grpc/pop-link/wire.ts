// pop_link.v1 to our words and back.

import { asId } from "../../../../kernel/ids.ts";
import { impossible } from "../../../../kernel/step.ts";
import type { ConnectRequest, ConnectResponse, DeepPartial } from "../../../../proto/gen/pop_link/v1/pop_link.ts";
import type { Directive } from "../../../boundary/pop-links.ts";
import type { Report } from "../../../core/pop-registry/pop-registry.ts";
import { snapshotToWire } from "./snapshot-wire.ts";

/** Undefined for a report newer than we are: skipped, never an error. */
export function reportFromWire({ report }: ConnectRequest): Report | undefined {
  switch (report?.$case) {
    case "hello": {
      const { popId, hostId, appliedVersion, softwareVersion, epoch, held } = report.value;
      return {
        kind: "hello",
        popId: asId<"pop">(popId ?? ""),
        hostId: asId<"pop-host">(hostId ?? ""),
        appliedVersion: appliedVersion ?? 0,
        softwareVersion: softwareVersion ?? "",
        epoch: epoch ?? 0,
        held: held?.callIds.map((id) => asId<"call">(id)),
      };
    }
    case "applied":
      return { kind: "applied", version: report.value.version ?? 0 };
    case "refused": {
      const mistakes = report.value.mistakes.map(({ path, message }) => ({ path: path ?? "", message: message ?? "" }));
      return { kind: "refused", version: report.value.version ?? 0, mistakes };
    }
    case "presence": {
      const { calls, draining, atUnixMs } = report.value;
      return { kind: "presence", calls: calls ?? 0, draining: draining ?? false, atUnixMs: atUnixMs ?? 0 };
    }
    case "commandDone": {
      const { id, done, reason } = report.value;
      return { kind: "command-done", commandId: id ?? "", done: done ?? false, reason: reason ?? "" };
    }
    default:
      return undefined;
  }
}

export function directiveToWire(directive: Directive): DeepPartial<ConnectResponse> {
  switch (directive.kind) {
    case "welcome": {
      const { regionId, presenceIntervalMs } = directive;
      return { directive: { $case: "welcome", value: { regionId, presenceIntervalMs } } };
    }
    case "snapshot":
      return { directive: { $case: "snapshot", value: snapshotToWire(directive.snapshot) } };
    case "command": {
      const { commandId: id, command } = directive;
      return {
        directive: {
          $case: "command",
          value:
            command.kind === "drain"
              ? { id, command: { $case: "drain", value: { on: command.on } } }
              : { id, command: { $case: "hangUp", value: { callId: command.callId } } },
        },
      };
    }
    default:
      return impossible(directive);
  }
}
