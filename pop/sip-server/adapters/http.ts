// What operators read: health, metrics, traces. What they may ask for: certificates read again, sources banned.

import { createServer } from "node:http";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { Counter, collectDefaultMetrics, Gauge, Registry } from "prom-client";
import type { Buckets } from "../../../kernel/latency.ts";
import type { Observable } from "../boundary/observable.ts";
import { HTTP_CONNECTIONS_MAX } from "../core/limits.ts";
import type { Certificates } from "./certificates.ts";
import { answerBans } from "./http-bans.ts";
import { registerTransportMetrics } from "./transport-metrics.ts";

export interface HttpListener {
  readonly port: number;
  stop(): Promise<void>;
}

const BASE = "http://localhost";

export function openHttp(
  at: { readonly host: string; readonly port: number },
  endpoint: Observable,
  certificates: Certificates,
  /** What was written for a next owner, since the beginning; undefined: nothing is. */
  checkpoints?: Checkpointed,
) {
  const registry = metricsOf(endpoint);
  registerTransportMetrics(registry, endpoint, certificates);
  const server = createServer((request, response) => {
    const answer = (status: number, type: string, body: string) => {
      response.writeHead(status, { "content-type": type });
      response.end(body);
    };
    const json = (status: number, value: unknown) => answer(status, "application/json", JSON.stringify(value));
    const target = request.url ?? "/";
    const url = URL.canParse(target, BASE) ? new URL(target, BASE) : undefined; // "//" is none
    if (url === undefined) return json(400, { error: "no such URL" });
    // Whoever may ask for it gains nothing: the files are those of the configuration.
    if (request.method === "POST" && url.pathname === "/certificates/reload") {
      request.resume();
      void certificates.reload("request").then((listeners) => {
        const kept = listeners.some(({ outcome }) => outcome === "kept");
        json(kept ? 422 : 200, { listeners });
      });
      return;
    }
    if (url.pathname === "/bans") {
      request.resume();
      const { status, value } = answerBans(endpoint.bans, request, url);
      return json(status, value);
    }
    if (request.method !== "GET") return json(405, { error: "GET only" });
    switch (url.pathname) {
      case "/healthz":
        return json(200, { status: "ok", ...endpoint.facts });
      case "/metrics":
        registry.metrics().then(
          (text) =>
            answer(
              200,
              registry.contentType,
              text + histogramText(ANSWERING, endpoint.answering) + checkpointsText(checkpoints),
            ),
          () => json(500, { error: "metrics" }),
        );
        return;
      case "/trace": {
        const callId = url.searchParams.get("callId");
        if (callId === null) return json(400, { error: "callId is missing" });
        return json(200, endpoint.trace.of(Buffer.from(callId, "utf8").toString("latin1")) ?? []);
      }
      default:
        return json(404, { error: "not found" });
    }
  });
  server.maxConnections = HTTP_CONNECTIONS_MAX;
  return new Promise<HttpListener>((resolve, reject) => {
    server.once("error", reject);
    server.listen(at.port, at.host, () => {
      server.off("error", reject);
      server.on("error", () => {}); // a connection that could not be taken concerns nobody else
      const bound = server.address();
      resolve({
        port: typeof bound === "object" && bound !== null ? bound.port : at.port,
        stop: () =>
          new Promise<void>((done) => {
            server.close(() => done());
            server.closeAllConnections();
          }),
      });
    });
  });
}

