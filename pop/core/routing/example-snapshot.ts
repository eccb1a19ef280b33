// For tests: a small snapshot in which everything is right.

import { asId } from "../../../kernel/ids.ts";
import type { Snapshot } from "./snapshot.ts";

const acme = asId<"tenant">("acme");
const globex = asId<"tenant">("globex");

export const EXAMPLE: Snapshot = {
  version: 7,
  madeAtUnixMs: 1_800_000_000_000,
  tenants: [
    { id: acme, name: "Acme", defaultTreatment: [{ kind: "file", name: "acme/sorry" }], callsConcurrentMax: 4 },
    { id: globex, name: "Globex", defaultTreatment: [], callsConcurrentMax: 0 },
  ],
  trunks: [
    {
      id: asId("carrier"),
      tenantId: acme,
      sourceCidrs: ["127.20.0.0/16", "2001:db8::/32"],
      callsPerSecondMax: 5,
      callsConcurrentMax: 3,
      outboundUri: "sip:127.20.0.1:5060;transport=udp",
    },
    {
      id: asId("carrier"),
      tenantId: globex,
      sourceCidrs: ["127.20.9.0/24"],
      callsPerSecondMax: 2,
      callsConcurrentMax: 10,
      outboundUri: undefined,
    },
  ],
  numbers: [
    { number: "+4989123456", tenantId: acme, entryPointId: asId("support-line") },
    { number: "100", tenantId: acme, entryPointId: asId("support-line") },
    { number: "+4930999", tenantId: globex, entryPointId: asId("support-line") },
  ],
  entryPoints: [
    { id: asId("support-line"), tenantId: acme, name: "Support", flowId: asId("support"), flowVersion: 3 },
    { id: asId("support-line"), tenantId: globex, name: "Support", flowId: asId("bye"), flowVersion: 1 },
  ],
  flows: [
    {
      id: asId("support"),
      tenantId: acme,
      version: 3,
      start: "pick",
      variables: { name: "Acme" },
      activities: {
        pick: {
          kind: "menu",
          prompts: [{ kind: "text", text: "Welcome to {{ name }}, {{ call.callingNumber }}" }],
          choices: { "1": "wait", "2": "dial" },
          timeoutMs: 4_000,
          attemptsMax: 3,
          noMatchPrompts: [],
          onNoInput: undefined,
          onNoMatch: undefined,
          onFailure: "bye",
        },
        wait: {
          kind: "queue",
          queueId: asId("support"),
          music: undefined,
          messages: [{ kind: "text", text: "You are number {{ queue.position }}" }],
          messageIntervalMs: 20_000,
          waitMsMax: 0,
          onWaitExceeded: undefined,
          priority: 0,
          next: undefined,
          onFailure: undefined,
        },
        dial: {
          kind: "transfer",
          number: "+49301234",
          trunkId: asId("carrier"),
          ringTimeoutMs: 20_000,
          next: undefined,
          onFailure: "bye",
        },
        bye: { kind: "disconnect", onFailure: undefined },
      },
    },
    {
      id: asId("bye"),
      tenantId: globex,
      version: 1,
      start: "bye",
      variables: {},
      activities: { bye: { kind: "disconnect", onFailure: undefined } },
    },
  ],
  queues: [{ id: asId("support"), tenantId: acme, name: "Support", music: { kind: "file", name: "music/acme" } }],
  agentSourceCidrs: ["127.30.0.0/16"],
};
