// What a host's keeper says of its processes, as it changes; and the few things that are asked of it.

import { readFileSync } from "node:fs";
import { get } from "node:http";
import { createInterface } from "node:readline";
import { z } from "zod";

const KeeperStatusSchema = z.object({
  host: z.string(),
  twin: z.object({ host: z.string().optional(), state: z.string(), heardBeforeMs: z.number().optional() }),
  ownerStore: z.string(),
  draining: z.boolean().default(false),
  services: z.array(
    z.object({
      service: z.string(),
      role: z.enum(["serving", "taking", "leaving", "standby"]),
      tenure: z.string(),
      owner: z.string().optional(),
      epoch: z.number(),
      leaseLeftMs: z.number().optional(),
      complete: z.boolean(),
    }),
  ),
  processes: z.array(
    z.object({
      name: z.string(),
      service: z.string().optional(),
      process: z.string(),
      state: z.enum(["starting", "ready", "waiting", "stopped", "spare"]),
      pid: z.int().optional(),
      restarts: z.int(),
      lastEnd: z
        .object({ exitCode: z.number().nullable(), signal: z.string().nullable(), lastLines: z.array(z.string()) })
        .optional(),
    }),
  ),
  takeovers: z.int(),
  restarts: z.int(),
  lastTakeover: z
    .object({
      service: z.string(),
      why: z.string(),
      atUnixMs: z.number(),
      detectedMs: z.number().optional(),
      claimedMs: z.number().optional(),
      addressMs: z.number().optional(),
      servingMs: z.record(z.string(), z.number()),
    })
    .optional(),
});

export type KeeperStatus = z.output<typeof KeeperStatusSchema>;
export type KeeperProcess = KeeperStatus["processes"][number];

const AGAIN_AFTER_MS = 50;
const ANSWER_MS_MAX = 30_000;

export interface KeeperAt {
  readonly url: string;
  readonly tokenFile: string;
}

export interface KeeperAnswer {
  readonly status: number;
  readonly body: { readonly code?: string };
}

/** One question, with the operator's token. @throws Error when it does not answer */
export async function askKeeper({ url, tokenFile }: KeeperAt, path: string, body?: object): Promise<KeeperAnswer> {
  const answer = await fetch(`${url}${path}`, {
    method: "POST",
    headers: {
      authorization: `Bearer ${readFileSync(tokenFile, "utf8").trim()}`,
      ...(body === undefined ? {} : { "content-type": "application/json" }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    signal: AbortSignal.timeout(ANSWER_MS_MAX),
  });
  const text = await answer.text();
  try {
    return { status: answer.status, body: JSON.parse(text) };
  } catch {
    return { status: answer.status, body: {} };
  }
}

/** @throws Error when it does not answer, or not like a keeper */
export async function keeperStatus(url: string): Promise<KeeperStatus> {
  const answer = await fetch(`${url}/status`, { signal: AbortSignal.timeout(2_000) });
  return KeeperStatusSchema.parse(await answer.json());
}

/** Follows one keeper until it is closed, also beyond its death. */
export class KeeperWatch {
  readonly #url: string;
  readonly #changed: () => void;
  readonly #waiting = new Set<() => void>();
  #status: KeeperStatus | undefined;
  #closed = false;
  #timer: NodeJS.Timeout | undefined;
  #request: ReturnType<typeof get> | undefined;

  constructor(url: string, changed: () => void) {
    this.#url = url;
    this.#changed = changed;
    this.#connect();
  }

  /** Undefined while it does not answer: then none of its processes runs. */
  get status(): KeeperStatus | undefined {
    return this.#status;
  }

  /** Resolves when this holds; rejects after so long. */
  async until(holds: (status: KeeperStatus | undefined) => boolean, what: string, timeoutMs: number): Promise<void> {
    const deadlineMs = performance.now() + timeoutMs;
    while (!holds(this.#status)) {
      const leftMs = deadlineMs - performance.now();
      if (leftMs <= 0 || this.#closed) throw new Error(`${this.#url}: not within ${timeoutMs} ms: ${what}`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, leftMs);
        const wake = () => {
          clearTimeout(timer);
          this.#waiting.delete(wake);
          resolve();
        };
        this.#waiting.add(wake);
      });
    }
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#request?.destroy();
    for (const wake of this.#waiting) wake();
  }

  #connect(): void {
    let over = false;
    const again = () => {
      if (over) return;
      over = true;
      this.#set(undefined);
      if (!this.#closed) this.#timer = setTimeout(() => this.#connect(), AGAIN_AFTER_MS);
    };
    this.#request = get(`${this.#url}/status/changes`, { agent: false }, (response) => {
      const lines = createInterface({ input: response });
      lines.on("line", (line) => {
        const parsed = KeeperStatusSchema.safeParse(JSON.parse(line));
        if (parsed.success) this.#set(parsed.data);
      });
      lines.on("error", again); // readline passes its input's on
      response.on("close", again);
      response.on("error", again);
    });
    this.#request.on("error", again);
  }

  #set(status: KeeperStatus | undefined): void {
    if (this.#closed || (status === undefined && this.#status === undefined)) return;
    this.#status = status;
    this.#changed();
    for (const wake of this.#waiting) wake();
  }
}
