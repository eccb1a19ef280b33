// A caller, a real drachtio-srf application that proxies, and callees: RFC 3261 §16.

import assert from "node:assert/strict";
import { headersOf, headerValue, type SipRequest, type SipResponse } from "../core/message/message.ts";
import { offered, type ProxyResults, QUICK, type Stage, scenario, until } from "./application.ts";
import { aRequest, aResponse, type Call, finish, type Peer, SDP, type UdpPeer } from "./peer.ts";

const uriOf = (peer: Peer, user = "callee"): string =>
  `sip:${user}@127.0.0.1:${peer.port}${peer.transport === "TCP" ? ";transport=tcp" : ""}`;
const statuses = ({ responses }: ProxyResults) => responses.flatMap(({ msgs }) => msgs.map(({ status }) => status));

/** Alice calls, and the application proxies to these. */
async function proxied(
  stage: Stage,
  to: (Peer | string)[],
  options: Record<string, unknown> = {},
  caller: { peer?: Peer; headers?: string[] } = {},
) {
  const srf = await stage.application();
  const invited = offered(srf, "invite");
  const alice = caller.peer ?? (await stage.udpPeer());
  const port = alice.transport === "TCP" ? stage.tcpPort : stage.udpPort;
  const call = alice.call(`sip:service@127.0.0.1:${port}`, { headers: caller.headers ?? [] });
  call.invite();
  const { req } = await invited;
  const uris = to.map((one) => (typeof one === "string" ? one : uriOf(one)));
  const results = srf.proxyRequest(req, uris, options);
  results.catch(() => {}); // a test that expects a refusal looks at it
  return { srf, alice, call, results };
}

const over = (stage: Stage) =>
  until(() => stage.server.endpoint.facts.proxiedRequests === 0, "every proxied request has ended");

/** The route set of whoever asked: RFC 3261 §12.1.2. */
const routesOf = (response: SipResponse): string[] =>
  headersOf(response, "record-route")
    .map(({ value }) => `Route: ${value}`)
    .reverse();

/** A request of the caller in the dialog, by the route set. */
function inDialog(call: Call, method: string, routes: readonly string[], cseq = call.cseq): void {
  call.peer.sendText(finish(call.lines(method, call.peer.branch(), routes, cseq), ""));
}

scenario("one callee: the call goes through us, and so does everything after it, without a frame", async (stage) => {
  const bob = await stage.udpPeer();
  const { alice, call, results } = await proxied(stage, [bob], { remainInDialog: true });
  const invite = await bob.next(aRequest("INVITE"));
  assert.equal(invite.uri, uriOf(bob)); // it named us, so it is replaced (§16.6 step 2)
  assert.equal(headersOf(invite, "via").length, 2);
  assert.equal(headerValue(invite, "max-forwards"), "69");
  assert.match(headerValue(invite, "record-route") ?? "", /^<sip:127\.0\.0\.1:\d+;lr;/);
  assert.equal(invite.body, SDP);
  bob.respond(invite, 180, "Ringing");
  const ringing = await alice.next(aResponse(180));
  assert.equal(headersOf(ringing, "via").length, 1);
  bob.respond(invite, 200, "OK", { body: SDP });
  const answer = await call.answered();
  const { connected, finalStatus } = await results;
  assert.deepEqual([connected, finalStatus], [true, 200]);
  const routes = routesOf(answer);
  inDialog(call, "ACK", routes);
  const ack = await bob.next(aRequest("ACK"));
  assert.equal(headersOf(ack, "route").length, 0);
  assert.equal(headersOf(ack, "via").length, 2);
  bob.respond(invite, 200, "OK", { body: SDP }); // a copy of the 2xx goes up as well (§16.7 step 5)
  await alice.next(aResponse(200, "INVITE"));
  inDialog(call, "INFO", routes, 2);
  bob.respond(await bob.next(aRequest("INFO")), 200, "OK");
  await alice.next(aResponse(200, "INFO"));
  const own = headersOf(invite, "record-route").map(({ value }) => `Route: ${value}`);
  bob.requestTo(invite, "BYE", 1, { headers: own });
  alice.respond(await alice.next(aRequest("BYE")), 200, "OK");
  await bob.next(aResponse(200, "BYE"));
  await over(stage);
  assert.equal(stage.server.endpoint.facts.dialogs, 0);
});