const COUNTERS: readonly (readonly [name: string, metric: string, help: string, labels: readonly string[]])[] = [
  ["retransmissions", "sip_retransmissions_total", "Messages sent again", ["direction"]],
  ["capture_lost", "sip_capture_lost_total", "Messages that the capture collector was not sent", ["reason"]],
  ["malformed", "sip_malformed_total", "Messages that could not be used", ["fault", "answered"]],
  ["dropped", "sip_dropped_total", "Datagrams and streams not looked at, or responses nobody asked for", ["reason"]],
  [
    "connection_faults",
    "sip_connection_faults_total",
    "Connections refused, or ended by us",
    ["listener", "transport", "fault"],
  ],
  ["tls_reloads", "sip_tls_reloads_total", "Certificates read again; kept: a file was no good", ["result"]],
  ["unanswered_requests", "sip_unanswered_requests_total", "Requests no application answered", ["method"]],
  ["ack_timeouts", "sip_ack_timeouts_total", "2xx to INVITE never acknowledged", []],
  ["forks_ended", "sip_forks_ended_total", "Further 2xx acknowledged and ended", []],
  ["orphaned_dialogs_ended", "sip_orphaned_dialogs_ended_total", "Dialogs whose application did not come back", []],
  ["client_transactions_failed", "sip_client_transactions_failed_total", "Requests without an answer", ["because"]],
  ["server_transactions_failed", "sip_server_transactions_failed_total", "Responses not acknowledged", ["because"]],
  ["next_targets", "sip_next_targets_total", "Requests that went on to another target of their host", ["because"]],
  ["next_hop_failures", "sip_next_hop_failures_total", "Names that led nowhere", ["because"]],
  ["name_questions", "sip_name_questions_total", "Questions to name servers", ["type"]],
  ["name_failures", "sip_name_failures_total", "Questions to name servers without an answer", ["because"]],
  ["switched_to_tcp", "sip_switched_to_tcp_total", "Requests too long for UDP", []],
  ["responses_rerouted", "sip_responses_rerouted_total", "Responses sent elsewhere, their connection being gone", []],
  ["bans", "sip_bans_total", "Sources banned for what they did", []],
  ["requests_refused", "sip_requests_refused_total", "Requests refused before an application saw them", ["status"]],
  ["digest_challenges", "sip_digest_challenges_total", "401 and 407 of ours, and why", ["because"]],
  [
    "challenges_answered",
    "sip_challenges_answered_total",
    "401 and 407 of peers; answered: we had a password",
    ["answered"],
  ],
  ["requests_without_application", "sip_requests_without_application_total", "Requests nobody takes", ["method"]],
  ["applications_without_memory", "sip_applications_without_memory_total", "Applications back without their calls", []],
  ["records_unusable", "sip_records_unusable_total", "Calls of a former owner that could not be read", []],
  ["muted", "sip_muted_total", "Messages neither read nor sent: the service was not ours any more", []],
  ["resumptions", "sip_resumptions_total", "Dialogs and INVITEs of applications that came back", ["outcome"]],
  ["session_refreshes", "sip_session_refreshes_total", "Session refreshes of ours", []],
  ["session_timers_expired", "sip_session_timers_expired_total", "Sessions nobody refreshed", []],
  ["subscriptions_lapsed", "sip_subscriptions_lapsed_total", "Subscriptions nobody ended or refreshed", ["role"]],
  ["requests_shed", "sip_requests_shed_total", "New requests answered 503 by overload control", ["method"]],
  ["internal_errors", "sip_internal_errors_total", "Bugs of ours, survived: see the log", ["input"]],
  ["handler_failures", "sip_request_handler_failures_total", "Requests no handler could be found for", ["because"]],
  ["frames_refused", "sip_admin_frames_refused_total", "Frames of applications refused", ["verdict"]],
];

