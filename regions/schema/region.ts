// One region as its file in regions/catalogue says it: what exists where. Pure; imports the kernel only.
//
// A region has one control plane, its own or another region's, and POPs. A POP has twin pairs of hosts, each
// pair in two zones. `local…` fields are the loopback addresses of the local target, on which the same topology
// runs as processes of one machine: region R has 127.10.R.0/24, so that residency can be checked by address.

import { z } from "zod";

const regionId = z.string().regex(/^[a-z]{2}$/, "two lower-case letters, like eu");
const popId = z.string().regex(/^[a-z]{3}-\d{2}$/, "like fra-01");
const popHostId = z.string().regex(/^[a-z]{3}-\d{2}-[a-z]$/, "like fra-01-a");
const zone = z.string().regex(/^[a-z]{3}-[a-z]$/, "three letters and the zone's, like fra-a");
const loopback = z.ipv4().regex(/^127\.10\.\d+\.\d+$/, "an address of the local target, 127.10.R.H");
const port = z.int().min(1_024).max(65_535);

/** The same on every host: each has an address of its own. */
const hostPorts = z
  .strictObject({
    sip: port.default(5_060), // UDP and TCP
    sipTls: port.default(5_061),
    sipWss: port.default(5_063), // WebSocket over TLS, for browsers
    sipAdmin: port.default(9_022), // drachtio protocol
    sipHttp: port.default(9_023), // sip-server's health, metrics and trace
    rtpengineControl: port.default(22_222), // NG protocol, UDP
    dtmf: port.default(22_223), // pop listens, rtpengine sends, UDP
    popHttp: port.default(8_081),
    keeperHeartbeat: port.default(7_400), // on the management address, TCP, mutual TLS
    keeperHttp: port.default(7_401), // on the management address
    relayRtpFirst: port.default(30_000),
    relayRtpLast: port.default(39_999),
    workerRtpFirst: port.default(20_000),
    workerRtpLast: port.default(29_999),
  })
  .refine((ports) => ports.relayRtpFirst < ports.relayRtpLast && ports.workerRtpFirst < ports.workerRtpLast, {
    error: "a range of RTP ports ends before it begins",
  })
  .refine((ports) => ports.relayRtpFirst > ports.workerRtpLast || ports.workerRtpFirst > ports.relayRtpLast, {
    error: "the RTP ports of rtpengine and of the media worker overlap",
  });

const controlPlanePorts = z.strictObject({
  link: port.default(7_443), // gRPC with mutual TLS
  rest: port.default(8_080),
  etcdClient: port.default(2_379),
  etcdPeer: port.default(2_380),
  redis: port.default(6_379),
});

const etcdMember = z.strictObject({ member: z.string().min(1), zone, localAddress: loopback });

const ownControlPlane = z.strictObject({
  city: z.string().min(1),
  /** One replica in each. */
  zones: z.array(zone).min(3, "three zones: the loss of one must not stop the region"),
  etcd: z
    .array(etcdMember)
    .refine((members) => members.length % 2 === 1 && members.length >= 3, "an odd number of members, at least 3"),
});

const servedBy = z.strictObject({ servedBy: regionId });

const popHost = z.strictObject({
  id: popHostId,
  zone,
  twin: popHostId,
  /** Of the service whose home it is: carriers and agents reach it there, whichever of the twins serves it. */
  localAddress: loopback,
  /** The host's own: it never moves. Its keeper is reached there. */
  managementAddress: loopback,
});

const pop = z.strictObject({
  id: popId,
  city: z.string().min(1),
  hosts: z.array(popHost).min(2, "a POP has at least one pair of hosts"),
});

export const RegionSchema = z.strictObject({
  region: regionId,
  name: z.string().min(1),
  /** Media kept "in residence" may be served by any region of its group, and by no other. */
  residencyGroup: z.string().regex(/^[a-z][a-z-]*$/, "lower-case letters and hyphens, like europe"),
  controlPlane: z.union([ownControlPlane, servedBy]),
  pops: z.array(pop).min(1),
  /** Cities of the shared media services (FreeSWITCH, mediasoup); none: those of the POP hosts serve alone. */
  mediaServices: z.array(z.strictObject({ city: z.string().min(1) })),
  /** Where traffic goes when this region is lost: the first that can take it and that residency allows. */
  failoverOrder: z.array(regionId),
  local: z.strictObject({
    /** R of 127.10.R.H. */
    number: z.int().min(1).max(254),
    controlPlaneAddress: loopback,
    hostPorts: hostPorts.prefault({}),
    controlPlanePorts: controlPlanePorts.prefault({}),
  }),
});

export type Region = z.output<typeof RegionSchema>;
export type Pop = Region["pops"][number];
export type PopHost = Pop["hosts"][number];
export type HostPorts = Region["local"]["hostPorts"];
export type ControlPlanePorts = Region["local"]["controlPlanePorts"];

/** The region whose control plane serves this one: often its own. */
export const controlPlaneRegionOf = (region: Region): string =>
  "servedBy" in region.controlPlane ? region.controlPlane.servedBy : region.region;
