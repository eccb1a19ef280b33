import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { connect as connectTcp, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { connect as connectTls } from "node:tls";
import { developmentPki } from "../../../../control-plane/adapters/pki/development-ca.ts";
import { asId } from "../../../../kernel/ids.ts";
import { silentLog } from "../../../../kernel/log.ts";
import { initialKeeper, KEEPER_TIMING, type KeeperEvent, stepKeeper } from "../../core/keeper-machine.ts";
import type { Answer, Beat } from "../../core/twin-talk.ts";
import { LINE_BYTES_MAX, Lines, readAnswer, readBeat } from "./lines.ts";
import { CONNECT_MS_MAX, CONNECTIONS_MAX, TlsTwinLink } from "./twin-link.ts";

const [A, B, C] = [asId<"pop-host">("fra-01-a"), asId<"pop-host">("fra-01-b"), asId<"pop-host">("fra-01-c")];
const [HOST_A, HOST_B, HOST_C] = ["127.91.7.1", "127.91.7.2", "127.91.7.3"];
const skip = spawnSync("openssl", ["version"]).error !== undefined && "openssl is missing";

const said = { boot: "1", stances: [], leaving: false, wantsHome: false };
const BEAT: Beat = { ...said, n: 7, sentAtMs: 12.5 };

const closed = (socket: Socket): Promise<void> => new Promise((resolve) => socket.once("close", () => resolve()));

/** A link, and what it has told, which a test can wait for. */
class Listening {
  readonly link: TlsTwinLink;
  readonly told: { readonly kind: string; readonly id: number; readonly what: unknown; readonly atMs: number }[] = [];
  #waiting: (() => void)[] = [];

  constructor(link: TlsTwinLink) {
    this.link = link;
  }

  listen(): Promise<void> {
    const tell = (kind: string) => (id: number, what?: unknown) => {
      this.told.push({ kind, id, what, atMs: performance.now() });
      for (const resolve of this.#waiting.splice(0)) resolve();
    };
    return this.link.listen({
      connected: tell("connected"),
      closed: tell("closed"),
      refused: tell("refused"),
      unreachable: tell("unreachable"),
      answer: tell("answer"),
      beat: tell("beat"),
      hungUp: tell("hung-up"),
    });
  }

  /** The first of the kind about the connection, told already or soon. */
  async heard(kind: string, id?: number): Promise<(typeof this.told)[number]> {
    for (;;) {
      const found = this.told.find((each) => each.kind === kind && (id === undefined || each.id === id));
      if (found !== undefined) return found;
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }
}

describe("the twin link over TLS", { skip }, () => {
  let root = "";
  const certDirs = new Map<string, string>();
  const open: TlsTwinLink[] = [];
  const children: ChildProcess[] = [];
  before(async () => {
    root = mkdtempSync(join(tmpdir(), "tollgate-twin-"));
    for (const [pki, ids] of [
      ["region", [A, B, C]],
      ["strange", [B]],
    ] as const) {
      const files = await developmentPki({ dir: join(root, pki), serverHost: HOST_A, hostIds: ids }, silentLog);
      for (const id of ids) {
        const dir = join(root, `${pki}-${id}`);
        mkdirSync(dir);
        copyFileSync(files.caFile, join(dir, "ca.pem"));
        copyFileSync(join(root, pki, "hosts", `${id}.crt`), join(dir, "cert.pem"));
        copyFileSync(join(root, pki, "hosts", `${id}.key`), join(dir, "key.pem"));
        certDirs.set(`${pki}-${id}`, dir);
      }
    }
  });
  after(async () => {
    for (const child of children) child.kill("SIGKILL");
    await Promise.all(open.map((link) => link.end()));
    rmSync(root, { recursive: true, force: true });
  });

  const certDirOf = (name: string): string => certDirs.get(name) ?? "";
  async function listening(
    twin: typeof A,
    host: string,
    peer: { host: string; port: number },
    certificate: string,
  ): Promise<Listening> {
    const place = { twin, listen: { host, port: 0 }, peer, certDir: certDirOf(certificate), log: silentLog };
    const link = new TlsTwinLink(place);
    open.push(link);
    const side = new Listening(link);
    await side.listen();
    return side;
  }
  /** A port of the address on which nobody listens. */
  async function closedPort(host: string): Promise<number> {
    const server = createServer().listen(0, host);
    await once(server, "listening");
    const address = server.address();
    server.close();
    await once(server, "close");
    return typeof address === "object" && address !== null ? address.port : 0;
  }

  test("beats go one way, answers the other; closing one side tells the other", async () => {
    const b = await listening(A, HOST_B, { host: HOST_A, port: 1 }, "region-fra-01-b");
    const a = await listening(B, HOST_A, { host: HOST_B, port: b.link.port }, "region-fra-01-a");
    a.link.connect(1);
    await a.heard("connected", 1);
    a.link.sendBeat(1, BEAT);
    const { id: from, what } = await b.heard("beat");
    assert.deepEqual(what, BEAT);
    const answer: Answer = { ...said, n: 7, sentAtMs: 12.5, grants: [{ service: A, epoch: 4 }] };
    b.link.answerBeat(from, answer);
    assert.deepEqual((await a.heard("answer", 1)).what, answer);
    a.link.close(1);
    await b.heard("hung-up", from);
    assert.equal(a.told.filter(({ kind }) => kind === "closed").length, 0, "who closes is told nothing");
    a.link.connect(2);
    await a.heard("connected", 2);
    await b.link.end();
    await a.heard("closed", 2);
  });

  test("nobody listens: refused, and at once", async () => {
    const a = await listening(B, HOST_A, { host: HOST_B, port: await closedPort(HOST_B) }, "region-fra-01-a");
    a.link.connect(1);
    await a.heard("refused", 1);
  });

  test("a listener that says nothing, and one that speaks another language, prove nothing", async () => {
    const sockets: Socket[] = [];
    const mute = createServer((socket) => sockets.push(socket.on("error", () => {}))).listen(0, HOST_B);
    const loud = createServer((socket) => {
      sockets.push(socket.on("error", () => {}));
      socket.write("SSH-2.0-OpenSSH_9.2\r\n");
    }).listen(0, HOST_B);
    await Promise.all([once(mute, "listening"), once(loud, "listening")]);
    const portOf = (server: typeof mute) => (server.address() as { port: number }).port;
    const toMute = await listening(B, HOST_A, { host: HOST_B, port: portOf(mute) }, "region-fra-01-a");
    const toLoud = await listening(B, HOST_A, { host: HOST_B, port: portOf(loud) }, "region-fra-01-a");
    toMute.link.connect(1);
    toLoud.link.connect(1);
    assert.equal((await toMute.heard("unreachable", 1)).what, "timed-out");
    await toLoud.heard("unreachable", 1);
    for (const socket of sockets) socket.destroy();
    mute.close();
    loud.close();
  });

  test("the certificate must be the twin's: not another host's, not another CA's, on either side", async () => {
    const port = await closedPort(HOST_B);
    for (const certificate of ["region-fra-01-c", "strange-fra-01-b"]) {
      const b = await listening(A, HOST_B, { host: HOST_A, port }, certificate);
      const a = await listening(B, HOST_A, { host: HOST_B, port: b.link.port }, "region-fra-01-a");
      a.link.connect(1);
      assert.equal((await a.heard("unreachable", 1)).what, "wrong-certificate", certificate);
      const good = await listening(A, HOST_B, { host: HOST_C, port: 1 }, "region-fra-01-b");
      const impostor = new TlsTwinLink({
        twin: B,
        listen: { host: HOST_C, port: 0 },
        peer: { host: HOST_B, port: good.link.port },
        certDir: certDirOf(certificate),
        log: silentLog,
      });
      open.push(impostor);
      const side = new Listening(impostor);
      await side.listen();
      side.link.connect(1);
      await side.heard("unreachable", 1);
      assert.deepEqual(good.told, [], "the twin heard nothing of it");
    }
  });

  test("strangers: other addresses, garbage, half a handshake, and too many of them do not keep the twin out", async () => {
    const port = await closedPort(HOST_A);
    const b = await listening(A, HOST_B, { host: HOST_A, port }, "region-fra-01-b");
    const at = { host: HOST_B, port: b.link.port };
    const strangers: Socket[] = [];
    for (let n = 0; n < 3 * CONNECTIONS_MAX; n++) {
      const socket = connectTcp({ ...at, localAddress: HOST_C });
      socket.on("error", () => {});
      socket.write("GET / HTTP/1.1\r\n\r\n".repeat(1_000));
      strangers.push(socket);
    }
    await Promise.all(strangers.map(closed));
    const a = await listening(B, HOST_A, at, "region-fra-01-a");
    a.link.connect(1);
    await a.heard("connected", 1);
    a.link.sendBeat(1, BEAT);
    await b.heard("beat");
  });

  test("a twin that speaks nonsense, or a line without end, is hung up on", async () => {
    const b = await listening(A, HOST_B, { host: HOST_A, port: 1 }, "region-fra-01-b");
    const { readFileSync } = await import("node:fs");
    const file = (name: string) => readFileSync(join(certDirOf("region-fra-01-a"), name));
    for (const nonsense of ["{}\n", "null\n", `{"n":-1}\n`, "x".repeat(3 * LINE_BYTES_MAX), "\n"]) {
      const socket = connectTls({
        socket: connectTcp({ host: HOST_B, port: b.link.port, localAddress: HOST_A }),
        ca: file("ca.pem"),
        cert: file("cert.pem"),
        key: file("key.pem"),
        checkServerIdentity: () => undefined,
      });
      socket.on("error", () => {});
      await once(socket, "secureConnect");
      socket.resume().write(nonsense);
      await closed(socket);
    }
    assert.equal(b.told.filter(({ kind }) => kind === "beat").length, 0);
  });

  test("the twin's newest connection counts: the one before is hung up on", async () => {
    const b = await listening(A, HOST_B, { host: HOST_A, port: 1 }, "region-fra-01-b");
    const at = { host: HOST_B, port: b.link.port };
    const [first, second] = [
      await listening(B, HOST_A, at, "region-fra-01-a"),
      await listening(B, HOST_A, at, "region-fra-01-a"),
    ];
    first.link.connect(1);
    await first.heard("connected");
    second.link.connect(1);
    await second.heard("connected");
    await first.heard("closed", 1);
    await b.heard("hung-up", 1);
    second.link.sendBeat(1, BEAT);
    assert.equal((await b.heard("beat")).id, 2);
  });

  // --- real processes ------------------------------------------------------------------------------------------------

  async function twinProcess(): Promise<{ child: ChildProcess; port: number }> {
    const place = {
      twin: A,
      listen: { host: HOST_B, port: 0 },
      peer: { host: HOST_A, port: 1 },
      certDir: certDirOf("region-fra-01-b"),
    };
    const file = join(import.meta.dirname, "../../test/twin-process.ts");
    const child = spawn(process.execPath, [file, JSON.stringify(place)], { stdio: ["ignore", "pipe", "inherit"] });
    children.push(child);
    let text = "";
    for (;;) {
      const [chunk] = await once(child.stdout, "data");
      text += String(chunk);
      const port = /port (\d+)/.exec(text)?.[1];
      if (port !== undefined) {
        child.stdout.resume();
        return { child, port: Number(port) };
      }
    }
  }

  test("a stopped process: the connection stays, no answer comes, a new connect times out; let go on: it answers", async () => {
    const { child, port } = await twinProcess();
    const a = await listening(B, HOST_A, { host: HOST_B, port }, "region-fra-01-a");
    a.link.connect(1);
    await a.heard("connected", 1);
    child.kill("SIGSTOP");
    a.link.sendBeat(1, BEAT);
    a.link.connect(2);
    assert.equal((await a.heard("unreachable", 2)).what, "timed-out");
    assert.ok(!a.told.some(({ kind }) => kind === "answer" || kind === "refused"));
    child.kill("SIGCONT");
    a.link.connect(3);
    await a.heard("connected", 3);
    a.link.sendBeat(3, BEAT);
    await a.heard("answer", 3);
  });

  test("kill -9 of a process: closed, then refused; the machine on top of it claims the twin's service", async (t) => {
    const tookMs: number[] = [];
    for (let round = 0; round < 5; round++) {
      const { child, port } = await twinProcess();
      const claimed = await claimAfterKill(child, port, certDirOf("region-fra-01-a"));
      tookMs.push(claimed);
    }
    t.diagnostic(`from kill -9 to the claim: ${tookMs.map((ms) => ms.toFixed(1)).join(", ")} ms`);
    assert.equal(tookMs.length, 5);
  });

  /** A keeper machine on a real link, its owner store in the test's hand. @returns ms from the kill to its claim */
  async function claimAfterKill(child: ChildProcess, port: number, certDir: string): Promise<number> {
    const link = new TlsTwinLink({
      twin: B,
      listen: { host: HOST_A, port: 0 },
      peer: { host: HOST_B, port },
      certDir,
      log: silentLog,
    });
    open.push(link);
    const settings = { host: A, twin: B, processes: [], timing: KEEPER_TIMING };
    const now = () => performance.now();
    let state = initialKeeper(settings, { atMs: now(), boot: "a/1", memory: { epochs: {} } });
    let killedAtMs: number | undefined;
    let timer: NodeJS.Timeout | undefined;
    let revision = 10;
    const record = (service: typeof A, epoch: number) => ({
      record: { host: service, epoch, state: "serving" as const },
      revision,
      writtenAtUnixMs: 0,
    });
    return new Promise((resolve) => {
      const tell = (event: KeeperEvent): void => {
        const { state: next, effects } = stepKeeper(settings, state, { atMs: now(), ...event });
        state = next;
        for (const effect of effects) {
          if (effect.kind === "connect-twin") link.connect(effect.link);
          if (effect.kind === "close-twin") link.close(effect.link);
          if (effect.kind === "send-beat") link.sendBeat(effect.link, effect.beat);
          if (effect.kind === "wake") {
            clearTimeout(timer);
            timer = setTimeout(() => tell({ kind: "woke" }), Math.max(0, effect.atMs - now()));
          }
          if (effect.kind === "read-owner")
            setImmediate(tell, {
              kind: "owner-read",
              service: effect.service,
              id: effect.id,
              outcome: { ok: true, value: record(effect.service, 2) },
            });
          if (effect.kind === "write-owner") {
            if (effect.service === B && killedAtMs !== undefined) {
              clearTimeout(timer);
              link.close(state.twin.link.name === "closed" ? 0 : state.twin.link.link);
              return resolve(now() - killedAtMs);
            }
            revision++;
            const value = { ...record(effect.service, effect.record.epoch) };
            setImmediate(tell, {
              kind: "owner-written",
              service: effect.service,
              id: effect.id,
              outcome: { ok: true, value },
            });
          }
        }
        if (killedAtMs === undefined && state.twin.name === "heard" && state.guest?.twinSays?.name === "holds") {
          killedAtMs = now();
          child.kill("SIGKILL");
        }
      };
      const quiet = () => {};
      void link
        .listen({
          connected: (id) => tell({ kind: "twin-connected", link: id }),
          closed: (id) => tell({ kind: "twin-closed", link: id }),
          refused: (id) => tell({ kind: "twin-refused", link: id }),
          unreachable: (id, because) => tell({ kind: "twin-unreachable", link: id, because }),
          answer: (id, answer) => tell({ kind: "answer", link: id, answer }),
          beat: quiet,
          hungUp: quiet,
        })
        .then(() => tell({ kind: "woke" }));
    });
  }

  test(`every connect is answered, within ${CONNECT_MS_MAX} ms or little more`, async () => {
    const a = await listening(B, HOST_A, { host: HOST_B, port: await closedPort(HOST_B) }, "region-fra-01-a");
    for (let link = 1; link <= 20; link++) {
      a.link.connect(link);
      await a.heard("refused", link);
    }
    assert.equal(a.told.length, 20);
  });
});

describe("lines", () => {
  test("whatever the chunks, the lines are those that were sent", () => {
    const text = ["a", "", "{}", "x".repeat(100)].map((line) => `${line}\n`).join("");
    for (let size = 1; size < text.length; size++) {
      const lines = new Lines();
      const got: string[] = [];
      for (let at = 0; at < text.length; at += size) got.push(...(lines.take(text.slice(at, at + size)) ?? ["?"]));
      assert.deepEqual(got, ["a", "", "{}", "x".repeat(100)]);
    }
  });

  test("what is no beat and no answer is neither", () => {
    for (const line of [
      "",
      "{}",
      "1",
      "null",
      JSON.stringify({ ...BEAT, n: 1.5 }),
      JSON.stringify({ ...BEAT, boot: "" }),
    ])
      assert.equal(readBeat(line), undefined);
    assert.deepEqual(readBeat(JSON.stringify({ ...BEAT, newer: true })), BEAT);
    assert.equal(readAnswer(JSON.stringify(BEAT)), undefined);
  });
});
