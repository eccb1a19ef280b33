// tenant_config.v1 ↔ the core's Snapshot. Total: what makes no sense is listed with its path, never thrown.
// Told here is only what the core's types cannot hold; whether the rest makes sense together is proved by compile-snapshot.ts.

import { asId } from "../../../kernel/ids.ts";
import { fail, type Outcome, succeed } from "../../../kernel/outcome.ts";
import type * as wire from "../../../proto/gen/tenant_config/v1/tenant_config.ts";
import { Comparison as WireComparison } from "../../../proto/gen/tenant_config/v1/tenant_config.ts";
import type { Activity, ActivityKind, Comparison, Flow } from "../../core/ivr/flow.ts";
import type { Prompt } from "../../core/media/prompt.ts";
import type { Snapshot, SnapshotMistake } from "../../core/routing/snapshot.ts";

/** Enough to see what is wrong, and small enough for one message. */
const MISTAKES_MAX = 1_000;

/** Collects mistakes while reading goes on, so that all of them are told at once. */
class Reading {
  readonly mistakes: SnapshotMistake[] = [];

  mistake(path: string, message: string): void {
    if (this.mistakes.length < MISTAKES_MAX) this.mistakes.push({ path, message });
  }

  text(path: string, value: string | undefined): string {
    if (value === undefined || value === "") this.mistake(path, "is missing");
    return value ?? "";
  }
}

/** @fails every mistake found, with its path */
export function snapshotFromWire(from: wire.Snapshot): Outcome<Snapshot, readonly SnapshotMistake[]> {
  const read = new Reading();
  const snapshot: Snapshot = {
    version: from.version ?? 0,
    madeAtUnixMs: from.madeAtUnixMs ?? 0,
    tenants: from.tenants.map((tenant, at) => {
      const path = `tenants[${tenant.id || at}]`;
      return {
        id: asId<"tenant">(read.text(`${path}.id`, tenant.id)),
        name: tenant.name ?? "",
        defaultTreatment: prompts(read, `${path}.defaultTreatment`, tenant.defaultTreatment),
        callsConcurrentMax: tenant.callsConcurrentMax ?? 0,
      };
    }),
    trunks: from.trunks.map((trunk, at) => {
      const path = `trunks[${nameOf(trunk, at)}]`;
      return {
        id: asId<"trunk">(read.text(`${path}.id`, trunk.id)),
        tenantId: asId<"tenant">(read.text(`${path}.tenantId`, trunk.tenantId)),
        sourceCidrs: trunk.sourceCidrs.map((cidr, index) => read.text(`${path}.sourceCidrs[${index}]`, cidr)),
        callsPerSecondMax: trunk.callsPerSecondMax ?? 0,
        callsConcurrentMax: trunk.callsConcurrentMax ?? 0,
        outboundUri: orUndefined(trunk.outboundUri),
      };
    }),
    numbers: from.numbers.map((number, at) => {
      const path = `numbers[${number.tenantId ?? ""}/${number.number || at}]`;
      return {
        number: read.text(`${path}.number`, number.number),
        tenantId: asId<"tenant">(read.text(`${path}.tenantId`, number.tenantId)),
        entryPointId: asId<"entry-point">(read.text(`${path}.entryPointId`, number.entryPointId)),
      };
    }),
    entryPoints: from.entryPoints.map((entryPoint, at) => {
      const path = `entryPoints[${nameOf(entryPoint, at)}]`;
      return {
        id: asId<"entry-point">(read.text(`${path}.id`, entryPoint.id)),
        tenantId: asId<"tenant">(read.text(`${path}.tenantId`, entryPoint.tenantId)),
        name: entryPoint.name ?? "",
        flowId: asId<"flow">(read.text(`${path}.flowId`, entryPoint.flowId)),
        flowVersion: entryPoint.flowVersion ?? 0,
      };
    }),
    flows: from.flows.map((flow, at) => flowFromWire(read, flow, at)),
    queues: from.queues.map((queue, at) => {
      const path = `queues[${nameOf(queue, at)}]`;
      return {
        id: asId<"queue">(read.text(`${path}.id`, queue.id)),
        tenantId: asId<"tenant">(read.text(`${path}.tenantId`, queue.tenantId)),
        name: queue.name ?? "",
        music: optionalPrompt(read, `${path}.music`, queue.music),
      };
    }),
    agentSourceCidrs: from.agentSourceCidrs.map((cidr, at) => read.text(`agentSourceCidrs[${at}]`, cidr)),
  };
  return read.mistakes.length === 0 ? succeed(snapshot) : fail(read.mistakes);
}

