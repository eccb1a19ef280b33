// Extensions a request insists on, and requests that go round.

import assert from "node:assert/strict";
import { test } from "node:test";
import { requestOf } from "../../test/messages.ts";
import { breadthOf, hopsLeft, isLooped, proxyBranch, splitBreadth } from "./hops.ts";
import { SERVER_OPTION_TAGS, unsupported } from "./option-tags.ts";

test("Require: what nobody here understands comes back in Unsupported (RFC 3261 §8.2.2.3)", () => {
  const supported = new Set([...SERVER_OPTION_TAGS, "siprec"]);
  const of = (...headers: string[]) => unsupported(requestOf("INVITE", { headers }), "require", supported)?.value;
  assert.equal(of(), undefined);
  assert.equal(of("Require: 100rel, Timer", "Require: SIPREC"), undefined);
  assert.equal(of("Require: 100rel, nothing", "Require: more,,even"), "nothing, more, even");
  assert.equal(of("Require: bad tag, nothing"), "nothing");
  assert.equal(of(`Require: ${Array.from({ length: 100 }, (_, at) => `t${at}`).join()}`)?.split(",").length, 16);
  assert.equal(of("Proxy-Require: privacy"), undefined);
  const proxied = requestOf("INVITE", { headers: ["Proxy-Require: privacy"] });
  assert.equal(unsupported(proxied, "proxy-require", supported)?.value, "privacy");
});

test("hops and breadth", () => {
  const hops = (value?: string) =>
    hopsLeft(requestOf("INVITE", { headers: value === undefined ? [] : [`Max-Forwards: ${value}`] }));
  assert.deepEqual(
    [hops(), hops("70"), hops("1"), hops("0"), hops("999"), hops("x")],
    [70, 69, 0, undefined, 254, undefined],
  );
  const breadth = (value?: string) =>
    breadthOf(requestOf("INVITE", { headers: value === undefined ? [] : [`Max-Breadth: ${value}`] }));
  assert.deepEqual([breadth(), breadth("5"), breadth("500"), breadth("x")], [60, 5, 60, 60]);
  assert.deepEqual(splitBreadth(60, 7), [9, 9, 9, 9, 8, 8, 8]);
  assert.deepEqual(splitBreadth(2, 2), [1, 1]);
  assert.equal(splitBreadth(2, 3), undefined);
});

test("a request that comes back unchanged is a loop; with another Request-URI or Route it is a spiral (RFC 5393 §4)", () => {
  const isOurs = (host: string, port: number) => host === "10.0.0.1" && port === 5060;
  const request = requestOf("INVITE");
  const branch = proxyBranch(request, "z9hG4bKabc");
  assert.match(branch, /^z9hG4bKabc\.p[0-9a-f]{16}$/);
  const back = (host: string, more: Partial<typeof request> = {}) => {
    const vias = requestOf("INVITE", { headers: [`Via: SIP/2.0/UDP 10.0.0.9, SIP/2.0/UDP ${host};branch=${branch}`] });
    return isLooped({ ...vias, ...more }, isOurs);
  };
  assert.equal(isLooped(request, isOurs), false);
  assert.equal(back("10.0.0.1"), true);
  assert.equal(back("10.0.0.1:5060"), true);
  assert.equal(back("10.0.0.2"), false);
  assert.equal(back("10.0.0.1", { uri: "sip:carol@pop.example" }), false);
});
