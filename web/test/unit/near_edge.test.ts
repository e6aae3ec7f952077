import { expect, it } from 'vitest';
import { easingRate, isWhole, nearestStart } from '../../src/player/near_edge';

const buffer = { position: 10, end: 10.6, edge: 10.6, partTarget: 0.2, ageS: 0 };

it('starts_one_part_and_some_spare_time_before_the_end_of_the_buffer', () => {
  expect(nearestStart(buffer)).toBeCloseTo(10.3, 6); // Half a part of spare time,
  expect(nearestStart({ ...buffer, end: 11, edge: 11, partTarget: 0.5 })).toBeCloseTo(10.3, 6); // but no more than 0.2 s.
});

it('starts_nearer_to_the_end_if_the_next_part_comes_soon', () => {
  expect(nearestStart({ ...buffer, ageS: 0.15 })).toBeCloseTo(10.45, 6);
  expect(nearestStart({ ...buffer, ageS: 5 })).toBeCloseTo(10.5, 6); // A late part brings it no nearer.
  expect(nearestStart({ ...buffer, edge: 10.8 })).toBeCloseTo(10.5, 6); // It is being loaded.
});

it('is_not_whole_while_more_than_the_newest_part_is_missing', () => {
  expect(isWhole(buffer)).toBe(true);
  expect(isWhole({ ...buffer, end: 10.4 })).toBe(true);
  expect(isWhole({ ...buffer, end: 10.2 })).toBe(false);
});

it('does_not_jump_back_nor_over_a_few_frames', () => {
  expect(nearestStart({ ...buffer, position: 10.22 })).toBeNull();
  expect(nearestStart({ ...buffer, position: 10.4 })).toBeNull();
});

it('plays_slower_until_the_target_latency_is_reached', () => {
  expect(easingRate(0.4, 0.6)).toBe(0.95);
  expect(easingRate(0.56, 0.6)).toBe(1);
  expect(easingRate(0.8, 0.6)).toBe(1);
});
