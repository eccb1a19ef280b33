import type { TwinUnreachable } from "../core/keeper-words.ts";
import type { Answer, Beat } from "../core/twin-talk.ts";

/** What the link tells its keeper. `link` and `from` name a connection: ours, and the twin's to us. */
export interface TwinLinkHears {
  connected(link: number): void;
  /** Once per connection that was told as connected, unless we closed it. */
  closed(link: number): void;
  /** Nobody listens at the twin's address: its keeper does not run. */
  refused(link: number): void;
  unreachable(link: number, because: TwinUnreachable): void;
  answer(link: number, answer: Answer): void;
  beat(from: number, beat: Beat): void;
  /** A connection that beats came by is closed: by the twin, or because nothing came for a second. */
  hungUp(from: number): void;
}

/** The heartbeat between twins: one connection made by each. */
export interface TwinLink {
  /**
   * Resolves once the keeper can be reached: nothing may be decided before, for a twin that is refused takes it that nobody runs here.
   * @throws when the address is in use or the certificate is unusable
   */
  listen(hears: TwinLinkHears): Promise<void>;
  /** Told within 400 ms as connected, refused or unreachable. One at a time. */
  connect(link: number): void;
  close(link: number): void;
  /** Lost without a word where the connection is gone. */
  sendBeat(link: number, beat: Beat): void;
  answerBeat(from: number, answer: Answer): void;
  /** Closes everything, the listener too. */
  end(): Promise<void>;
}
