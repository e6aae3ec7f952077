// Runs a test with a gateway. The stage ends everything that the test started, in reverse order. A failing test prints
// the end of the gateway's log.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { Browser, figures } from "./browser.js";
import { capacity } from "./expect.js";
import { Firefox } from "./firefox.js";
import { Gateway } from "./gateway.js";
import { rounded } from "./numbers.js";
import { Publisher } from "./picture.js";
import { UdpRelay } from "./udp_relay.js";
import { waitFor } from "./wait.js";

const LIMIT_MS = 60_000;
const LOG_SHOWN = 6000;

export function endToEnd(name, body, { timeout = LIMIT_MS, skip = false } = {}) {
  test(name, { timeout, skip }, async (t) => {
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

/**
 * Returns a function that calls `make` once and hands its result to every test of the file. What `make` started is
 * ended after the last test.
 */
export function lasting(make) {
  const stage = new Stage(null);
  let made = null;
  after(() => stage.close());
  return async (asker) => {
    made ??= make(stage);
    const thing = await made;
    asker?.gateways.push(...stage.gateways); // A failing test prints their logs.
    return thing;
  };
}

class Stage {
  #t;
  #things = [];
  gateways = [];
  pages = [];

  constructor(t) {
    this.#t = t;
  }

  /** Prints figures. Tests do not assert them, because timings on a shared machine are not reliable. */
  say(text) {
    this.#t?.diagnostic(text);
  }

  sayFigures(what, report) {
    const { fps, p50, p95, freezes, longestFreeze, lipSync, missing } = figures(report);
    this.say(
      `${what}: ${rounded(fps, 1)} fps, latency p50 ${rounded(p50)} p95 ${rounded(p95)} ms, ` +
        `first frame ${rounded(report.firstPictureMs)} ms, ${freezes} freezes (${longestFreeze} ms), ` +
        `${missing} frames missing, audio ${rounded(lipSync)} ms after video` +
        (capacity() < 1 ? `; the machine is busy: limits scaled to ${rounded(capacity() * 100)} %` : ""),
    );
  }

  /** Stops `thing` when the test ends. */
  keep(thing) {
    this.#things.push(thing);
    return thing;
  }

  async gateway(options) {
    const gateway = this.keep(await Gateway.start(options));
    this.gateways.push(gateway);
    return gateway;
  }

  publisher(url, picture) {
    return this.keep(new Publisher(url, picture));
  }

  /** Starts a publisher and waits until the room is live. */
  async live(gateway, room, picture) {
    const publisher = this.publisher(gateway.rtmpUrl(room), picture);
    await this.isLive(gateway, room, () => publisher.assertAlive());
    return publisher;
  }

  isLive(gateway, room, giveUp) {
    return waitFor(`${room} to be live`, async () => (await gateway.room(room))?.live, { giveUp });
  }

  /** Returns Chromium, or Firefox if that is asked for. */
  async browser(start = chromium) {
    const browser = await start();
    return browser.withWindows((page) => {
      this.pages.push(page);
      this.keep({ stop: () => page.context().close() });
    });
  }

  async relay(port, rules) {
    return this.keep(await UdpRelay.start(port, rules));
  }

  folder() {
    const path = mkdtempSync(join(tmpdir(), "onmic-test-"));
    this.keep({ stop: async () => rmSync(path, { recursive: true, force: true }) });
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

// A browser takes seconds to start, so the tests of a file share it. Each test closes its own windows.
const chromium = lasting(async (stage) => stage.keep(await Browser.start()));
export const firefox = lasting(async (stage) => stage.keep(await Firefox.start()));
