/** Names that nobody can guess and that never repeat. */
export interface Ids {
  uuid(): string;
  tag(): string;
  branch(): string;
  callId(): string;
}
