import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { afterEach, describe, test } from "node:test";
import { asId } from "../../../../kernel/ids.ts";
import { seededRng } from "../../../../kernel/rng.ts";
import { addressMoverContract } from "../../boundary/address-mover.contract.ts";
import { AwsAddressMover, type AwsPlace } from "./address-mover.ts";
import { type AwsCredentials, environmentCredentials, InstanceCredentials } from "./aws-credentials.ts";
import { FakeEc2, KEYS } from "./fake-ec2.ts";

const SERVICE = asId<"pop-host">("fra-01-a");
const ADDRESS = { privateAddress: "10.0.1.11", allocationId: "eipalloc-1" };
const credentials: AwsCredentials = { keys: async () => ({ ok: true, value: KEYS }), close() {} };

const clouds: FakeEc2[] = [];
afterEach(async () => {
  await Promise.all(clouds.splice(0).map((ec2) => ec2.close()));
});

async function cloud(change: Partial<AwsPlace> = {}) {
  const ec2 = new FakeEc2();
  const endpoint = await ec2.start();
  clouds.push(ec2);
  ec2.interfaces.add("eni-here").add("eni-there");
  ec2.assigned.set(ADDRESS.privateAddress, "eni-there");
  ec2.associated.set(ADDRESS.allocationId, `eni-there ${ADDRESS.privateAddress}`);
  const mover = (networkInterfaceId: string) =>
    new AwsAddressMover({
      region: "eu-central-1",
      networkInterfaceId,
      addresses: new Map([[SERVICE, ADDRESS]]),
      credentials,
      endpoint,
      rng: seededRng(1),
      takeMsMax: 1_000,
      ...change,
    });
  return { ec2, mover, endpoint };
}

addressMoverContract("the EC2 API", async () => {
  const { ec2, mover } = await cloud();
  return {
    here: mover("eni-here"),
    there: mover("eni-there"),
    service: SERVICE,
    at: async () => {
      const where = ec2.assigned.get(ADDRESS.privateAddress);
      assert.equal(ec2.associated.get(ADDRESS.allocationId), `${where} ${ADDRESS.privateAddress}`);
      return where === "eni-here" ? "here" : "there";
    },
    hang: async () => {
      ec2.hangs = true;
    },
    withinMs: 1_000,
    close: async () => {},
  };
});

describe("the EC2 API, in its moods", () => {
  test("throttled: asked again after waits that grow, and done", async () => {
    const { ec2, mover } = await cloud({ takeMsMax: 5_000 });
    ec2.throttle = 3;
    assert.ok((await mover("eni-here").take(SERVICE)).ok);
    const waits = ec2.calls.slice(1, 4).map(({ atMs }, at) => atMs - (ec2.calls[at]?.atMs ?? 0));
    assert.ok(
      waits.every((waitMs, at) => waitMs >= 0.5 * 100 * 2 ** at - 5),
      `${waits}`,
    );
    assert.equal(ec2.associated.get(ADDRESS.allocationId), `eni-here ${ADDRESS.privateAddress}`);
  });

  test("throttled without end: given up in time, with what EC2 said", async () => {
    const { ec2, mover } = await cloud({ takeMsMax: 400 });
    ec2.throttle = 1_000;
    const taken = await mover("eni-here").take(SERVICE);
    assert.ok(!taken.ok && taken.failure.code === "address.refused");
    assert.match(taken.failure.detail, /RequestLimitExceeded/);
    assert.ok(ec2.calls.length <= 5);
  });

  test("what cannot succeed is asked once", async () => {
    const { ec2, mover } = await cloud();
    const taken = await mover("eni-gone").take(SERVICE);
    assert.ok(!taken.ok && taken.failure.code === "address.refused");
    assert.match(taken.failure.detail, /InvalidNetworkInterfaceID/);
    assert.equal(ec2.calls.length, 1);
  });

  test("a wrong key is refused", async () => {
    const wrong = { ...KEYS, secretAccessKey: "another" };
    const { ec2, mover } = await cloud({ credentials: { keys: async () => ({ ok: true, value: wrong }), close() {} } });
    const taken = await mover("eni-here").take(SERVICE);
    assert.ok(!taken.ok && taken.failure.code === "address.refused");
    assert.match(taken.failure.detail, /SignatureDoesNotMatch/);
    assert.ok(!JSON.stringify(taken).includes("another"), "no secret is told");
    assert.equal(ec2.assigned.get(ADDRESS.privateAddress), "eni-there");
  });

  test("answers that are none, false, or without end", async () => {
    for (const [status, body] of [
      [200, "<r><return>false</return></r>"],
      [400, ""],
      [403, "<html>".repeat(100_000)],
      [302, ""],
    ] as const) {
      const { ec2, mover } = await cloud({ takeMsMax: status === 302 ? 300 : 5_000 });
      ec2.answer = { status, body };
      const taken = await mover("eni-here").take(SERVICE);
      assert.ok(!taken.ok, `${status}`);
      // A redirect is no answer at all: it is tried again until the time is over, which may be in the middle of a try.
      if (status === 302 && taken.failure.code === "address.timed-out") continue;
      assert.ok(taken.failure.code === "address.refused" && taken.failure.detail.length <= 200, `${status}`);
    }
  });

  test("nobody there: refused in time", async () => {
    const { ec2, mover } = await cloud({ takeMsMax: 300 });
    await ec2.close();
    clouds.length = 0;
    const taken = await mover("eni-here").take(SERVICE);
    assert.ok(!taken.ok && taken.failure.code === "address.refused");
  });
});

