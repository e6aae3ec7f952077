import { expect, it } from 'vitest';
import { Pace } from '../../src/room/pace';

/** Returns whether the pace is even after each frame, for frames with these intervals in milliseconds. */
function even(...intervals: number[]): boolean[] {
  const pace = new Pace();
  let at = 1000;
  pace.picture(at);
  return intervals.map((interval) => {
    at += interval;
    return pace.picture(at);
  });
}

it('frames_are_even_from_the_third_equal_interval_on', () => {
  expect(even(33, 33, 33, 33)).toEqual([false, false, true, true]);
});

it('a_frame_rate_that_does_not_divide_the_refreshes_of_the_display_is_even', () => {
  expect(even(33, 50, 33, 50).at(-1)).toBe(true); // 24 frames per second.
  expect(even(17, 33, 17, 17).at(-1)).toBe(true); // 50 frames per second.
  expect(even(100, 100, 117).at(-1)).toBe(true); // 10 frames per second.
});

it('a_late_frame_or_a_jump_begins_anew', () => {
  expect(even(33, 33, 33, 83, 33, 33, 33)).toEqual([false, false, true, false, false, false, true]);
});
