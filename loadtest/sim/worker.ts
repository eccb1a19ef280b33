// A thread of sim:many: one seed after the other, until it is told that there are no more.

import { parentPort } from "node:worker_threads";
import { judge } from "./run.ts";

parentPort?.on("message", (given: { readonly seed: number; readonly minutes: number } | undefined) => {
  if (given === undefined) {
    parentPort?.close();
    return;
  }
  void judge(given).then((verdict) => parentPort?.postMessage(verdict));
});
