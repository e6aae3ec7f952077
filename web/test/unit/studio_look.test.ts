import { expect, it } from 'vitest';
import { cornerOf, placeIn } from '../../src/pages/studio_look';

it.each(['bottom-left', 'bottom-right', 'top-left', 'top-right', 'centre'] as const)('%s_is_recognised', (corner) => {
  for (const [width, height] of [
    [0.1, 0.1],
    [0.4, 0.2],
    [0.6, 0.3],
  ] as const) {
    const place = placeIn(corner, width, height);
    expect(cornerOf(place)).toBe(corner);
    expect(place.x >= 0 && place.y >= 0 && place.x + width <= 1 && place.y + height <= 1).toBe(true);
  }
});
