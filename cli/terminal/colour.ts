// Colour for people only: on a terminal, and never where NO_COLOR is set (no-color.org).

export interface Paint {
  bold(text: string): string;
  dim(text: string): string;
  red(text: string): string;
  yellow(text: string): string;
  green(text: string): string;
  /** One of six, always the same for the same number: to tell processes apart. */
  tint(text: string, number: number): string;
}

const plainly = (text: string): string => text;
export const PLAIN: Paint = {
  bold: plainly,
  dim: plainly,
  red: plainly,
  yellow: plainly,
  green: plainly,
  tint: plainly,
};

const sgr = (code: number) => (text: string) => `\u001b[${code}m${text}\u001b[0m`;
const TINTS = [36, 35, 34, 32, 33, 96];

export const COLOURED: Paint = {
  bold: sgr(1),
  dim: sgr(2),
  red: sgr(31),
  yellow: sgr(33),
  green: sgr(32),
  tint: (text, number) => sgr(TINTS[number % TINTS.length] ?? 36)(text),
};

export const paintFor = (stream: { readonly isTTY?: boolean }, env: NodeJS.ProcessEnv = process.env): Paint =>
  stream.isTTY === true && (env.NO_COLOR ?? "") === "" && env.TERM !== "dumb" ? COLOURED : PLAIN;
