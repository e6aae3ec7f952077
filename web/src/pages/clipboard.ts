// Copies text, also on pages without the asynchronous clipboard: those served over plain HTTP in a local network.

import type { Speech } from '../i18n/language';
import { h, icon } from './dom';

const SHOWN_MS = 1600;

export async function copyText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = h('textarea', { readonly: true, class: 'visually-hidden' });
    area.value = text;
    document.body.append(area);
    area.select();
    const copied = document.execCommand('copy');
    area.remove();
    return copied;
  }
}

/** Makes a button that copies the current result of `text` and confirms it. */
export function copyButton(speech: Speech, what: string, text: () => string): HTMLButtonElement {
  const word = h('span', {}, speech.say('action.copy'));
  const button = h(
    'button',
    { type: 'button', class: 'button', 'aria-label': `${speech.say('action.copy')}: ${what}` },
    icon('copy'),
    word,
  );
  button.addEventListener('click', async () => {
    const copied = await copyText(text());
    word.textContent = speech.say(copied ? 'action.copied' : 'action.copy_failed');
    button.firstElementChild?.replaceWith(icon(copied ? 'check' : 'copy'));
    announce(word.textContent);
    setTimeout(() => {
      word.textContent = speech.say('action.copy');
      button.firstElementChild?.replaceWith(icon('copy'));
    }, SHOWN_MS);
  });
  return button;
}

/** Announces a short sentence to people who use a screen reader. */
export function announce(text: string): void {
  let region = document.querySelector<HTMLElement>('#announcements');
  if (!region) {
    region = h('div', { id: 'announcements', class: 'visually-hidden', role: 'status', 'aria-live': 'polite' });
    document.body.append(region);
  }
  region.textContent = text;
}
