// Makes the bar at the top of every page: brand, a note, the language switch.

import { NODE } from '../api/node';
import { LANGUAGES, type Language, type Speech } from '../i18n/language';
import { h } from './dom';

export function masthead(speech: Speech, note: string, search: string): HTMLElement {
  const languages = (Object.keys(LANGUAGES) as Language[]).map((language) =>
    h(
      'button',
      {
        type: 'button',
        lang: language,
        'aria-pressed': String(language === speech.language),
        onclick: () => speech.choose(language),
      },
      LANGUAGES[language].language,
    ),
  );
  return h(
    'header',
    { class: 'masthead' },
    h('a', { class: 'skip', href: '#content' }, speech.say('nav.skip')),
    h(
      'div',
      { class: 'wide' },
      h(
        'a',
        { class: 'brand', href: `${NODE.href}${search}` },
        h('img', { src: new URL('favicon.svg', NODE).href, alt: '' }),
        'onmic',
      ),
      h('span', { class: 'note' }, note),
      h('div', { class: 'segments end', role: 'group', 'aria-label': speech.say('nav.language') }, ...languages),
    ),
  );
}
