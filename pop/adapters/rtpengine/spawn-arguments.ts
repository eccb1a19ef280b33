// How Debian's rtpengine 10.5 is started: without kernel module, its calls kept in Redis.

import { ConfiguredFileFault } from "../../../kernel/config.ts";
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
  /** Calls survive its restart: it reads all of them when it starts, and only then listens. */
  readonly redis?: RelayRedis;
  /** Packet recording is possible when given. Created by the caller. */
  readonly recordingFolder?: string;
}

export interface RelayRedis extends RtpAddress {
  /** The service's own: whatever stands there is taken up. */
  readonly database: number;
  /** Visible ASCII without "@", which ends it for rtpengine. */
  readonly password?: string;
  /** Where the configuration file with the password goes: an absolute path, written (0600) by whoever starts rtpengine. */
  readonly configFile: string;
}

export interface RtpengineSpawn {
  readonly args: readonly string[];
  /** To be there, readable by rtpengine alone, before it starts. */
  readonly files: readonly { readonly path: string; readonly text: string }[];
}

const CONFIG_SECTION = "tollgate";

/**
 * Of Redis. A command that it does not answer in time costs one NG command so long, and after the second such one Redis
 * is left alone for a while: what changes meanwhile is not in it before the call changes again.
 */
export const RELAY_REDIS_LIMITS = { commandMs: 100, connectMs: 100, errorsAllowed: 1, disabledSeconds: 2 } as const;

/** Expedited forwarding (RFC 3246), in the high six bits. */
const TRAFFIC_CLASS = 46 << 2;

/**
 * The command line, and the file that it names. Options of both count; where they disagree, the command line's.
 * @throws ConfiguredFileFault when the password is one that rtpengine cannot be told
 */
export function rtpengineSpawn(host: RtpengineHost): RtpengineSpawn {
  const silenceSeconds = host.silenceSeconds ?? 3_600;
  const { redis } = host;
  const args = [
    "--foreground",
    "--log-stderr",
    "--log-level=4", // warnings
    "--table=-1", // no kernel forwarding
    // else /etc/rtpengine/rtpengine.conf is read
    ...(redis === undefined
      ? ["--config-file=none"]
      : [`--config-file=${redis.configFile}`, `--config-section=${CONFIG_SECTION}`]),
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
  if (redis === undefined) return { args, files: [] };
  const { commandMs, connectMs, errorsAllowed, disabledSeconds } = RELAY_REDIS_LIMITS;
  args.push(
    // With the defaults a hanging Redis makes every command hang.
    `--redis-cmd-timeout=${commandMs}`,
    `--redis-connect-timeout=${connectMs}`,
    `--redis-allowed-errors=${errorsAllowed}`,
    `--redis-disable-time=${disabledSeconds}`,
    "--no-redis-required",
  );
  const text = `[${CONFIG_SECTION}]\nredis = ${passwordPrefix(redis)}${showAddress(redis)}/${redis.database}\n`;
  return { args, files: [{ path: redis.configFile, text }] };
}

/** On the command line everybody on the host could read it. */
function passwordPrefix({ password }: RelayRedis): string {
  if (password === undefined || password === "") return "";
  if (!/^[!-?A-~]+$/.test(password))
    throw new ConfiguredFileFault('rtpengine takes no Redis password with "@", spaces or other than ASCII in it');
  return `${password.replaceAll("\\", "\\\\")}@`; // a backslash escapes in such files
}
