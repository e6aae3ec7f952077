// Holds the rooms of the mock node: persons, requests and seats, over WebSockets as docs/ROOMS.md says. It trusts every
// client and has no timeouts. It replaces the real state machine in tests, and does not test it.

import { WebSocketServer } from 'ws';

const EVENTS_KEPT = 512;

/** @typedef {{ person: string, key: string, name: string, role: string, sockets: Set<import('ws').WebSocket> }} Person */
/** @typedef {Record<string, any>} Loose */

export class MockRooms {
  constructor() {
    /** @type {Map<string, MockRoomState>} */
    this.rooms = new Map();
    this.sockets = new WebSocketServer({ noServer: true });
    /** @type {(token: string | null) => boolean} */
    this.allows = () => true;
    /** Ends the session of a seat together with the seat. @type {(room: string, participant: string) => void} */
    this.unseated = () => {};
  }

  /** @param {string} name */
  get(name) {
    let room = this.rooms.get(name);
    if (!room) {
      room = new MockRoomState(name);
      room.unseated = (participant) => this.unseated(name, participant);
      this.rooms.set(name, room);
    }
    return room;
  }

  clear() {
    for (const room of this.rooms.values()) room.disconnect();
    this.rooms.clear();
  }

  /** @param {import('node:http').IncomingMessage} request @param {import('node:stream').Duplex} socket @param {Buffer} head */
  upgrade(request, socket, head) {
    const url = new URL(request.url ?? '/', 'http://mock');
    const name = /^\/api\/v1\/rooms\/([^/]+)\/events$/.exec(url.pathname)?.[1];
    const offered = (request.headers['sec-websocket-protocol'] ?? '').split(',').map((protocol) => protocol.trim());
    /** @param {string} name */
    const secret = (name) => offered.find((protocol) => protocol.startsWith(`${name}.`))?.slice(name.length + 1);
    if (!name || !this.allows(secret('token') ?? null)) {
      socket.end('HTTP/1.1 401 Unauthorized\r\nconnection: close\r\n\r\n');
      return;
    }
    this.sockets.handleUpgrade(request, socket, head, (client) => {
      this.get(decodeURIComponent(name)).enter(client, url.searchParams, secret('key'));
    });
  }
}

export class MockRoomState {
  /** @param {string} name */
  constructor(name) {
    this.epoch = `e${Math.random().toString(16).slice(2, 8)}`;
    this.number = 0;
    this.guests = 0;
    this.grantAtOnce = false;
    /** @type {(participant: string) => void} */
    this.unseated = () => {};
    /** @type {{ number: number, frame: string }[]} */
    this.events = [];
    /** @type {Map<string, Person>} */
    this.persons = new Map();
    /** @type {{ person: string, command: Loose }[]} */
    this.commands = [];
    /** @type {Loose} */
    this.state = {
      room: name,
      title: '',
      live: true,
      host: { person: null, name: '', present: false },
      locked: false,
      seats: [1, 2, 3, 4].map((seat) => ({ seat, state: 'empty', locked: false })),
      requests: [],
      invitations: [],
      sources: [],
      pk: null,
      program: {
        state: 'pass-through',
        layout: { kind: 'grid' },
        overlays: [],
        background: '#101014',
        labels: false,
        borders: false,
        source_settings: {},
      },
      viewers: { whep: 3, hls: 120, flv: 0, rtmp: 0 },
      persons: 0,
      people: [],
      chat: [],
    };
  }

  disconnect() {
    for (const { sockets } of this.persons.values()) for (const socket of sockets) socket.terminate();
  }

