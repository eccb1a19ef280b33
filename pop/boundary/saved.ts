/** Plain data that a part of the call wants back when the call is taken up again: JSON, part of the call's checkpoint. */
export type Saved = string | number | boolean | null | readonly Saved[] | { readonly [key: string]: Saved };
