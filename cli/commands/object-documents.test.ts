import assert from "node:assert/strict";
import { test } from "node:test";
import { CommandEnd } from "../exit.ts";
import { placeOf, readDocuments } from "./object-documents.ts";

const TEXT = `# a tenant
kind: tenant
id: acme
groups:
  - afterSeconds: 0
    teams: [one]
  - afterSeconds: -3
    teams: [two]
---
kind: flow
id: main
activities:
  greet:
    kind: play
    next: nowhere
`;

test("a mistake is placed by file and line, down to the part that is wrong", () => {
  const documents = readDocuments("acme.yaml", TEXT);
  assert.deepEqual(
    documents.map(({ line, tenant }) => [line, tenant]),
    [
      [2, "acme"],
      [10, undefined],
    ],
  );
  assert.equal(placeOf(documents, 1, "groups.1.afterSeconds"), "acme.yaml:7");
  assert.equal(placeOf(documents, 1, "/groups/1/teams/0"), "acme.yaml:8");
  assert.equal(placeOf(documents, 2, "activities.greet.next"), "acme.yaml:15");
  assert.equal(placeOf(documents, 2, "activities.greet.missing"), "acme.yaml:14", "what is missing: its parent");
  assert.equal(placeOf(documents, 2, ""), "acme.yaml:10");
  assert.equal(placeOf(documents, 0, ""), "acme.yaml", "the whole of them");
  assert.equal(placeOf(documents, undefined, "id"), "acme.yaml");
});

test("every syntax error is named with its line", () => {
  assert.throws(
    () => readDocuments("bad.yaml", "a: [1\nb: 2\n"),
    (error) => error instanceof CommandEnd && error.code === 65 && /^bad\.yaml:\d+: /.test(error.message),
  );
});

test("aliases that would grow without bound are a mistake of the file, not a crash", () => {
  const levels = ["a", "b", "c", "d", "e"].map((name, level, names) => {
    const below = level === 0 ? "x" : `*${names[level - 1]}`;
    return `${name}: &${name} [${Array(10).fill(below).join(", ")}]`;
  });
  assert.throws(
    () => readDocuments("bomb.yaml", `kind: tenant\nid: one\n---\n${levels.join("\n")}\n`),
    (error) => error instanceof CommandEnd && error.code === 65 && /^bomb\.yaml:4: .*alias/.test(error.message),
  );
});
