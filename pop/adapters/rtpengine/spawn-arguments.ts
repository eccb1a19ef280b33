import { type RtpAddress, showAddress } from "../../core/media/addresses.ts";

/** One host's rtpengine. */
export interface RtpengineHost {
  /** External RTP ends at this address. */
  readonly mediaHost: string;
  /** For callers with IPv6; none when left out. */
  readonly mediaHostV6?: string;
  /** Where it listens for us: an address of this host that nobody else reaches. */
  readonly ng: RtpAddress;
  /** Our DTMF listener. */
  readonly dtmfLog: RtpAddress;
  /** Both included. A call takes four ports (RTP and RTCP, two sides), and four more while a leg rings. */
  readonly rtpPorts: { readonly first: number; readonly last: number };
  /** Default 2: more threads than cores starve the rest of the host. */
  readonly threads?: number;
  /** A call without any RTP for so long is dropped by rtpengine, which tells nobody: so far above our own timers. Default 3600. */
  readonly silenceSeconds?: number;
  /** Calls survive its restart. */
  readonly redis?: RtpAddress & { readonly database: number };
  /** Packet recording is possible when given. Created by the caller. */
  readonly recordingFolder?: string;
}

/** Expedited forwarding (RFC 3246), in the high six bits. */
const TRAFFIC_CLASS = 46 << 2;

/** The command line of Debian's rtpengine 10.5, without kernel module and without its configuration file. */
export function rtpengineArguments(host: RtpengineHost): readonly string[] {
  const silenceSeconds = host.silenceSeconds ?? 3_600;
  const args = [
    "--foreground",
    "--log-stderr",
    "--log-level=4", // warnings
    "--table=-1", // no kernel forwarding
    "--config-file=none", // else /etc/rtpengine/rtpengine.conf is read
    `--num-threads=${host.threads ?? 2}`,
    `--interface=${host.mediaHost}`,
    ...(host.mediaHostV6 === undefined ? [] : [`--interface=${host.mediaHostV6}`]),
    `--listen-ng=${showAddress(host.ng)}`,
    `--dtmf-log-dest=${showAddress(host.dtmfLog)}`,
    `--port-min=${host.rtpPorts.first}`,
    `--port-max=${host.rtpPorts.last}`,
    "--delete-delay=0",
    // For three seconds a source that is more like the SDP wins; after that no other is heard (with strict-source).
    // "delayed", the default, sends the caller's audio to a stranger meanwhile; with "immediate" one stray packet mutes the caller.
    "--endpoint-learning=heuristic",
    `--timeout=${silenceSeconds}`,
    `--silent-timeout=${silenceSeconds}`,
    `--offer-timeout=${silenceSeconds}`,
    `--tos=${TRAFFIC_CLASS}`,
  ];
  if (host.recordingFolder !== undefined)
    args.push(`--recording-dir=${host.recordingFolder}`, "--recording-method=pcap", "--recording-format=eth");
  if (host.redis !== undefined)
    args.push(
      `--redis=${showAddress(host.redis)}/${host.redis.database}`,
      // With the defaults a hanging Redis makes every command hang.
      "--redis-cmd-timeout=100",
      "--redis-connect-timeout=100",
      "--redis-allowed-errors=1",
      "--redis-disable-time=5",
      "--no-redis-required",
    );
  return args;
}
