// Lets the host propose, answer and end a PK, which shows two rooms on one screen.

import type { Speech } from '../i18n/language';
import { roomSay } from '../i18n/rooms';
import type { Room } from '../player';
import { h } from './dom';
import { attempt } from './room_parts';

export function studioPk(speech: Speech, room: Room): { element: HTMLElement; draw: () => void } {
  const say = roomSay(speech);
  const send = (command: Parameters<Room['command']>[0]) => attempt(say, room.command(command));
  const other = h('input', {
    class: 'text',
    maxlength: 64,
    required: true,
    autocapitalize: 'none',
    autocomplete: 'off',
    spellcheck: 'false',
    placeholder: say('pk.room'),
    'aria-label': say('pk.room'),
  });
  const form = h('form', { class: 'write plain' }, other, h('button', { class: 'button primary' }, say('pk.propose')));
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    send({ kind: 'propose-pk', room: other.value.trim() });
  });
  const now = h('div', { class: 'pk-now', role: 'status' });
  const element = h('div', { class: 'pk' }, h('p', { class: 'soft' }, say('pk.text')), now, form);
  let drawn: string | null = null;

  const button = (text: string, kind: 'accept-pk' | 'refuse-pk' | 'end-pk', style = '') =>
    h('button', { type: 'button', class: `button ${style}`, onclick: () => send({ kind }) }, text);
  const draw = () => {
    const { pk } = room.state;
    const key = JSON.stringify(pk);
    if (key === drawn) return;
    drawn = key;
    form.hidden = pk !== null;
    now.hidden = pk === null;
    if (!pk) return;
    const name = pk.name ?? pk.room;
    if (pk.state === 'on')
      now.replaceChildren(h('p', {}, say('pk.on', { name })), button(say('pk.end'), 'end-pk', 'danger'));
    else if (pk.state === 'proposed') {
      now.replaceChildren(h('p', {}, say('pk.proposed', { room: pk.room })), button(say('pk.withdraw'), 'end-pk'));
    } else {
      now.replaceChildren(
        h('p', {}, say('pk.asked', { room: pk.room })),
        button(say('pk.refuse'), 'refuse-pk'),
        button(say('pk.accept'), 'accept-pk', 'primary'),
      );
    }
  };
  return { element, draw };
}
