// Shows a person, before they go on mic, how they will be seen and heard, and lets them choose their name.

import type { RoomSay } from '../i18n/rooms';
import { devicePicker } from './device_picker';
import { h } from './dom';
import { storedName, storeName } from './room_parts';

/** Resolves with the stream to send and the chosen name, or with null if the person cancelled. */
export function micDialog(
  say: RoomSay,
  purpose: 'ask' | 'accept',
  name: string,
): Promise<{ stream: MediaStream; name: string } | null> {
  return new Promise((resolve) => {
    const go = h('button', { class: 'button primary', disabled: true }, say(`devices.${purpose}`));
    const picker = devicePicker(say, (stream) => {
      go.disabled = !stream?.getTracks().length;
    });
    const nameField = h('input', {
      class: 'text',
      maxlength: 40,
      required: true,
      autocomplete: 'nickname',
      placeholder: say('devices.name_hint'),
      value: name || storedName(),
    });
    const form = h(
      'form',
      { method: 'dialog' },
      h('h2', { id: 'mic-dialog' }, say('devices.title')),
      picker.preview,
      picker.fields,
      h('label', {}, say('devices.name'), nameField),
      h('p', { class: 'soft' }, say('devices.headphones')),
      h(
        'footer',
        {},
        h('button', { type: 'button', class: 'button', onclick: () => dialog.close() }, say('devices.cancel')),
        go,
      ),
    );
    const dialog = h('dialog', { class: 'dialog', 'aria-labelledby': 'mic-dialog' }, form);
    let answer: { stream: MediaStream; name: string } | null = null;
    form.addEventListener('submit', () => {
      const wanted = nameField.value.trim();
      const stream = wanted ? picker.take() : null;
      if (!stream) return;
      storeName(wanted);
      answer = { stream, name: wanted };
    });
    dialog.addEventListener('close', () => {
      picker.close();
      dialog.remove();
      resolve(answer);
    });
    document.body.append(dialog);
    dialog.showModal();
    void picker.open();
  });
}
