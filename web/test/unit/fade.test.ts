import { expect, it } from 'vitest';
import { FADE_MS, levels, PictureGaps, SoundLog } from '../../src/room/fade';

it('a_fade_begins_with_the_old_player_and_ends_with_the_new_one', () => {
  expect([levels(-5), levels(0), levels(FADE_MS), levels(9999)]).toEqual([
    { from: 1, to: 0 },
    { from: 1, to: 0 },
    { from: 0, to: 1 },
    { from: 0, to: 1 },
  ]);
});

it('a_fade_has_constant_power_and_never_both_players_at_full_level', () => {
  for (let t = 0; t <= FADE_MS; t += 1) {
    const { from, to } = levels(t);
    expect(from ** 2 + to ** 2).toBeCloseTo(1);
    expect(Math.min(from, to)).toBeLessThan(0.71);
  }
});

it('a_fade_has_no_gap_and_an_overlap_of_45_ms', () => {
  const log = new SoundLog();
  log.note(-1000, 1, 0);
  for (let t = 0; t <= FADE_MS; t += 5) {
    const { from, to } = levels(t);
    log.note(t, from, to);
  }
  log.note(5000, 0, 1);
  expect([log.gapMs, log.overlapMs]).toEqual([0, 45]);
});

it('a_fade_with_a_late_timer_is_a_step_without_a_gap', () => {
  const log = new SoundLog();
  log.note(0, 1, 0);
  log.note(1000, 0, 1);
  log.note(2000, 0, 1);
  expect([log.gapMs, log.overlapMs]).toEqual([0, 0]);
});

it('a_gap_in_the_audio_is_measured', () => {
  const log = new SoundLog();
  log.note(0, 1, 0);
  log.note(100, 0, 0);
  log.note(180, 0, 1);
  expect(log.gapMs).toBe(80);
});

it('the_longest_time_without_a_frame_is_measured', () => {
  const gaps = new PictureGaps(0);
  for (const at of [33, 66, 133, 166]) gaps.picture(at);
  expect(gaps.longestMs).toBe(67);
});
