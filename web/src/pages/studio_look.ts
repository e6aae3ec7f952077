// Edits the look of the program: background, labels, borders, and overlays, which are text cards and logos.

import type { Speech } from '../i18n/language';
import { roomSay } from '../i18n/rooms';
import type { ImageOverlay, Overlay, Place, Room, TextOverlay } from '../player';
import { h } from './dom';
import { attempt, checkbox, iconButton, mark, sign, toast } from './room_parts';

const IMAGE_LIMIT = 512 * 1024;
const MARGIN = 0.04;
const CORNERS = ['bottom-left', 'bottom-right', 'top-left', 'top-right', 'centre'] as const;
type Corner = (typeof CORNERS)[number];

/** Returns a place of this size in a corner of the canvas. */
export function placeIn(corner: Corner, width: number, height: number): Place {
  const right = 1 - width - MARGIN;
  const bottom = 1 - height - MARGIN;
  const x = corner === 'centre' ? (1 - width) / 2 : corner.endsWith('left') ? MARGIN : right;
  const y = corner === 'centre' ? (1 - height) / 2 : corner.startsWith('top') ? MARGIN : bottom;
  return { x: round(x), y: round(y), width: round(width), height: round(height) };
}

export function cornerOf({ x, y, width, height }: Place): Corner {
  const across = x + width / 2;
  const down = y + height / 2;
  if (Math.abs(across - 0.5) < 0.05 && Math.abs(down - 0.5) < 0.05) return 'centre';
  return `${down < 0.5 ? 'top' : 'bottom'}-${across < 0.5 ? 'left' : 'right'}`;
}

const round = (value: number) => Math.round(value * 1000) / 1000;

