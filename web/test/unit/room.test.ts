import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import type { RequestError } from '../../src/player/problem';
import type { Ticket } from '../../src/room/model';
import { Room } from '../../src/room/room';

/** Is a WebSocket whose other end is the test. */
class FakeSocket {
  static all: FakeSocket[] = [];
  static get last(): FakeSocket {
    return FakeSocket.all.at(-1) as FakeSocket;
  }
  readyState = 0;
  sent: { id: number; command: { kind: string } }[] = [];
  closed = false;
  onopen: (() => void) | null = null;
  onmessage: ((event: { data: string }) => void) | null = null;
  onclose: ((event: { code: number; reason: string }) => void) | null = null;
  readonly url: URL;
  readonly protocols: string[];
  constructor(url: string, protocols: string[] = []) {
    this.url = new URL(url);
    this.protocols = protocols;
    FakeSocket.all.push(this);
  }
  send(text: string): void {
    this.sent.push(JSON.parse(text));
  }
  close(): void {
    this.closed = true;
  }
  open(): this {
    this.readyState = 1;
    this.onopen?.();
    return this;
  }
  say(frame: object): this {
    this.onmessage?.({ data: JSON.stringify(frame) });
    return this;
  }
  snapshot(number = 41, key = 'secret'): this {
    const you = { person: 'guest-1', key, name: 'Anna', role: 'viewer' };
    return this.open().say({ type: 'snapshot', epoch: 'e1', number, you, room: { room: 'demo', live: true } });
  }
  async end(code = 1006, reason = ''): Promise<void> {
    this.readyState = 3;
    this.onclose?.({ code, reason });
    await vi.advanceTimersByTimeAsync(0);
  }
}

const kept = new Map<string, string>();
const memory = { getItem: (name: string) => kept.get(name) ?? null, setItem: (n: string, v: string) => kept.set(n, v) };
const enter = (more = {}) => new Room({ url: 'https://node.example', room: 'demo', name: 'Anna', memory, ...more });
const problemOf = (promise: Promise<unknown>) => promise.catch((error: RequestError) => error.problem);

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal('WebSocket', FakeSocket);
  vi.stubGlobal('fetch', () => Promise.resolve(new Response('{}', { status: 200 })));
  FakeSocket.all = [];
  kept.clear();
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

it('a_connection_sends_token_and_name_and_receives_the_snapshot', () => {
  const room = enter({ token: 'jwt.a-b_c' });
  expect(FakeSocket.last.url.href).toBe('wss://node.example/api/v1/rooms/demo/events?name=Anna');
  expect(FakeSocket.last.protocols).toEqual(['onmic.v1', 'token.jwt.a-b_c']);
  FakeSocket.last.snapshot();
  expect([room.connection, room.you?.person, room.state.live]).toEqual(['open', 'guest-1', true]);
  room.close();
  expect(vi.getTimerCount()).toBe(0);
});

it('a_reconnect_is_the_same_person_and_gets_the_missed_events', async () => {
  const room = enter();
  FakeSocket.last.snapshot().say({ type: 'event', number: 42, at: '', event: { kind: 'host-away' } });
  await FakeSocket.last.end();
  expect(room.connection).toBe('lost');
  await vi.advanceTimersByTimeAsync(700);
  const { searchParams } = FakeSocket.last.url;
  expect(Object.fromEntries(searchParams)).toEqual({
    name: 'Anna',
    person: 'guest-1',
    after: '42',
    epoch: 'e1',
  });
  expect(FakeSocket.last.protocols).toEqual(['onmic.v1', 'key.secret']);
  const you = { person: 'guest-1', name: 'Anna', role: 'viewer' };
  FakeSocket.last.open().say({ type: 'resumed', epoch: 'e1', number: 43, you });
  FakeSocket.last.say({ type: 'event', number: 42, at: '', event: { kind: 'room-ended' } }); // Known, so dropped.
  FakeSocket.last.say({ type: 'event', number: 43, at: '', event: { kind: 'viewers-changed', viewers: { hls: 9 } } });
  expect([room.state.ended, room.state.viewers.hls, room.you?.key]).toEqual([false, 9, 'secret']);
  room.close();
});

it('what_cannot_be_a_subprotocol_is_not_offered', () => {
  const room = enter({ token: 'no, "jwt"' });
  expect(FakeSocket.last.protocols).toEqual(['onmic.v1']);
  room.close();
});

