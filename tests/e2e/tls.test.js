// Tests a gateway with a certificate: HTTPS with HTTP/2 on the HTTP port, and RTMPS beside RTMP.

import assert from "node:assert/strict";
import { request as httpsRequest } from "node:https";
import { endToEnd } from "../lib/end_to_end.js";
import { Gateway } from "../lib/gateway.js";
import { requestHttp2 } from "../lib/http.js";
import { freeTcpPort } from "../lib/ports.js";
import { run } from "../lib/run.js";
import { waitFor } from "../lib/wait.js";

function getHttps(url) {
  return new Promise((resolve, reject) => {
    const outgoing = httpsRequest(url, { rejectUnauthorized: false }, (incoming) => {
      let text = "";
      incoming.on("data", (part) => (text += part));
      incoming.on("end", () => resolve({ status: incoming.statusCode, text }));
    });
    outgoing.on("error", reject);
    outgoing.end();
  });
}

endToEnd("https_http2_and_rtmps_work_with_a_certificate", async (stage) => {
  const folder = stage.folder();
  const [key, certificate] = [`${folder}/key.pem`, `${folder}/certificate.pem`];
  const made = await run("openssl", [
    ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"],
    ...["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", key, "-out", certificate],
  ]);
  assert.equal(made.code, 0, made.stderr);
  const tlsPort = await freeTcpPort();
  const gateway = await Gateway.start({
    set: { "http.tls_certificate": certificate, "http.tls_key": key, "rtmp.tls_port": tlsPort },
    ready: false,
  });
  try {
    const base = `https://127.0.0.1:${gateway.httpPort}`;
    await waitFor("HTTPS", async () => (await getHttps(`${base}/readyz`).catch(() => null))?.status === 200, {
      giveUp: () => gateway.assertAlive(),
    });
    assert.equal((await requestHttp2(`${base}/healthz`, { rejectUnauthorized: false })).status, 200);

    const publisher = stage.publisher(`rtmps://127.0.0.1:${tlsPort}/live/secure`, { width: 320, height: 180 });
    await waitFor(
      "the room to be live",
      async () => {
        const answer = await getHttps(`${base}/api/v1/rooms/secure`);
        return answer.status === 200 && JSON.parse(answer.text).live;
      },
      { giveUp: () => publisher.assertAlive() },
    );

    const browser = await stage.browser();
    const page = await browser.open(`${base}/watch/secure`, { ignoreHTTPSErrors: true });
    await waitFor("the page to play", () =>
      page.evaluate(() => document.querySelector("[data-onmic]")?.dataset.transport === "whep"),
    );
    await page.context().close();
  } finally {
    await gateway.stop();
  }
});
