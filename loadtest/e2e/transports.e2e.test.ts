// Calls by programs of others, over TLS, WebSocket and IPv6, through a whole region.

import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { Inviter, type Session, SessionState, UserAgent } from "sip.js";
import { WebSocket } from "ws";
import { runSipp, SCENARIOS } from "../sipp/run-sipp.ts";
import { RegionUnderTest } from "./region-under-test.ts";
import { NUMBERS } from "./tenant.ts";

const WITHIN_MS = 15_000;
const noBaresip = spawnSync("sh", ["-c", "command -v baresip"]).status === 0 ? false : "not installed: baresip";

/** Where a caller's audio goes: counted, and where it comes from. */
async function listener(address: string) {
  const socket = createSocket(address.includes(":") ? "udp6" : "udp4");
  const sources = new Set<string>();
  let packets = 0;
  socket.on("message", (_bytes, remote) => {
    packets++;
    sources.add(remote.address);
  });
  socket.bind(0, address);
  await once(socket, "listening");
  return {
    port: socket.address().port,
    sources,
    get packets() {
      return packets;
    },
    close: () => socket.close(),
  };
}

const sdp = (port: number) =>
  `v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio ${port} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n`;

describe("programs of others call", { concurrency: 1 }, () => {
  let region: RegionUnderTest;
  before(async () => {
    region = await RegionUnderTest.start();
  });
  after(() => region?.stop());
  const host = () => {
    const [first] = region.running.addresses.hosts;
    if (first === undefined) throw new Error("no host");
    return first;
  };
  const caFile = () => join(region.running.addresses.dataDir, "pki", "ca.crt");

  test("SIPp over IPv6: answered, hears our side on ::1, released", async () => {
    const folder = join(region.folder, "sipp-v6");
    mkdirSync(folder, { recursive: true });
    const scenario = join(region.folder, "caller-v6.xml");
    const text = readFileSync(join(SCENARIOS, "caller-waits-until-released.xml"), "latin1");
    writeFileSync(scenario, text.replaceAll("IN IP4", "IN IP6"));
    for (const transport of ["udp", "tcp"] as const) {
      const audio = await listener("::1");
      const result = await runSipp({
        scenario,
        target: `[::1]:${host().sipV6Port}`,
        transport,
        localHost: "::1",
        calledNumber: NUMBERS.short,
        calls: 1,
        callsPerSecond: 1,
        keys: { media_rtp_port: String(audio.port) },
        withinMs: WITHIN_MS,
        folder,
      }).finally(() => audio.close());
      assert.ok(
        result.good,
        `${transport}: ${JSON.stringify({ exit: result.exitCode, complaints: result.complaints })}`,
      );
      assert.ok(audio.packets > 10, `${audio.packets} packets`);
      assert.deepEqual([...audio.sources], ["::1"]);
    }
  });

  test("SIP.js over secure WebSocket: answered, hears us, released down its connection", async () => {
    const audio = await listener("127.0.0.1");
    const ca = readFileSync(caFile());
    // A browser would have been told of the CA; the global WebSocket of Node cannot be.
    const known = globalThis.WebSocket;
    globalThis.WebSocket = class extends WebSocket {
      constructor(url: string, protocols?: string | string[]) {
        super(url, protocols, { ca });
      }
    } as unknown as typeof globalThis.WebSocket;
    const { address, sipWssPort } = host();
    const uri = UserAgent.makeURI(`sip:browser@${address}`);
    const target = UserAgent.makeURI(`sip:${NUMBERS.short}@${address}`);
    assert.ok(uri !== undefined && target !== undefined);
    const agent = new UserAgent({
      uri,
      logLevel: "error",
      transportOptions: { server: `wss://${address}:${sipWssPort}` },
      // Media as a telephone has it: what SIP.js would do with a browser's is not what is tested.
      sessionDescriptionHandlerFactory: () => ({
        close() {},
        getDescription: async () => ({ body: sdp(audio.port), contentType: "application/sdp" }),
        hasDescription: () => true,
        rollbackDescription: async () => {},
        setDescription: async () => {},
        sendDtmf: () => false,
      }),
    });
    try {
      await agent.start();
      const call: Session = new Inviter(agent, target);
      const seen: SessionState[] = [];
      const ended = new Promise<void>((resolve) =>
        call.stateChange.addListener((state) => {
          seen.push(state);
          if (state === SessionState.Terminated) resolve();
        }),
      );
      await call.invite();
      await ended;
      assert.deepEqual(seen, [SessionState.Establishing, SessionState.Established, SessionState.Terminated]);
      assert.ok(audio.packets > 10, `${audio.packets} packets`);
      assert.deepEqual([...audio.sources], [address]);
    } finally {
      await agent.stop();
      globalThis.WebSocket = known;
      audio.close();
    }
  });

  test("baresip over TLS: answered, released", { skip: noBaresip }, async () => {
    const folder = join(region.folder, "baresip");
    mkdirSync(folder, { recursive: true });
    const modules = spawnSync("sh", ["-c", "ls -d /usr/lib/baresip/modules /usr/lib/*/baresip/modules 2>/dev/null"]);
    writeFileSync(
      join(folder, "config"),
      [
        `module_path ${modules.stdout.toString().split("\n")[0]}`,
        "sip_listen 127.0.0.1:0",
        `sip_cafile ${caFile()}`,
        "sip_verify_server yes",
        "net_interface 127.0.0.1",
        "audio_source aubridge,nobody",
        "audio_player aubridge,nobody",
        ...["aubridge.so", "g711.so"].map((name) => `module ${name}`),
        ...["account.so", "menu.so"].map((name) => `module_app ${name}`),
        "",
      ].join("\n"),
    );
    writeFileSync(join(folder, "accounts"), "<sip:softphone@127.0.0.1;transport=tls>;regint=0;audio_codecs=PCMU\n");
    writeFileSync(join(folder, "contacts"), "");
    const { address, sipTlsPort } = host();
    const dial = `/dial sip:${NUMBERS.short}@${address}:${sipTlsPort}`;
    const child = spawn("baresip", ["-f", folder, "-t", "12", "-e", dial], { stdio: ["ignore", "pipe", "pipe"] });
    let said = "";
    const released = new Promise<void>((resolve) => {
      for (const stream of [child.stdout, child.stderr])
        stream.on("data", (data: Buffer) => {
          said += data.toString("latin1");
          if (/session closed|terminated/i.test(said)) resolve();
        });
      child.once("exit", () => resolve());
    });
    await released;
    child.kill("SIGKILL");
    assert.match(said, /Call established/i);
    assert.match(said, /session closed|terminated/i);
    assert.doesNotMatch(said, /verif[a-z ]*fail/i);
  });
});
