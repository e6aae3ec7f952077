// Shows a notice over the video when nothing plays or playback is disturbed: one sentence says what happens, and one
// says what to do.

import type { Key, Speech } from '../i18n/language';
import type { Player, PlayerEvents, Reason } from '../player';
import { h, icon } from './dom';

const EXPLAINED: Partial<Record<Reason, Key>> = {
  unauthorized: 'error.unauthorized',
  no_codec: 'error.no_codec',
  unsupported: 'error.unsupported',
  full: 'error.full',
  unreachable: 'error.unreachable',
  blocked: 'error.blocked',
  refused: 'error.refused',
  no_packet: 'error.blocked',
  no_picture: 'error.no_picture',
  audio_only: 'error.no_picture',
  stalled: 'error.stalled',
};
const PATIENCE_MS = 4000; // A short reconnect needs no explanation.

// Kept after a notice is closed, so that the page shows the same state again after a change of language.
let last: PlayerEvents['state'] | null = null;

export function notice(speech: Speech, player: Player, room: string): { element: HTMLElement; close: () => void } {
  const { say } = speech;
  const element = h('div', { class: 'notice', role: 'status' });
  let timer: ReturnType<typeof setTimeout> | undefined;

  const spinner = () => h('div', { class: 'spinner', 'aria-hidden': 'true' });
  const explanation = (reason: Reason | undefined) => {
    const key = reason && EXPLAINED[reason];
    return key ? say(key) : '';
  };
  const fill = (quiet: boolean, ...children: (Node | string)[]) => {
    element.hidden = false;
    element.className = quiet ? 'notice quiet' : player.transport === 'none' ? 'notice' : 'notice over';
    element.replaceChildren(...children);
  };

  const draw = ({ state, reason, detail }: PlayerEvents['state']) => {
    clearTimeout(timer);
    if (state === 'playing' || state === 'closed') {
      element.hidden = true;
    } else if (state === 'waiting') {
      const name = reason === 'interrupted' || reason === 'ended' ? reason : 'waiting';
      fill(
        false,
        icon('antenna'),
        h('h2', {}, say(`state.${name}.title`)),
        h('p', {}, say(`state.${name}.text`, { room })),
      );
    } else if (state === 'failed') {
      const retry = h(
        'button',
        { type: 'button', class: 'button', onclick: () => void player.play() },
        say('action.retry'),
      );
      const text = h('p', { title: detail ?? '' }, explanation(reason));
      fill(false, icon('broken'), h('h2', {}, say('state.failed.title')), text, retry);
    } else {
      const title = h('h2', {}, say(state === 'recovering' ? 'state.recovering' : 'state.connecting'));
      fill(player.transport !== 'none', spinner(), title);
      const why = state === 'recovering' ? explanation(reason) : '';
      if (why && player.transport === 'none') timer = setTimeout(() => element.append(h('p', {}, why)), PATIENCE_MS);
    }
  };
  const off = player.on('state', (event) => {
    last = event;
    draw(event);
  });
  draw(last ?? { state: 'connecting' });
  return {
    element,
    close: () => {
      clearTimeout(timer);
      off();
    },
  };
}
