// Text to speech through espeak-ng, a process per text. The text goes in by its standard input: it is never part of a
// command line, and without -m it is not read as markup either.

import { execFile } from "node:child_process";
import { fail, type Outcome, succeed } from "../../../kernel/outcome.ts";
import type { PromptFailure } from "../../boundary/prompt-store.ts";
import { type PcmAudio, readWav } from "../../core/media/wav.ts";

export interface SpeechLimits {
  /** Processes at once. */
  readonly speakingMax: number;
  /** Texts that wait for one; more fail at once. */
  readonly waitingMax: number;
  readonly timeoutMs: number;
}

export const SPEECH_LIMITS: SpeechLimits = { speakingMax: 2, waitingMax: 100, timeoutMs: 10_000 };

export const TEXT_CHARACTERS_MAX = 2_000;
/** Words a minute; espeak-ng's own 175 is hurried over a telephone. */
export const SPEECH_WORDS_PER_MINUTE = 155;
const AUDIO_BYTES_MAX = 32 << 20;
/**
 * espeak-ng looks for PulseAudio even where it plays nothing, and libpulse makes folders for that in /tmp and ~/.config,
 * or starts a daemon. With a server named it does neither: nobody listens at this one.
 */
const NO_SOUND_SERVER = { PULSE_SERVER: "unix:/dev/null" };

export class Speech {
  readonly #command: string;
  readonly #limits: SpeechLimits;
  #speaking = 0;
  #waiting: (() => void)[] = [];

  constructor(command = "espeak-ng", limits: SpeechLimits = SPEECH_LIMITS) {
    this.#command = command;
    this.#limits = limits;
  }

  /** @fails prompt.busy, prompt.speech-timeout, prompt.speech-failed */
  async say(text: string, voice: string): Promise<Outcome<PcmAudio, PromptFailure>> {
    if (this.#speaking >= this.#limits.speakingMax) {
      if (this.#waiting.length >= this.#limits.waitingMax)
        return fail({ code: "prompt.busy", waitingMax: this.#limits.waitingMax });
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    } else this.#speaking++;
    try {
      return await this.#run(text, voice);
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#speaking--;
      else next(); // takes our place
    }
  }

  #run(text: string, voice: string): Promise<Outcome<PcmAudio, PromptFailure>> {
    const { timeoutMs } = this.#limits;
    const args = ["--stdin", "--stdout", "-b", "1", "-v", voice, "-s", String(SPEECH_WORDS_PER_MINUTE)];
    return new Promise((resolve) => {
      const failed = (detail: string) => resolve(fail({ code: "prompt.speech-failed", detail }));
      const child = execFile(
        this.#command,
        args,
        {
          encoding: "buffer",
          timeout: timeoutMs,
          killSignal: "SIGKILL",
          maxBuffer: AUDIO_BYTES_MAX,
          env: { ...process.env, ...NO_SOUND_SERVER },
        },
        (error, audio, complaint) => {
          if (error?.killed && error.signal === "SIGKILL")
            return resolve(fail({ code: "prompt.speech-timeout", timeoutMs }));
          if (error)
            return failed(`${error.code === "ENOENT" ? `${this.#command} is not installed` : firstLine(complaint)}`);
          const wav = readWav(audio);
          return wav.ok ? resolve(wav) : failed(wav.failure.detail);
        },
      );
      child.stdin?.on("error", () => {}); // it ended before it had read everything: its exit code tells
      child.stdin?.end(text);
    });
  }
}

const firstLine = (bytes: Buffer): string =>
  bytes.toString("utf8").split("\n")[0]?.slice(0, 200) || "it failed silently";

/** What can be spoken: without control characters, and not empty. @fails prompt.text-unusable */
export function speakable(text: string): Outcome<string, PromptFailure> {
  const unusable = (detail: string) =>
    fail<PromptFailure>({ code: "prompt.text-unusable", detail, charactersMax: TEXT_CHARACTERS_MAX });
  if (text.length > TEXT_CHARACTERS_MAX) return unusable(`${text.length} characters`);
  const clean = text.replace(/[\p{Cc}\p{Cs}]+/gu, " ").trim();
  return clean === "" ? unusable("nothing to say") : succeed(clean);
}

/** A language tag (RFC 5646) as espeak-ng names its voices; undefined for what is none. */
export const voiceOf = (language: string): string | undefined =>
  /^[a-zA-Z]{2,3}(-[a-zA-Z0-9]{1,8}){0,3}$/.test(language) ? language.toLowerCase() : undefined;
