// Markup that cannot be forgotten to be escaped: what goes into a template is text unless it is markup itself.

export interface Html {
  readonly text: string;
}

export const raw = (text: string): Html => ({ text });

export const escapeText = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");

export function html(parts: TemplateStringsArray, ...values: readonly (string | number | Html)[]): Html {
  let text = parts[0] ?? "";
  for (const [at, value] of values.entries()) {
    text += typeof value === "object" ? value.text : escapeText(String(value));
    text += parts[at + 1] ?? "";
  }
  return { text };
}

export const join = (parts: readonly Html[]): Html => ({ text: parts.map(({ text }) => text).join("") });
