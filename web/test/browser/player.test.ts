// The player in a real browser against the mock node: every way from one transport to the other.

import type { Browser, BrowserContext, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import type { Player } from '../../src/player';
import { launchBrowser } from '../mock/browser.mjs';
import { MockServer } from '../mock/server.mjs';

declare global {
  interface Window {
    send(on: boolean): Promise<unknown>;
    peers: Map<string, RTCPeerConnection>;
    load(): Promise<typeof import('../../src/player')>;
    gaps: { longest: number; both: number };
  }
}

let server: MockServer;
let origin: string;
let browser: Browser;
let publisher: Page;
let context: BrowserContext;

beforeAll(async () => {
  server = new MockServer();
  origin = await server.listen();
  browser = await launchBrowser();
  publisher = await browser.newPage();
  await publisher.goto(`${origin}/mock/publisher`);
  await until(() => server.source?.ready === true, 'the HLS source');
});

afterAll(async () => {
  await browser?.close();
  server?.close();
});

afterEach(async () => {
  await context?.close();
  server.rooms.clear();
  server.seen.length = 0;
});

async function open(path: string): Promise<Page> {
  context = await browser.newContext({ locale: 'en-US' });
  const page = await context.newPage();
  page.on('pageerror', (error) => expect.unreachable(`error on the page: ${error.stack}`));
  await page.goto(origin + path);
  return page;
}

async function until(condition: () => boolean | Promise<boolean>, what: string, limitMs = 12_000): Promise<void> {
  const end = Date.now() + limitMs;
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`waited in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

const shows = (page: Page, transport: string, state = 'playing', timeout = 12_000) =>
  page.waitForSelector(`[data-onmic=player][data-transport=${transport}][data-state=${state}]`, { timeout });

const latency = async (page: Page) => {
  await page.waitForSelector('[data-onmic=player][data-latency-ms]');
  return page.$eval('[data-onmic=player]', (element) => {
    const { latencyMs, latencyMethod } = (element as HTMLElement).dataset;
    return { ms: Number(latencyMs), method: latencyMethod };
  });
};

it('whep_plays_and_says_how_late', async () => {
  server.rooms.set('demo', { whep: 'peer', hls: true, state: 'live' });
  const page = await open('/watch/demo');
  await shows(page, 'whep');
  const { ms, method } = await latency(page);
  expect(method).toBe('abs-capture-time');
  expect(ms).toBeLessThan(500);
  await page.waitForFunction(() => (window.onmicPlayer?.stats.fps ?? 0) > 5);
  const stats = await page.evaluate(() => window.onmicPlayer?.stats);
  expect(stats).toMatchObject({ transport: 'whep', width: 640, height: 360, clock: 'node' });
  expect(stats?.bitrate).toBeGreaterThan(10_000);
  expect(await page.textContent('[data-badge=transport]')).toBe('WebRTC');
  expect(server.count('GET', /^\/hls/)).toBe(0);
  await page.close({ runBeforeUnload: true });
  await until(() => server.count('DELETE', /^\/whep\/demo\//) === 1, 'the session to be deleted');
});

it('blocked_udp_falls_back_to_hls_and_returns_without_a_visible_break', async () => {
  const room = { whep: 'blocked' as 'blocked' | 'peer', hls: true, state: 'live' as const };
  server.rooms.set('demo', room);
  const page = await open('/watch/demo');
  const start = Date.now();
  await shows(page, 'hls');
  expect(Date.now() - start).toBeLessThan(7000);
  const { ms, method } = await latency(page);
  expect(method).toBe('program-date-time');
  expect(ms).toBeGreaterThan(500);
  expect(ms).toBeLessThan(4000);

  await page.click('text=Tap for sound');
  await page.evaluate(() => {
    // The longest time without a new picture in the element on top, and how often both had sound.
    window.gaps = { longest: 0, both: 0 };
    let last = performance.now();
    for (const video of document.querySelectorAll('video')) {
      const next = () =>
        video.requestVideoFrameCallback((now) => {
          if (video.style.zIndex === '1') {
            window.gaps.longest = Math.max(window.gaps.longest, now - last);
            last = now;
          }
          const audible = [...document.querySelectorAll('video')].filter((one) => !one.muted);
          if (audible.length !== 1) window.gaps.both++;
          next();
        });
      next();
    }
  });
  room.whep = 'peer';
  await shows(page, 'whep', 'playing', 15_000);
  await page.waitForTimeout(300);
  const { longest, both } = await page.evaluate(() => window.gaps);
  expect(both).toBe(0);
  expect(longest).toBeLessThan(400);
  const shown = await page.evaluate(() => {
    const player = window.onmicPlayer as Player;
    return { muted: player.video.muted, top: player.video.style.zIndex };
  });
  expect(shown).toEqual({ muted: false, top: '1' });
  const queries = server.seen
    .filter(({ path }) => path.startsWith('/hls'))
    .flatMap(({ query }) => [...new URLSearchParams(query).keys()]);
  expect(queries.filter((name) => !name.startsWith('_HLS_'))).toEqual([]);
});

it('full_node_and_unknown_route_fall_back_at_once', async () => {
  server.rooms.set('full', { whep: 503, hls: true, state: 'live' });
  const page = await open('/watch/full');
  await shows(page, 'hls', 'playing', 5000);
});

it('viewer_who_comes_early_waits_and_sees_the_start', async () => {
  const page = await open('/watch/early');
  await shows(page, 'none', 'waiting');
  expect(await page.textContent('.notice')).toContain('Waiting for the broadcaster');
  server.rooms.set('early', { whep: 'peer', hls: true, state: 'live' });
  await shows(page, 'whep');
});

it('lost_session_is_replaced', async () => {
  server.rooms.set('demo', { whep: 'peer', hls: true, state: 'live' });
  const page = await open('/watch/demo');
  await shows(page, 'whep');
  await publisher.evaluate(() => {
    for (const peer of window.peers.values()) peer.close();
    window.peers.clear();
  });
  server.sessions.clear();
  await until(() => server.count('POST', /^\/whep/) === 2, 'a second session');
  await shows(page, 'whep');
});

it('stall_of_a_live_room_is_mended_by_an_ice_restart', async () => {
  server.rooms.set('demo', { whep: 'peer', hls: true, state: 'live' });
  const page = await open('/watch/demo');
  await shows(page, 'whep');
  await publisher.evaluate(() => window.send(false));
  await until(() => server.count('PATCH', /^\/whep/) === 1, 'the ICE restart');
  await publisher.evaluate(() => window.send(true));
  await shows(page, 'whep');
  expect([server.count('POST', /^\/whep/), server.count('PATCH', /^\/whep/)]).toEqual([1, 1]);
});

it('interrupted_publisher_is_waited_for_in_the_same_session', async () => {
  const room = { whep: 'peer' as const, hls: true, state: 'live' as 'live' | 'interrupted' };
  server.rooms.set('demo', room);
  const page = await open('/watch/demo');
  await shows(page, 'whep');
  room.state = 'interrupted';
  await publisher.evaluate(() => window.send(false));
  await shows(page, 'whep', 'waiting');
  await page.waitForTimeout(2500);
  room.state = 'live';
  await publisher.evaluate(() => window.send(true));
  await shows(page, 'whep');
  expect([server.count('POST', /^\/whep/), server.count('PATCH', /^\/whep/)]).toEqual([1, 0]);
});

it('chosen_transport_is_kept_and_can_be_changed_while_playing', async () => {
  server.rooms.set('demo', { whep: 'peer', hls: true, state: 'live' });
  const page = await open('/watch/demo?transport=hls');
  await shows(page, 'hls');
  expect(server.count('POST', /^\/whep/)).toBe(0);
  await page.click('[data-choice=whep]');
  await shows(page, 'whep');
  expect(new URL(page.url()).search).toBe('?transport=whep');
});

it('latency_is_told_by_the_clock_of_the_node', async () => {
  server.rooms.set('demo', { whep: 'peer', hls: true, state: 'live' });
  server.clockAheadMs = 5000;
  try {
    const page = await open('/watch/demo?transport=hls');
    await shows(page, 'hls');
    const { ms } = await latency(page);
    expect(ms).toBeGreaterThan(5500);
    expect(ms).toBeLessThan(9000);
  } finally {
    server.clockAheadMs = 0;
  }
});

it('token_travels_in_headers_only', async () => {
  const closed = new MockServer({ auth: 'secret', source: server.source });
  const closedOrigin = await closed.listen();
  closed.rooms.set('demo', { whep: 503, hls: true, state: 'live' });
  try {
    const page = await open('/mock/blank');
    await page.goto(`${closedOrigin}/watch/demo?token=secret`);
    await shows(page, 'hls');
    const media = closed.seen.filter(({ path }) => /^\/(hls|whep|api)/.test(path));
    expect(media.length).toBeGreaterThan(5);
    expect(media.filter(({ authorization }) => authorization !== 'Bearer secret')).toEqual([]);
    expect(media.filter(({ query }) => query.includes('secret'))).toEqual([]);
    await page.goto(`${closedOrigin}/watch/demo`);
    await shows(page, 'none', 'failed');
    expect(await page.textContent('.notice')).toContain('valid link');
  } finally {
    closed.server.closeAllConnections();
    closed.server.close();
  }
});

it.each(['auto', 'hls'] as const)('library_leaves_nothing_behind_after_close_%s', async (prefer) => {
  server.rooms.set('demo', { whep: 'peer', hls: true, state: 'live' });
  const page = await open('/mock/blank');
  const left = await page.evaluate(async (prefer) => {
    const timers = new Set<unknown>();
    const { setTimeout: plainTimeout, setInterval: plainInterval, clearTimeout: plainClear } = window;
    const peers: RTCPeerConnection[] = [];
    let listeners = 0;
    window.setTimeout = ((run: () => void, ms?: number) => {
      const id = plainTimeout(() => {
        timers.delete(id);
        run();
      }, ms);
      timers.add(id);
      return id;
    }) as typeof setTimeout;
    window.setInterval = ((run: () => void, ms?: number) => {
      const id = plainInterval(run, ms);
      timers.add(id);
      return id;
    }) as typeof setInterval;
    window.clearTimeout = window.clearInterval = (id) => {
      timers.delete(id);
      plainClear(id);
    };
    for (const target of [window, document]) {
      const add = target.addEventListener.bind(target);
      const remove = target.removeEventListener.bind(target);
      target.addEventListener = ((name: string, run: EventListener, options?: AddEventListenerOptions) => {
        listeners++;
        options?.signal?.addEventListener('abort', () => listeners--);
        add(name, run, options);
      }) as typeof target.addEventListener;
      target.removeEventListener = ((name: string, run: EventListener) => {
        listeners--;
        remove(name, run);
      }) as typeof target.removeEventListener;
    }
    const Plain = RTCPeerConnection;
    window.RTCPeerConnection = class extends Plain {
      constructor(configuration?: RTCConfiguration) {
        super(configuration);
        peers.push(this);
      }
    };
    const { Player } = await window.load();
    const element = document.querySelector('#here') as HTMLElement;
    const player = new Player({ url: location.origin, room: 'demo', element, prefer });
    await player.play();
    const videos = element.querySelectorAll('video').length;
    await new Promise((resolve) => plainTimeout(resolve, 1200));
    player.close();
    await new Promise((resolve) => plainTimeout(resolve, 300));
    return {
      timers: timers.size,
      listeners,
      open: peers.filter((peer) => peer.signalingState !== 'closed').length,
      videos: [videos, element.querySelectorAll('video').length],
      attributes: Object.keys(element.dataset),
    };
  }, prefer);
  expect(left).toEqual({ timers: 0, listeners: 0, open: 0, videos: [2, 0], attributes: [] });
});

it('library_wraps_a_given_video_element_and_gives_it_back', async () => {
  server.rooms.set('demo', { whep: 'peer', hls: true, state: 'live' });
  const page = await open('/mock/blank');
  const seen = await page.evaluate(async () => {
    const { Player } = await window.load();
    const video = document.createElement('video');
    document.body.append(video);
    const events: string[] = [];
    const player = new Player({ url: location.origin, room: 'demo', element: video });
    player.on('transport', ({ transport }) => events.push(transport));
    player.on('state', ({ state }) => events.push(state));
    await player.play();
    const wrapped = video.parentElement === player.container;
    player.close();
    const refused = await player.play().catch((error: Error) => error.message);
    return { events, wrapped, back: video.parentElement === document.body, refused };
  });
  expect(seen).toEqual({
    events: ['connecting', 'whep', 'playing', 'none', 'closed'],
    wrapped: true,
    back: true,
    refused: 'the player is closed',
  });
});
