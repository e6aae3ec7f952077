// Shows the room beside the player: seats, the way to the mic, chat. It is loaded after the player, which must not
// wait.

import '../style/room.css';
import { NODE } from '../api/node';
import type { Speech } from '../i18n/language';
import { roomSay } from '../i18n/rooms';
import { type Player, Room } from '../player';
import { chat } from './chat';
import { h } from './dom';
import { micBar } from './mic_bar';
import { storedName } from './room_parts';
import { seatsStrip } from './seats_strip';

export function enterRoom(name: string, token: string | null): Room {
  return new Room({ url: NODE.href, room: name, name: storedName(), ...(token ? { token } : {}) });
}

export function roomSide(
  speech: Speech,
  player: Player,
  room: Room,
  badge: HTMLElement,
): { above: HTMLElement[]; side: HTMLElement[]; close: () => void } {
  const say = roomSay(speech);
  const bar = micBar(speech, player, room);
  const seats = seatsStrip(speech, room, (seat) => bar.ask(seat));
  const talk = chat(speech, room);
  const banner = h('p', { class: 'banner', role: 'status', hidden: true });
  let refusal = '';

  const draw = () => {
    const { host, ended, pk, sources } = room.state;
    const hostHere = host?.present || sources.some(({ participant, up }) => participant === 'host' && up);
    const text = refusal
      ? say('room.refused', { detail: refusal })
      : ended
        ? say('room.ended')
        : room.connection === 'lost'
          ? say('room.lost')
          : room.connection !== 'open'
            ? ''
            : hostHere
              ? ''
              : say(host?.person ? 'room.host_away' : 'room.no_host');
    if (banner.textContent !== text) banner.textContent = text;
    banner.hidden = text === '';
    banner.classList.toggle('grave', ended || refusal !== '');
    badge.hidden = pk?.state !== 'on';
    badge.textContent = pk ? say('room.pk', { name: pk.name ?? pk.room }) : '';
    seats.element.hidden = talk.element.hidden = room.you === null;
    seats.draw();
    bar.draw();
    talk.draw();
  };
  const off = [
    room.on('state', draw),
    room.on('connection', ({ problem }) => {
      refusal = problem ? problem.detail || problem.title : '';
      draw();
    }),
    room.on('ticket', draw),
    // If video plays again after the room has ended, there is a new room.
    player.on('transport', ({ transport }) => transport !== 'none' && room.enter()),
    bar.close,
  ];
  draw();
  return {
    above: [banner, seats.element],
    side: [talk.element, bar.element],
    close: () => off.forEach((stop) => void stop()),
  };
}
