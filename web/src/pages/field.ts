// Makes a row of texts to copy: what it is, the text, and a button.

import type { Speech } from '../i18n/language';
import { copyButton } from './clipboard';
import { h, icon } from './dom';

const MASK = '•'.repeat(12);

/** Shows `value`. Its part `secret` is masked until somebody wants to see it, because screens are shared. */
export function field(speech: Speech, name: string, value: string, secret = ''): HTMLElement {
  const code = h('code', {}, mask(value, secret));
  const row = h('dd', {}, code);
  if (secret)
    row.append(revealButton(speech, name, (shown) => code.replaceChildren(shown ? value : mask(value, secret))));
  row.append(copyButton(speech, name, () => value));
  return h('div', { class: 'field' }, h('dt', {}, name), row);
}

/** Returns `value` with a mask in the place of `secret`. */
export function mask(value: string, secret: string): string {
  return secret ? value.replaceAll(secret, MASK) : value;
}

function revealButton(speech: Speech, name: string, onReveal: (shown: boolean) => void): HTMLButtonElement {
  let shown = false;
  const label = () => `${speech.say(shown ? 'action.hide' : 'action.show')}: ${name}`;
  const button = h('button', { type: 'button', class: 'button' });
  const draw = () => {
    button.setAttribute('aria-label', label());
    button.title = label();
    button.replaceChildren(icon(shown ? 'hide' : 'show'));
  };
  button.addEventListener('click', () => {
    shown = !shown;
    onReveal(shown);
    draw();
  });
  draw();
  return button;
}
