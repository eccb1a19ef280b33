import { fail, type Outcome, succeed } from "../../../kernel/outcome.ts";
import type { Comparison } from "./flow.ts";

const NUMBER = /^[+-]?\d{1,15}(\.\d{1,15})?$/;

/**
 * Texts are compared as they are, so "042" does not equal "42"; only less and greater look at numbers.
 * `is-empty` looks at the left side alone.
 * @fails flow.not-a-number
 */
export function compare(
  left: string,
  comparison: Comparison,
  right: string,
): Outcome<boolean, { readonly code: "flow.not-a-number" }> {
  switch (comparison) {
    case "equals":
      return succeed(left === right);
    case "not-equals":
      return succeed(left !== right);
    case "contains":
      return succeed(left.includes(right));
    case "starts-with":
      return succeed(left.startsWith(right));
    case "is-empty":
      return succeed(left.trim() === "");
    case "less-than":
    case "greater-than": {
      const [a, b] = [left.trim(), right.trim()];
      if (!NUMBER.test(a) || !NUMBER.test(b)) return fail({ code: "flow.not-a-number" });
      return succeed(comparison === "less-than" ? Number(a) < Number(b) : Number(a) > Number(b));
    }
  }
}
