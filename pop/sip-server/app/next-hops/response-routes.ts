// A response whose way back is gone: the connection closed, and nobody listens where it came from. RFC 3261 §18.2.2, RFC 3263 §5.

import type { Flow } from "../../core/flow.ts";
import type { SipResponse } from "../../core/message/message.ts";
import { hopOfSentBy } from "../../core/next-hop/response-hop.ts";
import { choosePoint } from "../../core/user-agent/destination.ts";
import type { Shell } from "../shell/shell.ts";
import type { NextHops } from "./next-hops.ts";

export class ResponseRoutes {
  readonly #shell: Shell;
  readonly #nextHops: NextHops;

  constructor(shell: Shell, nextHops: NextHops) {
    this.#shell = shell;
    this.#nextHops = nextHops;
  }

  /**
   * To where the Via says its sender is, target after target; never to an address we would not hear.
   * @param tried where it could not be delivered
   * @param failed called at most once, later or at once, when nobody could be reached
   */
  elsewhere(response: SipResponse, tried: Flow, failed: () => void): void {
    if (tried.transport === "ws" || tried.transport === "wss") return failed(); // a browser has no other address
    this.#nextHops.find(hopOfSentBy(response.via, tried.transport), (targets) => {
      const flows: Flow[] = [];
      for (const { transport, address, port, domain } of targets) {
        const point = choosePoint(this.#shell.points, transport, address, tried.pointId);
        const isTried = address === tried.address && port === tried.port;
        if (point === undefined || isTried || transport !== tried.transport || !this.#shell.admits(address)) continue;
        const flow: Flow = { pointId: point.id, transport, address, port, connection: undefined };
        flows.push(domain === undefined ? flow : { ...flow, domain });
      }
      this.#tryNext(response, flows, failed);
    });
  }

  #tryNext(response: SipResponse, flows: Flow[], failed: () => void): void {
    const flow = flows.shift();
    if (flow === undefined) return failed();
    this.#shell.counters.add("responses_rerouted");
    this.#shell.send(response, flow, false, () => this.#tryNext(response, flows, failed));
  }
}
