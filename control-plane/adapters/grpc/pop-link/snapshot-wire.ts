// A snapshot as tenant_config.v1 says it.

import type { DeepPartial } from "../../../../proto/gen/pop_link/v1/pop_link.ts";
import {
  type Activity,
  Comparison,
  type Prompt,
  type Snapshot as SnapshotWire,
} from "../../../../proto/gen/tenant_config/v1/tenant_config.ts";
import type { Snapshot } from "../../../core/snapshot/snapshot.ts";
import type { ActivitySpec, ComparisonWord, PromptSpec } from "../../../core/tenancy/flow-document.ts";

type PromptWire = DeepPartial<Prompt>;
type ActivityWire = DeepPartial<Activity>;

export function snapshotToWire(snapshot: Snapshot): DeepPartial<SnapshotWire> {
  return {
    version: snapshot.version,
    madeAtUnixMs: snapshot.madeAtUnixMs,
    tenants: snapshot.tenants.map(({ id, spec }) => ({
      id,
      name: spec.name,
      defaultTreatment: spec.defaultTreatment.map(promptToWire),
      callsConcurrentMax: spec.callsConcurrentMax ?? 0,
    })),
    trunks: snapshot.trunks.map(({ id, tenantId, spec }) => ({
      id,
      tenantId,
      sourceCidrs: spec.sourceCidrs,
      callsPerSecondMax: spec.callsPerSecondMax,
      callsConcurrentMax: spec.callsConcurrentMax,
      outboundUri: spec.outboundUri,
    })),
    numbers: snapshot.numbers.map(({ tenantId, spec }) => ({
      number: spec.number,
      tenantId,
      entryPointId: spec.entryPoint,
    })),
    entryPoints: snapshot.entryPoints.map(({ id, tenantId, spec, flowVersion }) => ({
      id,
      tenantId,
      name: spec.name,
      flowId: spec.flow,
      flowVersion,
    })),
    flows: snapshot.flows.map(({ id, tenantId, version, spec }) => ({
      id,
      tenantId,
      version,
      start: spec.start,
      variables: spec.variables,
      activities: Object.entries(spec.activities).map(([name, activity]) => activityToWire(name, activity)),
    })),
    queues: snapshot.queues.map(({ id, tenantId, spec }) => ({
      id,
      tenantId,
      name: spec.name,
      ...(spec.music ? { music: promptToWire(spec.music) } : {}),
    })),
    agentSourceCidrs: [...new Set(snapshot.tenants.flatMap(({ spec }) => spec.agentSourceCidrs))],
  };
}

function promptToWire({ file, text, language }: PromptSpec): PromptWire {
  return file !== undefined
    ? { source: { $case: "file", value: file } }
    : { source: { $case: "text", value: text ?? "" }, language: language ?? "en" };
}

const COMPARISON: { readonly [Word in ComparisonWord]: (typeof Comparison)[keyof typeof Comparison] } = {
  equals: Comparison.COMPARISON_EQUALS,
  notEquals: Comparison.COMPARISON_NOT_EQUALS,
  lessThan: Comparison.COMPARISON_LESS_THAN,
  greaterThan: Comparison.COMPARISON_GREATER_THAN,
  contains: Comparison.COMPARISON_CONTAINS,
  startsWith: Comparison.COMPARISON_STARTS_WITH,
  isEmpty: Comparison.COMPARISON_IS_EMPTY,
};

function activityToWire(id: string, activity: ActivitySpec): ActivityWire {
  return { id, onFailure: activity.onFailure, kind: kindToWire(activity) };
}

function kindToWire(activity: ActivitySpec): NonNullable<ActivityWire["kind"]> {
  const { play, menu, collect, set, if: condition, goto, queue, transfer } = activity;
  if (play) return { $case: "playMessage", value: { prompts: play.prompts.map(promptToWire), next: play.next } };
  if (menu)
    return {
      $case: "menu",
      value: {
        prompts: menu.prompts.map(promptToWire),
        choices: menu.choices,
        timeoutMs: menu.timeout,
        attemptsMax: menu.attemptsMax,
        onNoInput: menu.onNoInput,
        onNoMatch: menu.onNoMatch,
        noMatchPrompts: menu.noMatchPrompts.map(promptToWire),
      },
    };
  if (collect)
    return {
      $case: "collectDigits",
      value: {
        prompts: collect.prompts.map(promptToWire),
        variable: collect.variable,
        digitsMin: collect.digitsMin,
        digitsMax: collect.digitsMax,
        terminator: collect.terminator,
        firstDigitTimeoutMs: collect.firstDigitTimeout,
        interDigitTimeoutMs: collect.interDigitTimeout,
        attemptsMax: collect.attemptsMax,
        next: collect.next,
        onNoInput: collect.onNoInput,
        sensitive: collect.sensitive,
      },
    };
  if (set) return { $case: "setVariable", value: set };
  if (condition) {
    const word = (Object.keys(COMPARISON) as ComparisonWord[]).find((one) => condition[one] !== undefined) ?? "isEmpty";
    const right = word === "isEmpty" ? "" : condition[word];
    return {
      $case: "condition",
      value: {
        left: condition.value,
        comparison: COMPARISON[word],
        right,
        // biome-ignore lint/suspicious/noThenProperty: the field's name in tenant_config.v1; never a function
        then: condition.then,
        otherwise: condition.else,
      },
    };
  }
  if (goto !== undefined) return { $case: "goTo", value: { activity: goto } };
  if (queue)
    return {
      $case: "queueContact",
      value: {
        queueId: queue.queue,
        ...(queue.music ? { music: promptToWire(queue.music) } : {}),
        messages: queue.messages.map((prompt) => ({ prompt: promptToWire(prompt) })),
        messageIntervalMs: queue.messageInterval ?? 0,
        waitMsMax: queue.waitMax ?? 0,
        onWaitExceeded: queue.onWaitExceeded,
        priority: queue.priority,
        next: queue.next,
      },
    };
  if (transfer)
    return {
      $case: "transferToNumber",
      value: {
        number: transfer.number,
        trunkId: transfer.trunk,
        ringTimeoutMs: transfer.ringTimeout,
        next: transfer.next,
      },
    };
  return { $case: "disconnect", value: {} };
}
