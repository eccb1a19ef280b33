// Sends a request to where a URI leads, and to the next target when one fails: RFC 3263 §4.3, RFC 3261 §8.1.2, §18.1.1.
// Whoever asks sees one request with one final response. How it is used:
//
//   requests.locate({ uri }, (located) => {                       the route, or why there is none
//     const prepared = requests.prepare(located.value, build);    the request for the first target; nothing has left yet
//     prepared.value.start(user);                                 off it goes; next targets follow by themselves
//   });
//
// Each target gets a transaction of its own: the same request on a new branch. An INVITE moves on when a target cannot be
// reached, is silent for `nextTargetAfterMs`, or says 503; other requests when it cannot be reached, times out or says
// 503. Once a provisional above 100 has come nobody else is asked: the caller has heard it ring.

import { fail, type Outcome, succeed } from "../../../../kernel/outcome.ts";
import { type Flow, facing, isWebSocket, type ListenPoint } from "../../core/flow.ts";
import type { SipRequest } from "../../core/message/message.ts";
import { hopOf, type NoHop, type Target, usualTransport } from "../../core/next-hop/hop.ts";
import { choosePoint, isOneOfUs } from "../../core/user-agent/destination.ts";
import type { Unsendable } from "../../core/user-agent/outgoing.ts";
import type { Shell } from "../shell/shell.ts";
import { type BuildRequest, ClientRequest, type ClientRequestParts, type Path, type Route } from "./client-request.ts";

export interface NextHop {
  /** Whose host gets the request: the application's route, the first Route, else the Request-URI. */
  readonly uri: string;
  /** The listen point to send from, if it can reach the target. */
  readonly pointId?: string | undefined;
  /** Exactly there, whatever the URI says: a dialog's connection, or its way through a NAT. */
  readonly flow?: Flow | undefined;
}

export class ClientRequests {
  readonly #parts: ClientRequestParts;

  constructor(parts: ClientRequestParts) {
    this.#parts = parts;
  }

  /**
   * Calls back once: before it returns unless a name has to be looked up.
   * @fails next-hop.invalid, next-hop.unsupported, next-hop.self
   */
  locate(hop: NextHop, located: (route: Outcome<Route, NoHop>) => void): void {
    const { shell, nextHops } = this.#parts;
    const { points } = shell;
    if (hop.flow !== undefined) {
      const point = facing(shell.point(hop.flow.pointId), hop.flow.address);
      located(succeed({ paths: [{ point, flow: hop.flow }], point, pinned: true }));
      return;
    }
    const parsed = hopOf(hop.uri);
    if (!parsed.ok) {
      located(parsed);
      return;
    }
    const usual = usualTransport(parsed.value);
    nextHops.find(parsed.value, (targets) => {
      const paths: Path[] = [];
      let selves = 0;
      for (const target of targets) {
        if (isOneOfUs(points, target.transport, target.domain ?? target.address, target.port)) selves++;
        else if (isOneOfUs(points, target.transport, target.address, target.port)) selves++;
        else {
          const path = isWebSocket(target.transport) ? browserAt(shell, target) : pathTo(points, target, hop.pointId);
          if (path !== undefined) paths.push(path);
        }
      }
      const point =
        paths[0]?.point ?? (targets.length === 0 ? points.find(({ transport }) => transport === usual) : undefined);
      if (point !== undefined) located(succeed({ paths, point, pinned: false }));
      else located(fail(selves > 0 ? SELF : UNREACHABLE));
    });
  }

  /** A way that leads nowhere, from where the dialog is: what is started on it fails. */
  nowhere({ pointId }: Flow): Route {
    return { paths: [], point: this.#parts.shell.point(pointId), pinned: false };
  }

  /** A request taken up from a record: it has one target, where it went. */
  resumed(request: SipRequest, flow: Flow): ClientRequest {
    const point = this.#parts.shell.point(flow.pointId);
    const route: Route = { paths: [{ point, flow }], point, pinned: true };
    return new ClientRequest(this.#parts, route, () => fail(NO_OTHER), request);
  }

  /** Makes the request for the first target. @fails request.unsendable */
  prepare(route: Route, build: BuildRequest): Outcome<ClientRequest, Unsendable> {
    const made = build(route.point, this.#parts.shell.ids.branch());
    return made.ok ? succeed(new ClientRequest(this.#parts, route, build, made.value)) : made;
  }
}

const NO_OTHER: Unsendable = { code: "request.unsendable", reason: "no other target is known" };
const SELF: NoHop = { code: "next-hop.self", reason: "can not send request to myself" };
const UNREACHABLE: NoHop = { code: "next-hop.unsupported", reason: "requested protocol/transport not available" };

/**
 * The application names a browser by the address and port its requests came from. Its `transport=ws` may mean either:
 * RFC 7118 has no other word.
 */
function browserAt(shell: Shell, { address, port, domain }: Target): Path | undefined {
  const flow = domain === undefined ? shell.connectedTo(address, port) : undefined;
  return flow === undefined ? undefined : { point: facing(shell.point(flow.pointId), address), flow };
}

function pathTo(points: readonly ListenPoint[], target: Target, pointId: string | undefined): Path | undefined {
  const { transport, address, port, domain } = target;
  const chosen = choosePoint(points, transport, address, pointId);
  if (chosen === undefined) return undefined;
  const point = facing(chosen, address);
  const flow: Flow = { pointId: point.id, transport, address, port, connection: undefined };
  return { point, flow: domain === undefined || transport === "udp" ? flow : { ...flow, domain } };
}
