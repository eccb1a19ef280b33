// One connection of the drachtio protocol, whoever made it: frames in, frames out, back-pressure both ways.

import type { Socket } from "node:net";
import type { ApplicationHost, ApplicationLink } from "../boundary/application-link.ts";
import { FrameReader } from "../core/drachtio/frame.ts";
import type { AdminLimits } from "../core/limits.ts";
import { FrameWriter } from "./frame-writer.ts";

/** @param socket connected, or about to be: what is sent before leaves when it stands */
export function serveFrames(
  socket: Socket,
  { id, address }: { readonly id: string; readonly address: string },
  host: ApplicationHost,
  limits: AdminLimits,
  authenticated: () => void = () => {},
): ApplicationLink {
  const reader = new FrameReader(limits.frameBytesMax);
  const writer = new FrameWriter(socket, limits.unhurriedMs);
  let isFull = false;
  let isClosing = false;
  const link: ApplicationLink = {
    id,
    address,
    authenticated,
    get open() {
      return !isClosing && !socket.destroyed && socket.writable;
    },
    get busy() {
      return isFull;
    },
    get backlogBytes() {
      return writer.backlogBytes;
    },
    send(payload, urgency) {
      if (isClosing || socket.destroyed || !socket.writable) return;
      const { backlogBytes } = writer;
      if (backlogBytes > limits.backlogBytesMax) {
        socket.destroy();
        return;
      }
      // It does not read what we say: no more is asked of it, nor taken from it, until it has.
      if (!isFull && backlogBytes > limits.backlogBytesHigh) {
        isFull = true;
        socket.pause();
      }
      writer.send(payload, urgency);
    },
    close() {
      if (isClosing) return;
      isClosing = true;
      writer.flush();
      socket.end();
      // A peer that keeps its half open does not keep ours.
      setTimeout(() => socket.destroy(), LINGER_MS).unref();
    },
  };
  socket.on("drain", () => {
    if (!isFull) return;
    isFull = false;
    socket.resume();
  });
  socket.setNoDelay(true);
  socket.setKeepAlive(true, 15_000);
  socket.on("error", () => {}); // "close" follows
  socket.on("close", () => host.onClose(link));
  socket.on("data", (bytes) => {
    if (isClosing) return;
    const taken = reader.take(bytes.toString("latin1"));
    if (taken.ok)
      for (const payload of taken.value) {
        if (!link.open) return;
        host.onPayload(link, payload);
      }
    const { fault, beginning } = reader;
    if (fault === undefined || !link.open) return;
    const bar = beginning.indexOf("|");
    const reason = fault === "length" ? "Invalid message length" : `frame larger than ${limits.frameBytesMax} bytes`;
    host.onUnusable(link, bar === -1 ? "" : beginning.slice(0, bar), reason);
  });
  return link;
}

const LINGER_MS = 2_000;
