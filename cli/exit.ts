import { EXIT as PROCESS_EXIT } from "../kernel/shell/process.ts";

/** What the command line exits with: sysexits.h, as scripts expect it. */
export const EXIT = {
  ...PROCESS_EXIT,
  /** EX_DATAERR: what the user handed over was refused. */
  data: 65,
  /** EX_NOINPUT: a file that cannot be read. */
  noInput: 66,
  /** EX_NOPERM. */
  permission: 77,
} as const;

/** Ends a command with a message on stderr and an exit code; caught in main.ts and nowhere else. */
export class CommandEnd extends Error {
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}