describe("keys", () => {
  test("of the environment, where they are set", async () => {
    assert.equal(environmentCredentials({}), undefined);
    const env = { AWS_ACCESS_KEY_ID: "a", AWS_SECRET_ACCESS_KEY: "b", AWS_SESSION_TOKEN: "c" };
    const keys = { accessKeyId: "a", secretAccessKey: "b", sessionToken: "c" };
    assert.deepEqual(await environmentCredentials(env)?.keys(), { ok: true, value: keys });
  });

  test("of the instance's role: fetched with a token, kept until they expire", async () => {
    let asked = 0;
    let expiresInMs = 3_600_000;
    const metadata = createServer((request, response) => {
      const { url = "", method } = request;
      if (method === "PUT" && url === "/latest/api/token") return void response.end("the-token");
      if (request.headers["x-aws-ec2-metadata-token"] !== "the-token") return void response.writeHead(401).end();
      if (url === "/latest/meta-data/iam/security-credentials/") return void response.end("tollgate-host\n");
      if (url !== "/latest/meta-data/iam/security-credentials/tollgate-host") return void response.writeHead(404).end();
      asked++;
      const Expiration = new Date(Date.now() + expiresInMs).toISOString();
      const { accessKeyId: AccessKeyId, secretAccessKey: SecretAccessKey, sessionToken: Token } = KEYS;
      response.end(JSON.stringify({ Code: "Success", AccessKeyId, SecretAccessKey, Token, Expiration }));
    }).listen(0, "127.0.0.1");
    await once(metadata, "listening");
    const { port } = metadata.address() as { port: number };
    expiresInMs = -1;
    const held = new InstanceCredentials(`http://127.0.0.1:${port}`);
    for (let at = 0; at < 2; at++) assert.deepEqual(await held.keys(), { ok: true, value: KEYS });
    expiresInMs = 3_600_000;
    await held.keys();
    const before = asked;
    for (let at = 0; at < 5; at++) assert.deepEqual(await held.keys(), { ok: true, value: KEYS });
    assert.equal(asked, before, "kept");
    held.close();
    metadata.closeAllConnections();
    await new Promise((resolve) => metadata.close(resolve));
    const none = new InstanceCredentials(`http://127.0.0.1:${port}`);
    const failed = await none.keys();
    assert.ok(!failed.ok && failed.failure.code === "address.refused");
    none.close();
  });
});
