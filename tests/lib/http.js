// Sends HTTP requests and shows the answers as they are on the wire. `fetch` would hide compression, follow redirects
// and join headers.

import { request as httpRequest } from "node:http";
import { connect as connectHttp2 } from "node:http2";
import { connect } from "node:net";
import { gunzipSync } from "node:zlib";

/**
 * Sends one HTTP/1.1 request on its own connection. Returns status, headers, body (Buffer), text, and how long it took.
 */
export function request(url, { method = "GET", headers = {}, body = null, timeoutMs = 20_000, agent = false, ...rest } = {}) {
  const started = performance.now();
  return new Promise((resolve, reject) => {
    const outgoing = httpRequest(url, { method, headers, agent, ...rest }, (incoming) => {
      const parts = [];
      incoming.on("data", (part) => parts.push(part));
      incoming.on("error", reject);
      incoming.on("end", () => {
        const raw = Buffer.concat(parts);
        const plain = incoming.headers["content-encoding"] === "gzip" ? gunzipSync(raw) : raw;
        resolve({
          status: incoming.statusCode,
          headers: incoming.headers,
          raw,
          body: plain,
          text: plain.toString("utf8"),
          tookMs: performance.now() - started,
        });
      });
    });
    outgoing.setTimeout(timeoutMs, () => outgoing.destroy(new Error(`${method} ${url}: no answer in ${timeoutMs} ms`)));
    outgoing.on("error", reject);
    outgoing.end(body);
  });
}

/** Sends one HTTP/2 request, with prior knowledge (no TLS) or by TLS. */
export function requestHttp2(url, { headers = {}, ...options } = {}) {
  const { origin, pathname, search } = new URL(url);
  return new Promise((resolve, reject) => {
    const session = connectHttp2(origin, options);
    session.on("error", reject);
    const stream = session.request({ ":path": pathname + search, ...headers });
    const parts = [];
    let head = {};
    stream.on("response", (received) => {
      head = received;
    });
    stream.on("data", (part) => parts.push(part));
    stream.on("error", reject);
    stream.on("end", () => {
      session.close();
      resolve({ status: head[":status"], headers: head, text: Buffer.concat(parts).toString("utf8") });
    });
    stream.end();
  });
}

/**
 * Writes raw bytes to a TCP port. Returns what came back until the peer closed the connection or `timeoutMs` passed.
 */
export function sendRaw(port, bytes, timeoutMs = 5000) {
  return new Promise((resolve) => {
    const parts = [];
    const socket = connect(port, "127.0.0.1", () => socket.write(bytes));
    const finish = (closed) => {
      clearTimeout(timer);
      socket.destroy();
      resolve({ text: Buffer.concat(parts).toString("latin1"), closed });
    };
    const timer = setTimeout(() => finish(false), timeoutMs);
    socket.on("data", (part) => parts.push(part));
    socket.on("error", () => finish(true));
    socket.on("close", () => finish(true));
  });
}
