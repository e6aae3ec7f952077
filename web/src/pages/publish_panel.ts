// Shows how to go live with OBS, ffmpeg or WHIP, each with texts to copy.

import { NODE } from '../api/node';
import { publishing } from '../api/publish';
import type { Server } from '../api/room';
import type { Key, Speech } from '../i18n/language';
import { h } from './dom';
import { field } from './field';

type Way = 'obs' | 'ffmpeg' | 'whip';
const WAYS: Record<Way, string> = { obs: 'OBS · RTMP', ffmpeg: 'ffmpeg', whip: 'WHIP' };

/** Holds what the viewer has typed and chosen. It survives a change of language. */
export interface PublishChoice {
  room: string;
  way: Way;
}

export function publishPanel(
  speech: Speech,
  server: Pick<Server, 'rtmp_port' | 'auth'> & Partial<Pick<Server, 'rtmp_app'>>,
  choice: PublishChoice,
  query: string,
): HTMLElement {
  const { say } = speech;
  const body = h('div', { class: 'way', role: 'tabpanel', id: 'way' });
  const link = h('a', {});
  const studioLink = h('a', {}, say('publish.studio_link'));
  const input = h('input', {
    value: choice.room,
    maxlength: 64,
    autocomplete: 'off',
    autocapitalize: 'none',
    spellcheck: 'false',
    oninput: () => {
      choice.room = input.value.trim() || 'demo';
      draw();
    },
  });
  // A server without plain RTMP has port 0.
  const ways = (Object.keys(WAYS) as Way[]).filter((way) => way === 'whip' || server.rtmp_port !== 0);
  if (!ways.includes(choice.way)) choice.way = 'whip';
  const tabs = ways.map((way) =>
    h(
      'button',
      {
        type: 'button',
        role: 'tab',
        'aria-controls': 'way',
        onclick: () => {
          choice.way = way;
          draw();
        },
      },
      WAYS[way],
    ),
  );

  const row = (key: Key, value: string) => field(speech, say(key), value);
  const draw = () => {
    const { rtmpServer, streamKey, ffmpeg, whip, watch, studio } = publishing(NODE, server, choice.room);
    const fields: Record<Way, HTMLElement[]> = {
      obs: [row('publish.server', rtmpServer), row('publish.key', streamKey)],
      ffmpeg: [row('publish.command', ffmpeg)],
      whip: server.auth ? [row('publish.url', whip), row('publish.bearer', 'TOKEN')] : [row('publish.url', whip)],
    };
    tabs.forEach((tab, index) => {
      tab.setAttribute('aria-selected', String(ways[index] === choice.way));
    });
    const shown = fields[choice.way];
    body.className = shown.length === 2 ? 'way two' : 'way';
    body.replaceChildren(
      h('dl', { class: 'fields' }, ...shown),
      h('p', { class: 'hint' }, say(`publish.${choice.way}.hint`)),
      ...(server.auth ? [h('p', { class: 'hint' }, say('publish.auth'))] : []),
    );
    link.href = `${watch}${query}`;
    link.textContent = watch;
    studioLink.href = `${studio}${query}`;
  };
  draw();

  return h(
    'section',
    { class: 'publish', 'aria-labelledby': 'publish' },
    h(
      'header',
      {},
      h('div', {}, h('h2', { id: 'publish' }, say('publish.title')), h('p', {}, say('publish.text'))),
      h('label', { class: 'name' }, say('publish.room'), input),
    ),
    h(
      'div',
      { class: 'ways' },
      h('div', { class: 'segments', role: 'tablist', 'aria-label': say('publish.title') }, ...tabs),
    ),
    body,
    h('footer', {}, h('p', {}, say('publish.watch'), ' ', link), h('p', {}, say('publish.studio'), ' ', studioLink)),
  );
}
