// A test with a gateway: whatever it starts is ended in reverse order, and when it fails the gateway's log is shown.

import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { Browser, figures } from "./browser.js";
import { Gateway } from "./gateway.js";
import { rounded } from "./numbers.js";
import { Publisher } from "./picture.js";
import { UdpRelay } from "./udp_relay.js";
import { waitFor } from "./wait.js";

const LIMIT_MS = 60_000;
const LOG_SHOWN = 6000;

export function endToEnd(name, body, { timeout = LIMIT_MS } = {}) {
  test(name, { timeout }, async (t) => {
    const stage = new Stage(t);
    // The runner's own limit would end the test without ending what it started.
    const limit = setTimeout(() => stage.close().catch(() => {}), timeout - 5000);
    try {
      await body(stage);
      await stage.close();
    } catch (error) {
      for (const gateway of stage.gateways) t.diagnostic(`the gateway's log ends with:\n${gateway.log.slice(-LOG_SHOWN)}`);
      for (const page of stage.pages) t.diagnostic(`the page said:\n${page.messages.slice(-20).join("\n")}`);
      await stage.close().catch(() => {});
      throw error;
    } finally {
      clearTimeout(limit);
    }
  });
}

class Stage {
  #t;
  #things = [];
  gateways = [];
  pages = [];

  constructor(t) {
    this.#t = t;
  }

  /** Figures are said, not asserted: a shared machine is no place for a stop-watch. */
  say(text) {
    this.#t.diagnostic(text);
  }

  sayFigures(what, report) {
    const { fps, p50, p95, freezes, longestFreeze, lipSync, missing } = figures(report);
    this.say(
      `${what}: ${rounded(fps, 1)} fps, latency p50 ${rounded(p50)} p95 ${rounded(p95)} ms, ` +
        `first picture ${rounded(report.firstPictureMs)} ms, ${freezes} freezes (${longestFreeze} ms), ` +
        `${missing} frames missing, sound ${rounded(lipSync)} ms after picture`,
    );
  }

  #keep(thing) {
    this.#things.push(thing);
    return thing;
  }

  async gateway(options) {
    const gateway = this.#keep(await Gateway.start(options));
    this.gateways.push(gateway);
    return gateway;
  }

  publisher(url, picture) {
    return this.#keep(new Publisher(url, picture));
  }

  /** Publishes and waits until the room is live. */
  async live(gateway, room, picture) {
    const publisher = this.publisher(gateway.rtmpUrl(room), picture);
    await this.isLive(gateway, room, () => publisher.assertAlive());
    return publisher;
  }

  isLive(gateway, room, giveUp) {
    return waitFor(`${room} to be live`, async () => (await gateway.room(room))?.live, { giveUp });
  }

  async browser(options) {
    const browser = this.#keep(await Browser.start(options));
    const open = browser.open.bind(browser);
    browser.open = async (...rest) => {
      const page = await open(...rest);
      this.pages.push(page);
      return page;
    };
    return browser;
  }

  async relay(port, rules) {
    return this.#keep(await UdpRelay.start(port, rules));
  }

  folder() {
    const path = mkdtempSync(join(tmpdir(), "onmic-test-"));
    this.#keep({ stop: async () => rmSync(path, { recursive: true, force: true }) });
    return path;
  }

  async close() {
    const errors = [];
    while (this.#things.length > 0) {
      await this.#things.pop().stop().catch((error) => errors.push(error));
    }
    if (errors.length > 0) throw errors[0];
  }
}

/** Runs ffmpeg, ffprobe or another program to its end; answers exit code and what it wrote. */
export function run(program, argv, { timeoutMs = 30_000, input = null } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(program, argv, { stdio: [input === null ? "ignore" : "pipe", "pipe", "pipe"] });
    const out = { stdout: "", stderr: "" };
    for (const name of ["stdout", "stderr"]) child[name].on("data", (chunk) => (out[name] += chunk));
    const timer = setTimeout(() => child.kill("SIGKILL"), timeoutMs);
    child.on("error", reject);
    child.on("close", (code, signal) => {
      clearTimeout(timer);
      resolve({ code, signal, ...out });
    });
    if (input !== null) child.stdin.end(input);
  });
}
