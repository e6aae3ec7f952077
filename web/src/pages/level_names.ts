// Names the levels for people: by their height, as 720p, and by more where that is not enough to tell them apart. It is
// pure.

import { bitRate } from '../api/room';
import type { Level } from '../player';

const HIGH_RATE = 40; // From this many frames per second on, the name has them: 720p60.

/** Returns a name for each level, all different, in the order of `levels`. */
export function levelNames(levels: readonly Level[]): string[] {
  const plain = levels.map(plainName);
  return levels.map(({ key, bitrate }, at) => {
    const name = plain[at] ?? key;
    const isAlone = plain.filter((other) => other === name).length === 1;
    if (isAlone) return name;
    const rate = bitrate === null ? '' : bitRate(bitrate);
    const twins = levels.filter((_, other) => plain[other] === name);
    const tells =
      rate !== '' && twins.filter((twin) => twin.bitrate !== null && bitRate(twin.bitrate) === rate).length === 1;
    return `${name} · ${tells ? rate : key}`;
  });
}

/** The shorter side counts, so that an upright video has the name of a lying one. */
function plainName({ key, width, height, frameRate }: Level): string {
  if (width === null || height === null) return key;
  const isFast = frameRate !== null && frameRate >= HIGH_RATE;
  return `${Math.min(width, height)}p${isFast ? Math.round(frameRate) : ''}`;
}
