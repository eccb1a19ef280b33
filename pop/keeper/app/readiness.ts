import type { KeeperStatus } from "./keeper-status.ts";

/** Ready: everything this host serves is whole, and its twin could be taken over, or could take over. */
export function readiness({ services, twin, ownerStore, stateStore, stopping }: KeeperStatus): {
  readonly ready: boolean;
  readonly because: readonly string[];
} {
  const because = [
    ...(stopping ? ["stopping"] : []),
    ...services
      .filter(({ role, complete }) => role !== "standby" && !(role === "serving" && complete))
      .map(({ service, tenure }) => `${service}: ${tenure === "serving" ? "a process is missing" : tenure}`),
    ...(services.some(({ role }) => role === "serving") ? [] : ["nothing is served here"]),
    ...(twin.host !== undefined && twin.state !== "heard" ? [`twin ${twin.host}: ${twin.state}`] : []),
    ...(twin.host !== undefined && ownerStore === "away" ? ["etcd is away: no takeover"] : []),
    ...(stateStore === "away" ? ["Redis is away: whoever takes over finds no calls"] : []),
  ];
  return { ready: because.length === 0, because };
}
