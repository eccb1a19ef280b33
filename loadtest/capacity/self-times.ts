// Where a sampled process spent its CPU time: by function, and by the part of the program it is in. Pure.

/** What Node's profiler gives, as far as it is used here. */
export interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
  }[];
  readonly samples: readonly number[];
  /** Microseconds before each sample. */
  readonly timeDeltas: readonly number[];
}

export interface SelfTime {
  readonly name: string;
  readonly ms: number;
  /** Of the time that was not idle. */
  readonly share: number;
}

export interface SelfTimes {
  readonly busyMs: number;
  readonly wallMs: number;
  readonly functions: readonly SelfTime[];
  /** "pop/core/call", "drachtio-srf", "node:net" */
  readonly places: readonly SelfTime[];
}

export function selfTimes({ nodes, samples, timeDeltas }: CpuProfile, checkout: string): SelfTimes {
  const msOfNode = new Map<number, number>();
  let wallMs = 0;
  samples.forEach((id, at) => {
    // The delta stands before its sample; the time until the next sample is what the sample stands for.
    const ms = (timeDeltas[at + 1] ?? 0) / 1_000;
    wallMs += ms;
    msOfNode.set(id, (msOfNode.get(id) ?? 0) + ms);
  });
  const functions = new Map<string, number>();
  const places = new Map<string, number>();
  let busyMs = 0;
  const add = (to: Map<string, number>, name: string, ms: number) => to.set(name, (to.get(name) ?? 0) + ms);
  for (const { id, callFrame } of nodes) {
    const ms = msOfNode.get(id) ?? 0;
    if (ms === 0 || callFrame.functionName === "(idle)") continue;
    busyMs += ms;
    const file = shortFile(callFrame.url, checkout);
    const name = callFrame.functionName || "(anonymous)";
    add(functions, file === "" ? name : `${name}  ${file}:${callFrame.lineNumber + 1}`, ms);
    add(places, placeOf(file, name), ms);
  }
  const sorted = (times: Map<string, number>): SelfTime[] =>
    [...times].map(([name, ms]) => ({ name, ms, share: busyMs === 0 ? 0 : ms / busyMs })).sort((a, b) => b.ms - a.ms);
  return { busyMs, wallMs, functions: sorted(functions), places: sorted(places) };
}

const shortFile = (url: string, checkout: string): string =>
  url
    .replace(/^file:\/\//, "")
    .replace(`${checkout}/`, "")
    .replace(/^.*node_modules\//, "");

/** A package, a module of Node's, or the folder of a file of ours. */
function placeOf(file: string, name: string): string {
  if (file === "") return name.startsWith("(") ? name : "native";
  if (file.startsWith("node:"))
    return file
      .replace(/^node:internal\//, "node:")
      .split("/")
      .slice(0, 1)
      .join("");
  if (file.endsWith(".ts")) return file.split("/").slice(0, -1).join("/");
  return file
    .split("/")
    .slice(0, file.startsWith("@") ? 2 : 1)
    .join("/");
}
