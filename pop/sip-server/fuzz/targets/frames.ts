// Frames of applications: the reader, and what a payload is understood to ask.

import { parseCommand } from "../../core/drachtio/command.ts";
import { FrameReader, frame } from "../../core/drachtio/frame.ts";
import { Chance } from "../chance.ts";
import { METHODS, message, uri } from "../grammar.ts";
import { damage, smallerText } from "../mutate.ts";
import { hold, type Target } from "../target.ts";

const BYTES_MAX = 16_384;
const SEEDS = [
  "1|authenticate|s|tag,other",
  "2|route|invite",
  "3|sip|tx|dialog;from-tag=1|\r\nSIP/2.0 200 OK\r\nContact: <sip:x@y>\r\n\r\nv=0",
  "4|sip|||sip:10.0.0.9\r\nINVITE sip:x@y SIP/2.0\r\nFrom: <sip:a@b>\r\n\r\n",
  "5|proxy|tx|remainInDialog|fullResponse|followRedirects|serial|2s|18s|sip:a@b|sip:c@d\r\nINVITE sip:a SIP/2.0\r\n\r\n",
  "6|ping",
  "7|sources|allow|10.0.0.0/8,::1",
];

export const framesTarget: Target = {
  name: "frames",
  seeds: SEEDS.map(frame),
  make(chance) {
    let text = "";
    for (let count = 1 + chance.below(3); count > 0; count--) text += frame(payload(chance));
    return text;
  },
  mutate(input, other, chance) {
    const text = damage(input, other, chance);
    // Half of the time the length is right again: else hardly anything would be looked at.
    return chance.one(2) ? frame(text.slice(text.indexOf("#") + 1)) : text;
  },
  run: check,
  smaller: smallerText,
};

function payload(chance: Chance): string {
  if (chance.one(3)) return chance.of(SEEDS);
  const text = message(chance, chance.one(2) ? { status: 200 } : { method: chance.of(METHODS) });
  return `${chance.below(99)}|${chance.of(["sip", "sip", "proxy", "cdr", "route", ""])}|${chance.of(["", "tx"])}|${chance.of(["", "c;from-tag=1"])}|${chance.of(["", uri(chance)])}\r\n${text}`;
}

function check(input: string): void {
  const whole = read(input, () => input.length || 1);
  const chance = new Chance(input.length);
  const pieces = read(input, () => 1 + chance.below(30));
  hold(whole.payloads.join("\x01") === pieces.payloads.join("\x01"), () => "other payloads when split");
  hold(whole.fault === pieces.fault, () => `${whole.fault} or ${pieces.fault}`);
  for (const text of whole.payloads) understand(text);
  understand(input);
}

function understand(text: string): void {
  const parsed = parseCommand(text);
  if (!parsed.ok) return;
  const command = parsed.value;
  if (command.kind !== "send-request" && command.kind !== "send-response") return;
  for (const { name, value } of command.draft.headers) {
    hold(/^[A-Za-z0-9\-.!%*_+`'~]+$/.test(name), () => `a header named ${name}`);
    hold(!/[\r\n\0]/.test(value), () => `CR, LF or NUL in ${name}`);
  }
  if (command.kind === "send-request")
    hold(!/[\0-\x20\x7f]/.test(command.draft.uri), () => "a blank in the Request-URI");
  else hold(command.draft.status >= 100 && command.draft.status < 700, () => `status ${command.draft.status}`);
}

function read(input: string, size: () => number): { payloads: readonly string[]; fault: string | undefined } {
  const reader = new FrameReader(BYTES_MAX);
  const payloads: string[] = [];
  for (let at = 0; at < input.length; ) {
    const chunk = input.slice(at, at + size());
    at += chunk.length;
    const taken = reader.take(chunk);
    if (!taken.ok) return { payloads, fault: taken.failure.fault };
    payloads.push(...taken.value);
    if (reader.fault !== undefined) return { payloads, fault: reader.fault };
  }
  return { payloads, fault: undefined };
}
