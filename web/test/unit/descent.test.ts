import { describe, expect, it } from 'vitest';
import { Descent, type Step } from '../../src/player/descent';
import { LevelControl } from '../../src/player/level_control';
import type { Level, Levels, LevelWish } from '../../src/player/levels';
import type { Poor, Verdict } from '../../src/player/network_watch';

const level = (key: string, bitrate: number | null): Level => ({
  key,
  width: null,
  height: null,
  bitrate,
  frameRate: 30,
  onDemand: false,
});
const LIST = [level('video', 2_500_000), level('video1', 800_000), level('video2', 300_000)];
const WELL: Verdict = { poor: null, harm: 0, fit: true };
const poor = (reason: Poor = 'frozen', harm = 0.3): Verdict => ({ poor: reason, harm, fit: false });
const LOSSY = poor('lossy', 0.8);

/** Judges every half second in virtual time, as the player does. */
class Bench {
  now = 0;
  levels: Levels = { list: LIST, current: 'video', estimate: null };
  isAutomatic = true;
  readonly descent = new Descent();

  plays(current: string, estimate: number | null = this.levels.estimate): this {
    this.levels = { ...this.levels, current, estimate };
    return this;
  }

  judge(verdict: Verdict): Step {
    this.now += 500;
    return this.descent.judge(verdict, this.levels, this.isAutomatic, this.now);
  }

  /** Judges for `ms`, or until the session is left, and returns the last step. */
  run(verdict: Verdict, ms: number): Step {
    const end = this.now + ms;
    let step = this.judge(verdict);
    while (this.now < end && !step.leave) step = this.judge(verdict);
    return step;
  }
}

const stay = (maxBitrate: number | null = null): Step => ({ leave: false, anew: false, maxBitrate });
const anew = (maxBitrate: number | null = null): Step => ({ leave: false, anew: true, maxBitrate });

