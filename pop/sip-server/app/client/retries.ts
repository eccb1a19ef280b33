// A request once more, because its answer says how it would be taken: with a proof (RFC 3261 §22.2), or with a longer
// session interval (RFC 4028 §7.3). The application hears nothing of it.

import { succeed } from "../../../../kernel/outcome.ts";
import { type Attempts, type KnownPassword, type Retry, withProof } from "../../core/digest/answer.ts";
import type { SipRequest, SipResponse } from "../../core/message/message.ts";
import { raised } from "../../core/session/negotiation.ts";
import { renumbered, sentFrom } from "../../core/user-agent/outgoing.ts";
import type { DialogEntry } from "../dialogs/dialog-store.ts";
import type { ClientRequest } from "../next-hops/client-request.ts";
import type { ClientRequests } from "../next-hops/client-requests.ts";
import type { Shell } from "../shell/shell.ts";

/** A request that may be asked for a proof, and the address it went to. */
interface Challenged {
  readonly request: SipRequest;
  readonly sentTo: string;
}

export class Retries {
  readonly #shell: Shell;
  readonly #requests: ClientRequests;
  readonly #passwords: () => readonly KnownPassword[];

  /** @param passwords with which challenges are answered */
  constructor(shell: Shell, requests: ClientRequests, passwords: () => readonly KnownPassword[]) {
    this.#shell = shell;
    this.#requests = requests;
    this.#passwords = passwords;
  }

  /** The request again with the proof that the response asks for; undefined: the application sees the challenge. */
  prove(
    { request, sentTo }: Challenged,
    response: SipResponse,
    attempts: Attempts,
    inside: DialogEntry | undefined,
  ): Retry | undefined {
    const isChallenge = response.status === 401 || response.status === 407;
    const passwords = isChallenge ? this.#passwords() : [];
    if (passwords.length === 0) return undefined;
    const { ids, counters } = this.#shell;
    const cseq = (inside?.dialog.localSeq ?? request.cseq.number) + 1;
    const fresh = { cseq, branch: ids.branch(), cnonce: ids.tag() };
    const retry = withProof(request, response, passwords, attempts, sentTo, fresh);
    counters.add("challenges_answered", `answered="${retry === undefined ? "no" : "yes"}"`);
    if (retry !== undefined && inside !== undefined) renumber(inside, request.cseq.number, cseq);
    return retry;
  }

  /** The same INVITE or UPDATE with the session interval that a 422 asks for. RFC 4028 §7.3. */
  raise(before: ClientRequest, refusal: SipResponse, inside: DialogEntry | undefined): ClientRequest | undefined {
    const { request, flow } = before;
    const headers = raised(request.headers, refusal);
    if (headers === undefined || flow === undefined) return undefined;
    const cseq = (inside?.dialog.localSeq ?? request.cseq.number) + 1;
    let again: ClientRequest | undefined;
    this.#requests.locate({ uri: request.uri, flow }, (located) => {
      if (!located.ok) return;
      const prepared = this.#requests.prepare(located.value, (point, branch) =>
        succeed(renumbered(sentFrom({ ...request, headers }, point, branch), cseq)),
      );
      if (prepared.ok) again = prepared.value;
    });
    if (again !== undefined && inside !== undefined) renumber(inside, request.cseq.number, cseq);
    return again;
  }
}

/** A request inside the dialog goes once more under a new number, and so does the offer it carries. */
function renumber(inside: DialogEntry, before: number, cseq: number): void {
  inside.dialog = { ...inside.dialog, localSeq: cseq };
  const { exchange } = inside;
  if (exchange?.by === "us" && exchange.cseq === before) inside.exchange = { ...exchange, cseq };
}
