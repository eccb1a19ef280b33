// A region of real processes for one test file: started once, quiet, emptied before, and gone afterwards.

import { rmSync } from "node:fs";
import { join } from "node:path";
import { connectRegion } from "../../cli/client/region-client.ts";
import {
  CHECKOUT,
  type RunningRegion,
  type StartRegionOptions,
  showUpFailure,
  startRegion,
} from "../../cli/up/start-region.ts";
import { isAlive } from "../../kernel/shell/lock.ts";
import { eventually, Operator } from "../demo/operator.ts";
import { OwnStall } from "../phones/own-stall.ts";
import type { PhoneCall } from "../phones/phone-call.ts";
import { type DialOptions, SipPhone } from "../phones/sip-phone.ts";
import type { WhenCalled } from "../phones/when-called.ts";
import { CARRIER, documents, TENANT, TONES, writePrompts } from "./tenant.ts";

const REGION = "eu";
/** One host is enough but for what needs two; every process less is a second less on a small machine. */
const HOST_ID = "fra-01-a";
const TONE_SHARE_MIN = 0.8;
const PHONE_HOSTS = { alice: "127.30.0.1", bob: "127.30.0.2", carol: "127.30.0.3" } as const;
export type AgentName = keyof typeof PHONE_HOSTS;

export interface Caller {
  readonly call: PhoneCall;
  /** Its own for each call: how the contact record is found. */
  readonly callingNumber: string;
}

let callers = 0;

export class RegionUnderTest {
  readonly running: RunningRegion;
  readonly operator: Operator;
  readonly hostId = HOST_ID;
  readonly folder: string;
  readonly #byHost = new Map<string, Promise<SipPhone>>();
  readonly #pids = new Set<number>();
  readonly #stall = new OwnStall();

  private constructor(running: RunningRegion, folder: string) {
    this.running = running;
    this.folder = folder;
    this.operator = new Operator(connectRegion(folder, REGION), TENANT);
  }

  /** Started, the suite's tenant applied. @throws Error saying why not */
  static async start(options: StartRegionOptions = {}): Promise<RegionUnderTest> {
    const folder = join(CHECKOUT, ".tollgate", "e2e");
    rmSync(join(folder, REGION), { recursive: true, force: true });
    const region = await RegionUnderTest.startAsItIs(options);
    try {
      await region.operator.apply(documents(), [HOST_ID]);
      return region;
    } catch (error) {
      await region.stop();
      throw error;
    }
  }

  /** With whatever an earlier one of the same file left on disk. */
  static async startAsItIs(options: StartRegionOptions = {}): Promise<RegionUnderTest> {
    const folder = join(CHECKOUT, ".tollgate", "e2e");
    const promptsDir = join(folder, "prompts");
    writePrompts(promptsDir);
    const started = await startRegion({ region: REGION, dataDir: folder, hosts: [HOST_ID], promptsDir, ...options });
    if (!started.ok) throw new Error(showUpFailure(started.failure));
    return new RegionUnderTest(started.value, folder);
  }

  get address(): string {
    return this.running.addresses.hosts[0]?.address ?? "";
  }

  uriOf(number: string): string {
    return `sip:${number}@${this.address}:5060`;
  }

  /** The carrier, or whoever else sits at that address. */
  phone(host: string = CARRIER, user = "carrier"): Promise<SipPhone> {
    const known = this.#byHost.get(host);
    if (known !== undefined) return known;
    const opening = SipPhone.open({ host, user });
    this.#byHost.set(host, opening);
    return opening;
  }

