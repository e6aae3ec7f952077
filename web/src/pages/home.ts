// The page `/`: it lists the live rooms and says how to go live.

import '../style/home.css';
import { Api, ApiError } from '../api/api';
import type { Room, Server } from '../api/room';
import { type Key, Speech } from '../i18n/language';
import { keptQuery, openPage } from './address';
import { h, type IconName, icon } from './dom';
import { masthead } from './masthead';
import { type PublishChoice, publishPanel } from './publish_panel';
import { roomCard } from './room_card';

const REFRESH_MS = 3000;
const CLOCK_MS = 60_000; // The node's clock may be set meanwhile.

type Listing =
  | { kind: 'loading' }
  | { kind: 'rooms'; rooms: Room[] }
  | { kind: 'unreachable' }
  | { kind: 'unauthorized' };

const api = new Api(openPage().token);
const choice: PublishChoice = { room: 'demo', way: 'obs' };
let server: Server | null = null;
let askedAt = 0; // By the page's monotonic clock.
let listing: Listing = { kind: 'loading' };
let clockOffset = 0; // The node's clock minus the browser's clock. Uptime is counted by the node's clock.
let speech = new Speech(build);
let list: HTMLElement;

function build(): void {
  speech = new Speech(build);
  const { say } = speech;
  document.title = `onmic – ${say('home.title')}`;
  list = h('div');
  const query = keptQuery(new URL(location.href));
  document
    .querySelector('#page')
    ?.replaceChildren(
      masthead(speech, [say('brand.tagline'), server?.version].filter(Boolean).join(' · '), query),
      h(
        'main',
        { class: 'wide', id: 'content' },
        h('section', { 'aria-labelledby': 'live' }, list),
        publishPanel(speech, server ?? { rtmp_port: 1935, auth: false }, choice, query),
      ),
    );
  drawList();
}

function drawList(): void {
  const { say } = speech;
  // A room in which somebody only connects has nothing to watch yet.
  const isThere = (room: Room) => room.live || room.participants.some(({ state }) => state === 'interrupted');
  const rooms = listing.kind === 'rooms' ? listing.rooms.filter(isThere) : [];
  const count = rooms.length > 0 ? speech.count('home.count.one', 'home.count.many', rooms.length) : '';
  const query = keptQuery(new URL(location.href));
  const now = Date.now() + clockOffset;
  const focused = document.activeElement?.getAttribute('href');
  list.replaceChildren(
    h('div', { class: 'heading' }, h('h1', { id: 'live' }, say('home.live')), h('p', {}, count)),
    listing.kind === 'loading'
      ? ''
      : rooms.length > 0
        ? h('ul', { class: 'rooms' }, ...rooms.map((room) => roomCard(speech, room, now, query)))
        : nobody(listing.kind === 'rooms' ? 'empty' : listing.kind),
  );
  // A refresh must not take away the keyboard focus.
  if (focused) list.querySelector<HTMLElement>(`a[href="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
}

function nobody(why: 'empty' | 'unreachable' | 'unauthorized'): HTMLElement {
  const name: IconName = why === 'empty' ? 'antenna' : 'broken';
  return h(
    'div',
    { class: 'empty' },
    icon(name),
    h('h3', {}, speech.say(`home.${why}.title` as Key)),
    h('p', {}, speech.say(`home.${why}.text` as Key)),
  );
}

async function refresh(): Promise<void> {
  try {
    if (!server || performance.now() - askedAt > CLOCK_MS) {
      const isFirst = !server;
      server = await api.server();
      askedAt = performance.now();
      clockOffset = Date.parse(server.now) - Date.now();
      if (isFirst) build();
    }
    listing = { kind: 'rooms', rooms: await api.rooms() };
  } catch (error) {
    const refused = error instanceof ApiError && (error.status === 401 || error.status === 403);
    listing = { kind: refused ? 'unauthorized' : 'unreachable' };
  }
  drawList();
}

build();
void refresh();
setInterval(() => document.hidden || void refresh(), REFRESH_MS);
document.addEventListener('visibilitychange', () => document.hidden || void refresh());