it('a_picture_is_fetched_with_the_token_and_never_has_it_in_its_address', async () => {
  const asked: [string, unknown][] = [];
  vi.stubGlobal('fetch', (url: string, { headers }: { headers: unknown }) => {
    asked.push([url, headers]);
    return Promise.resolve(new Response('picture'));
  });
  const path = '/api/v1/rooms/demo/overlays/logo/image';
  const open = enter();
  expect(await open.picture(path)).toBe(`https://node.example${path}`);
  open.close();
  const room = enter({ token: 'jwt' });
  expect(await room.picture('https://elsewhere.example/logo.png')).toBe('https://elsewhere.example/logo.png');
  expect(asked).toEqual([]);
  const shown = await room.picture(path);
  expect(shown).toMatch(/^blob:/);
  expect(asked).toEqual([[`https://node.example${path}`, { authorization: 'Bearer jwt' }]]);
  URL.revokeObjectURL(shown);
  room.close();
});

it('a_reload_is_the_same_person_too', () => {
  const before = enter();
  FakeSocket.last.snapshot();
  before.close();
  const room = enter();
  expect(FakeSocket.last.protocols).toContain('key.secret');
  expect(FakeSocket.last.url.searchParams.get('after')).toBeNull();
  room.close();
});

it('the_wait_between_attempts_doubles_up_to_eight_seconds', async () => {
  vi.spyOn(Math, 'random').mockReturnValue(0.5);
  const room = enter();
  FakeSocket.last.snapshot();
  for (const wait of [500, 1000, 2000, 4000, 8000, 8000]) {
    const attempts = FakeSocket.all.length;
    await FakeSocket.last.end();
    await vi.advanceTimersByTimeAsync(wait - 1);
    expect(FakeSocket.all.length).toBe(attempts);
    await vi.advanceTimersByTimeAsync(1);
    expect(FakeSocket.all.length).toBe(attempts + 1);
  }
  room.close();
});

it('a_missing_event_number_asks_for_a_snapshot', () => {
  const room = enter();
  FakeSocket.last.snapshot().say({ type: 'event', number: 44, at: '', event: { kind: 'room-ended' } });
  expect(FakeSocket.all.length).toBe(2);
  expect(FakeSocket.last.url.searchParams.get('after')).toBeNull();
  FakeSocket.last.snapshot(50);
  expect(room.state.ended).toBe(false);
  room.close();
});

it('commands_are_answered_or_refused_with_a_sentence', async () => {
  const room = enter();
  const early = room.requestMic(2);
  FakeSocket.last.snapshot();
  expect(FakeSocket.last.sent).toEqual([{ type: 'command', id: 1, command: { kind: 'request-mic', seat: 2 } }]);
  FakeSocket.last.say({ type: 'answer', id: 1, ok: true, request: { person: 'guest-1' } });
  expect(await early).toEqual({ request: { person: 'guest-1' } });
  const refused = problemOf(room.command({ kind: 'accept' }));
  const problem = { type: 'about:blank', status: 409, title: 'Conflict', detail: 'Seat 2 is locked.', code: 'locked' };
  FakeSocket.last.say({ type: 'answer', id: 2, ok: false, problem });
  expect(await refused).toEqual({ status: 409, title: 'Conflict', detail: 'Seat 2 is locked.', code: 'locked' });
  room.close();
});

it('commands_survive_a_lost_connection_but_a_chat_message_is_not_repeated', async () => {
  const room = enter();
  FakeSocket.last.snapshot();
  const ask = room.requestMic();
  const said = problemOf(room.chat('hello'));
  await FakeSocket.last.end();
  expect(await said).toMatchObject({ status: 0 });
  await vi.advanceTimersByTimeAsync(700);
  FakeSocket.last.snapshot();
  expect(FakeSocket.last.sent.map(({ command }) => command.kind)).toEqual(['request-mic']);
  FakeSocket.last.say({ type: 'answer', id: 1, ok: true });
  await ask;
  room.close();
});

it('every_command_ends_by_timeout_or_close', async () => {
  const room = enter();
  const late = problemOf(room.requestMic());
  await vi.advanceTimersByTimeAsync(10_000);
  expect(await late).toMatchObject({ status: 0, detail: 'The server did not answer in time' });
  const left = problemOf(room.requestMic());
  room.close();
  expect(await left).toMatchObject({ detail: 'The room was left' });
  expect(await problemOf(room.requestMic())).toMatchObject({ detail: 'The room was left' });
});

it('a_refused_person_gets_the_reason_and_does_not_try_again', async () => {
  const body = JSON.stringify({ title: 'No token', detail: 'This room needs a token.' });
  vi.stubGlobal('fetch', () =>
    Promise.resolve(new Response(body, { status: 401, headers: { 'content-type': 'application/problem+json' } })),
  );
  const room = enter();
  const seen: unknown[] = [];
  room.on('connection', (event) => seen.push(event));
  await FakeSocket.last.end();
  expect(seen).toEqual([
    { connection: 'refused', problem: { status: 401, title: 'No token', detail: 'This room needs a token.' } },
  ]);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(FakeSocket.all.length).toBe(1);
});

