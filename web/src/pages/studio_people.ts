// Shows the seats with the host's actions for each, and the other people in the room, whom the host can invite.

import type { Speech } from '../i18n/language';
import { roomSay } from '../i18n/rooms';
import type { Room, Seat } from '../player';
import { h } from './dom';
import { attempt, iconButton, mark, sign } from './room_parts';

export function studioPeople(speech: Speech, room: Room): { element: HTMLElement; draw: () => void } {
  const say = roomSay(speech);
  const seats = h('ul', { class: 'rows' });
  const audience = h('ul', { class: 'rows' });
  const here = h('span', { class: 'soft' });
  const element = h(
    'div',
    { class: 'columns' },
    h('section', {}, h('h3', {}, say('people.seats')), seats),
    h('section', {}, h('h3', {}, say('people.audience'), ' ', here), audience),
  );
  const send = (command: Parameters<Room['command']>[0]) => attempt(say, room.command(command));
  let drawn = '';

  const draw = () => {
    const { state, you } = room;
    const key = JSON.stringify([
      state.seats,
      state.people,
      state.invitations,
      state.host,
      state.persons,
      state.requests,
    ]);
    if (key === drawn) return;
    drawn = key;
    const focused = document.activeElement?.getAttribute('data-key');
    const free = state.seats.filter((seat) => seat.state === 'empty' && !seat.locked);
    seats.replaceChildren(...state.seats.map((seat) => row(seat, free)));
    here.textContent = say('room.here', { count: state.persons });
    const seated = new Set(state.seats.map(({ person }) => person));
    const others = state.people.filter(
      ({ person }) => person !== you?.person && person !== state.host?.person && !seated.has(person),
    );
    audience.replaceChildren(
      ...(others.length === 0
        ? [h('li', { class: 'nothing' }, say('people.nobody'))]
        : others.slice(0, 100).map(({ person, name }) => {
            const invited = state.invitations.some((one) => one.person === person);
            const invite = () => send({ kind: 'invite', person, seat: null });
            return h(
              'li',
              { class: 'row' },
              mark(name, person),
              h('div', { class: 'who' }, h('b', {}, name)),
              invited
                ? h('span', { class: 'chip' }, say('people.invited'))
                : h(
                    'button',
                    {
                      type: 'button',
                      class: 'button slim',
                      'data-key': `invite-${person}`,
                      'aria-label': say('people.invite_name', { name }),
                      disabled: free.length === 0,
                      onclick: invite,
                    },
                    sign('person_plus'),
                    say('people.invite'),
                  ),
              handOver(person, name),
            );
          })),
    );
    if (focused) element.querySelector<HTMLElement>(`[data-key="${CSS.escape(focused)}"]`)?.focus();
  };

  const handOver = (person: string, name: string) =>
    keyed(
      `host-${person}`,
      iconButton(say('people.hand_over', { name }), 'star', () => {
        if (confirm(say('people.hand_over_sure', { name }))) send({ kind: 'hand-over', person });
      }),
    );

  const row = (seat: Seat, free: Seat[]) => {
    const { seat: number, locked, person } = seat;
    if (!person || seat.state === 'empty') {
      return h(
        'li',
        { class: 'row vacant' },
        h('span', { class: 'mark free', 'aria-hidden': 'true' }, String(number)),
        h(
          'div',
          { class: 'who' },
          h('b', {}, say('seat.number', { seat: number })),
          h('small', {}, say(locked ? 'seat.locked' : 'seat.empty')),
        ),
        lock(seat),
      );
    }
    const name = seat.name ?? person;
    const audioOff = Boolean(seat.muted_by?.audio);
    const videoOff = Boolean(seat.muted_by?.video);
    const move = h(
      'select',
      {
        class: 'slim',
        'data-key': `move-${person}`,
        'aria-label': say('people.move', { name }),
        title: say('people.move', { name }),
        onchange: () => move.value && send({ kind: 'move', person, seat: Number(move.value) }),
      },
      h('option', { value: '' }, `#${number}`),
      ...free.map((one) => h('option', { value: one.seat }, say('people.move_to', { seat: one.seat }))),
    );
    move.disabled = free.length === 0;
    const mute = keyed(
      `audio-${person}`,
      iconButton(say(audioOff ? 'people.unmute' : 'people.mute', { name }), audioOff ? 'mic_off' : 'mic', () =>
        send({ kind: 'mute', person, audio: !audioOff }),
      ),
    );
    mute.setAttribute('aria-pressed', String(audioOff));
    const dark = keyed(
      `video-${person}`,
      iconButton(say(videoOff ? 'people.bright' : 'people.dark', { name }), videoOff ? 'camera_off' : 'camera', () =>
        send({ kind: 'mute', person, video: !videoOff }),
      ),
    );
    dark.setAttribute('aria-pressed', String(videoOff));
    return h(
      'li',
      { class: `row ${seat.state}${seat.speaking && !audioOff ? ' speaking' : ''}` },
      h('span', { class: 'ring' }, mark(name, person)),
      h('div', { class: 'who' }, h('b', {}, name), h('small', {}, say(`seat.${seat.state}`))),
      move,
      mute,
      dark,
      handOver(person, name),
      keyed(
        `remove-${person}`,
        iconButton(say('people.remove', { name }), 'leave', () => send({ kind: 'remove', person })),
      ),
    );
  };
  const lock = ({ seat, locked }: Seat) =>
    keyed(
      `lock-${seat}`,
      iconButton(say(locked ? 'people.unlock' : 'people.lock', { seat }), locked ? 'lock' : 'unlock', () =>
        send({ kind: 'lock-seat', seat, locked: !locked }),
      ),
    );
  return { element, draw };
}

function keyed(key: string, button: HTMLButtonElement): HTMLButtonElement {
  button.dataset['key'] = key;
  return button;
}
