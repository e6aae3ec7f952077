import { expect, it } from 'vitest';
import { iceServersFromLink, sessionLinks } from '../../src/player/link_header';

it('stun_and_turn_servers_with_credentials_are_read', () => {
  const header =
    '<stun:stun.example.net>; rel="ice-server", ' +
    '<turn:turn.example.net?transport=udp>; rel="ice-server"; username="a,b;\\"c"; credential="x=y"; credential-type="password"';
  expect(iceServersFromLink(header)).toEqual([
    { urls: 'stun:stun.example.net' },
    { urls: 'turn:turn.example.net?transport=udp', username: 'a,b;"c', credential: 'x=y' },
  ]);
});

it('other_relations_and_schemes_are_ignored', () => {
  const header = '<https://e.net/x>; rel="ice-server", <stun:e.net>; rel="next", <stun:f.net>;REL=ice-server;x';
  expect(iceServersFromLink(header)).toEqual([{ urls: 'stun:f.net' }]);
});

it.each([null, '', ',,;', '<stun:e.net', 'stun:e.net; rel="ice-server"', '"'.repeat(99)])(
  'malformed_header_%#_gives_no_servers',
  (header) => {
    expect(iceServersFromLink(header)).toEqual([]);
  },
);

it('only_8_servers_are_read', () => {
  expect(iceServersFromLink(Array(50).fill('<stun:e.net>; rel="ice-server"').join(','))).toHaveLength(8);
});

it('the_resources_of_a_session_are_found_beside_ice_servers', () => {
  const header =
    '<stun:stun.example>; rel="ice-server", </sessions/7/layer>; rel="urn:ietf:params:whep:ext:core:layer", ' +
    '<https://n/sessions/7/sse>; rel="urn:ietf:params:whep:ext:core:server-sent-events"; events="active,inactive,layers"';
  expect(sessionLinks(header)).toEqual({ layer: '/sessions/7/layer', events: 'https://n/sessions/7/sse' });
  expect(iceServersFromLink(header)).toEqual([{ urls: 'stun:stun.example' }]);
  for (const none of [null, '', '</x>; rel="layer"', 'garbage; rel="urn:ietf:params:whep:ext:core:layer"']) {
    expect(sessionLinks(none)).toEqual({ layer: null, events: null });
  }
});
