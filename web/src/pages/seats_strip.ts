// Shows the people on mic in a row: the host first, then the seats.

import type { Speech } from '../i18n/language';
import { roomSay } from '../i18n/rooms';
import type { Room, Seat } from '../player';
import { h } from './dom';
import { mark, sign } from './room_parts';

export function seatsStrip(
  speech: Speech,
  room: Room,
  ask: (seat: number) => void,
): { element: HTMLElement; draw: () => void } {
  const say = roomSay(speech);
  const list = h('ul', { class: 'strip' });
  const element = h('section', { class: 'seats', 'aria-label': say('room.seats') }, list);
  let drawn = '';

  const draw = () => {
    const { host, seats, sources } = room.state;
    const key = JSON.stringify([host, seats, sources, room.you?.person, room.seat?.seat]);
    if (key === drawn) return;
    drawn = key;
    const focused = document.activeElement?.getAttribute('data-seat');
    const source = sources.find(({ participant }) => participant === 'host');
    // If only an encoder publishes, the host has no person.
    const first =
      host?.person || source?.up
        ? tile(host?.name || say('room.host'), host?.person ?? 'host', {
            note: say('room.host'),
            kind: host?.present || source?.up ? 'on-mic' : 'away',
            speaking: source?.speaking === true,
          })
        : null;
    list.replaceChildren(...[first, ...seats.map(seat)].filter((one) => one !== null));
    if (focused) list.querySelector<HTMLElement>(`[data-seat="${CSS.escape(focused)}"]`)?.focus();
  };

  const seat = (one: Seat) => {
    if (one.state === 'empty' || !one.person) return free(one);
    const own = one.person === room.you?.person;
    const name = own ? say('room.you') : (one.name ?? one.person);
    return tile(name, one.person, {
      note: one.state === 'on-mic' ? '' : say(`seat.${one.state}`),
      kind: one.state,
      speaking: one.speaking === true && !one.muted_by?.audio,
      muted: Boolean(one.muted_by?.audio),
      dark: Boolean(one.muted_by?.video),
      full: one.name ?? one.person,
    });
  };

  const free = ({ seat: number, locked }: Seat) => {
    const words = say(locked ? 'seat.locked' : 'seat.empty');
    const mayAsk = !locked && room.you?.role !== 'host' && !room.seat;
    const drawing = h('span', { class: 'mark free', 'aria-hidden': 'true' }, sign(locked ? 'lock' : 'plus'));
    const label = say('seat.number', { seat: number });
    return h(
      'li',
      { class: 'tile empty' },
      mayAsk
        ? h(
            'button',
            {
              type: 'button',
              'data-seat': number,
              'aria-label': say('seat.ask', { seat: number }),
              title: say('seat.ask', { seat: number }),
              onclick: () => ask(number),
            },
            drawing,
          )
        : drawing,
      h('span', { class: 'who' }, label),
      h('span', { class: 'note' }, words),
    );
  };

  const tile = (
    name: string,
    person: string,
    more: { note: string; kind: string; speaking?: boolean; muted?: boolean; dark?: boolean; full?: string },
  ) => {
    const signs = [
      more.muted && h('span', { class: 'flag', title: say('seat.muted') }, sign('mic_off')),
      more.dark && h('span', { class: 'flag', title: say('seat.dark') }, sign('camera_off')),
    ].filter(Boolean) as HTMLElement[];
    const words = [more.muted && say('seat.muted'), more.dark && say('seat.dark')].filter(Boolean).join(', ');
    return h(
      'li',
      { class: `tile ${more.kind}${more.speaking ? ' speaking' : ''}` },
      h('span', { class: 'ring' }, mark(more.full ?? name, person), h('span', { class: 'flags' }, ...signs)),
      h('span', { class: 'who' }, name),
      h('span', { class: 'note' }, more.note),
      h('span', { class: 'visually-hidden' }, words, more.speaking ? say('seat.speaking', { name }) : ''),
    );
  };
  return { element, draw };
}
