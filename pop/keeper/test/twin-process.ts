// The other host of a pair, as a process that a test can stop and kill: it listens as a twin does, and answers every beat.
//
//   node pop/keeper/test/twin-process.ts '{"twin","listen","peer","certDir"}'      says its port, then every beat's number

import { asId } from "../../../kernel/ids.ts";
import { silentLog } from "../../../kernel/log.ts";
import { TlsTwinLink } from "../adapters/twin-link/twin-link.ts";

const place = JSON.parse(process.argv[2] ?? "{}");
const link = new TlsTwinLink({ ...place, log: silentLog });
const boot = `process-${process.pid}`;
const service = asId<"pop-host">(place.twin === "fra-01-a" ? "fra-01-b" : "fra-01-a");
await link.listen({
  connected() {},
  closed() {},
  refused() {},
  unreachable() {},
  hungUp() {},
  answer() {},
  beat(from, { n, sentAtMs, stances }) {
    console.log(`beat ${n}`);
    const grants = stances.flatMap(({ service, epoch, name }) => (name === "idle" ? [] : [{ service, epoch }]));
    const own = { service, name: "holds" as const, epoch: 2, yields: false };
    link.answerBeat(from, { boot, stances: [own], leaving: false, wantsHome: false, n, sentAtMs, grants });
  },
});
console.log(`port ${link.port}`);
