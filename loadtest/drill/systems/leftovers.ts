// What the parts of a host still hold, each asked in its own way. undefined: it did not answer.

import { createSocket } from "node:dgram";
import { createConnection } from "node:net";

const ASK_MS_MAX = 2_000;

export async function dialogsOf(host: string, port: number): Promise<number | undefined> {
  try {
    const answer = await fetch(`http://${host}:${port}/metrics`, { signal: AbortSignal.timeout(ASK_MS_MAX) });
    const found = /^sip_dialogs (\d+)/m.exec(await answer.text())?.[1];
    return found === undefined ? undefined : Number(found);
  } catch {
    return undefined;
  }
}

/** rtpengine's NG protocol in its JSON form. */
export function relayCallsOf(host: string, port: number): Promise<number | undefined> {
  const socket = createSocket("udp4");
  return new Promise((resolve) => {
    const done = (value: number | undefined) => {
      clearTimeout(timer);
      socket.close();
      resolve(value);
    };
    const timer = setTimeout(() => done(undefined), ASK_MS_MAX);
    socket.on("error", () => done(undefined));
    socket.on("message", (bytes) => {
      try {
        const text = bytes.toString("latin1");
        const { calls } = JSON.parse(text.slice(text.indexOf(" ") + 1)) as { calls?: unknown[] };
        done(Array.isArray(calls) ? calls.length : undefined);
      } catch {
        done(undefined);
      }
    });
    socket.send(`drill-${process.pid} {"command":"list","limit":10000}`, port, host);
  });
}

/**
 * The media worker's own count. Who asks takes its owner's place at the control socket, so this is the last thing a drill does.
 */
export function workerEndpointsOf(path: string): Promise<number | undefined> {
  const socket = createConnection(path);
  return new Promise((resolve) => {
    let heard = "";
    const done = (value: number | undefined) => {
      clearTimeout(timer);
      socket.destroy();
      resolve(value);
    };
    const timer = setTimeout(() => done(undefined), ASK_MS_MAX);
    socket.on("error", () => done(undefined));
    socket.on("connect", () => socket.write('{"id":1,"op":"stats"}\n'));
    socket.on("data", (bytes) => {
      heard += bytes.toString("utf8");
      for (const line of heard.split("\n").slice(0, -1)) {
        const said = JSON.parse(line) as { id?: number; value?: { endpoints?: number } };
        if (said.id === 1) done(said.value?.endpoints);
      }
    });
  });
}
