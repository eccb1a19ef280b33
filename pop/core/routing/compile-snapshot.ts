// Proves a snapshot before the POP lives by it: all or nothing, and every mistake with its place.
// It is refused as a whole, so one tenant's mistake keeps all from going on: nothing is refused here that a call can
// survive, and whatever the control plane's own schema lets through must pass.

import type { TenantId } from "../../../kernel/ids.ts";
import { fail, type Outcome, succeed } from "../../../kernel/outcome.ts";
import { checkFlow, isPromptName } from "../ivr/check-flow.ts";
import type { Flow } from "../ivr/flow.ts";
import { VALUE_CHARACTERS_MAX } from "../ivr/template.ts";
import type { Prompt } from "../media/prompt.ts";
import { type IpPrefix, parseCidr, parseIp } from "./ip-address.ts";
import { PrefixTable } from "./prefix-table.ts";
import { keyOf, RoutingTable } from "./routing-table.ts";
import type { DialledNumber, EntryPoint, Snapshot, SnapshotMistake, Tenant, Trunk } from "./snapshot.ts";

export const TENANTS_MAX = 10_000;
export const TRUNKS_MAX = 10_000;
export const CIDRS_PER_TRUNK_MAX = 256;
export const AGENT_CIDRS_MAX = 100_000;
export const NUMBERS_MAX = 500_000;
export const ENTRY_POINTS_MAX = 100_000;
export const FLOWS_MAX = 20_000;
export const QUEUES_MAX = 50_000;
export const TREATMENT_PROMPTS_MAX = 20;
export const CALLS_CONCURRENT_LIMIT_MAX = 1_000_000;
export const CALLS_PER_SECOND_LIMIT_MAX = 100_000;
/** Mistakes told; what is beyond is counted in a last one, so that the refusal fits into a message. */
export const MISTAKES_MAX = 1_000;

/** A trunk whose allow-list is wider than this lets strangers in. */
const IPV4_PREFIX_BITS_MIN = 8;
const IPV6_PREFIX_BITS_MIN = 16;

type Report = (path: string, message: string) => void;

/** @fails with every mistake (at most MISTAKES_MAX told): nothing of such a snapshot is used */
export function compile(snapshot: Snapshot): Outcome<RoutingTable, readonly SnapshotMistake[]> {
  try {
    return proven(snapshot);
  } catch (error) {
    // The one from disk may be of another release, of which the types say nothing: refused, not a crash at each start.
    if (!(error instanceof TypeError)) throw error;
    return fail([{ path: "", message: `is not shaped like a snapshot: ${error.message}` }]);
  }
}

