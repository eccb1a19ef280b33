// The one tenant of the simulation: a menu that leads to a queue, to a number behind a trunk, or to a long announcement.

import { asId } from "../../kernel/ids.ts";
import type { Flow } from "../../pop/core/ivr/flow.ts";
import type { Snapshot } from "../../pop/core/routing/snapshot.ts";

export const SERVICE_NUMBER = "+498912345678";
export const FAR_NUMBER = "+4930123456";
export const CARRIER_ADDRESS = "127.20.0.1";
export const FAR_ADDRESS = "127.20.0.9";
export const agentAddress = (n: number): string => `127.30.0.${n}`;
/** Of a trunk, at one host. */
export const TRUNK_CALLS_MAX = 12;

const tenantId = asId<"tenant">("acme");
const say = (text: string) => [{ kind: "text", text }] as const;

const support: Flow = {
  id: asId<"flow">("support"),
  tenantId,
  version: 1,
  start: "welcome",
  variables: {},
  activities: {
    welcome: { kind: "play", prompts: say("Welcome to our house"), next: "choose", onFailure: undefined },
    choose: {
      kind: "menu",
      prompts: say("Press one for help, two for the news, nine for Berlin"),
      choices: { "1": "wait", "2": "news", "9": "elsewhere" },
      timeoutMs: 6_000,
      attemptsMax: 3,
      noMatchPrompts: [],
      onNoInput: "goodbye",
      onNoMatch: "goodbye",
      onFailure: undefined,
    },
    wait: {
      kind: "queue",
      queueId: asId<"queue">("support"),
      music: undefined,
      messages: [],
      messageIntervalMs: 20_000,
      waitMsMax: 60_000,
      onWaitExceeded: "goodbye",
      priority: 0,
      next: undefined,
      onFailure: "goodbye",
    },
    news: { kind: "play", prompts: say("n".repeat(300)), next: "goodbye", onFailure: undefined },
    elsewhere: {
      kind: "transfer",
      number: FAR_NUMBER,
      trunkId: undefined,
      ringTimeoutMs: 20_000,
      next: "goodbye",
      onFailure: "goodbye",
    },
    goodbye: { kind: "play", prompts: say("Goodbye"), next: "end", onFailure: undefined },
    end: { kind: "disconnect", onFailure: undefined },
  },
};

export const SNAPSHOT: Snapshot = {
  version: 1,
  madeAtUnixMs: 0,
  tenants: [{ id: tenantId, name: "Acme", defaultTreatment: [...say("Sorry")], callsConcurrentMax: 0 }],
  trunks: [
    {
      id: asId<"trunk">("carrier-one"),
      tenantId,
      sourceCidrs: ["127.20.0.0/24"],
      callsPerSecondMax: 50,
      callsConcurrentMax: TRUNK_CALLS_MAX,
      outboundUri: `sip:${FAR_ADDRESS}:5060`,
    },
  ],
  numbers: [{ number: SERVICE_NUMBER, tenantId, entryPointId: asId<"entry-point">("support-line") }],
  entryPoints: [
    {
      id: asId<"entry-point">("support-line"),
      tenantId,
      name: "Support",
      flowId: support.id,
      flowVersion: support.version,
    },
  ],
  flows: [support],
  queues: [{ id: asId<"queue">("support"), tenantId, name: "Support", music: undefined }],
  agentSourceCidrs: ["127.30.0.0/24"],
};
