// Whether a record looks like one, before anything of it is taken up. What is not named here is not looked at: a newer
// writer may have added fields.

type Shape = (value: unknown) => boolean;

const text: Shape = (value) => typeof value === "string";
const count: Shape = (value) => typeof value === "number" && Number.isFinite(value);
const flag: Shape = (value) => typeof value === "boolean";
const maybe =
  (shape: Shape): Shape =>
  (value) =>
    value === undefined || value === null || shape(value);
const either =
  (...shapes: readonly Shape[]): Shape =>
  (value) =>
    shapes.some((shape) => shape(value));
const oneOf =
  (...words: readonly string[]): Shape =>
  (value) =>
    typeof value === "string" && words.includes(value);
const list =
  (shape: Shape): Shape =>
  (value) =>
    Array.isArray(value) && value.every(shape);
const fields =
  (shapes: Readonly<Record<string, Shape>>): Shape =>
  (value) => {
    if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
    for (const name in shapes) if (!shapes[name]?.((value as Readonly<Record<string, unknown>>)[name])) return false;
    return true;
  };

const TRANSPORT = oneOf("udp", "tcp", "tls", "ws", "wss");
const flow = fields({ pointId: text, transport: TRANSPORT, address: text, port: count });
const owner = fields({ name: text, key: text });
const timers = list(fields({ name: text, dueUnixMs: count }));
/** Of a machine in core. */
const state = fields({ name: text });
const frozen = fields({ sip: text });

const dialog = fields({
  id: text,
  role: oneOf("uac", "uas"),
  usage: text,
  usages: fields({
    session: flag,
    subscriptions: list(fields({ role: text, by: text, phase: text, dueUnixMs: count })),
  }),
  phase: oneOf("early", "confirmed", "terminated"),
  callId: text,
  localTag: text,
  remoteTag: text,
  localParty: text,
  remoteParty: text,
  remoteTarget: text,
  routeSet: list(text),
  localSeq: count,
  remoteSeq: maybe(count),
  localContact: text,
  flow,
});
const reference = either(text, dialog);
const ack = fields({ dialog: reference, ack: text, flow });

const call = fields({
  kind: oneOf("call"),
  transactionId: text,
  owner,
  request: text,
  flow,
  inside: maybe(reference),
  forks: list(fields({ tag: text, dialog: reference })),
  chosen: maybe(reference),
  cancellation: state,
  answered: flag,
  holdsInviting: flag,
  raised: flag,
  nonces: list(text),
  acks: list(ack),
  timers,
});
const refresh = fields({ kind: oneOf("refresh"), owner, dialog: reference, flow, isOver: flag, ack: maybe(ack) });

const transaction = fields({
  side: oneOf("client", "server"),
  request: text,
  flow,
  state,
  timers,
  user: maybe(either(call, refresh)),
});

const pending = fields({
  transactionId: text,
  transaction: text,
  from: flow,
  pointId: text,
  owner,
  dialog: maybe(reference),
  startsDialog: flag,
  localTag: text,
  held: maybe(
    fields({
      commandId: text,
      draft: fields({ status: count, headers: list(fields({ key: text, value: text })), body: text }),
    }),
  ),
  reliable: state,
  provisional: maybe(frozen),
  timers,
});

const dialogRecord = fields({
  version: count,
  dialog,
  owner,
  localSdp: text,
  exchange: maybe(fields({ by: oneOf("us", "peer"), method: text, cseq: count })),
  peerUpdates: flag,
  session: state,
  minSeSeconds: count,
  rseq: count,
  invitingIn: flag,
  invitingOut: flag,
  ending: flag,
  acceptance: maybe(fields({ transactionId: text, cseq: count, transaction: text, invite: text, flow, state, timers })),
  unacknowledged: maybe(
    fields({ invite: text, endBecause: maybe(text), answer: maybe(fields({ sip: text, transactionId: text })) }),
  ),
  heldBye: maybe(either(text, call)),
});

const SHAPES: Readonly<Record<"dialogs" | "transactions" | "pending", Shape>> = {
  dialogs: dialogRecord,
  transactions: transaction,
  pending,
};

/** What is wrong with it, in a word; undefined: it has the shape of a record. */
export function misshapen(value: unknown): string | undefined {
  if (!fields({ version: count, takenUnixMs: count })(value)) return "no record";
  const record = value as Readonly<Record<string, unknown>>;
  for (const [name, shape] of Object.entries(SHAPES)) {
    const items = record[name];
    if (!Array.isArray(items)) return `no ${name}`;
    const at = items.findIndex((item) => !shape(item));
    if (at !== -1) return `the shape of ${name} ${at}`;
  }
  return undefined;
}
