import { tortureMessages } from "./corpus.ts";
import type { Target } from "./target.ts";
import { endpointTarget } from "./targets/endpoint.ts";
import { framesTarget } from "./targets/frames.ts";
import { parseTarget } from "./targets/parse.ts";
import { streamTarget } from "./targets/stream.ts";

export const allTargets = (): readonly Target[] => [
  parseTarget(tortureMessages()),
  streamTarget,
  framesTarget,
  endpointTarget,
];
