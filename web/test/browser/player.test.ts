// Tests the player in a real browser against the mock node: interruptions, tokens, audio, and the library alone.

import type { Page } from 'playwright-core';
import { expect, it } from 'vitest';
import type { Player } from '../../src/player';
import { launchBrowser } from '../mock/browser.mjs';
import { MockServer } from '../mock/server.mjs';
import { Harness, shows, until } from './harness';

const node = new Harness();

/** Returns the loudest sample of a short piece of the audio that the player's element gets. */
function loudness(page: Page): Promise<number> {
  return page.evaluate(async () => {
    const stream = window.onmicPlayer?.video.srcObject as MediaStream;
    const context = new AudioContext();
    const analyser = context.createAnalyser();
    context.createMediaStreamSource(new MediaStream(stream.getAudioTracks())).connect(analyser);
    await context.resume();
    await new Promise((done) => setTimeout(done, 200));
    const samples = new Float32Array(analyser.fftSize);
    analyser.getFloatTimeDomainData(samples);
    await context.close();
    return Math.max(...samples.map(Math.abs));
  });
}

it('a_viewer_who_comes_early_waits_and_sees_the_start', async () => {
  const page = await node.open('/watch/early');
  await shows(page, 'none', 'waiting');
  expect(await page.textContent('.notice')).toContain('Waiting for the broadcaster');
  node.server.rooms.set('early', { whep: 'peer', hls: true, state: 'live' });
  await shows(page, 'whep');
});

it('a_stall_of_a_live_room_is_repaired_by_an_ice_restart', async () => {
  node.server.rooms.set('demo', { whep: 'peer', hls: true, state: 'live' });
  const page = await node.open('/watch/demo');
  await shows(page, 'whep');
  await node.publisher.evaluate(() => window.send(false));
  await until(() => node.server.count('PATCH', /^\/whep/) === 1, 'the ICE restart');
  await node.publisher.evaluate(() => window.send(true));
  await shows(page, 'whep');
  expect([node.server.count('POST', /^\/whep/), node.server.count('PATCH', /^\/whep/)]).toEqual([1, 1]);
});

it('the_player_waits_for_an_interrupted_publisher_in_the_same_session', async () => {
  const room = { whep: 'peer' as const, hls: true, state: 'live' as 'live' | 'interrupted' };
  node.server.rooms.set('demo', room);
  const page = await node.open('/watch/demo');
  await shows(page, 'whep');
  room.state = 'interrupted';
  await node.publisher.evaluate(() => window.send(false));
  await shows(page, 'whep', 'waiting');
  await page.waitForTimeout(2500);
  room.state = 'live';
  await node.publisher.evaluate(() => window.send(true));
  await shows(page, 'whep');
  expect([node.server.count('POST', /^\/whep/), node.server.count('PATCH', /^\/whep/)]).toEqual([1, 0]);
});

it('video_plays_without_waiting_for_audio_that_comes_later_in_the_same_session', async () => {
  node.server.rooms.set('demo', { whep: 'peer', hls: false, state: 'live' });
  await node.publisher.evaluate(() => {
    window.lacks = 'audio';
  });
  const page = await node.open('/watch/demo');
  await shows(page, 'whep');
  await page.waitForTimeout(3000);
  await shows(page, 'whep');
  expect(await page.evaluate(() => window.onmicPlayer?.video.videoWidth)).toBe(640);
  const before = await loudness(page);
  await node.publisher.evaluate(() => window.begin('audio'));
  await expect.poll(() => loudness(page), { timeout: 5000 }).toBeGreaterThan(0.1);
  expect(before).toBe(0);
  expect(await page.textContent('body')).not.toContain('Trying again');
  expect([node.server.count('POST', /^\/whep/), node.server.count('PATCH', /^\/whep/)]).toEqual([1, 0]);
});

const AUDIO_ONLY = { participants: [{ name: 'host', protocol: 'whip', state: 'live', video: null, advice: [] }] };

it('audio_alone_in_a_room_with_video_is_replaced_by_hls_and_the_reason_is_told', async () => {
  node.server.rooms.set('demo', { whep: 'peer', hls: true, state: 'live' });
  await node.publisher.evaluate(() => {
    window.lacks = 'video';
  });
  const page = await node.open('/watch/demo');
  await shows(page, 'hls');
  expect(await page.evaluate(() => window.onmicPlayer?.stats.whepGivenUp)).toEqual({ audio_only: 1 });
  const ended = () => node.server.seen.filter(({ method, path }) => method === 'DELETE' && path.startsWith('/whep'));
  await until(() => ended().length > 0, 'the session to be deleted');
  expect(ended()[0]?.query).toBe('?reason=audio_only');
  await node.publisher.evaluate(() => window.begin('video'));
  await shows(page, 'whep', 'playing', 75_000); // On a busy machine the first trial may be judged unfit. The next one is 30 s later.
  expect(await page.evaluate(() => window.onmicPlayer?.video.videoWidth)).toBe(640);
}, 100_000);

