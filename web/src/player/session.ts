// Defines what the player needs of a playing session of any transport.

import type { ClockOffset } from './clock_offset';
import type { Latency } from './latency';
import type { LevelWish } from './levels';
import type { Picture } from './pictures';
import type { SessionReadings } from './stats';

export interface Session {
  readonly video: HTMLVideoElement;
  /** Is true once audio or video has arrived. */
  readonly receives: boolean;
  /** Is true if audio without a frame counts as playing. Then missing frames are not a stall either. */
  readonly mayLackPictures: boolean;
  /** Reads latency and statistics. Both are null if there is nothing to read yet. */
  measure(
    picture: Picture | null,
    clock: ClockOffset,
  ): Promise<{ latency: Latency | null; readings: SessionReadings | null }>;
  /**
   * Returns true if the session plays as close to the live edge as it can, or with a latency of about `otherwiseMs`.
   * Otherwise the session jumps or catches up, and a later frame is from there. `patienceMs` after the first call it
   * does not wait to come nearer.
   */
  align(picture: Picture | null, clock: ClockOffset, otherwiseMs?: number, patienceMs?: number): boolean;
  /** Asks for a level. It survives what the session survives, and a session that offers no levels ignores it. */
  choose(wish: LevelWish): void;
  /** Is called when the page comes back from the background, or the machine wakes from sleep. */
  wake(): void;
  /** Ends the session for good. It makes no callback afterwards. The last frame stays visible. */
  close(): void;
}
