// New calls that met the fault: what became of every INVITE of the bulk load, read from the capture. Pure.

import type { WireMessage } from "./sip-on-wire.ts";

export interface SetUps {
  readonly offered: number;
  readonly answered: number;
  /** Ended with another final answer, by status; "silence": none at all. */
  readonly failed: Readonly<Record<string, number>>;
  /** In flight at the fault, or sent while nobody served: no final answer between its INVITE and the fault. */
  readonly inFlight: {
    readonly calls: number;
    readonly answered: number;
    /** Of those answered: by a copy of the INVITE that the carrier sent by itself. */
    readonly rescued: number;
    readonly failed: number;
  };
  /** Failed although their INVITE had been answered before the fault, or was sent when the service was back: must be none. */
  readonly failedElsewhere: number;
  /** First INVITE to first provisional answer and to 200, of calls that were begun while the service was away. */
  readonly setUpMs: readonly number[];
}

interface SetUp {
  readonly firstAtMs: number;
  copies: number;
  finalAtMs: number | undefined;
  status: number | undefined;
}

/**
 * @param callers addresses that the bulk load calls from
 * @param servedAgainAtMs the first final answer of the service after the fault
 */
export function judgeSetUps(
  messages: readonly WireMessage[],
  callers: ReadonlySet<string>,
  faultAtMs: number,
): SetUps & { readonly servedAgainAtMs: number | undefined } {
  const calls = new Map<string, SetUp>();
  let servedAgainAtMs: number | undefined;
  for (const { atMs, from, to, message } of messages) {
    if (message.kind === "request" && message.method === "INVITE" && message.toTag === "" && callers.has(from.host)) {
      const known = calls.get(message.callId);
      if (known === undefined)
        calls.set(message.callId, { firstAtMs: atMs, copies: 0, finalAtMs: undefined, status: undefined });
      else known.copies++;
    }
    if (message.kind !== "response" || message.cseq.method !== "INVITE" || message.status < 200) continue;
    if (!callers.has(to.host)) continue;
    const call = calls.get(message.callId);
    if (call === undefined || call.finalAtMs !== undefined) continue;
    call.finalAtMs = atMs;
    call.status = message.status;
    if (atMs > faultAtMs) servedAgainAtMs ??= atMs;
  }
  const all = [...calls.values()];
  const good = (call: SetUp) => call.status !== undefined && call.status < 300;
  const met = (call: SetUp) =>
    call.firstAtMs <= faultAtMs
      ? call.finalAtMs === undefined || call.finalAtMs > faultAtMs
      : call.firstAtMs <= (servedAgainAtMs ?? Infinity);
  const inFlight = all.filter(met);
  const failed: Record<string, number> = {};
  for (const call of all)
    if (!good(call)) {
      const key = call.status === undefined ? "silence" : String(call.status);
      failed[key] = (failed[key] ?? 0) + 1;
    }
  return {
    offered: all.length,
    answered: all.filter(good).length,
    failed,
    inFlight: {
      calls: inFlight.length,
      answered: inFlight.filter(good).length,
      rescued: inFlight.filter((call) => good(call) && call.copies > 0).length,
      failed: inFlight.filter((call) => !good(call)).length,
    },
    failedElsewhere: all.filter((call) => !good(call) && !met(call)).length,
    setUpMs: inFlight.filter(good).map((call) => (call.finalAtMs ?? 0) - call.firstAtMs),
    servedAgainAtMs,
  };
}
