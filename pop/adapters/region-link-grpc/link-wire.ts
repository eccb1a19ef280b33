// pop_link.v1 ↔ the core's link. A directive of a kind that this POP does not know is ignored: the region may be newer than we are.

import { asId, type CallId } from "../../../kernel/ids.ts";
import type { ConnectRequest, ConnectResponse } from "../../../proto/gen/pop_link/v1/pop_link.ts";
import type { LinkCommand, RegionLinkInput, RegionReport } from "../../core/link/region-link.ts";
import { snapshotFromWire } from "./snapshot-wire.ts";

export interface PopIdentity {
  readonly popId: string;
  readonly hostId: string;
  readonly softwareVersion: string;
  /** Of the owner of the service that `hostId` names. */
  readonly epoch: number;
}

export function directiveFromWire({ directive }: ConnectResponse): RegionLinkInput | undefined {
  switch (directive?.$case) {
    case "welcome":
      return { kind: "welcomed", presenceIntervalMs: directive.value.presenceIntervalMs ?? 0 };
    case "snapshot":
      return {
        kind: "snapshot",
        snapshot: { version: directive.value.version ?? 0, content: snapshotFromWire(directive.value) },
      };
    case "command": {
      const { id, command } = directive.value;
      // Without an id it could neither be answered nor told from its repetition.
      return id ? { kind: "command", id, command: commandFromWire(command) } : undefined;
    }
    default:
      return undefined;
  }
}

function commandFromWire(
  command: Extract<ConnectResponse["directive"], { $case: "command" }>["value"]["command"],
): LinkCommand | undefined {
  switch (command?.$case) {
    case "hangUp":
      return command.value.callId ? { kind: "hang-up", callId: asId<"call">(command.value.callId) } : undefined;
    case "drain":
      return { kind: "drain", on: command.value.on ?? false };
    default:
      return undefined;
  }
}

/** @param heldCalls asked for by a hello alone */
export function reportToWire(
  identity: PopIdentity,
  report: RegionReport,
  heldCalls: () => readonly CallId[],
): ConnectRequest {
  switch (report.kind) {
    case "hello": {
      const held = { callIds: [...heldCalls()] };
      return { report: { $case: "hello", value: { ...identity, appliedVersion: report.appliedVersion, held } } };
    }
    case "applied":
      return { report: { $case: "applied", value: { version: report.version } } };
    case "refused":
      return {
        report: {
          $case: "refused",
          value: { version: report.version, mistakes: report.mistakes.map((mistake) => ({ ...mistake })) },
        },
      };
    case "command-done":
      return {
        report: {
          $case: "commandDone",
          value: { id: report.id, done: report.reason === undefined, reason: report.reason ?? "" },
        },
      };
  }
}

export const presenceToWire = (
  presence: { readonly calls: number; readonly draining: boolean },
  atUnixMs: number,
): ConnectRequest => ({ report: { $case: "presence", value: { ...presence, atUnixMs: Math.round(atUnixMs) } } });
