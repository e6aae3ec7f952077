import { expect, it } from 'vitest';
import { ClockOffset } from '../../src/player/clock_offset';

it('without_samples_both_clocks_count_as_equal', () => {
  const clock = new ClockOffset();
  expect([clock.known, clock.offsetMs, clock.errorMs, clock.toNode(5)]).toEqual([
    false,
    0,
    Number.POSITIVE_INFINITY,
    5,
  ]);
});

it('the_sample_with_the_shortest_round_trip_is_used', () => {
  const clock = new ClockOffset();
  clock.add({ sentAt: 1000, receivedAt: 1400, nodeNow: 6500 });
  clock.add({ sentAt: 2000, receivedAt: 2010, nodeNow: 7005 });
  clock.add({ sentAt: 3000, receivedAt: 3300, nodeNow: 8290 });
  expect([clock.offsetMs, clock.errorMs, clock.toNode(100)]).toEqual([5000, 5, 5100]);
});

it('the_true_offset_is_within_the_stated_error_for_any_split_of_the_round_trip', () => {
  for (let outward = 0; outward <= 80; outward += 10) {
    const clock = new ClockOffset();
    clock.add({ sentAt: 1000, receivedAt: 1080, nodeNow: 1000 + outward - 250 });
    expect(Math.abs(clock.offsetMs + 250)).toBeLessThanOrEqual(clock.errorMs);
  }
});

it('samples_older_than_ten_minutes_are_discarded', () => {
  const clock = new ClockOffset();
  clock.add({ sentAt: 0, receivedAt: 2, nodeNow: 1 });
  clock.add({ sentAt: 700_000, receivedAt: 700_100, nodeNow: 700_090 });
  expect(clock.offsetMs).toBe(40);
});

it('impossible_samples_are_dropped', () => {
  const clock = new ClockOffset();
  clock.add({ sentAt: 10, receivedAt: 5, nodeNow: 1 });
  clock.add({ sentAt: 10, receivedAt: 15, nodeNow: Number.NaN });
  expect(clock.known).toBe(false);
});

it('only_16_samples_are_kept_and_reset_discards_them', () => {
  const clock = new ClockOffset();
  clock.add({ sentAt: 0, receivedAt: 1, nodeNow: 1000 });
  for (let i = 1; i <= 16; i++) clock.add({ sentAt: i * 100, receivedAt: i * 100 + 20, nodeNow: i * 100 + 10 });
  expect(clock.offsetMs).toBe(0);
  clock.reset();
  expect(clock.known).toBe(false);
});

it('a_sample_that_contradicts_older_ones_replaces_them_because_a_clock_was_set', () => {
  for (const step of [3_600_000, -3_600_000, 400, -400]) {
    const clock = new ClockOffset();
    for (let i = 0; i < 5; i++) clock.add({ sentAt: i * 10, receivedAt: i * 10 + 2, nodeNow: i * 10 + 1 });
    clock.add({ sentAt: 60_000, receivedAt: 60_080, nodeNow: 60_040 + step });
    expect([clock.offsetMs, clock.errorMs]).toEqual([step, 40]);
  }
});

it('a_sample_that_was_delayed_on_its_way_replaces_nothing', () => {
  const clock = new ClockOffset();
  clock.add({ sentAt: 0, receivedAt: 2, nodeNow: 1 });
  clock.add({ sentAt: 60_000, receivedAt: 61_500, nodeNow: 61_450 });
  expect([clock.offsetMs, clock.errorMs]).toEqual([0, 1]);
});
