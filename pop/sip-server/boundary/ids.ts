/** Names that nobody can guess and that never repeat; and chance. */
export interface Ids {
  uuid(): string;
  tag(): string;
  branch(): string;
  callId(): string;
  /** A number from 0 to 1, 1 excluded: for waits that must not be the same on both sides. */
  chance(): number;
}
