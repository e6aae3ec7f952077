// Tests going on mic and back in a real browser against the mock node: gaps in video and audio, and what is left
// behind.

import type { Page } from 'playwright-core';
import { expect, it } from 'vitest';
import type { Player, Room, SwitchReport } from '../../src/player';
import { Harness, until } from './harness';

declare global {
  interface Window {
    room: Room;
    player: Player;
    going: Promise<SwitchReport | string>;
    mics: string[];
  }
}

const node = new Harness();

async function watch(prefer: 'hls' | 'whep', more: object = {}): Promise<Page> {
  node.server.rooms.set('demo', { whep: 'peer', hls: true, state: 'live', ...more });
  const page = await node.open('/mock/blank');
  await page.evaluate(async (prefer) => {
    const { Player, Room } = await window.load();
    const element = document.querySelector('#here') as HTMLElement;
    window.player = new Player({ url: location.origin, room: 'demo', element, prefer, muted: false });
    window.room = new Room({ url: location.origin, room: 'demo', name: 'Anna' });
    window.mics = [];
    window.player.on('mic', ({ state, reason }) => window.mics.push(reason ? `${state}: ${reason}` : state));
    await window.player.play();
    await new Promise((resolve) => setTimeout(resolve, 500));
    window.going = window.player.goOnMic({ room: window.room }).catch((error: Error) => error.message);
    window.going.catch(() => {});
  }, prefer);
  return page;
}

const asked = (page: Page) => page.waitForFunction(() => window.player.mic === 'waiting');
const room = () => node.server.studio.get('demo');

it.each(['hls', 'whep'] as const)('on_mic_from_%s_and_back_without_a_visible_or_audible_break', async (prefer) => {
  const page = await watch(prefer);
  await asked(page);
  await page.waitForTimeout(600); // While the host decides, camera and connections get ready.
  expect(node.server.count('POST', /^\/whip/)).toBe(0);
  room().grant('guest-1', null);
  const on = (await page.evaluate(() => window.going)) as SwitchReport;
  process.stdout.write(`${prefer} to mic: ${JSON.stringify(on)}\n`);
  expect(on).toMatchObject({ direction: 'on', soundGapMs: 0 });
  expect(on.soundOverlapMs).toBeLessThan(1000); // 45 ms on an idle machine. A busy one must not fail.
  expect(on.longestPictureGapMs).toBeLessThan(1000);
  expect(room().seatOf('guest-1').state).toBe('on-mic');
  const shown = await page.evaluate(() => ({
    transport: window.player.transport,
    muted: window.player.video.muted,
    volume: window.player.video.volume,
    audible: [...document.querySelectorAll('video')].filter((video) => !video.muted).length,
  }));
  expect(shown).toEqual({ transport: 'mic', muted: false, volume: 1, audible: 1 });
  // The program is not loaded any more, and the ticket's token was used only for the sessions of the ticket.
  const loads = node.server.count('GET', /^\/hls/);
  await page.waitForTimeout(1200);
  expect(node.server.count('GET', /^\/hls/)).toBe(loads);
  const tickets = node.server.seen.filter(({ authorization }) => authorization === 'Bearer ticket-guest-1');
  expect(tickets.map(({ method, path }) => `${method} ${path}`).sort()).toEqual([
    'POST /whep/demo/guest-1/return',
    'POST /whip/demo/guest-1',
  ]);
  const whipOffer = node.server.seen.find(({ path }) => path.startsWith('/whip'))?.body ?? '';
  const first = /m=video \S+ \S+ (\d+)/.exec(whipOffer)?.[1];
  expect(whipOffer).toMatch(new RegExp(`a=rtpmap:${first} H264/90000`));
  expect(whipOffer).toContain('a=candidate:');

  const off = (await page.evaluate(() => window.player.leaveMic())) as SwitchReport;
  process.stdout.write(`mic to ${prefer}: ${JSON.stringify(off)}\n`);
  expect(off).toMatchObject({ direction: 'off', soundGapMs: 0 });
  expect(off.longestPictureGapMs).toBeLessThan(1000);
  const left = await page.evaluate(() => ({
    transport: window.player.transport,
    mics: window.mics,
    videos: document.querySelectorAll('video').length,
    stream: window.player.micStream,
  }));
  expect(left).toEqual({
    transport: prefer,
    mics: ['asking', 'waiting', 'joining', 'on', 'leaving: left', 'off: left'],
    videos: 2,
    stream: null,
  });
  await until(() => node.server.publishing.size === 0, 'the WHIP session to be deleted');
  expect(room().commands.map(({ command }) => command['kind'])).toEqual(['request-mic', 'leave-mic']);
});

it('a_viewer_removed_by_the_host_goes_back_to_the_program', async () => {
  const page = await watch('hls');
  await asked(page);
  room().grant('guest-1', null);
  await page.evaluate(() => window.going);
  const session = [...node.server.publishing.keys()][0] ?? '';
  node.server.end(session, 'removed');
  await page.waitForFunction(() => window.player.mic === 'off');
  expect(await page.evaluate(() => window.mics.slice(-2))).toEqual(['leaving: removed', 'off: removed']);
  expect(await page.evaluate(() => window.player.transport)).toBe('hls');
});

it.each([
  ['publishing is refused', { whip: 403 }],
  ['the return feed is refused', { back: 500 }],
])('a_viewer_who_cannot_connect_keeps_the_program_when_%s', async (_name, more) => {
  const page = await watch('hls', more);
  await asked(page);
  room().grant('guest-1', null);
  expect(await page.evaluate(() => window.going)).toMatch(/Refused with \d+ by the test/);
  const after = await page.evaluate(() => ({ mics: window.mics.at(-1), transport: window.player.transport }));
  expect(after).toEqual({ mics: 'off: failed', transport: 'hls' });
  await until(() => room().commands.at(-1)?.command['kind'] === 'connect-failed', 'the server to be told');
  expect(room().state['requests'][0]).toMatchObject({
    person: 'guest-1',
    failed: expect.stringMatching(/Refused with/),
  });
  await until(() => node.server.publishing.size === 0 && node.server.sessions.size === 0, 'the sessions to be deleted');
  const before = await page.evaluate(() => window.player.video.currentTime);
  await page.waitForFunction((before) => window.player.video.currentTime > before + 0.3, before);
});

it('joining_with_blocked_udp_fails_after_eight_seconds_and_the_program_plays_on', async () => {
  const page = await watch('hls', { back: 'blocked' });
  await asked(page);
  room().grant('guest-1', null);
  expect(await page.evaluate(() => window.going)).toMatch(/in time/);
  expect(await page.evaluate(() => [window.mics.at(-1), window.player.state])).toEqual(['off: failed', 'playing']);
});

it('a_request_can_be_withdrawn_refused_or_expire', async () => {
  const page = await watch('hls');
  await asked(page);
  await page.evaluate(() => window.player.leaveMic());
  expect(room().commands.map(({ command }) => command['kind'])).toEqual(['request-mic', 'withdraw']);
  await page.evaluate(() => {
    window.going = window.player.goOnMic({ room: window.room }).catch((error: Error) => error.message);
  });
  await asked(page);
  const request = room().state['requests'].pop();
  room().emit({ kind: 'mic-refused', request });
  await page.waitForFunction(() => window.mics.at(-1) === 'off: refused');
  await page.evaluate(() => {
    window.going = window.player.goOnMic({ room: window.room }).catch((error: Error) => error.message);
  });
  await asked(page);
  node.server.studio.clear(); // The server restarts and knows of no request.
  await page.waitForFunction(() => window.mics.at(-1) === 'off: expired');
});
