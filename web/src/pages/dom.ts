// Builds pages from code. Text is inserted as text and never as markup, because room names come from outside.

type Child = Node | string | null | undefined | false;
type Attributes = Record<string, string | number | boolean | ((event: Event) => void)>;

/** Makes an element: `h('button', { class: 'tool', onclick: … }, 'text')`. Sets or leaves out a boolean attribute. */
export function h<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  attributes: Attributes = {},
  ...children: Child[]
): HTMLElementTagNameMap[Tag] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === 'function') element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, '');
    else if (value !== false) element.setAttribute(name, String(value));
  }
  for (const child of children) if (child) element.append(child);
  return element;
}

const ICONS = {
  people:
    'M9 11a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7ZM2.5 20a6.5 6.5 0 0 1 13 0M16 4.4a3.5 3.5 0 0 1 0 6.2M18.5 14.6a6.5 6.5 0 0 1 3 5.4',
  clock: 'M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18ZM12 7.5V12l3 2',
  advice: 'M12 4 2.8 19.5h18.4L12 4ZM12 10v4.2M12 17v.1',
  copy: 'M9 9h10.5v11H9zM5.5 15H4.5V4H15v1.5',
  check: 'M4.5 12.5 9.5 17.5 19.5 7',
  share: 'M12 14.5V3.5M8 7l4-4 4 4M6 11H4.5v9.5h15V11H18',
  volume: 'M4 9.5v5h3.5L12 18.5v-13L7.5 9.5H4ZM15.5 9a4.2 4.2 0 0 1 0 6M18 6.2a8 8 0 0 1 0 11.6',
  muted: 'M4 9.5v5h3.5L12 18.5v-13L7.5 9.5H4ZM16 9.5l5 5M21 9.5l-5 5',
  fullscreen: 'M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5',
  shrink: 'M9 4v5H4M15 4v5h5M9 20v-5H4M15 20v-5h5',
  pip: 'M3.5 5h17v14h-17zM12 12h6v4.5h-6z',
  gear: 'M12 15a3 3 0 1 0 0-6 3 3 0 0 0 0 6ZM10.2 3.5h3.6l.5 2.4 1.7 1 2.3-.8 1.8 3.1-1.8 1.6v2.4l1.8 1.6-1.8 3.1-2.3-.8-1.7 1-.5 2.4h-3.6l-.5-2.4-1.7-1-2.3.8-1.8-3.1 1.8-1.6v-2.4L3.9 9.2l1.8-3.1 2.3.8 1.7-1z',
  chart: 'M4 20V11M10 20V4M16 20v-6M21 20H3',
  antenna:
    'M12 13a1.6 1.6 0 1 0 0-3.2 1.6 1.6 0 0 0 0 3.2ZM12 13v8M8.2 15.2a5.3 5.3 0 0 1 0-7.6M15.8 7.6a5.3 5.3 0 0 1 0 7.6M5.2 18.2a9.6 9.6 0 0 1 0-13.6M18.8 4.6a9.6 9.6 0 0 1 0 13.6',
  show: 'M2.5 12s3.5-6.5 9.5-6.5 9.5 6.5 9.5 6.5-3.5 6.5-9.5 6.5S2.5 12 2.5 12ZM12 14.8a2.8 2.8 0 1 0 0-5.6 2.8 2.8 0 0 0 0 5.6Z',
  hide: 'M5.5 7.3C3.5 9.1 2.5 12 2.5 12s3.5 6.5 9.5 6.5c1.7 0 3.2-.5 4.5-1.2M9.8 5.8c.7-.2 1.4-.3 2.2-.3 6 0 9.5 6.5 9.5 6.5s-.7 1.4-2.1 2.9M4 4l16 16',
  forward: 'M5 12h13M13 7l5 5-5 5',
  broken: 'M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18ZM12 7.5v5.5M12 16.4v.1',
} as const;

export type IconName = keyof typeof ICONS;

export function icon(name: IconName): SVGSVGElement {
  return drawing(ICONS[name]);
}

/** Makes an icon: one stroked path on a field of 24 by 24. */
export function drawing(path: string): SVGSVGElement {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  svg.setAttribute('viewBox', '0 0 24 24');
  svg.setAttribute('class', 'icon');
  svg.setAttribute('aria-hidden', 'true');
  const element = document.createElementNS('http://www.w3.org/2000/svg', 'path');
  element.setAttribute('d', path);
  svg.append(element);
  return svg;
}
