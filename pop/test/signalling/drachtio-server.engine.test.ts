// pop's signalling on the C++ drachtio-server: DRACHTIO_SERVER=/path/to/drachtio. It cannot give dialogs back, so a lost
// connection ends calls at once.

import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { createSocket } from "node:dgram";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, describe, test } from "node:test";
import { asId } from "../../../kernel/ids.ts";
import { silentLog } from "../../../kernel/log.ts";
import { SipPhone } from "../../../loadtest/phones/sip-phone.ts";
import { DrachtioSignalling } from "../../adapters/drachtio/drachtio-signalling.ts";
import { HOST, Notebook, OURS, until } from "./stage.ts";

const BINARY = process.env.DRACHTIO_SERVER ?? "";
const SECRET = "cymru";

const freeTcp = () =>
  new Promise<number>((resolve) => {
    const probe = createServer().listen(0, HOST, () => {
      const bound = probe.address();
      probe.close(() => resolve(typeof bound === "object" && bound !== null ? bound.port : 0));
    });
  });
const freeUdp = () =>
  new Promise<number>((resolve) => {
    const probe = createSocket("udp4").bind(0, HOST, () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });

describe("pop on the C++ drachtio-server", { skip: BINARY === "" && "DRACHTIO_SERVER is not set" }, () => {
  const told = new Notebook();
  const phones: SipPhone[] = [];
  let folder = "";
  let sipPort = 0;
  let server: ChildProcess;
  let signalling: DrachtioSignalling;

  const phone = async (user: string, kind?: "ring" | "answer" | "refuse") => {
    const whenCalled =
      kind === "answer"
        ? { kind, afterMs: 20 }
        : kind === "refuse"
          ? { kind, status: 486 }
          : ({ kind: "ring" } as const);
    const opened = await SipPhone.open({ host: HOST, port: 0, user, whenCalled });
    phones.push(opened);
    return opened;
  };
  const dial = async () => {
    const caller = await phone("caller");
    const call = await caller.dial({ uri: `sip:+4989@${HOST}:${sipPort}`, callingNumber: "+491700000001" });
    return { call, incoming: await told.nextCall() };
  };
  const answered = async () => {
    const { call, incoming } = await dial();
    signalling.answer(incoming.call, OURS);
    await call.until("answered");
    await told.next("caller-acked");
    return { call, incoming };
  };

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), "drachtio-"));
    const adminPort = await freeTcp();
    sipPort = await freeUdp();
    const file = join(folder, "drachtio.xml");
    const lines = [
      `<drachtio><admin port="${adminPort}" secret="${SECRET}">${HOST}</admin>`,
      `<sip><contacts><contact>sip:${HOST}:${sipPort};transport=udp</contact></contacts></sip>`,
      "<logging><sofia-loglevel>0</sofia-loglevel><loglevel>notice</loglevel></logging></drachtio>",
    ];
    writeFileSync(file, lines.join("\n"));
    server = spawn(BINARY, ["-f", file], { stdio: "ignore", cwd: folder });
    signalling = new DrachtioSignalling({ host: HOST, port: adminPort, secret: SECRET, server: "drachtio" }, silentLog);
    await signalling.start(told);
    await until(
      () => signalling.connected(),
      () => "connected",
      10_000,
    );
  });
  beforeEach(() => told.clear());
  after(async () => {
    if (BINARY === "") return;
    await Promise.all(phones.map((opened) => opened.close()));
    await signalling.close();
    if (server.exitCode === null && server.signalCode === null) {
      const gone = new Promise((resolve) => server.once("exit", resolve));
      server.kill("SIGTERM");
      await gone;
    }
    rmSync(folder, { recursive: true, force: true });
  });

  test("an INVITE is answered, re-INVITEd, and ended by either side", async () => {
    const { call, incoming } = await answered();
    const [again] = await Promise.all([
      call.reinvite("sendonly"),
      told.next("reoffered").then(({ side, request }) => signalling.answerReoffer(incoming.call, side, request, OURS)),
    ]);
    assert.equal(again.status, 200);
    signalling.reinvite(incoming.call, "caller", OURS);
    assert.match((await told.next("reinvite-answered")).sdp, /m=audio/);
    call.hangUp();
    await told.next("caller-hung-up");
    signalling.forget(incoming.call);

    const second = await answered();
    signalling.hangUp(second.incoming.call, "caller", "call.too-long");
    signalling.forget(second.incoming.call);
    await second.call.until("ended");
    assert.match(String(second.call.end?.reason), /call\.too-long/);
  });

  test("a refusal, and a CANCEL", async () => {
    const refused = await dial();
    signalling.reject(refused.incoming.call, 503, "trunk.at-capacity", 5);
    signalling.forget(refused.incoming.call);
    await refused.call.until("ended");
    assert.deepEqual([refused.call.end?.status, refused.call.end?.retryAfterSeconds], [503, 5]);
    const cancelled = await dial();
    cancelled.call.cancel();
    await told.next("caller-cancelled");
    signalling.forget(cancelled.incoming.call);
    await cancelled.call.until("ended");
  });

  test("a leg under a Call-ID of ours rings, is answered, and hangs up; one is refused; one is cancelled", async () => {
    const { call, incoming } = await answered();
    const alice = await phone("alice", "answer");
    const leg = (at: number) => asId<"leg">(`${incoming.call}.${at}`);
    signalling.invite(incoming.call, leg(1), { uri: alice.uri, sdp: OURS, callingNumber: "+491700000001" });
    const rung = await alice.nextCall();
    assert.equal(rung.invite.callId, leg(1));
    assert.equal((await told.next("leg-ringing")).status, 180);
    assert.match((await told.next("leg-answered")).sdp, /m=audio/);
    await rung.until("confirmed");
    rung.hangUp();
    assert.equal((await told.next("leg-hung-up")).leg, leg(1));

    const bob = await phone("bob", "refuse");
    signalling.invite(incoming.call, leg(2), { uri: bob.uri, sdp: OURS, callingNumber: "anonymous" });
    assert.equal((await told.next("leg-failed")).status, 486);

    const carol = await phone("carol", "ring");
    signalling.invite(incoming.call, leg(3), { uri: carol.uri, sdp: OURS, callingNumber: "anonymous" });
    const atCarol = await carol.nextCall();
    await told.next("leg-ringing");
    signalling.cancelLeg(incoming.call, leg(3));
    await atCarol.until("ended");
    assert.equal(atCarol.end?.how, "cancel");
    signalling.hangUp(incoming.call, "caller", "test.over");
    signalling.forget(incoming.call);
    await call.until("ended");
    await until(
      () => Object.values(signalling.load).every((count) => count === 0),
      () => `nothing is left over: ${JSON.stringify(signalling.load)}`,
    );
  });

  test("it goes: calls are lost at once", async () => {
    const { incoming } = await answered();
    server.kill("SIGKILL");
    assert.equal((await told.next("signalling-lost")).code, "sip.server-away");
    assert.equal(signalling.saved(incoming.call), undefined);
    assert.deepEqual(signalling.load, { calls: 0, dialogs: 0, invites: 0 });
  });
});
