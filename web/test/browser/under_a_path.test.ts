// Tests the pages behind a proxy that shows the node under a path. The node does not know that path, so what it states
// (the sessions' addresses, tickets) lacks it.

import { expect, it } from 'vitest';
import { Harness, shows, until } from './harness';

const node = new Harness({ prefix: '/media/live' });

it('all_pages_link_to_each_other_and_find_their_files', async () => {
  node.server.rooms.set('demo', { whep: 'peer', hls: true, state: 'live' });
  const page = await node.open('/');
  const lost: string[] = [];
  page.on('response', (response) => response.status() === 404 && lost.push(response.url()));
  await page.click('.room a');
  await page.waitForURL(`${node.origin}/watch/demo`);
  await shows(page, 'whep');
  expect(await page.$eval('.brand img', (image) => (image as HTMLImageElement).naturalWidth)).toBeGreaterThan(0);
  await page.click('.brand');
  await page.waitForURL(`${node.origin}/`);
  expect(await page.getAttribute('.publish footer a', 'href')).toBe(`${node.origin}/watch/demo`);
  const studio = await node.open('/studio/demo');
  await studio.waitForSelector('.chat');
  expect(await studio.getAttribute('.studio-bar a', 'href')).toBe(`${node.origin}/watch/demo`);
  expect(lost).toEqual([]);
});

it('a_viewer_watches_by_either_transport_and_the_session_is_deleted', async () => {
  node.server.rooms.set('demo', { whep: 'peer', hls: true, state: 'live' });
  const page = await node.open('/watch/demo');
  await shows(page, 'whep');
  await page.click('[data-choice=hls]');
  await shows(page, 'hls');
  await until(() => node.server.sessions.size === 0, 'the WHEP session to be deleted');
});

it('a_guest_goes_on_mic_with_the_addresses_of_a_ticket', async () => {
  node.server.rooms.set('demo', { whep: 'peer', hls: true, state: 'live' });
  const guest = await node.open('/watch/demo');
  await shows(guest, 'whep');
  const studio = await node.open('/studio/demo');
  await guest.click('.micbar .primary');
  await guest.waitForSelector('dialog .preview video:not([hidden])');
  await guest.fill('dialog input[maxlength]', 'Anna');
  await guest.click('dialog .primary:not([disabled])');
  await studio.click('role=button[name="Let Anna in"]');
  await guest.waitForSelector('.micbar.on');
  await shows(guest, 'mic');
  await guest.click('.micbar .danger');
  await shows(guest, 'whep');
  await until(() => node.server.publishing.size === 0, 'the WHIP session to be deleted');
});