function proven(snapshot: Snapshot): Outcome<RoutingTable, readonly SnapshotMistake[]> {
  const mistakes: SnapshotMistake[] = [];
  let more = 0;
  const report: Report = (path, message) => {
    if (mistakes.length < MISTAKES_MAX) mistakes.push({ path, message });
    else more++;
  };

  if (!Number.isSafeInteger(snapshot.version) || snapshot.version < 1) {
    report("version", `${snapshot.version} is no version`);
  }
  const tenants = byKey("tenants", TENANTS_MAX, snapshot.tenants, ({ id }) => [id, id], report);
  const ownKey = (one: { readonly tenantId: TenantId; readonly id: string }): Key => [
    keyOf(one.tenantId, one.id),
    one.id,
  ];
  const trunks = byKey("trunks", TRUNKS_MAX, snapshot.trunks, ownKey, report);
  const entryPoints = byKey("entryPoints", ENTRY_POINTS_MAX, snapshot.entryPoints, ownKey, report);
  const queues = byKey("queues", QUEUES_MAX, snapshot.queues, ownKey, report);
  const flowKey = ({ tenantId, id, version }: Flow): Key => [keyOf(tenantId, id, version), id];
  const flows = byKey("flows", FLOWS_MAX, snapshot.flows, flowKey, report);
  const numberKey = ({ tenantId, number }: DialledNumber): Key => [keyOf(tenantId, number), number];
  const numbers = byKey("numbers", NUMBERS_MAX, snapshot.numbers, numberKey, report);

  const tenant = (path: string, id: TenantId): void => {
    if (!tenants.has(id)) report(`${path}.tenantId`, `there is no tenant "${id}"`);
  };
  for (const [key, one] of tenants) checkTenant(`tenants[${key}]`, one, report);

  const trunkSources = new PrefixTable<Trunk>();
  for (const [key, trunk] of trunks) {
    tenant(`trunks[${key}]`, trunk.tenantId);
    checkTrunk(`trunks[${key}]`, trunk, trunkSources, report);
  }
  const agentSources = new PrefixTable<true>();
  if (within("agentSourceCidrs", AGENT_CIDRS_MAX, snapshot.agentSourceCidrs.length, report)) {
    for (const [at, cidr] of snapshot.agentSourceCidrs.entries()) {
      const prefix = checkCidr(`agentSourceCidrs[${at}]`, cidr, report);
      if (prefix !== undefined) agentSources.add(prefix, true);
    }
  }

  for (const [key, number] of numbers) {
    tenant(`numbers[${key}]`, number.tenantId);
    checkNumber(`numbers[${key}]`, number, entryPoints, report);
  }
  for (const [key, { tenantId, flowId, flowVersion }] of entryPoints) {
    tenant(`entryPoints[${key}]`, tenantId);
    if (!flows.has(keyOf(tenantId, flowId, flowVersion))) {
      report(`entryPoints[${key}].flowId`, `the tenant has no flow "${flowId}" of version ${flowVersion}`);
    }
  }
  for (const [key, { tenantId, music }] of queues) {
    tenant(`queues[${key}]`, tenantId);
    if (music !== undefined) checkPrompt(`queues[${key}].music`, music, report);
  }
  for (const [key, flow] of flows) {
    const { tenantId } = flow;
    tenant(`flows[${key}]`, tenantId);
    const around = {
      queueExists: (id: string) => queues.has(keyOf(tenantId, id)),
      trunkExists: (id: string) => trunks.has(keyOf(tenantId, id)),
    };
    checkFlow(flow, around, (path, message) => report(`flows[${key}].${path}`, message));
  }

  if (more > 0) mistakes.push({ path: "", message: `and ${more} more mistakes` });
  if (mistakes.length > 0) return fail(mistakes);
  const allowList = [
    ...snapshot.trunks.flatMap(({ sourceCidrs }) => sourceCidrs),
    // Who we dial answers from there, whether or not it may call us.
    ...snapshot.trunks.flatMap(({ outboundUri }) => addressOf(outboundUri)),
    ...snapshot.agentSourceCidrs,
  ];
  const { version } = snapshot;
  return succeed(
    new RoutingTable({
      version,
      tenants,
      trunks,
      numbers,
      entryPoints,
      flows,
      queues,
      trunkSources,
      agentSources,
      allowList: [...new Set(allowList)],
    }),
  );
}

/** The address in an outboundUri as a CIDR of one; none where it is a name. */
function addressOf(outboundUri: string | undefined): readonly string[] {
  const host = /^sips?:(?:\[([0-9a-fA-F:.]+)\]|(\d+\.\d+\.\d+\.\d+))(?=[:;?]|$)/i.exec(outboundUri ?? "");
  const address = host?.[1] ?? host?.[2];
  const bytes = address === undefined ? undefined : parseIp(address);
  if (address === undefined || bytes === undefined) return [];
  return [`${address}/${address.includes(":") ? 128 : 32}`];
}

/** Key in the table, and the id whose form is checked. */
type Key = readonly [key: string, id: string];

const ID = /^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$/;

function byKey<One>(
  path: string,
  limit: number,
  all: readonly One[],
  keyFor: (one: One) => Key,
  report: Report,
): Map<string, One> {
  const table = new Map<string, One>();
  if (!within(path, limit, all.length, report)) return table;
  for (const one of all) {
    const [key, id] = keyFor(one);
    // Numbers have a form of their own: checkNumber.
    if (path !== "numbers" && !ID.test(id))
      report(`${path}[${key.slice(0, 260)}]`, "is no id: letters, digits and . _ : -");
    if (table.has(key)) report(`${path}[${key}]`, "is there twice");
    else table.set(key, one);
  }
  return table;
}

