// What listeners and certificates show on the metrics page.

import { Gauge, type Registry } from "prom-client";
import type { Observable } from "../boundary/observable.ts";
import type { Certificates } from "./certificates.ts";

export function registerTransportMetrics(registry: Registry, endpoint: Observable, certificates: Certificates): void {
  new Gauge({
    name: "sip_connections",
    help: "Connections now, by listener",
    labelNames: ["listener", "transport", "point"],
    registers: [registry],
    collect() {
      this.reset();
      for (const { point, connections } of endpoint.listeners())
        if (connections !== undefined)
          this.set({ listener: point.name, transport: point.transport, point: point.id }, connections);
    },
  });
  new Gauge({
    name: "sip_certificate_expiry_seconds",
    help: "Until a certificate in use expires; negative: since",
    labelNames: ["listener", "file"],
    registers: [registry],
    collect() {
      this.reset();
      for (const { listener, file, notAfterUnixMs } of certificates.expiries())
        this.set({ listener, file }, (notAfterUnixMs - Date.now()) / 1_000);
    },
  });
}
