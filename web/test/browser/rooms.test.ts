// Tests studio and watch page together in a real browser: the way to the mic and back, and the texts that people see.

import type { Page } from 'playwright-core';
import { expect, it } from 'vitest';
import { Harness, shows, until } from './harness';

const node = new Harness();
const room = () => node.server.studio.get('demo');
const kinds = () => room().commands.map(({ command }) => command['kind']);

async function viewer(): Promise<Page> {
  node.server.rooms.set('demo', { whep: 'peer', hls: true, state: 'live' });
  const page = await node.open('/watch/demo');
  await shows(page, 'whep');
  await page.waitForSelector('.micbar .primary');
  return page;
}

async function raiseHand(page: Page, name: string): Promise<void> {
  await page.click('.micbar .primary');
  await page.waitForSelector('dialog .preview video:not([hidden])');
  await page.fill('dialog input[maxlength]', name);
  await page.click('dialog .primary:not([disabled])');
  await page.waitForSelector('.micbar .spinner');
}

it('the_host_lets_a_viewer_in_mutes_and_removes_them', async () => {
  const guest = await viewer();
  const studio = await node.open('/studio/demo');
  await raiseHand(guest, 'Anna');
  const grant = await studio.waitForSelector('role=button[name="Let Anna in"]');
  await studio.waitForFunction(() => document.querySelector('#announcements')?.textContent === 'Anna asks for the mic');
  await grant.click();
  await guest.waitForSelector('.micbar.on');
  await shows(guest, 'mic'); // The page shows `mic` when the audio has been faded too.
  expect(await guest.evaluate(() => window.onmicPlayer?.muted)).toBe(false);
  await guest.waitForSelector('.tile.on-mic:has-text("You")');

  await studio.click('role=button[name="Mute Anna"]');
  await guest.waitForSelector('.micbar:has-text("The host has turned your microphone off.")');
  await studio.click('role=button[name="Unmute Anna"]');
  await guest.click('role=button[name="Turn camera off"]');
  await studio.waitForSelector('role=button[name="Turn on the camera of Anna"]');

  await guest.fill('.chat .write input', 'hello <b>all</b>');
  await guest.keyboard.press('Enter');
  await studio.waitForSelector('.line:has-text("hello <b>all</b>")');

  await studio.click('role=button[name="Remove Anna from the mic"]');
  await guest.waitForSelector('.told:has-text("The host has ended your time on mic.")');
  await shows(guest, 'whep');
  await until(() => node.server.publishing.size === 0, 'the WHIP session to be deleted');
});

it('a_viewer_withdraws_the_request_is_invited_and_leaves', async () => {
  const guest = await viewer();
  const studio = await node.open('/studio/demo');
  await raiseHand(guest, 'Anna');
  await guest.click('text=Take it back');
  await studio.waitForSelector('text=Nobody is waiting for the mic.');
  await studio.click('role=button[name="Invite Anna to the mic"]');
  await guest.click('.micbar .primary:has-text("Join")');
  await guest.click('dialog .primary:not([disabled])');
  await guest.waitForSelector('.micbar.on');
  await guest.click('.micbar .danger');
  await guest.waitForSelector('.micbar .primary:has-text("Ask for the mic")');
  expect(kinds()).toEqual(['request-mic', 'withdraw', 'invite', 'accept', 'leave-mic']);
});

it('a_refusal_is_shown_with_the_sentence_of_the_server', async () => {
  const guest = await viewer();
  room().seat(2, { locked: true });
  await guest.evaluate(() => window.onmicPlayer?.goOnMic({ room: window.onmicRoom as never, seat: 2 }).catch(() => {}));
  await guest.waitForSelector('.told:has-text("Seat 2 is locked. Ask for another one.")');
});

