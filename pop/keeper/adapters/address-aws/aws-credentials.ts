// The keys that an EC2 host signs with: those of its instance role, from the instance metadata service (version 2), or
// from the environment. Fetched ahead of need and kept: a takeover does not wait for them.

import { fail, type Outcome, succeed } from "../../../../kernel/outcome.ts";
import type { AddressFailure } from "../../core/keeper-words.ts";

export interface AwsKeys {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
}

export interface AwsCredentials {
  /** @fails address.refused, address.timed-out */
  keys(): Promise<Outcome<AwsKeys, AddressFailure>>;
  close(): void;
}

const METADATA = "http://169.254.169.254";
const CALL_MS_MAX = 1_000;
const LOOK_EVERY_MS = 60_000;
const FRESH_FOR_MS = 600_000;

/** AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN; undefined where they are not set. */
export function environmentCredentials(env: NodeJS.ProcessEnv = process.env): AwsCredentials | undefined {
  const [accessKeyId, secretAccessKey] = [env.AWS_ACCESS_KEY_ID, env.AWS_SECRET_ACCESS_KEY];
  const sessionToken = env.AWS_SESSION_TOKEN;
  if (!accessKeyId || !secretAccessKey) return undefined;
  const keys = { accessKeyId, secretAccessKey, ...(sessionToken ? { sessionToken } : {}) };
  return { keys: async () => succeed(keys), close() {} };
}

export class InstanceCredentials implements AwsCredentials {
  readonly #metadata: string;
  #kept: { readonly keys: AwsKeys; readonly untilUnixMs: number } | undefined;
  readonly #timer: NodeJS.Timeout;

  /** Begins to fetch at once, and keeps what it has fresh. */
  constructor(metadata = METADATA) {
    this.#metadata = metadata;
    this.#timer = setInterval(() => void this.#look(), LOOK_EVERY_MS);
    this.#timer.unref();
    void this.#look();
  }

  async keys(): Promise<Outcome<AwsKeys, AddressFailure>> {
    const kept = this.#kept;
    if (kept !== undefined && Date.now() < kept.untilUnixMs) return succeed(kept.keys);
    return this.#fetch();
  }

  close(): void {
    clearInterval(this.#timer);
  }

  async #look(): Promise<void> {
    if (this.#kept === undefined || this.#kept.untilUnixMs - Date.now() < FRESH_FOR_MS) await this.#fetch();
  }

  async #fetch(): Promise<Outcome<AwsKeys, AddressFailure>> {
    try {
      const token = await this.#ask("/latest/api/token", {
        method: "PUT",
        headers: { "x-aws-ec2-metadata-token-ttl-seconds": "300" },
      });
      const headers = { "x-aws-ec2-metadata-token": token };
      const roles = "/latest/meta-data/iam/security-credentials/";
      const role = (await this.#ask(roles, { headers })).split("\n")[0]?.trim() ?? "";
      const said = JSON.parse(await this.#ask(roles + encodeURIComponent(role), { headers })) as Record<
        string,
        unknown
      >;
      const { AccessKeyId: accessKeyId, SecretAccessKey: secretAccessKey, Token: sessionToken, Expiration } = said;
      if (typeof accessKeyId !== "string" || typeof secretAccessKey !== "string" || typeof sessionToken !== "string")
        return refused("the instance metadata service has no keys for the role");
      const keys = { accessKeyId, secretAccessKey, sessionToken };
      const untilUnixMs = Date.parse(String(Expiration));
      this.#kept = { keys, untilUnixMs: Number.isNaN(untilUnixMs) ? 0 : untilUnixMs };
      return succeed(keys);
    } catch (error) {
      if (error instanceof Error && error.name === "TimeoutError")
        return fail({ code: "address.timed-out", afterMs: CALL_MS_MAX });
      return refused(`instance metadata service: ${error instanceof Error ? error.message : String(error)}`);
    }
  }

  async #ask(path: string, init: RequestInit): Promise<string> {
    const answer = await fetch(this.#metadata + path, { ...init, signal: AbortSignal.timeout(CALL_MS_MAX) });
    if (!answer.ok) throw new Error(`${answer.status} for ${path}`);
    return answer.text();
  }
}

const refused = (detail: string): Outcome<never, AddressFailure> => fail({ code: "address.refused", detail });