scenario("without remainInDialog we are not on the way", async (stage) => {
  const bob = await stage.udpPeer();
  const { call, results } = await proxied(stage, [bob]);
  const invite = await bob.next(aRequest("INVITE"));
  assert.equal(headerValue(invite, "record-route"), undefined);
  bob.respond(invite, 200, "OK");
  await call.answered();
  assert.equal((await results).connected, true);
});

scenario("a Request-URI that does not name us stays; the application's headers are added", async (stage) => {
  const bob = await stage.udpPeer();
  const srf = await stage.application();
  const invited = offered(srf, "invite");
  const alice = await stage.udpPeer();
  const call = alice.call("sip:bob@elsewhere.example");
  call.invite();
  const { req } = await invited;
  const results = srf.proxyRequest(req, uriOf(bob), { headers: { "X-Tenant": "acme", Via: "SIP/2.0/UDP evil" } });
  const invite = await bob.next(aRequest("INVITE"));
  assert.equal(invite.uri, "sip:bob@elsewhere.example");
  assert.equal(headerValue(invite, "x-tenant"), "acme");
  assert.equal(headersOf(invite, "via").length, 2);
  bob.respond(invite, 200, "OK");
  await call.answered();
  await results;
});

scenario("serial: the next callee is asked when the first refuses; the caller sees the last word", async (stage) => {
  const [bob, carol] = [await stage.udpPeer(), await stage.udpPeer()];
  const { call, results } = await proxied(stage, [bob, carol]);
  bob.respond(await bob.next(aRequest("INVITE")), 486, "Busy Here");
  await bob.next(aRequest("ACK"));
  carol.respond(await carol.next(aRequest("INVITE")), 200, "OK");
  await call.answered();
  assert.deepEqual(statuses(await results), [486, 200]);
});

scenario("serial: everybody refuses; the best response goes back, once", async (stage) => {
  const [bob, carol] = [await stage.udpPeer(), await stage.udpPeer()];
  const { alice, call, results } = await proxied(stage, [bob, carol]);
  bob.respond(await bob.next(aRequest("INVITE")), 404, "Not Found");
  carol.respond(await carol.next(aRequest("INVITE")), 503, "Service Unavailable");
  call.ackFailure(await alice.next(aResponse(404)));
  assert.deepEqual(statuses(await results), [404, 503]);
  await over(stage);
  assert.equal(alice.count(aResponse(503)) + alice.count(aResponse(500)), 0);
});

scenario("a 503 goes back as 500: it is not ours (§16.7 step 6)", async (stage) => {
  const bob = await stage.udpPeer();
  const { alice, call } = await proxied(stage, [bob]);
  bob.respond(await bob.next(aRequest("INVITE")), 503, "Service Unavailable");
  call.ackFailure(await alice.next(aResponse(500)));
});

scenario("simultaneous: the first 2xx wins, the others are cancelled", async (stage) => {
  const [bob, carol] = [await stage.udpPeer(), await stage.udpPeer()];
  const { alice, call, results } = await proxied(stage, [bob, carol], { forking: "simultaneous" });
  const [toBob, toCarol] = await Promise.all([bob.next(aRequest("INVITE")), carol.next(aRequest("INVITE"))]);
  assert.deepEqual(
    [toBob, toCarol].map((invite) => headerValue(invite, "max-breadth")),
    ["30", "30"],
  );
  bob.respond(toBob, 180, "Ringing", { tag: "bob" });
  carol.respond(toCarol, 180, "Ringing", { tag: "carol" });
  await alice.next(aResponse(180));
  await alice.next(aResponse(180));
  carol.respond(toCarol, 200, "OK", { tag: "carol" });
  await call.answered();
  assert.equal(call.toTag, "carol");
  const cancel = await bob.next(aRequest("CANCEL"));
  assert.equal(headerValue(cancel, "reason"), 'SIP;cause=200;text="Call completed elsewhere"'); // RFC 3326
  bob.respond(cancel, 200, "OK");
  bob.respond(toBob, 487, "Request Terminated", { tag: "bob" });
  await bob.next(aRequest("ACK"));
  const { connected, finalStatus } = await results;
  assert.deepEqual([connected, finalStatus], [true, 200]);
  await over(stage);
  assert.equal(alice.count(aResponse(487)), 0);
});

