// A service's address on AWS: a secondary private IPv4 of a network interface, and where the service is reached from
// outside an elastic IP associated with it. Both move in one call each. Inside the host the private address must be
// configured beforehand, on both hosts: EC2 moves packets, not the configuration of an operating system.
//
// Two calls of the EC2 query API, signed by aws4fetch: @aws-sdk/client-ec2 is 43 MB with what it needs.

import { backoffMs } from "../../../../kernel/backoff.ts";
import type { PopHostId } from "../../../../kernel/ids.ts";
import { fail, type Outcome, succeed } from "../../../../kernel/outcome.ts";
import { type Rng, systemRng } from "../../../../kernel/rng.ts";
import type { AddressMover } from "../../boundary/address-mover.ts";
import type { AddressFailure } from "../../core/keeper-words.ts";
import type { AwsCredentials } from "./aws-credentials.ts";

export const AWS_CALL_MS_MAX = 2_000;
/** One take, with all its tries. */
export const AWS_TAKE_MS_MAX = 10_000;
const RETRY = { firstMs: 100, factor: 2, waitMsMax: 1_000, jitter: 0.5 };
const ANSWER_BYTES_MAX = 65_536;
const API_VERSION = "2016-11-15";
/** AWS's own list of what to try again, as far as these calls meet it. */
const TRY_AGAIN = new Set([
  "InternalError",
  "InternalFailure",
  "RequestLimitExceeded",
  "ServiceUnavailable",
  "Throttling",
  "ThrottlingException",
  "Unavailable",
]);

export interface AwsPlace {
  /** "eu-central-1" */
  readonly region: string;
  /** Of this host: "eni-…". */
  readonly networkInterfaceId: string;
  readonly addresses: ReadonlyMap<PopHostId, AwsAddress>;
  readonly credentials: AwsCredentials;
  /** For tests, and for a VPC's own endpoint. */
  readonly endpoint?: string;
  readonly takeMsMax?: number;
  readonly rng?: Rng;
}

export interface AwsAddress {
  readonly privateAddress: string;
  /** "eipalloc-…" of the elastic IP, if there is one. */
  readonly allocationId?: string;
}

type Fault = { readonly again: boolean; readonly failure: AddressFailure };

export class AwsAddressMover implements AddressMover {
  readonly #place: AwsPlace;

  constructor(place: AwsPlace) {
    this.#place = place;
  }

  async take(service: PopHostId): Promise<Outcome<void, AddressFailure>> {
    const { addresses, networkInterfaceId } = this.#place;
    const address = addresses.get(service);
    if (address === undefined) return fail({ code: "address.unknown", address: service });
    const { privateAddress, allocationId } = address;
    const untilMs = performance.now() + (this.#place.takeMsMax ?? AWS_TAKE_MS_MAX);
    const assigned = await this.#untilDone(untilMs, {
      Action: "AssignPrivateIpAddresses",
      NetworkInterfaceId: networkInterfaceId,
      "PrivateIpAddress.1": privateAddress,
      AllowReassignment: "true",
    });
    if (!assigned.ok || allocationId === undefined) return assigned;
    return this.#untilDone(untilMs, {
      Action: "AssociateAddress",
      AllocationId: allocationId,
      NetworkInterfaceId: networkInterfaceId,
      PrivateIpAddress: privateAddress,
      AllowReassociation: "true",
    });
  }

  async #untilDone(
    untilMs: number,
    parameters: Readonly<Record<string, string>>,
  ): Promise<Outcome<void, AddressFailure>> {
    const rng = this.#place.rng ?? systemRng;
    const beganAtMs = performance.now();
    for (let attempt = 0; ; attempt++) {
      const leftMs = untilMs - performance.now();
      const timedOut: AddressFailure = {
        code: "address.timed-out",
        afterMs: Math.round(performance.now() - beganAtMs),
      };
      if (leftMs <= 0) return fail(timedOut);
      const done = await this.#call(parameters, Math.min(AWS_CALL_MS_MAX, leftMs));
      if (done.ok) return done;
      if (!done.failure.again) return fail(done.failure.failure);
      const waitMs = backoffMs(RETRY, attempt, rng);
      if (performance.now() + waitMs >= untilMs) return fail(done.failure.failure);
      await new Promise((resolve) => setTimeout(resolve, waitMs));
    }
  }

  async #call(parameters: Readonly<Record<string, string>>, withinMs: number): Promise<Outcome<void, Fault>> {
    const { region, credentials, endpoint = `https://ec2.${region}.amazonaws.com/` } = this.#place;
    const keys = await credentials.keys();
    if (!keys.ok) return fail({ again: true, failure: keys.failure });
    try {
      const { AwsClient } = await import("aws4fetch"); // nobody else needs it
      const signed = await new AwsClient({ ...keys.value, service: "ec2", region }).sign(endpoint, {
        method: "POST",
        headers: { "content-type": "application/x-www-form-urlencoded; charset=utf-8" },
        body: new URLSearchParams({ ...parameters, Version: API_VERSION }).toString(),
      });
      const answer = await fetch(signed, { signal: AbortSignal.timeout(Math.ceil(withinMs)), redirect: "error" });
      return judged(answer.status, await beginningOf(answer));
    } catch (error) {
      const late = error instanceof Error && error.name === "TimeoutError";
      const failure: AddressFailure = late
        ? { code: "address.timed-out", afterMs: Math.round(withinMs) }
        : { code: "address.refused", detail: causeOf(error) };
      return fail({ again: true, failure });
    }
  }
}

/** `<Response><Errors><Error><Code>…</Code><Message>…</Message>`, or `<return>true</return>` in what is done. */
function judged(status: number, text: string): Outcome<void, Fault> {
  if (status === 200) {
    if (!/<return>\s*false\s*<\/return>/.test(text)) return succeed(undefined);
    return fail({ again: false, failure: { code: "address.refused", detail: "EC2 answered false" } });
  }
  const code = /<Code>\s*([\w.]{1,100})\s*<\/Code>/.exec(text)?.[1] ?? "";
  const message = /<Message>([^<]{0,300})/.exec(text)?.[1]?.trim() ?? "";
  const detail = `${status} ${code}${message === "" ? "" : `: ${message}`}`.slice(0, 200);
  const again = TRY_AGAIN.has(code) || status >= 500 || status === 429;
  return fail({ again, failure: { code: "address.refused", detail } });
}

async function beginningOf(answer: Response): Promise<string> {
  let text = "";
  const decoder = new TextDecoder();
  for await (const chunk of answer.body ?? []) {
    text += decoder.decode(chunk, { stream: true });
    if (text.length > ANSWER_BYTES_MAX) break;
  }
  return text;
}

function causeOf(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  return (cause instanceof Error ? cause.message : String(cause)).slice(0, 200);
}
