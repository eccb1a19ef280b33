// Started and killed by a test: appends events for ever and says which are on disk.

import { silentLog } from "../../../kernel/log.ts";
import { fail } from "../../../kernel/outcome.ts";
import { eventOfCall } from "../../boundary/event-sink.contract.ts";
import { EventSpool } from "./event-spool.ts";

const dir = process.argv[2] ?? "";
const spool = await EventSpool.open({
  dir,
  publisher: { publish: async () => fail({ code: "events.away", detail: "nobody there" }) },
  log: silentLog,
  segmentBytesMax: 10_000,
});
for (let sequence = 0; ; sequence += 4) {
  const several = [0, 1, 2, 3].map((at) => spool.append([eventOfCall(sequence + at)]));
  await Promise.all(several);
  process.stdout.write(`${sequence + 3}\n`);
}
