// Collects what is known of one call: from the POP host that has it, and from the control plane.

import { complaintOf, type RegionClient } from "../client/region-client.ts";
import { CommandEnd, EXIT } from "../exit.ts";
import { type CallTrace, ContactSchema, PopTraceSchema } from "./call-trace.ts";

/** @throws CommandEnd 65 when nobody knows the call, 69 when nobody could be asked */
export async function fetchTrace(client: RegionClient, callId: string): Promise<CallTrace> {
  const path = `/calls/${encodeURIComponent(callId)}/trace`;
  const [hosts, contact] = await Promise.all([
    Promise.all(client.state.hosts.map(async ({ hostId }) => ({ hostId, answer: await client.pop(hostId, path) }))),
    // Without a control plane there is still the POP's half.
    client
      .rest("GET", `/v1/contacts/${encodeURIComponent(callId)}`)
      .then((answer) => (answer.status === 200 ? ContactSchema.safeParse(answer.body) : undefined))
      .catch((error: unknown) => {
        if (error instanceof CommandEnd && error.code === EXIT.unavailable) return undefined;
        throw error;
      }),
  ]);
  const found = hosts.find(({ answer }) => answer?.status === 200);
  const pop = found === undefined ? undefined : PopTraceSchema.safeParse(found.answer?.body);
  if (pop?.success === false)
    throw new CommandEnd(EXIT.failed, `${found?.hostId} tells the trace in a way this version does not understand`);
  if (pop === undefined && contact?.success !== true) {
    if (hosts.length > 0 && hosts.every(({ answer }) => answer === undefined))
      throw new CommandEnd(EXIT.unavailable, "no POP host of the region answers");
    const strange = hosts.find(({ answer }) => answer !== undefined && answer.status !== 404)?.answer;
    throw new CommandEnd(EXIT.data, strange === undefined ? `nobody knows a call ${callId}` : complaintOf(strange));
  }
  return {
    callId,
    hostId: found?.hostId,
    pop: pop?.data,
    contact: contact?.success === true ? contact.data : undefined,
  };
}
