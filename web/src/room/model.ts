// Defines a room as its events describe it, in the words of docs/ROOMS.md: the types of the OpenAPI document, and what
// this client adds.

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
/** How one source is heard and drawn. A member that the server leaves out has its default. */
export type SourceSettings = Partial<Omit<Schemas['SourceLook'], 'chroma_key'>> & { chroma_key?: ChromaKey | null };
export type Pk = Schemas['Pk'];
/** A place in fractions of the canvas, from 0 to 1. */
export type Place = Schemas['Place'];
export type LayoutName = (typeof LAYOUTS)[number];
export type Layout = Schemas['Layout'];
/** An overlay as the server sends it, with every member. */
export type Overlay = Required<Schemas['OverlayBody']>;
export type TextOverlay = Extract<Overlay, { kind: 'text' }>;
export type ImageOverlay = Extract<Overlay, { kind: 'image' }>;
export type Viewers = Schemas['Audience'];
export type ChatMessage = Schemas['Message'];
/** The right to publish on one seat. It expires after a few seconds. */
export type Ticket = Schemas['Ticket'];
export type Command = Schemas['WireCommand'];

/** A person in the room. The role is known only of persons who came after this client. */
export type Person = Omit<Schemas['Person'], 'role'> & { role?: Role };

/** A source. Events, and not the state, say whether it speaks. */
export type RoomSource = Schemas['RoomSource'] & { speaking?: boolean };

export type Program = Omit<Schemas['RoomProgram'], 'overlays' | 'source_settings'> & {
  overlays: Overlay[];
  /** The settings that differ from the default, by participant. */
  source_settings: Record<string, SourceSettings>;
};

export type RoomState = Omit<Schemas['RoomState'], 'host' | 'sources' | 'program' | 'kept' | 'settings' | 'pk'> & {
  host: Host | null;
  sources: RoomSource[];
  program: Program;
  pk: Pk | null;
  /** The persons in the room, as far as the server or events have named them. */
  people: Person[];
  /** The room was ended while this client was connected. */
  ended: boolean;
};

export type EventKind = Schemas['RoomEvent']['kind'];

type KeysOf<Union> = Union extends Union ? keyof Union : never;
type Member<Union, Key extends PropertyKey> = Union extends Record<Key, infer Value> ? Value : never;

/** What has changed of the program. Overlays and settings of sources are complete where they are there, and else as they were. */
export type ProgramChange = Omit<Program, 'overlays' | 'source_settings'> &
  Partial<Pick<Program, 'overlays' | 'source_settings'>>;

/** An event. Each member but the program is a complete new value. The kind decides which members are present. */
export type RoomEvent = { kind: EventKind } & {
  [Key in Exclude<KeysOf<Schemas['RoomEvent']>, 'kind' | 'source' | 'program'>]?: Member<Schemas['RoomEvent'], Key>;
} & { source?: RoomSource; program?: ProgramChange };