it('an_absent_host_and_an_ended_room_are_shown_as_text', async () => {
  const guest = await viewer();
  const host = { person: 'mia', name: 'Mia', present: false };
  room().emit({ kind: 'host-away', host });
  await guest.waitForSelector('text=The host is away. The room goes on when they are back.');
  room().emit({ kind: 'host-back', host: { ...host, present: true } });
  await guest.waitForSelector('.banner', { state: 'hidden' });
  room().emit({ kind: 'room-ended' });
  await guest.waitForSelector('text=The host has ended this room.');
  expect(await guest.isHidden('.micbar')).toBe(true);
});

it('the_host_goes_live_from_the_browser_and_ends_the_broadcast', async () => {
  node.server.rooms.set('demo', { whep: 'peer', hls: true, state: 'gone' });
  const studio = await node.open('/studio/demo');
  await studio.click('.own-source .primary');
  await studio.waitForSelector('.own-source .preview video:not([hidden])');
  await studio.click('.own-source .primary:not([disabled])');
  await studio.waitForSelector('.own-source .chip.live');
  expect([...node.server.publishing.values()]).toEqual([{ room: 'demo', participant: 'host' }]);
  await studio.click('button[lang=zh]'); // A change of language does not end the broadcast.
  await studio.waitForSelector('.own-source .chip.live:has-text("直播中")');
  await studio.click('.own-source .danger');
  await until(() => node.server.publishing.size === 0, 'the broadcast to end');
});

it('the_host_directs_scene_sources_and_pk', async () => {
  node.server.rooms.set('demo', { whep: 'peer', hls: true, state: 'live' });
  room().published('host');
  const studio = await node.open('/studio/demo');
  await studio.click('role=button[name="Side by side"]');
  await studio.waitForSelector('.layout[aria-pressed=true][title="Side by side"]');
  await studio.click('role=tab[name=Scene]');
  await studio.click('role=button[name="Text card"]');
  await studio.click('.editor .primary');
  await studio.waitForSelector('.row:has-text("Ceramic mug")');
  const picture = Buffer.from(PIXEL, 'base64');
  await studio.setInputFiles('input[type=file]', { name: 'logo.png', mimeType: 'image/png', buffer: picture });
  await studio.waitForSelector('.row img.thumb');
  const large = Buffer.concat([picture, Buffer.alloc(600 * 1024)]);
  await studio.setInputFiles('input[type=file]', { name: 'large.png', mimeType: 'image/png', buffer: large });
  await studio.waitForSelector('.toast:has-text("larger than 512 kB")');
  await studio.click('text=Name labels');
  await studio.click('role=tab[name=Sound]');
  await studio.click('text=Green screen');
  await studio.waitForSelector('.chroma');
  await studio.click('role=tab[name=PK]');
  await studio.fill('.pk input', 'other');
  await studio.click('text=Propose');
  await studio.waitForSelector('text=Waiting for “other” to answer.');
  const { program } = room().state;
  expect(program).toMatchObject({ layout: { kind: 'side-by-side' }, labels: true });
  expect(program.overlays.map(({ kind }: { kind: string }) => kind)).toEqual(['text', 'image']);
  expect(program.overlays[1].image).toMatch(/^data:image\/png;base64,/);
  expect(program.source_settings.host).toEqual({
    chroma_key: { colour: '#00b140', similarity: 0.3, blend: 0.1 },
  });
});

it('the_tools_of_the_studio_are_one_tap_away_on_a_phone', async () => {
  node.server.rooms.set('demo', { whep: 'peer', hls: true, state: 'live' });
  const studio = await node.open('/studio/demo');
  await studio.setViewportSize({ width: 360, height: 740 });
  await studio.waitForSelector('.chat', { state: 'attached' });
  for (const [tab, shown] of [
    ['chat', '.chat .write'],
    ['publish', '.own-source'],
    ['sources', '.sources'],
    ['look', '.look'],
    ['people', '.requests'],
  ] as const) {
    await studio.click(`[data-tab=${tab}][role=tab]`);
    expect(await studio.isVisible(shown), tab).toBe(true);
    expect(await studio.evaluate(() => document.documentElement.scrollWidth), tab).toBeLessThanOrEqual(360);
  }
});

const PIXEL = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';
