// Keeps the client's copy of a room: a snapshot, and events applied to it one by one.
//
// This is pure: it returns a new state and leaves the old one unchanged. Parts that did not change are the same
// objects. It never throws: an event with missing members, or of an unknown kind, changes what it can. One person has
// at most one seat, one request and one invitation, in whatever order events come.

import type { Person, RoomEvent, RoomState, Seat } from './model';

const CHAT_KEPT = 200; // Nobody scrolls back further than 200 messages.
/** The most persons in `people`: one page of the server's list. */
export const PEOPLE_KEPT = 500;

export const NO_ROOM: RoomState = {
  room: '',
  title: '',
  live: false,
  host: null,
  locked: false,
  seats: [],
  requests: [],
  invitations: [],
  sources: [],
  pk: null,
  program: {
    state: 'off',
    layout: { kind: 'grid' },
    overlays: [],
    background: '#101014',
    labels: false,
    borders: false,
    source_settings: {},
  },
  viewers: { whep: 0, hls: 0, flv: 0, rtmp: 0 },
  persons: 0,
  people: [],
  chat: [],
  ended: false,
};

/** Returns the state of a snapshot. Members that it leaves out have their defaults. */
export function fromSnapshot(room: Partial<RoomState>): RoomState {
  const state = { ...NO_ROOM, ...withoutUndefined(room) };
  return { ...state, people: room.people ?? peopleIn(state), chat: state.chat.slice(-CHAT_KEPT) };
}

export function applyEvent(state: RoomState, event: RoomEvent): RoomState {
  const next: RoomState = { ...state };
  if (event.title !== undefined) next.title = event.title;
  if (event.locked !== undefined) next.locked = event.locked;
  if (event.host !== undefined) next.host = event.host;
  // Overlays and settings of sources that are as they were are left out.
  if (event.program) next.program = { ...next.program, ...event.program };
  if (event.viewers) next.viewers = event.viewers;
  if (event.pk !== undefined) next.pk = event.pk;
  if (event.message) next.chat = [...next.chat, event.message].slice(-CHAT_KEPT);
  for (const seat of seatsOf(event)) next.seats = withSeat(next.seats, seat);

  const person = personOf(event);
  switch (event.kind) {
    case 'room-opened':
      next.ended = false;
      break;
    case 'room-ended':
      return { ...next, live: false, ended: true, seats: next.seats.map(emptied), requests: [], invitations: [] };
    case 'person-joined':
      if (!person) break;
      // A person who is known already has come back, perhaps with another name.
      if (!next.people.some((one) => one.person === person)) next.persons++;
      next.people = [
        ...without(next.people, person),
        { person, name: event.name ?? person, ...(event.role ? { role: event.role } : {}) },
      ].slice(-PEOPLE_KEPT);
      break;
    case 'person-left':
      if (next.people.some((one) => one.person === person)) next.persons = Math.max(0, next.persons - 1);
      next.people = without(next.people, person);
      next.requests = without(next.requests, person);
      next.invitations = without(next.invitations, person);
      break;
    case 'host-away':
    case 'host-back':
      if (next.host && event.host === undefined) next.host = { ...next.host, present: event.kind === 'host-back' };
      break;
    case 'mic-requested':
    case 'mic-failed':
      if (event.request) next.requests = [...without(next.requests, event.request.person), event.request];
      break;
    case 'mic-withdrawn':
    case 'mic-refused':
    case 'mic-expired':
    case 'mic-granted':
    case 'mic-connecting':
    case 'mic-on':
    case 'mic-left':
      next.requests = without(next.requests, person);
      next.invitations = without(next.invitations, person);
      if (event.kind === 'mic-left') next.seats = leftBy(next.seats, person);
      break;
    case 'invited':
      if (event.invitation) next.invitations = [...without(next.invitations, person), event.invitation];
      break;
    case 'invitation-declined':
    case 'invitation-expired':
      next.invitations = without(next.invitations, person);
      break;
    case 'source-up':
    case 'source-down':
      next.sources = withSource(next, event);
      if (event.source?.participant === 'host') next.live = event.kind === 'source-up';
      break;
    case 'speaking':
      speaking(next, event);
      break;
    case 'pk-ended':
    case 'pk-refused':
      next.pk = null;
      break;
  }
  if (event.persons !== undefined) next.persons = event.persons;
  return next;
}

