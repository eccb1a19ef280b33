import assert from "node:assert/strict";
import { test } from "node:test";
import { isSameSecret } from "../../app/applications/applications.ts";
import { choosePoint } from "../user-agent/destination.ts";
import { parseNameAddr, showNameAddr, tagOf, withTag } from "./name-addr.ts";
import { parameter, splitList, withoutParameter } from "./parameters.ts";
import { MessageStream } from "./stream.ts";
import { parseUri, showUri, withoutUser } from "./uri.ts";
import { parseVia, replaceFirstVia, showVia, withSource } from "./via.ts";

for (const text of [
  "sip:alice@atlanta.example",
  "sip:alice:secretword@atlanta.example;transport=tcp",
  "sips:1212@gateway.example",
  "sip:+1-212-555-1212:1234@gateway.example;user=phone",
  "sip:atlanta.example;method=REGISTER?to=alice%40atlanta.example",
  "sip:alice;day=tuesday@atlanta.example",
  "sip:[2001:db8::10]:5070;lr",
  "sip:user;par=u%40example.net@example.com",
])
  test(`a URI goes through unchanged: ${text}`, () => {
    const uri = parseUri(text);
    assert.ok(uri !== undefined);
    assert.equal(showUri(uri), text);
  });

for (const text of [
  "tel:+1",
  "sip:",
  "sip:@",
  "sip:a@b:0",
  "sip:a@b:70000",
  "sip:a@b c",
  "sip:a@[::1",
  "http://x",
  "sip:a@b:x",
])
  test(`no SIP URI: ${text}`, () => assert.equal(parseUri(text), undefined));

test("what a trace may show of a URI", () => {
  assert.equal(withoutUser("sip:+49301234@pop.example:5062;x=y"), "sip:pop.example:5062");
  assert.equal(withoutUser("tel:+49301234"), "tel:…");
});

test("addresses: names, quotes, brackets, tags", () => {
  const cases: [string, string, string, string][] = [
    ['"A. G. Bell" <sip:agb@bell.example> ;tag=a48s', '"A. G. Bell"', "sip:agb@bell.example", "a48s"],
    ["sip:+12125551212@server.example;tag=887s", "", "sip:+12125551212@server.example", "887s"],
    ["Anonymous <sip:c8oqz84zk7z@privacy.example>;tag=hyh8", "Anonymous", "sip:c8oqz84zk7z@privacy.example", "hyh8"],
    ['"a <b> \\" c" <sip:x@y;p=1>;x="t;tag=no";tag=yes', '"a <b> \\" c"', "sip:x@y;p=1", "yes"],
    ["<sip:a@b>", "", "sip:a@b", ""],
  ];
  for (const [text, display, uri, tag] of cases) {
    const parsed = parseNameAddr(text);
    assert.ok(parsed !== undefined, text);
    assert.deepEqual([parsed.display, parsed.uri, tagOf(parsed)], [display, uri, tag]);
  }
  for (const text of ['"open <sip:a@b>', "<sip:a@b", 'x" <sip:a@b>', "", '"a" sip:a@b', "<sip:a@b>x"])
    assert.equal(parseNameAddr(text), undefined, text);
  assert.equal(
    showNameAddr(withTag({ display: "", uri: "sip:a@b", params: ";tag=old;q=1" }, "new")),
    "<sip:a@b>;q=1;tag=new",
  );
});

test("parameters and lists know quotes and brackets", () => {
  const params = ';a;b = 2 ;c="x;d=3";D=4';
  assert.deepEqual(
    ["a", "b", "c", "d", "e"].map((name) => parameter(params, name)),
    ["", "2", "x;d=3", "4", undefined],
  );
  assert.equal(withoutParameter(params, "c"), ";a;b = 2 ;D=4");
  assert.deepEqual(splitList('<sip:a,b@c>, "x,y" <sip:d>;q=1 ,, <sip:e>'), [
    "<sip:a,b@c>",
    '"x,y" <sip:d>;q=1',
    "<sip:e>",
  ]);
});

test("Via: where a request came from (RFC 3261 §18.2.1, RFC 3581)", () => {
  const via = (text: string) => {
    const parsed = parseVia(text);
    assert.ok(parsed !== undefined, text);
    return parsed;
  };
  const stamp = (text: string) => showVia(withSource(via(text), "192.0.2.9", 6_000));
  assert.equal(stamp("SIP/2.0/UDP 192.0.2.9:5060;branch=b"), "SIP/2.0/UDP 192.0.2.9:5060;branch=b");
  assert.equal(stamp("SIP/2.0/UDP host:5060;branch=b"), "SIP/2.0/UDP host:5060;branch=b;received=192.0.2.9");
  assert.equal(
    stamp("SIP/2.0/UDP 10.0.0.1;rport;branch=b"),
    "SIP/2.0/UDP 10.0.0.1;branch=b;rport=6000;received=192.0.2.9",
  );
  assert.equal(
    stamp("SIP/2.0/UDP 192.0.2.9;rport;branch=b"),
    "SIP/2.0/UDP 192.0.2.9;branch=b;rport=6000;received=192.0.2.9",
  );
  const two = "SIP/2.0/UDP a;branch=1, SIP/2.0/UDP b;branch=2";
  assert.equal(
    replaceFirstVia(two, withSource(via(two), "192.0.2.9", 1)),
    "SIP/2.0/UDP a;branch=1;received=192.0.2.9, SIP/2.0/UDP b;branch=2",
  );
  for (const text of ["", "SIP/2.0/UDP", "UDP a", "SIP/2.0/UDP a:x", "SIP/2.0/UDP [::1"])
    assert.equal(parseVia(text), undefined, text);
});

test("a stream is cut at Content-Length, wherever it was split", () => {
  const one = "OPTIONS sip:a SIP/2.0\r\nL : 3\r\n\r\nabc";
  const two = "OPTIONS sip:b SIP/2.0\r\ncontent-length:0\r\n\r\n";
  const whole = `\r\n\r\n${one}\r\n${two}\r\n\r\n`;
  for (let size = 1; size <= whole.length; size++) {
    const stream = new MessageStream(1_000);
    const messages: string[] = [];
    for (let at = 0; at < whole.length; at += size) {
      const taken = stream.take(whole.slice(at, at + size));
      assert.ok(taken.ok);
      messages.push(...taken.value.messages);
    }
    assert.deepEqual(messages, [one, two], `in pieces of ${size}`);
  }
});

test("from which of our addresses to send", () => {
  const points = (["127.0.0.1", "10.1.0.5", "10.2.0.5", "::1"] as const).map((address) => ({
    id: address,
    name: "udp",
    transport: "udp" as const,
    address,
    port: 5060,
    host: address,
  }));
  const from = (address: string, preferred?: string) => choosePoint(points, "udp", address, preferred)?.id;
  assert.equal(from("10.2.9.9"), "10.2.0.5");
  assert.equal(from("10.2.9.9", "10.1.0.5"), "10.1.0.5");
  assert.equal(from("2001:db8::1"), "::1");
  assert.equal(choosePoint(points, "tcp", "10.2.9.9"), undefined);
});

test("a secret is the same or it is not", () => {
  assert.equal(isSameSecret("abc", "abc"), true);
  for (const guess of ["", "ab", "abd", "abcd"]) assert.equal(isSameSecret(guess, "abc"), false);
});