it('the_watch_page_shows_the_title_of_the_room', async () => {
  node.server.rooms.set('demo', {
    whep: 'peer',
    hls: false,
    state: 'live',
    room: { state: { title: 'Ceramics <live>' } },
  });
  const page = await node.open('/watch/demo');
  await page.waitForSelector('h1:has-text("Ceramics <live>")');
  expect(await page.title()).toContain('Ceramics <live>');
  node.server.rooms.set('plain', { whep: 'peer', hls: false, state: 'live' });
  const plain = await node.open('/watch/plain');
  await plain.waitForSelector('h1:has-text("plain")');
});

it('audio_plays_without_waiting_for_video_that_comes_later_in_the_same_session', async () => {
  const room = { whep: 'peer' as const, hls: false, state: 'live' as const, room: AUDIO_ONLY as object };
  node.server.rooms.set('demo', room);
  await node.publisher.evaluate(() => {
    window.lacks = 'video';
  });
  const page = await node.open('/watch/demo');
  await shows(page, 'whep');
  expect(await page.evaluate(() => window.onmicPlayer?.video.videoWidth)).toBe(0);
  await page.waitForTimeout(3000); // A frozen video would count as a stall after this time.
  await shows(page, 'whep');
  await node.publisher.evaluate(() => window.begin('video'));
  room.room = {};
  await page.waitForFunction(() => window.onmicPlayer?.video.videoWidth === 640, undefined, { timeout: 5000 });
  await shows(page, 'whep');
  expect([node.server.count('POST', /^\/whep/), node.server.count('PATCH', /^\/whep/)]).toEqual([1, 0]);

  await node.publisher.evaluate(() => window.send(false));
  await until(() => node.server.count('PATCH', /^\/whep/) === 1, 'a stall to be detected again');
  await node.publisher.evaluate(() => window.send(true));
});

it('the_token_is_sent_in_headers_only', async () => {
  const closed = new MockServer({ auth: 'secret', source: node.server.source });
  const closedOrigin = await closed.listen();
  closed.rooms.set('demo', { whep: 503, hls: true, state: 'live' });
  try {
    const page = await node.open('/mock/blank');
    await page.goto(`${closedOrigin}/watch/demo?token=secret`);
    await shows(page, 'hls');
    expect(page.url()).toBe(`${closedOrigin}/watch/demo`);
    const media = closed.seen.filter(({ path }) => /^\/(hls|whep|api)/.test(path));
    expect(media.length).toBeGreaterThan(5);
    expect(media.filter(({ authorization }) => authorization !== 'Bearer secret')).toEqual([]);
    expect(media.filter(({ query }) => query.includes('secret'))).toEqual([]);
    await page.reload();
    await shows(page, 'hls');
    const stranger = await node.open('/mock/blank');
    await stranger.goto(`${closedOrigin}/watch/demo`);
    await shows(stranger, 'none', 'failed');
    expect(await stranger.textContent('.notice')).toContain('valid link');
    await stranger.goto(`${closedOrigin}/watch/demo#token=secret`);
    await shows(stranger, 'hls');
    expect(stranger.url()).toBe(`${closedOrigin}/watch/demo`);
  } finally {
    closed.server.closeAllConnections();
    closed.server.close();
  }
});

it.each(['auto', 'hls'] as const)('the_library_leaves_nothing_behind_after_close_%s', async (prefer) => {
  node.server.rooms.set('demo', { whep: 'peer', hls: true, state: 'live' });
  const page = await node.open('/mock/blank');
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

it('the_library_wraps_a_given_video_element_and_restores_it', async () => {
  node.server.rooms.set('demo', { whep: 'peer', hls: true, state: 'live' });
  const page = await node.open('/mock/blank');
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

it('a_browser_that_refuses_audio_plays_muted_and_the_player_reports_it', async () => {
  node.server.rooms.set('demo', { whep: 'peer', hls: true, state: 'live' });
  const strict = await launchBrowser({ autoplay: false });
  try {
    const page = await strict.newPage();
    // Nothing is evaluated in the page before the report, because that would count as a gesture.
    await page.addInitScript(() => {
      addEventListener('load', async () => {
        const { Player } = await window.load();
        const element = document.querySelector('#here') as HTMLElement;
        const player = new Player({ url: location.origin, room: 'demo', element, muted: false });
        window.onmicPlayer = player;
        document.body.onclick = () => player.unmute();
        player.on('sound', (sound) => fetch('/mock/report', { method: 'POST', body: JSON.stringify(sound) }));
        await player.play();
      });
    });
    await page.goto(`${node.origin}/mock/blank`);
    const report = () => node.server.seen.find(({ path }) => path === '/mock/report')?.body;
    await until(() => report() !== undefined, 'the refusal');
    expect(JSON.parse(report() ?? '')).toMatchObject({ muted: true, blocked: true });
    expect(await page.evaluate(() => window.onmicPlayer?.video.muted)).toBe(true);
    await page.click('body');
    const after = await page.evaluate(() => {
      const player = window.onmicPlayer as Player;
      return { muted: player.video.muted, paused: player.video.paused };
    });
    expect(after).toEqual({ muted: false, paused: false });
  } finally {
    await strict.close();
  }
});