function checkTenant(path: string, { defaultTreatment, callsConcurrentMax }: Tenant, report: Report): void {
  integer(`${path}.callsConcurrentMax`, callsConcurrentMax, 0, CALLS_CONCURRENT_LIMIT_MAX, report);
  within(`${path}.defaultTreatment`, TREATMENT_PROMPTS_MAX, defaultTreatment.length, report);
  for (const [at, prompt] of defaultTreatment.entries()) {
    checkPrompt(`${path}.defaultTreatment[${at}]`, prompt, report);
  }
}

function checkTrunk(path: string, trunk: Trunk, sources: PrefixTable<Trunk>, report: Report): void {
  integer(`${path}.callsPerSecondMax`, trunk.callsPerSecondMax, 1, CALLS_PER_SECOND_LIMIT_MAX, report);
  integer(`${path}.callsConcurrentMax`, trunk.callsConcurrentMax, 1, CALLS_CONCURRENT_LIMIT_MAX, report);
  if (trunk.outboundUri !== undefined && !isOutboundUri(trunk.outboundUri)) {
    report(`${path}.outboundUri`, 'is no SIP URI without user, such as "sip:192.0.2.1:5060;transport=udp"');
  }
  if (!within(`${path}.sourceCidrs`, CIDRS_PER_TRUNK_MAX, trunk.sourceCidrs.length, report)) return;
  if (trunk.sourceCidrs.length === 0 && trunk.outboundUri === undefined) {
    report(path, "has neither sourceCidrs nor an outboundUri: no call can use it");
  }
  for (const [at, cidr] of trunk.sourceCidrs.entries()) {
    const prefix = checkCidr(`${path}.sourceCidrs[${at}]`, cidr, report);
    const other = prefix === undefined ? undefined : sources.add(prefix, trunk);
    if (other !== undefined) {
      report(
        `${path}.sourceCidrs[${at}]`,
        `${cidr} belongs to trunk "${other.id}" of tenant "${other.tenantId}" as well`,
      );
    }
  }
}

function checkCidr(path: string, cidr: string, report: Report): IpPrefix | undefined {
  const parsed = parseCidr(cidr);
  if (!parsed.ok) {
    report(path, `"${cidr.slice(0, 64)}" ${parsed.failure}`);
    return undefined;
  }
  const bitsMin = parsed.value.bytes.length === 4 ? IPV4_PREFIX_BITS_MIN : IPV6_PREFIX_BITS_MIN;
  if (parsed.value.bits >= bitsMin) return parsed.value;
  report(path, `${cidr} is wider than /${bitsMin}: it would let strangers in`);
  return undefined;
}

function checkNumber(
  path: string,
  { number, tenantId, entryPointId }: DialledNumber,
  entryPoints: ReadonlyMap<string, EntryPoint>,
  report: Report,
): void {
  // ITU-T E.164: fifteen digits at most; without the plus a number is what the carrier presents.
  if (!/^\+?\d{1,15}$/.test(number)) {
    report(path, 'is no number: "+" and up to 15 digits, or digits alone, without separators');
  }
  if (!entryPoints.has(keyOf(tenantId, entryPointId))) {
    report(`${path}.entryPointId`, `the tenant has no entry point "${entryPointId}"`);
  }
}

/** A prompt outside flows. Whether its text can be rendered, the call shows; each of them has something to fall back on. */
function checkPrompt(path: string, prompt: Prompt, report: Report): void {
  if (prompt.kind === "text") {
    if (prompt.text.length > VALUE_CHARACTERS_MAX)
      report(`${path}.text`, `longer than ${VALUE_CHARACTERS_MAX} characters`);
  } else if (prompt.kind !== "file") report(`${path}.kind`, "a prompt is a file or a text");
  else if (!isPromptName(prompt.name))
    report(`${path}.name`, `"${prompt.name.slice(0, 80)}" is no name of a prompt file`);
}

/** A SIP URI without user part (RFC 3261 §19.1.1), and nothing that could break out of a header. */
const isOutboundUri = (uri: string): boolean => uri.length <= 1_024 && /^sips?:[^@\s<>]+$/.test(uri);

function within(path: string, limit: number, count: number, report: Report): boolean {
  if (count > limit) report(path, `${count} entries, at most ${limit}`);
  return count <= limit;
}

function integer(path: string, value: number, min: number, max: number, report: Report): void {
  if (!Number.isInteger(value) || value < min || value > max) {
    report(path, `${value} is no whole number from ${min} to ${max}`);
  }
}