export function studioLook(speech: Speech, room: Room): { element: HTMLElement; draw: () => void } {
  const say = roomSay(speech);
  const send = (command: Parameters<Room['command']>[0]) => attempt(say, room.command(command));
  const put = (overlay: Overlay) => {
    const others = room.state.program.overlays.filter(({ id }) => id !== overlay.id);
    send({ kind: 'set-overlays', overlays: [...others, overlay] });
  };
  const thumb = (path: string) => {
    const image = h('img', { alt: '', class: 'thumb' });
    const show = (url: string) => {
      image.onload = image.onerror = () => URL.revokeObjectURL(url); // Only a `blob:` URL holds something.
      image.src = url;
    };
    room.picture(path).then(show, () => {}); // Without the picture the row is still there.
    return image;
  };
  const background = h('input', {
    type: 'color',
    onchange: () => send({ kind: 'set-look', background: background.value }),
  });
  const labels = checkbox(say('look.labels'), false, (on) => send({ kind: 'set-look', labels: on }));
  const borders = checkbox(say('look.borders'), false, (on) => send({ kind: 'set-look', borders: on }));
  const list = h('ul', { class: 'rows' });
  const editor = h('div', { class: 'editor', hidden: true });
  const file = h('input', {
    type: 'file',
    accept: 'image/png,image/jpeg',
    class: 'visually-hidden',
    'aria-label': say('look.add_logo'),
    onchange: () => void addLogo(),
  });
  const element = h(
    'div',
    { class: 'columns' },
    h(
      'section',
      { class: 'look' },
      h('h3', {}, say('look.tab')),
      h('label', { class: 'colour' }, background, say('look.background')),
      labels,
      borders,
    ),
    h(
      'section',
      {},
      h(
        'h3',
        {},
        say('look.overlays'),
        h('span', { class: 'end' }),
        h(
          'button',
          { type: 'button', class: 'button slim', onclick: () => editCard(null) },
          sign('text'),
          say('look.add_card'),
        ),
        h(
          'button',
          { type: 'button', class: 'button slim', onclick: () => file.click() },
          sign('image'),
          say('look.add_logo'),
        ),
        file,
      ),
      list,
      editor,
    ),
  );

  let drawn = '';
  const draw = () => {
    const { program } = room.state;
    const key = JSON.stringify([program.overlays, program.background, program.labels, program.borders]);
    if (key === drawn) return;
    drawn = key;
    if (document.activeElement !== background) background.value = program.background.slice(0, 7);
    check(labels, program.labels);
    check(borders, program.borders ?? false);
    list.replaceChildren(
      ...(program.overlays.length === 0
        ? [h('li', { class: 'nothing' }, say('look.none'))]
        : program.overlays.map((overlay) => {
            const title = overlay.kind === 'text' ? overlay.title || say('look.card') : say('look.logo');
            const picture = overlay.kind === 'image' ? thumb(overlay.image) : mark('T', overlay.id);
            const edit = () => (overlay.kind === 'text' ? editCard(overlay) : editLogo(overlay));
            const remove = () =>
              send({ kind: 'set-overlays', overlays: program.overlays.filter(({ id }) => id !== overlay.id) });
            return h(
              'li',
              { class: 'row' },
              picture,
              h('div', { class: 'who' }, h('b', {}, title), h('small', {}, say(`look.${cornerOf(overlay.place)}`))),
              iconButton(`${say('look.edit')}: ${title}`, 'edit', edit),
              iconButton(`${say('look.remove')}: ${title}`, 'close', remove),
            );
          })),
    );
  };

  const labelled = (text: string, input: HTMLElement) => h('label', {}, text, input);
  const close = () => {
    editor.hidden = true;
    editor.replaceChildren();
  };
  const where = (place: Place | null, otherwise: Corner) => {
    const select = h('select', {}, ...CORNERS.map((corner) => h('option', { value: corner }, say(`look.${corner}`))));
    select.value = place ? cornerOf(place) : otherwise;
    return select;
  };
  const slider = (value: number, min: number, max: number) =>
    h('input', { type: 'range', min, max, step: 0.01, value });
  const edit = (title: string, fresh: boolean, fields: HTMLElement[], save: () => void) => {
    const form = h(
      'form',
      { class: 'fields-grid', 'aria-label': title },
      ...fields,
      h(
        'div',
        { class: 'buttons' },
        h('button', { type: 'button', class: 'button slim', onclick: close }, say('devices.cancel')),
        h('button', { class: 'button primary slim' }, say(fresh ? 'look.show' : 'look.update')),
      ),
    );
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      save();
      close();
    });
    editor.replaceChildren(form);
    editor.hidden = false;
    form.querySelector('input')?.focus();
  };
  const editCard = (card: TextOverlay | null) => {
    const heading = h('input', {
      class: 'text',
      maxlength: 60,
      required: true,
      value: card?.title ?? say('look.example_heading'),
    });
    const lines = h(
      'textarea',
      { class: 'text', rows: 2, maxlength: 300 },
      card?.lines.join('\n') ?? say('look.example_line'),
    );
    const colour = h('input', { type: 'color', value: (card?.colour ?? '#ffffff').slice(0, 7) });
    const ground = h('input', { type: 'color', value: (card?.background ?? '#000000b0').slice(0, 7) });
    const opacity = slider(card?.opacity ?? 1, 0.2, 1);
    const size = slider(card?.place.width ?? 0.4, 0.2, 0.9);
    const corner = where(card?.place ?? null, 'bottom-left');
    const fields = [
      h('label', { class: 'wide-field' }, say('look.heading'), heading),
      h('label', { class: 'wide-field' }, say('look.lines'), lines),
      labelled(say('look.position'), corner),
      labelled(say('look.size'), size),
      labelled(say('look.opacity'), opacity),
      h('label', { class: 'colour' }, colour, say('look.colour')),
      h('label', { class: 'colour' }, ground, say('look.card_background')),
    ];
    edit(say('look.card'), card === null, fields, () => {
      const text = lines.value
        .split('\n')
        .map((line) => line.trim())
        .filter(Boolean)
        .slice(0, 6);
      const width = Number(size.value);
      put({
        id: card?.id ?? freshId('card'),
        kind: 'text',
        place: placeIn(corner.value as Corner, width, Math.min(0.9, 0.1 + 0.055 * text.length)),
        z: card?.z ?? 10,
        opacity: Number(opacity.value),
        title: heading.value.trim(),
        lines: text,
        colour: colour.value,
        background: `${ground.value}b0`,
      });
    });
  };
  const editLogo = (logo: ImageOverlay) => {
    const size = slider(logo.place.width, 0.05, 0.6);
    const opacity = slider(logo.opacity, 0.2, 1);
    const corner = where(logo.place, 'top-right');
    const fields = [
      labelled(say('look.position'), corner),
      labelled(say('look.size'), size),
      labelled(say('look.opacity'), opacity),
    ];
    edit(say('look.logo'), false, fields, () => {
      const width = Number(size.value);
      const height = (logo.place.height / logo.place.width) * width;
      put({ ...logo, opacity: Number(opacity.value), place: placeIn(corner.value as Corner, width, height) });
    });
  };
  const addLogo = async () => {
    const chosen = file.files?.[0];
    file.value = '';
    if (!chosen) return;
    if (!/^image\/(png|jpeg)$/.test(chosen.type)) return toast(say('look.not_image'));
    if (chosen.size > IMAGE_LIMIT) return toast(say('look.too_big'));
    try {
      const bitmap = await createImageBitmap(chosen);
      const width = 0.14;
      const height = Math.min(0.5, (width * 16 * bitmap.height) / (9 * bitmap.width));
      bitmap.close();
      const image = await dataUrl(chosen);
      put({ id: freshId('logo'), kind: 'image', place: placeIn('top-right', width, height), z: 11, opacity: 1, image });
    } catch {
      toast(say('look.not_image'));
    }
  };
  const freshId = (kind: string) => {
    const taken = new Set(room.state.program.overlays.map(({ id }) => id));
    let number = 1;
    while (taken.has(`${kind}-${number}`)) number++;
    return `${kind}-${number}`;
  };
  return { element, draw };
}

function check(label: HTMLLabelElement, checked: boolean): void {
  const input = label.querySelector('input');
  if (input) input.checked = checked;
}

function dataUrl(file: File): Promise<string> {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(String(reader.result));
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });
}
