import { connect, createServer, type Server, type Socket } from "node:net";

/** Between a POP and its region, for tests: passes bytes on until told to swallow them, both ways, without a word. */
export class FaultyPath {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #silent = false;
  #port = 0;

  private constructor(targetPort: () => number) {
    this.#server = createServer((near) => {
      const far = connect(targetPort(), "127.0.0.1");
      this.#join(near, far);
      this.#join(far, near);
    });
  }

  static async open(targetPort: () => number): Promise<FaultyPath> {
    const path = new FaultyPath(targetPort);
    await new Promise<void>((resolve) => path.#server.listen(0, "127.0.0.1", resolve));
    const address = path.#server.address();
    path.#port = typeof address === "object" && address !== null ? address.port : 0;
    return path;
  }

  get port(): number {
    return this.#port;
  }

  /** Connections stay, and new ones are accepted; nothing comes through. */
  fallSilent(): void {
    this.#silent = true;
  }

  /** For connections made from now on; what fell silent stays so. */
  heal(): void {
    this.#silent = false;
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  #join(from: Socket, to: Socket): void {
    this.#sockets.add(from);
    let dead = this.#silent;
    from.on("data", (chunk) => {
      dead ||= this.#silent;
      if (!dead) to.write(chunk);
    });
    from.on("error", () => {});
    from.on("close", () => {
      this.#sockets.delete(from);
      if (!dead) to.destroy();
    });
  }
}
