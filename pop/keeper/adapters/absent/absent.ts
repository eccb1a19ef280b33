// A host without a twin, a region without etcd or Redis: what stands in their places.

import { fail } from "../../../../kernel/outcome.ts";
import type { OwnerStore } from "../../boundary/owner-store.ts";
import type { StateFence } from "../../boundary/state-fence.ts";
import type { TwinLink } from "../../boundary/twin-link.ts";

const away = async () => fail({ code: "owner.store-away", detail: "there is none" } as const);

export const absentOwnerStore: OwnerStore = {
  read: away,
  write: away,
  watch: () => ({ close() {} }),
  close() {},
};

export const absentFence: StateFence = {
  raise: async () => fail({ code: "store.away", forMs: 0 }),
  watch() {},
  close() {},
};

/** Nobody is there, and nobody ever asks. */
export const absentTwin: TwinLink = {
  async listen() {},
  connect() {},
  close() {},
  sendBeat() {},
  answerBeat() {},
  async end() {},
};
