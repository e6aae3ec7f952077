// The page `/watch/ROOM`: the player with its controls, transport and latency, and a few facts about the room.

import '../style/watch.css';
import { Api } from '../api/api';
import { NODE, pageOf } from '../api/node';
import { type Room, viewerCount } from '../api/room';
import { Speech } from '../i18n/language';
import { type Room as LiveRoom, Player, type Reason } from '../player';
import { keptQuery, openPage } from './address';
import { announce, copyText } from './clipboard';
import { controls } from './controls';
import { h, icon } from './dom';
import { masthead } from './masthead';
import { notice } from './notice';
import { audioOnlySign } from './quality_menu';
import { otherFacts, videoFacts } from './room_card';
import { statsPanel } from './stats_panel';
import { TRANSPORT_NAMES, transportSwitch } from './transport_switch';

declare global {
  interface Window {
    /** The player, for tests and for the browser's console. */
    onmicPlayer?: Player;
    onmicRoom?: LiveRoom;
  }
}

/** The reasons to leave WebRTC that are the network's quality. */
const POOR: readonly Reason[] = ['lossy', 'frozen', 'audio_gaps', 'still_poor'];
const REFRESH_MS = 5000;
const ROOM_AFTER_MS = 800;

const address = openPage();
const api = new Api(address.token);
// The player survives a change of language. Only the elements around it are built again.
const surface = h('div', { class: 'player' });
const player = new Player({
  url: NODE.href,
  room: address.room,
  element: surface,
  prefer: address.transport,
  ...(address.token ? { token: address.token } : {}),
  ...(address.sync ? { sync: address.sync } : {}),
  ...(address.quality === null ? {} : { level: address.quality }),
  ...(address.playoutDelay === null ? {} : { playoutDelay: address.playoutDelay }),
});
window.onmicPlayer = player;

let room: Room | null = null;
let leave: () => void = () => {};
// The room is loaded after the first frame. `room/participant` is one source of a room, which has no room beside it.
const isRoom = !address.room.includes('/');
let side: typeof import('./room_side') | null = null;
let entered: LiveRoom | null = null;

