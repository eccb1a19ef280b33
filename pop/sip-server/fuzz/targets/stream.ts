// The framer: however the bytes were split, the same messages come out, and it never holds more than it may.

import { MessageStream } from "../../core/message/stream.ts";
import { Chance } from "../chance.ts";
import { message } from "../grammar.ts";
import { damage, smallerText } from "../mutate.ts";
import { hold, type Target } from "../target.ts";

const BYTES_MAX = 8_192;
const ONE =
  "OPTIONS sip:x SIP/2.0\r\nVia: SIP/2.0/TCP h;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:x>\r\nCall-ID: c\r\nCSeq: 1 OPTIONS\r\nl: 3\r\n\r\nabc";

export const streamTarget: Target = {
  name: "stream",
  seeds: [ONE, `${ONE}\r\n\r\n${ONE}`, `\r\n\r\n${ONE}`, ONE.replace("l: 3", "Content-Length :\r\n 3")],
  make(chance) {
    let text = "";
    for (let count = 1 + chance.below(3); count > 0; count--)
      text += message(chance) + chance.of(["", "\r\n\r\n", "\r\n"]);
    return text;
  },
  mutate: damage,
  run: check,
  smaller: smallerText,
};

interface Read {
  readonly messages: readonly string[];
  readonly fault: string | undefined;
}

function check(input: string): void {
  const whole = read(input, () => input.length || 1);
  const chance = new Chance(input.length);
  compare(
    whole,
    read(input, () => 1 + chance.below(20)),
    "pieces",
  );
  if (input.length < 3_000)
    compare(
      whole,
      read(input, () => 1),
      "single bytes",
    );
}

function compare(a: Read, b: Read, how: string): void {
  hold(a.fault === b.fault, () => `${how}: ${a.fault} or ${b.fault}`);
  hold(a.messages.length === b.messages.length, () => `${how}: ${a.messages.length} or ${b.messages.length} messages`);
  for (const [at, text] of a.messages.entries()) hold(text === b.messages[at], () => `${how}: message ${at}`);
}

function read(input: string, size: () => number): Read {
  const stream = new MessageStream(BYTES_MAX);
  const messages: string[] = [];
  for (let at = 0; at < input.length; ) {
    const chunk = input.slice(at, at + size());
    at += chunk.length;
    const taken = stream.take(chunk);
    if (!taken.ok) return { messages, fault: taken.failure.fault };
    messages.push(...taken.value.messages);
    hold(taken.value.pings <= chunk.length, () => "more pings than bytes");
    hold(stream.waitingBytes <= BYTES_MAX, () => `${stream.waitingBytes} bytes wait`);
    if (stream.fault !== undefined) return { messages, fault: stream.fault.fault };
  }
  for (const text of messages) hold(text.length <= BYTES_MAX, () => `a message of ${text.length}`);
  return { messages, fault: undefined };
}
