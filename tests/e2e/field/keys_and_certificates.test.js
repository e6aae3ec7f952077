// Tests keys of tokens and certificates that come from files and are replaced while the gateway runs.

import assert from "node:assert/strict";
import { generateKeyPairSync, sign } from "node:crypto";
import { renameSync, writeFileSync } from "node:fs";
import { connect } from "node:tls";
import { endToEnd } from "../../lib/end_to_end.js";
import { Gateway } from "../../lib/gateway.js";
import { request } from "../../lib/http.js";
import { freeTcpPort } from "../../lib/ports.js";
import { run } from "../../lib/run.js";
import { dial } from "../../lib/strangers.js";
import { SECRET, token } from "../../lib/token.js";
import { waitFor } from "../../lib/wait.js";

const base64url = (value) => Buffer.from(value).toString("base64url");

/** Writes a file as a whole, as secrets of containers are replaced. */
function replace(file, text) {
  writeFileSync(`${file}.new`, text);
  renameSync(`${file}.new`, file);
}

/** Returns the status of a call that needs an admin's token. */
const admin = async (gateway, bearer) =>
  (await request(gateway.url("/api/v1/rooms"), { headers: { Authorization: `Bearer ${bearer}` } })).status;

const ADMIN = { room: "*", role: "admin" };

endToEnd("keys_are_rotated_while_the_gateway_runs_and_a_broken_file_changes_nothing", async (stage) => {
  const folder = stage.folder();
  const [secretFile, keysFile] = [`${folder}/secret`, `${folder}/keys.json`];
  const [next, idp] = ["another secret of the tests, of thirty-two bytes", generateKeyPairSync("rsa", { modulusLength: 2048 })];
  const hmac = { kty: "oct", kid: "next", alg: "HS256", k: base64url(next) };
  const rsa = { ...idp.publicKey.export({ format: "jwk" }), kid: "idp", alg: "RS256", use: "sig" };
  writeFileSync(secretFile, `${SECRET}\n`);
  writeFileSync(keysFile, JSON.stringify({ keys: [rsa] }));
  const gateway = await stage.gateway({
    set: { host: "127.0.0.1", "auth.secret_file": secretFile, "auth.keys_file": keysFile },
  });
  const head = `${base64url(JSON.stringify({ alg: "RS256", kid: "idp" }))}.${base64url(JSON.stringify({ exp: 4e9, ...ADMIN }))}`;
  const ofProvider = `${head}.${base64url(sign("sha256", Buffer.from(head), idp.privateKey))}`;
  const [old, rotated] = [token(ADMIN), token(ADMIN, { secret: next })];
  const statuses = async () => [await admin(gateway, old), await admin(gateway, rotated), await admin(gateway, ofProvider)];
  assert.deepEqual(await statuses(), [200, 401, 200]);

  replace(keysFile, JSON.stringify({ keys: [hmac] }));
  await waitFor("the new key", async () => (await admin(gateway, rotated)) === 200);
  assert.deepEqual(await statuses(), [200, 200, 401], "the secret is still there, the provider's key is gone");

  replace(keysFile, "{\"keys\": [");
  await waitFor("the warning", () => /the keys of tokens changed on disk and cannot be used/.test(gateway.log));
  assert.deepEqual(await statuses(), [200, 200, 401]);
});

async function certificate(file, key, name) {
  const made = await run("openssl", [
    ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"],
    ...["-subj", `/CN=${name}`, "-keyout", `${key}.new`, "-out", `${file}.new`],
  ]);
  assert.equal(made.code, 0, made.stderr);
  renameSync(`${key}.new`, key);
  renameSync(`${file}.new`, file);
}

/** Returns the name in the certificate that a port shows. */
const shown = (port) =>
  new Promise((resolve, reject) => {
    const socket = connect({ port, host: "127.0.0.1", rejectUnauthorized: false }, () => {
      resolve(socket.getPeerCertificate().subject.CN);
      socket.destroy();
    });
    socket.on("error", reject);
  });

endToEnd("a_renewed_certificate_is_shown_by_https_and_rtmps_and_a_broken_one_changes_nothing", async (stage) => {
  const folder = stage.folder();
  const [key, file] = [`${folder}/key.pem`, `${folder}/certificate.pem`];
  await certificate(file, key, "first");
  const tlsPort = await freeTcpPort();
  const gateway = stage.keep(
    await Gateway.start({
      set: { "http.tls_certificate": file, "http.tls_key": key, "rtmp.tls_port": tlsPort, "rtmp.port": 0 },
      ready: false,
    }),
  );
  const both = async () => [await shown(gateway.httpPort), await shown(tlsPort)];
  await waitFor("HTTPS", () => shown(gateway.httpPort).catch(() => null), { giveUp: () => gateway.assertAlive() });
  assert.deepEqual(await both(), ["first", "first"]);
  const rtmp = dial(gateway.rtmpPort, "");
  await waitFor("the refusal of plain RTMP", () => rtmp.closed);
  await certificate(file, key, "second");
  await waitFor("the new certificate", async () => (await shown(gateway.httpPort)) === "second");
  assert.deepEqual(await both(), ["second", "second"]);
  replace(file, "no certificate");
  await waitFor("the warning", () => /the certificate changed on disk and cannot be used/.test(gateway.log));
  assert.deepEqual(await both(), ["second", "second"]);
});

endToEnd("a_start_that_lets_tokens_come_in_clear_warns_of_each_port", async (stage) => {
  const gateway = await stage.gateway({ secret: SECRET, set: { host: "0.0.0.0" } });
  for (const sentence of [
    `tokens come in clear by HTTP on port ${gateway.httpPort}`,
    `stream keys of RTMP come in clear on port ${gateway.rtmpPort}`,
  ]) {
    await waitFor(sentence, () => gateway.log.includes(sentence));
  }
});
