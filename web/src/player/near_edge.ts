// Decides how LL-HLS takes over from a transport that plays closer to the present. A viewer who comes from WebRTC sees
// again what lies between the two. So LL-HLS starts as near to the end of its buffer as it can, and then plays a little
// slower until it is as far from the live edge as the playlist asks for.
//
// This is pure: positions and seconds in, positions and rates out.

/** The distance to the live edge at which such a player begins to load. It grows by the time that loading takes. */
export const NEAR_S = 0.3;

/**
 * The longest delay of a part, compared with the one before, that is not seen as a stall: half a part. A viewer sees all of it again.
 * With parts of 200 ms that is 100 ms, and slower playback adds as much in two seconds.
 */
const SPARE_PARTS = 0.5;
const SPARE_MAX_S = 0.2;
/** A jump over less than this is not worth the time that the decoder needs for it. */
const WORTH_S = 0.1;
/** Speech and music that are slowed down by 5 % sound natural. A second of distance takes 20 s. */
const EASING_RATE = 0.95;
const NEAR_ENOUGH_S = 0.05;

export interface Buffer {
  position: number;
  /** The end of what is buffered ahead of the position. */
  end: number;
  /** The end of the playlist. */
  edge: number;
  /** The longest duration of a part. */
  partTarget: number;
  /** The time since the buffer grew last. */
  ageS: number;
}

/** Returns whether all parts that exist are buffered, but for the newest one. */
export function isWhole({ end, edge, partTarget }: Buffer): boolean {
  return edge - end <= partTarget * 1.25; // Audio may end a little earlier than video.
}

/** Returns the position to jump to, or null if playback is near enough. */
export function nearestStart({ position, end, edge, partTarget, ageS }: Buffer): number | null {
  // The next part is being loaded, or else it comes one part after the last one.
  const waitS = edge - end > partTarget / 2 ? 0 : Math.max(0, partTarget - ageS);
  const start = end - Math.min(SPARE_MAX_S, SPARE_PARTS * partTarget) - waitS;
  return start - position > WORTH_S ? start : null;
}

/** Returns the rate of playback at this latency, by the player's own measure. */
export function easingRate(latencyS: number, targetS: number): number {
  return targetS - latencyS > NEAR_ENOUGH_S ? EASING_RATE : 1;
}
