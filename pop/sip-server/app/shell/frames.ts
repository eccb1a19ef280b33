// What every frame to an application says of a message: whose it is, how long, where it came from or went to.

import type { ApplicationLink, Urgency } from "../../boundary/application-link.ts";
import * as report from "../../core/drachtio/report.ts";
import type { Flow, ListenPoint } from "../../core/flow.ts";
import type { SipMessage } from "../../core/message/message.ts";
import { bareHost } from "../../core/message/uri.ts";
import type { Shell } from "./shell.ts";

/** Of a message of the network. */
export const metaOfArrived = (shell: Shell, { sizeBytes }: SipMessage, from: Flow): report.Meta => ({
  source: "network",
  bytes: sizeBytes,
  protocol: from.transport,
  address: from.address,
  port: from.port,
  time: shell.timeOfDay(),
});

/** Of a request that leaves from `point`. */
export const metaOfSent = (shell: Shell, { transport, host, port }: ListenPoint, bytes: number): report.Meta => ({
  source: "application",
  bytes,
  protocol: transport,
  address: bareHost(host),
  port,
  time: shell.timeOfDay(),
});

/** A command is not carried out. */
export function sendNok(shell: Shell, link: ApplicationLink, commandId: string, reason: string): void {
  link.send(report.refused(shell.ids.uuid(), commandId, "NOK", reason));
}

/** A message of the network that belongs to something the application knows. `dialogId` may be empty. */
export function sendArrived(
  shell: Shell,
  link: ApplicationLink,
  message: SipMessage,
  from: Flow,
  transactionId: string,
  dialogId: string,
  urgency: Urgency = "now",
): void {
  const text = shell.textOf(message);
  const meta = metaOfArrived(shell, message, from);
  link.send(report.message(shell.ids.uuid(), meta, transactionId, dialogId, text), urgency);
}
