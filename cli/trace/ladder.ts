// A call drawn as engineers draw it: one column a party, time downwards, and between the messages why things happened.
// Pure; plain ASCII, so that it can be pasted into a ticket.

import type { CallTrace, PopTrace } from "./call-trace.ts";

type SipLine = PopTrace["sip"][number];

interface Note {
  readonly kind: string;
  readonly what: string;
  readonly why: string | undefined;
}

type Line =
  | { readonly atUnixMs: number; readonly order: number; readonly sip: SipLine }
  | { readonly atUnixMs: number; readonly order: number; readonly note: Note };

const COLUMN_WIDTH = 26;
const TIME_WIDTH = 9;

/** The POP in the middle of its peers: the caller's side left, everybody else right, in the order they appear. */
export function ladder(trace: CallTrace): string {
  const sip = trace.pop?.sip ?? [];
  const lines = inOrder(trace);
  const startMs = lines[0]?.atUnixMs ?? 0;
  const roles = new Map((trace.pop?.legs ?? []).map(({ leg, sipCallId }) => [sipCallId, legName(trace.pop, leg)]));
  const roleOf = (line: SipLine) => roles.get(line.sipCallId) ?? "";
  // A party is an address in a role: one softphone may be both caller and agent.
  const partyOf = (line: SipLine) => `${roleOf(line)} ${line.peer}`;
  const parties = [...new Map(sip.map((line) => [partyOf(line), { role: roleOf(line), peer: line.peer }]))];
  const order = parties.map(([party]) => party);
  const columnOf = (line: SipLine) => (order.indexOf(partyOf(line)) === 0 ? 0 : order.indexOf(partyOf(line)) + 1);
  const columns = order.length === 0 ? 0 : order.length + 1;

  const out: string[] = [];
  if (columns > 0) {
    const [first, ...others] = parties.map(([, { role, peer }]) => ({ above: role, below: peer }));
    const heads = [first ?? { above: "", below: "" }, { above: "", below: trace.hostId ?? "pop" }, ...others];
    for (const row of [heads.map(({ above }) => above), heads.map(({ below }) => below)])
      out.push(" ".repeat(TIME_WIDTH) + row.map(centred).join("").trimEnd());
  }
  for (const line of lines) {
    const time = `${line.atUnixMs - startMs}`.padStart(TIME_WIDTH - 2);
    if ("sip" in line) out.push(`${time}  ${arrow(line.sip, columnOf(line.sip), columns)}`);
    else {
      const { kind, what, why } = line.note;
      const rails = columns === 0 ? "" : "  ";
      out.push(`${time}  ${rails}${kind.padEnd(7)} ${what}${why === undefined || why === "" ? "" : `   (${why})`}`);
    }
  }
  return out.filter((line) => line.trim() !== "").join("\n");
}

/** "caller"; the legs that we make have ids of their own, and their kind stands with the media. */
function legName(pop: PopTrace | undefined, leg: string): string {
  if (leg === "caller") return leg;
  const kinds = new Set((pop?.media ?? []).map((media) => media.leg).filter((kind) => kind !== "caller"));
  const [only] = kinds;
  return kinds.size === 1 && only !== undefined ? only : "called";
}

/** Everything that happened, by time; what happened in the same millisecond in the order it was told. */
function inOrder(trace: CallTrace): Line[] {
  let order = 0;
  const lines: Line[] = [
    ...(trace.pop?.sip ?? []).map((sip) => ({ atUnixMs: sip.atUnixMs, order: order++, sip })),
    // The SIP lines are drawn from the server's trace; the journal's own account of them would say it twice.
    ...(trace.pop?.journal ?? [])
      .filter(({ kind }) => kind !== "sip" || (trace.pop?.sip.length ?? 0) === 0)
      .map(({ atUnixMs, kind, what, why }) => ({
        atUnixMs,
        order: order++,
        note: { kind, what, why: why ?? undefined },
      })),
    ...(trace.contact?.decisions ?? []).map(({ atMs, what, why }) => ({
      atUnixMs: atMs,
      order: order++,
      note: { kind: "routing", what, why },
    })),
  ];
  return lines.sort((a, b) => a.atUnixMs - b.atUnixMs || a.order - b.order);
}