  /** Between two tests: nobody is signed in, nobody calls, whatever the last one left. */
  async calm(): Promise<void> {
    await this.signOutAll();
    for (const phone of await this.#allPhones()) for (const call of phone.calls) call.hangUp();
    await this.idle();
  }

  #allPhones(): Promise<SipPhone[]> {
    return Promise.all(this.#byHost.values());
  }

  /** An agent's phone, answering at once unless told otherwise. */
  async agent(name: AgentName, whenCalled: WhenCalled = { kind: "answer", toneHz: 700 }): Promise<SipPhone> {
    const phone = await this.phone(PHONE_HOSTS[name], name);
    phone.whenCalled = whenCalled;
    phone.forgetCalled();
    return phone;
  }

  /** Signs an agent in, available, at its phone. */
  async available(name: AgentName, whenCalled?: WhenCalled): Promise<SipPhone> {
    const phone = await this.agent(name, whenCalled);
    await this.operator.signIn(name, phone.uri);
    return phone;
  }

  async signOutAll(): Promise<void> {
    for (const name of Object.keys(PHONE_HOSTS)) await this.operator.signOut(name).catch(() => {});
  }

  async dial(number: string, options: Partial<DialOptions> & { readonly from?: string } = {}): Promise<Caller> {
    const carrier = await this.phone(options.from);
    const callingNumber = options.callingNumber ?? `+49301${String(++callers).padStart(6, "0")}`;
    const call = await carrier.dial({ uri: this.uriOf(number), toneHz: 440, ...options, callingNumber });
    return { call, callingNumber };
  }

  /** Dials and waits until the call is answered and hears this prompt. */
  async dialAndHear(number: string, heard: keyof typeof TONES): Promise<Caller> {
    const caller = await this.dial(number);
    await caller.call.until("answered", 5_000);
    await this.hears(caller.call, TONES[heard]);
    return caller;
  }

  /** Waits until some 300 ms at this party were that tone, from about now on. */
  async hears(call: PhoneCall, hz: number, timeoutMs = 6_000): Promise<void> {
    const beginMs = performance.now() - 200;
    const { listening } = call;
    await eventually(`${hz} Hz`, timeoutMs, async () => {
      let best = 0;
      for (let fromMs = performance.now() - 300; fromMs >= beginMs; fromMs -= 60) {
        const window = { fromMs, toMs: fromMs + 300 };
        if (listening.durationMs(window) >= 200) best = Math.max(best, listening.toneShare(hz, window));
        if (best >= TONE_SHARE_MIN) return true;
      }
      throw new Error(`share ${best.toFixed(2)}; ${listening.packets.length} packets so far`);
    });
  }

  /** From here on gaps are measured. */
  beginListening(): number {
    this.#stall.begin();
    return performance.now();
  }

  /** @throws Error when this party heard nothing for longer than `gapMsMax`, own stalls of the test put aside */
  heardWithoutGap(call: PhoneCall, fromMs: number, toMs: number, gapMsMax = 200): void {
    const gapMs = call.listening.longestGapMs({ fromMs, toMs });
    const stallMs = this.#stall.maxMs();
    if (gapMs > gapMsMax + stallMs)
      throw new Error(
        `${Math.round(gapMs)} ms without a packet, at most ${gapMsMax} (own stall ${Math.round(stallMs)})`,
      );
  }

  /** Waits until no packet has come for 250 ms. */
  async hearsNothing(call: PhoneCall, timeoutMs = 2_000): Promise<void> {
    await eventually("silence", timeoutMs, async () => {
      const last = call.listening.packets.at(-1)?.atMs ?? 0;
      return performance.now() - last > 250 ? true : undefined;
    });
  }

  /** Waits until the host shows no call any more. */
  async idle(timeoutMs = 5_000): Promise<void> {
    await eventually("no call left", timeoutMs, async () => {
      const calls = await this.operator.calls(HOST_ID);
      if (calls.length > 0) throw new Error(JSON.stringify(calls));
      return true;
    });
  }

  /** Waits until so many wait in the queue. */
  async queued(count: number, timeoutMs = 5_000): Promise<void> {
    await eventually(`${count} in the queue`, timeoutMs, async () => {
      const calls = (await this.operator.calls(HOST_ID)).filter(({ queue }) => queue != null);
      if (calls.length !== count) throw new Error(`${calls.length}`);
      return true;
    });
  }

  /** Pids seen so far, to be looked for after the end. */
  notePids(): void {
    for (const { pid } of this.running.processes()) if (pid !== undefined) this.#pids.add(pid);
  }

  /** Phones away, processes stopped. @throws Error when one of them is still there */
  async stop(): Promise<void> {
    this.notePids();
    await Promise.all((await this.#allPhones()).map((phone) => phone.close()));
    await this.running.stop();
    const left = [...this.#pids].filter(isAlive);
    if (left.length > 0) throw new Error(`still running: ${left.join(", ")}`);
  }
}
