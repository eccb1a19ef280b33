// What belongs to a Call-ID, without looking at everything. Its callers own the things; here they are only found.

const NONE: readonly never[] = [];

export class CallIdIndex<Thing> {
  readonly #things = new Map<string, Thing[]>();

  add(callId: string, thing: Thing): void {
    const others = this.#things.get(callId);
    if (others === undefined) this.#things.set(callId, [thing]);
    else others.push(thing);
  }

  /** Safe to repeat. @returns whether it was the last of this call */
  remove(callId: string, thing: Thing): boolean {
    const things = this.#things.get(callId);
    const at = things?.indexOf(thing) ?? -1;
    if (things === undefined || at === -1) return false;
    things.splice(at, 1);
    return things.length === 0 && this.#things.delete(callId);
  }

  has(callId: string): boolean {
    return this.#things.has(callId);
  }

  of(callId: string): readonly Thing[] {
    return this.#things.get(callId) ?? NONE;
  }
}
