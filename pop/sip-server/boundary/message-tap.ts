import type { Flow, ListenPoint } from "../core/flow.ts";

/** Sees a copy of every message that came or went, whole. Never throws, never waits. */
export interface MessageTap {
  /** @param text bytes as latin-1 */
  onMessage(text: string, direction: "in" | "out", flow: Flow, point: ListenPoint, callId: string): void;
}
