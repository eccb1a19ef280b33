// The adapter against our own sip-server, in one process, with phones that speak real SIP over loopback.

import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { after, before, beforeEach, describe, test } from "node:test";
import { asId, type CallId } from "../../../kernel/ids.ts";
import { silentLog } from "../../../kernel/log.ts";
import { SipPhone } from "../../../loadtest/phones/sip-phone.ts";
import type { IncomingCall, SignallingHost } from "../../boundary/sip-signalling.ts";
import type { CallInput } from "../../core/call/call-execution.ts";
import { PCMU, writeAudio } from "../../core/media/sdp.ts";
import { SipServerConfigSchema } from "../../sip-server/config/sip-server-config.ts";
import { headerValue } from "../../sip-server/core/message/message.ts";
import { type SipServer, startSipServer } from "../../sip-server/start.ts";
import { DrachtioSignalling } from "./drachtio-signalling.ts";

const HOST = "127.0.0.1";
const OURS = writeAudio({ address: { host: HOST, port: 40_000 }, codecs: [PCMU], dtmfPayloadType: 101 });

/** Writes down what the adapter tells, and lets the test wait for it. */
class Notebook implements SignallingHost {
  readonly incoming: IncomingCall[] = [];
  readonly inputs: { readonly call: CallId; readonly input: CallInput }[] = [];
  readonly dialogs: string[] = [];
  serves = true;
  #waiting: (() => void)[] = [];

  invited(incoming: IncomingCall): void {
    this.incoming.push(incoming);
    this.#wake();
  }

  signalled(call: CallId, input: CallInput): void {
    this.inputs.push({ call, input });
    this.#wake();
  }

  dialog(_call: CallId, leg: string): void {
    this.dialogs.push(leg);
  }

  serving(): boolean {
    return this.serves;
  }

  async nextCall(): Promise<IncomingCall> {
    const known = this.incoming.length;
    await this.#until(() => this.incoming.length > known || this.incoming.length > 0);
    const call = this.incoming.shift();
    assert.ok(call !== undefined);
    return call;
  }

  async next<Kind extends CallInput["kind"]>(kind: Kind): Promise<Extract<CallInput, { kind: Kind }>> {
    const at = () => this.inputs.findIndex(({ input }) => input.kind === kind);
    await this.#until(() => at() >= 0);
    return this.inputs.splice(at(), 1)[0]?.input as Extract<CallInput, { kind: Kind }>;
  }

  async #until(there: () => boolean): Promise<void> {
    const deadline = AbortSignal.timeout(5_000);
    while (!there()) {
      await new Promise<void>((resolve, reject) => {
        this.#waiting.push(resolve);
        deadline.addEventListener("abort", () =>
          reject(new Error(`not told in time; so far: ${this.inputs.map(({ input }) => input.kind).join(", ")}`)),
        );
      });
    }
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }
}

