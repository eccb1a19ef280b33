// NOTIFYs inside calls that nobody has subscribed to. RFC 6665 §4.1.3 refuses them; these are sent all the same.

/** Remote control of phones (talk, hold), NAT keep-alives, waiting messages (RFC 3842), and what phones are told to do with a key. */
export const UNSOLICITED_EVENTS: readonly string[] = [
  "talk",
  "hold",
  "keep-alive",
  "message-summary",
  "check-sync",
  "telephone-event",
];
