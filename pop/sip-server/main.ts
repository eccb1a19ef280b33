// The sip-server process: `node main.ts --config FILE.json`.

import { runProcess } from "../../kernel/shell/process.ts";
import { SipServerConfigSchema } from "./config/sip-server-config.ts";
import { type SipServer, startSipServer } from "./start.ts";

// Heard from the beginning: nobody's default for it is to go on.
let running: SipServer | undefined;
let isAsked = false;
process.on("SIGHUP", () => {
  if (running === undefined) isAsked = true;
  else void running.reloadCertificates("signal");
});

await runProcess({
  name: "sip-server",
  schema: SipServerConfigSchema,
  startsAgain: true,
  async start(config, log, ownership, beginning) {
    running = await startSipServer(config, log, ownership, (by) => beginning.superseded(by));
    if (isAsked) void running.reloadCertificates("signal");
    return running;
  },
});
