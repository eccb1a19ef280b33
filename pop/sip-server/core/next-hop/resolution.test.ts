import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { seededRng } from "../../../../kernel/rng.ts";
import { Zone } from "../../test/zone.ts";
import type { SrvRecord } from "./dns.ts";
import { hopOf, type Target } from "./hop.ts";
import * as resolution from "./resolution.ts";
import { srvOrder } from "./srv-order.ts";

const ALL: resolution.Support = [
  { transport: "udp", families: [4, 6] },
  { transport: "tcp", families: [4, 6] },
  { transport: "tls", families: [4, 6] },
  { transport: "ws", families: [4] },
];
const UDP_ONLY: resolution.Support = [{ transport: "udp", families: [4] }];

const inWords = ({ transport, address, port }: Target): string => `${transport} ${address} ${port}`;

/** Runs a resolution against a zone; what is silent is silent until the machine's own timers fire, the earliest first. */
function resolve(uri: string, zone: Zone, support = ALL, seed = 1): string[] {
  const hop = hopOf(uri);
  if (!hop.ok) return [hop.failure.code];
  const context: resolution.ResolutionContext = { hop: hop.value, support, seed };
  let { state, effects } = resolution.start(context);
  const timers = new Map<resolution.ResolutionTimer, number>();
  const inputs: resolution.ResolutionInput[] = [];
  let outcome: string[] | undefined;
  for (;;) {
    for (const effect of effects) {
      if (effect.kind === "start-timer") timers.set(effect.timer, effect.afterMs);
      else if (effect.kind === "found") outcome = effect.targets.map(inWords);
      else if (effect.kind === "failed") outcome = [`failed ${effect.because}`];
      else {
        const answer = zone.answer(effect.question);
        if (answer !== undefined) inputs.push({ kind: "answer", question: effect.question, answer });
      }
    }
    if (outcome !== undefined) {
      assert.equal(state.name, "done");
      return outcome;
    }
    const [next] = [...timers].sort((a, b) => a[1] - b[1]);
    const input = inputs.shift() ?? (next === undefined ? undefined : ({ kind: "timer", timer: next[0] } as const));
    assert.ok(input !== undefined, "waits for nothing");
    if (input.kind === "timer") timers.delete(input.timer);
    ({ state, effects } = resolution.step(context, JSON.parse(JSON.stringify(state)), input));
  }
}

const CARRIER = `
  carrier.example        NAPTR 50 50 "s" "SIPS+D2T" "" _sips._tcp.carrier.example
  carrier.example        NAPTR 90 50 "s" "SIP+D2T"  "" _sip._tcp.carrier.example
  carrier.example        NAPTR 100 50 "s" "SIP+D2U" "" _sip._udp.carrier.example
  carrier.example        A 192.0.2.80
  _sips._tcp.carrier.example SRV 0 1 5061 one.carrier.example
  _sip._tcp.carrier.example  SRV 0 1 5060 one.carrier.example
  _sip._tcp.carrier.example  SRV 1 1 5070 two.carrier.example
  _sip._udp.carrier.example  SRV 0 1 5060 one.carrier.example
  one.carrier.example    A 192.0.2.1
  one.carrier.example    AAAA 2001:db8::1
  two.carrier.example    A 192.0.2.2
`;

