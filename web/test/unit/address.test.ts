import { expect, it } from 'vitest';
import { pageOf } from '../../src/api/node';
import { publishing } from '../../src/api/publish';
import { keptQuery, readAddress } from '../../src/pages/address';
import { mask } from '../../src/pages/field';
import { opensTab, splitToken, withToken } from '../../src/pages/token';
import { Endpoint, statedUrl } from '../../src/player/endpoint';
import { roomState } from '../../src/player/room_state';

const ROOT = new URL('https://n/');

it('room_transport_and_sync_are_read_from_the_watch_address', () => {
  const address = readAddress(new URL('https://n/watch/caf%C3%A9/?transport=hls&sync=picture-first'), ROOT);
  expect(address).toEqual({ room: 'café', transport: 'hls', sync: 'picture-first', playoutDelay: null, quality: null });
  expect(readAddress(new URL('https://n/watch/%E0%A4%A?transport=x&sync=x&playout_delay=1e3'), ROOT)).toEqual({
    room: '%E0%A4%A',
    transport: 'auto',
    sync: null,
    playoutDelay: null,
    quality: null,
  });
  expect(readAddress(new URL('https://n/watch/demo?playout_delay=400'), ROOT).playoutDelay).toBe(400);
  expect(readAddress(new URL('https://n/watch/demo?quality=video1'), ROOT).quality).toBe('video1');
  expect(readAddress(new URL('https://n/watch/demo?quality=best'), ROOT).quality).toBe(null);
});

it('pages_and_rooms_are_found_under_a_path', () => {
  const node = new URL('https://n:8443/watch/live/');
  expect(pageOf('watch', 'a b', '', node)).toBe('https://n:8443/watch/live/watch/a%20b');
  expect(pageOf('studio', 'room/anna', '?lang=zh', node)).toBe('https://n:8443/watch/live/studio/room/anna?lang=zh');
  expect(readAddress(new URL('studio/demo', node), node).room).toBe('demo');
  expect(readAddress(new URL('watch/?room=demo', node), node).room).toBe('demo');
  expect(readAddress(new URL('watch/room/anna', node), node).room).toBe('room/anna');
});

it('slashes_too_many_in_the_address_of_a_page_mean_nothing', () => {
  expect(readAddress(new URL('https://n/watch//room///anna//'), ROOT).room).toBe('room/anna');
  expect(readAddress(new URL('https://n//studio//demo'), new URL('https://n//')).room).toBe('demo');
  expect(readAddress(new URL('https://n/watch//?room=demo'), ROOT).room).toBe('demo');
});

it('an_absolute_path_that_the_node_states_is_resolved_under_the_path_of_the_node', () => {
  const base = new URL('https://n/live/');
  for (const [stated, url] of [
    ['/sessions/1', 'https://n/live/sessions/1'],
    ['/live/sessions/1', 'https://n/live/sessions/1'],
    ['/lively/1', 'https://n/live/lively/1'],
    ['/x:y', 'https://n/live/x:y'],
    ['sessions/1', 'https://n/live/sessions/1'],
    ['https://other/sessions/1', 'https://other/sessions/1'],
    ['data:image/png;base64,AA', 'data:image/png;base64,AA'],
  ] as const) {
    expect(statedUrl(stated, base)).toBe(url);
  }
  expect(statedUrl('/sessions/1', new URL('https://n/'))).toBe('https://n/sessions/1');
});

it('links_to_other_pages_keep_the_language_and_no_token', () => {
  expect(keptQuery(new URL('https://n/?token=t&lang=zh&transport=hls'))).toBe('?lang=zh');
  expect(keptQuery(new URL('https://n/?token=t'))).toBe('');
});

it('a_token_is_taken_out_of_an_address_and_nothing_else_is', () => {
  for (const [address, token, rest] of [
    ['https://n/watch/demo#token=t', 't', 'https://n/watch/demo'],
    ['https://n/watch/demo?token=t', 't', 'https://n/watch/demo'],
    [
      'https://n/watch/demo?lang=zh&token=old&sync=lip-sync#token=t&x=1',
      't',
      'https://n/watch/demo?lang=zh&sync=lip-sync#x=1',
    ],
    ['https://n/watch/demo?token=#content', null, 'https://n/watch/demo#content'],
    ['https://n/watch/demo#content', null, 'https://n/watch/demo#content'],
  ] as const) {
    const split = splitToken(new URL(address));
    expect([split.token, split.rest.href]).toEqual([token, rest]);
  }
  expect(splitToken(new URL(withToken('https://n/studio/demo?lang=zh#x', 'a.b-c_d'))).token).toBe('a.b-c_d');
});