  /** @param {import('ws').WebSocket} socket @param {URLSearchParams} query @param {string} [proof] The key of the person. */
  enter(socket, query, proof) {
    const known = this.persons.get(query.get('person') ?? '');
    const role = query.get('role') ?? 'viewer';
    const name = query.get('name') || '';
    let person = known && known.key === proof ? known : undefined;
    if (!person) {
      const id = role === 'host' ? 'host-1' : `guest-${++this.guests}`;
      person = { person: id, key: `key-${id}`, name: name || id, role, sockets: new Set() };
      this.persons.set(id, person);
    }
    if (name) person.name = name;
    person.sockets.add(socket);
    const entry = { person: person.person, name: person.name, role };
    this.state.people = this.state.people.filter((/** @type {Loose} */ one) => one.person !== person?.person);
    this.state.people.push(entry);
    this.state.persons = this.state.people.length;
    if (role === 'host') this.state.host = { person: person.person, name: person.name, present: true };
    const { person: id, key } = person;
    const you = { person: id, key, name: person.name, role };
    const after = Number(query.get('after') ?? -1);
    const resumes = query.get('epoch') === this.epoch && after >= 0;
    const head = { epoch: this.epoch, number: resumes ? after : this.number, you };
    socket.send(
      JSON.stringify(resumes ? { type: 'resumed', ...head } : { type: 'snapshot', ...head, room: this.told() }),
    );
    if (resumes) for (const { number, frame } of this.events) if (number > after) socket.send(frame);
    this.emit({ kind: 'person-joined', ...entry, persons: this.state.persons }, socket);
    if (role === 'host') this.emit({ kind: 'host-back', host: this.state.host });
    socket.on('message', (data) => this.#command(person, socket, JSON.parse(String(data))));
    socket.on('close', () => this.#leave(person, socket));
  }

  /**
   * @param {Loose} event @param {import('ws').WebSocket} [but] The client that has the event in its snapshot. It gets
   * the event too, for its number.
   */
  emit(event, but) {
    void but;
    const frame = JSON.stringify({ type: 'event', number: ++this.number, at: new Date().toISOString(), event });
    this.events.push({ number: this.number, frame });
    if (this.events.length > EVENTS_KEPT) this.events.shift();
    for (const { sockets } of this.persons.values()) for (const socket of sockets) socket.send(frame);
  }

  /** @param {Loose} changed */
  program(changed) {
    this.state.program = { ...this.state.program, ...changed };
    this.emit({ kind: 'program-changed', program: this.state.program });
  }

  /** @param {number} number @param {Loose} changed */
  seat(number, changed) {
    const seats = this.state.seats;
    const at = seats.findIndex((/** @type {Loose} */ seat) => seat.seat === number);
    seats[at] = { ...seats[at], ...changed };
    return seats[at];
  }

  /** Returns the snapshot, which leaves out the persons in the room. */
  told() {
    const { people: _, ...room } = this.state;
    return room;
  }

  /** @param {string} person */
  seatOf(person) {
    return this.state.seats.find((/** @type {Loose} */ seat) => seat.person === person);
  }

  /** Is called when a WHIP session of a participant has begun. @param {string} participant */
  published(participant) {
    this.#source(participant, true);
    const seat = this.seatOf(participant);
    if (!seat || seat.state === 'on-mic') return;
    const on = this.seat(seat.seat, { state: 'on-mic', participant, video: true, audio: true, speaking: false });
    this.program({ state: 'mixed' });
    this.emit({ kind: 'mic-on', seat: on });
  }

  /** @param {string} participant @param {string} reason */
  unpublished(participant, reason = 'left') {
    this.#source(participant, false);
    this.#empty(participant, reason);
  }

  /** @param {string} participant @param {boolean} up */
  #source(participant, up) {
    const source = { participant, up, video: true, audio: true };
    this.state.sources = this.state.sources.filter((/** @type {Loose} */ one) => one.participant !== participant);
    if (up) this.state.sources.push(source);
    this.emit({ kind: up ? 'source-up' : 'source-down', source });
  }

  /** @param {Loose | undefined} request @param {string} kind */
  #drop(request, kind) {
    if (request) this.emit({ kind, request });
  }

