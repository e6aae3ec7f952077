// Shows the drawer with figures, for support and for curious viewers.

import { bitRate } from '../api/room';
import type { Key, Speech } from '../i18n/language';
import type { Player, Stats } from '../player';
import { h, icon } from './dom';
import { TRANSPORT_NAMES } from './transport_switch';

let open = false; // Outside the function, so that it survives a change of language.

export function statsPanel(
  speech: Speech,
  player: Player,
): { element: HTMLElement; toggle: HTMLElement; close: () => void } {
  const { say } = speech;
  const cells = new Map<Key, HTMLElement>();
  const rows = ROWS.map(([key]) => {
    const cell = h('dd', {}, say('stats.none'));
    cells.set(key, cell);
    return h('div', {}, h('dt', {}, say(key)), cell);
  });
  const element = h('section', { class: 'stats', id: 'stats', 'aria-label': say('watch.stats') }, h('dl', {}, ...rows));
  const toggle = h(
    'button',
    {
      type: 'button',
      class: 'button',
      'aria-controls': 'stats',
      onclick: () => {
        open = !open;
        draw(player.stats);
      },
    },
    icon('chart'),
    say('watch.stats'),
  );
  const draw = (stats: Stats) => {
    element.hidden = !open;
    toggle.setAttribute('aria-expanded', String(open));
    if (!open) return;
    for (const [key, text] of ROWS) {
      const cell = cells.get(key);
      if (cell) cell.textContent = text(stats, speech) || say('stats.none');
    }
  };
  draw(player.stats);
  const off = [player.on('stats', draw), player.on('transport', () => draw(player.stats))];
  return { element, toggle, close: () => off.forEach((stop) => void stop()) };
}

const ROWS: [Key, (stats: Stats, speech: Speech) => string][] = [
  ['stats.transport', ({ transport }) => (transport === 'none' ? '' : TRANSPORT_NAMES[transport])],
  ['stats.latency', ({ latencyMs }) => (latencyMs === null ? '' : `${latencyMs} ms`)],
  ['stats.method', ({ method }, { say }) => (method ? say(`method.${method}`) : '')],
  ['stats.clock', (stats, speech) => (stats.method ? clock(stats, speech) : '')],
  ['stats.picture', ({ width, height, fps }) => (width ? `${width}×${height} · ${fps.toFixed(0)} fps` : '')],
  ['stats.codec', ({ codec }) => codec],
  ['stats.bitrate', ({ bitrate }) => (bitrate ? bitRate(bitrate) : '')],
  ['stats.estimate', ({ estimate }) => (estimate ? bitRate(estimate) : '')],
  ['stats.dropped', ({ framesDropped }) => String(framesDropped)],
  ['stats.freezes', ({ freezes }) => String(freezes)],
  [
    'stats.given_up',
    ({ whepGivenUp }) =>
      Object.entries(whepGivenUp)
        .map(([why, count]) => `${why} ${count}`)
        .join(', '),
  ],
  ['stats.rtt', ({ rtt }) => (rtt === null ? '' : `${rtt} ms`)],
];

function clock({ clock, clockErrorMs }: Stats, { say }: Speech): string {
  return clock === 'node' ? say('stats.clock.node', { error: clockErrorMs ?? 0 }) : say('stats.clock.browser');
}
