// Serves the bench page, and the files that a test adds, from its own free port. That is another origin than the
// gateway's, so every request that a page sends to the gateway also checks CORS.

import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";

const LIB = fileURLToPath(new URL(".", import.meta.url));
const PAGES = join(LIB, "pages");
/** What pages and tests have in common. */
const SHARED = ["/barcode.js", "/numbers.js"];
const HLS_JS = createRequire(import.meta.url).resolve("hls.js/dist/hls.min.js");
const TYPES = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".m3u8": "application/vnd.apple.mpegurl",
  ".m4s": "video/iso.segment",
  ".mp4": "video/mp4",
};

export class PageServer {
  #server;
  #folder;

  /** Starts the server. It looks for a file in `folder` first, unless that is null, and then among the pages. */
  static async start({ folder = null } = {}) {
    const server = new PageServer();
    server.#folder = folder;
    server.#server = createServer((request, response) => server.#answer(request, response));
    await new Promise((resolve) => server.#server.listen(0, "127.0.0.1", resolve));
    return server;
  }

  get url() {
    return `http://127.0.0.1:${this.#server.address().port}`;
  }

  async #find(path) {
    if (path === "/hls.js") return HLS_JS;
    if (SHARED.includes(path)) return join(LIB, path);
    for (const root of [this.#folder, PAGES].filter(Boolean)) {
      const file = join(root, normalize(path));
      if (file.startsWith(root) && (await stat(file).catch(() => null))?.isFile()) return file;
    }
    return null;
  }

  async #answer(request, response) {
    const path = new URL(request.url, this.url).pathname;
    const file = await this.#find(path === "/" ? "/bench.html" : path);
    if (!file) {
      response.writeHead(404, { "Access-Control-Allow-Origin": "*" }).end();
      return;
    }
    response.writeHead(200, {
      "Content-Type": TYPES[extname(file)] ?? "application/octet-stream",
      "Access-Control-Allow-Origin": "*",
      "Cache-Control": "no-store",
    });
    createReadStream(file).pipe(response);
  }

  async stop() {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
