// The media worker's process: what plays to callers, behind rtpengine. Wires, starts, stops.

import { systemRng } from "../../kernel/rng.ts";
import { runProcess } from "../../kernel/shell/process.ts";
import { systemClock } from "../../kernel/time.ts";
import { ControlSocket } from "./adapters/control-socket.ts";
import { FrameStore } from "./adapters/frame-store.ts";
import { RtpSocket } from "./adapters/rtp-socket.ts";
import { MediaWorker } from "./app/media-worker.ts";
import { mediaWorkerConfig } from "./config/media-worker-config.ts";

await runProcess({
  name: "media-worker",
  schema: mediaWorkerConfig,
  startsAgain: true,
  async start(config, log) {
    let control: ControlSocket | undefined;
    const shell = { clock: systemClock, rng: systemRng, log };
    const worker = new MediaWorker(
      { rtp: config.rtp, orphanSeconds: config.orphanSeconds },
      new FrameStore(config.promptCacheBytes),
      RtpSocket.open,
      (event) => control?.tell(event),
      shell,
    );
    control = await ControlSocket.open(config.control.socketPath, worker, log).catch((error: unknown) => {
      worker.close();
      throw error;
    });
    log.info("control.listening", { socketPath: config.control.socketPath });
    return {
      async stop() {
        worker.close();
        await control?.close();
      },
    };
  },
});
