// Starts the real Firefox and opens pages in it, with the few functions of Playwright's pages that the other libraries
// call. Playwright drives a Firefox of its own only, so puppeteer drives this one, by WebDriver BiDi.
//
// Firefox has no H.264 by WebRTC here: it would fetch OpenH264 from the network after its start.

import puppeteer from "puppeteer-core";
import { pause } from "./wait.js";

const PREFERENCES = {
  "media.navigator.streams.fake": true, // A camera of changing colours and a tone.
  "media.navigator.permission.disabled": true,
  "media.autoplay.default": 0, // A page may play audio without a gesture.
  "media.gmp-manager.updateEnabled": false,
  "intl.accept_languages": "en-US",
};

export class Firefox {
  #browser;
  #onWindow = () => {};

  /** Starts Firefox with an empty profile, which puppeteer removes afterwards. */
  static async start({ preferences = {} } = {}) {
    const firefox = new Firefox();
    firefox.#browser = await puppeteer.launch({
      browser: "firefox",
      executablePath: process.env.FIREFOX ?? "/usr/bin/firefox-esr",
      headless: true,
      defaultViewport: { width: 1280, height: 800 },
      extraPrefsFirefox: { ...PREFERENCES, ...preferences },
    });
    return firefox;
  }

  /** Returns a view of the same browser that calls `onWindow` for each window opened through it. */
  withWindows(onWindow) {
    const view = new Firefox();
    view.#browser = this.#browser;
    view.#onWindow = onWindow;
    return view;
  }

  version() {
    return this.#browser.version();
  }

  /**
   * Opens a window on any URL. `messages` of the page collects its console output and its errors. Firefox shows no
   * frames in a tab that is not in front, so each page has its own window.
   */
  async open(url) {
    const context = await this.#browser.createBrowserContext();
    const page = await context.newPage();
    page.messages = [];
    page.patienceMs = 30_000; // It decodes and draws in software here, and a first attempt by WebRTC may take too long.
    page.on("console", (message) => page.messages.push(`${message.type()}: ${message.text()}`));
    page.on("pageerror", (error) => page.messages.push(`error: ${error.message}`));
    page.context = () => context;
    page.fill = (selector, text) => page.locator(selector).fill(text);
    page.waitForTimeout = pause;
    page.addInitScript = (script, argument) => page.evaluateOnNewDocument(script, argument);
    this.#onWindow(page);
    await page.goto(url);
    return page;
  }

  async stop() {
    await this.#browser.close();
  }
}
