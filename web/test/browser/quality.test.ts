// Tests the choice of levels in a real browser against the mock node: the menu, audio only, and changes of transport.

import type { Page } from 'playwright-core';
import { expect, it } from 'vitest';
import { HlsSource } from '../mock/hls_source.mjs';
import type { MockLevel } from '../mock/levels.mjs';
import { Harness, shows, until } from './harness';

const node = new Harness({ source: new HlsSource(['video', 'video1', 'audio']) });

const level = (encodingId: string, height: number, bitrate: number): MockLevel => ({
  encodingId,
  width: Math.round((height * 16) / 9),
  height,
  bitrate,
  frameRate: 30,
  onDemand: encodingId !== 'video',
});
const LEVELS = [level('video', 360, 600_000), level('video1', 180, 200_000)];

async function watch(query = '', levels: MockLevel[] = LEVELS): Promise<Page> {
  node.server.rooms.set('demo', { whep: 'peer', hls: true, state: 'live', levels });
  return node.open(`/watch/demo${query}`);
}

/** Waits until the video on top has this many lines. */
const hasLines = (page: Page, lines: number) =>
  page.waitForFunction((height) => window.onmicPlayer?.video.videoHeight === height, lines);

const posted = () =>
  node.server.seen.filter(({ path }) => path.endsWith('/layer')).map(({ body }) => JSON.parse(body) as object);

const hasPoster = (page: Page) => page.$eval('[data-onmic-poster]', (poster) => !(poster as HTMLElement).hidden);

/** Returns how many samples of audio the session has played, and whether they were made up. */
const audio = (page: Page) =>
  page.evaluate(() => {
    const { video } = window.onmicPlayer ?? {};
    return (video?.srcObject as MediaStream | null)?.getAudioTracks()[0]?.muted === false && !video?.paused;
  });

it('the_menu_lists_the_levels_and_the_chosen_one_plays', async () => {
  const page = await watch();
  await shows(page, 'whep');
  await page.click('.tool.quality');
  const items = () => page.$$eval('[role=menuitemradio]', (all) => all.map((item) => item.textContent?.trim()));
  await expect.poll(items).toEqual(['Auto (360p)', '360p', '180p', 'Audio only']);
  await page.click('[data-quality=video1]');
  await hasLines(page, 180);
  expect(posted().at(-1)).toEqual({ mediaId: '0', encodingId: 'video1' });
  expect(await page.evaluate(() => [window.onmicPlayer?.level, window.onmicPlayer?.chosenLevel])).toEqual([
    'video1',
    'video1',
  ]);
  expect(await page.getAttribute('.tool.quality', 'aria-label')).toBe('Quality: 180p');
  expect(page.url()).toContain('quality=video1');
  expect(await page.$eval('#qualities', (menu) => (menu as HTMLElement).hidden)).toBe(true);
  await page.click('.tool.quality');
  await page.click('[data-quality=auto]');
  await hasLines(page, 360);
  expect(page.url()).not.toContain('quality');
  expect([node.server.count('POST', /^\/whep\/demo$/), node.server.count('PATCH', /^\/whep/)]).toEqual([1, 0]);
});

it('the_menu_is_used_by_keyboard', async () => {
  const page = await watch();
  await shows(page, 'whep');
  await page.waitForSelector('.tool.quality:not([hidden])');
  const focused = () =>
    page.evaluate(
      () => (document.activeElement as HTMLElement).dataset['quality'] ?? document.activeElement?.className,
    );
  await page.focus('.tool.quality');
  await page.keyboard.press('Enter');
  expect(await focused()).toBe('auto');
  await page.keyboard.press('ArrowUp');
  expect(await focused()).toBe('none');
  await page.keyboard.press('Home');
  await page.keyboard.press('ArrowDown');
  expect(await focused()).toBe('video');
  await page.keyboard.press('Escape');
  expect(await focused()).toBe('tool quality');
  expect(await page.getAttribute('.tool.quality', 'aria-expanded')).toBe('false');
  await page.keyboard.press('ArrowDown');
  await page.keyboard.press('End');
  await page.keyboard.press('ArrowUp');
  await page.keyboard.press('Enter');
  await hasLines(page, 180);
  expect(await page.$eval('[data-quality=video1]', (item) => item.getAttribute('aria-checked'))).toBe('true');
});

it('audio_only_shows_a_poster_and_the_audio_goes_on', async () => {
  const page = await watch();
  await shows(page, 'whep');
  await page.waitForSelector('.tool.quality:not([hidden])');
  await page.evaluate(() => window.onmicPlayer?.setLevel('none'));
  expect(await hasPoster(page)).toBe(true);
  await page.waitForSelector('.audio-only:not([hidden])');
  await page.waitForTimeout(5000); // Longer than a stall of a live room is put up with.
  expect(await page.evaluate(() => [window.onmicPlayer?.state, window.onmicPlayer?.level])).toEqual([
    'playing',
    'none',
  ]);
  expect(await audio(page)).toBe(true);
  expect(await page.getAttribute('[data-onmic=player]', 'data-level')).toBe('none');
  expect([node.server.count('POST', /^\/whep\/demo$/), node.server.count('PATCH', /^\/whep/)]).toEqual([1, 0]);
  await page.evaluate(() => window.onmicPlayer?.setLevel('auto'));
  await hasLines(page, 360);
  await expect.poll(() => hasPoster(page)).toBe(false);
  await shows(page, 'whep');
});

