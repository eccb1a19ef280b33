// Applications that we connect to, and HTTP handlers: where new requests go when the configuration says so.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer, type IncomingMessage, type Server } from "node:http";
import { createServer as createTcpServer, type Server as TcpServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import Srf from "drachtio-srf";
import { parseInstruction } from "../core/drachtio/request-handler.ts";
import { headerValue } from "../core/message/message.ts";
import {
  type Application,
  event,
  offered,
  openStage,
  type Req,
  type Res,
  SECRET,
  type Stage,
  until,
} from "./application.ts";
import { aRequest, aResponse, SDP } from "./peer.ts";

/** A certificate that signs itself, for 127.0.0.1. */
const folder = mkdtempSync(join(tmpdir(), "handlers-"));
const certFile = join(folder, "cert.pem");
const keyFile = join(folder, "key.pem");
before(() => {
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", keyFile];
  const subject = ["-subj", "/CN=application", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"];
  execFileSync("openssl", ["req", "-x509", ...key, ...subject, "-out", certFile], { stdio: "ignore" });
});
const servers: (TcpServer | Server)[] = [];
after(() => {
  rmSync(folder, { recursive: true, force: true });
  for (const server of servers) server.close();
});

const listening = (server: TcpServer | Server): Promise<number> =>
  new Promise((resolve) => {
    servers.push(server);
    server.listen(0, "127.0.0.1", () => {
      const at = server.address();
      resolve(typeof at === "object" && at !== null ? at.port : 0);
    });
  });

/** srf.listen: the application waits for our connection. */
async function listeningApplication(tls?: { cert: string; key: string }) {
  const srf = new Srf() as unknown as Application & {
    listen(options: Record<string, unknown>): TcpServer;
    endSession(of: Req | Res): void;
  };
  srf.on("error", () => {});
  const server = srf.listen({ host: "127.0.0.1", port: 0, secret: SECRET, ...(tls === undefined ? {} : { tls }) });
  servers.push(server);
  await new Promise((resolve) => srf.on("listening", resolve));
  const at = server.address();
  return { srf, server, port: typeof at === "object" && at !== null ? at.port : 0 };
}

const closed = (server: TcpServer | Server): Promise<unknown> => new Promise((resolve) => server.close(resolve));
const callTo = async (stage: Stage) => {
  const alice = await stage.udpPeer();
  return { alice, call: alice.call(`sip:service;color=blue@127.0.0.1:${stage.udpPort}`) };
};

for (const scheme of ["tcp", "tls"] as const)
  test(`${scheme}://: each new call gets a connection of its own, and the application ends it`, async () => {
    const tls =
      scheme === "tls" ? { cert: readFileSync(certFile, "utf8"), key: readFileSync(keyFile, "utf8") } : undefined;
    const { srf, server, port } = await listeningApplication(tls);
    await run(
      {
        requestHandlers: [{ methods: ["invite"], url: `${scheme}://127.0.0.1:${port}` }],
        requestHandlerTls: { caFile: certFile },
      },
      async (stage) => {
        const invited = offered(srf, "invite");
        const { alice, call } = await callTo(stage);
        call.invite();
        const { req, res } = await invited;
        const dialog = await srf.createUAS(req, res, { localSdp: SDP });
        await call.answered();
        call.ack();
        await event(dialog, "ack");
        assert.equal(stage.server.endpoint.facts.applications, 1);
        const ended = event(dialog, "destroy");
        call.request("BYE");
        await alice.next(aResponse(200, "BYE"));
        await ended;
        srf.endSession(req);
        await until(() => stage.server.endpoint.facts.applications === 0, "the connection has ended");
      },
    );
    await closed(server);
  });

/** A server with these settings, which a handler's port is part of. */
async function run(settings: Record<string, unknown>, story: (stage: Stage) => Promise<void>): Promise<void> {
  const stage = await openStage(settings);
  try {
    await story(stage);
  } finally {
    await stage.close();
  }
}

/** Asked, it answers this; what it was asked is kept. */
async function handler(answer: (asked: IncomingMessage, body: string) => unknown) {
  const asked: { url: URL; method: string; body: string; accept: string | undefined }[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const body = Buffer.concat(chunks).toString("latin1");
      asked.push({
        url: new URL(request.url ?? "/", "http://h"),
        method: request.method ?? "",
        body,
        accept: request.headers.accept,
      });
      const said = answer(request, body);
      if (said === undefined) return; // never
      if (typeof said === "number") response.writeHead(said).end();
      else response.end(typeof said === "string" ? said : JSON.stringify(said));
    });
  });
  const port = await listening(server);
  const close = () => {
    server.closeAllConnections();
    return closed(server);
  };
  return { port, asked, close };
}

