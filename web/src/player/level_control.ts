// Holds the viewer's wish for a level, and what each open session knows of its levels. A wish is passed to all sessions, so it
// survives a change of transport and a new session.
//
// What people see concerns the session that is shown. The driver (player.ts) says which one that is.

import {
  AUDIO_ONLY,
  type Level,
  type LevelChoice,
  type Levels,
  type LevelWish,
  NO_LEVELS,
  possible,
  sameLevels,
} from './levels';
import type { Size } from './player_size';

/** Defines what this module needs of a session. */
export interface Chooses {
  choose(wish: LevelWish): void;
}

export interface LevelsSeen {
  /** The best is first. It is empty where the transport offers no choice. */
  levels: readonly Level[];
  /** The key of the level that plays, `none` for audio only, or null while it is not known. */
  level: string | null;
  /** What was chosen: the key of a level, `none`, or `auto`. */
  choice: LevelChoice;
  /** What the network carries by the newest estimate, in bits per second. Null if there is none. */
  estimate: number | null;
}

export class LevelControl {
  readonly #onChange: () => void;
  readonly #sessions = new Map<Chooses, Levels>();
  #wish: LevelWish;
  #shown: Chooses | null = null;
  #told: [Levels, LevelChoice];

  constructor(choice: LevelChoice, onChange: () => void) {
    this.#wish = { choice, size: null, maxBitrate: null };
    this.#told = [NO_LEVELS, choice];
    this.#onChange = onChange;
  }

  get seen(): LevelsSeen {
    const { list, current, estimate } = this.#levels;
    return { levels: list, level: current, choice: this.#wish.choice, estimate };
  }

  /** Returns whether the viewer gets no video, because of the level. */
  get isAudioOnly(): boolean {
    const { list, current } = this.#levels;
    return current === AUDIO_ONLY || (list.length > 0 && this.#wish.choice === AUDIO_ONLY);
  }

  /** Returns whether the session, and not the viewer, chooses the level. */
  get isAutomatic(): boolean {
    return possible(this.#wish.choice, this.#levels.list) !== this.#wish.choice || this.#wish.choice === 'auto';
  }

  of(session: Chooses): Levels {
    return this.#sessions.get(session) ?? NO_LEVELS;
  }

  add(session: Chooses): void {
    this.#sessions.set(session, NO_LEVELS);
    session.choose(this.#wish);
  }

  remove(session: Chooses): void {
    this.#sessions.delete(session);
    if (session === this.#shown) this.show(null);
  }

  /** A session has told its levels. */
  told(session: Chooses, levels: Levels): void {
    if (!this.#sessions.has(session)) return;
    this.#sessions.set(session, levels);
    if (session === this.#shown) this.#tell();
  }

  show(session: Chooses | null): void {
    this.#shown = session;
    this.#tell();
  }

  choose(choice: LevelChoice): void {
    this.#ask({ ...this.#wish, choice, maxBitrate: null });
  }

  setSize(size: Size): void {
    this.#ask({ ...this.#wish, size });
  }

  /** Bounds the automatic choice until the viewer chooses a level. */
  setMaxBitrate(maxBitrate: number | null): void {
    if (maxBitrate !== this.#wish.maxBitrate) this.#ask({ ...this.#wish, maxBitrate });
  }

  get #levels(): Levels {
    return this.#shown ? this.of(this.#shown) : NO_LEVELS;
  }

  #ask(wish: LevelWish): void {
    this.#wish = wish;
    for (const session of this.#sessions.keys()) session.choose(wish);
    this.#tell();
  }

  #tell(): void {
    const [before, choice] = this.#told;
    if (choice === this.#wish.choice && sameLevels(before, this.#levels)) return;
    this.#told = [this.#levels, this.#wish.choice];
    this.#onChange();
  }
}
