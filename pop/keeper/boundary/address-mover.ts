import type { PopHostId } from "../../../kernel/ids.ts";
import type { Outcome } from "../../../kernel/outcome.ts";
import type { AddressFailure } from "../core/keeper-words.ts";

/** Makes the network send what is for a service's address to this host. */
export interface AddressMover {
  /**
   * Takes it from whoever has it. Safe to repeat.
   * @fails address.timed-out, address.refused: worth another try; address.unknown: never
   */
  take(service: PopHostId): Promise<Outcome<void, AddressFailure>>;
}