/** One message between the POP (column 1) and a peer; columns in between are passed over. */
function arrow({ direction, summary, retransmission }: SipLine, peerColumn: number, columns: number): string {
  const middle = (column: number) => column * COLUMN_WIDTH + COLUMN_WIDTH / 2;
  const cells = [..." ".repeat(columns * COLUMN_WIDTH)];
  for (let column = 0; column < columns; column++) cells[middle(column)] = "|";
  const left = middle(Math.min(1, peerColumn));
  const right = middle(Math.max(1, peerColumn));
  for (let at = left + 1; at < right; at++) cells[at] = "-";
  const toTheRight = direction === "in" ? peerColumn === 0 : peerColumn !== 0;
  if (toTheRight) cells[right - 1] = ">";
  else cells[left + 1] = "<";
  const room = right - left - 6;
  const text = ` ${(retransmission ? `${summary} (again)` : summary).slice(0, room)} `;
  const from = left + Math.max(2, Math.floor((right - left - text.length) / 2)) + (toTheRight ? 0 : 1);
  [...text].forEach((letter, at) => {
    cells[from + at] = letter;
  });
  return cells.join("").trimEnd();
}

function centred(text: string): string {
  const short = text.slice(0, COLUMN_WIDTH - 1);
  const before = Math.max(0, Math.round((COLUMN_WIDTH - short.length) / 2));
  return (" ".repeat(before) + short).padEnd(COLUMN_WIDTH);
}

/** Ladder, then where the media went, then how it ended. */
export function showCallTrace(trace: CallTrace): string {
  const begun = inOrder(trace)[0]?.atUnixMs;
  const where = trace.hostId === undefined ? "" : ` on ${trace.hostId}`;
  const parts = [`call ${trace.callId}${where}${begun === undefined ? "" : `, from ${new Date(begun).toISOString()}`}`];
  const drawn = ladder(trace);
  parts.push(
    drawn === ""
      ? "nothing is known of its messages (they are kept for a while only)"
      : `${"ms".padStart(TIME_WIDTH - 2)}\n${drawn}`,
  );
  const media = trace.pop?.media ?? [];
  if (media.length > 0)
    parts.push(
      [
        "media",
        ...media.map(({ leg, local, remote, codec }) =>
          `  ${leg.padEnd(8)} ours ${(local ?? "?").padEnd(21)} theirs ${(remote ?? "?").padEnd(21)} ${codec ?? ""}`.trimEnd(),
        ),
      ].join("\n"),
    );
  const record = trace.contact?.record;
  if (record != null) parts.push(showRecord(record));
  return parts.join("\n\n");
}

function showRecord(record: Readonly<Record<string, unknown>>): string {
  const plain = Object.entries(record).filter(([, value]) => value !== null && typeof value !== "object");
  const lists = Object.entries(record).filter(([, value]) => Array.isArray(value)) as [string, unknown[]][];
  const width = Math.max(0, ...plain.map(([key]) => key.length));
  return [
    "contact record",
    ...plain.map(([key, value]) => `  ${key.padEnd(width)}  ${showValue(key, value)}`),
    ...lists.flatMap(([key, items]) => [
      `  ${key}`,
      ...items.map((item) => `    ${showItem(item, record.arrivedAtUnixMs)}`),
    ]),
  ].join("\n");
}

const showValue = (key: string, value: unknown): string =>
  typeof value === "number" && key.endsWith("UnixMs") ? new Date(value).toISOString() : String(value);

/** Times within a list are shown from the call's arrival on. */
function showItem(item: unknown, arrivedAtUnixMs: unknown): string {
  if (typeof item !== "object" || item === null) return String(item);
  const { startedAtUnixMs, endedAtUnixMs, ...others } = item as Record<string, unknown>;
  const after = (at: unknown) =>
    typeof at === "number" && typeof arrivedAtUnixMs === "number"
      ? `${((at - arrivedAtUnixMs) / 1_000).toFixed(3)} s`
      : "?";
  const when = startedAtUnixMs === undefined ? "" : `${after(startedAtUnixMs)} … ${after(endedAtUnixMs)}  `;
  const rest = Object.entries(others).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return when + rest.map(([key, value]) => `${key}=${showValue(key, value)}`).join(" ");
}
