// Linear white space. Not what JavaScript trims: in latin-1 text the octet A0 is the end of "à", not a blank.

export const trimLws = (text: string): string => trimmedBetween(text, 0, text.length);

/** What stands between, trimmed: cut out once. */
export function trimmedBetween(text: string, start: number, end: number): string {
  let from = start;
  let to = end;
  while (from < to && isBlank(text.charCodeAt(from))) from++;
  while (to > from && isBlank(text.charCodeAt(to - 1))) to--;
  return from === 0 && to === text.length ? text : text.slice(from, to);
}

const isBlank = (code: number): boolean => code === 32 || code === 9 || code === 13 || code === 10;
