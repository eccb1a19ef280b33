// EC2's query API for tests, as far as moving addresses needs it: checks the signature (Signature Version 4, worked out
// here anew), moves what it is told to, and throttles, hangs or refuses when the test says so.

import { createHash, createHmac } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";

export const KEYS = { accessKeyId: "AKIDEXAMPLE", secretAccessKey: "not-a-secret", sessionToken: "a-session" };

export class FakeEc2 {
  /** Private address → interface; allocation → interface and private address. */
  readonly assigned = new Map<string, string>();
  readonly associated = new Map<string, string>();
  readonly interfaces = new Set<string>();
  readonly calls: { readonly action: string; readonly atMs: number }[] = [];
  /** Answered so many times before what was asked is done. */
  throttle = 0;
  hangs = false;
  answer: { readonly status: number; readonly body: string } | undefined;
  readonly #server: Server;

  constructor() {
    this.#server = createServer((request, response) => void this.#handle(request, response));
  }

  async start(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    const address = this.#server.address();
    return `http://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}/`;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let body = "";
    for await (const chunk of request) body += String(chunk);
    const parameters = new URLSearchParams(body);
    const action = parameters.get("Action") ?? "";
    this.calls.push({ action, atMs: performance.now() });
    if (this.hangs) return;
    const say = (status: number, text: string) => response.writeHead(status, { "content-type": "text/xml" }).end(text);
    const refuse = (status: number, code: string) =>
      say(
        status,
        `<?xml version="1.0"?><Response><Errors><Error><Code>${code}</Code><Message>as it is</Message></Error></Errors></Response>`,
      );
    if (this.answer !== undefined) return void say(this.answer.status, this.answer.body);
    if (!isSigned(request, body)) return void refuse(403, "SignatureDoesNotMatch");
    if (parameters.get("Version") !== "2016-11-15") return void refuse(400, "InvalidAction");
    if (this.throttle > 0) {
      this.throttle--;
      return void refuse(503, "RequestLimitExceeded");
    }
    const code = this.#move(action, parameters);
    if (code !== undefined) return void refuse(400, code);
    say(200, `<${action}Response><requestId>1</requestId><return>true</return></${action}Response>`);
  }

  #move(action: string, parameters: URLSearchParams): string | undefined {
    const to = parameters.get("NetworkInterfaceId") ?? "";
    if (!this.interfaces.has(to)) return "InvalidNetworkInterfaceID.NotFound";
    if (action === "AssignPrivateIpAddresses") {
      const address = parameters.get("PrivateIpAddress.1") ?? "";
      if (this.assigned.has(address) && parameters.get("AllowReassignment") !== "true") return "InvalidParameterValue";
      this.assigned.set(address, to);
      return undefined;
    }
    if (action !== "AssociateAddress") return "InvalidAction";
    const [allocation, address] = [parameters.get("AllocationId") ?? "", parameters.get("PrivateIpAddress") ?? ""];
    if (!this.associated.has(allocation)) return "InvalidAllocationID.NotFound";
    if (this.assigned.get(address) !== to) return "InvalidParameterValue";
    if (parameters.get("AllowReassociation") !== "true") return "Resource.AlreadyAssociated";
    this.associated.set(allocation, `${to} ${address}`);
    return undefined;
  }
}

function isSigned({ method, headers }: IncomingMessage, body: string): boolean {
  const authorization =
    /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d{8})\/([\w-]+)\/ec2\/aws4_request, SignedHeaders=([\w;-]+), Signature=([0-9a-f]{64})$/;
  const [, id, day = "", region = "", names = "", signature] = authorization.exec(headers.authorization ?? "") ?? [];
  const at = String(headers["x-amz-date"]);
  if (id !== KEYS.accessKeyId || headers["x-amz-security-token"] !== KEYS.sessionToken) return false;
  if (!at.startsWith(day) || !names.split(";").includes("host") || !names.split(";").includes("x-amz-date"))
    return false;
  const sha = (text: string) => createHash("sha256").update(text).digest("hex");
  const hmac = (key: string | Buffer, text: string) => createHmac("sha256", key).update(text).digest();
  const listed = names.split(";").map((name) => `${name}:${String(headers[name]).trim()}\n`);
  const canonical = [method, "/", "", listed.join(""), names, sha(body)].join("\n");
  const scope = `${day}/${region}/ec2/aws4_request`;
  const toSign = ["AWS4-HMAC-SHA256", at, scope, sha(canonical)].join("\n");
  const key = ["aws4_request", "ec2", region, day].reduceRight<Buffer | string>(
    (made, part) => hmac(made, part),
    `AWS4${KEYS.secretAccessKey}`,
  );
  return hmac(key, toSign).toString("hex") === signature;
}
