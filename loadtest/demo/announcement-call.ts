// The demo's second call, to the region's other host: SIPp with RTP of its own, and a caller who hangs up in mid-sentence.

import { encodeG711 } from "../../pop/core/media/g711.ts";
import { toneSamples } from "../../pop/core/media/tone.ts";
import { runSipp } from "../sipp/run-sipp.ts";
import { mistakesOf } from "./contact-record-check.ts";
import type { Stage } from "./support-call.ts";

const CALLER_HOST = "127.20.0.2";
const CALLING_NUMBER = "+4930555002";

export async function announcementCall({
  operator,
  checks,
  tenant,
  host,
  folder,
  say,
  regionPrefix,
}: Stage): Promise<void> {
  say(`a second carrier call, to ${tenant.announcementNumber} on ${host.hostId}: SIPp sends the RTP itself`);
  await checks.expect(
    "caller may hang up at any time",
    (async () => {
      const result = await runSipp({
        scenario: "caller-streams-audio-then-hangs-up",
        target: `${host.address}:${host.sipPort}`,
        localHost: CALLER_HOST,
        localPort: 5060,
        calledNumber: tenant.announcementNumber,
        calls: 1,
        callsPerSecond: 1,
        holdMs: 1_200,
        audio: encodeG711("PCMU", toneSamples(500, 1_000)),
        keys: { calling_number: CALLING_NUMBER },
        withinMs: 10_000,
        folder,
      });
      if (!result.good) throw new Error(result.complaints || `SIPp: exit ${result.exitCode}`);
      const record = await operator.record(CALLING_NUMBER);
      const mistakes = mistakesOf(record, ["flow"]);
      if (mistakes.length > 0) throw new Error(mistakes.join("; "));
      if (record.endedBy !== "caller") throw new Error(`ended by ${record.endedBy}`);
      if (!record.media.every(({ localAddress }) => localAddress.startsWith(regionPrefix)))
        throw new Error("media outside the region");
      return record;
    })(),
    ({ endedBy, endCode, endedAtUnixMs, arrivedAtUnixMs }) =>
      `in the announcement, after ${endedAtUnixMs - arrivedAtUnixMs} ms; ended by ${endedBy} (${endCode})`,
  );
}
