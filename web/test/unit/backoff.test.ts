import { expect, it } from 'vitest';
import { backoffMs } from '../../src/player/backoff';

const backoff = { firstMs: 1000, limitMs: 8000 };

it('the_waiting_time_doubles_up_to_the_limit', () => {
  expect([1, 2, 3, 4, 5, 5000].map((failures) => backoffMs(backoff, failures, 0.5))).toEqual([
    1000, 2000, 4000, 8000, 8000, 8000,
  ]);
});

it('the_waiting_time_is_spread_by_20_percent', () => {
  expect([0, 0.999999].map((random) => backoffMs(backoff, 1, random))).toEqual([800, 1200]);
});
