// Draws each layout as a small picture, with the host's place filled and the other places outlined.

import type { Speech } from '../i18n/language';
import { roomSay } from '../i18n/rooms';
import { LAYOUTS, type LayoutName, type Room } from '../player';
import { h } from './dom';
import { attempt } from './room_parts';

type Box = [x: number, y: number, width: number, height: number];

const PICTOGRAMS: Record<LayoutName, Box[]> = {
  solo: [[1, 1, 30, 16]],
  'side-by-side': [
    [1, 3, 14.5, 12],
    [16.5, 3, 14.5, 12],
  ],
  grid: [
    [1, 1, 14.5, 7.5],
    [16.5, 1, 14.5, 7.5],
    [1, 9.5, 14.5, 7.5],
    [16.5, 9.5, 14.5, 7.5],
  ],
  'picture-in-picture': [
    [1, 1, 30, 16],
    [20, 9.5, 9.5, 6],
  ],
  'host-and-strip': [
    [1, 1, 22, 16],
    [24, 1, 7, 4.7],
    [24, 6.7, 7, 4.7],
    [24, 12.4, 7, 4.6],
  ],
};

export function layouts(speech: Speech, room: Room): { element: HTMLElement; draw: () => void } {
  const say = roomSay(speech);
  const buttons = LAYOUTS.map((kind) =>
    h(
      'button',
      {
        type: 'button',
        class: 'layout',
        'aria-label': say(`layout.${kind}`),
        title: say(`layout.${kind}`),
        onclick: () => attempt(say, room.command({ kind: 'set-layout', layout: { kind } })),
      },
      pictogram(PICTOGRAMS[kind]),
    ),
  );
  const element = h('div', { class: 'layouts', role: 'group', 'aria-label': say('look.layout') }, ...buttons);
  const draw = () => {
    LAYOUTS.forEach((kind, index) => {
      buttons[index]?.setAttribute('aria-pressed', String(room.state.program.layout?.kind === kind));
    });
  };
  return { element, draw };
}

function pictogram(boxes: Box[]): SVGSVGElement {
  const space = 'http://www.w3.org/2000/svg';
  const svg = document.createElementNS(space, 'svg');
  svg.setAttribute('viewBox', '0 0 32 18');
  svg.setAttribute('aria-hidden', 'true');
  boxes.forEach(([x, y, width, height], index) => {
    const box = document.createElementNS(space, 'rect');
    for (const [name, value] of Object.entries({ x, y, width, height, rx: 1.5 })) box.setAttribute(name, String(value));
    box.setAttribute('class', index === 0 ? 'host' : 'guest');
    svg.append(box);
  });
  return svg;
}
