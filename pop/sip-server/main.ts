// The sip-server process: `node main.ts --config FILE.json`.

import { runProcess } from "../../kernel/shell/process.ts";
import { SipServerConfigSchema } from "./config/sip-server-config.ts";
import { startSipServer } from "./start.ts";

await runProcess({
  name: "sip-server",
  schema: SipServerConfigSchema,
  async start(config, log) {
    const server = await startSipServer(config, log);
    process.on("SIGHUP", () => void server.reloadCertificates("signal"));
    return server;
  },
});