scenario("simultaneous: two answer; both 2xx go back (§16.7 step 5)", async (stage) => {
  const [bob, carol] = [await stage.udpPeer(), await stage.udpPeer()];
  const { alice } = await proxied(stage, [bob, carol], { forking: "simultaneous" });
  const [toBob, toCarol] = await Promise.all([bob.next(aRequest("INVITE")), carol.next(aRequest("INVITE"))]);
  bob.respond(toBob, 200, "OK", { tag: "bob" });
  carol.respond(toCarol, 200, "OK", { tag: "carol" });
  const tags = [await alice.next(aResponse(200, "INVITE")), await alice.next(aResponse(200, "INVITE"))];
  assert.deepEqual(tags.map(({ toTag }) => toTag).sort(), ["bob", "carol"]);
});

scenario("simultaneous: every challenge goes back in one response (§16.7 step 7)", async (stage) => {
  const [bob, carol] = [await stage.udpPeer(), await stage.udpPeer()];
  const { alice, call } = await proxied(stage, [bob, carol], { forking: "simultaneous" });
  const challenge = (name: string, realm: string) => ({ headers: [`${name}: Digest realm="${realm}", nonce="1"`] });
  bob.respond(await bob.next(aRequest("INVITE")), 401, "Unauthorized", challenge("WWW-Authenticate", "b"));
  await bob.next(aRequest("ACK"));
  carol.respond(await carol.next(aRequest("INVITE")), 407, "Proxy", challenge("Proxy-Authenticate", "c"));
  const refused = await alice.next((m): m is SipResponse => m.kind === "response" && m.status > 400);
  assert.match(headerValue(refused, "www-authenticate") ?? "", /realm="b"/);
  assert.match(headerValue(refused, "proxy-authenticate") ?? "", /realm="c"/);
  call.ackFailure(refused);
});

scenario("a 6xx ends the search for everybody", async (stage) => {
  const [bob, carol] = [await stage.udpPeer(), await stage.udpPeer()];
  const { alice, call } = await proxied(stage, [bob, carol], { forking: "simultaneous" });
  const [toBob, toCarol] = await Promise.all([bob.next(aRequest("INVITE")), carol.next(aRequest("INVITE"))]);
  bob.respond(toBob, 180, "Ringing");
  await alice.next(aResponse(180));
  carol.respond(toCarol, 603, "Decline");
  bob.respond(await bob.next(aRequest("CANCEL")), 200, "OK");
  assert.equal(alice.count(aResponse(603)), 0); // not before every branch has ended
  bob.respond(toBob, 487, "Request Terminated");
  call.ackFailure(await alice.next(aResponse(603)));
});

scenario("followRedirects: the contacts of a 302 are asked by us, best first", async (stage) => {
  const [bob, carol, dave] = [await stage.udpPeer(), await stage.udpPeer(), await stage.udpPeer()];
  const { alice, call } = await proxied(stage, [bob], { followRedirects: true });
  const contact = `Contact: <${uriOf(carol, "c")}>;q=0.5, <${uriOf(dave, "d")}>;q=0.9`;
  bob.respond(await bob.next(aRequest("INVITE")), 302, "Moved", { headers: [contact] });
  const toDave = await dave.next(aRequest("INVITE"));
  assert.equal(toDave.uri, uriOf(dave, "d"));
  dave.respond(toDave, 486, "Busy Here");
  carol.respond(await carol.next(aRequest("INVITE")), 200, "OK");
  await call.answered();
  assert.equal(alice.count(aResponse(302)), 0);
});