// Each row a rule: what the URI is, what the zone says, what we can, and where it leads.
const TABLE: readonly {
  readonly name: string;
  readonly uri: string;
  readonly zone: string;
  readonly support?: resolution.Support;
  readonly leads: readonly string[];
  readonly asks?: readonly string[];
}[] = [
  {
    name: "an address asks nobody (§4.1)",
    uri: "sip:192.0.2.9",
    zone: CARRIER,
    leads: ["udp 192.0.2.9 5060"],
    asks: [],
  },
  {
    name: "a port means A and AAAA only, over the usual transport (§4.2)",
    uri: "sip:one.carrier.example:5080",
    zone: CARRIER,
    leads: ["udp 192.0.2.1 5080", "udp 2001:db8::1 5080"],
    asks: ["A one.carrier.example", "AAAA one.carrier.example"],
  },
  {
    name: "a port with SIPS means TLS",
    uri: "sips:one.carrier.example:5080",
    zone: CARRIER,
    leads: ["tls 192.0.2.1 5080", "tls 2001:db8::1 5080"],
  },
  {
    name: "a transport leaves NAPTR out (§4.1)",
    uri: "sip:carrier.example;transport=tcp",
    zone: CARRIER,
    leads: ["tcp 192.0.2.1 5060", "tcp 2001:db8::1 5060", "tcp 192.0.2.2 5070"],
    asks: [
      "SRV _sip._tcp.carrier.example",
      "A one.carrier.example",
      "AAAA one.carrier.example",
      "A two.carrier.example",
      "AAAA two.carrier.example",
    ],
  },
  {
    name: "the lowest order of NAPTR that we support decides (§4.1)",
    uri: "sip:carrier.example",
    zone: CARRIER,
    leads: ["tls 192.0.2.1 5061", "tls 2001:db8::1 5061"],
  },
  {
    name: "services we do not have are passed over",
    uri: "sip:carrier.example",
    zone: CARRIER,
    support: UDP_ONLY,
    leads: ["udp 192.0.2.1 5060"],
  },
  {
    name: "SIPS never leads to anything but TLS",
    uri: "sips:carrier.example",
    zone: CARRIER.replace(/.*SIPS\+D2T.*\n/, ""),
    leads: ["tls 192.0.2.1 5061", "tls 2001:db8::1 5061"],
  },
  {
    name: "SIPS without a TLS listener leads nowhere",
    uri: "sips:carrier.example",
    zone: CARRIER,
    support: UDP_ONLY,
    leads: ["failed unsupported"],
    asks: [],
  },
  {
    name: "equal orders: by preference, and both are used",
    uri: "sip:a.example",
    zone: `
      a.example NAPTR 10 20 "s" "SIP+D2U" "" _sip._udp.a.example
      a.example NAPTR 10 10 "S" "sip+d2t" "" _sip._tcp.a.example
      _sip._udp.a.example SRV 0 0 5062 h.a.example
      _sip._tcp.a.example SRV 0 0 5063 h.a.example
      h.a.example A 192.0.2.7`,
    leads: ["tcp 192.0.2.7 5063", "udp 192.0.2.7 5062"],
  },
  {
    name: 'a NAPTR with the flag "a" names a host',
    uri: "sip:a.example",
    zone: `
      a.example NAPTR 10 20 "a" "SIP+D2T" "" h.a.example
      h.a.example A 192.0.2.7`,
    leads: ["tcp 192.0.2.7 5060"],
  },
  {
    name: "a NAPTR that wants its regular expression evaluated is none of SIP's (§4.1)",
    uri: "sip:a.example",
    zone: `
      a.example NAPTR 10 20 "u" "SIP+D2T" "!^.*$!sip:x@y.example!" .
      a.example NAPTR 10 20 "s" "SIP+D2T" "!^.*$!x!" _sip._tcp.a.example
      a.example A 192.0.2.7`,
    leads: ["udp 192.0.2.7 5060"],
  },
  {
    name: "no NAPTR: SRV for every transport we have, in the order of our listeners (§4.1)",
    uri: "sip:a.example",
    zone: `
      _sip._udp.a.example SRV 0 0 5062 h.a.example
      _sips._tcp.a.example SRV 0 0 5061 h.a.example
      h.a.example A 192.0.2.7`,
    leads: ["udp 192.0.2.7 5062", "tls 192.0.2.7 5061"],
  },
  {
    name: "no SRV either: the host itself, UDP, 5060 (§4.2)",
    uri: "sip:a.example",
    zone: "a.example A 192.0.2.7",
    leads: ["udp 192.0.2.7 5060"],
  },
  {
    name: "no SRV, SIPS: the host itself, TLS, 5061",
    uri: "sips:a.example",
    zone: "a.example A 192.0.2.7",
    leads: ["tls 192.0.2.7 5061"],
  },
  {
    name: "no SRV, a transport: the host itself over that",
    uri: "sip:a.example;transport=tls",
    zone: "a.example A 192.0.2.7",
    leads: ["tls 192.0.2.7 5061"],
  },
  {
    name: "NAPTR whose SRV is missing: the host itself over the transport NAPTR named",
    uri: "sip:a.example",
    zone: `
      a.example NAPTR 10 20 "s" "SIP+D2T" "" _sip._tcp.a.example
      a.example A 192.0.2.7`,
    leads: ["tcp 192.0.2.7 5060"],
  },
  {
    name: "nothing at all",
    uri: "sip:a.example",
    zone: "",
    leads: ["failed none"],
  },
  {
    name: 'an SRV target of "." is a no (RFC 2782)',
    uri: "sip:a.example;transport=udp",
    zone: `
      _sip._udp.a.example SRV 0 0 0 .
      a.example A 192.0.2.7`,
    leads: ["failed none"],
  },
  {
    name: "an SRV target that is no name is passed over",
    uri: "sip:a.example;transport=udp",
    zone: `
      _sip._udp.a.example SRV 0 0 5060 h!.example
      _sip._udp.a.example SRV 1 0 5060 h.example
      h.example A 192.0.2.7`,
    leads: ["udp 192.0.2.7 5060"],
  },
  {
    name: "priorities order the servers; one without an address is left out",
    uri: "sip:a.example;transport=udp",
    zone: `
      _sip._udp.a.example SRV 20 0 5060 c.example
      _sip._udp.a.example SRV 10 0 5060 b.example
      _sip._udp.a.example SRV 5 0 5060 gone.example
      b.example A 192.0.2.2
      c.example A 192.0.2.3`,
    leads: ["udp 192.0.2.2 5060", "udp 192.0.2.3 5060"],
  },
  {
    name: "families in the order of our listeners",
    uri: "sip:one.carrier.example:5060",
    zone: CARRIER,
    support: [{ transport: "udp", families: [6, 4] }],
    leads: ["udp 2001:db8::1 5060", "udp 192.0.2.1 5060"],
  },
  {
    name: "an alias is followed",
    uri: "sip:www.example:5060",
    zone: `
      www.example CNAME other.example
      other.example A 192.0.2.4`,
    support: UDP_ONLY,
    leads: ["udp 192.0.2.4 5060"],
  },
  {
    name: "an alias of itself ends",
    uri: "sip:www.example:5060",
    zone: `
      www.example CNAME other.example
      other.example CNAME www.example`,
    support: UDP_ONLY,
    leads: ["failed none"],
  },
  {
    name: "NAPTR that fails does not keep SRV from being asked",
    uri: "sip:a.example",
    zone: `
      a.example FAIL NAPTR
      _sip._udp.a.example SRV 0 0 5062 h.a.example
      h.a.example A 192.0.2.7`,
    leads: ["udp 192.0.2.7 5062"],
  },
  {
    name: "SRV that fails is no reason to call the host itself: it may be anybody's web server",
    uri: "sip:a.example;transport=udp",
    zone: `
      _sip._udp.a.example FAIL SRV
      a.example A 192.0.2.7`,
    leads: ["failed servfail"],
  },
  {
    name: "a transport whose SRV fails does not spoil another",
    uri: "sip:a.example",
    zone: `
      _sip._udp.a.example FAIL SRV
      _sip._tcp.a.example SRV 0 0 5062 h.a.example
      h.a.example A 192.0.2.7`,
    leads: ["tcp 192.0.2.7 5062"],
  },
  {
    name: "a server that does not answer for a lesser target does not hold the best one up",
    uri: "sip:a.example;transport=udp",
    zone: `
      _sip._udp.a.example SRV 1 0 5060 b.example
      _sip._udp.a.example SRV 2 0 5060 c.example
      b.example A 192.0.2.2
      c.example SILENT A`,
    support: UDP_ONLY,
    leads: ["udp 192.0.2.2 5060"],
  },
  {
    name: "silence about the best target: the others are used at the deadline",
    uri: "sip:a.example;transport=udp",
    zone: `
      _sip._udp.a.example SRV 1 0 5060 b.example
      _sip._udp.a.example SRV 2 0 5060 c.example
      b.example SILENT A
      c.example A 192.0.2.3`,
    support: UDP_ONLY,
    leads: ["udp 192.0.2.3 5060"],
  },
  {
    name: "silence about everything ends at the deadline",
    uri: "sip:a.example",
    zone: "a.example SILENT NAPTR",
    leads: ["failed timeout"],
  },
  {
    name: "browsers' transports have no servers to look up",
    uri: "sip:a.example;transport=ws",
    zone: "a.example A 192.0.2.7",
    leads: ["failed unsupported"],
    asks: [],
  },
];

