// Makes tokens, as a backend does that shares the gateway's secret.

import { createHmac } from "node:crypto";

export const SECRET = "a secret of the tests, thirty-two bytes long";

/** Returns a token that is good for `seconds` from now on. Claims replace those that it has by itself. */
export function token(claims, { secret = SECRET, algorithm = "HS256", seconds = 600 } = {}) {
  const encode = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const head = encode({ alg: algorithm, typ: "JWT" });
  const body = encode({ exp: Math.floor(Date.now() / 1000) + seconds, ...claims });
  const signature = algorithm === "none" ? "" : createHmac("sha256", secret).update(`${head}.${body}`).digest("base64url");
  return `${head}.${body}.${signature}`;
}