/** Counters stay plain numbers while calls run; they become metrics when somebody asks. */
function metricsOf(endpoint: Observable): Registry {
  const registry = new Registry();
  for (const [name, metric, help, labelNames] of COUNTERS)
    new Counter({
      name: metric,
      help,
      labelNames: [...labelNames],
      registers: [registry],
      collect() {
        this.reset();
        for (const [labels, count] of endpoint.counters.of(name)) this.inc(readLabels(labels), count);
      },
    });
  new Counter({
    name: "sip_requests_total",
    help: "SIP requests, by direction, transport and method",
    labelNames: ["direction", "transport", "method"],
    registers: [registry],
    collect() {
      this.reset();
      for (const { direction, transport, method, status, count } of endpoint.messages.entries())
        if (status === 0) this.inc({ direction, transport, method }, count);
    },
  });
  new Counter({
    name: "sip_responses_total",
    help: "SIP responses, by direction, transport, method of the CSeq and status",
    labelNames: ["direction", "transport", "method", "status"],
    registers: [registry],
    collect() {
      this.reset();
      for (const { direction, transport, method, status, count } of endpoint.messages.entries())
        if (status !== 0) this.inc({ direction, transport, method, status: String(status) }, count);
    },
  });
  new Gauge({
    name: "sip_transaction_states",
    help: "Transactions now, by kind and state (RFC 3261 §17, RFC 6026)",
    labelNames: ["kind", "state"],
    registers: [registry],
    collect() {
      this.reset();
      for (const [key, count] of endpoint.transactionStates()) {
        const [kind = "", state = ""] = key.split(" ");
        this.set({ kind, state }, count);
      }
    },
  });
  for (const fact of [
    "transactions",
    "dialogs",
    "timers",
    "pendingRequests",
    "clientCalls",
    "proxiedRequests",
    "applications",
    "unrestoredCalls",
    "namesRemembered",
    "nameQuestions",
    "targetsInQuarantine",
  ] as const)
    new Gauge({
      name: `sip_${fact.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)}`,
      help: `${fact} now`,
      registers: [registry],
      collect() {
        this.set(endpoint.facts[fact]);
      },
    });
  const delay = monitorEventLoopDelay({ resolution: 20 });
  delay.enable();
  new Gauge({
    name: "sip_event_loop_delay_p99_seconds",
    help: "Since the last scrape",
    registers: [registry],
    collect() {
      this.set(delay.percentile(99) / 1e9);
      delay.reset();
    },
  });
  new Gauge({
    name: "sip_new_requests_per_second_max",
    help: "What overload control lets in; +Inf: all",
    registers: [registry],
    collect() {
      this.set(endpoint.newPerSecondMax ?? Number.POSITIVE_INFINITY);
    },
  });
  collectDefaultMetrics({ register: registry });
  return registry;
}

/** A histogram in the text format: prom-client's own can only be fed one observation at a time. */
function histogramText({ name, help }: Named, { counts, boundsMs, sumMs }: Buckets): string {
  const lines = [`# HELP ${name} ${help}`, `# TYPE ${name} histogram`];
  let total = 0;
  let at = 0;
  for (const count of counts) {
    total += count;
    const boundMs = boundsMs[at++];
    lines.push(`${name}_bucket{le="${boundMs === undefined ? "+Inf" : boundMs / 1_000}"} ${total}`);
  }
  lines.push(`${name}_sum ${sumMs / 1_000}`, `${name}_count ${total}`, "");
  return `\n${lines.join("\n")}`;
}

interface Named {
  readonly name: string;
  readonly help: string;
}

/** As the checkpoint store counts. */
export interface Checkpointed {
  readonly counts: Readonly<Record<"groups" | "fields" | "characters" | "waits" | "late", number>>;
  readonly times: Readonly<Record<"waiting" | "writing", Buckets>>;
}

const ANSWERING: Named = {
  name: "sip_application_answer_seconds",
  help: "From a request's delivery to the application's first answer",
};
const WAITING: Named = {
  name: "sip_checkpoint_wait_seconds",
  help: "How long messages waited for their call to be written",
};
const WRITING: Named = {
  name: "sip_checkpoint_write_seconds",
  help: "From a group's beginning to the store's answer",
};

const CHECKPOINT_HELP: Readonly<Record<string, string>> = {
  groups: "Groups written to the checkpoint store",
  fields: "Calls in them",
  characters: "Characters in them",
  waits: "Messages that waited for their call to be written",
  late: "Those that left before it was",
};

function checkpointsText(checkpoints: Checkpointed | undefined): string {
  if (checkpoints === undefined) return "";
  const { counts, times } = checkpoints;
  const lines = Object.entries(counts).flatMap(([what, count]) => {
    const name = `sip_checkpoint_${what}_total`;
    return [`# HELP ${name} ${CHECKPOINT_HELP[what] ?? what}`, `# TYPE ${name} counter`, `${name} ${count}`];
  });
  return `\n${lines.join("\n")}\n${histogramText(WAITING, times.waiting)}${histogramText(WRITING, times.writing)}`;
}

/** `a="b",c="d"` back to an object. */
function readLabels(text: string): Record<string, string> {
  const labels: Record<string, string> = {};
  for (const [, name, value] of text.matchAll(/(\w+)="([^"]*)"/g))
    if (name !== undefined && value !== undefined) labels[name] = value;
  return labels;
}