for (const { name, uri, zone, support, leads, asks } of TABLE)
  test(name, () => {
    const servers = new Zone(zone);
    assert.deepEqual(resolve(uri, servers, support), leads);
    if (asks !== undefined) assert.deepEqual(servers.asked, asks);
  });

test("the server's name is the URI's, never a record's (RFC 5922 §7.1)", () => {
  const zone = new Zone(CARRIER);
  const named = hopOf("sips:carrier.example");
  assert.ok(named.ok);
  const context = { hop: named.value, support: ALL, seed: 1 };
  let { state, effects } = resolution.start(context);
  const domains: (string | undefined)[] = [];
  const inputs: resolution.ResolutionInput[] = [];
  for (;;) {
    for (const effect of effects) {
      if (effect.kind === "found") domains.push(...effect.targets.map(({ domain }) => domain));
      if (effect.kind !== "ask") continue;
      const answer = zone.answer(effect.question);
      if (answer !== undefined) inputs.push({ kind: "answer", question: effect.question, answer });
    }
    const input = inputs.shift();
    if (input === undefined) break;
    ({ state, effects } = resolution.step(context, state, input));
  }
  assert.equal(state.name, "done");
  assert.deepEqual([...new Set(domains)], ["carrier.example"]);
});

test("the list is bounded, however many records there are", () => {
  const lines: string[] = [];
  for (let n = 0; n < 60; n++) {
    lines.push(`_sip._udp.a.example SRV ${n} 0 5060 h${n}.example`);
    for (let m = 0; m < 9; m++) lines.push(`h${n}.example A 192.0.2.${m + 1}`);
  }
  const zone = new Zone(lines.join("\n"));
  assert.equal(resolve("sip:a.example;transport=udp", zone).length, resolution.TARGETS_MAX);
  assert.ok(zone.asked.length <= 1 + 2 * resolution.SERVERS_MAX);
});

