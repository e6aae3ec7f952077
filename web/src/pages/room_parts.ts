// Holds small parts that the watch page's room and the studio share: icons, a person's mark, switches, short messages.

import { type RoomSay, refusal } from '../i18n/rooms';
import { RequestError } from '../player';
import { announce } from './clipboard';
import { drawing, h } from './dom';

const DRAWINGS = {
  mic: 'M12 14.5a3 3 0 0 0 3-3v-5a3 3 0 0 0-6 0v5a3 3 0 0 0 3 3ZM6 11.5a6 6 0 0 0 12 0M12 17.5V21',
  mic_off:
    'M9 9.5v2a3 3 0 0 0 4.6 2.5M15 11V6.5a3 3 0 0 0-5.6-1.5M6 11.5a6 6 0 0 0 9.6 4.8M18 11.5c0 .9-.2 1.7-.5 2.4M12 17.5V21M4 4l16 16',
  camera: 'M4 6.5h10.5v11H4zM14.5 10.5 20.5 7v10l-6-3.5',
  camera_off: 'M8 6.5h6.5v6M14.5 17.5H4v-11h1M14.5 10.5 20.5 7v10l-4-2.3M3.5 3.5l17 17',
  screen: 'M3.5 4.5h17v11.5h-17zM9 20h6M12 16v4',
  leave: 'M10 4H5v16h5M14 8l4 4-4 4M18 12H9.5',
  hand: 'M8 13V6.5a1.5 1.5 0 0 1 3 0V11M11 11V5a1.5 1.5 0 0 1 3 0v6M14 11.5V6.5a1.5 1.5 0 0 1 3 0V14a6.5 6.5 0 0 1-6.5 6.5c-3 0-4.3-1.6-5.5-4l-1.6-3.2a1.5 1.5 0 0 1 2.6-1.5L8 14',
  lock: 'M6 11h12v9H6zM8.5 11V7.5a3.5 3.5 0 0 1 7 0V11',
  unlock: 'M6 11h12v9H6zM8.5 11V7.5a3.5 3.5 0 0 1 6.8-1.2',
  plus: 'M12 5v14M5 12h14',
  send: 'M4 12 20 4.5 15.5 20l-4-6.5L4 12ZM11.5 13.5 20 4.5',
  edit: 'M4.5 19.5 5.5 15 16 4.5l3.5 3.5L9 18.5l-4.5 1Z',
  close: 'M6 6l12 12M18 6 6 18',
  star: 'M12 4l2.4 5 5.6.700-4.1 3.8 1.1 5.5-5-2.8-5 2.8 1.1-5.5L4 9.7 9.6 9 12 4Z',
  move: 'M4 8h13M13.5 4.5 17 8l-3.5 3.5M20 16H7M10.5 12.5 7 16l3.5 3.5',
  sliders: 'M4 7h9M17 7h3M15 5v4M4 17h3M11 17h9M9 15v4M4 12h5M13 12h7M11 10v4',
  chat: 'M4 5h16v11H11l-4.5 4v-4H4z',
  scene: 'M3.5 5h17v14h-17zM3.5 13h17M12 13v6',
  bolt: 'M13 3 5 13.5h6L10.5 21 19 10h-6.5L13 3Z',
  person_plus: 'M10 11a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7ZM3.5 20a6.5 6.5 0 0 1 13 0M19 8v6M16 11h6',
  people:
    'M9 11a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7ZM2.5 20a6.5 6.5 0 0 1 13 0M16 4.4a3.5 3.5 0 0 1 0 6.2M18.5 14.6a6.5 6.5 0 0 1 3 5.4',
  image: 'M4 5h16v14H4zM4 16l4.5-4.5 4 4 3-3L20 17M15.5 9.5v.1',
  text: 'M5 6V5h14v1M12 5v14M9 19h6',
  external: 'M13 4.5h6.5V11M19.5 4.5 11 13M16.5 13.5v6h-12v-12h6',
} as const;

export type DrawingName = keyof typeof DRAWINGS;

export function sign(name: DrawingName): SVGSVGElement {
  return drawing(DRAWINGS[name]);
}

/** Makes a round field with a person's initials, in that person's colour. */
export function mark(name: string, person: string = name): HTMLElement {
  const element = h('span', { class: 'mark', 'aria-hidden': 'true' }, initials(name));
  element.style.setProperty('--hue', String(hue(person)));
  return element;
}

export function initials(name: string): string {
  const words = name
    .trim()
    .split(/[\s._-]+/)
    .filter(Boolean);
  const first = [...(words[0] ?? '?')][0] ?? '?';
  const cjk = /[\u3400-\u9fff\uac00-\ud7af\u3040-\u30ff]/.test(first);
  const second = cjk || words.length < 2 ? '' : ([...(words.at(-1) ?? '')][0] ?? '');
  return (first + second).toUpperCase();
}

function hue(text: string): number {
  let sum = 7;
  for (const letter of text) sum = (Math.imul(sum, 31) + (letter.codePointAt(0) ?? 0)) >>> 0;
  return sum % 360;
}

export function iconButton(name: string, drawn: DrawingName, onclick: () => void, kind = ''): HTMLButtonElement {
  return h(
    'button',
    { type: 'button', class: `icon-button ${kind}`.trim(), 'aria-label': name, title: name, onclick },
    sign(drawn),
  );
}

export function checkbox(text: string, checked: boolean, onChange: (checked: boolean) => void): HTMLLabelElement {
  const input = h('input', { type: 'checkbox', role: 'switch', checked, onchange: () => onChange(input.checked) });
  return h(
    'label',
    { class: 'check' },
    input,
    h('span', { class: 'knob', 'aria-hidden': 'true' }),
    h('span', {}, text),
  );
}

let toasting: ReturnType<typeof setTimeout> | undefined;

/** Shows a sentence for a few seconds, and announces it to screen readers. */
export function toast(text: string): void {
  announce(text);
  document.querySelector('.toast')?.remove();
  const element = h('div', { class: 'toast', 'aria-hidden': 'true' }, text);
  document.body.append(element);
  clearTimeout(toasting);
  toasting = setTimeout(() => element.remove(), 1500 + text.length * 50);
}

/** Returns a sentence for an error: the server's reason if it has one. */
export function sentence(say: RoomSay, error: unknown): string {
  if (error instanceof RequestError) return refusal(say, error.problem);
  return error instanceof Error ? error.message : String(error);
}

/** Waits for a command and shows a message if it was refused. */
export function attempt(say: RoomSay, command: Promise<unknown>): void {
  command.catch((error: unknown) => toast(say('studio.problem', { detail: sentence(say, error) })));
}

const NAME = 'onmic.name';

export function storedName(): string {
  try {
    return localStorage.getItem(NAME) ?? '';
  } catch {
    return '';
  }
}

export function storeName(name: string): void {
  try {
    localStorage.setItem(NAME, name);
  } catch {
    // If storage is off, the name is kept until the page closes.
  }
}
