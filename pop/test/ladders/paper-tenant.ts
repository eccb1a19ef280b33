import { asId } from "../../../kernel/ids.ts";
import type { Flow } from "../../core/ivr/flow.ts";
import type { Snapshot } from "../../core/routing/snapshot.ts";

const tenantId = asId<"tenant">("acme");

const support: Flow = {
  id: asId<"flow">("support"),
  tenantId,
  version: 1,
  start: "welcome",
  variables: {},
  activities: {
    welcome: {
      kind: "play",
      prompts: [{ kind: "text", text: "Welcome" }],
      next: "choose",
      onFailure: undefined,
    },
    choose: {
      kind: "menu",
      prompts: [{ kind: "text", text: "Press one" }],
      choices: { "1": "wait", "9": "elsewhere" },
      timeoutMs: 3_000,
      attemptsMax: 2,
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
      waitMsMax: 0,
      onWaitExceeded: undefined,
      priority: 0,
      next: undefined,
      onFailure: "goodbye",
    },
    elsewhere: {
      kind: "transfer",
      number: "+4930123456",
      trunkId: undefined,
      ringTimeoutMs: 20_000,
      next: "goodbye",
      onFailure: "goodbye",
    },
    goodbye: {
      kind: "play",
      prompts: [{ kind: "text", text: "Goodbye" }],
      next: "end",
      onFailure: undefined,
    },
    end: { kind: "disconnect", onFailure: undefined },
  },
};

export const ACME: Snapshot = {
  version: 1,
  madeAtUnixMs: 0,
  tenants: [{ id: tenantId, name: "Acme", defaultTreatment: [{ kind: "text", text: "Sorry" }], callsConcurrentMax: 0 }],
  trunks: [
    {
      id: asId<"trunk">("carrier-one"),
      tenantId,
      sourceCidrs: ["127.20.0.0/24"],
      callsPerSecondMax: 10,
      callsConcurrentMax: 3,
      outboundUri: "sip:127.20.0.9:5060",
    },
  ],
  numbers: [{ number: "+498912345678", tenantId, entryPointId: asId<"entry-point">("support-line") }],
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