test("several addresses of one host share the load", () => {
  const zone = new Zone("a.example A 192.0.2.1\na.example A 192.0.2.2\na.example A 192.0.2.3");
  const first = new Set<string | undefined>();
  for (let seed = 0; seed < 30; seed++) {
    const leads = resolve("sip:a.example:5060", zone, UDP_ONLY, seed);
    assert.equal(leads.length, 3);
    first.add(leads[0]);
  }
  assert.equal(first.size, 3);
});

const srv = (priority: number, weight: number, target: string): SrvRecord => ({
  type: "SRV",
  priority,
  weight,
  port: 5060,
  target,
});

test("weights are shares of the first tries (RFC 2782)", () => {
  const chance = seededRng(42);
  const records = [srv(1, 60, "a"), srv(1, 30, "b"), srv(1, 10, "c"), srv(1, 0, "zero"), srv(2, 100, "later")];
  const first = new Map<string, number>();
  const runs = 20_000;
  for (let run = 0; run < runs; run++) {
    const order = srvOrder(records, chance).map(({ target }) => target);
    assert.equal(order.length, 5);
    assert.equal(order[4], "later");
    first.set(order[0] ?? "", (first.get(order[0] ?? "") ?? 0) + 1);
  }
  const share = (target: string) => (first.get(target) ?? 0) / runs;
  assert.ok(Math.abs(share("a") - 0.6) < 0.02, `a: ${share("a")}`);
  assert.ok(Math.abs(share("b") - 0.3) < 0.02, `b: ${share("b")}`);
  assert.ok(Math.abs(share("c") - 0.1) < 0.02, `c: ${share("c")}`);
  // "very small chance", but some.
  assert.ok(share("zero") > 0 && share("zero") < 0.02, `zero: ${share("zero")}`);
});

