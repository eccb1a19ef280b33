// The keeper's figures as Prometheus reads them. Pure.

import type { KeeperStatus } from "./keeper-status.ts";

export function keeperMetrics(status: KeeperStatus, draining: boolean): string {
  const { services, twin, processes, lastTakeover } = status;
  const lines: string[] = [];
  const metric = (
    name: string,
    type: "gauge" | "counter",
    help: string,
    values: readonly (readonly [string, number])[],
  ) => {
    lines.push(`# HELP tollgate_keeper_${name} ${help}`, `# TYPE tollgate_keeper_${name} ${type}`);
    for (const [labels, value] of values) lines.push(`tollgate_keeper_${name}${labels} ${value}`);
  };
  metric(
    "epoch",
    "gauge",
    "Epoch of the service's owner, as far as this host knows.",
    services.map(({ service, epoch }) => [`{service="${service}"}`, epoch] as const),
  );
  metric(
    "serving",
    "gauge",
    "1 while this host serves the service.",
    services.map(({ service, role }) => [`{service="${service}",role="${role}"}`, role === "serving" ? 1 : 0] as const),
  );
  metric(
    "complete",
    "gauge",
    "1 while every process of the service serves.",
    services.map(({ service, complete }) => [`{service="${service}"}`, complete ? 1 : 0] as const),
  );
  metric(
    "lease_left_seconds",
    "gauge",
    "Until this host has to fall silent, if nothing renews its lease.",
    services.flatMap(({ service, leaseLeftMs }) =>
      leaseLeftMs === undefined ? [] : [[`{service="${service}"}`, leaseLeftMs / 1_000] as const],
    ),
  );
  metric(
    "twin_heard",
    "gauge",
    "1 while the twin is heard.",
    twin.host === undefined ? [] : [["", twin.state === "heard" ? 1 : 0]],
  );
  metric("owner_store_away", "gauge", "1 while etcd does not answer: no takeover then.", [
    ["", status.ownerStore === "away" ? 1 : 0],
  ]);
  metric("state_store_away", "gauge", "1 while Redis does not answer: a takeover finds no calls then.", [
    ["", status.stateStore === "away" ? 1 : 0],
  ]);
  metric("draining", "gauge", "1 while new calls are refused.", [["", draining ? 1 : 0]]);
  metric("spares", "gauge", "Warm processes that wait.", [
    ["", processes.filter(({ state }) => state === "spare").length],
  ]);
  metric("takeovers_total", "counter", "Services taken from the twin.", [["", status.takeovers]]);
  metric("process_restarts_total", "counter", "Processes started again in place.", [["", status.restarts]]);
  const seconds = (ms: number | undefined) => (ms === undefined ? [] : [ms / 1_000]);
  metric(
    "detection_seconds",
    "gauge",
    "Of the last takeover: from the twin's last word to being sure.",
    seconds(lastTakeover?.detectedMs).map((value) => ["", value] as const),
  );
  metric(
    "takeover_seconds",
    "gauge",
    "Of the last takeover: from the twin's last word to this process serving.",
    Object.entries(lastTakeover?.servingMs ?? {}).map(
      ([process, ms]) => [`{process="${process}"}`, ms / 1_000] as const,
    ),
  );
  return `${lines.join("\n")}\n`;
}