describe("DrachtioSignalling on our sip-server", () => {
  let server: SipServer;
  let signalling: DrachtioSignalling;
  let told: Notebook;
  let sipPort: number;
  const phones: SipPhone[] = [];

  const phone = async (user: string, whenCalled?: NonNullable<Parameters<typeof SipPhone.open>[0]["whenCalled"]>) => {
    const opened = await SipPhone.open({
      host: HOST,
      port: 0,
      user,
      ...(whenCalled === undefined ? {} : { whenCalled }),
    });
    phones.push(opened);
    return opened;
  };
  const dial = async (caller: SipPhone) =>
    caller.dial({ uri: `sip:+498912345678@${HOST}:${sipPort}`, callingNumber: "+491700000001" });
  const answered = async () => {
    const caller = await phone("caller");
    const [call, incoming] = await Promise.all([dial(caller), told.nextCall()]);
    signalling.answer(incoming.call, OURS);
    await call.until("answered");
    await told.next("caller-acked");
    return { call, incoming };
  };

  before(async () => {
    const config = SipServerConfigSchema.parse({
      listen: [{ transport: "udp", host: HOST, port: 0 }],
      admin: { host: HOST, port: 0, secret: "cymru" },
      http: { host: HOST, port: 0 },
      trustedSources: "told",
    });
    server = await startSipServer(config, silentLog);
    sipPort = Number(server.points[0]?.port);
    signalling = new DrachtioSignalling(
      { host: HOST, port: server.adminPort, secret: "cymru", server: "tollgate" },
      silentLog,
    );
    const connected = new Promise<void>((resolve) => {
      const wait = setInterval(() => {
        if (!signalling.connected()) return;
        clearInterval(wait);
        resolve();
      }, 5);
    });
    told = new Notebook();
    signalling.trustSources([`${HOST}/32`]);
    await signalling.start({
      invited: (incoming) => told.invited(incoming),
      signalled: (call, input) => told.signalled(call, input),
      dialog: (call, leg) => told.dialog(call, leg),
      serving: () => told.serving(),
    });
    await connected;
  });

  beforeEach(() => {
    told = new Notebook();
  });

  after(async () => {
    await Promise.all(phones.map((opened) => opened.close()));
    await signalling.close();
    await server.stop();
  });

  test("an INVITE comes with its offer, number, source and hops; our answer is acknowledged; the caller's BYE is told", async () => {
    const { call, incoming } = await answered();
    assert.equal(incoming.sourceAddress, HOST);
    assert.equal(incoming.callingNumber, "+491700000001");
    assert.equal(incoming.requestUri, `sip:+498912345678@${HOST}:${sipPort}`);
    assert.equal(incoming.maxForwards, 70);
    assert.match(String(incoming.offer), /m=audio/);
    call.hangUp();
    await told.next("caller-hung-up");
    await call.until("ended");
  });

  test("we hang up: the caller gets BYE with the reason's code", async () => {
    const { call, incoming } = await answered();
    signalling.hangUp(incoming.call, "caller", "call.too-long");
    await call.until("ended");
    assert.equal(call.end?.how, "bye");
    assert.match(String(call.end?.reason), /call\.too-long/);
  });

  test("a refusal carries its status and Retry-After", async () => {
    const caller = await phone("caller");
    const [call, incoming] = await Promise.all([dial(caller), told.nextCall()]);
    signalling.reject(incoming.call, 503, "trunk.at-capacity", 5);
    await call.until("ended");
    assert.deepEqual([call.end?.status, call.end?.retryAfterSeconds], [503, 5]);
  });

  test("OPTIONS is answered as an INVITE would be: 200 with what we allow, and 503 with Retry-After where no calls are taken", async () => {
    const ask = async () => {
      const socket = createSocket("udp4");
      await new Promise<void>((resolve) => socket.bind(0, HOST, resolve));
      const id = `o${Math.random().toString(36).slice(2)}`;
      const answer = new Promise<string>((resolve) => socket.once("message", (bytes) => resolve(String(bytes))));
      const lines = [
        `OPTIONS sip:${HOST}:${sipPort} SIP/2.0`,
        `Via: SIP/2.0/UDP ${HOST}:${socket.address().port};branch=z9hG4bK${id}`,
        `From: <sip:carrier@${HOST}>;tag=${id}`,
        `To: <sip:${HOST}>`,
        `Call-ID: ${id}`,
        "CSeq: 1 OPTIONS",
        "Max-Forwards: 70",
        "Content-Length: 0",
      ];
      socket.send(`${lines.join("\r\n")}\r\n\r\n`, sipPort, HOST);
      const text = await answer;
      socket.close();
      return text;
    };
    const open = await ask();
    assert.match(open, /^SIP\/2\.0 200 /);
    assert.match(open, /^Allow: .*INVITE/m);
    told.serves = false;
    const closed = await ask();
    assert.match(closed, /^SIP\/2\.0 503 /);
    assert.match(closed, /^Retry-After: \d+/m);
    told.serves = true;
    assert.match(await ask(), /^SIP\/2\.0 200 /);
  });

  test("a CANCEL before our answer is told", async () => {
    const caller = await phone("caller");
    const [call] = await Promise.all([dial(caller), told.nextCall()]);
    call.cancel();
    await told.next("caller-cancelled");
    await call.until("ended");
    assert.equal(call.end?.status, 487);
  });

  test("a leg rings, is answered, and hangs up", async () => {
    const { incoming } = await answered();
    const agent = await phone("alice", { kind: "answer", afterMs: 20 });
    const leg = asId<"leg">(`${incoming.call}.1`);
    signalling.invite(incoming.call, leg, { uri: agent.uri, sdp: OURS, callingNumber: "+491700000001" });
    const atAgent = await agent.nextCall();
    assert.equal((await told.next("leg-ringing")).status, 180);
    assert.match((await told.next("leg-answered")).sdp, /m=audio/);
    assert.deepEqual(told.dialogs, [leg]);
    atAgent.hangUp();
    assert.equal((await told.next("leg-hung-up")).leg, leg);
    signalling.forget(incoming.call);
  });

  test("a leg that is refused says with which status; one that is cancelled says nothing more", async () => {
    const { incoming } = await answered();
    const busy = await phone("bob", { kind: "refuse", status: 486 });
    const leg = asId<"leg">(`${incoming.call}.1`);
    signalling.invite(incoming.call, leg, { uri: busy.uri, sdp: OURS, callingNumber: "anonymous" });
    assert.equal((await told.next("leg-failed")).status, 486);

    const ringing = await phone("carol", { kind: "ring" });
    const second = asId<"leg">(`${incoming.call}.2`);
    signalling.invite(incoming.call, second, { uri: ringing.uri, sdp: OURS, callingNumber: "anonymous" });
    const atCarol = await ringing.nextCall();
    await told.next("leg-ringing");
    signalling.cancelLeg(incoming.call, second);
    await atCarol.until("ended");
    assert.equal(atCarol.end?.how, "cancel");
    assert.equal(
      told.inputs.some(({ input }) => input.kind === "leg-failed"),
      false,
    );
    signalling.hangUp(incoming.call, "caller", "normal");
  });

  test("a re-INVITE of the caller asks for an answer, and gets ours", async () => {
    const { call, incoming } = await answered();
    const [again, asked] = await Promise.all([
      call.reinvite("sendonly"),
      told.next("reoffered").then((input) => {
        signalling.answerReoffer(incoming.call, input.side, input.request, OURS);
        return input;
      }),
    ]);
    assert.match(String(asked.sdp), /a=sendonly/);
    assert.equal(again.status, 200);
    call.hangUp();
    await told.next("caller-hung-up");
  });

  /** An INVITE as a carrier's switch may write it, byte by byte. */
  async function sendInvite(contentType: string, body: string): Promise<IncomingCall> {
    const socket = createSocket("udp4");
    await new Promise<void>((resolve) => socket.bind(0, HOST, resolve));
    const id = `raw-${socket.address().port}`;
    const head = [
      `INVITE sip:+498912345678@${HOST}:${sipPort} SIP/2.0`,
      `Via: SIP/2.0/UDP ${HOST}:${socket.address().port};branch=z9hG4bK${id}`,
      "Max-Forwards: 12",
      `From: <sip:+491700000001@${HOST}>;tag=${id}`,
      `To: <sip:+498912345678@${HOST}>`,
      `Call-ID: ${id}`,
      "CSeq: 1 INVITE",
      `Contact: <sip:switch@${HOST}:${socket.address().port}>`,
      ...(contentType === "" ? [] : [`Content-Type: ${contentType}`]),
      `Content-Length: ${body.length}`,
    ];
    socket.send(`${head.join("\r\n")}\r\n\r\n${body}`, sipPort, HOST);
    const incoming = await told.nextCall();
    signalling.reject(incoming.call, 486, "test.over", undefined);
    signalling.forget(incoming.call);
    socket.close();
    return incoming;
  }

  test("an offer beside ISUP in a multipart body is found; a body without SDP is no offer", async () => {
    const isup = "Content-Type: application/isup;version=itu-t92+\r\nContent-Disposition: signal\r\n\r\n\u0001\u0000";
    const both = `--b-1\r\nContent-Type: application/sdp\r\n\r\n${OURS}\r\n--b-1\r\n${isup}\r\n--b-1--\r\n`;
    assert.equal((await sendInvite('multipart/mixed;boundary="b-1"', both)).offer, OURS);
    assert.equal((await sendInvite("multipart/mixed;boundary=b-1", both)).offer, OURS);
    assert.equal((await sendInvite("application/isup", "v=0 is not SDP here")).offer, undefined);
    assert.equal((await sendInvite("Application/SDP ; charset=utf-8", OURS)).offer, OURS);
    assert.equal((await sendInvite("", "")).offer, undefined);
  });

  test("a leg that we place takes the caller's hops on: a number that leads back to us ends in 483, not in a loop", async () => {
    const { incoming } = await answered();
    const agent = await phone("dave", { kind: "ring" });
    const leg = asId<"leg">(`${incoming.call}.1`);
    signalling.invite(incoming.call, leg, { uri: agent.uri, sdp: OURS, callingNumber: "+491700000001" });
    const atAgent = await agent.nextCall();
    assert.equal(headerValue(atAgent.invite, "max-forwards"), String(incoming.maxForwards - 1));
    signalling.hangUp(incoming.call, "caller", "normal");
    signalling.forget(incoming.call);
    await atAgent.until("ended");
  });

  test("a place that cannot be dialled at all fails as a leg does", async () => {
    const { incoming } = await answered();
    const leg = asId<"leg">(`${incoming.call}.1`);
    signalling.invite(incoming.call, leg, { uri: "", sdp: OURS, callingNumber: "anonymous" });
    assert.equal((await told.next("leg-failed")).status, 0);
    signalling.hangUp(incoming.call, "caller", "normal");
    signalling.forget(incoming.call);
  });

  test("a message that makes a handler throw is handled once, and the next one is still heard", async () => {
    const caller = await phone("caller");
    const [call] = await Promise.all([dial(caller), told.nextCall()]);
    const { signalled } = told;
    let thrown = 0;
    told.signalled = (of, input) => {
      if (input.kind === "caller-cancelled" && thrown++ === 0) throw new Error("a bug of ours");
      signalled.call(told, of, input);
    };
    call.cancel();
    await call.until("ended");
    const next = await answered();
    assert.equal(thrown, 1);
    next.call.hangUp();
    await told.next("caller-hung-up");
  });
});