describe('descent', () => {
  it('without_an_estimate_the_next_lower_level_is_asked_for_and_the_watch_begins_anew_there', () => {
    const bench = new Bench();
    expect(bench.judge(poor())).toEqual(stay(800_000));
    expect(bench.judge(poor())).toEqual(stay(800_000));
    expect(bench.plays('video1').judge(poor())).toEqual(anew(800_000));
    expect(bench.run(WELL, 10_000)).toEqual(stay(800_000));
  });

  it('ll_hls_comes_only_after_the_lowest_level', () => {
    const bench = new Bench();
    bench.judge(poor());
    bench.plays('video1').judge(poor());
    expect(bench.run(WELL, 7000)).toEqual(stay(800_000));
    expect(bench.judge(poor())).toEqual(stay(300_000));
    expect(bench.plays('video2').judge(poor())).toEqual(anew(300_000));
    expect(bench.run(WELL, 7000).leave).toBe(false);
    expect(bench.judge(poor()).leave).toBe(true);
  });

  it('audio_only_that_does_not_play_is_left', () => {
    expect(new Bench().plays('none').judge(poor('audio_gaps', 0.1)).leave).toBe(true);
  });

  it('the_node_may_lower_the_level_by_its_estimate_first', () => {
    const bench = new Bench().plays('video', 1_200_000);
    expect(bench.judge(poor())).toEqual(stay());
    expect(bench.plays('video1').judge(poor())).toEqual(anew());
    // It does not, so the player asks for the best level that the estimate allows.
    const idle = new Bench().plays('video', 500_000);
    expect(idle.run(poor(), 1000)).toEqual(stay());
    expect(idle.judge(poor())).toEqual(stay(300_000));
  });

  it('an_estimate_that_says_all_is_well_is_not_believed', () => {
    expect(new Bench().plays('video', 9_000_000).judge(poor())).toEqual(stay(800_000));
  });

  it('a_level_that_the_node_lowers_by_itself_begins_the_watch_anew', () => {
    const bench = new Bench();
    bench.judge(WELL);
    expect(bench.plays('video1').judge(WELL)).toEqual(anew());
    expect(bench.plays('none').judge(WELL)).toEqual(anew());
    expect(bench.plays('video').judge(WELL)).toEqual(stay());
  });

  it('a_node_that_does_not_lower_the_level_in_time_is_not_waited_for', () => {
    const bench = new Bench();
    expect(bench.run(poor(), 30_000).leave).toBe(true);
    expect(bench.now).toBe(3000);
  });

  it.each([LOSSY, poor('frozen', 1)])(
    'where_nearly_nothing_plays_the_lowest_level_has_a_second_and_a_half_%#',
    (verdict) => {
      const bench = new Bench();
      expect(bench.judge(verdict)).toEqual(stay(300_000));
      expect(bench.plays('video2').judge(verdict).leave).toBe(false);
      expect(bench.run(verdict, 30_000).leave).toBe(true);
      expect(bench.now - 500).toBeLessThanOrEqual(1500);
    },
  );

  it('if_the_lowest_level_plays_then_it_is_watched_anew', () => {
    const bench = new Bench();
    bench.judge(LOSSY);
    bench.plays('video2').judge(LOSSY);
    expect(bench.judge(WELL)).toEqual(anew(300_000));
    expect(bench.run(WELL, 5000)).toEqual(stay(300_000));
    expect(bench.judge(LOSSY).leave).toBe(true);
  });

  it('it_is_left_at_once_without_lower_levels_or_by_the_viewers_own_choice', () => {
    expect(new Bench().plays('video2').judge(LOSSY).leave).toBe(true);
    const none = new Bench();
    none.levels = { list: [], current: null, estimate: null };
    expect(none.judge(poor())).toEqual({ leave: true, anew: false, maxBitrate: null });
    const chosen = new Bench();
    chosen.isAutomatic = false;
    expect(chosen.judge(poor())).toEqual({ leave: true, anew: false, maxBitrate: null });
  });

  it('a_session_that_is_left_is_not_asked_for_levels_again_while_it_is_poor', () => {
    const bench = new Bench();
    const left = bench.run(poor(), 30_000);
    expect(bench.judge(poor())).toEqual(left);
    expect(bench.judge(LOSSY)).toEqual(left);
    // After LL-HLS it begins anew, at the bound at which WebRTC was left.
    bench.now += 40_000;
    expect(bench.plays('video1').judge(WELL)).toEqual(anew(800_000));
    expect(bench.judge(poor())).toEqual(stay(300_000));
  });

  it('the_bound_is_lifted_after_30_s_and_twice_as_late_when_harm_returns', () => {
    const bench = new Bench();
    const lifts: number[] = [];
    for (let turn = 0; turn < 6; turn++) {
      bench.plays('video').judge(poor());
      expect(bench.plays('video1').judge(poor()).maxBitrate).toBe(800_000);
      const since = bench.now;
      while (bench.judge(WELL).maxBitrate !== null) expect(bench.now).toBeLessThan(10_000_000);
      lifts.push((bench.now - since) / 1000);
    }
    expect(lifts).toEqual([30, 60, 120, 240, 300, 300]);
  });

  it('a_level_of_unknown_bit_rate_cannot_be_asked_for', () => {
    const bench = new Bench();
    bench.levels = { list: [level('video', 2_500_000), level('video1', null)], current: 'video', estimate: null };
    expect(bench.judge(poor()).leave).toBe(true);
  });

  it('with_any_levels_and_verdicts_poor_webrtc_is_left_in_bounded_time', () => {
    for (let seed = 1; seed <= 300; seed++) {
      let random = seed;
      const next = (below: number) => {
        random = (Math.imul(random, 1_664_525) + 1_013_904_223) >>> 0;
        return Math.floor((random / 2 ** 32) * below);
      };
      const bench = new Bench();
      for (let step = 0; step < 60; step++) {
        const current = ['video', 'video1', 'video2', 'none', 'gone'][next(5)] as string;
        bench.plays(current, [null, 100_000, 1_000_000, 5_000_000][next(4)] as number | null);
        bench.judge([WELL, poor(), LOSSY][next(3)] as Verdict);
      }
      const since = bench.now;
      expect(bench.run([poor(), LOSSY][next(2)] as Verdict, 60_000).leave, `seed ${seed}`).toBe(true);
      expect(bench.now - since, `seed ${seed}`).toBeLessThanOrEqual(20_500);
    }
  });
});

it('a_bound_that_stays_the_same_asks_for_nothing', () => {
  const asked: LevelWish[] = [];
  const control = new LevelControl('auto', () => {});
  control.add({ choose: (wish) => asked.push(wish) });
  for (const bound of [null, 300_000, 300_000, null]) control.setMaxBitrate(bound);
  expect(asked.map(({ maxBitrate }) => maxBitrate)).toEqual([null, 300_000, null]);
});
