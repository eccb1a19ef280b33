// tcpdump for as long as a drill lasts: it dies with us, says what it dropped, and what it wrote is whole when it has ended.

import { type ChildProcess, spawn, spawnSync } from "node:child_process";

export interface CaptureWish {
  /** "lo", or "any" where hosts have network namespaces of their own. */
  readonly device: string;
  readonly filter: string;
  readonly file: string;
  /** Of each packet; headers of RTP are enough. */
  readonly bytesMax: number;
}

export interface CaptureEnd {
  readonly packets: number;
  readonly dropped: number;
}

export interface Capture {
  /** Resolves when everything seen so far is on disk. */
  stop(): Promise<CaptureEnd>;
}

const BUFFER_KIB = 65_536;
const LISTENS_WITHIN_MS = 5_000;
const ENDS_WITHIN_MS = 5_000;

export const hasTcpdump = (): boolean => spawnSync("tcpdump", ["--version"]).error === undefined;

/** @throws Error with what tcpdump said when it does not listen: not installed, or no right to */
export async function startCapture(wish: CaptureWish): Promise<Capture> {
  const words = [
    ...["--pdeathsig", "KILL", "--", "tcpdump"],
    ...["-i", wish.device, "-s", String(wish.bytesMax), "-B", String(BUFFER_KIB), "-n", "-w", wish.file],
    ...["-Z", "root", wish.filter],
  ];
  const child = spawn("setpriv", words, { stdio: ["ignore", "ignore", "pipe"], detached: true });
  let said = "";
  child.stderr?.on("data", (bytes: Buffer) => {
    said = (said + bytes.toString("latin1")).slice(-4_096);
  });
  const ended = new Promise<void>((resolve) => {
    child.once("error", () => resolve());
    child.once("exit", () => resolve());
  });
  await listening(child, () => said, ended);
  return {
    stop: async () => {
      child.kill("SIGINT");
      const deadline = setTimeout(() => child.kill("SIGKILL"), ENDS_WITHIN_MS);
      await ended;
      clearTimeout(deadline);
      const count = (pattern: RegExp) => Number(pattern.exec(said)?.[1] ?? 0);
      return { packets: count(/(\d+) packets? captured/), dropped: count(/(\d+) packets? dropped by kernel/) };
    },
  };
}

async function listening(child: ChildProcess, said: () => string, ended: Promise<void>): Promise<void> {
  const heard = new Promise<void>((resolve) => {
    child.stderr?.on("data", () => {
      if (said().includes("listening on")) resolve();
    });
  });
  const late = new Promise<"late">((resolve) => setTimeout(() => resolve("late"), LISTENS_WITHIN_MS).unref());
  const first = await Promise.race([heard, ended.then(() => "ended" as const), late]);
  if (first === undefined) return;
  child.kill("SIGKILL");
  throw new Error(`tcpdump does not listen: ${said().trim().split("\n").at(-1) || first}`);
}