/** Ids need only be unique within their tenant. */
const nameOf = (
  { tenantId, id }: { readonly tenantId?: string | undefined; readonly id?: string | undefined },
  at: number,
): string => `${tenantId ?? ""}/${id || at}`;

const orUndefined = (text: string | undefined): string | undefined => (text === "" ? undefined : text);

function flowFromWire(read: Reading, flow: wire.Flow, at: number): Flow {
  const path = `flows[${nameOf(flow, at)}@${flow.version ?? 0}]`;
  const names = new Set<string>();
  for (const { id = "" } of flow.activities) {
    if (names.has(id)) read.mistake(`${path}.activities[${id}]`, "is there twice");
    names.add(id);
  }
  return {
    id: asId<"flow">(read.text(`${path}.id`, flow.id)),
    tenantId: asId<"tenant">(read.text(`${path}.tenantId`, flow.tenantId)),
    version: flow.version ?? 0,
    start: read.text(`${path}.start`, flow.start),
    activities: recordOf(
      flow.activities.map((activity, index) => {
        const where = `${path}.activities[${activity.id || index}]`;
        return [read.text(`${where}.id`, activity.id), activityFromWire(read, where, activity)];
      }),
    ),
    variables: recordOf(Object.entries(flow.variables)),
  };
}

/** Without a prototype's say: an activity called "__proto__" is a name like any other. */
const recordOf = <Value>(entries: Iterable<readonly [string, Value]>): Readonly<Record<string, Value>> =>
  Object.fromEntries(entries);

function activityFromWire(read: Reading, path: string, activity: wire.Activity): Activity {
  return { onFailure: orUndefined(activity.onFailure), ...kindFromWire(read, path, activity.kind) };
}

function kindFromWire(read: Reading, path: string, kind: wire.Activity["kind"]): ActivityKind {
  switch (kind?.$case) {
    case "playMessage":
      return {
        kind: "play",
        prompts: prompts(read, `${path}.prompts`, kind.value.prompts),
        next: read.text(`${path}.next`, kind.value.next),
      };
    case "menu": {
      const menu = kind.value;
      return {
        kind: "menu",
        prompts: prompts(read, `${path}.prompts`, menu.prompts),
        choices: recordOf(Object.entries(menu.choices)),
        timeoutMs: menu.timeoutMs ?? 0,
        attemptsMax: menu.attemptsMax ?? 0,
        noMatchPrompts: prompts(read, `${path}.noMatchPrompts`, menu.noMatchPrompts),
        onNoInput: orUndefined(menu.onNoInput),
        onNoMatch: orUndefined(menu.onNoMatch),
      };
    }
    case "collectDigits": {
      const collect = kind.value;
      return {
        kind: "collect",
        prompts: prompts(read, `${path}.prompts`, collect.prompts),
        variable: read.text(`${path}.variable`, collect.variable),
        digitsMin: collect.digitsMin ?? 0,
        digitsMax: collect.digitsMax ?? 0,
        terminator: orUndefined(collect.terminator),
        firstDigitTimeoutMs: collect.firstDigitTimeoutMs ?? 0,
        interDigitTimeoutMs: collect.interDigitTimeoutMs ?? 0,
        attemptsMax: collect.attemptsMax ?? 0,
        next: read.text(`${path}.next`, collect.next),
        onNoInput: orUndefined(collect.onNoInput),
        sensitive: collect.sensitive ?? false,
      };
    }
    case "setVariable":
      return {
        kind: "set",
        variable: read.text(`${path}.variable`, kind.value.variable),
        value: kind.value.value ?? "",
        next: read.text(`${path}.next`, kind.value.next),
      };
    case "condition":
      return {
        kind: "condition",
        left: kind.value.left ?? "",
        comparison: comparisonFromWire(read, `${path}.comparison`, kind.value.comparison),
        right: kind.value.right ?? "",
        // biome-ignore lint/suspicious/noThenProperty: a string, so nothing awaits it by mistake
        then: read.text(`${path}.then`, kind.value.then),
        otherwise: read.text(`${path}.otherwise`, kind.value.otherwise),
      };
    case "goTo":
      return { kind: "go-to", activity: read.text(`${path}.activity`, kind.value.activity) };
    case "queueContact": {
      const queue = kind.value;
      const messages = queue.messages.map(({ prompt }, at) => promptFromWire(read, `${path}.messages[${at}]`, prompt));
      return {
        kind: "queue",
        queueId: asId<"queue">(read.text(`${path}.queueId`, queue.queueId)),
        music: optionalPrompt(read, `${path}.music`, queue.music),
        messages,
        messageIntervalMs: queue.messageIntervalMs ?? 0,
        waitMsMax: queue.waitMsMax ?? 0,
        onWaitExceeded: orUndefined(queue.onWaitExceeded),
        priority: queue.priority ?? 0,
        next: orUndefined(queue.next),
      };
    }
    case "transferToNumber":
      return {
        kind: "transfer",
        number: read.text(`${path}.number`, kind.value.number),
        trunkId: kind.value.trunkId ? asId<"trunk">(kind.value.trunkId) : undefined,
        ringTimeoutMs: kind.value.ringTimeoutMs ?? 0,
        next: orUndefined(kind.value.next),
      };
    case "disconnect":
      return { kind: "disconnect" };
    default:
      // A newer control plane than this POP: better no flow than half a flow.
      read.mistake(path, "is of a kind that this POP does not know");
      return { kind: "disconnect" };
  }
}