scenario("without followRedirects the 302 is the caller's", async (stage) => {
  const [bob, carol] = [await stage.udpPeer(), await stage.udpPeer()];
  const { alice, call } = await proxied(stage, [bob]);
  const headers = [`Contact: <${uriOf(carol)}>`];
  bob.respond(await bob.next(aRequest("INVITE")), 302, "Moved", { headers });
  const moved = await alice.next(aResponse(302));
  assert.match(headerValue(moved, "contact") ?? "", new RegExp(`:${carol.port}>`));
  call.ackFailure(moved);
  assert.equal(carol.received.length, 0);
});

scenario("provisionalTimeout: who says nothing at all is left for the next", async (stage) => {
  const [bob, carol] = [await stage.udpPeer(), await stage.udpPeer()];
  const { call, results } = await proxied(stage, [bob, carol], { provisionalTimeout: "100ms" });
  const toBob = await bob.next(aRequest("INVITE"));
  const toCarol = await carol.next(aRequest("INVITE"));
  bob.respond(toBob, 180, "Ringing"); // too late: it is told so
  bob.respond(await bob.next(aRequest("CANCEL")), 200, "OK");
  bob.respond(toBob, 487, "Request Terminated");
  carol.respond(toCarol, 200, "OK");
  await call.answered();
  assert.equal((await results).connected, true);
});

scenario("provisionalTimeout of the last: 408, without waiting for Timer B", async (stage) => {
  const bob = await stage.udpPeer();
  const { alice, call, results } = await proxied(stage, [bob], { provisionalTimeout: "100ms" });
  await bob.next(aRequest("INVITE"));
  call.ackFailure(await alice.next(aResponse(408)));
  const { connected, finalStatus } = await results;
  assert.deepEqual([connected, finalStatus], [false, 408]);
});

scenario("finalTimeout, which the C++ server ignores: a callee that rings too long is cancelled", async (stage) => {
  const [bob, carol] = [await stage.udpPeer(), await stage.udpPeer()];
  const { alice, call } = await proxied(stage, [bob, carol], { finalTimeout: "150ms" });
  const toBob = await bob.next(aRequest("INVITE"));
  bob.respond(toBob, 180, "Ringing");
  bob.respond(await bob.next(aRequest("CANCEL")), 200, "OK");
  bob.respond(toBob, 487, "Request Terminated");
  const toCarol = await carol.next(aRequest("INVITE"));
  carol.respond(toCarol, 180, "Ringing");
  carol.respond(await carol.next(aRequest("CANCEL")), 200, "OK");
  carol.respond(toCarol, 487, "Request Terminated");
  call.ackFailure(await alice.next(aResponse(408))); // the callees' 487 are for us
});

scenario("the caller cancels: so do we, and the callee's 487 goes back", async (stage) => {
  const bob = await stage.udpPeer();
  const { alice, call, results } = await proxied(stage, [bob, "sip:127.0.0.1:9"]);
  const invite = await bob.next(aRequest("INVITE"));
  bob.respond(invite, 180, "Ringing");
  await alice.next(aResponse(180));
  call.cancel(['Reason: SIP;cause=487;text="gone"']);
  await alice.next(aResponse(200, "CANCEL"));
  const cancel = await bob.next(aRequest("CANCEL"));
  assert.equal(headerValue(cancel, "reason"), 'SIP;cause=487;text="gone"');
  assert.equal(cancel.via.branch, invite.via.branch);
  assert.equal(headersOf(cancel, "via").length, 1); // §9.1
  bob.respond(cancel, 200, "OK");
  bob.respond(invite, 487, "Request Terminated");
  call.ackFailure(await alice.next(aResponse(487)));
  assert.equal((await results).finalStatus, 487);
  await over(stage);
});

