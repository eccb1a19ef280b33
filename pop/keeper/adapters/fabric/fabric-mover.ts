// Moves an address on the network of `tollgate up --network netns`: whoever runs the fabric is asked, on a socket.

import { connect } from "node:net";
import type { PopHostId } from "../../../../kernel/ids.ts";
import { fail, type Outcome, succeed } from "../../../../kernel/outcome.ts";
import type { AddressMover } from "../../boundary/address-mover.ts";
import type { AddressFailure } from "../../core/keeper-words.ts";

const ANSWER_MS_MAX = 800;

export class FabricAddressMover implements AddressMover {
  readonly #socket: string;
  readonly #host: PopHostId;

  constructor(settings: { readonly socket: string; readonly host: PopHostId }) {
    this.#socket = settings.socket;
    this.#host = settings.host;
  }

  take(service: PopHostId): Promise<Outcome<void, AddressFailure>> {
    return new Promise((resolve) => {
      const connection = connect(this.#socket);
      const end = (outcome: Outcome<void, AddressFailure>) => {
        connection.destroy();
        resolve(outcome);
      };
      connection.setTimeout(ANSWER_MS_MAX, () => end(fail({ code: "address.timed-out", afterMs: ANSWER_MS_MAX })));
      connection.on("error", (error) => end(fail({ code: "address.refused", detail: error.message })));
      connection.on("close", () => resolve(fail({ code: "address.refused", detail: "no answer" })));
      connection.on("connect", () => connection.write(`${JSON.stringify({ take: service, host: this.#host })}\n`));
      let heard = "";
      connection.on("data", (data) => {
        heard += data.toString("utf8");
        if (heard.includes("\n") || heard.length > 4_096) end(judged(heard, service));
      });
    });
  }
}

function judged(line: string, service: PopHostId): Outcome<void, AddressFailure> {
  try {
    const { ok, code, detail } = JSON.parse(line) as { ok?: unknown; code?: unknown; detail?: unknown };
    if (ok === true) return succeed(undefined);
    if (code === "address.unknown") return fail({ code: "address.unknown", address: service });
    return fail({ code: "address.refused", detail: String(detail) });
  } catch {
    return fail({ code: "address.refused", detail: "not understood" });
  }
}
