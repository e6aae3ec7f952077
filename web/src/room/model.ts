// A room as its events describe it: the words of docs/ROOMS.md, typed. Nothing here does anything.

import type { LAYOUTS } from './layout_names';

export type Role = 'host' | 'co-host' | 'viewer' | 'admin';

export interface You {
  person: string;
  /** Proves that a later connection is the same person. */
  key?: string;
  name: string;
  role: Role;
}

export type SeatState = 'empty' | 'reserved' | 'connecting' | 'on-mic' | 'away';
export type MutedBy = 'host' | 'self' | null;

export interface Seat {
  seat: number;
  state: SeatState;
  locked: boolean;
  person?: string | null;
  name?: string | null;
  participant?: string | null;
  video?: boolean;
  audio?: boolean;
  muted_by?: { video: MutedBy; audio: MutedBy };
  speaking?: boolean;
}

export interface MicRequest {
  person: string;
  name: string;
  /** The seat asked for; null for any. */
  seat: number | null;
  since: string;
  state: string;
  /** Why the last attempt to go on mic did not work. */
  failed?: string | null;
}

export interface Invitation {
  person: string;
  name: string;
  seat: number | null;
  expires: string;
}

export interface Person {
  person: string;
  name: string;
  role?: Role;
}

export interface Host {
  /** Null if there is none, or only an encoder. */
  person: string | null;
  name: string;
  present: boolean;
}

/** How one source is heard and drawn; what the server does not say is at its default. */
export interface SourceSettings {
  gain_db?: number;
  denoise?: boolean;
  auto_gain?: boolean;
  chroma_key?: ChromaKey | null;
  fit?: 'crop' | 'contain';
}

export interface ChromaKey {
  /** `#rrggbb`. */
  colour: string;
  /** 0 to 1: how far from the colour still counts as it. */
  similarity: number;
  /** 0 to 1: how soft the edge is. */
  blend: number;
}

export interface RoomSource {
  participant: string;
  up: boolean;
  video: boolean;
  audio: boolean;
  speaking?: boolean;
}

export interface Pk {
  /** `proposed` by this room, `offered` by the other, or `on`. */
  state: 'proposed' | 'offered' | 'on';
  room: string;
  name?: string;
}

/** Parts of the canvas, 0 to 1. */
export interface Place {
  x: number;
  y: number;
  width: number;
  height: number;
  z?: number;
}

export type LayoutName = (typeof LAYOUTS)[number];
export type Layout = { kind: LayoutName } | { kind: 'custom'; places: Place[] };

interface OverlayBase {
  id: string;
  place: Place;
  z: number;
  opacity: number;
}
export interface TextOverlay extends OverlayBase {
  kind: 'text';
  title: string;
  lines: string[];
  colour: string;
  background: string;
}
export interface ImageOverlay extends OverlayBase {
  kind: 'image';
  /** A data URL of at most 512 KiB; in the state, the address of the picture, which may be sent back to keep it. */
  image: string;
}
export type Overlay = TextOverlay | ImageOverlay;

export interface Program {
  state: 'off' | 'pass-through' | 'mixed';
  layout: Layout;
  overlays: Overlay[];
  background: string;
  labels: boolean;
  borders?: boolean;
  /** By participant; those that are not as usual. */
  source_settings?: Record<string, SourceSettings>;
}

export interface Viewers {
  whep: number;
  hls: number;
  flv: number;
  rtmp: number;
}

export interface ChatMessage {
  /** Null for a backend. */
  person: string | null;
  name: string;
  text: string;
  at: string;
}

export interface RoomState {
  room: string;
  title: string;
  live: boolean;
  host: Host | null;
  locked: boolean;
  seats: Seat[];
  requests: MicRequest[];
  invitations: Invitation[];
  sources: RoomSource[];
  pk: Pk | null;
  program: Program;
  viewers: Viewers;
  /** How many are connected. */
  persons: number;
  /** Who they are, as far as the server says or events have told. */
  people: Person[];
  chat: ChatMessage[];
  /** The room was ended while this client was connected. */
  ended: boolean;
}

export type EventKind =
  | 'room-opened'
  | 'room-configured'
  | 'room-ended'
  | 'person-joined'
  | 'person-left'
  | 'host-changed'
  | 'host-away'
  | 'host-back'
  | 'mic-requested'
  | 'mic-withdrawn'
  | 'mic-refused'
  | 'mic-expired'
  | 'mic-granted'
  | 'mic-connecting'
  | 'mic-on'
  | 'mic-away'
  | 'mic-failed'
  | 'mic-left'
  | 'invited'
  | 'invitation-declined'
  | 'invitation-expired'
  | 'seat-changed'
  | 'source-up'
  | 'source-down'
  | 'pk-proposed'
  | 'pk-on'
  | 'pk-refused'
  | 'pk-ended'
  | 'program-changed'
  | 'speaking'
  | 'viewers-changed'
  | 'chat';

/** What changed, complete; which members are there depends on the kind. */
export interface RoomEvent {
  kind: EventKind;
  person?: string;
  name?: string;
  role?: Role;
  reason?: string;
  seat?: Seat | number | null;
  seats?: Seat[];
  request?: MicRequest | null;
  invitation?: Invitation;
  host?: Host | null;
  source?: RoomSource;
  participant?: string;
  speaking?: boolean;
  pk?: Pk | null;
  program?: Program;
  viewers?: Viewers;
  persons?: number;
  message?: ChatMessage;
  title?: string;
  locked?: boolean;
}

/** Leave to publish on one seat, for a few seconds. */
export interface Ticket {
  room: string;
  person: string;
  /** Null for a new host. */
  seat: number | null;
  participant: string;
  /** Path or URL. */
  whip: string;
  return: string;
  token?: string;
  expires: string;
  program_time: string | null;
}

export type Command =
  | { kind: 'request-mic'; seat: number | null }
  | { kind: 'withdraw' }
  | { kind: 'grant'; person: string; seat: number | null }
  | { kind: 'refuse'; person: string }
  | { kind: 'invite'; person: string; seat: number | null }
  | { kind: 'accept' }
  | { kind: 'decline' }
  | { kind: 'leave-mic' }
  /** The media of this person's ticket could not be connected: back to the queue. */
  | { kind: 'connect-failed'; reason: string }
  | { kind: 'renew-ticket' }
  | { kind: 'remove'; person: string }
  | { kind: 'mute'; person: string; audio?: boolean; video?: boolean }
  | { kind: 'lock-seat'; seat: number; locked: boolean }
  | { kind: 'move'; person: string; seat: number }
  | { kind: 'hand-over'; person: string }
  | { kind: 'propose-pk'; room: string }
  | { kind: 'accept-pk' }
  | { kind: 'refuse-pk' }
  | { kind: 'end-pk' }
  | { kind: 'set-layout'; layout: Layout }
  | { kind: 'set-overlays'; overlays: Overlay[] }
  | { kind: 'set-look'; background?: string; labels?: boolean; borders?: boolean }
  | ({ kind: 'set-source'; participant: string } & SourceSettings)
  | { kind: 'chat'; text: string };
