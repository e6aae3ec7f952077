// A room as its events describe it, in the words of docs/ROOMS.md: the types of the OpenAPI document, and what this client adds.

import type { components } from '../api/schema';
import type { LAYOUTS } from './layout_names';

type Schemas = components['schemas'];

export type Role = Schemas['Role'];
export type You = Schemas['You'];
export type SeatState = Schemas['SeatState'];
export type MutedBy = Schemas['MutedBy'] | null;
export type Seat = Schemas['Seat'];
export type MicRequest = Schemas['Request'];
export type Invitation = Schemas['Invitation'];
export type Host = Schemas['Host'];
export type ChromaKey = Required<Schemas['ChromaKey']>;
/** How one source is heard and drawn; what the server does not say is at its default. */
export type SourceSettings = Partial<Omit<Schemas['SourceLook'], 'chroma_key'>> & { chroma_key?: ChromaKey | null };
export type Pk = Schemas['Pk'];
/** Parts of the canvas, 0 to 1. */
export type Place = Schemas['Place'];
export type LayoutName = (typeof LAYOUTS)[number];
export type Layout = Schemas['Layout'];
/** As the server tells them: with every member. */
export type Overlay = Required<Schemas['OverlayBody']>;
export type TextOverlay = Extract<Overlay, { kind: 'text' }>;
export type ImageOverlay = Extract<Overlay, { kind: 'image' }>;
export type Viewers = Schemas['Audience'];
export type ChatMessage = Schemas['Message'];
/** The right to publish on one seat, for a few seconds. */
export type Ticket = Schemas['Ticket'];
export type Command = Schemas['WireCommand'];

/** Somebody in the room; the role is known of those who came after this client. */
export type Person = Omit<Schemas['Person'], 'role'> & { role?: Role };

/** Whether it speaks is told by events, not by the state. */
export type RoomSource = Schemas['RoomSource'] & { speaking?: boolean };

export type Program = Omit<Schemas['RoomProgram'], 'overlays' | 'source_settings'> & {
  overlays: Overlay[];
  /** By participant; those that are not as usual. */
  source_settings: Record<string, SourceSettings>;
};

export type RoomState = Omit<Schemas['RoomState'], 'host' | 'sources' | 'program' | 'kept' | 'settings' | 'pk'> & {
  host: Host | null;
  sources: RoomSource[];
  program: Program;
  pk: Pk | null;
  /** The persons in the room, as far as the server says or events have told. */
  people: Person[];
  /** The room was ended while this client was connected. */
  ended: boolean;
};

export type EventKind = Schemas['RoomEvent']['kind'];

type KeysOf<Union> = Union extends Union ? keyof Union : never;
type Member<Union, Key extends PropertyKey> = Union extends Record<Key, infer Value> ? Value : never;

/** What changed, complete; which members are there depends on the kind. */
export type RoomEvent = { kind: EventKind } & {
  [Key in Exclude<KeysOf<Schemas['RoomEvent']>, 'kind' | 'source' | 'program'>]?: Member<Schemas['RoomEvent'], Key>;
} & { source?: RoomSource; program?: Program };
