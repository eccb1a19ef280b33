import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { after, before, test } from "node:test";
import { FrameWriter } from "./frame-writer.ts";

const server = createServer();
let ours: Socket;
let theirs: Socket;

before(async () => {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const bound = server.address();
  theirs = connect({ host: "127.0.0.1", port: typeof bound === "object" ? (bound?.port ?? 0) : 0 });
  [ours] = (await once(server, "connection")) as [Socket];
});
after(() => {
  theirs.destroy();
  ours.destroy();
  server.close();
});

const read = async (bytes: number): Promise<string> => {
  let text = "";
  while (text.length < bytes) text += String((await once(theirs, "data"))[0]);
  return text;
};

test("frames of one turn leave in one write, in their order, and take along those that wait", async () => {
  const writer = new FrameWriter(ours, 60_000);
  const before = ours.bytesWritten;
  writer.send("echo", "soon");
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(ours.bytesWritten, before, "nobody waits for it yet");
  assert.equal(writer.backlogBytes, 6);
  writer.send("invite", "now");
  writer.send("ack", "soon");
  writer.send("bye");
  assert.equal(await read(24), "4#echo6#invite3#ack3#bye");
  assert.equal(writer.backlogBytes, 0);
});

test("a frame nobody waits for leaves on its own, each time", async () => {
  const writer = new FrameWriter(ours, 1);
  for (const payload of ["one", "two"]) {
    writer.send(payload, "soon");
    assert.equal(await read(5), `3#${payload}`);
  }
});

test("what waits leaves before the connection ends", async () => {
  const writer = new FrameWriter(ours, 60_000);
  writer.send("last", "soon");
  writer.flush();
  ours.end();
  assert.equal(await read(6), "4#last");
});
