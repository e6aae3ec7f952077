import { expect, it } from 'vitest';
import { FADE_MS, levels, PictureGaps, SoundLog } from '../../src/room/fade';

it('fade_begins_with_one_and_ends_with_the_other', () => {
  expect([levels(-5), levels(0), levels(FADE_MS), levels(9999)]).toEqual([
    { from: 1, to: 0 },
    { from: 1, to: 0 },
    { from: 0, to: 1 },
    { from: 0, to: 1 },
  ]);
});

it('never_both_at_full_and_always_the_same_power', () => {
  for (let t = 0; t <= FADE_MS; t += 1) {
    const { from, to } = levels(t);
    expect(from ** 2 + to ** 2).toBeCloseTo(1);
    expect(Math.min(from, to)).toBeLessThan(0.71);
  }
});

it('a_fade_has_no_gap_and_little_overlap', () => {
  const log = new SoundLog();
  log.note(-1000, 1, 0);
  for (let t = 0; t <= FADE_MS; t += 5) {
    const { from, to } = levels(t);
    log.note(t, from, to);
  }
  log.note(5000, 0, 1);
  expect([log.gapMs, log.overlapMs]).toEqual([0, 45]);
});

it('a_fade_whose_timer_sleeps_is_a_step_not_a_hole', () => {
  const log = new SoundLog();
  log.note(0, 1, 0);
  log.note(1000, 0, 1);
  log.note(2000, 0, 1);
  expect([log.gapMs, log.overlapMs]).toEqual([0, 0]);
});

it('a_hole_is_measured', () => {
  const log = new SoundLog();
  log.note(0, 1, 0);
  log.note(100, 0, 0);
  log.note(180, 0, 1);
  expect(log.gapMs).toBe(80);
});

it('longest_time_without_a_picture', () => {
  const gaps = new PictureGaps(0);
  for (const at of [33, 66, 133, 166]) gaps.picture(at);
  expect(gaps.longestMs).toBe(67);
});
