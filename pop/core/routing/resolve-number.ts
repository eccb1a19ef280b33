// From what the carrier put into the Request-URI to an entry point. The To header is not asked: it names whom the
// caller meant, the Request-URI where the carrier routed the call (RFC 3261 §8.1.1.1, §8.1.1.2).

import { fail, type Outcome, succeed } from "../../../kernel/outcome.ts";
import type { CallFailure } from "../failure/call-failure.ts";
import type { Flow } from "../ivr/flow.ts";
import type { RoutingTable } from "./routing-table.ts";
import type { EntryPoint, Tenant, Trunk } from "./snapshot.ts";

export const REQUEST_URI_CHARACTERS_MAX = 1_024;
/** E.164 has fifteen; carriers put prefixes in front. */
export const NUMBER_DIGITS_MAX = 32;

export interface Route {
  readonly tenant: Tenant;
  readonly entryPoint: EntryPoint;
  readonly flow: Flow;
  /** As configured, however the carrier wrote it. */
  readonly calledNumber: string;
}

/**
 * Only numbers of the trunk's own tenant: a carrier of one tenant cannot reach another's.
 * @fails number.unusable: no telephone number in the Request-URI; number.unknown: nobody here has it
 */
export function routeCall(table: RoutingTable, trunk: Trunk, requestUri: string): Outcome<Route, CallFailure> {
  const candidates = numbersIn(requestUri);
  if (candidates.length === 0) return fail({ code: "number.unusable" });
  for (const calledNumber of candidates) {
    const entryPoint = table.numberToEntryPoint(trunk.tenantId, calledNumber);
    const tenant = table.tenant(trunk.tenantId);
    const flow = entryPoint && table.flow(entryPoint.tenantId, entryPoint.flowId, entryPoint.flowVersion);
    if (entryPoint && tenant && flow) return succeed({ tenant, entryPoint, flow, calledNumber });
  }
  return fail({ code: "number.unknown" });
}

/**
 * How the number in a sip:, sips: or tel: URI may be written in the configuration, likeliest first; none if it holds
 * no number. RFC 3261 §19.1.6, RFC 3966.
 */
export function numbersIn(uri: string): readonly string[] {
  if (uri.length > REQUEST_URI_CHARACTERS_MAX) return [];
  const colon = uri.indexOf(":");
  const scheme = uri.slice(0, Math.max(0, colon)).toLowerCase();
  const rest = uri.slice(colon + 1);
  const subscriber = scheme === "tel" ? rest : scheme === "sip" || scheme === "sips" ? userOf(rest) : undefined;
  const plain = subscriber === undefined ? undefined : unescaped(subscriber);
  if (plain === undefined) return [];
  const [written = "", ...parameters] = plain.split(";");
  const number = written.replace(/[-.() ]/g, ""); // RFC 3966 §5.1.1 visual separators, and blanks
  if (!NUMBER.test(number)) return [];
  if (number.startsWith("+")) return [number, number.slice(1)];
  const context = contextOf(parameters);
  const international = number.startsWith("00") && number.length > 2 ? [`+${number.slice(2)}`, number.slice(2)] : [];
  return [...(context === undefined ? [] : [context + number]), ...international, number, `+${number}`];
}

const NUMBER = new RegExp(`^\\+?\\d{1,${NUMBER_DIGITS_MAX}}$`);

/** What stands before the "@", without a password. A URI without "@" has no user. */
function userOf(rest: string): string | undefined {
  const at = rest.indexOf("@");
  if (at < 0) return undefined;
  const user = rest.slice(0, at);
  const password = user.indexOf(":");
  return password < 0 ? user : user.slice(0, password);
}

/** RFC 3261 §19.1.2. */
function unescaped(text: string): string | undefined {
  if (/%(?![0-9a-fA-F]{2})/.test(text)) return undefined;
  return text.replace(/%([0-9a-fA-F]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}

/** A local number's phone-context, if that is a number prefix: RFC 3966 §5.1.5. */
function contextOf(parameters: readonly string[]): string | undefined {
  for (const parameter of parameters) {
    const [name = "", value = ""] = parameter.split("=");
    const digits = value.replace(/[-.()]/g, "");
    if (name.toLowerCase() === "phone-context" && /^\+\d{1,15}$/.test(digits)) return digits;
  }
  return undefined;
}
