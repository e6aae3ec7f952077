// Shows the chat: the list of messages, a field to write one, and this person's own name.

import type { Speech } from '../i18n/language';
import { roomSay } from '../i18n/rooms';
import type { ChatMessage, Room } from '../player';
import { h } from './dom';
import { iconButton, mark, sentence, sign, storeName, toast } from './room_parts';

const NEAR_END_PX = 60; // A new message does not scroll the list if the reader is further than this from its end.

export function chat(speech: Speech, room: Room): { element: HTMLElement; draw: () => void } {
  const say = roomSay(speech);
  const list = h('ol', { class: 'lines', role: 'log', 'aria-live': 'polite', 'aria-label': say('chat.title') });
  const here = h('span', { class: 'soft' });
  const name = h('button', { type: 'button', class: 'name-button', onclick: () => rename(true) });
  const field = h('input', {
    class: 'text',
    maxlength: 500,
    autocomplete: 'off',
    enterkeyhint: 'send',
    placeholder: say('chat.write'),
    'aria-label': say('chat.write'),
  });
  const form = h(
    'form',
    { class: 'write' },
    field,
    h(
      'button',
      { class: 'icon-button primary', 'aria-label': say('chat.send'), title: say('chat.send') },
      sign('send'),
    ),
  );
  const nameField = h('input', { class: 'text', maxlength: 40, 'aria-label': say('devices.name') });
  const nameForm = h(
    'form',
    { class: 'write', hidden: true },
    nameField,
    h('button', { class: 'button' }, say('chat.save')),
    iconButton(say('devices.cancel'), 'close', () => rename(false)),
  );

  const rename = (open: boolean) => {
    nameForm.hidden = !open;
    form.hidden = open;
    nameField.value = room.name;
    (open ? nameField : field).focus();
  };
  nameForm.addEventListener('submit', (event) => {
    event.preventDefault();
    const wanted = nameField.value.trim();
    if (wanted) {
      storeName(wanted);
      room.rename(wanted);
    }
    rename(false);
  });
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    const text = field.value.trim();
    if (!text) return;
    field.value = '';
    try {
      await room.chat(text);
    } catch (error) {
      field.value ||= text;
      toast(say('chat.failed', { detail: sentence(say, error) }));
    }
  });

  let drawn: ChatMessage[] | null = null;
  const draw = () => {
    const { chat: said, persons, host } = room.state;
    here.textContent = persons > 0 ? say('room.here', { count: persons.toLocaleString(speech.language) }) : '';
    name.replaceChildren(room.you?.name || room.name || say('devices.name'), sign('edit'));
    name.setAttribute('aria-label', say('chat.name'));
    name.title = say('chat.name');
    if (said === drawn) return;
    const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < NEAR_END_PX;
    const known = drawn && said.length > drawn.length && said[0] === drawn[0] ? drawn.length : 0;
    if (known === 0) list.replaceChildren();
    list.append(
      ...said
        .slice(known)
        .map((one) => line(one, one.person !== null && one.person === host?.person, one.person === room.you?.person)),
    );
    if (said.length === 0) list.append(h('li', { class: 'nothing' }, say('chat.empty')));
    else list.querySelector('.nothing')?.remove();
    if (atEnd || known === 0) list.scrollTop = list.scrollHeight;
    drawn = said;
  };
  const line = ({ name: who, person, text }: ChatMessage, byHost: boolean, own: boolean) =>
    h(
      'li',
      { class: own ? 'line own' : 'line' },
      mark(who, person ?? who),
      h('p', {}, h('b', {}, who, byHost && h('span', { class: 'chip small' }, say('room.host'))), h('span', {}, text)),
    );

  const element = h(
    'section',
    { class: 'card chat', 'aria-label': say('chat.title') },
    h('header', {}, h('h2', {}, say('chat.title')), here, name),
    list,
    form,
    nameForm,
  );
  return { element, draw };
}
