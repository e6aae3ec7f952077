// Connects one person to a room: it receives a snapshot and then numbered events, and sends commands and gets their
// answers.
//
// It reconnects by itself, and then receives the missed events (`after`, same epoch) or a new snapshot. A command is
// answered, refused or given up within COMMAND_MS. So every promise is settled, also after `close`.

import { type Backoff, backoffMs } from '../player/backoff';
import { Emitter } from '../player/emitter';
import { statedUrl } from '../player/endpoint';
import { type Problem, problemFrom, RequestError } from '../player/problem';
import type { Command, Person, Role, RoomEvent, RoomState, Seat, Ticket, You } from './model';
import { applyEvent, fromSnapshot, NO_ROOM, PEOPLE_KEPT, seatOf, withPeople } from './room_state';

export interface RoomOptions {
  /** The URL of the node, or of the proxy in front of it: `https://host`. */
  url: string;
  room: string;
  /** The name that others see. */
  name?: string;
  /** Servers with `auth.secret` require a token. It says who this person is and what they may do. */
  token?: string;
  /** For servers without `auth.secret` only: `viewer` (the default) or `host`. */
  role?: Role;
  /** The storage that keeps the person and its key, to come back as the same person. `null` keeps nothing. */
  memory?: Pick<Storage, 'getItem' | 'setItem'> | null;
}

/** The state of the connection. `ended` means that the room has ended. `enter` goes into the next room of that name. */
export type Connection = 'connecting' | 'open' | 'lost' | 'refused' | 'ended' | 'closed';

export interface RoomEvents {
  /** Is sent after a snapshot and after every event. */
  state: RoomState;
  /** Is sent for each event, after it was applied. */
  event: { number: number; at: string; event: RoomEvent };
  ticket: Ticket;
  /** `refused` means that the server does not let this person in. The room does not try again. */
  connection: { connection: Connection; problem?: Problem };
}

const RECONNECT: Backoff = { firstMs: 500, limitMs: 8000 };
const REFUSALS = [401, 403, 422]; // These refuse the person. Other errors may be temporary.
// The codes by which the server sends a person away, and the statuses of HTTP that say the same.
const SENT_AWAY: Record<number, number> = { 4401: 401, 4403: 403 };
const COMMAND_MS = 10_000;
const COMMANDS_WAITING = 64;
const SILENCE_OF_A_GOOD_SPELL_MS = 5000; // A connection that was open for this long resets the count of failures.

interface Waiting {
  command: Command;
  sent: boolean;
  resolve: (result: unknown) => void;
  reject: (error: RequestError) => void;
  timer: ReturnType<typeof setTimeout>;
}

type Frame =
  | { type: 'snapshot'; epoch: string; number: number; you: You; room: Partial<RoomState> }
  | { type: 'resumed'; epoch: string; number: number; you: You }
  | { type: 'event'; number: number; at: string; event: RoomEvent }
  | { type: 'ticket'; ticket: Ticket }
  | { type: 'answer'; id: number; ok: boolean; problem?: Partial<Problem> };

export class Room extends Emitter<RoomEvents> {
  readonly url: string;
  readonly room: string;
  readonly #token: string | undefined;
  readonly #role: Role | undefined;
  readonly #memory: Pick<Storage, 'getItem' | 'setItem'> | null;
  readonly #waiting = new Map<number, Waiting>();
  #name: string;
  #socket: WebSocket | null = null;
  #connection: Connection = 'connecting';
  #state = NO_ROOM;
  #you: You | null = null;
  #ticket: Ticket | null = null;
  #epoch = '';
  #number: number | null = null;
  #commands = 0;
  #failures = 0;
  #openedAt = 0;
  #retry: ReturnType<typeof setTimeout> | undefined;

  constructor(options: RoomOptions) {
    super();
    this.url = options.url;
    this.room = options.room;
    this.#name = options.name ?? '';
    this.#token = options.token || undefined;
    this.#role = options.role;
    this.#memory = options.memory === undefined ? sessionMemory() : options.memory;
    this.#connect();
  }

  get state(): RoomState {
    return this.#state;
  }

