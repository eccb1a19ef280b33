// Tools that look for open servers say who they are. Anchored to three headers, so that a text message may speak of them.

/** Looks at each octet a few times, whatever the text. undefined: nobody is looked for. */
export function scannerPattern(marks: readonly string[]): RegExp | undefined {
  if (marks.length === 0) return undefined;
  const any = marks.map((mark) => mark.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")).join("|");
  return new RegExp(`\\r\\n(?:user-agent|server|from|f)[ \\t]*:[^\\r\\n]*(?:${any})`, "i");
}