function build(): void {
  leave();
  const speech = new Speech(build);
  const { say } = speech;
  const live = h('span', { class: 'chip live', hidden: true }, say('card.live'));
  const transport = h('span', { class: 'chip', hidden: true, 'data-badge': 'transport' });
  const latency = h('span', { class: 'chip', hidden: true, 'data-badge': 'latency', title: say('watch.latency') });
  const heading = h('h1', {});
  const subtitle = h('p', { class: 'sub' });
  const hint = h('p', { class: 'hint', role: 'status', hidden: true });
  const panel = statsPanel(speech, player);
  const stage = h('div', { class: 'stage', role: 'region', 'aria-label': say('watch.player') });
  const message = notice(speech, player, address.room);
  const audioOnly = audioOnlySign(speech, player);
  const bar = controls(speech, player, stage);
  const pk = h('span', { class: 'chip', hidden: true, 'data-badge': 'pk' });
  const above = h('div', { class: 'above' });
  const beside = h('aside', { class: 'side', 'aria-label': say('watch.room'), hidden: !isRoom });
  const badges = h('div', { class: 'badges' }, live, transport, latency, pk);
  stage.append(surface, audioOnly.element, badges, message.element, ...bar.elements);

  const drawTransport = () => {
    const shown = player.transport;
    const playing = player.state === 'playing';
    live.hidden = !playing;
    transport.hidden = shown === 'none';
    transport.textContent = shown === 'none' ? '' : TRANSPORT_NAMES[shown];
    transport.title = shown === 'none' ? '' : say(`watch.badge.${shown}`);
    latency.hidden = shown === 'none' || player.stats.latencyMs === null;
    hint.hidden = !(playing && shown === 'hls' && player.preferred === 'auto');
    const isPoor = player.fallback !== null && POOR.includes(player.fallback);
    hint.textContent = hint.hidden ? '' : say(isPoor ? 'watch.fallback.poor' : 'watch.fallback');
  };
  const drawRoom = () => {
    const title = (isRoom && (entered?.state.title || room?.state?.title)) || address.room;
    heading.textContent = title;
    heading.title = address.room;
    document.title = say('watch.title', { room: title });
    const host = room?.participants[0];
    const facts: string[] = [];
    if (room) facts.push(speech.count('card.viewers.one', 'card.viewers.many', viewerCount(room)));
    if (room?.started_at) {
      const age = player.nodeNow() - Date.parse(room.started_at);
      facts.push(say('card.uptime', { time: speech.duration(age) }));
    }
    if (host) facts.push(videoFacts(speech, host), otherFacts(speech, host));
    subtitle.replaceChildren(...facts.map((fact) => h('span', {}, fact)));
  };

  const off = [
    player.on('transport', drawTransport),
    player.on('state', drawTransport),
    player.on('latency', ({ latencyMs }) => {
      latency.hidden = false;
      latency.textContent = `${latencyMs} ms`;
    }),
    message.close,
    audioOnly.close,
    bar.close,
    panel.close,
    entered?.on('state', drawRoom) ?? (() => {}),
  ];
  const refresh = async () => {
    room = await api.room(address.room.split('/')[0] ?? '').catch(() => null);
    drawRoom();
  };
  const timer = setInterval(() => document.hidden || void refresh(), REFRESH_MS);
  const around = side && entered ? side.roomSide(speech, player, entered, pk) : null;
  above.replaceChildren(...(around?.above ?? []));
  beside.replaceChildren(...(around?.side ?? []));
  leave = () => {
    clearInterval(timer);
    around?.close();
    for (const stop of off) stop();
  };

  document
    .querySelector('#page')
    ?.replaceChildren(
      masthead(speech, say('brand.tagline'), keptQuery(new URL(location.href))),
      h(
        'main',
        { id: 'content', class: isRoom ? 'with-room' : '' },
        h('div', { class: 'theatre' }, stage),
        above,
        beside,
        h(
          'div',
          { class: 'about wide' },
          h(
            'div',
            { class: 'top' },
            h('div', { class: 'name' }, heading, subtitle),
            transportSwitch(speech, player),
            h('div', { class: 'actions' }, panel.toggle, shareButton(speech)),
          ),
          hint,
          panel.element,
        ),
      ),
    );
  drawTransport();
  drawRoom();
  void refresh();
}

function shareButton(speech: Speech): HTMLElement {
  return h(
    'button',
    {
      type: 'button',
      class: 'button',
      onclick: async () => {
        const url = pageOf('watch', address.room); // Without the token, which is personal.
        // Phones use the system's share sheet. On a desktop the link is copied.
        if (matchMedia('(pointer: coarse)').matches && navigator.share) {
          await navigator.share({ url, title: document.title }).catch(() => {});
          return;
        }
        const word = speech.say((await copyText(url)) ? 'action.share_copied' : 'action.copy_failed');
        announce(word);
        toast(word);
      },
    },
    icon('share'),
    speech.say('action.share'),
  );
}

function toast(text: string): void {
  const element = h('div', { class: 'toast', 'aria-hidden': 'true' }, text);
  document.body.append(element);
  setTimeout(() => element.remove(), 1800);
}

async function enter(): Promise<void> {
  side = await import('./room_side');
  entered = side.enterRoom(address.room, address.token);
  window.onmicRoom = entered;
  build();
}

build();
if (isRoom) {
  // Load the room with the first frame, or after ROOM_AFTER_MS.
  const first = new Promise<void>((resolve) => player.on('transport', () => resolve()));
  const soon = new Promise((resolve) => setTimeout(resolve, ROOM_AFTER_MS));
  void Promise.race([first, soon])
    .then(enter)
    .catch(() => {}); // If the room cannot be loaded, the page still plays.
}
player.play().catch(() => {}); // On failure the notice says why.