test("property: an order is a permutation that never puts a higher priority number first", () => {
  const record = fc.tuple(fc.integer({ min: 0, max: 3 }), fc.integer({ min: 0, max: 65_535 }), fc.string());
  fc.assert(
    fc.property(fc.array(record, { maxLength: 20 }), fc.integer(), (rows, seed) => {
      const records = rows.map(([priority, weight, target]) => srv(priority, weight, target));
      const ordered = srvOrder(records, seededRng(seed));
      assert.equal(ordered.length, records.length);
      assert.deepEqual(new Set(ordered), new Set(records));
      for (let at = 1; at < ordered.length; at++)
        assert.ok((ordered[at - 1]?.priority ?? 0) <= (ordered[at]?.priority ?? 0));
    }),
  );
});

test("property: whatever is answered, in whatever order, a resolution ends with its deadline and asks a bounded number of questions", () => {
  const name = fc.constantFrom("a.example", "b.example", "c.example", "_sip._udp.a.example", ".", "!", "");
  const record = fc.oneof(
    fc.record({ type: fc.constantFrom("A", "AAAA"), address: fc.constantFrom("192.0.2.1", "2001:db8::1") }),
    fc.record({
      type: fc.constant("SRV"),
      priority: fc.nat(3),
      weight: fc.nat(9),
      port: fc.nat(65_535),
      target: name,
    }),
    fc.record({
      type: fc.constant("NAPTR"),
      order: fc.nat(3),
      preference: fc.nat(3),
      flags: fc.constantFrom("s", "a", "u", ""),
      services: fc.constantFrom("SIP+D2U", "SIP+D2T", "SIPS+D2T", "E2U+sip"),
      regexp: fc.constantFrom("", "!x!y!"),
      replacement: name,
    }),
  );
  const answer = fc.oneof(
    fc.record({
      kind: fc.constant("found"),
      records: fc.array(record, { minLength: 1, maxLength: 20 }),
      ttlSeconds: fc.nat(),
    }),
    fc.record({ kind: fc.constant("none"), ttlSeconds: fc.nat() }),
    fc.record({ kind: fc.constant("alias"), name, ttlSeconds: fc.nat() }),
    fc.record({ kind: fc.constant("failed"), because: fc.constantFrom("timeout", "servfail") }),
  );
  const uri = fc.constantFrom("sip:a.example", "sips:a.example", "sip:a.example;transport=tcp", "sip:a.example:5070");
  fc.assert(
    fc.property(uri, fc.array(answer, { maxLength: 60 }), fc.infiniteStream(fc.nat()), (text, answers, picks) => {
      const hop = hopOf(text);
      assert.ok(hop.ok);
      const context = { hop: hop.value, support: ALL, seed: 3 };
      let { state, effects } = resolution.start(context);
      const open: resolution.ResolutionInput[] = [];
      let asked = 0;
      let ended = 0;
      const perform = () => {
        for (const effect of effects) {
          if (effect.kind === "ask") {
            asked++;
            open.push({ kind: "answer", question: effect.question, answer: { kind: "none", ttlSeconds: 0 } });
          } else if (effect.kind !== "start-timer") ended++;
        }
      };
      perform();
      for (const given of answers) {
        if (open.length === 0) break;
        const [input] = open.splice((picks.next().value ?? 0) % open.length, 1);
        if (input?.kind !== "answer") break;
        const answered = { ...input, answer: given as never };
        ({ state, effects } = resolution.step(context, state, answered));
        perform();
      }
      if (state.name !== "done") {
        ({ state, effects } = resolution.step(context, state, { kind: "timer", timer: "deadline" }));
        perform();
      }
      assert.equal(state.name, "done");
      assert.equal(ended, 1);
      assert.ok(asked <= 200, `${asked} questions`);
    }),
    { numRuns: 500 },
  );
});
