// Runs the programs that operators put before the gateway, with the configurations of docs/DEPLOY.md. Each has a folder
// of its own, listens on free loopback ports and is ended by its pid.

import { spawn } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { request, requestHttp2 } from "./http.js";
import { freeTcpPort } from "./ports.js";
import { run } from "./run.js";
import { waitFor } from "./wait.js";

const DOCUMENT = fileURLToPath(new URL("../../docs/DEPLOY.md", import.meta.url));

/** Returns the files of docs/DEPLOY.md by their path. A block of code is a file if its first line is a comment with a path. */
export function deployFiles() {
  const blocks = readFileSync(DOCUMENT, "utf8").matchAll(/^```\w+\n# (\/\S+)\n([^]*?)^```$/gm);
  return new Map(Array.from(blocks, ([, path, text]) => [path, text]));
}

/** Returns the text of a file of the document. Each replacement has to fit, or the test would not test what it says. */
export function deployFile(path, replacements = []) {
  const text = deployFiles().get(path);
  if (text === undefined) throw new Error(`docs/DEPLOY.md has no file ${path}`);
  return replacements.reduce((text, [from, to]) => {
    if (!text.includes(from)) throw new Error(`${path} has no ${JSON.stringify(from)}`);
    return text.replaceAll(from, to);
  }, text);
}

class Proxy {
  #child;
  #log = [];
  #ended = null;

  /** Starts `program` in the foreground, and waits until it answers at `url`. */
  async start(program, options, url, environment = {}) {
    this.url = url;
    this.#child = spawn(program, options, { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, ...environment } });
    for (const stream of [this.#child.stdout, this.#child.stderr]) stream.on("data", (text) => this.#log.push(text));
    this.#child.on("error", (error) => (this.#ended = String(error)));
    this.#child.on("exit", (code, signal) => (this.#ended = `${code ?? signal}`));
    const giveUp = () => {
      if (this.#ended) throw new Error(`${program} ended (${this.#ended}): ${this.#log.join("").slice(-2000)}`);
    };
    const ask = url.startsWith("https:") ? requestHttp2 : request;
    const answers = () => ask(url, { rejectUnauthorized: false }).catch(() => null);
    await waitFor(`${program} at ${url}`, answers, { giveUp });
    return this;
  }

  async stop() {
    if (this.#ended) return;
    this.#child.kill("SIGTERM");
    await waitFor("the proxy to end", () => this.#ended);
  }
}

/**
 * Starts nginx with the file `site` of the document before `gateway`. `replacements` changes the file further. The URL of
 * what it returns has no slash at its end.
 */
export async function nginx(stage, gateway, site, replacements = []) {
  const folder = stage.folder();
  const port = await freeTcpPort();
  const write = (path, text) => {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  };
  const isTls = site === "onmic.conf";
  const own = [["127.0.0.1:8080", `127.0.0.1:${gateway.httpPort}`]];
  if (isTls) {
    await certificate(folder);
    own.push(["listen 443", `listen 127.0.0.1:${port}`], ["/etc/ssl/live.example/", `${folder}/`]);
  } else {
    own.push(["listen 80", `listen 127.0.0.1:${port}`]);
  }
  if (site === "onmic_cdn.conf") own.push(["/var/cache/nginx/onmic", `${folder}/cache`]);
  write("site.conf", deployFile(`/etc/nginx/conf.d/${site}`, [...own, ...replacements]));
  write("snippets/onmic.conf", deployFile("/etc/nginx/snippets/onmic.conf"));
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((kind) => `${kind}_temp_path ${folder}/${kind};`);
  write(
    "nginx.conf",
    `${process.getuid?.() === 0 ? "user root;" : ""}
    worker_processes 1; pid ${folder}/pid; error_log stderr warn; daemon off;
    events {} http { access_log off; ${temporary.join(" ")} include site.conf; }`,
  );
  const proxy = new Proxy();
  stage.keep(proxy);
  return proxy.start("nginx", ["-p", folder, "-e", "stderr", "-c", "nginx.conf"], `http${isTls ? "s" : ""}://127.0.0.1:${port}`);
}

/** Starts Caddy with the file of the document before `gateway`. */
export async function caddy(stage, gateway) {
  const folder = stage.folder();
  const url = `http://127.0.0.1:${await freeTcpPort()}`;
  const replacements = [
    ["live.example", url],
    ["127.0.0.1:8080", `127.0.0.1:${gateway.httpPort}`],
  ];
  const file = `{\n\tadmin off\n}\n${deployFile("/etc/caddy/Caddyfile", replacements)}`;
  writeFileSync(join(folder, "Caddyfile"), file);
  const proxy = new Proxy();
  stage.keep(proxy);
  const home = { HOME: folder, XDG_DATA_HOME: folder, XDG_CONFIG_HOME: folder };
  return proxy.start("caddy", ["run", "--config", join(folder, "Caddyfile"), "--adapter", "caddyfile"], url, home);
}

async function certificate(folder) {
  const made = await run("openssl", [
    ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"],
    ...["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"],
    ...["-keyout", join(folder, "privkey.pem"), "-out", join(folder, "fullchain.pem")],
  ]);
  if (made.code !== 0) throw new Error(`openssl: ${made.stderr}`);
}
