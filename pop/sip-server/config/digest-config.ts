// Digest in the sip-server's configuration: whom we ask for a proof, and what we prove with when we are asked.

import { z } from "zod";

const name = z.string().min(1).max(255);
const realm = name.regex(/^[^":\\\r\n]+$/, "without quotes, colons and backslashes");
const METHODS = "INVITE REGISTER SUBSCRIBE NOTIFY REFER MESSAGE PUBLISH OPTIONS INFO BYE UPDATE PRACK".split(" ");

export const DigestSchema = z.strictObject({
  /** The first that fits a request decides. */
  challenge: z
    .array(
      z.strictObject({
        /** Connection names of `listen`; empty: all. */
        listeners: z.array(name).max(64).default([]),
        realm,
        /** Most wanted first. */
        algorithms: z
          .array(z.enum(["SHA-512-256", "SHA-256", "MD5"]))
          .min(1)
          .max(3)
          .default(["SHA-256", "MD5"]),
        /** "proxy": 407, for applications that proxy what they get. */
        as: z.enum(["user-agent", "proxy"]).default("user-agent"),
        /** Lines `user:realm:hash`, see pop/sip-server/core/digest/credentials.ts; read again when it changes. */
        credentialsFile: name,
        methods: z
          .array(z.enum(METHODS as [string, ...string[]]))
          .min(1)
          .default(["INVITE", "REGISTER", "SUBSCRIBE", "REFER", "MESSAGE", "PUBLISH"]),
        inDialog: z.boolean().default(false),
        nonceSeconds: z.int().min(10).max(86_400).default(300),
        noncesMax: z.int().min(100).max(1_000_000).default(50_000),
      }),
    )
    .max(64)
    .default([]),
  credentials: z
    .array(
      z
        .strictObject({
          realm: realm.optional(),
          /** Host of the Request-URI, or the address the request went to. */
          host: name.optional(),
          username: name,
          passwordFile: name,
        })
        .refine((one) => one.realm !== undefined || one.host !== undefined, {
          error: "give realm, host, or both: a password is not for everybody who asks",
        }),
    )
    .max(10_000)
    .default([]),
});
