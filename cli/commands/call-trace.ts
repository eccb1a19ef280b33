import { connectRegion } from "../client/region-client.ts";
import { EXIT } from "../exit.ts";
import { fetchTrace } from "../trace/fetch-trace.ts";
import { showCallTrace } from "../trace/ladder.ts";
import { type Command, dataDirOf, print, printJson, REGION_HELP, REGION_OPTIONS, regionOf } from "./command.ts";

export const callTrace: Command = {
  name: "call trace",
  summary: "one call: SIP ladder, flow steps and their reasons, queue decisions, media",
  usage: "ID [--json] [--region ID]",
  help: `Draws the messages of both legs, with what the flow and the queue decided in between, and why; then the media
addresses and, once the call is over, its contact record. ID is ours ("tollgate call list"), not a SIP Call-ID.

  --json          the same as data
${REGION_HELP}

Exit: 0 · 65 nobody knows the call · 69 the region is not up`,
  options: { ...REGION_OPTIONS, json: { type: "boolean" } },
  positionals: { min: 1, max: 1 },
  async run(invocation) {
    const client = connectRegion(dataDirOf(invocation), regionOf(invocation));
    const trace = await fetchTrace(client, invocation.positionals[0] ?? "");
    if (invocation.values.json === true) printJson(trace);
    else print(showCallTrace(trace));
    return EXIT.ok;
  },
};