scenario(
  "nobody answers an INVITE: 408 after 64·T1; anything else: 504 before its sender stops listening (RFC 4320)",
  async (stage) => {
    const silent = await stage.udpPeer();
    const { alice, call, results } = await proxied(stage, [silent]);
    call.ackFailure(await alice.next(aResponse(408)));
    assert.equal((await results).finalStatus, 408);
    const srf = await stage.application();
    const asked = offered(srf, "options");
    alice.call(`sip:service@127.0.0.1:${stage.udpPort}`).request("OPTIONS");
    const { req } = await asked;
    const outcome = srf.proxyRequest(req, uriOf(silent));
    await alice.next(aResponse(504));
    assert.equal((await outcome).finalStatus, 504);
    await over(stage);
  },
  QUICK,
);

scenario("from UDP to TCP: both of our addresses stay on the way (RFC 5658)", async (stage) => {
  const bob = await stage.tcpPeer();
  const { alice, call } = await proxied(stage, [bob], { remainInDialog: true });
  const invite = await bob.next(aRequest("INVITE"));
  const records = headersOf(invite, "record-route").map(({ value }) => value);
  assert.equal(records.length, 2);
  assert.match(records[0] ?? "", new RegExp(`^<sip:127\\.0\\.0\\.1:${stage.tcpPort};transport=tcp;lr`));
  assert.match(records[1] ?? "", new RegExp(`^<sip:127\\.0\\.0\\.1:${stage.udpPort};lr`));
  bob.respond(invite, 200, "OK");
  const routes = routesOf(await call.answered());
  inDialog(call, "ACK", routes);
  await bob.next(aRequest("ACK"));
  inDialog(call, "INFO", routes, 2);
  const info = await bob.next(aRequest("INFO"));
  assert.equal(info.via.transport, "TCP");
  bob.respond(info, 200, "OK");
  await alice.next(aResponse(200, "INFO"));
  bob.requestTo(invite, "BYE", 1, { headers: records.map((value) => `Route: ${value}`) });
  const bye = await alice.next(aRequest("BYE"));
  assert.equal(bye.via.transport, "UDP");
  assert.equal(headersOf(bye, "route").length, 0);
  alice.respond(bye, 200, "OK");
  await bob.next(aResponse(200, "BYE"));
});

scenario("a strict router before us: our own URI as Request-URI is undone (§16.4)", async (stage) => {
  const bob = await stage.udpPeer();
  const { alice, call } = await proxied(stage, [bob], { remainInDialog: true });
  bob.respond(await bob.next(aRequest("INVITE")), 200, "OK");
  const answer = await call.answered();
  const [own = ""] = headersOf(answer, "record-route").map(({ value }) => value.slice(1, -1));
  const target = call.target;
  call.target = own;
  inDialog(call, "INFO", [`Route: <${target}>`], 2);
  const info = await bob.next(aRequest("INFO"));
  assert.equal(info.uri, target);
  bob.respond(info, 200, "OK");
  await alice.next(aResponse(200, "INFO"));
});

scenario("we carry nobody's requests but those of dialogs we proxied: no open relay", async (stage) => {
  const [alice, bob] = [await stage.udpPeer(), await stage.udpPeer()];
  const call = alice.call(uriOf(bob));
  call.toTag = "made-up";
  const us = `sip:127.0.0.1:${stage.udpPort};lr`;
  for (const route of [us, `${us};tgk=0123456789abcdef`, `${us};tgk=`]) {
    call.cseq++;
    inDialog(call, "INFO", [`Route: <${route}>`]);
    await alice.next(aResponse(481, "INFO"));
  }
  assert.equal(bob.received.length, 0);
});

scenario("what cannot be proxied is refused, upstream and to the application", async (stage) => {
  const bob = await stage.udpPeer();
  const refused = async (header: string, status: number) => {
    const { alice, call, results, srf } = await proxied(stage, [bob], {}, { headers: [header] });
    call.ackFailure(await alice.next(aResponse(status)));
    await assert.rejects(results, (reason: unknown) => String(reason).startsWith(`${status} `));
    (srf as unknown as { disconnect(): void }).disconnect();
    return alice;
  };
  await refused("Proxy-Require: something", 420);
  await refused("Max-Breadth: 0", 440);
  assert.equal(bob.received.length, 0);
});

