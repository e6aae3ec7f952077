// Edits each source's audio and video: gain, noise suppression, automatic gain, fit, green screen.

import type { Speech } from '../i18n/language';
import { roomSay } from '../i18n/rooms';
import type { ChromaKey, Room, RoomSource, SourceSettings } from '../player';
import { h } from './dom';
import { attempt, checkbox, mark } from './room_parts';

const GREEN: ChromaKey = { colour: '#00b140', similarity: 0.3, blend: 0.1 };

export function studioSources(speech: Speech, room: Room): { element: HTMLElement; draw: () => void } {
  const say = roomSay(speech);
  const element = h('ul', { class: 'rows sources' });
  let drawn = '';

  const draw = () => {
    const { sources, seats, host } = room.state;
    const nameOf = (participant: string) =>
      participant === 'host'
        ? (host?.name ?? say('room.host'))
        : (seats.find((seat) => seat.participant === participant)?.name ?? participant);
    const hostFirst = (source: RoomSource) => (source.participant === 'host' ? 0 : 1);
    const up = sources.filter((source) => source.up).sort((a, b) => hostFirst(a) - hostFirst(b));
    const key = JSON.stringify([
      up.map(({ speaking: _, ...source }) => source),
      up.map(({ participant }) => nameOf(participant)),
      room.state.program.source_settings,
    ]);
    // A slider must not be replaced while it is dragged.
    if (key === drawn || element.querySelector('input[type="range"]:active')) return;
    drawn = key;
    element.replaceChildren(
      ...(up.length === 0
        ? [h('li', { class: 'nothing' }, say('sources.none'))]
        : up.map((source) => row(source, nameOf(source.participant)))),
    );
  };

  const row = (source: RoomSource, name: string) => {
    const { participant } = source;
    const settings: SourceSettings = room.state.program.source_settings?.[participant] ?? {};
    const set = (changed: SourceSettings) =>
      attempt(say, room.command({ kind: 'set-source', participant, ...changed }));
    const figure = h('output', { class: 'soft' });
    const gain = h('input', {
      type: 'range',
      min: -30,
      max: 12,
      step: 1,
      value: settings.gain_db ?? 0,
      'aria-label': say('sources.gain', { name }),
      oninput: () => show(),
      onchange: () => set({ gain_db: Number(gain.value) }),
    });
    const show = () => {
      const value = Number(gain.value);
      figure.textContent = `${value > 0 ? '+' : ''}${value} dB`;
    };
    show();
    const key = settings.chroma_key ?? null;
    const note = !source.video ? say('sources.audio_only') : !source.audio ? say('sources.video_only') : '';
    return h(
      'li',
      { class: 'source' },
      h(
        'div',
        { class: 'row' },
        mark(name, participant === 'host' ? (room.state.host?.person ?? participant) : participant),
        h('div', { class: 'who' }, h('b', {}, name), note && h('small', {}, note)),
        h('div', { class: 'gain' }, gain, figure),
      ),
      h(
        'div',
        { class: 'switches' },
        checkbox(say('sources.denoise'), settings.denoise ?? false, (denoise) => set({ denoise })),
        checkbox(say('sources.auto_gain'), settings.auto_gain ?? false, (on) => set({ auto_gain: on })),
        checkbox(say('sources.fit'), settings.fit === 'contain', (whole) => set({ fit: whole ? 'contain' : 'crop' })),
        checkbox(say('sources.chroma'), key !== null, (on) => set({ chroma_key: on ? GREEN : null })),
      ),
      key && chroma(key, (changed) => set({ chroma_key: { ...key, ...changed } })),
    );
  };
  const chroma = (key: ChromaKey, set: (changed: Partial<ChromaKey>) => void) => {
    const colour = h('input', {
      type: 'color',
      value: key.colour.slice(0, 7),
      onchange: () => set({ colour: colour.value }),
    });
    const part = (name: 'similarity' | 'blend') => {
      const input = h('input', {
        type: 'range',
        min: 0,
        max: 1,
        step: 0.01,
        value: key[name],
        onchange: () => set({ [name]: Number(input.value) }),
      });
      return h('label', {}, say(`sources.chroma_${name}`), input);
    };
    return h(
      'div',
      { class: 'chroma' },
      h('label', { class: 'colour' }, colour, say('sources.chroma_colour')),
      part('similarity'),
      part('blend'),
    );
  };
  return { element, draw };
}
