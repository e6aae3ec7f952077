// Shows the switch Auto | WebRTC | LL-HLS. The choice is kept in the page's address, so a reload and a copied tab keep
// it.

import type { Speech } from '../i18n/language';
import type { Choice, Player } from '../player';
import { h } from './dom';

export const TRANSPORT_NAMES = { whep: 'WebRTC', hls: 'LL-HLS', mic: 'WebRTC' } as const;

export function transportSwitch(speech: Speech, player: Player): HTMLElement {
  const choices: [Choice, string][] = [
    ['auto', speech.say('watch.auto')],
    ['whep', TRANSPORT_NAMES.whep],
    ['hls', TRANSPORT_NAMES.hls],
  ];
  const buttons = choices.map(([choice, name]) => {
    const pressed = String(choice === player.preferred);
    return h(
      'button',
      { type: 'button', 'aria-pressed': pressed, 'data-choice': choice, onclick: () => choose(choice) },
      name,
    );
  });
  const choose = (choice: Choice) => {
    player.prefer(choice);
    for (const button of buttons) button.setAttribute('aria-pressed', String(button.dataset['choice'] === choice));
    const url = new URL(location.href);
    if (choice === 'auto') url.searchParams.delete('transport');
    else url.searchParams.set('transport', choice);
    history.replaceState(null, '', url);
  };
  return h('div', { class: 'segments', role: 'group', 'aria-label': speech.say('watch.transport') }, ...buttons);
}
