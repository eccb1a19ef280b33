// The `resume` frame, ours alone (docs/DRACHTIO.md): a connection of an application that has lost its last one, or its whole
// process, says which calls it remembers, and learns what there is of them.
//
//   id|resume|more or last CRLF  one SIP Call-ID a line
//   id|response|id|OK|has CRLF   one standing a line, as many frames as it takes
//   …                            ordinary frames: what it missed, what waits for its answer
//   id|response|id|OK|done|<dialogs nobody claimed>|<INVITEs nobody claimed>

/** A connection with this tag says `resume` before it hears anything of the calls it had. */
export const RESUME_TAG = "resume:1";

export const CLAIMS_PER_FRAME_MAX = 4_096;
/** Of one application: more than twice the dialogs and open INVITEs there may be. */
export const CLAIMS_MAX = 131_072;
/** Lines of one answering frame. */
export const STANDINGS_PER_FRAME = 256;

/** What stands here under a Call-ID that was claimed. */
export type Standing =
  /** @param dialogId as everywhere: Call-ID and the caller's tag */
  | {
      readonly kind: "dialog";
      readonly role: "uas" | "uac";
      readonly dialogId: string;
      /**
       * unacknowledged: our 2xx (uas) waits for its ACK, or the peer's (uac) for that of the application, which gets it
       * again; ending: a BYE of the application is out, or waits for the ACK.
       */
      readonly phase: "unacknowledged" | "confirmed" | "ending";
      /** Of the INVITE, while it is unacknowledged; else "". */
      readonly transactionId: string;
    }
  /** An INVITE of the application without a final response. @param status the last provisional, 0: none but 100 */
  | { readonly kind: "invite"; readonly callId: string; readonly transactionId: string; readonly status: number }
  /** An INVITE of the network that has no answer: it comes again right after, as a frame. */
  | { readonly kind: "request"; readonly dialogId: string; readonly transactionId: string };

/** A Call-ID holds neither space nor "|": what does is none, and claims nothing. */
export const readClaims = (text: string): readonly string[] =>
  text.split("\r\n").filter((callId) => callId !== "" && callId.length <= 255);

export function showStanding(standing: Standing): string {
  switch (standing.kind) {
    case "dialog": {
      const { role, dialogId, phase, transactionId } = standing;
      return `dialog|${dialogId}|${transactionId}|${role}|${phase}`;
    }
    case "invite":
      return `invite|${standing.callId}|${standing.transactionId}|${standing.status}`;
    case "request":
      return `request|${standing.dialogId}|${standing.transactionId}`;
  }
}