it('a_person_who_was_sent_away_is_told_why_and_does_not_come_back', async () => {
  for (const [code, status] of [
    [4401, 401],
    [4403, 403],
  ] as const) {
    const room = enter();
    const seen: unknown[] = [];
    FakeSocket.last.snapshot();
    room.on('connection', (event) => seen.push(event));
    const asked = problemOf(room.requestMic());
    const sockets = FakeSocket.all.length;
    await FakeSocket.last.end(code, 'You were sent out of the room.');
    expect(await asked).toMatchObject({ status });
    expect(seen).toMatchObject([
      { connection: 'refused', problem: { status, detail: 'You were sent out of the room.' } },
    ]);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(FakeSocket.all.length).toBe(sockets);
  }
});

it('tickets_are_reported_and_kept_while_they_are_valid', () => {
  const room = enter();
  const tickets: Ticket[] = [];
  room.on('ticket', (ticket) => tickets.push(ticket));
  const seat = { seat: 1, state: 'reserved', locked: false, person: 'guest-1' };
  FakeSocket.last.snapshot().say({ type: 'event', number: 42, at: '', event: { kind: 'mic-granted', seat } });
  FakeSocket.last.say({ type: 'ticket', ticket: { seat: 1, whip: '/whip/demo/guest-1' } });
  expect([tickets.length, room.ticket?.seat, room.seat?.state]).toEqual([1, 1, 'reserved']);
  FakeSocket.last.say({ type: 'event', number: 43, at: '', event: { kind: 'mic-left', person: 'guest-1' } });
  expect(room.ticket).toBeNull();
  room.close();
});

it('a_client_of_an_ended_room_does_not_reconnect_by_itself', async () => {
  const room = enter();
  FakeSocket.last.snapshot().say({ type: 'event', number: 42, at: '', event: { kind: 'room-ended', reason: 'ended' } });
  await FakeSocket.last.end(1000);
  await vi.advanceTimersByTimeAsync(60_000);
  expect([room.connection, FakeSocket.all.length]).toEqual(['ended', 1]);
  expect(await problemOf(room.requestMic())).toMatchObject({ detail: 'The room has ended' });
  room.enter();
  FakeSocket.last.snapshot(3);
  expect([room.connection, room.state.ended]).toEqual(['open', false]);
  room.close();
});

it('one_page_of_the_people_in_the_room_is_loaded_and_their_number_is_that_of_the_events', async () => {
  const listed = Array.from({ length: 500 }, (_, index) => ({ person: `p${index}`, name: 'Li', role: 'viewer' }));
  const asked: string[] = [];
  vi.stubGlobal('fetch', (url: string) => {
    asked.push(new URL(url).search);
    return Promise.resolve(new Response(JSON.stringify({ persons: listed, next: 'p499' })));
  });
  const room = enter();
  FakeSocket.last
    .snapshot()
    .say({ type: 'event', number: 42, at: '', event: { kind: 'viewers-changed', persons: 10_000 } });
  await room.loadPeople();
  expect(asked).toEqual(['?limit=500']);
  expect([room.others().length, room.state.persons]).toEqual([500, 10_000]);
  room.close();
});

it('who_comes_and_goes_while_the_people_are_loaded_is_not_forgotten', async () => {
  let answer = (_: Response) => {};
  vi.stubGlobal('fetch', () => new Promise<Response>((resolve) => (answer = resolve)));
  const room = enter();
  FakeSocket.last.snapshot();
  const loaded = room.loadPeople();
  FakeSocket.last
    .say({ type: 'event', number: 42, at: '', event: { kind: 'person-joined', person: 'mo', name: 'Mo', persons: 3 } })
    .say({ type: 'event', number: 43, at: '', event: { kind: 'person-left', person: 'li', persons: 2 } });
  answer(
    new Response(
      JSON.stringify({
        persons: [
          { person: 'li', name: 'Li' },
          { person: 'zoe', name: 'Zoe' },
        ],
      }),
    ),
  );
  await loaded;
  expect([room.others().map(({ person }) => person), room.state.persons]).toEqual([['zoe', 'mo'], 2]);
  room.close();
});

it('a_new_name_is_sent_by_reconnecting', () => {
  const room = enter();
  FakeSocket.last.snapshot();
  room.rename('Anna B');
  expect(FakeSocket.all.length).toBe(2);
  expect(FakeSocket.last.url.searchParams.get('name')).toBe('Anna B');
  expect(FakeSocket.last.protocols).toContain('key.secret');
  room.close();
});
