// Shows a viewer's way to the mic as one card: ask, wait, be invited, be on mic, leave. The card shows the state and
// the possible actions.

import { pageOf } from '../api/node';
import type { Speech } from '../i18n/language';
import { refusal, roomSay } from '../i18n/rooms';
import type { MicChange, Player, Room } from '../player';
import { keptQuery } from './address';
import { announce } from './clipboard';
import { h } from './dom';
import { micDialog } from './mic_dialog';
import { attempt, iconButton, sign } from './room_parts';

// The last outcome shown to the person. It survives a change of language.
let outcome: MicChange | null = null;

export function micBar(
  speech: Speech,
  player: Player,
  room: Room,
): { element: HTMLElement; draw: () => void; ask: (seat: number | null) => void; close: () => void } {
  const say = roomSay(speech);
  const element = h('section', { class: 'card micbar', 'aria-label': say('mic.ask') });
  const own = h('video', { class: 'own mirror', autoplay: true, playsinline: true });
  own.muted = true;
  let drawn = '';

  const go = async (how: { seat?: number | null; accept?: boolean; ticket?: boolean }) => {
    const purpose = how.accept || how.ticket ? 'accept' : 'ask';
    const chosen = await micDialog(
      say,
      purpose,
      room.you?.name.startsWith('guest-') ? room.name : (room.you?.name ?? ''),
    );
    if (!chosen) return;
    outcome = null;
    if (room.name !== chosen.name && room.you?.name !== chosen.name) room.rename(chosen.name);
    // The events tell the outcome.
    player
      .goOnMic({ room, stream: chosen.stream, seat: how.seat ?? null, accept: how.accept ?? false })
      .catch(() => {});
  };
  const ask = (seat: number | null) => {
    if (player.mic === 'off') void go({ seat });
  };

  const draw = () => {
    const { state } = room;
    const you = room.you?.person;
    const mic = player.mic;
    const invitation = state.invitations.find(({ person }) => person === you);
    const place = state.requests.findIndex(({ person }) => person === you) + 1;
    const granted = mic === 'off' && room.ticket !== null;
    const seat = room.seat;
    const isHost = you !== undefined && state.host?.person === you;
    const key = JSON.stringify([
      mic,
      invitation?.person,
      place,
      granted,
      seat,
      outcome,
      room.you?.role,
      state.ended,
      isHost,
      enabled(player),
    ]);
    if (key === drawn) return;
    drawn = key;
    element.hidden = room.you === null || room.you.role === 'host' || state.ended;
    const hadFocus = element.contains(document.activeElement);
    element.className = `card micbar ${mic}`;
    if (isHost && mic === 'off') element.replaceChildren(...hosting());
    else if (mic === 'on' || mic === 'leaving') element.replaceChildren(...onMic());
    else if (mic === 'joining') element.replaceChildren(...busy(say('mic.joining')));
    else if (granted) element.replaceChildren(...offered(say('mic.granted'), () => void go({ ticket: true })));
    else if (invitation && mic === 'off') {
      const title = say('mic.invited', { name: state.host?.name ?? say('room.host') });
      element.replaceChildren(
        ...offered(
          title,
          () => void go({ accept: true }),
          () => attempt(say, room.command({ kind: 'decline' })),
        ),
      );
    } else if (mic !== 'off' || place > 0) element.replaceChildren(...waiting(Math.max(place, 1)));
    else element.replaceChildren(...idle());
    if (hadFocus) element.querySelector('button')?.focus();
  };

  const words = (title: string, text: string) =>
    h('div', { class: 'words' }, h('h2', {}, title), text && h('p', {}, text));
  const spinner = () => h('div', { class: 'spinner', 'aria-hidden': 'true' });

  const idle = () => [
    told(),
    h(
      'div',
      { class: 'row' },
      h('div', { class: 'words' }, h('p', {}, say('mic.ask_text'))),
      h('button', { type: 'button', class: 'button primary', onclick: () => ask(null) }, sign('hand'), say('mic.ask')),
    ),
  ];
  const hosting = () => {
    const href = pageOf('studio', room.room, keptQuery(new URL(location.href)));
    const link = h('a', { class: 'button primary', href }, say('mic.open_studio'));
    return [h('div', { class: 'row' }, words(say('mic.host_now'), say('mic.host_text')), link)];
  };
  const waiting = (place: number) => [
    told(),
    h(
      'div',
      { class: 'row' },
      spinner(),
      words(say('mic.raised'), say('mic.waiting', { place })),
      h('button', { type: 'button', class: 'button', onclick: withdraw }, say('mic.withdraw')),
    ),
  ];
  const busy = (text: string) => [h('div', { class: 'row' }, spinner(), words(text, ''))];
  const offered = (title: string, accept: () => void, decline?: () => void) => [
    h(
      'div',
      { class: 'row' },
      words(title, say('mic.invited_text')),
      decline && h('button', { type: 'button', class: 'button', onclick: decline }, say('mic.decline')),
      h('button', { type: 'button', class: 'button primary', onclick: accept }, say('mic.accept')),
    ),
  ];
  const onMic = () => {
    const { audio, video } = enabled(player);
    if (own.srcObject !== player.micStream) own.srcObject = player.micStream;
    own.hidden = !video;
    own.play().catch(() => {});
    const leaving = player.mic === 'leaving';
    const mutedBy = room.seat?.muted_by;
    const note = leaving
      ? say('mic.leaving')
      : mutedBy?.audio === 'host'
        ? say('mic.muted_by_host')
        : mutedBy?.video === 'host'
          ? say('mic.dark_by_host')
          : '';
    const toggle = (kind: 'audio' | 'video', on: boolean) => {
      // The person's own devices change at once, even if the server refuses the command.
      attempt(say, player.muteMic({ [kind]: on }));
      draw();
    };
    const mute = iconButton(
      say(audio ? 'mic.mute' : 'mic.unmute'),
      audio ? 'mic' : 'mic_off',
      () => toggle('audio', audio),
      'round',
    );
    const dark = iconButton(
      say(video ? 'mic.dark' : 'mic.bright'),
      video ? 'camera' : 'camera_off',
      () => toggle('video', video),
      'round',
    );
    mute.setAttribute('aria-pressed', String(!audio));
    dark.setAttribute('aria-pressed', String(!video));
    mute.disabled = dark.disabled = leaving;
    const leave = h(
      'button',
      { type: 'button', class: 'button danger', disabled: leaving, onclick: () => void player.leaveMic() },
      sign('leave'),
      say('mic.leave'),
    );
    return [
      h('div', { class: 'row' }, own, words(say('mic.on'), note), h('div', { class: 'tools' }, mute, dark, leave)),
    ];
  };
  const told = () => {
    if (!outcome?.reason || outcome.reason === 'left') return '';
    const { reason, problem } = outcome;
    const code = problem?.code;
    const text =
      reason === 'devices' && code
        ? say(`devices.error.${code}` as 'devices.error.in-use')
        : say(`mic.reason.${reason}`);
    const detail = reason !== 'devices' && problem?.detail ? say('mic.said', { detail: refusal(say, problem) }) : '';
    const dismiss = () => {
      outcome = null;
      draw();
    };
    return h(
      'div',
      { class: 'told', role: 'status' },
      h('p', {}, text, detail && h('small', {}, detail)),
      iconButton(say('mic.closed'), 'close', dismiss),
    );
  };
  const withdraw = () => {
    if (player.mic !== 'off') void player.leaveMic();
    else attempt(say, room.command({ kind: 'withdraw' }));
  };

  const off = player.on('mic', (change) => {
    if (change.state === 'off') outcome = change;
    if (change.state === 'on') {
      player.unmute(); // A person on mic needs to hear the others.
      announce(say('mic.on'));
    }
    if (change.reason && change.state === 'off') announce(say(`mic.reason.${change.reason}`));
    draw();
  });
  return { element, draw, ask, close: off };
}

function enabled(player: Player): { audio: boolean; video: boolean } {
  const on = (kind: string) =>
    player.micStream?.getTracks().some((track) => track.kind === kind && track.enabled) ?? false;
  return { audio: on('audio'), video: on('video') };
}