/** Returns the state with the people whom the server has listed, and those who came and went by `events` since it was asked. */
export function withPeople(state: RoomState, listed: Person[], events: RoomEvent[]): RoomState {
  const { people } = events.reduce(applyEvent, { ...state, people: listed.slice(0, PEOPLE_KEPT) });
  return { ...state, people };
}

/** Returns the person that an event is about, if there is one. */
export function personOf(event: RoomEvent): string | undefined {
  const seat = typeof event.seat === 'object' ? event.seat?.person : undefined;
  return event.person ?? event.request?.person ?? event.invitation?.person ?? seat ?? undefined;
}

/** Returns the seat of a person, in any state. */
export function seatOf(state: RoomState, person: string): Seat | undefined {
  return state.seats.find((seat) => seat.person === person && seat.state !== 'empty');
}

function seatsOf(event: RoomEvent): Seat[] {
  const seats = [...(event.seats ?? [])];
  if (typeof event.seat === 'object' && event.seat !== null) seats.push(event.seat);
  return seats;
}

function withSeat(seats: Seat[], changed: Seat): Seat[] {
  const left = seats.map((seat) =>
    seat.seat !== changed.seat && changed.person && seat.person === changed.person ? emptied(seat) : seat,
  );
  const at = left.findIndex((seat) => seat.seat === changed.seat);
  if (at < 0) return [...left, changed].sort((a, b) => a.seat - b.seat);
  return left.with(at, changed);
}

/** Empties the seat of the person who left, in case the event does not carry the changed seat. */
function leftBy(seats: Seat[], person: string | undefined): Seat[] {
  return seats.map((seat) => (person && seat.person === person ? emptied(seat) : seat));
}

function emptied(seat: Seat): Seat {
  const { seat: number, locked } = seat;
  const muted_by = { video: null, audio: null };
  const nobody = { person: null, name: '', participant: null, video: false, audio: false, speaking: false };
  return { ...nobody, seat: number, state: 'empty', locked, muted_by, until: null };
}

function withSource(state: RoomState, { kind, source, participant }: RoomEvent): RoomState['sources'] {
  const name = source?.participant ?? participant;
  if (!name) return state.sources;
  const known = state.sources.find((one) => one.participant === name);
  const changed = { participant: name, video: false, audio: false, ...known, ...source, up: kind === 'source-up' };
  return known ? state.sources.map((one) => (one === known ? changed : one)) : [...state.sources, changed];
}

function speaking(state: RoomState, event: RoomEvent): void {
  const name = event.participant ?? event.source?.participant ?? event.person;
  const now = event.speaking ?? event.source?.speaking;
  if (!name || now === undefined) return;
  state.seats = state.seats.map((seat) => (seat.participant === name ? { ...seat, speaking: now } : seat));
  state.sources = state.sources.map((one) => (one.participant === name ? { ...one, speaking: now } : one));
}

function without<T extends { person: string }>(list: T[], person: string | undefined): T[] {
  return list.some((one) => one.person === person) ? list.filter((one) => one.person !== person) : list;
}

function peopleIn({ host, seats, requests, invitations }: RoomState): RoomState['people'] {
  const people = new Map<string, string>();
  for (const one of [host?.present ? host : null, ...seats, ...requests, ...invitations]) {
    if (one?.person) people.set(one.person, one.name ?? one.person);
  }
  return [...people].map(([person, name]) => ({ person, name }));
}

function withoutUndefined<T extends object>(values: T): T {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as T;
}
