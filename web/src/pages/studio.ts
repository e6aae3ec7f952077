// The page `/studio/ROOM`: the host goes live, sees the program as the audience does, and directs it.

import '../style/watch.css';
import '../style/room.css';
import '../style/studio.css';
import { NODE, pageOf } from '../api/node';
import { label, Speech } from '../i18n/language';
import { type RoomKey, roomSay } from '../i18n/rooms';
import { Player, Room } from '../player';
import { keptQuery, openPage } from './address';
import { chat } from './chat';
import { copyText } from './clipboard';
import { controls } from './controls';
import { h, icon } from './dom';
import { layouts } from './layouts';
import { masthead } from './masthead';
import { type DrawingName, sign, storedName, toast } from './room_parts';
import { studioLook } from './studio_look';
import { studioPeople } from './studio_people';
import { studioPk } from './studio_pk';
import { studioRequests } from './studio_requests';
import { studioSource } from './studio_source';
import { studioSources } from './studio_sources';

declare global {
  interface Window {
    onmicPlayer?: Player;
    onmicRoom?: Room;
  }
}

type Tab = 'people' | 'look' | 'sources' | 'pk' | 'publish' | 'chat';
const TABS: [Tab, RoomKey, DrawingName][] = [
  ['people', 'people.tab', 'people'],
  ['look', 'look.tab', 'scene'],
  ['sources', 'sources.tab', 'sliders'],
  ['pk', 'pk.tab', 'bolt'],
  ['publish', 'publish.tab', 'camera'],
  ['chat', 'chat.tab', 'chat'],
];

const address = openPage();
address.room = address.room.split('/')[0] ?? '';
const token = address.token ? { token: address.token } : {};
const surface = h('div', { class: 'player' });
const player = new Player({
  url: NODE.href,
  room: address.room,
  element: surface,
  prefer: address.transport,
  ...(address.quality === null ? {} : { level: address.quality }),
  ...token,
});
const room = new Room({
  url: NODE.href,
  room: address.room,
  name: storedName() || address.room, // In a PK each of the two hosts has a label with this name.
  role: 'host',
  ...token,
});
window.onmicPlayer = player;
window.onmicRoom = room;

let tab: Tab = 'people';
let refusal = '';
let leave: () => void = () => {};

