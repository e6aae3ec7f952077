import { expect, it } from 'vitest';
import { FrameWatch } from '../../src/player/frame_watch';

it('the_first_frame_and_a_stall_are_each_reported_once', () => {
  const watch = new FrameWatch(2000);
  expect([watch.stalled(99_999), watch.picture(100_000), watch.picture(100_033)]).toEqual([false, true, false]);
  expect([watch.stalled(102_032), watch.stalled(102_033), watch.stalled(109_999)]).toEqual([false, true, false]);
  expect(watch.picture(110_000)).toBe(true);
});

it('time_while_paused_does_not_count_as_a_stall', () => {
  const watch = new FrameWatch(2000);
  watch.picture(0);
  watch.pause();
  expect(watch.stalled(60_000)).toBe(false);
  watch.resume(60_000);
  expect([watch.stalled(61_999), watch.stalled(62_000)]).toEqual([false, true]);
});

it('after_expect_the_next_frame_counts_as_the_first', () => {
  const watch = new FrameWatch(2000);
  watch.picture(0);
  watch.expect();
  expect([watch.flowing, watch.picture(10)]).toEqual([false, true]);
});
