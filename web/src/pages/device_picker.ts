// Lets a person choose camera and microphone before they are used, with a preview and a level. The mic dialogue and the
// studio share it.
//
// The picker owns the stream until `take` hands it over. `close` stops a stream that was not taken.

import type { RoomSay } from '../i18n/rooms';
import { openDevices, openScreen, RequestError, stopTracks } from '../player';
import { h } from './dom';
import { iconButton, sign } from './room_parts';

const LEVEL_MS = 60;

export interface DevicePicker {
  preview: HTMLElement;
  fields: HTMLElement;
  /**
   * Asks the browser for the devices. If it refuses, this still resolves, `stream` is null and the preview says why.
   */
  open(): Promise<void>;
  readonly stream: MediaStream | null;
  take(): MediaStream | null;
  close(): void;
}

export function devicePicker(say: RoomSay, onChange: (stream: MediaStream | null) => void): DevicePicker {
  let stream: MediaStream | null = null;
  let screen = false;
  let level: { stop: () => void } | null = null;
  let closed = false;
  const chosen: { audio: boolean | string; video: boolean | string } = { audio: true, video: true };

  const video = h('video', { autoplay: true, playsinline: true, muted: true, class: 'mirror' });
  video.muted = true;
  const words = h('p', { class: 'words', role: 'status' }, say('devices.waiting'));
  const meter = h(
    'span',
    { class: 'meter', role: 'meter', 'aria-label': say('devices.level'), 'aria-valuemin': 0, 'aria-valuemax': 100 },
    h('i'),
  );
  const micButton = iconButton('', 'mic', () => toggle('audio'), 'round');
  const cameraButton = iconButton('', 'camera', () => toggle('video'), 'round');
  const preview = h(
    'div',
    { class: 'preview' },
    video,
    words,
    h('div', { class: 'preview-bar' }, micButton, cameraButton, meter),
  );
  const cameras = h('select', { onchange: () => choose('video', cameras.value) });
  const microphones = h('select', { onchange: () => choose('audio', microphones.value) });
  const fields = h(
    'div',
    { class: 'device-fields' },
    h('label', {}, say('devices.camera'), cameras),
    h('label', {}, say('devices.microphone'), microphones),
  );

  const choose = (kind: 'audio' | 'video', id: string) => {
    screen = kind === 'video' && id === 'screen';
    if (!screen) chosen[kind] = id === '' ? false : id;
    void open();
  };
  const toggle = (kind: 'audio' | 'video') => {
    const track = stream?.getTracks().find((one) => one.kind === kind);
    if (track) track.enabled = !track.enabled;
    draw();
  };
  const draw = () => {
    const audio = stream?.getAudioTracks()[0];
    const picture = stream?.getVideoTracks()[0];
    for (const [button, track, on, off, drawing] of [
      [micButton, audio, 'mic.unmute', 'mic.mute', 'mic'],
      [cameraButton, picture, 'mic.bright', 'mic.dark', 'camera'],
    ] as const) {
      const isOn = track?.enabled === true;
      const name = say(isOn ? off : on);
      button.replaceChildren(sign(isOn ? drawing : `${drawing}_off`));
      button.setAttribute('aria-label', name);
      button.title = name;
      button.setAttribute('aria-pressed', String(!isOn));
      button.disabled = !track;
    }
    if (stream) words.textContent = picture?.enabled ? '' : say('devices.off');
    video.hidden = !picture?.enabled;
    video.classList.toggle('mirror', !screen);
    onChange(stream);
  };
  const list = async () => {
    const devices = (await navigator.mediaDevices?.enumerateDevices?.()) ?? [];
    for (const [select, kind, track] of [
      [cameras, 'videoinput', stream?.getVideoTracks()[0]],
      [microphones, 'audioinput', stream?.getAudioTracks()[0]],
    ] as const) {
      const options = devices
        .filter((device) => device.kind === kind && device.deviceId)
        .map((device) => h('option', { value: device.deviceId }, device.label || device.deviceId.slice(0, 6)));
      const canShare = kind === 'videoinput' && navigator.mediaDevices?.getDisplayMedia;
      if (canShare) options.push(h('option', { value: 'screen' }, say('devices.screen')));
      select.replaceChildren(...options, h('option', { value: '' }, say('devices.none')));
      select.value = kind === 'videoinput' && screen ? 'screen' : (track?.getSettings().deviceId ?? '');
    }
  };
  const open = async () => {
    words.textContent = say('devices.waiting');
    const before = stream;
    try {
      let next: MediaStream;
      if (screen) {
        const shared = await openScreen();
        const voice =
          chosen.audio === false ? null : await openDevices({ audio: chosen.audio, video: false }).catch(() => null);
        // The microphone is sent. The screen's own audio is sent only without a microphone.
        next = new MediaStream([...shared.getVideoTracks(), ...(voice ?? shared).getAudioTracks()]);
        for (const unused of voice ? shared.getAudioTracks() : []) unused.stop();
      } else if (chosen.audio === false && chosen.video === false) next = new MediaStream();
      else next = await openDevices(chosen);
      if (closed) return stopTracks(next);
      stopTracks(before);
      stream = next;
      video.srcObject = next;
      level?.stop();
      level = watchLevel(next, (part) => {
        meter.style.setProperty('--level', String(part));
        meter.setAttribute('aria-valuenow', String(Math.round(part * 100)));
      });
      draw();
    } catch (error) {
      const code = error instanceof RequestError ? error.problem.code : undefined;
      screen = false;
      if (stream === null) words.textContent = say(`devices.error.${errorName(code)}`);
      draw();
    }
    await list().catch(() => {});
  };
  const close = () => {
    closed = true;
    level?.stop();
    stopTracks(stream);
    stream = null;
    video.srcObject = null;
  };
  draw();
  return {
    preview,
    fields,
    open,
    get stream() {
      return stream;
    },
    take() {
      const taken = stream;
      stream = null;
      level?.stop();
      return taken;
    },
    close,
  };
}

const ERRORS = ['not-allowed', 'not-found', 'in-use', 'insecure', 'no-devices'] as const;

export function errorName(code: string | undefined): (typeof ERRORS)[number] {
  return ERRORS.find((one) => one === code) ?? 'no-devices';
}

/** Reports the level of the microphone, from 0 to 1, several times a second. */
export function watchLevel(stream: MediaStream, onLevel: (part: number) => void): { stop: () => void } {
  if (stream.getAudioTracks().length === 0) {
    onLevel(0);
    return { stop: () => {} };
  }
  const context = new AudioContext();
  const source = context.createMediaStreamSource(stream);
  const analyser = context.createAnalyser();
  analyser.fftSize = 1024;
  source.connect(analyser);
  const samples = new Float32Array(analyser.fftSize);
  const timer = setInterval(() => {
    analyser.getFloatTimeDomainData(samples);
    let sum = 0;
    for (const sample of samples) sum += sample * sample;
    const decibels = 20 * Math.log10(Math.sqrt(sum / samples.length) + 1e-6);
    onLevel(Math.min(1, Math.max(0, (decibels + 60) / 60)));
  }, LEVEL_MS);
  let stopped = false;
  return {
    stop: () => {
      if (stopped) return;
      stopped = true;
      clearInterval(timer);
      void context.close();
    },
  };
}