function build(): void {
  leave();
  const speech = new Speech(build);
  const say = roomSay(speech);
  document.title = say('studio.title', { room: address.room });
  const query = keptQuery(new URL(location.href));

  const air = h('span', { class: 'chip' });
  const mode = h('span', { class: 'chip' });
  const latency = h('span', { class: 'chip', hidden: true, title: say('studio.latency') });
  const pk = h('span', { class: 'chip', hidden: true });
  const viewers = h('dl', { class: 'viewers', 'aria-label': say('studio.viewers') });
  const banner = h('p', { class: 'banner', role: 'status', hidden: true });
  const invite = h(
    'button',
    {
      type: 'button',
      class: 'button slim',
      onclick: async () => {
        const copied = await copyText(pageOf('watch', address.room)); // Without the token, which is personal.
        toast(speech.say(copied ? 'action.share_copied' : 'action.copy_failed'));
      },
    },
    icon('share'),
    h('span', {}, say('studio.invite_link')),
  );
  label(invite, say('studio.invite_link'));
  const watch = h(
    'a',
    {
      class: 'button slim',
      href: pageOf('watch', address.room, query),
      target: '_blank',
      rel: 'noopener',
    },
    sign('external'),
    h('span', {}, say('studio.watch')),
  );
  label(watch, say('studio.watch'));

  const stage = h('div', { class: 'stage', role: 'region', 'aria-label': say('studio.monitor') });
  const bar = controls(speech, player, stage);
  const nothing = h('div', { class: 'notice' }, icon('antenna'), h('p', {}, say('studio.nobody')));
  stage.append(surface, h('div', { class: 'badges' }, air, mode, latency, pk), nothing, ...bar.elements);

  const requests = studioRequests(speech, room);
  const source = studioSource(speech, address);
  const talk = chat(speech, room);
  talk.element.dataset['part'] = 'chat';
  const pictograms = layouts(speech, room);
  const panels = {
    people: studioPeople(speech, room),
    look: studioLook(speech, room),
    sources: studioSources(speech, room),
    pk: studioPk(speech, room),
  };
  const panel = h('section', { class: 'card panel', id: 'panel', role: 'tabpanel' });
  const main = h('main', { class: 'studio', id: 'content' });
  const badge = h('span', { class: 'count', hidden: true });
  const buttons = TABS.map(([name, key, drawing]) => {
    const button = h(
      'button',
      {
        type: 'button',
        role: 'tab',
        id: `tab-${name}`,
        'aria-controls': 'panel',
        'data-tab': name,
        onclick: () => choose(name),
      },
      sign(drawing),
      h('span', {}, say(key)),
    );
    if (name === 'people') button.append(badge);
    return button;
  });
  const tabs = h('div', { class: 'tabs', role: 'tablist', 'aria-label': say('studio.tools') }, ...buttons);
  tabs.addEventListener('keydown', (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const visible = buttons.filter((button) => button.offsetParent !== null);
    const at = visible.indexOf(document.activeElement as HTMLButtonElement);
    if (!step || at < 0) return;
    const next = visible[(at + step + visible.length) % visible.length];
    next?.focus();
    next?.click();
  });
  const choose = (name: Tab) => {
    tab = name;
    main.dataset['tab'] = name;
    for (const button of buttons) {
      const chosen = button.dataset['tab'] === name;
      button.setAttribute('aria-selected', String(chosen));
      button.tabIndex = chosen ? 0 : -1;
    }
    const shown = name === 'publish' || name === 'chat' ? null : panels[name];
    panel.setAttribute('aria-labelledby', `tab-${name}`);
    if (shown) {
      panel.replaceChildren(shown.element);
      shown.draw();
    }
    talk.draw();
  };

  const draw = () => {
    const { state, you, connection } = room;
    const shown = player.transport !== 'none';
    air.className = shown ? 'chip live' : 'chip';
    air.textContent = say(shown ? 'studio.on_air' : 'studio.off_air');
    mode.hidden = state.program.state === 'off';
    mode.textContent = state.program.state === 'off' ? '' : say(`studio.${state.program.state}`);
    latency.hidden = !shown || player.stats.latencyMs === null;
    nothing.hidden = shown;
    pk.hidden = state.pk?.state !== 'on';
    pk.textContent = state.pk ? say('room.pk', { name: state.pk.name ?? state.pk.room }) : '';
    const kinds = [
      ['WebRTC', state.viewers.whep],
      ['LL-HLS', state.viewers.hls],
      ['FLV', state.viewers.flv],
      ['RTMP', state.viewers.rtmp],
    ] as const;
    viewers.replaceChildren(
      icon('people'),
      ...kinds.map(([name, count]) =>
        h(
          'div',
          { class: count === 0 ? 'zero' : '' },
          h('dt', {}, name),
          h('dd', {}, count.toLocaleString(speech.language)),
        ),
      ),
    );
    const handed =
      you !== null && state.host?.person != null && state.host.person !== you.person && you.role !== 'admin';
    const text = refusal
      ? say('studio.refused', { detail: refusal })
      : state.ended
        ? say('room.ended')
        : connection === 'lost'
          ? say('room.lost')
          : connection === 'connecting'
            ? say('studio.connecting')
            : handed
              ? say('studio.not_host')
              : '';
    if (banner.textContent !== text) banner.textContent = text;
    banner.hidden = text === '';
    badge.hidden = requests.count() === 0;
    badge.textContent = String(requests.count());
    requests.draw();
    pictograms.draw();
    talk.draw();
    if (tab !== 'publish' && tab !== 'chat') panels[tab].draw();
  };

  const off = [
    room.on('state', draw),
    room.on('connection', ({ connection, problem }) => {
      if (connection === 'open') void room.loadPeople().catch(() => {}); // On failure only later people are listed.
      refusal = problem ? problem.detail || problem.title : '';
      draw();
    }),
    player.on('transport', ({ transport }) => {
      if (transport !== 'none') room.enter(); // If the last room has ended, enter the new one.
      draw();
    }),
    player.on('latency', ({ latencyMs }) => {
      latency.hidden = false;
      latency.textContent = `${latencyMs} ms`;
    }),
    bar.close,
    source.close,
  ];
  leave = () => {
    for (const stop of off) stop();
  };

  main.append(
    h('div', { class: 'studio-bar' }, h('h1', {}, address.room), viewers, h('span', { class: 'end' }), invite, watch),
    banner,
    h('div', { class: 'monitor' }, stage, pictograms.element),
    tabs,
    panel,
    h('aside', { class: 'desk' }, source.element, requests.element, talk.element),
  );
  document.querySelector('#page')?.replaceChildren(masthead(speech, say('studio.studio'), query), main);
  choose(tab);
  draw();
}

build();
player.play().catch(() => {}); // On failure the monitor says that nothing is on air.