function viaHttp(
  name: string,
  answer: (context: { bob: number; app: number }) => unknown,
  story: (
    stage: Stage,
    asked: { url: URL; method: string; body: string; accept: string | undefined }[],
    bob: Awaited<ReturnType<Stage["udpPeer"]>>,
  ) => Promise<void>,
  httpMethod: "GET" | "POST" = "GET",
) {
  test(name, async () => {
    let said: unknown;
    const http = await handler(() => said);
    try {
      await run(
        { requestHandlers: [{ methods: ["INVITE"], url: `http://127.0.0.1:${http.port}/`, httpMethod }] },
        async (stage) => {
          const bob = await stage.udpPeer();
          said = answer({ bob: bob.port, app: 0 });
          await story(stage, http.asked, bob);
        },
      );
    } finally {
      await http.close();
    }
  });
}

viaHttp(
  "http: what a handler is asked; reject",
  () => ({ action: "reject", data: { status: 486, reason: "Busy\r\nEvil: yes" } }),
  async (stage, asked) => {
    const { alice, call } = await callTo(stage);
    call.invite();
    const refused = await alice.next(aResponse(486));
    assert.equal(refused.reason, "Busy  Evil: yes");
    call.ackFailure(refused);
    const [{ url, method, accept } = { url: new URL("http://x"), method: "", accept: "" }] = asked;
    assert.equal(method, "GET");
    assert.equal(accept, "application/json");
    const told = Object.fromEntries(url.searchParams);
    assert.equal(told.method, "INVITE");
    assert.equal(told.fromUser, "alice");
    assert.equal(told.source_address, "127.0.0.1");
    assert.equal(told.protocol, "udp");
    assert.equal(told.domain, "127.0.0.1");
    assert.equal(told.contentType, "application/sdp");
    assert.equal(told.uri, call.facts.to);
  },
);

viaHttp(
  "http POST: the request goes along; redirect",
  () => ({ action: "redirect", data: { contact: ["sip:a@192.0.2.1", "sip:b@192.0.2.2"] } }),
  async (stage, asked) => {
    const { alice, call } = await callTo(stage);
    call.invite();
    const moved = await alice.next(aResponse(302));
    call.ackFailure(moved);
    assert.deepEqual(
      moved.headers.filter(({ key }) => key === "contact").map(({ value }) => value),
      ["<sip:a@192.0.2.1>", "<sip:b@192.0.2.2>"],
    );
    assert.match(asked[0]?.body ?? "", /^INVITE sip:/);
  },
  "POST",
);

test("http: a proxy answer that does not say waits five seconds for a provisional and follows redirects, as drachtio", () => {
  const parsed = (data: object) => {
    const made = parseInstruction(
      JSON.stringify({ action: "proxy", data: { destination: "sip:a@192.0.2.1", ...data } }),
    );
    return made.ok && made.value.action === "proxy" ? made.value : undefined;
  };
  const usual = parsed({});
  assert.deepEqual([usual?.provisionalTimeoutMs, usual?.followRedirects], [5_000, true]);
  const told = parsed({ provisionalTimeout: "200ms", followRedirects: false });
  assert.deepEqual([told?.provisionalTimeoutMs, told?.followRedirects], [200, false]);
});

viaHttp(
  "http: proxy",
  ({ bob }) => ({ action: "proxy", data: { destination: `sip:bob@127.0.0.1:${bob}`, recordRoute: true } }),
  async (stage, _asked, bob) => {
    const { call } = await callTo(stage);
    call.invite();
    const invite = await bob.next(aRequest("INVITE"));
    assert.equal(invite.uri, `sip:bob@127.0.0.1:${bob.port}`); // the caller's named us (RFC 3261 §16.6 step 2)
    assert.ok(headerValue(invite, "record-route")?.includes(";lr"));
    bob.respond(invite, 200, "OK");
    await call.answered();
  },
);