it('only_a_link_that_opens_another_tab_is_given_the_token', () => {
  const click = (more: Partial<MouseEvent>) => ({
    button: 0,
    ctrlKey: false,
    metaKey: false,
    shiftKey: false,
    ...more,
  });
  expect(opensTab(click({}), '')).toBe(false);
  expect(opensTab(click({ button: 2 }), '_blank')).toBe(false);
  for (const more of [{ button: 1 }, { ctrlKey: true }, { metaKey: true }, { shiftKey: true }])
    expect(opensTab(click(more), '')).toBe(true);
  expect(opensTab(click({}), '_blank')).toBe(true);
});

it('a_token_in_a_text_is_masked', () => {
  expect(mask('demo?token=e.y.J', 'e.y.J')).toBe('demo?token=••••••••••••');
  expect(mask('demo', '')).toBe('demo');
});

it('the_token_is_sent_to_the_node_only_and_never_in_a_url', () => {
  const endpoint = new Endpoint('https://node/base', 'a b', 'secret');
  expect([endpoint.whep, endpoint.hls]).toEqual([
    'https://node/base/whep/a%20b',
    'https://node/base/hls/a%20b/index.m3u8',
  ]);
  expect(endpoint.authorization(endpoint.hls)).toBe('Bearer secret');
  expect(endpoint.authorization('https://elsewhere/part.m4s')).toBeUndefined();
  expect(JSON.stringify(endpoint)).not.toContain('secret');
});

it('one_source_is_watched_by_whep_under_its_own_name', () => {
  const endpoint = new Endpoint('https://node', 'room/guest');
  expect([endpoint.whep, endpoint.room]).toEqual(['https://node/whep/room/guest', 'https://node/api/v1/rooms/room']);
});

it('the_choice_of_sync_and_delay_is_sent_with_whep_requests_alone_and_no_delay_on_mic', () => {
  const endpoint = new Endpoint('https://node/base', 'demo', 'secret', 'picture-first', 400);
  expect(endpoint.whep).toBe('https://node/base/whep/demo?sync=picture-first&playout_delay=400');
  expect(endpoint.hls + endpoint.whip).not.toMatch(/sync|delay/);
  const back = endpoint.ticketed(endpoint.stated('/whep/demo/anna/return'), 'whep', 'ticket');
  expect(back.whep).toBe('https://node/base/whep/demo/anna/return?sync=picture-first');
  expect(endpoint.ticketed(endpoint.stated('/whip/demo/anna'), 'whip', 'ticket').whip).not.toContain('sync');
});

it('publish_instructions_name_the_host_that_served_the_page', () => {
  const page = new URL('https://live.example:8443/');
  const open = publishing(page, { rtmp_port: 1936, auth: false }, 'demo');
  expect([open.rtmpServer, open.streamKey]).toEqual(['rtmp://live.example:1936/live', 'demo']);
  expect([open.whip, open.watch]).toEqual([
    'https://live.example:8443/whip/demo',
    'https://live.example:8443/watch/demo',
  ]);
  expect(publishing(page, { rtmp_port: 1935, rtmp_app: 'in', auth: false }, 'demo').rtmpServer).toMatch(/:1935\/in$/);
  expect(publishing(page, { rtmp_port: 1935, auth: true }, 'demo').ffmpeg).toContain('/live/demo?token=TOKEN"');
});

it('a_room_is_interrupted_only_if_every_participant_is', () => {
  const room = (...states: string[]) => ({ live: true, participants: states.map((state) => ({ state })) });
  expect(roomState(room('interrupted'))).toBe('interrupted');
  expect(roomState(room('interrupted', 'live'))).toBe('live');
  expect(roomState({ live: false, participants: [] })).toBe('gone');
  expect(roomState({ live: false, participants: [{ state: 'connecting' }] })).toBe('gone');
  expect(roomState('nonsense')).toBe('unknown');
});