  /** @param {string} person @param {string} reason */
  #empty(person, reason) {
    const seat = this.seatOf(person);
    if (!seat) return;
    const at = this.state.seats.indexOf(seat);
    this.state.seats[at] = { seat: seat.seat, state: 'empty', locked: seat.locked };
    this.emit({ kind: 'mic-left', person, name: seat.name, reason, seat: this.state.seats[at] });
    this.unseated(person);
  }

  /** @param {Person} person @param {import('ws').WebSocket} socket */
  #leave(person, socket) {
    person.sockets.delete(socket);
    if (person.sockets.size > 0) return;
    this.state.people = this.state.people.filter((/** @type {Loose} */ one) => one.person !== person.person);
    this.state.persons = this.state.people.length;
    this.emit({ kind: 'person-left', person: person.person, persons: this.state.persons });
    if (person.role !== 'host') return;
    this.state.host = { ...this.state.host, present: false };
    this.emit({ kind: 'host-away', host: this.state.host });
  }

  /** @param {Person} from @param {import('ws').WebSocket} socket @param {{ id: number, command: Loose }} message */
  #command(from, socket, { id, command }) {
    this.commands.push({ person: from.person, command });
    try {
      const result = this.#do(from, command);
      socket.send(JSON.stringify({ type: 'answer', id, ok: true, ...(typeof result === 'object' ? result : {}) }));
    } catch (error) {
      const detail = error instanceof Error ? error.message : String(error);
      const problem = { type: 'about:blank', status: 409, title: 'Conflict', detail, code: 'conflict' };
      socket.send(JSON.stringify({ type: 'answer', id, ok: false, problem }));
    }
  }

  /** @param {Person} from @param {Loose} command @returns {unknown} */
  #do(from, command) {
    const { state } = this;
    const out = (/** @type {string} */ list, /** @type {string} */ person) => {
      const found = state[list].find((/** @type {Loose} */ one) => one.person === person);
      state[list] = state[list].filter((/** @type {Loose} */ one) => one !== found);
      return found;
    };
    switch (command['kind']) {
      case 'request-mic': {
        const wanted = state.seats[command['seat'] - 1];
        if (wanted?.locked) throw new Error(`Seat ${wanted.seat} is locked. Ask for another one.`);
        const since = new Date().toISOString();
        const request = { person: from.person, name: from.name, seat: command['seat'], since, state: 'requested' };
        out('requests', from.person);
        state.requests.push(request);
        this.emit({ kind: 'mic-requested', request });
        if (this.grantAtOnce) this.grant(from.person, null);
        return { request };
      }
      case 'withdraw':
        return this.#drop(out('requests', from.person), 'mic-withdrawn');
      case 'refuse':
        return this.#drop(out('requests', command['person']), 'mic-refused');
      case 'grant':
        return this.grant(command['person'], command['seat']);
      case 'invite': {
        const name = this.persons.get(command['person'])?.name ?? '';
        const expires = new Date(Date.now() + 30_000).toISOString();
        const invitation = { person: command['person'], name, seat: command['seat'], expires };
        state.invitations.push(invitation);
        return this.emit({ kind: 'invited', invitation });
      }
      case 'accept':
        if (!out('invitations', from.person)) throw new Error('There is no invitation for you any more.');
        return this.grant(from.person, null);
      case 'decline':
        return this.emit({ kind: 'invitation-declined', invitation: out('invitations', from.person) });
      case 'connect-failed': {
        const seat = this.seatOf(from.person);
        const since = new Date().toISOString();
        const failed = command['reason'];
        const request = { person: from.person, name: from.name, seat: null, since, state: 'requested', failed };
        state.requests.unshift(request);
        const free = this.seat(seat.seat, { state: 'empty', person: null, name: '', participant: null });
        const { person, name } = from;
        return this.emit({ kind: 'mic-failed', seat: free, person, name, request, reason: failed });
      }
      case 'leave-mic':
        return this.#empty(from.person, 'left');
      case 'remove':
        return this.#empty(command['person'], 'removed');
      case 'mute': {
        const seat = this.seatOf(command['person']);
        if (!seat) throw new Error('Nobody with that name is on mic.');
        const by = from.person === command['person'] ? 'self' : 'host';
        const mutedBy = { video: null, audio: null, ...seat.muted_by };
        for (const kind of ['audio', 'video']) if (kind in command) mutedBy[kind] = command[kind] ? by : null;
        return this.emit({ kind: 'seat-changed', seat: this.seat(seat.seat, { muted_by: mutedBy }) });
      }
      case 'lock-seat':
        return this.emit({ kind: 'seat-changed', seat: this.seat(command['seat'], { locked: command['locked'] }) });
      case 'move': {
        const seat = this.seatOf(command['person']);
        const { seat: number, locked, ...rest } = seat;
        const at = state.seats.indexOf(seat);
        state.seats[at] = { seat: number, state: 'empty', locked };
        return this.emit({ kind: 'seat-changed', seat: this.seat(command['seat'], rest) });
      }
      case 'hand-over': {
        const name = this.persons.get(command['person'])?.name;
        state.host = { person: command['person'], name, present: true };
        return this.emit({ kind: 'host-changed', host: state.host });
      }
      case 'propose-pk':
        state.pk = { state: 'proposed', room: command['room'] };
        return this.emit({ kind: 'pk-proposed', pk: state.pk });
      case 'accept-pk':
        state.pk = { ...state.pk, state: 'on' };
        return this.emit({ kind: 'pk-on', pk: state.pk });
      case 'refuse-pk':
      case 'end-pk': {
        const { pk } = state;
        state.pk = null;
        const ended = command['kind'] === 'end-pk';
        return this.emit({ kind: ended ? 'pk-ended' : 'pk-refused', pk, ...(ended ? { reason: 'ended' } : {}) });
      }
      case 'set-layout':
        return this.program({ layout: command['layout'] });
      case 'set-overlays':
        return this.program({ overlays: command['overlays'] });
      case 'set-look': {
        const { kind: _, ...look } = command;
        return this.program(look);
      }
      case 'set-source': {
        const { kind: _, participant, ...settings } = command;
        const known = state.program.source_settings;
        return this.program({ source_settings: { ...known, [participant]: { ...known[participant], ...settings } } });
      }
      case 'chat': {
        const { text } = command;
        const message = { person: from.person, name: from.name, text, at: new Date().toISOString() };
        state.chat.push(message);
        return this.emit({ kind: 'chat', message });
      }
    }
    throw new Error(`There is no command ${command['kind']}.`);
  }

  /** @param {string} id @param {number | null} wanted */
  grant(id, wanted) {
    const person = this.persons.get(id);
    const free = this.state.seats.find((/** @type {Loose} */ seat) =>
      wanted ? seat.seat === wanted : seat.state === 'empty' && !seat.locked,
    );
    if (!person || !free) throw new Error('No seat is free.');
    this.state.requests = this.state.requests.filter((/** @type {Loose} */ one) => one.person !== id);
    const seat = this.seat(free.seat, { state: 'reserved', person: id, name: person.name });
    this.emit({ kind: 'mic-granted', seat });
    const room = encodeURIComponent(this.state.room);
    const now = new Date().toISOString();
    const ticket = {
      room: this.state.room,
      person: id,
      seat: seat.seat,
      participant: id,
      whip: `/whip/${room}/${id}`,
      return: `/whep/${room}/${id}/return`,
      token: `ticket-${id}`,
      expires: new Date(Date.now() + 20_000).toISOString(),
      program_time: now,
    };
    for (const socket of person.sockets) socket.send(JSON.stringify({ type: 'ticket', ticket }));
  }
}
