// The gRPC server that POP hosts meet: mutual TLS, and the host's name from its certificate with every call.

import { readFileSync } from "node:fs";
import {
  ServerCredentials,
  ServerInterceptingCall,
  type ServerInterceptor,
  type ServerListener,
  ServerListenerBuilder,
} from "@grpc/grpc-js";
import { type CallContext, createServer, type Server } from "nice-grpc";

export interface GrpcPlace {
  readonly host: string;
  readonly port: number;
  /** PEM files. */
  readonly tls: { readonly caFile: string; readonly certFile: string; readonly keyFile: string };
}

/** nice-grpc shows a handler metadata, not the connection: the common name travels there, whatever the client wrote itself. */
const CERTIFICATE_OF = "x-tollgate-certificate-of";

const withCertificateName: ServerInterceptor = (_method, call) =>
  new ServerInterceptingCall(call, {
    start: (next) => {
      const named: ServerListener = new ServerListenerBuilder()
        .withOnReceiveMetadata((metadata, pass) => {
          const { subject } = call.getAuthContext().sslPeerCertificate ?? {};
          const name = subject?.CN;
          metadata.set(CERTIFICATE_OF, typeof name === "string" ? name : "");
          pass(metadata);
        })
        .build();
      next(named);
    },
  });

/** The common name of the client's certificate; empty: none. */
export const certificateOf = ({ metadata }: Pick<CallContext, "metadata">): string =>
  metadata.get(CERTIFICATE_OF) ?? "";

export interface RunningGrpcServer {
  readonly port: number;
  stop(): Promise<void>;
}

const STOP_WITHIN_MS = 2_000;

/** @throws when the address is in use, or a certificate cannot be read */
export async function startGrpcServer(
  { host, port, tls }: GrpcPlace,
  addServices: (server: Server) => void,
): Promise<RunningGrpcServer> {
  const server = createServer({
    interceptors: [withCertificateName],
    // A POP that was unplugged is noticed within 15 s, not when TCP gives up.
    "grpc.keepalive_time_ms": 10_000,
    "grpc.keepalive_timeout_ms": 5_000,
    "grpc.max_receive_message_length": 16 * 1024 * 1024,
  });
  addServices(server);
  const credentials = ServerCredentials.createSsl(
    readFileSync(tls.caFile),
    [{ private_key: readFileSync(tls.keyFile), cert_chain: readFileSync(tls.certFile) }],
    true,
  );
  const address = `${host.includes(":") ? `[${host}]` : host}:${port}`;
  const bound = await server.listen(address, credentials).catch((error: unknown) => {
    // grpc-js says it in prose only; the shell tells by the code.
    if (!String(error).includes("EADDRINUSE")) throw error;
    throw Object.assign(new Error(`listen EADDRINUSE: address already in use ${address}`), { code: "EADDRINUSE" });
  });
  return {
    port: bound,
    async stop() {
      const hurry = setTimeout(() => server.forceShutdown(), STOP_WITHIN_MS);
      await server.shutdown().catch(() => {});
      clearTimeout(hurry);
    },
  };
}
