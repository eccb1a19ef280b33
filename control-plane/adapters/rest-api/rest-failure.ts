// What a failure is over HTTP: one status for each code, one shape for all of them.

/** Every code that the REST API answers with, and its status. Codes are stable. */
export const REST_STATUS = {
  "request.invalid": 400,
  "request.too-large": 413,
  "request.unsupported-type": 415,
  "request.unauthorized": 401,
  "path.unknown": 404,
  "config.refused": 422,
  "intent.conflict": 409,
  "intent.unreadable": 500,
  "store.away": 503,
  "object.unknown": 404,
  "tenant.unknown": 404,
  "agent.unknown": 404,
  "agent.signed-out": 409,
  "agent.address-refused": 422,
  "queue.unknown": 404,
  "shard.not-owned": 503,
  "contact.unknown": 404,
  "call.unknown": 404,
  "pop.not-linked": 404,
  "pop.silent": 504,
  "pop.command-failed": 502,
  "internal.bug": 500,
} as const;

export type RestCode = keyof typeof REST_STATUS;

/** Thrown by handlers, answered in one place. */
export class RestFailure extends Error {
  readonly code: RestCode;
  readonly fields: Readonly<Record<string, unknown>>;

  constructor(code: RestCode, message: string, fields: Readonly<Record<string, unknown>> = {}) {
    super(message);
    this.code = code;
    this.fields = fields;
  }
}
