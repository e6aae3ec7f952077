// Shows the host's own source: camera or screen of this browser by WHIP, or the stream of an encoder with advice about
// it.

import { Api } from '../api/api';
import { NODE } from '../api/node';
import { publishing } from '../api/publish';
import type { Room as ApiRoom, Participant, Server } from '../api/room';
import type { Speech } from '../i18n/language';
import { roomSay } from '../i18n/rooms';
import { Endpoint, type Problem, stopTracks, WhipSession } from '../player';
import { announce } from './clipboard';
import { type DevicePicker, devicePicker, watchLevel } from './device_picker';
import { h } from './dom';
import { field } from './field';
import { otherFacts, videoFacts } from './room_card';
import { iconButton, sign } from './room_parts';

const REFRESH_MS = 3000;

/** Holds the broadcast of this browser. It survives a change of language. */
const broadcast: { session: WhipSession | null; stream: MediaStream | null; connected: boolean; failure: string } = {
  session: null,
  stream: null,
  connected: false,
  failure: '',
};

export function studioSource(
  speech: Speech,
  address: { room: string; token: string | null },
): { element: HTMLElement; close: () => void } {
  const say = roomSay(speech);
  const api = new Api(address.token);
  const body = h('div', { class: 'source-body' });
  const how = h('dl', { class: 'fields' });
  const element = h(
    'section',
    { class: 'card own-source', 'data-part': 'publish', 'aria-label': say('live.title') },
    h('header', {}, h('h2', {}, say('live.title'))),
    body,
    h('details', {}, h('summary', {}, say('live.how')), how),
  );
  let picker: DevicePicker | null = null;
  let level: { stop: () => void } | null = null;
  let host: Participant | null = null;
  let drawn = '';
  let closed = false;

  const draw = () => {
    const { session, stream, connected, failure } = broadcast;
    const state = session ? 'live' : picker ? 'picking' : host ? 'external' : 'idle';
    const tracks = stream?.getTracks().map(({ enabled }) => enabled);
    const key = JSON.stringify([state, connected, failure, tracks, state === 'external' && host]);
    if (key === drawn) return;
    drawn = key;
    level?.stop();
    level = null;
    if (state === 'live') body.replaceChildren(...live());
    else if (state === 'picking') body.replaceChildren(...picking());
    else if (state === 'external') body.replaceChildren(...external());
    else body.replaceChildren(...idle());
  };
  const failureLine = () => broadcast.failure && h('p', { class: 'banner', role: 'alert' }, broadcast.failure);

  const idle = () => [
    failureLine() || h('p', { class: 'soft' }, say('live.text')),
    h('button', { type: 'button', class: 'button primary', onclick: pick }, sign('camera'), say('live.start')),
  ];
  const pick = () => {
    const go = h(
      'button',
      { type: 'button', class: 'button primary', disabled: true, onclick: start },
      say('live.start'),
    );
    picker = devicePicker(say, (stream) => {
      go.disabled = !stream?.getTracks().length;
    });
    pickingParts = [
      picker.preview,
      picker.fields,
      h(
        'div',
        { class: 'buttons' },
        h('button', { type: 'button', class: 'button', onclick: cancel }, say('devices.cancel')),
        go,
      ),
    ];
    broadcast.failure = '';
    draw();
    void picker.open();
  };
  let pickingParts: HTMLElement[] = [];
  const picking = () => pickingParts;
  const cancel = () => {
    picker?.close();
    picker = null;
    draw();
  };
  const start = () => {
    const stream = picker?.take() ?? null;
    cancel();
    if (!stream) return;
    const session = new WhipSession(stream, {
      connected: () => {
        broadcast.connected = true;
        announce(say('live.live'));
        draw();
      },
      refused: ({ detail, title }: Problem) => stop(say('live.failed', { detail: detail || title })),
      lost: () => stop(say('live.lost')),
    });
    Object.assign(broadcast, { session, stream, connected: false, failure: '' });
    // The browser's own button can end a shared screen too.
    for (const track of stream.getVideoTracks())
      track.addEventListener('ended', () => broadcast.stream === stream && stop(''));
    void session.open(new Endpoint(NODE.href, address.room, address.token ?? undefined));
    draw();
  };
  const stop = (failure: string) => {
    broadcast.session?.close();
    host = null; // The node may still list this broadcast, which has ended.
    stopTracks(broadcast.stream);
    Object.assign(broadcast, { session: null, stream: null, connected: false, failure });
    draw();
  };
  const live = () => {
    const { stream, connected } = broadcast;
    const video = h('video', { autoplay: true, playsinline: true });
    video.muted = true;
    video.srcObject = stream;
    const camera = stream?.getVideoTracks()[0];
    video.classList.toggle('mirror', !camera?.getSettings().displaySurface);
    video.hidden = !camera?.enabled;
    const toggle = (kind: 'audio' | 'video') => {
      for (const track of stream?.getTracks() ?? []) if (track.kind === kind) track.enabled = !track.enabled;
      draw();
    };
    const tool = (kind: 'audio' | 'video') => {
      const track = stream?.getTracks().find((one) => one.kind === kind);
      const on = track?.enabled === true;
      const [off, onName, drawing] =
        kind === 'audio'
          ? (['mic.mute', 'mic.unmute', 'mic'] as const)
          : (['mic.dark', 'mic.bright', 'camera'] as const);
      const button = iconButton(say(on ? off : onName), on ? drawing : `${drawing}_off`, () => toggle(kind), 'round');
      button.setAttribute('aria-pressed', String(!on));
      button.disabled = !track;
      return button;
    };
    const meter = h('span', { class: 'meter', 'aria-hidden': 'true' }, h('i'));
    if (stream) level = watchLevel(stream, (part) => meter.style.setProperty('--level', String(part)));
    return [
      h('div', { class: 'preview' }, video, h('div', { class: 'preview-bar' }, tool('audio'), tool('video'), meter)),
      h(
        'div',
        { class: 'buttons' },
        h(
          'span',
          { class: connected ? 'chip live' : 'chip', role: 'status' },
          say(connected ? 'studio.on_air' : 'live.starting'),
        ),
        h('button', { type: 'button', class: 'button danger', onclick: () => stop('') }, say('live.stop')),
      ),
    ];
  };
  const external = () => {
    if (!host) return [];
    const protocol = host.protocol.toUpperCase();
    const shown = {
      connecting: { chip: 'chip', text: say('live.starting') },
      live: { chip: 'chip live', text: say('live.external', { protocol }) },
      interrupted: { chip: 'chip interrupted', text: say('live.interrupted') },
    }[host.state];
    return [
      h(
        'div',
        { class: 'facts' },
        h('span', { class: shown.chip }, shown.text),
        h('strong', {}, videoFacts(speech, host)),
        h('span', { class: 'soft' }, otherFacts(speech, host)),
      ),
      ...host.advice.map(({ message, code, setting }) =>
        h(
          'p',
          { class: 'banner', role: 'note', 'aria-label': say('live.advice') },
          code === 'b_frames' ? speech.say('card.b_frames') : message,
          setting && h('small', {}, setting),
        ),
      ),
    ];
  };

  const refresh = async () => {
    const room: ApiRoom | null = await api.room(address.room).catch(() => null);
    if (closed) return;
    host = room?.participants?.find(({ name }) => name === 'host') ?? null;
    draw();
  };
  const timer = setInterval(() => document.hidden || void refresh(), REFRESH_MS);
  void refresh();
  void api
    .server()
    .catch(
      (): Pick<Server, 'rtmp_port' | 'auth' | 'rtmp_app'> => ({
        rtmp_port: 1935,
        rtmp_app: 'live',
        auth: address.token !== null,
      }),
    )
    .then((server) => {
      const { rtmpServer, streamKey, whip } = publishing(NODE, server, address.room);
      // This page's own token may publish as host.
      const key = address.token ? streamKey.replace('TOKEN', address.token) : streamKey;
      // A server without plain RTMP has port 0.
      const rtmp = [
        field(speech, say('live.server'), rtmpServer),
        field(speech, say('live.key'), key, address.token ?? ''),
      ];
      how.replaceChildren(...(server.rtmp_port === 0 ? [] : rtmp), field(speech, say('live.whip'), whip));
    });
  draw();
  return {
    element,
    close: () => {
      closed = true;
      clearInterval(timer);
      level?.stop();
      picker?.close();
    },
  };
}
