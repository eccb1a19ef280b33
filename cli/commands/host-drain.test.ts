// `tollgate host drain` as a person or a script runs it, against a keeper and a POP of the test's own.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, describe, test } from "node:test";
import { writeUpState } from "../up/state-file.ts";

const HOST = "fra-01-a";
const TWIN = "fra-01-b";
const TOKEN = "open sesame";
const MAIN = join(import.meta.dirname, "..", "main.ts");

const aCall = (id: number) => ({
  callId: `call-${id}`,
  tenant: "acme",
  trunk: "carrier",
  entryPoint: "main",
  callingNumber: "+49170***01",
  calledNumber: "+498912345678",
  state: "playing",
  sinceUnixMs: 1,
  media: [],
});

describe("tollgate host drain", () => {
  let data = "";
  let servers: Server[] = [];
  /** What the POP says at each look: the last one again and again. */
  let calls: number[] = [0];
  let handOver: { readonly status: number; readonly body: object } = { status: 200, body: { ok: true } };
  let drain = handOver;
  /** So many times the twin cannot take it yet. */
  let declines = 0;
  let asked: string[] = [];

  const listen = (
    answer: (path: string, body: string, token: string | undefined) => { status: number; body: object },
  ) =>
    new Promise<string>((resolve) => {
      const server = createServer((request, response) => {
        let body = "";
        request.on("data", (bytes) => {
          body += String(bytes);
        });
        request.on("end", () => {
          const said = answer(request.url ?? "", body, request.headers.authorization);
          response.writeHead(said.status, { "content-type": "application/json" }).end(JSON.stringify(said.body));
        });
      });
      servers.push(server);
      server.listen(0, "127.0.0.1", () => {
        const at = server.address();
        resolve(`http://127.0.0.1:${typeof at === "object" ? at?.port : 0}`);
      });
    });

  const keeper = (path: string, body: string, token: string | undefined): { status: number; body: object } => {
    if (path === "/status") {
      const served = { service: HOST, role: "serving", tenure: "serving", owner: HOST, epoch: 2, complete: true };
      const other = { service: TWIN, role: "standby", tenure: "none", owner: TWIN, epoch: 3, complete: false };
      const twin = { host: TWIN, state: "heard" };
      const services = [served, other];
      const rest = { processes: [], takeovers: 0, restarts: 0, ownerStore: "answering" };
      return { status: 200, body: { host: HOST, twin, services, ...rest } };
    }
    if (token !== `Bearer ${TOKEN}`) return { status: 401, body: { code: "token.refused" } };
    asked.push(`${path} ${body}`);
    if (path === "/hand-over" && declines > 0) {
      declines--;
      return { status: 409, body: { code: "hand-over.twin-declines" } };
    }
    return path === "/drain" ? drain : handOver;
  };

  before(async () => {
    data = mkdtempSync(join(tmpdir(), "tollgate-drain-"));
    mkdirSync(join(data, "eu", "secrets"), { recursive: true });
    const keeperTokenFile = join(data, "eu", "secrets", `${HOST}-keeper`);
    writeFileSync(keeperTokenFile, `${TOKEN}\n`, { mode: 0o600 });
    const keeperUrl = await listen(keeper);
    const popUrl = await listen((path) => {
      assert.equal(path, "/calls");
      const now = (calls.length > 1 ? calls.shift() : calls[0]) ?? 0;
      return { status: 200, body: Array.from({ length: now }, (_, at) => aCall(at)) };
    });
    const host = { hostId: HOST, popId: "fra-01", popUrl, sip: "127.0.0.1:5060", keeperUrl, keeperTokenFile };
    const gone = { ...host, hostId: TWIN, keeperUrl: "http://127.0.0.1:9", popUrl: "http://127.0.0.1:9" };
    writeUpState(join(data, "eu", "up.json"), {
      version: 1,
      pid: process.pid,
      region: "eu",
      network: "loopback",
      startedAtUnixMs: 1,
      adminTokenFile: keeperTokenFile,
      hosts: [host, gone],
      logs: data,
      processes: [],
    });
  });
  beforeEach(() => {
    asked = [];
    calls = [0];
    drain = handOver = { status: 200, body: { ok: true } };
  });
  after(() => {
    for (const server of servers) server.close();
    servers = [];
    rmSync(data, { recursive: true, force: true });
  });

  const run = (...words: readonly string[]) =>
    new Promise<{ code: number | null; out: string; complaint: string }>((resolve) => {
      const child = spawn(process.execPath, [MAIN, "host", "drain", ...words, "--data", data]);
      let [out, complaint] = ["", ""];
      child.stdout.on("data", (bytes) => {
        out += String(bytes);
      });
      child.stderr.on("data", (bytes) => {
        complaint += String(bytes);
      });
      child.once("close", (code) => resolve({ code, out, complaint }));
    });

  const DRAINED = '/drain {"on":true}';
  const MOVED = `/hand-over {"service":"${HOST}"}`;

  test("calls that end by themselves are waited for; then the service moves, with nothing on it", async () => {
    calls = [2, 1, 0];
    const { code, out } = await run(HOST, "--wait", "1m");
    assert.equal(code, 0);
    assert.deepEqual(asked, [DRAINED, MOVED]);
    assert.deepEqual(
      ["2 calls are up", "1 calls are up", "0 calls are up", `${HOST} serves nothing`].filter(
        (say) => !out.includes(say),
      ),
      [],
      out,
    );
  });

  test("at the deadline what is left moves too; --json says how much", async () => {
    calls = [3];
    const { code, out } = await run(HOST, "--wait", "1s", "--json");
    assert.equal(code, 0);
    assert.deepEqual(asked, [DRAINED, MOVED]);
    const moved = [{ service: HOST, ok: true }];
    assert.deepEqual(JSON.parse(out), { host: HOST, callsBefore: 3, callsMoved: 3, moved, done: true });
  });

  test("--move does not wait", async () => {
    calls = [3, 2];
    const { code, out } = await run(HOST, "--move", "--json");
    assert.equal(code, 0);
    assert.equal(JSON.parse(out).callsMoved, 3);
    assert.deepEqual(calls, [2], "looked once");
  });

  test("a twin that cannot take it yet is asked again", async () => {
    declines = 1;
    const { code } = await run(HOST, "--move");
    assert.equal(code, 0);
    assert.deepEqual(asked, [DRAINED, MOVED, MOVED]);
  });

  test("without a twin it stays, without new calls: exit 1, and why", async () => {
    calls = [1];
    handOver = { status: 409, body: { code: "hand-over.no-twin" } };
    const json = await run(HOST, "--move", "--json");
    assert.equal(json.code, 1);
    const moved = [{ service: HOST, ok: false, code: "hand-over.no-twin" }];
    assert.deepEqual(JSON.parse(json.out), { host: HOST, callsBefore: 1, callsMoved: 0, moved, done: false });
    const people = await run(HOST, "--move");
    assert.equal(people.code, 1);
    assert.match(people.out, /stays at fra-01-a: it has no twin that runs \(hand-over\.no-twin\)/);
  });

  test("a pop that does not hear of it holds up nothing: it is told when it is back", async () => {
    drain = { status: 409, body: { code: "drain.pop-away" } };
    const { code, out } = await run(HOST, "--move");
    assert.equal(code, 0);
    assert.match(out, /told when it is back \(drain\.pop-away\)/);
    assert.deepEqual(asked, [DRAINED, MOVED]);
  });

  test("what cannot be: a time that is none, a host that is not there, a keeper that does not answer", async () => {
    for (const time of ["soon", "25h", "10", "-1m"]) {
      const { code, complaint } = await run(HOST, `--wait=${time}`);
      assert.equal(code, 64, time);
      assert.match(complaint, /--wait is a time up to 24h/);
    }
    const nobody = await run("fra-01-z", "--move");
    assert.equal(nobody.code, 64);
    assert.match(nobody.complaint, /no host fra-01-z runs; there is fra-01-a, fra-01-b/);
    const away = await run(TWIN, "--move");
    assert.equal(away.code, 69);
    assert.match(away.complaint, /the keeper of fra-01-b does not answer/);
    assert.deepEqual(asked, []);
  });
});