const prompts = (read: Reading, path: string, from: readonly wire.Prompt[]): readonly Prompt[] =>
  from.map((prompt, at) => promptFromWire(read, `${path}[${at}]`, prompt));

const optionalPrompt = (read: Reading, path: string, prompt: wire.Prompt | undefined): Prompt | undefined =>
  prompt === undefined ? undefined : promptFromWire(read, path, prompt);

function promptFromWire(read: Reading, path: string, prompt: wire.Prompt | undefined): Prompt {
  switch (prompt?.source?.$case) {
    case "file":
      return { kind: "file", name: read.text(`${path}.file`, prompt.source.value) };
    case "text": {
      const text = read.text(`${path}.text`, prompt.source.value);
      return prompt.language ? { kind: "text", text, language: prompt.language } : { kind: "text", text };
    }
    default:
      read.mistake(path, "is neither a file nor a text");
      return { kind: "text", text: "" };
  }
}

const COMPARISONS: Readonly<Record<Comparison, wire.Comparison>> = {
  equals: WireComparison.COMPARISON_EQUALS,
  "not-equals": WireComparison.COMPARISON_NOT_EQUALS,
  "less-than": WireComparison.COMPARISON_LESS_THAN,
  "greater-than": WireComparison.COMPARISON_GREATER_THAN,
  contains: WireComparison.COMPARISON_CONTAINS,
  "starts-with": WireComparison.COMPARISON_STARTS_WITH,
  "is-empty": WireComparison.COMPARISON_IS_EMPTY,
};

function comparisonFromWire(read: Reading, path: string, from: wire.Comparison | undefined): Comparison {
  for (const [comparison, number] of Object.entries(COMPARISONS) as [Comparison, wire.Comparison][])
    if (number === from) return comparison;
  read.mistake(path, "is a comparison that this POP does not know");
  return "equals";
}

