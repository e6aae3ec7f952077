// Makes the card of one live room for the home page.

import { pageOf } from '../api/node';
import { bitRate, codecName, type Participant, type Room, viewerCount } from '../api/room';
import type { Speech } from '../i18n/language';
import { h, icon } from './dom';

export function roomCard(speech: Speech, room: Room, now: number, query: string): HTMLElement {
  const { say } = speech;
  const interrupted = !room.live && room.participants.length > 0;
  const host = room.participants[0];
  const watch = pageOf('watch', room.name, query);
  return h(
    'li',
    { class: 'room' },
    h(
      'header',
      {},
      h('h3', {}, h('a', { href: watch, 'aria-label': say('home.watch', { room: room.name }) }, room.name)),
      h(
        'span',
        { class: interrupted ? 'chip interrupted' : 'chip live' },
        say(interrupted ? 'card.interrupted' : 'card.live'),
      ),
    ),
    host &&
      h('div', { class: 'facts' }, h('strong', {}, videoFacts(speech, host)), h('span', {}, otherFacts(speech, host))),
    advice(speech, room),
    h(
      'footer',
      {},
      h('span', {}, icon('people'), speech.count('card.viewers.one', 'card.viewers.many', viewerCount(room))),
      room.started_at && uptime(speech, now - Date.parse(room.started_at)),
      h('span', { class: 'go', 'aria-hidden': 'true' }, say('home.go'), icon('forward')),
    ),
  );
}

function uptime(speech: Speech, ms: number): HTMLElement {
  const time = speech.duration(ms);
  return h('span', { title: speech.say('card.uptime', { time }) }, icon('clock'), time);
}

/** Returns resolution, frame rate and codec, or says that there is no video. */
export function videoFacts(speech: Speech, { video }: Participant): string {
  if (!video) return speech.say('card.no_video');
  const codec = [codecName(video.codec), video.profile].filter(Boolean).join(' ');
  const fps = video.fps ? `${Math.round(video.fps * 10) / 10} fps` : '';
  return row([`${video.width}×${video.height}`, fps, codec]);
}

/** Returns bit rate, audio format and the publisher's protocol. */
export function otherFacts(speech: Speech, { video, audio, protocol }: Participant): string {
  const channels =
    audio?.channels === 1 ? speech.say('card.mono') : audio?.channels === 2 ? speech.say('card.stereo') : '';
  const sound = audio
    ? [codecName(audio.codec), `${audio.sample_rate / 1000} kHz`, channels].filter(Boolean).join(' ')
    : '';
  return row([video?.bitrate_bps ? bitRate(video.bitrate_bps) : '', sound, protocol.toUpperCase()]);
}

/** Lets the line break only between facts, never inside one. */
function row(facts: string[]): string {
  return facts
    .filter(Boolean)
    .map((fact) => fact.replaceAll(' ', '\u00a0'))
    .join(' · ');
}

function advice(speech: Speech, room: Room): HTMLElement | null {
  const given = room.participants.flatMap((participant) => participant.advice);
  const bFrames = room.participants.some(({ video }) => video?.b_frames);
  const first = given[0] ?? (bFrames ? { code: 'b_frames', message: '', setting: null } : null);
  if (!first) return null;
  // The node's advice is in English. The advice on B-frames, which most OBS users get, is translated here.
  const message = first.code === 'b_frames' ? speech.say('card.b_frames') : first.message;
  const text = h('span', {}, message);
  if (first.setting) text.append(' ', h('code', {}, first.setting));
  return h('div', { class: 'advice', role: 'note', 'aria-label': speech.say('card.advice') }, icon('advice'), text);
}
