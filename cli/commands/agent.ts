import { complaintOf, connectRegion } from "../client/region-client.ts";
import { CommandEnd, EXIT } from "../exit.ts";
import {
  type Command,
  dataDirOf,
  type Invocation,
  print,
  printJson,
  REGION_HELP,
  REGION_OPTIONS,
  regionOf,
  text,
  usageError,
} from "./command.ts";

const OPTIONS = { ...REGION_OPTIONS, tenant: { type: "string" }, json: { type: "boolean" } } as const;
const HELP = `  --tenant ID     whose agent (needed)
  --json          the control plane's answer as it is
${REGION_HELP}`;

async function tell(invocation: Invocation, verb: string, body: object, done: string): Promise<number> {
  const tenant = text(invocation, "tenant");
  const agent = invocation.positionals[0] ?? "";
  if (tenant === undefined) throw usageError("--tenant ID is needed");
  const client = connectRegion(dataDirOf(invocation), regionOf(invocation));
  const path = `/v1/tenants/${encodeURIComponent(tenant)}/agents/${encodeURIComponent(agent)}/${verb}`;
  const answer = await client.rest("POST", path, body);
  if (answer.status >= 500) throw new CommandEnd(EXIT.unavailable, complaintOf(answer));
  if (answer.status >= 300) throw new CommandEnd(EXIT.data, `agent ${agent}: ${complaintOf(answer)}`);
  if (invocation.values.json === true) printJson(answer.body);
  else print(`agent ${agent} ${done}`);
  return EXIT.ok;
}

export const agentSignIn: Command = {
  name: "agent sign-in",
  summary: "sign an agent in at a SIP address",
  usage: "AGENT SIP-URI --tenant ID",
  help: `The agent is then reachable at that address, and idle until "tollgate agent state AGENT available".

${HELP}

Example: tollgate agent sign-in ada sip:ada@127.30.0.1:5060 --tenant acme`,
  options: OPTIONS,
  positionals: { min: 2, max: 2 },
  run: (invocation) => {
    const address = invocation.positionals[1] ?? "";
    return tell(invocation, "sign-in", { address }, `is signed in at ${address}`);
  },
};

export const agentSignOut: Command = {
  name: "agent sign-out",
  summary: "sign an agent out",
  usage: "AGENT --tenant ID",
  help: HELP,
  options: OPTIONS,
  positionals: { min: 1, max: 1 },
  run: (invocation) => tell(invocation, "sign-out", {}, "is signed out"),
};

export const agentState: Command = {
  name: "agent state",
  summary: "make an agent available or idle",
  usage: "AGENT available|idle --tenant ID",
  help: HELP,
  options: OPTIONS,
  positionals: { min: 2, max: 2 },
  run: async (invocation) => {
    const state = invocation.positionals[1] ?? "";
    if (state !== "available" && state !== "idle")
      throw usageError(`the state is "available" or "idle", not "${state}"`);
    return tell(invocation, "state", { state }, `is ${state}`);
  },
};
