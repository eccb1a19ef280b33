// Where frames of a WebSocket client begin and end: RFC 6455 §5.2, §5.4. Only to tell whether a message has begun and not ended.

export class WebSocketFrames {
  /** Bytes of the header read. */
  #read = 0;
  #lengthBytes = 0;
  #maskBytes = 0;
  #payload = 0;
  #isControl = false;
  #isFinal = false;
  #isFragmented = false;
  /** Frames that ended a message, control frames apart. */
  messages = 0;

  /** A frame, or a message of several, has begun and not ended. */
  get isHalf(): boolean {
    return this.#read > 0 || this.#isFragmented;
  }

  take(bytes: Uint8Array): void {
    let at = 0;
    while (at < bytes.length) {
      if (this.#read < 2 || this.#lengthBytes > 0 || this.#maskBytes > 0) this.#header(bytes[at++] ?? 0);
      else {
        const skipped = Math.min(this.#payload, bytes.length - at);
        this.#payload -= skipped;
        at += skipped;
      }
      if (this.#read >= 2 && this.#lengthBytes === 0 && this.#maskBytes === 0 && this.#payload === 0) this.#ended();
    }
  }

  #header(byte: number): void {
    this.#read++;
    if (this.#read === 1) {
      this.#isFinal = (byte & 0x80) !== 0;
      this.#isControl = (byte & 0x08) !== 0;
    } else if (this.#read === 2) {
      const length = byte & 0x7f;
      this.#lengthBytes = length === 127 ? 8 : length === 126 ? 2 : 0;
      this.#payload = length < 126 ? length : 0;
      this.#maskBytes = (byte & 0x80) === 0 ? 0 : 4;
    } else if (this.#lengthBytes > 0) {
      this.#lengthBytes--;
      this.#payload = this.#payload * 256 + byte;
    } else this.#maskBytes--;
  }

  #ended(): void {
    this.#read = 0;
    if (this.#isControl) return;
    this.#isFragmented = !this.#isFinal;
    if (this.#isFinal) this.messages++;
  }
}
