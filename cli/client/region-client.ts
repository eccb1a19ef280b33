// Talks to a region that is up: its control plane's REST API and its POP hosts. Finds both in up.json.

import { readFileSync } from "node:fs";
import { bornAt, isAlive } from "../../kernel/shell/lock.ts";
import { CommandEnd, EXIT } from "../exit.ts";
import { joinNetworkOf } from "../up/own-network.ts";
import { regionPaths } from "../up/region-paths.ts";
import { readUpState, type UpState } from "../up/state-file.ts";

const ANSWER_MS_MAX = 10_000;

export interface Answer {
  readonly status: number;
  readonly body: unknown;
}

export interface RegionClient {
  readonly state: UpState;
  /** To the control plane. @throws CommandEnd 69 when it cannot be reached, 77 when it refuses the token */
  rest(method: string, path: string, body?: unknown): Promise<Answer>;
  /** To one POP host; undefined when it does not answer, which is the other hosts' callers' good luck. */
  pop(hostId: string, path: string): Promise<Answer | undefined>;
}

/** @throws CommandEnd 69 when the region is not up */
export function connectRegion(dataDir: string, region: string): RegionClient {
  const paths = regionPaths(dataDir, region);
  const state = readUpState(paths.stateFile);
  if (!state.ok) {
    const { why } = state.failure;
    throw new CommandEnd(
      EXIT.unavailable,
      `region ${region} is not up (${state.failure.stateFile}: ${why}); start it with "tollgate up"`,
    );
  }
  const { pid } = state.value;
  if (!isAlive(pid) || bornAt(pid) === "?")
    throw new CommandEnd(EXIT.unavailable, `region ${region} is not up: process ${pid}, which ran it, is gone`);
  if (state.value.network === "netns") joinNetworkOf(pid);
  return {
    state: state.value,
    rest: (method, path, body) => rest(state.value, method, path, body),
    pop: async (hostId, path) => {
      const host = state.value.hosts.find((one) => one.hostId === hostId);
      if (host === undefined) return undefined;
      try {
        return await ask(`${host.popUrl}${path}`, { method: "GET" });
      } catch {
        return undefined;
      }
    },
  };
}

async function rest(state: UpState, method: string, path: string, body: unknown): Promise<Answer> {
  if (state.restUrl === undefined)
    throw new CommandEnd(EXIT.unavailable, `region ${state.region} is up without a control plane`);
  let token: string;
  try {
    token = readFileSync(state.adminTokenFile, "utf8").trim();
  } catch (error) {
    throw new CommandEnd(EXIT.permission, `cannot read the token: ${messageOf(error)}`);
  }
  let answer: Answer;
  try {
    answer = await ask(`${state.restUrl}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${token}`,
        ...(body === undefined ? {} : { "content-type": "application/json" }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  } catch (error) {
    throw new CommandEnd(
      EXIT.unavailable,
      `the control plane at ${state.restUrl} does not answer: ${messageOf(error)}`,
    );
  }
  if (answer.status === 401 || answer.status === 403)
    throw new CommandEnd(EXIT.permission, `the control plane refuses the token of ${state.adminTokenFile}`);
  return answer;
}

async function ask(url: string, init: RequestInit): Promise<Answer> {
  const response = await fetch(url, { ...init, signal: AbortSignal.timeout(ANSWER_MS_MAX) });
  const text = await response.text();
  return { status: response.status, body: parsed(text) };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? error.cause.message : error.message;
}

/** What an answer other than 2xx says, for people. */
export function complaintOf({ status, body }: Answer): string {
  if (typeof body === "object" && body !== null) {
    const { code, message } = body as { code?: unknown; message?: unknown };
    const said = [code, message].filter((part) => typeof part === "string").join(": ");
    if (said !== "") return `${said} (HTTP ${status})`;
  }
  return `HTTP ${status}${typeof body === "string" && body !== "" ? `: ${body.slice(0, 200)}` : ""}`;
}
