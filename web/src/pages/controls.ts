// Shows the bar over the video: audio, quality, picture in picture, full screen. It hides when the pointer does not move, and
// stays reachable by keyboard. Keys: m audio, f full screen, p picture in picture.

import type { Speech } from '../i18n/language';
import { label } from '../i18n/language';
import type { Player } from '../player';
import { h, type IconName, icon } from './dom';
import { qualityMenu } from './quality_menu';

const IDLE_MS = 3000;

interface FullscreenVideo extends HTMLVideoElement {
  webkitEnterFullscreen?(): void; // iPhones allow full screen only for the video element.
}

export function controls(
  speech: Speech,
  player: Player,
  stage: HTMLElement,
): { elements: HTMLElement[]; close: () => void } {
  const { say } = speech;
  const life = new AbortController();
  const { signal } = life;
  let idle: ReturnType<typeof setTimeout> | undefined;

  const tool = (name: string, iconName: IconName, onclick: () => void) => {
    const button = h('button', { type: 'button', class: 'tool', onclick }, icon(iconName));
    label(button, name);
    return button;
  };

  const toggleSound = () => {
    if (player.muted && player.volume === 0) player.volume = 1;
    player.muted = !player.muted;
  };
  const mute = tool(say('watch.unmute'), 'muted', toggleSound);
  const volume = h('input', {
    type: 'range',
    min: 0,
    max: 1,
    step: 0.05,
    'aria-label': say('watch.volume'),
    oninput: () => {
      player.volume = Number(volume.value);
      player.muted = player.volume === 0;
    },
  });
  const sound = h(
    'button',
    { type: 'button', class: 'button sound', onclick: () => player.unmute() },
    icon('muted'),
    say('watch.sound'),
  );
  const pip = tool(say('watch.pip'), 'pip', () => void togglePip());
  const fullscreen = tool(say('watch.fullscreen'), 'fullscreen', () => void toggleFullscreen());
  pip.hidden = !document.pictureInPictureEnabled;

  const quality = qualityMenu(speech, player);
  const end = h('span', { class: 'end' });
  const bar = h('div', { class: 'controls' }, mute, volume, end, ...quality.elements, pip, fullscreen);

  const togglePip = async () => {
    if (document.pictureInPictureElement) await document.exitPictureInPicture().catch(() => {});
    else await player.video.requestPictureInPicture().catch(() => {}); // Fails before the first frame.
  };
  const toggleFullscreen = async () => {
    if (document.fullscreenElement) await document.exitFullscreen();
    else if (stage.requestFullscreen) await stage.requestFullscreen().catch(() => {});
    else (player.video as FullscreenVideo).webkitEnterFullscreen?.();
  };

  const draw = () => {
    const silent = player.muted || player.volume === 0;
    mute.replaceChildren(icon(silent ? 'muted' : 'volume'));
    label(mute, say(silent ? 'watch.unmute' : 'watch.mute'));
    volume.value = String(player.muted ? 0 : player.volume);
    sound.hidden = !player.muted || soundWasChosen || player.state !== 'playing';
    const full = document.fullscreenElement === stage;
    bar.hidden = player.transport === 'none' && !full;
    fullscreen.replaceChildren(icon(full ? 'shrink' : 'fullscreen'));
    label(fullscreen, say(full ? 'watch.fullscreen_exit' : 'watch.fullscreen'));
  };

  const wake = () => {
    stage.classList.remove('idle');
    clearTimeout(idle);
    idle = setTimeout(() => stage.classList.toggle('idle', player.state === 'playing'), IDLE_MS);
  };
  const onKey = (event: KeyboardEvent) => {
    const typing = event.target instanceof HTMLElement && event.target.closest('input, textarea, select');
    if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
    const action = { m: toggleSound, f: toggleFullscreen, p: togglePip }[event.key];
    if (action) void action();
  };

  for (const name of ['pointermove', 'pointerdown', 'focusin'] as const) stage.addEventListener(name, wake, { signal });
  stage.addEventListener('dblclick', (event) => event.target instanceof HTMLVideoElement && void toggleFullscreen(), {
    signal,
  });
  document.addEventListener('keydown', onKey, { signal });
  document.addEventListener('fullscreenchange', draw, { signal });
  const off = [
    player.on('state', draw),
    player.on('transport', draw),
    player.on('sound', ({ muted, blocked }) => {
      // A viewer who has used the button knows where it is. If the browser refused audio, the viewer may not.
      soundWasChosen = !blocked && (soundWasChosen || !muted);
      draw();
    }),
  ];
  draw();
  wake();

  return {
    elements: [sound, bar],
    close: () => {
      clearTimeout(idle);
      life.abort();
      quality.close();
      for (const stop of off) stop();
    },
  };
}

let soundWasChosen = false; // Outside the function, so that it survives a change of language.
