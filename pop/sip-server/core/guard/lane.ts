// What a message is likely to be, from its first three octets: enough to choose whose budget it takes.

/**
 * "new": may open something (INVITE, REGISTER, OPTIONS, SUBSCRIBE, MESSAGE, PUBLISH, and whatever nobody knows).
 * "going-on": responses and what belongs to calls that stand: a source that opens too much must not lose these.
 */
export type Lane = "new" | "going-on";

const GOING_ON: ReadonlySet<number> = new Set(
  ["SIP", "ACK", "BYE", "CAN", "PRA", "UPD", "INF", "NOT", "REF"].map((start) =>
    packed(start.charCodeAt(0), start.charCodeAt(1), start.charCodeAt(2)),
  ),
);

function packed(first: number, second: number, third: number): number {
  return (first << 16) | (second << 8) | third;
}

export function laneOf(message: Uint8Array | string): Lane {
  const start =
    typeof message === "string"
      ? packed(message.charCodeAt(0), message.charCodeAt(1), message.charCodeAt(2))
      : packed(message[0] ?? 0, message[1] ?? 0, message[2] ?? 0);
  return GOING_ON.has(start) ? "going-on" : "new";
}
