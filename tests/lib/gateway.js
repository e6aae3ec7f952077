// Runs the gateway under test: one process on free loopback ports. Observes it from outside and always ends it by its
// pid.

import { spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { freePortOfBoth, freeTcpPort } from "./ports.js";
import { waitFor } from "./wait.js";

const BINARY = process.env.ONMIC_BIN ?? fileURLToPath(new URL("../../target/debug/onmic", import.meta.url));
const START_LIMIT_MS = 15_000;
export const STOP_LIMIT_MS = 12_000;

/** Turns option names into flags: `rtc.port` of the configuration file is `--rtc-port` on the command line. */
function commandLine({ httpPort, rtmpPort, rtcPort, secret, set = {} }) {
  const options = {
    "http.port": httpPort,
    "rtmp.port": rtmpPort,
    "rtc.port": rtcPort,
    "log.filter": process.env.ONMIC_LOG ?? "info",
    "http.origins": "http://127.0.0.1:*", // The bench publishes from a page of another port.
    "http.connections": 4000, // The default may be more than the open files of this machine, which is logged.
    ...(secret ? { host: "127.0.0.1", "auth.secret": secret } : {}),
    ...set,
  };
  return Object.entries(options).flatMap(([name, value]) => [`--${name.replaceAll(/[._]/g, "-")}`, String(value)]);
}

/** Returns the environment without what sets up the tests, or would set an option of the gateway. */
function surroundings() {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("ONMIC_")));
}

export class Gateway {
  #child;
  #log = [];
  #exit = null;

  /**
   * Starts the gateway. `set` maps option names of the configuration ("hls.segment") to values. `arguments` replaces
   * the whole command line. With `ready: false` this does not wait for /readyz. `wrap` is a command that runs the gateway,
   * and `output` a descriptor that takes what it prints.
   */
  static async start({ secret = null, set = {}, environment = {}, ready = true, wrap = [], output = "pipe", ...rest } = {}) {
    const gateway = new Gateway();
    gateway.address = set.host === "::1" ? "[::1]" : "127.0.0.1";
    gateway.httpPort = await freeTcpPort();
    gateway.rtmpPort = await freeTcpPort();
    gateway.rtcPort = await freePortOfBoth();
    const options = rest.arguments ?? commandLine({ ...gateway, secret, set });
    const [program, ...words] = [...wrap, BINARY, ...options];
    gateway.#child = spawn(program, words, {
      stdio: ["ignore", output, output],
      env: { ...surroundings(), NO_COLOR: "1", ...environment },
    });
    for (const stream of [gateway.#child.stdout, gateway.#child.stderr].filter(Boolean)) {
      stream.setEncoding("utf8");
      stream.on("data", (text) => gateway.#log.push(text));
    }
    gateway.#child.on("error", (error) => {
      gateway.#exit = { code: null, signal: null };
      gateway.#log.push(String(error));
    });
    gateway.#child.on("exit", (code, signal) => {
      gateway.#exit = { code, signal };
    });
    running.add(gateway);
    if (ready) {
      await waitFor("the gateway's /readyz", () => gateway.#isReady(), {
        timeoutMs: START_LIMIT_MS,
        giveUp: () => gateway.assertAlive(),
      });
    }
    return gateway;
  }

  get pid() {
    return this.#child.pid;
  }

  get exit() {
    return this.#exit;
  }

  get log() {
    return this.#log.join("");
  }

  get httpUrl() {
    return `http://${this.address}:${this.httpPort}`;
  }

  url(path) {
    return `${this.httpUrl}${path}`;
  }

  rtmpUrl(key, query = "") {
    return `rtmp://${this.address}:${this.rtmpPort}/live/${key}${query}`;
  }

  assertAlive() {
    if (this.#exit) {
      const how = this.#exit.code ?? this.#exit.signal;
      throw new Error(`the gateway ended (${how}): ${this.log.slice(-4000)}`);
    }
  }

  async #isReady() {
    const response = await fetch(this.url("/readyz")).catch(() => null);
    return response?.ok;
  }

  async json(path, options) {
    const response = await fetch(this.url(path), options);
    if (!response.ok) throw new Error(`${path} answered ${response.status}: ${await response.text()}`);
    return response.json();
  }

  /** Returns the API's description of one room, or null. */
  async room(name, options) {
    const response = await fetch(this.url(`/api/v1/rooms/${name}`), options);
    return response.ok ? response.json() : null;
  }

  /** Returns every sample of /metrics. Each key is the name with its labels, as written there. */
  async metrics() {
    const text = await (await fetch(this.url("/metrics"))).text();
    return parseMetrics(text);
  }

  /** Returns the sum of a metric over the samples whose labels contain all of `labels`. */
  async metric(name, labels = {}) {
    return sumOf(await this.metrics(), name, labels);
  }

  /** Returns the memory, threads, descriptors and CPU time of the process, from /proc. */
  resources() {
    const status = readFileSync(`/proc/${this.pid}/status`, "utf8");
    const number = (field) => Number(status.match(new RegExp(`^${field}:\\s+(\\d+)`, "m"))?.[1]);
    const stat = readFileSync(`/proc/${this.pid}/stat`, "utf8");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return {
      rssKb: number("VmRSS"),
      threads: number("Threads"),
      descriptors: readdirSync(`/proc/${this.pid}/fd`).length,
      cpuMs: (Number(fields[11]) + Number(fields[12])) * 10,
    };
  }

  signal(name = "SIGTERM") {
    this.#child.kill(name);
  }

  /** Sends a signal and requires a clean exit within `limitMs`. Returns how many milliseconds that took. */
  async stop({ limitMs = STOP_LIMIT_MS, signal = "SIGTERM" } = {}) {
    if (!running.delete(this)) return 0; // The test has stopped it already.
    this.assertAlive();
    const asked = performance.now();
    this.signal(signal);
    try {
      await waitFor(`the gateway's exit after ${signal}`, () => this.#exit, { timeoutMs: limitMs, everyMs: 20 });
    } catch (error) {
      this.signal("SIGKILL");
      throw new Error(`${error.message}: ${this.log.slice(-4000)}`);
    }
    if (this.#exit.code !== 0) {
      throw new Error(`the gateway exited with ${this.#exit.code ?? this.#exit.signal}: ${this.log.slice(-4000)}`);
    }
    if (/panicked at/.test(this.log)) throw new Error(`the gateway panicked: ${this.log.slice(-4000)}`);
    return performance.now() - asked;
  }
}

// A test that throws before it stops its gateway must not leave a process behind.
const running = new Set();
process.on("exit", () => {
  for (const gateway of running) gateway.signal("SIGKILL");
});

export function parseMetrics(text) {
  const samples = new Map();
  for (const line of text.split("\n")) {
    if (line === "" || line.startsWith("#")) continue;
    const space = line.lastIndexOf(" ");
    samples.set(line.slice(0, space), Number(line.slice(space + 1)));
  }
  return samples;
}

export function sumOf(samples, name, labels = {}) {
  let sum = 0;
  for (const [key, value] of samples) {
    if (key !== name && !key.startsWith(`${name}{`)) continue;
    if (Object.entries(labels).every(([label, wanted]) => key.includes(`${label}="${wanted}"`))) sum += value;
  }
  return sum;
}