/** The way back, for simulated regions and round trips. */
export function snapshotToWire(snapshot: Snapshot): wire.Snapshot {
  return {
    version: snapshot.version,
    madeAtUnixMs: snapshot.madeAtUnixMs,
    tenants: snapshot.tenants.map((tenant) => ({
      ...tenant,
      defaultTreatment: tenant.defaultTreatment.map(promptToWire),
    })),
    trunks: snapshot.trunks.map((trunk) => ({
      ...trunk,
      sourceCidrs: [...trunk.sourceCidrs],
      outboundUri: trunk.outboundUri ?? "",
    })),
    numbers: snapshot.numbers.map((number) => ({ ...number })),
    entryPoints: snapshot.entryPoints.map((entryPoint) => ({ ...entryPoint })),
    flows: snapshot.flows.map((flow) => ({
      id: flow.id,
      tenantId: flow.tenantId,
      version: flow.version,
      start: flow.start,
      activities: Object.entries(flow.activities).map(([id, activity]) => activityToWire(id, activity)),
      variables: { ...flow.variables },
    })),
    queues: snapshot.queues.map((queue) => ({ ...queue, music: optionalPromptToWire(queue.music) })),
    agentSourceCidrs: [...snapshot.agentSourceCidrs],
  };
}

const promptToWire = (prompt: Prompt): wire.Prompt =>
  prompt.kind === "file"
    ? { source: { $case: "file", value: prompt.name }, language: "" }
    : { source: { $case: "text", value: prompt.text }, language: prompt.language ?? "" };

const optionalPromptToWire = (prompt: Prompt | undefined): wire.Prompt | undefined =>
  prompt === undefined ? undefined : promptToWire(prompt);

const activityToWire = (id: string, activity: Activity): wire.Activity => ({
  id,
  onFailure: activity.onFailure ?? "",
  kind: kindToWire(activity),
});

function kindToWire(activity: ActivityKind): NonNullable<wire.Activity["kind"]> {
  switch (activity.kind) {
    case "play":
      return { $case: "playMessage", value: { prompts: activity.prompts.map(promptToWire), next: activity.next } };
    case "menu":
      return {
        $case: "menu",
        value: {
          prompts: activity.prompts.map(promptToWire),
          choices: { ...activity.choices },
          timeoutMs: activity.timeoutMs,
          attemptsMax: activity.attemptsMax,
          onNoInput: activity.onNoInput ?? "",
          onNoMatch: activity.onNoMatch ?? "",
          noMatchPrompts: activity.noMatchPrompts.map(promptToWire),
        },
      };
    case "collect":
      return {
        $case: "collectDigits",
        value: {
          prompts: activity.prompts.map(promptToWire),
          variable: activity.variable,
          digitsMin: activity.digitsMin,
          digitsMax: activity.digitsMax,
          terminator: activity.terminator ?? "",
          firstDigitTimeoutMs: activity.firstDigitTimeoutMs,
          interDigitTimeoutMs: activity.interDigitTimeoutMs,
          attemptsMax: activity.attemptsMax,
          next: activity.next,
          onNoInput: activity.onNoInput ?? "",
          sensitive: activity.sensitive,
        },
      };
    case "set":
      return {
        $case: "setVariable",
        value: { variable: activity.variable, value: activity.value, next: activity.next },
      };
    case "condition":
      return {
        $case: "condition",
        value: {
          left: activity.left,
          comparison: COMPARISONS[activity.comparison],
          right: activity.right,
          // biome-ignore lint/suspicious/noThenProperty: a string, so nothing awaits it by mistake
          then: activity.then,
          otherwise: activity.otherwise,
        },
      };
    case "go-to":
      return { $case: "goTo", value: { activity: activity.activity } };
    case "queue":
      return {
        $case: "queueContact",
        value: {
          queueId: activity.queueId,
          music: optionalPromptToWire(activity.music),
          messages: activity.messages.map((message) => ({ prompt: promptToWire(message) })),
          messageIntervalMs: activity.messageIntervalMs,
          waitMsMax: activity.waitMsMax,
          onWaitExceeded: activity.onWaitExceeded ?? "",
          priority: activity.priority,
          next: activity.next ?? "",
        },
      };
    case "transfer":
      return {
        $case: "transferToNumber",
        value: {
          number: activity.number,
          trunkId: activity.trunkId ?? "",
          ringTimeoutMs: activity.ringTimeoutMs,
          next: activity.next ?? "",
        },
      };
    case "disconnect":
      return { $case: "disconnect", value: {} };
  }
}
