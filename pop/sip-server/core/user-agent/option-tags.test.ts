// Extensions a request insists on.

import assert from "node:assert/strict";
import { test } from "node:test";
import { requestOf } from "../../test/messages.ts";
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
