/** A session description as it travels: text of RFC 8866. */
export type Sdp = string;
