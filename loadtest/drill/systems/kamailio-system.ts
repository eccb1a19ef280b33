// keepalived, Kamailio and rtpengine as the system under test: the same calls, fault and judgement as for a region of ours. What a
// proxy cannot do at all (menus, prompts, queues) is not asked of it.

import { onPath } from "../../../kernel/shell/on-path.ts";
import type { Network } from "../drill-file.ts";
import type { ClassName } from "../load-classes.ts";
import { numberOf, referUri } from "./drill-tenant.ts";
import { BASELINE_PROGRAMS, startKamailioPair } from "./kamailio-pair.ts";
import type { RunningSystem, SystemPlan, SystemUnderTest } from "./system-under-test.ts";

const inNamespaces = (loopback: string) => loopback.replace(/^127\./, "10.");

/** @param advertSeconds VRRP's interval; keepalived's default is 1 */
export const kamailioSystem = (name: string, advertSeconds: number): SystemUnderTest => ({
  name,
  abilities: new Set(["bridge", "tcp", "session-refresh"]),
  lanesMax: 4,
  address: (_network: Network, loopback: string) => inNamespaces(loopback),
  cannotRunOn(network) {
    if (network !== "netns") return "its virtual address moves between network namespaces: only --network netns";
    if (process.getuid?.() !== 0) return "network namespaces need root";
    const missing = Object.entries(BASELINE_PROGRAMS).filter(([program]) => !onPath(program, ["/usr/sbin"]));
    return missing.length === 0 ? undefined : `missing Debian packages: ${missing.map(([, name]) => name).join(", ")}`;
  },
  start: (plan) => start(plan, advertSeconds),
});

async function start({ lanes, folder }: SystemPlan, advertSeconds: number): Promise<RunningSystem> {
  const callees = new Map(lanes.map(({ lane, agentHost }) => [`+49600${lane}`, agentHost]));
  const pair = await startKamailioPair({ folder, callees, advertSeconds });
  const notBuilt = () => Promise.reject(new Error("this system has only its active host to break"));
  return {
    service: { host: pair.address, sipPort: 5_060, sipTlsPort: 5_061 },
    captureDevice: "any",
    numberOf: (lane: number, className: ClassName) => numberOf(lane, className),
    referTo: referUri(pair.address),
    bringAgents: () => Promise.resolve(), // the numbers lead to them
    signal: (victim, signal) =>
      victim.startsWith("host ")
        ? Promise.resolve({ pids: pair.signalActiveHost(signal), atUnixMs: Date.now() })
        : notBuilt(),
    start: notBuilt,
    cut: notBuilt,
    events: [],
    leftovers: () => Promise.resolve({ counts: {}, unknown: ["a proxy keeps no calls; its relay is not asked"] }),
    records: () => Promise.resolve(undefined),
    stop: () => pair.stop(),
    killAll: () => pair.killAll(),
  };
}