  /** Returns who this person is, or null before the first snapshot. */
  get you(): You | null {
    return this.#you;
  }

  get connection(): Connection {
    return this.#connection;
  }

  get name(): string {
    return this.#name;
  }

  /** Returns the seat of this person, in any state. */
  get seat(): Seat | undefined {
    return this.#you ? seatOf(this.#state, this.#you.person) : undefined;
  }

  /** Returns the last ticket while it can be used. */
  get ticket(): Ticket | null {
    const ticket = this.#ticket;
    const seat = this.seat;
    return ticket && seat && seat.seat === ticket.seat && seat.state !== 'on-mic' ? ticket : null;
  }

  /** Changes the name that others see. Reconnects as the same person. */
  rename(name: string): void {
    if (name === this.#name) return;
    this.#name = name;
    if (['closed', 'refused', 'ended'].includes(this.#connection)) return;
    this.#number = null; // The answer is then a snapshot, in which `you` has the new name.
    this.#drop();
    this.#connect();
  }

  /** Sends a command. Rejects with a `RequestError` whose `problem` has status, title, detail and code. */
  command(command: Command): Promise<unknown> {
    if (this.#connection === 'closed') return Promise.reject(failed('The room was left'));
    if (this.#connection === 'ended') return Promise.reject(failed('The room has ended'));
    if (this.#connection === 'refused') return Promise.reject(failed('The server does not let you into this room'));
    if (this.#waiting.size >= COMMANDS_WAITING) return Promise.reject(failed('Too many commands wait for an answer'));
    const id = ++this.#commands;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#give(id, failed('The server did not answer in time')), COMMAND_MS);
      this.#waiting.set(id, { command, sent: false, resolve, reject, timer });
      this.#sendWaiting();
    });
  }

  requestMic(seat: number | null = null): Promise<unknown> {
    return this.command({ kind: 'request-mic', seat });
  }

  chat(text: string): Promise<unknown> {
    return this.command({ kind: 'chat', text });
  }

  /** After the room has ended, enters the next room of that name. This may create that room. */
  enter(): void {
    if (this.#connection !== 'ended') return;
    this.#number = null;
    this.#failures = 0;
    this.#connect();
  }

  /**
   * Asks the server who is in the room: `state.people` then has the first 500 persons by id. From then on events keep it complete
   * in a room of at most 200 persons. In a larger one the server tells of nobody who comes or goes, but `state.persons` has their
   * number. Only hosts may do this.
   */
  async loadPeople(): Promise<void> {
    const events: RoomEvent[] = []; // The list may be older or newer than any of them.
    const stop = this.on('event', ({ event }) => events.push(event));
    try {
      const { persons } = (await this.#get(`/persons?limit=${PEOPLE_KEPT}`)) as { persons: Person[] };
      this.#state = withPeople(this.#state, persons, events);
    } finally {
      stop();
    }
    this.emit('state', this.#state);
  }

  /**
   * Returns a URL for an `img` that shows a picture of the room, such as the image of an overlay. Where the server asks for a
   * token, it is a `blob:` URL that the caller revokes, because the token must not stand in an address.
   */
  async picture(path: string): Promise<string> {
    const url = statedUrl(path, this.#base);
    if (!this.#token || new URL(url).origin !== this.#base.origin) return url;
    return URL.createObjectURL(await (await this.#fetch(url)).blob());
  }

  /** Returns the other persons in the room, as far as this client knows them. */
  others(): Person[] {
    return this.#state.people.filter(({ person }) => person !== this.#you?.person);
  }

  close(): void {
    if (this.#connection === 'closed') return;
    clearTimeout(this.#retry);
    this.#drop();
    for (const id of [...this.#waiting.keys()]) this.#give(id, failed('The room was left'));
    this.#become('closed');
    this.removeAllListeners();
  }

  // The connection

  #connect(): void {
    clearTimeout(this.#retry);
    this.#become(this.#you ? 'lost' : 'connecting');
    const socket = new WebSocket(this.#address(), this.#protocols());
    this.#socket = socket;
    this.#openedAt = 0;
    socket.onopen = () => {
      this.#openedAt = Date.now();
    };
    socket.onmessage = ({ data }) => {
      if (socket === this.#socket && typeof data === 'string') this.#take(data);
    };
    socket.onclose = ({ code, reason }) => {
      if (socket === this.#socket) void this.#lost(code, reason);
    };
  }

  #address(): string {
    const url = new URL(`${this.#resource}/events`);
    url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
    const query: Record<string, string | undefined> = {
      name: this.#name,
      role: this.#token ? undefined : this.#role,
      person: this.#remembered().person,
      after: this.#number === null ? undefined : String(this.#number),
      epoch: this.#number === null ? undefined : this.#epoch,
    };
    for (const [name, value] of Object.entries(query)) if (value) url.searchParams.set(name, value);
    return url.href;
  }

  // Secrets are offered as subprotocols, because proxies log addresses. A browser takes no others than these characters there,
  // and neither does the server: it refuses a connection whose token is missing.
  #protocols(): string[] {
    const secrets = { token: this.#token, key: this.#remembered().key };
    const offered = Object.entries(secrets).filter(([, value]) => value && /^[\w.~-]+$/.test(value));
    return ['onmic.v1', ...offered.map(([name, value]) => `${name}.${value}`)];
  }

  get #resource(): string {
    return new URL(`api/v1/rooms/${encodeURIComponent(this.room)}`, this.#base).href;
  }

  get #base(): URL {
    return new URL(this.url.endsWith('/') ? this.url : `${this.url}/`, globalThis.location?.href);
  }

  async #lost(code: number, reason: string): Promise<void> {
    this.#drop();
    const status = SENT_AWAY[code];
    if (status) return this.#refuse({ status, title: reason, detail: reason });
    if (this.#openedAt > 0 && Date.now() - this.#openedAt > SILENCE_OF_A_GOOD_SPELL_MS) this.#failures = 0;
    this.#failures++;
    this.#become(this.#you ? 'lost' : 'connecting');
    if (this.#state.ended && this.#openedAt > 0) {
      // Reconnecting at once would create the next room.
      for (const id of [...this.#waiting.keys()]) this.#give(id, failed('The room has ended'));
      return this.#become('ended');
    }
    // A browser does not say why a WebSocket was refused. An HTTP request to the same address gets the reason.
    if (this.#openedAt === 0 && this.#failures === 1) {
      const problem = await this.#whyRefused();
      if (this.#connection === 'closed' || this.#socket) return;
      if (problem) {
        return this.#refuse(problem);
      }
    }
    // The server closes with 1013 if this client reads too slowly. It may come back at once and gets the missed events.
    const wait = code === 1013 ? RECONNECT.firstMs : backoffMs(RECONNECT, this.#failures, Math.random());
    this.#retry = setTimeout(() => this.#connect(), wait);
  }

  #refuse(problem: Problem): void {
    for (const id of [...this.#waiting.keys()]) this.#give(id, new RequestError(problem));
    this.#become('refused', problem);
  }

  async #whyRefused(): Promise<Problem | null> {
    const { search } = new URL(this.#address());
    try {
      await this.#get(`/events${search}`);
    } catch (error) {
      const problem = error instanceof RequestError ? error.problem : null;
      if (problem && REFUSALS.includes(problem.status)) return problem;
    }
    return null;
  }

  async #get(path: string): Promise<unknown> {
    return (await this.#fetch(`${this.#resource}${path}`)).json();
  }

  async #fetch(url: string): Promise<Response> {
    const headers: Record<string, string> = this.#token ? { authorization: `Bearer ${this.#token}` } : {};
    const signal = AbortSignal.timeout(3000);
    const response = await fetch(url, { headers, cache: 'no-store', signal }).catch((error) => {
      throw RequestError.unreachable(error);
    });
    if (!response.ok) throw new RequestError(await problemFrom(response));
    return response;
  }

  #drop(): void {
    const socket = this.#socket;
    this.#socket = null;
    if (socket) {
      socket.onopen = socket.onmessage = socket.onclose = null;
      socket.close();
    }
    for (const [id, waiting] of this.#waiting) {
      // A repeated command has no further effect. Only a chat message would appear twice.
      if (waiting.sent && waiting.command.kind === 'chat') this.#give(id, failed('The connection was lost'));
      waiting.sent = false;
    }
  }

  #become(connection: Connection, problem?: Problem): void {
    if (connection === this.#connection && !problem) return;
    this.#connection = connection;
    this.emit('connection', { connection, ...(problem ? { problem } : {}) });
  }

  // Incoming messages

  #take(text: string): void {
    let frame: Frame;
    try {
      frame = JSON.parse(text) as Frame;
    } catch {
      return; // A message that is not JSON is ignored. The next snapshot has the whole state.
    }
    switch (frame.type) {
      case 'snapshot':
      case 'resumed':
        return this.#begin(frame);
      case 'event':
        return this.#event(frame);
      case 'ticket':
        this.#ticket = frame.ticket;
        this.emit('ticket', frame.ticket);
        return;
      case 'answer': {
        if (frame.ok) {
          const { type: _type, id, ok: _ok, ...shown } = frame;
          return this.#give(id, null, shown);
        }
        const { status = 500, title = 'Refused', detail = '', code } = frame.problem ?? {};
        return this.#give(frame.id, new RequestError({ status, title, detail, ...(code ? { code } : {}) }));
      }
    }
  }

  #begin(frame: Frame & { type: 'snapshot' | 'resumed' }): void {
    const { person, key } = frame.you;
    this.#you = key === undefined && this.#you?.key !== undefined ? { ...frame.you, key: this.#you.key } : frame.you;
    this.#epoch = frame.epoch;
    if (frame.type === 'snapshot') {
      this.#number = frame.number;
      this.#state = fromSnapshot(frame.room);
    }
    if (key !== undefined) this.#remember(person, key);
    this.#become('open');
    this.#sendWaiting();
    this.emit('state', this.#state);
  }

  #event({ number, at, event }: Frame & { type: 'event' }): void {
    if (this.#number !== null && number <= this.#number) return; // This event was received before the connection broke.
    if (this.#number !== null && number > this.#number + 1) {
      // An event is missing, so only a new snapshot is complete.
      this.#number = null;
      this.#drop();
      this.#connect();
      return;
    }
    this.#number = number;
    this.#state = applyEvent(this.#state, event);
    this.emit('event', { number, at, event });
    this.emit('state', this.#state);
  }

  // Outgoing commands

  #sendWaiting(): void {
    if (this.#connection !== 'open' || this.#socket?.readyState !== 1) return;
    for (const [id, waiting] of this.#waiting) {
      if (waiting.sent) continue;
      waiting.sent = true;
      this.#socket.send(JSON.stringify({ type: 'command', id, command: waiting.command }));
    }
  }

  #give(id: number, error: RequestError | null, result?: unknown): void {
    const waiting = this.#waiting.get(id);
    if (!waiting) return;
    this.#waiting.delete(id);
    clearTimeout(waiting.timer);
    if (error) waiting.reject(error);
    else waiting.resolve(result);
  }

  // Coming back as the same person

  #remembered(): { person?: string; key?: string } {
    if (this.#you?.key) return { person: this.#you.person, key: this.#you.key };
    try {
      const kept: unknown = JSON.parse(this.#memory?.getItem(this.#slot) ?? 'null');
      const { person, key } = (kept ?? {}) as { person?: unknown; key?: unknown };
      return typeof person === 'string' && typeof key === 'string' ? { person, key } : {};
    } catch {
      return {};
    }
  }

  #remember(person: string, key: string): void {
    try {
      this.#memory?.setItem(this.#slot, JSON.stringify({ person, key }));
    } catch {
      // If the storage is full or off, this person is a new guest after a reload.
    }
  }

  get #slot(): string {
    return `onmic.person.${this.room}.${this.#role ?? 'viewer'}`;
  }
}

function failed(detail: string): RequestError {
  return new RequestError({ status: 0, title: 'Not sent', detail });
}

function sessionMemory(): Storage | null {
  try {
    return globalThis.sessionStorage ?? null;
  } catch {
    return null; // The browser blocks storage for this page.
  }
}