scenario("hops that are used up: 483", async (stage) => {
  const bob = await stage.udpPeer();
  const srf = await stage.application();
  const invited = offered(srf, "invite");
  const alice = await stage.udpPeer();
  const call = alice.call(`sip:service@127.0.0.1:${stage.udpPort}`);
  call.inviteBranch = alice.branch();
  const lines = call.lines("INVITE", call.inviteBranch);
  alice.sendText(
    finish(
      lines.map((line) => (line.startsWith("Max-Forwards") ? "Max-Forwards: 0" : line)),
      SDP,
    ),
  );
  const { req } = await invited;
  await assert.rejects(srf.proxyRequest(req, uriOf(bob)), (reason: unknown) => String(reason).startsWith("483"));
  call.ackFailure(await alice.next(aResponse(483)));
  assert.equal(bob.received.length, 0);
});

scenario("a request that comes back unchanged is a loop: 482", async (stage) => {
  const bob = await stage.udpPeer();
  const srf = await stage.application();
  srf.invite((req) => {
    srf.proxyRequest(req, uriOf(bob)).catch(() => {});
  });
  const alice = await stage.udpPeer();
  const call = alice.call("sip:bob@elsewhere.example");
  call.invite();
  const first = await bob.next(aRequest("INVITE"));
  bob.sendText(sentOn(first, bob)); // bob is a proxy as well, and sends it back to us
  const looped = await bob.next(aResponse(482, "INVITE"));
  assert.equal(looped.via.branch, "z9hG4bK-bob");
});

/** As a proxy at that peer would send it on. */
function sentOn(request: SipRequest, { port }: UdpPeer): string {
  const lines = request.headers
    .filter(({ key }) => key !== "content-type" && key !== "content-length")
    .map(({ name, value }) => `${name}: ${value}`);
  const via = `Via: SIP/2.0/UDP 127.0.0.1:${port};rport;branch=z9hG4bK-bob`;
  return finish([`${request.method} ${request.uri} SIP/2.0`, via, ...lines], request.body);
}

scenario("NOK: ourselves as the destination; the request is still the application's", async (stage) => {
  const srf = await stage.application();
  const invited = offered(srf, "invite");
  const alice = await stage.udpPeer();
  const call = alice.call(`sip:service@127.0.0.1:${stage.udpPort}`);
  call.invite();
  const { req, res } = await invited;
  const self = srf.proxyRequest(req, `sip:127.0.0.1:${stage.udpPort}`);
  await assert.rejects(self, (reason: unknown) => reason === "can not send request to myself");
  res.send(486);
  call.ackFailure(await alice.next(aResponse(486)));
});

scenario("NOK: a request that has its answer", async (stage) => {
  const srf = await stage.application();
  const asked = offered(srf, "options");
  const [alice, bob] = [await stage.udpPeer(), await stage.udpPeer()];
  alice.call(`sip:service@127.0.0.1:${stage.udpPort}`).request("OPTIONS");
  const { req, res } = await asked;
  res.send(200);
  await alice.next(aResponse(200, "OPTIONS"));
  await assert.rejects(srf.proxyRequest(req, uriOf(bob)), (reason: unknown) =>
    String(reason).startsWith("Unknown transaction id:"),
  );
});

scenario("REGISTER: Path and Require: path, as the C++ server (RFC 3327)", async (stage) => {
  const registrar = await stage.udpPeer();
  const srf = await stage.application();
  const asked = offered(srf, "register");
  const alice = await stage.udpPeer();
  alice.call(`sip:127.0.0.1:${stage.udpPort}`).request("REGISTER");
  const { req } = await asked;
  const results = srf.proxyRequest(req, uriOf(registrar), { path: true });
  const register = await registrar.next(aRequest("REGISTER"));
  assert.equal(headerValue(register, "path"), `<sip:127.0.0.1:${stage.udpPort};lr>`);
  assert.equal(headerValue(register, "require"), "path");
  assert.equal(headerValue(register, "record-route"), undefined);
  registrar.respond(register, 200, "OK");
  await alice.next(aResponse(200, "REGISTER"));
  await results;
});
