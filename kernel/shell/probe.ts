// Is a process ready? One try each; the supervisor repeats it until it is, or its time is over.

import { createSocket } from "node:dgram";
import { readFileSync } from "node:fs";
import { get } from "node:http";
import { connect, type Socket } from "node:net";

export type Probe =
  | { readonly kind: "http"; readonly url: string }
  | { readonly kind: "pop"; readonly url: string }
  /** Its home service is served, here or by its twin. */
  | { readonly kind: "keeper"; readonly url: string; readonly popUrl: string }
  | { readonly kind: "redis"; readonly host: string; readonly port: number; readonly passwordFile: string }
  | { readonly kind: "rtpengine"; readonly host: string; readonly port: number }
  | { readonly kind: "unix-socket"; readonly path: string };

const TRY_MS_MAX = 1_000;

export async function probe(what: Probe): Promise<boolean> {
  switch (what.kind) {
    case "http":
      return httpOk(what.url);
    case "pop":
      return popServes(what.url);
    case "keeper":
      return (await keeperServes(what.url)) && popServes(what.popUrl);
    case "redis":
      return redisPong(what.host, what.port, what.passwordFile);
    case "rtpengine":
      return rtpenginePong(what.host, what.port);
    case "unix-socket":
      return talks(connect(what.path), undefined, () => true);
  }
}

const httpOk = async (url: string): Promise<boolean> => {
  const answer = await httpGet(url);
  return answer !== undefined && answer.status < 300;
};

async function keeperServes(url: string): Promise<boolean> {
  try {
    const { host, services } = JSON.parse((await httpGet(`${url}/status`))?.body ?? "{}") as {
      host: string;
      services: { role: string; owner?: string; complete: boolean }[];
    };
    const [home] = services;
    return home?.complete === true || (home?.role === "standby" && home.owner !== undefined && home.owner !== host);
  } catch {
    return false;
  }
}

/** Parts that a new region does not have before its first tenant, or that an operator has taken away. */
const NOT_OURS_TO_WAIT_FOR = ["snapshot", "serving"];

/** Has it all that it needs on its host, whether or not it has been told what to serve? */
async function popServes(url: string): Promise<boolean> {
  try {
    const answer = await httpGet(url);
    const { parts } = JSON.parse(answer?.body ?? "{}") as {
      parts: { part: string; needed: boolean; ready: boolean }[];
    };
    return parts.every(({ part, needed, ready }) => ready || !needed || NOT_OURS_TO_WAIT_FOR.includes(part));
  } catch {
    return false;
  }
}

const httpGet = (url: string): Promise<{ status: number; body: string } | undefined> =>
  new Promise((resolve) => {
    const request = get(url, { timeout: TRY_MS_MAX, agent: false }, (response) => {
      let body = "";
      response.setEncoding("utf8");
      response.on("data", (text: string) => {
        body += text;
      });
      response.on("end", () => resolve({ status: response.statusCode ?? 500, body }));
      response.on("error", () => resolve(undefined));
    });
    request.on("timeout", () => request.destroy());
    request.on("error", () => resolve(undefined));
  });

/** Connects, says one thing, and judges the first thing it hears; with nothing to say, being let in is enough. */
function talks(socket: Socket, say: string | undefined, judge: (heard: string) => boolean): Promise<boolean> {
  return new Promise((resolve) => {
    const end = (good: boolean) => {
      socket.destroy();
      resolve(good);
    };
    socket.setTimeout(TRY_MS_MAX, () => end(false));
    socket.on("error", () => end(false));
    socket.on("close", () => resolve(false));
    socket.on("connect", () => (say === undefined ? end(judge("")) : socket.write(say)));
    let heard = "";
    socket.on("data", (data) => {
      heard += data.toString("latin1");
      if (heard.includes("PONG") || heard.includes("-")) end(judge(heard));
    });
  });
}

function redisPong(host: string, port: number, passwordFile: string): Promise<boolean> {
  const password = readFileSync(passwordFile, "utf8").trim();
  return talks(connect({ host, port }), `AUTH ${password}\r\nPING\r\n`, (heard) => heard.startsWith("+OK"));
}

/** NG protocol: a cookie, then a bencoded dictionary; over UDP. */
const rtpenginePong = (host: string, port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = createSocket("udp4");
    const timer = setTimeout(() => end(false), TRY_MS_MAX);
    let ended = false;
    const end = (good: boolean) => {
      if (ended) return;
      ended = true;
      clearTimeout(timer);
      socket.close();
      resolve(good);
    };
    socket.on("error", () => end(false));
    socket.on("message", (message) => end(message.includes("4:pong")));
    // Connected, so that "nobody listens there" comes back at once.
    socket.connect(port, host, () => socket.send("up-1 d7:command4:pinge"));
  });
