// docs/LIMITS.md names configuration keys in italics: each of them exists, with nothing left of what was renamed.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { z } from "zod";
import { SipServerConfigSchema } from "./sip-server-config.ts";

interface Node {
  readonly properties?: Readonly<Record<string, Node>>;
  /** Of a list. */
  readonly items?: Node;
}

test("every key that the SIP part of LIMITS.md names is one of the configuration's", () => {
  const page = readFileSync(new URL("../../../docs/LIMITS.md", import.meta.url), "utf8");
  const from = page.indexOf("## SIP");
  const part = page.slice(from, page.indexOf("\n## ", from + 1));
  const keys = [...part.matchAll(/(?<!\*)\*([a-z][A-Za-z]*(?:\.[A-Za-z]+)*)\*(?!\*)/g)].map(([, key = ""]) => key);
  assert.ok(keys.length > 40, `${keys.length}`);
  const schema = z.toJSONSchema(SipServerConfigSchema, { io: "input", unrepresentable: "any" }) as Node;
  const missing = keys.filter((key) => {
    let node: Node | undefined = schema;
    for (const name of key.split(".")) node = (node?.items ?? node)?.properties?.[name];
    return node === undefined;
  });
  assert.deepEqual(missing, []);
});

test("every bound of guard and overload stands on the page", () => {
  const page = readFileSync(new URL("../../../docs/LIMITS.md", import.meta.url), "utf8");
  const schema = z.toJSONSchema(SipServerConfigSchema, { io: "input", unrepresentable: "any" }) as Node;
  for (const section of ["guard", "overload"])
    for (const key of Object.keys(schema.properties?.[section]?.properties ?? {}))
      if (key !== "enabled") assert.ok(page.includes(`*${section}.${key}*`), `${section}.${key}`);
});