viaHttp(
  "http: route to a tag takes turns among those who carry it; nobody carries it: 480",
  () => ({ action: "route", data: { tag: "blue" } }),
  async (stage) => {
    const { alice, call } = await callTo(stage);
    call.invite();
    call.ackFailure(await alice.next(aResponse(480)));
    const counts = [0, 0];
    const blue = await Promise.all([0, 1].map(() => tagged(stage, ["blue", "big"])));
    const red = await tagged(stage, ["red"]);
    red.invite((_req, res) => res.send(603));
    blue.forEach((srf, at) => {
      srf.invite((_req, res) => {
        counts[at] = (counts[at] ?? 0) + 1;
        res.send(486);
      });
    });
    for (let turn = 0; turn < 4; turn++) {
      const again = alice.call(`sip:service@127.0.0.1:${stage.udpPort}`);
      again.invite();
      again.ackFailure(await alice.next(aResponse(486)));
    }
    assert.deepEqual(counts, [2, 2]);
    for (const srf of [...blue, red]) srf.disconnect();
  },
);

async function tagged(stage: Stage, tags: string[]): Promise<Application> {
  const srf = new Srf() as unknown as Application;
  srf.on("error", () => {});
  const options = { host: "127.0.0.1", port: stage.server.adminPort, secret: SECRET, tags };
  await new Promise<void>((resolve) => {
    srf.on("connect", () => resolve());
    srf.connect(options);
  });
  return srf;
}

test("http: route to a uri connects to that application", async () => {
  const { srf, server, port } = await listeningApplication();
  const http = await handler(() => ({ action: "route", data: { uri: `127.0.0.1:${port}` } }));
  await run({ requestHandlers: [{ url: `http://127.0.0.1:${http.port}/` }] }, async (stage) => {
    srf.invite((req, res) => {
      res.send(404);
      setImmediate(() => srf.endSession(req));
    });
    const { alice, call } = await callTo(stage);
    call.invite();
    call.ackFailure(await alice.next(aResponse(404)));
    await until(() => stage.server.endpoint.facts.applications === 0, "the connection has ended");
  });
  await http.close();
  await closed(server);
});

for (const [what, answer, status] of [
  ["no JSON", "hello", 500],
  ["an action nobody knows", { action: "dance" }, 500],
  ["a status that refuses nothing", { action: "reject", data: { status: 200 } }, 500],
  ["an error", 503, 500],
  ["more than 64 KiB", "x".repeat(70_000), 500],
] as const)
  viaHttp(
    `http: ${what} is ${status}`,
    () => answer,
    async (stage) => {
      const { alice, call } = await callTo(stage);
      call.invite();
      call.ackFailure(await alice.next(aResponse(status)));
    },
  );

test("http: nobody there, and a method no handler names", async () => {
  const server = createTcpServer();
  const port = await listening(server);
  await closed(server);
  await run({ requestHandlers: [{ methods: ["INVITE"], url: `http://127.0.0.1:${port}/` }] }, async (stage) => {
    const { alice, call } = await callTo(stage);
    call.invite();
    call.ackFailure(await alice.next(aResponse(480)));
    const srf = await stage.application();
    srf.options((_req, res) => res.send(200));
    await until(() => stage.server.endpoint.facts.applications === 1, "connected");
    alice.call(`sip:service@127.0.0.1:${stage.udpPort}`).request("OPTIONS");
    await alice.next(aResponse(200, "OPTIONS"));
  });
});

test("tcp: nobody there is 480; so is a TLS application whose certificate nobody vouches for", async () => {
  const dead = createTcpServer();
  const port = await listening(dead);
  await closed(dead);
  await run({ requestHandlers: [{ url: `tcp://127.0.0.1:${port}` }] }, async (stage) => {
    const { alice, call } = await callTo(stage);
    call.invite();
    call.ackFailure(await alice.next(aResponse(480)));
  });
  const tls = { cert: readFileSync(certFile, "utf8"), key: readFileSync(keyFile, "utf8") };
  const { server, port: tlsPort } = await listeningApplication(tls);
  server.on("tlsClientError", () => {});
  await run({ requestHandlers: [{ url: `tls://127.0.0.1:${tlsPort}` }] }, async (stage) => {
    const { alice, call } = await callTo(stage);
    call.invite();
    call.ackFailure(await alice.next(aResponse(480)));
  });
  await closed(server);
});

test("a caller that cancels while we still connect is answered at once", async () => {
  const silent = createTcpServer(() => {}); // accepts, and says nothing
  const port = await listening(silent);
  await run({ requestHandlers: [{ url: `tcp://127.0.0.1:${port}` }] }, async (stage) => {
    const { alice, call } = await callTo(stage);
    call.invite();
    await alice.next(aResponse(100));
    call.cancel();
    await alice.next(aResponse(200, "CANCEL"));
    call.ackFailure(await alice.next(aResponse(487)));
  });
  silent.close();
});
