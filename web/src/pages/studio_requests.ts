// Shows the people who ask for the mic and how long they have waited. The host lets them in or refuses.

import type { Speech } from '../i18n/language';
import { roomSay } from '../i18n/rooms';
import type { MicRequest, Room } from '../player';
import { announce } from './clipboard';
import { h } from './dom';
import { attempt, iconButton, mark } from './room_parts';

export function studioRequests(
  speech: Speech,
  room: Room,
): { element: HTMLElement; draw: () => void; count: () => number } {
  const say = roomSay(speech);
  const list = h('ul', { class: 'requests' });
  const count = h('span', { class: 'count', hidden: true });
  const element = h(
    'section',
    { class: 'card', 'data-part': 'people', 'aria-label': say('requests.title') },
    h('header', {}, h('h2', {}, say('requests.title')), count),
    list,
  );
  let drawn: string | null = null;
  let known = new Set<string>();

  const draw = () => {
    const { requests, seats } = room.state;
    const free = seats.filter(({ state, locked }) => state === 'empty' && !locked).map(({ seat }) => seat);
    const key = JSON.stringify([requests, free]);
    if (key === drawn) return;
    const first = drawn === null;
    drawn = key;
    count.hidden = requests.length === 0;
    count.textContent = String(requests.length);
    const fresh = requests.filter(({ person }) => !known.has(person));
    known = new Set(requests.map(({ person }) => person));
    if (!first) for (const { name } of fresh) announce(say('requests.new', { name }));
    const focused = document.activeElement?.getAttribute('data-person');
    list.replaceChildren(
      ...(requests.length === 0
        ? [h('li', { class: 'nothing' }, say('requests.none'))]
        : requests.map((request) => line(request, free))),
    );
    if (focused) list.querySelector<HTMLElement>(`[data-person="${CSS.escape(focused)}"]`)?.focus();
  };

  const line = ({ person, name, seat, since }: MicRequest, free: number[]) => {
    const choose = h(
      'select',
      { 'aria-label': say('requests.seat', { name }) },
      h('option', { value: '' }, say('requests.any')),
      ...free.map((number) => h('option', { value: number }, say('seat.number', { seat: number }))),
    );
    if (seat !== null && free.includes(seat)) choose.value = String(seat);
    const waited = Math.max(0, Date.now() - Date.parse(since));
    const facts = [
      seat === null ? '' : say('requests.wants', { seat }),
      Number.isNaN(waited) ? '' : say('requests.since', { time: speech.duration(waited) }),
    ];
    const grant = () =>
      attempt(say, room.command({ kind: 'grant', person, seat: choose.value ? Number(choose.value) : null }));
    return h(
      'li',
      { class: 'request' },
      mark(name, person),
      h('div', { class: 'who' }, h('b', {}, name), h('small', {}, facts.filter(Boolean).join(' · '))),
      choose,
      iconButton(say('requests.refuse_name', { name }), 'close', () =>
        attempt(say, room.command({ kind: 'refuse', person })),
      ),
      h(
        'button',
        {
          type: 'button',
          class: 'button primary slim',
          'data-person': person,
          'aria-label': say('requests.grant_to', { name }),
          onclick: grant,
        },
        say('requests.grant'),
      ),
    );
  };
  return { element, draw, count: () => room.state.requests.length };
}
