import { expect, it } from 'vitest';
import type { MicRequest, RoomEvent, RoomState, Seat } from '../../src/room/model';
import { applyEvent, fromSnapshot, seatOf } from '../../src/room/room_state';

const seat = (number: number, more: Partial<Seat> = {}): Seat => ({
  seat: number,
  state: 'empty',
  locked: false,
  person: null,
  name: '',
  participant: null,
  video: false,
  audio: false,
  muted_by: { video: null, audio: null },
  speaking: false,
  until: null,
  ...more,
});
const room = (more: Partial<RoomState> = {}) =>
  fromSnapshot({ room: 'demo', live: true, seats: [seat(1), seat(2)], host: host(), persons: 3, ...more });
const muted_by = { video: null, audio: null };
const host = () => ({ person: 'mia', name: 'Mia', present: true, away_until: null, muted_by });
const anna: MicRequest = {
  person: 'anna',
  name: 'Anna',
  seat: null,
  since: '2026-11-21T10:00:00Z',
  expires: '2026-11-21T10:02:00Z',
  state: 'requested',
  failed: null,
};
const after = (state: RoomState, ...events: RoomEvent[]) => events.reduce(applyEvent, state);

it('a_request_leads_to_a_seat_and_off_it', () => {
  const asked = after(room(), { kind: 'mic-requested', request: anna });
  expect(asked.requests).toEqual([anna]);
  const reserved = seat(1, { state: 'reserved', person: 'anna', name: 'Anna' });
  const granted = after(asked, { kind: 'mic-granted', seat: reserved });
  expect([granted.requests, seatOf(granted, 'anna')]).toEqual([[], reserved]);
  const on = after(granted, { kind: 'mic-on', seat: { ...reserved, state: 'on-mic' } });
  expect(seatOf(on, 'anna')?.state).toBe('on-mic');
  const left = after(on, { kind: 'mic-left', person: 'anna', reason: 'removed' });
  expect(left.seats).toEqual([seat(1), seat(2)]);
});

it('a_person_who_fails_to_connect_is_back_in_the_queue', () => {
  const granted = room({ seats: [seat(1, { state: 'reserved', person: 'anna' }), seat(2)] });
  const failed = after(granted, { kind: 'mic-failed', reason: 'timeout', request: anna, seat: seat(1) });
  expect([failed.requests, failed.seats[0]?.state]).toEqual([[anna], 'empty']);
});

it('the_same_request_twice_counts_once', () => {
  expect(
    after(room(), { kind: 'mic-requested', request: anna }, { kind: 'mic-requested', request: anna }).requests,
  ).toEqual([anna]);
});

it('a_person_who_moves_leaves_the_old_seat', () => {
  const before = room({ seats: [seat(1, { state: 'on-mic', person: 'anna' }), seat(2)] });
  const moved = after(before, { kind: 'seat-changed', seat: seat(2, { state: 'on-mic', person: 'anna' }) });
  expect(moved.seats.map(({ state }) => state)).toEqual(['empty', 'on-mic']);
});

it('people_come_and_go_together_with_their_requests', () => {
  const joined = after(room(), { kind: 'person-joined', person: 'li', name: 'Li' });
  expect([joined.persons, joined.people.map(({ name }) => name)]).toEqual([4, ['Mia', 'Li']]);
  const renamed = after(joined, { kind: 'person-joined', person: 'li', name: 'Li Lei' });
  expect([renamed.persons, renamed.people.map(({ name }) => name)]).toEqual([4, ['Mia', 'Li Lei']]);
  const waiting = after(joined, { kind: 'mic-requested', request: { ...anna, person: 'li' } });
  const left = after(waiting, { kind: 'person-left', person: 'li' });
  expect([left.persons, left.requests, left.people.length]).toEqual([3, [], 1]);
});

it('speaking_shows_on_the_seat_and_the_source', () => {
  const before = room({
    seats: [seat(1, { state: 'on-mic', person: 'anna', participant: 'anna' })],
    sources: [{ participant: 'host', up: true, video: true, audio: true }],
  });
  const both = after(
    before,
    { kind: 'speaking', participant: 'anna', speaking: true },
    { kind: 'speaking', participant: 'host', speaking: true },
  );
  expect([both.seats[0]?.speaking, both.sources[0]?.speaking]).toEqual([true, true]);
});

it('events_change_host_pk_viewers_and_live_state', () => {
  const state = after(
    room(),
    { kind: 'host-away' },
    { kind: 'pk-on', pk: { state: 'on', room: 'other', name: 'Kim', until: null } },
    { kind: 'viewers-changed', viewers: { whep: 1, hls: 2, flv: 3, rtmp: 4 } },
    { kind: 'source-down', source: { participant: 'host', up: false, video: true, audio: true } },
  );
  expect([state.host?.present, state.pk?.name, state.viewers.flv, state.live]).toEqual([false, 'Kim', 3, false]);
  const pk = { state: 'on' as const, room: 'other', name: 'Kim', until: null };
  expect(after(state, { kind: 'pk-ended', reason: 'ended', pk }, { kind: 'host-back' })).toMatchObject({
    pk: null,
    host: { present: true },
  });
});

it('an_ended_room_has_no_requests_and_no_people_on_seats', () => {
  const before = room({ requests: [anna], seats: [seat(1, { state: 'on-mic', person: 'bo' })] });
  expect(after(before, { kind: 'room-ended' })).toMatchObject({
    live: false,
    ended: true,
    requests: [],
    seats: [{ state: 'empty' }],
  });
});

it('the_last_200_chat_messages_are_kept', () => {
  let state = room();
  for (let i = 0; i < 250; i++) {
    state = after(state, { kind: 'chat', message: { person: 'li', name: 'Li', text: `${i}`, at: '' } });
  }
  expect([state.chat.length, state.chat.at(-1)?.text]).toEqual([200, '249']);
});

it('unknown_and_incomplete_events_change_nothing_and_never_throw', () => {
  const before = room({ requests: [anna] });
  const kinds = ['mic-requested', 'mic-left', 'speaking', 'source-up', 'invited', 'person-joined', 'from-the-future'];
  for (const kind of kinds) expect(after(before, { kind } as RoomEvent), kind).toEqual(before);
});

it('the_old_state_is_not_changed', () => {
  const before = room();
  const copy = structuredClone(before);
  after(before, { kind: 'mic-requested', request: anna }, { kind: 'room-ended' });
  expect(before).toEqual(copy);
});

it('a_change_of_the_program_keeps_the_overlays_and_settings_that_it_leaves_out', () => {
  const place = { x: 0, y: 0, width: 1, height: 1, z: 0 };
  const image = '/api/v1/rooms/demo/overlays/logo/image';
  const overlay = { kind: 'image' as const, id: 'logo', place, z: 0, opacity: 1, image };
  const settings = { gain_db: -6, chroma_key: null, denoise: false, auto_gain: false, fit: 'crop' as const };
  const { overlays: _, source_settings: __, ...rest } = room().program;
  const shown = after(room(), { kind: 'program-changed', program: { ...rest, overlays: [overlay] } });
  const set = after(shown, { kind: 'program-changed', program: { ...rest, source_settings: { anna: settings } } });
  const solo = after(set, { kind: 'program-changed', program: { ...rest, layout: { kind: 'solo' } } });
  expect(solo.program).toEqual({
    ...rest,
    layout: { kind: 'solo' },
    overlays: [overlay],
    source_settings: { anna: settings },
  });
  expect(after(solo, { kind: 'program-changed', program: { ...rest, overlays: [] } }).program.overlays).toEqual([]);
});
