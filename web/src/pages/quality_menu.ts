// Shows the menu of qualities: automatic, each level of the video, audio only. It is there where the transport offers
// levels. The choice is kept in the page's address, so a reload and a copied tab keep it.
//
// A menu of radio items (WAI-ARIA): arrows, Home and End move, Enter and Space choose, Escape and Tab close. On a phone it
// is a sheet at the lower edge of the screen.

import type { Speech } from '../i18n/language';
import { label } from '../i18n/language';
import type { LevelChoice, Player } from '../player';
import { h, icon } from './dom';
import { levelNames } from './level_names';

interface Item {
  choice: LevelChoice;
  text: string;
}

export function qualityMenu(speech: Speech, player: Player): { elements: HTMLElement[]; close: () => void } {
  const { say } = speech;
  const life = new AbortController();
  const { signal } = life;
  const words = h('span', { class: 'words', 'aria-hidden': 'true' });
  const button = h(
    'button',
    {
      type: 'button',
      class: 'tool quality',
      'aria-haspopup': 'menu',
      'aria-controls': 'qualities',
      onclick: () => toggle(),
    },
    icon('gear'),
    words,
  );
  const menu = h('div', {
    class: 'menu',
    id: 'qualities',
    role: 'menu',
    'aria-label': say('watch.quality'),
    hidden: true,
  });

  const items = (): Item[] => {
    const { levels } = player;
    const names = levelNames(levels);
    return [
      { choice: 'auto', text: automaticName(speech, player) },
      ...levels.map(({ key }, at) => ({ choice: key, text: names[at] ?? key })),
      { choice: 'none', text: say('watch.quality.none') },
    ];
  };
  const entries = () => [...menu.querySelectorAll<HTMLElement>('[role=menuitemradio]')];
  const draw = () => {
    const offered = items();
    const chosen = offered.some(({ choice }) => choice === player.chosenLevel) ? player.chosenLevel : 'auto';
    const hasNoChoice = player.levels.length === 0;
    const { text = '' } = offered.find(({ choice }) => choice === chosen) ?? {};
    button.hidden = hasNoChoice;
    words.textContent = text;
    label(button, say('watch.quality.is', { quality: text }));
    if (hasNoChoice) return close(false);
    const focused = menu.contains(document.activeElement) ? (document.activeElement as HTMLElement) : null;
    const kept = entries();
    const isSame =
      kept.length === offered.length && offered.every(({ choice }, at) => kept[at]?.dataset['quality'] === choice);
    // An item that has the focus must stay the same element.
    if (!isSame) menu.replaceChildren(...offered.map(({ choice }) => entry(choice)));
    entries().forEach((element, at) => {
      element.lastChild?.replaceWith(offered[at]?.text ?? '');
      element.setAttribute('aria-checked', String(offered[at]?.choice === chosen));
    });
    if (focused && !isSame)
      (entries().find((each) => each.dataset['quality'] === focused.dataset['quality']) ?? entries()[0])?.focus();
  };
  const entry = (choice: LevelChoice) =>
    h(
      'button',
      { type: 'button', role: 'menuitemradio', tabindex: -1, 'data-quality': choice, onclick: () => choose(choice) },
      icon('check'),
      ' ',
    );
  const choose = (choice: LevelChoice) => {
    player.setLevel(choice);
    const url = new URL(location.href);
    if (choice === 'auto') url.searchParams.delete('quality');
    else url.searchParams.set('quality', choice);
    history.replaceState(null, '', url);
    close();
    draw();
  };
  const open = () => {
    menu.hidden = false;
    button.setAttribute('aria-expanded', 'true');
    (entries().find((each) => each.getAttribute('aria-checked') === 'true') ?? entries()[0])?.focus();
  };
  const close = (back = true) => {
    if (menu.hidden) return;
    menu.hidden = true;
    button.setAttribute('aria-expanded', 'false');
    if (back) button.focus();
  };
  const toggle = () => (menu.hidden ? open() : close());
  const onKey = (event: KeyboardEvent) => {
    const all = entries();
    const at = all.indexOf(document.activeElement as HTMLElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: all.length - 1 }[event.key];
    if (to !== undefined) all.at(to % all.length)?.focus();
    else if (event.key === 'Escape') close();
    else if (event.key === 'Tab') return close(false);
    else return;
    event.preventDefault();
    event.stopPropagation();
  };

  menu.addEventListener('keydown', onKey, { signal });
  button.addEventListener(
    'keydown',
    (event) => {
      if (event.key !== 'ArrowDown' && event.key !== 'ArrowUp') return;
      event.preventDefault();
      open();
    },
    { signal },
  );
  const outside = ({ target }: Event) =>
    target instanceof Node && !menu.contains(target) && !button.contains(target) && close(false);
  document.addEventListener('pointerdown', outside, { signal });
  button.setAttribute('aria-expanded', 'false');
  const off = player.on('levels', draw);
  draw();
  return {
    elements: [button, menu],
    close: () => {
      life.abort();
      off();
    },
  };
}

/** Returns `Auto (720p)`, or `Auto` while it is not known what plays. A choice by hand says nothing about it. */
function automaticName({ say }: Speech, { levels, level, chosenLevel }: Player): string {
  const isByHand = chosenLevel === 'none' || levels.some(({ key }) => key === chosenLevel);
  const name =
    level === 'none' ? say('watch.quality.none') : levelNames(levels)[levels.findIndex(({ key }) => key === level)];
  return name && !isByHand ? say('watch.quality.auto_now', { quality: name }) : say('watch.auto');
}

/** Makes what is shown in place of the video while only audio plays. */
export function audioOnlySign({ say }: Speech, player: Player): { element: HTMLElement; close: () => void } {
  const element = h('div', { class: 'audio-only' }, icon('volume'), h('p', {}, say('watch.quality.none')));
  const draw = () => {
    element.hidden = player.level !== 'none';
  };
  const off = player.on('levels', draw);
  draw();
  return { element, close: off };
}
