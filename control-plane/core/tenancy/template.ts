// The syntax of `{{ variable }}` in texts and values. What it evaluates to is the POP's business.

const NAME = /^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$/;

/** What a template says it needs, and what is wrong with it. */
export interface TemplateReading {
  readonly names: readonly string[];
  readonly mistakes: readonly string[];
}

export function readTemplate(text: string): TemplateReading {
  const names: string[] = [];
  const mistakes: string[] = [];
  let at = 0;
  for (;;) {
    const open = text.indexOf("{{", at);
    const stray = text.indexOf("}}", at);
    if (stray !== -1 && (open === -1 || stray < open)) {
      mistakes.push("}} without {{");
      at = stray + 2;
      continue;
    }
    if (open === -1) break;
    const close = text.indexOf("}}", open + 2);
    if (close === -1) {
      mistakes.push("{{ without }}");
      break;
    }
    const name = text.slice(open + 2, close).trim();
    if (NAME.test(name)) names.push(name);
    else mistakes.push(`"{{${text.slice(open + 2, close)}}}" does not name a variable, like {{ account }}`);
    at = close + 2;
  }
  return { names, mistakes };
}