it('a_session_that_begins_with_audio_only_plays_and_shows_video_when_that_is_chosen', async () => {
  const page = await watch('?quality=none');
  await shows(page, 'whep');
  await expect.poll(() => hasPoster(page)).toBe(true);
  await page.waitForTimeout(4000);
  expect(await page.evaluate(() => [window.onmicPlayer?.state, window.onmicPlayer?.transport])).toEqual([
    'playing',
    'whep',
  ]);
  expect([node.server.count('POST', /^\/whep\/demo$/), node.server.count('PATCH', /^\/whep/)]).toEqual([1, 0]);
  await page.evaluate(() => window.onmicPlayer?.setLevel('video1'));
  await hasLines(page, 180);
  await expect.poll(() => hasPoster(page)).toBe(false);
  await shows(page, 'whep');
});

it('the_choice_holds_from_webrtc_to_ll_hls_and_back', async () => {
  const page = await watch('?quality=video1');
  await shows(page, 'whep');
  await hasLines(page, 180);
  await page.evaluate(() => window.onmicPlayer?.prefer('hls'));
  await shows(page, 'hls');
  await hasLines(page, 180);
  const seen = await page.evaluate(() => window.onmicPlayer?.levels.map(({ key, height }) => [key, height]));
  expect(seen).toEqual([
    ['video', 360],
    ['video1', 180],
  ]);
  await page.waitForTimeout(4000);
  expect(await page.evaluate(() => [window.onmicPlayer?.video.videoHeight, window.onmicPlayer?.level])).toEqual([
    180,
    'video1',
  ]);
  await page.evaluate(() => window.onmicPlayer?.setLevel('video'));
  await hasLines(page, 360);
  await page.evaluate(() => window.onmicPlayer?.prefer('whep'));
  await shows(page, 'whep');
  await hasLines(page, 360);
  expect(posted().at(-1)).toEqual({ mediaId: '0', encodingId: 'video' });
});

it('audio_only_holds_over_ll_hls', async () => {
  const page = await watch('?transport=hls');
  await shows(page, 'hls');
  await hasLines(page, 360);
  const clock = () => page.evaluate(() => window.onmicPlayer?.video.currentTime ?? 0);
  await page.evaluate(() => window.onmicPlayer?.setLevel('none'));
  expect(await hasPoster(page)).toBe(true);
  await page.waitForFunction(
    () => window.onmicPlayer?.video.videoWidth === 0 && window.onmicPlayer.video.currentTime > 0,
  );
  const before = await clock();
  await page.waitForTimeout(4000);
  expect((await clock()) - before).toBeGreaterThan(2.5);
  await shows(page, 'hls');
  const recent = node.server.seen.filter(({ at, path }) => path.startsWith('/hls') && at > Date.now() - 2000);
  expect(recent.filter(({ path }) => !path.includes('audio')).map(({ path }) => path)).toEqual([]);
  await page.evaluate(() => window.onmicPlayer?.prefer('whep'));
  await shows(page, 'whep');
  await expect.poll(() => posted().at(-1)).toEqual({ mediaId: '0', encodingId: 'none' });
  await expect.poll(() => hasPoster(page)).toBe(true);
  await page.evaluate(() => window.onmicPlayer?.prefer('hls'));
  await shows(page, 'hls');
  expect(await hasPoster(page)).toBe(true);
  await page.evaluate(() => window.onmicPlayer?.setLevel('auto'));
  await hasLines(page, 360);
  await expect.poll(() => hasPoster(page)).toBe(false);
});

it('the_size_of_the_player_is_told_in_device_pixels_and_chooses_the_level', async () => {
  const page = await watch('', [level('video', 720, 2e6), level('video1', 360, 6e5), level('video2', 180, 2e5)]);
  await shows(page, 'whep');
  await expect.poll(() => posted().length).toBe(1);
  const box = await page.evaluate(() => {
    const { width, height } = window.onmicPlayer?.container.getBoundingClientRect() ?? new DOMRect();
    return { width, height };
  });
  const { mediaId, maxWidth, maxHeight } = posted()[0] as { mediaId: string; maxWidth: number; maxHeight: number };
  expect(mediaId).toBe('0');
  // A box that begins or ends within a pixel has one pixel more or less.
  expect([Math.abs(maxWidth - box.width) <= 1, Math.abs(maxHeight - box.height) <= 1]).toEqual([true, true]);
  await page.setViewportSize({ width: 400, height: 700 });
  await expect.poll(() => posted().length).toBe(2);
  expect(posted().at(-1)).toMatchObject({ maxWidth: 400, maxHeight: 225 });
  await page.waitForFunction(() => window.onmicPlayer?.level === 'video1');
});

it('levels_come_again_after_the_event_stream_broke', async () => {
  const page = await watch();
  await shows(page, 'whep');
  await page.waitForSelector('.tool.quality:not([hidden])');
  node.server.levels.cut();
  node.server.levels.change([...LEVELS, level('video2', 90, 50_000)]);
  await page.waitForFunction(() => window.onmicPlayer?.levels.length === 3);
  await page.evaluate(() => window.onmicPlayer?.close());
  await until(() => node.server.levels.sessions.size === 0, 'the session and its streams to end');
});

it('a_node_without_levels_has_no_menu', async () => {
  node.server.rooms.set('demo', { whep: 'peer', hls: true, state: 'live' });
  const page = await node.open('/watch/demo');
  await shows(page, 'whep');
  await page.waitForTimeout(1000);
  expect(await page.isVisible('.tool.quality')).toBe(false);
  expect(node.server.count('POST', /(layer|sse)$/)).toBe(0);
});
