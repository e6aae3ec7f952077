// Defines the levels of the video: the qualities among which a viewer may choose, and the wish for one of them. Reads them
// from the event `layers` of a WHEP session.
//
// A level is named by the key of its track, the same for WHEP and LL-HLS. Below all levels is audio only. What a node states
// is bounded here, and an event that is not as expected is no event.

export interface Level {
  /** The name of its track: `video`, `video1` and so on. */
  key: string;
  /** The size as it is shown, in pixels. Null while it is not known. */
  width: number | null;
  height: number | null;
  /** In bits per second. By LL-HLS it is the peak, and includes audio. */
  bitrate: number | null;
  /** In frames per second. */
  frameRate: number | null;
  /** Whether the node makes it only while somebody needs it. */
  onDemand: boolean;
}

/** The key of a level, `none` for audio only, or `auto`: what the network carries and the player can show. */
export type LevelChoice = string;

export const AUDIO_ONLY = 'none';
export const AUTOMATIC = 'auto';

/** What a session knows of its levels. */
export interface Levels {
  /** The best is first. It is empty where nothing can be chosen. */
  list: readonly Level[];
  /** What the viewer gets: the key of a level, `none`, or null while it is not known. */
  current: string | null;
  /** What the network carries by the node's estimate, in bits per second, if it has one. */
  estimate: number | null;
}

export const NO_LEVELS: Levels = { list: [], current: null, estimate: null };

/** What is asked of a session. */
export interface LevelWish {
  choice: LevelChoice;
  /** The size of the player, in device pixels, if it is known. It bounds the automatic choice. */
  size: { width: number; height: number } | null;
  /** The most that the automatic choice may take, in bits per second. */
  maxBitrate: number | null;
}

const LEVELS_LIMIT = 64; // A node has 6 renditions and fewer rungs.
const KEY = /^[\w-]{1,64}$/;

/** Reads the data of an event `layers` for the media section `mid`. Returns null if it does not have the expected shape. */
export function levelsFrom(data: string, mid: string): Levels | null {
  const media = member(parsed(data), mid);
  const active = member(media, 'active');
  if (!Array.isArray(active)) return null;
  const current = member(media, 'current');
  return {
    list: active.slice(0, LEVELS_LIMIT).flatMap(levelFrom),
    current: typeof current === 'string' && KEY.test(current) ? current : null,
    estimate: amount(member(media, 'estimate')),
  };
}

function levelFrom(stated: unknown): Level[] {
  const key = member(stated, 'encodingId');
  if (typeof key !== 'string' || !KEY.test(key) || key === AUDIO_ONLY || key === AUTOMATIC) return [];
  return [
    {
      key,
      width: amount(member(stated, 'width')),
      height: amount(member(stated, 'height')),
      bitrate: amount(member(stated, 'bitrate')),
      frameRate: amount(member(stated, 'frameRate')),
      onDemand: member(stated, 'onDemand') === true,
    },
  ];
}

/** Returns the level that `choice` names if there is one, `none`, or else `auto`. */
export function possible(choice: LevelChoice, list: readonly Level[]): LevelChoice {
  const isKnown = choice === AUDIO_ONLY || list.some(({ key }) => key === choice);
  return isKnown ? choice : AUTOMATIC;
}

export function sameLevels(a: Levels, b: Levels): boolean {
  return JSON.stringify([a.list, a.current]) === JSON.stringify([b.list, b.current]);
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function member(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, name)
    ? (value as Record<string, unknown>)[name]
    : undefined;
}

function amount(value: unknown): number | null {
  return typeof value === 'number' && Number.isFinite(value) && value > 0 ? value : null;
}
