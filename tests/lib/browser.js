// Starts the real Chromium and opens pages in it that run the bench.
//
// Each page has its own window, because Chromium throttles a background tab and shows no frames in it.

import { chromium } from "playwright-core";
import { percentile } from "./numbers.js";
import { PageServer } from "./page_server.js";
import { waitFor } from "./wait.js";

const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--autoplay-policy=no-user-gesture-required",
  "--use-fake-device-for-media-stream",
  "--use-fake-ui-for-media-stream",
];

export class Browser {
  #browser;
  #pages;
  #ownsPages;
  #onWindow = () => {};

  /** Starts Chromium. Playwright gives it an empty profile under the temporary folder and removes it afterwards. */
  static async start({ pages = null, flags = [] } = {}) {
    const browser = new Browser();
    browser.#ownsPages = pages === null;
    browser.#pages = pages ?? (await PageServer.start());
    browser.#browser = await chromium.launch({
      executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
      headless: true,
      args: [...FLAGS, ...flags],
    });
    return browser;
  }

  /** Returns a view of the same browser that calls `onWindow` for each window opened through it. */
  withWindows(onWindow) {
    const view = new Browser();
    view.#browser = this.#browser;
    view.#pages = this.#pages;
    view.#onWindow = onWindow;
    return view;
  }

  get version() {
    return this.#browser.version();
  }

  get pagesUrl() {
    return this.#pages.url;
  }

  /** Opens a window on any URL. `messages` of the page collects its console output and its errors. */
  async open(url, { viewport = { width: 1280, height: 800 }, ...options } = {}) {
    const context = await this.#browser.newContext({ viewport, ...options });
    const page = await context.newPage();
    this.#onWindow(page);
    page.messages = [];
    page.on("console", (message) => page.messages.push(`${message.type()}: ${message.text()}`));
    page.on("pageerror", (error) => page.messages.push(`error: ${error.message}`));
    await page.goto(url, { waitUntil: "load" });
    return page;
  }

  /** Starts a client of the bench ("whep", "whip", "hls", "library", "loopback", "file") in its own window. */
  async play(kind, options) {
    const page = await this.open(`${this.#pages.url}/`);
    await page.waitForFunction(() => window.bench);
    const client = new Client(page, kind);
    try {
      await page.evaluate(([kind, options]) => window.bench.start(kind, "client", options), [kind, options ?? {}]);
    } catch (error) {
      await page.context().close();
      throw error;
    }
    return client;
  }

  async stop() {
    await this.#browser.close();
    if (this.#ownsPages) await this.#pages.stop();
  }
}

/** Drives one bench client in its window. */
export class Client {
  constructor(page, kind) {
    this.page = page;
    this.kind = kind;
  }

  report() {
    return this.page.evaluate(() => window.bench.report("client"));
  }

  reset() {
    return this.page.evaluate(() => window.bench.reset("client"));
  }

  call(method, ...args) {
    return this.page.evaluate(([method, args]) => window.bench.call("client", method, ...args), [method, args]);
  }

  waitFor(what, condition, timeoutMs = 15_000) {
    let last = null;
    return waitFor(
      what,
      async () => {
        last = await this.report();
        return condition(last) ? last : null;
      },
      { timeoutMs, everyMs: 100 },
    ).catch((error) => {
      const { samples: _, answer: _answer, ...brief } = last ?? {};
      brief.tiles = brief.tiles?.map(({ frames, lastAgeMs }) => ({ frames, lastAgeMs }));
      brief.tones = brief.tones?.slice(-2);
      error.message += `\n${JSON.stringify(brief)}`;
      throw error;
    });
  }

  waitForFrames(count, timeoutMs) {
    return this.waitFor(`${count} frames by ${this.kind}`, (report) => report.frames >= count, timeoutMs);
  }

  /** Discards the samples so far, waits `seconds`, and returns the report of that time. */
  async watch(seconds) {
    await this.reset();
    await this.page.waitForTimeout(seconds * 1000);
    return this.report();
  }

  /** Ends the client's session and closes its window. Returns the result of the client's `stop`. */
  async stop() {
    const answer = await this.page.evaluate(() => window.bench.stop("client"));
    await this.page.context().close();
    return answer;
  }

  /** Closes the window without ending the session first, like a viewer who closes the lid of a laptop. */
  close() {
    return this.page.context().close();
  }
}

/** Returns the percentiles and rates of a report, for printing. */
export function figures(report) {
  const latencies = report.samples.map(([, latency]) => latency);
  return {
    fps: report.frames / report.seconds,
    p50: percentile(latencies, 50),
    p95: percentile(latencies, 95),
    max: percentile(latencies, 100),
    freezes: report.freezes.length,
    longestFreeze: Math.max(0, ...report.freezes.map(({ ms }) => ms)),
    lipSync: percentile(report.lipSync, 50),
    missing: report.spannedFrames - report.uniqueFrames,
  };
}
