// Tests the pages in a real browser: their lists, texts and controls.

import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { launchBrowser } from '../mock/browser.mjs';
import { MockServer } from '../mock/server.mjs';

let server: MockServer;
let origin: string;
let browser: Browser;

beforeAll(async () => {
  server = new MockServer({ source: null });
  origin = await server.listen();
  browser = await launchBrowser();
});

afterAll(async () => {
  await browser?.close();
  server?.close();
});

afterEach(async () => {
  await Promise.all(browser.contexts().map((context) => context.close()));
  server.rooms.clear();
  server.studio.clear();
});

async function open(path: string, locale: string, width = 1280): Promise<Page> {
  const context = await browser.newContext({ locale, viewport: { width, height: 844 } });
  const page = await context.newPage();
  await page.goto(origin + path);
  return page;
}

it('the_home_page_lists_rooms_as_they_come_and_go', async () => {
  const page = await open('/', 'en-US');
  await page.waitForSelector('text=Nobody is live yet');
  server.rooms.set('<b>room>', { whep: 'peer', hls: true, state: 'live' });
  const card = await page.waitForSelector('.room');
  expect((await card.textContent())?.replaceAll('\u00a0', ' ')).toContain('1280×720 · 30 fps · H.264 High');
  expect(await page.$eval('.room a', (link) => link.getAttribute('href'))).toBe(`${origin}/watch/%3Cb%3Eroom%3E`);
  server.rooms.clear();
  await page.waitForSelector('text=Nobody is live yet');
});

it('the_language_follows_the_browser_and_the_switch', async () => {
  const page = await open('/', 'zh-CN');
  await page.waitForSelector('text=暂时没有直播');
  expect(await page.getAttribute('html', 'lang')).toBe('zh-CN');
  await page.click('button[lang=en]');
  await page.waitForSelector('text=Nobody is live yet');
  await page.goto(`${origin}/watch/x`);
  await page.waitForSelector('text=Waiting for the broadcaster');
  await page.goto(`${origin}/watch/x?lang=zh`);
  await page.waitForSelector('text=等待主播开播');
});

it('the_publish_panel_follows_the_room_name', async () => {
  const page = await open('/', 'en-US');
  await page.fill('.publish input', 'my show');
  expect(await page.textContent('.field:nth-child(2) code')).toBe('my%20show');
  await page.click('role=tab[name=WHIP]');
  expect(await page.textContent('.field code')).toBe(`${origin}/whip/my%20show`);
  expect(await page.getAttribute('.publish footer a', 'href')).toBe(`${origin}/watch/my%20show`);
});

it.each(['/', '/watch/nobody', '/studio/nobody'])('a_phone_does_not_scroll_sideways_on_%s', async (path) => {
  server.rooms.set('a-room-with-quite-a-long-name-that-nobody-would-type-twice', {
    whep: 503,
    hls: false,
    state: 'live',
  });
  const page = await open(path, 'en-US', 320);
  await page.waitForTimeout(500);
  expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(320);
});

it('every_control_has_an_accessible_name', async () => {
  for (const path of ['/', '/watch/nobody', '/studio/nobody']) {
    const page = await open(path, 'en-US');
    await page.waitForSelector('button');
    if (path !== '/') await page.waitForSelector('.chat');
    const nameless = await page.$$eval('button, input, select, textarea, a, [role=tab], [role=meter]', (elements) =>
      elements
        .filter(
          (element) =>
            !element.textContent?.trim() &&
            !element.getAttribute('aria-label') &&
            !(element as HTMLInputElement).labels?.length,
        )
        .map((element) => element.outerHTML),
    );
    expect(nameless).toEqual([]);
  }
});
