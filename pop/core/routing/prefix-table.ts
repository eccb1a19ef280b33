import { bitAt, type IpBytes, type IpPrefix } from "./ip-address.ts";

interface Node<Value> {
  zero: Node<Value> | undefined;
  one: Node<Value> | undefined;
  value: Value | undefined;
}

const emptyNode = <Value>(): Node<Value> => ({ zero: undefined, one: undefined, value: undefined });

/**
 * The longest prefix wins. One binary trie a family: a look-up costs one step
 * per bit at most, however many prefixes there are.
 */
export class PrefixTable<Value> {
  readonly #ipv4 = emptyNode<Value>();
  readonly #ipv6 = emptyNode<Value>();

  /** @returns the value that has exactly this prefix already; it stays */
  add(prefix: IpPrefix, value: Value): Value | undefined {
    let node = this.#rootOf(prefix.bytes);
    for (let at = 0; at < prefix.bits; at++) {
      const side = bitAt(prefix.bytes, at) === 0 ? "zero" : "one";
      const next = node[side] ?? emptyNode<Value>();
      node[side] = next;
      node = next;
    }
    const before = node.value;
    node.value ??= value;
    return before;
  }

  find(address: IpBytes): Value | undefined {
    let node: Node<Value> | undefined = this.#rootOf(address);
    let found = node.value;
    for (let at = 0; at < address.length * 8; at++) {
      node = bitAt(address, at) === 0 ? node.zero : node.one;
      if (node === undefined) break;
      found = node.value ?? found;
    }
    return found;
  }

  #rootOf(bytes: IpBytes): Node<Value> {
    return bytes.length === 4 ? this.#ipv4 : this.#ipv6;
  }
}
