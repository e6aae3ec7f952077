// What the player asks of a playing session, whichever its transport.

import type { ClockOffset } from './clock_offset';
import type { Latency } from './latency';
import type { Picture } from './pictures';
import type { SessionReadings } from './stats';

export interface Session {
  readonly video: HTMLVideoElement;
  /** False for a program of sound only, for which still pictures are no stall. */
  readonly hasPictures: boolean;
  /** Both null when there is nothing to read yet. */
  measure(
    picture: Picture | null,
    clock: ClockOffset,
  ): Promise<{ latency: Latency | null; readings: SessionReadings | null }>;
  /**
   * True when it plays as close to now as it can, or about as late as `otherwiseMs`. If not it jumps or hurries there, and
   * a picture to come is from there. `patienceMs` after the first call it is true in any case.
   */
  align(picture: Picture | null, clock: ClockOffset, otherwiseMs?: number, patienceMs?: number): boolean;
  /** The page came back from the background, or the machine from sleep. */
  wake(): void;
  /** Ends it for good; nothing is called back afterwards. Leaves the last picture standing. */
  close(): void;
}
