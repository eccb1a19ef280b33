// Telephone events 0 … 15 as digits. RFC 4733 §3.2

const DIGITS = "0123456789*#ABCD";

export const digitOfEvent = (event: number): string | undefined => DIGITS[event];

/** undefined for what is no DTMF digit. */
export function eventOfDigit(digit: string): number | undefined {
  const event = digit.length === 1 ? DIGITS.indexOf(digit.toUpperCase()) : -1;
  return event < 0 ? undefined : event;
}
