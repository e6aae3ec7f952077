// Holds what the browser tests share: a mock node, a browser, a page that publishes, and functions that wait.

import type { Browser, BrowserContext, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, expect } from 'vitest';
import type { Player, Room } from '../../src/player';
import { launchBrowser } from '../mock/browser.mjs';
import { MockServer } from '../mock/server.mjs';

declare global {
  interface Window {
    onmicPlayer?: Player;
    onmicRoom?: Room;
    send(on: boolean): Promise<unknown>;
    /** The kind that the publisher does not send to new sessions before `begin` is called. */
    lacks: 'audio' | 'video' | null;
    begin(kind: 'audio' | 'video'): Promise<unknown>;
    peers: Map<string, RTCPeerConnection>;
    load(): Promise<typeof import('../../src/player')>;
    states: string[];
    gaps: { longest: number; both: number };
  }
}

export class Harness {
  server!: MockServer;
  /** The URL of the server, with its prefix and without a slash at the end. */
  origin!: string;
  browser!: Browser;
  publisher!: Page;
  readonly #contexts: BrowserContext[] = [];

  /** Registers set-up and clean-up for the tests of a file. Call it once per file. */
  constructor(options: ConstructorParameters<typeof MockServer>[0] = {}) {
    beforeAll(async () => {
      this.server = new MockServer(options);
      this.origin = await this.server.listen();
      this.browser = await launchBrowser();
      this.publisher = await this.browser.newPage();
      await this.publisher.goto(`${this.origin}/mock/publisher`);
      await until(() => this.server.source?.ready === true, 'the HLS source');
    });
    afterEach(async () => {
      await Promise.all(this.#contexts.splice(0).map((context) => context.close()));
      this.server.rooms.clear();
      this.server.studio.clear();
      this.server.publishing.clear();
      this.server.levels.clear();
      this.server.sessions.clear(); // A page that is closed may not get to its goodbye.
      this.server.seen.length = 0;
    });
    afterAll(async () => {
      await this.browser?.close();
      this.server?.close();
    });
  }

  async open(path: string): Promise<Page> {
    const context = await this.browser.newContext({ locale: 'en-US' });
    this.#contexts.push(context);
    const page = await context.newPage();
    page.on('pageerror', (error) => expect.unreachable(`error on the page: ${error.stack}`));
    await page.goto(this.origin + path);
    return page;
  }
}

export async function until(condition: () => boolean, what: string, limitMs = 15_000): Promise<void> {
  const end = Date.now() + limitMs;
  while (!condition()) {
    if (Date.now() > end) throw new Error(`waited too long for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Waits until the player shows this transport in this state. */
export function shows(page: Page, transport: string, state = 'playing', limitMs = 15_000): Promise<unknown> {
  const selector = `[data-onmic=player][data-transport=${transport}][data-state=${state}]`;
  return page.waitForSelector(selector, { timeout: limitMs });
}

export async function latency(page: Page): Promise<{ ms: number; method: string | undefined }> {
  await page.waitForSelector('[data-onmic=player][data-latency-ms]');
  return page.$eval('[data-onmic=player]', (element) => {
    const { latencyMs, latencyMethod } = (element as HTMLElement).dataset;
    return { ms: Number(latencyMs), method: latencyMethod };
  });
}
