import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { type NetworkReadings, NetworkWatch, type RtpReadings, type Verdict } from '../../src/player/network_watch';
import { MEDIA_REASONS } from '../../src/player/transport_words';
import { NO_RTP } from '../../src/player/whep_statistics';

/** Says what happens in a second of a session. The rest is a good network. */
interface Second {
  fps?: number;
  /** The part of the packets that is lost, repaired or not. */
  loss?: number;
  frozenMs?: number;
  /** The part of the audio that the browser makes up. */
  concealed?: number;
  silent?: number;
  videoPackets?: number;
  audioPackets?: number;
  rttMs?: number;
}

/** Plays a trace of a session, with two readings a second, as the player takes them. */
class Trace {
  now = 0;
  /** By how much each reading is late, and measures a longer time. */
  lateMs = 0;
  readonly watch: NetworkWatch;
  readonly #rtp: RtpReadings = { ...NO_RTP, rttMs: 50 };
  #frozenMs = 0;
  verdict: Verdict;

  constructor(usualFps: number | null = null) {
    this.watch = new NetworkWatch(usualFps);
    this.verdict = this.watch.sample(this.#readings(), 0);
  }

  #readings(): NetworkReadings {
    return { frozenMs: this.#frozenMs, rtp: { ...this.#rtp } };
  }

  /** Plays this second `seconds` times, and returns after how many seconds the session was found to be poor, or null. */
  play(seconds: number, second: Second = {}): number | null {
    let poorAt: number | null = null;
    const began = this.now;
    const rtp = this.#rtp;
    for (let half = 0; half < seconds * 2; half++) {
      const { fps = 30, loss = 0, frozenMs = 0, concealed = 0, silent = 0, rttMs = 50 } = second;
      const { videoPackets = 270, audioPackets = 50 } = second;
      rtp.frames += fps / 2;
      rtp.videoPackets += (videoPackets * (1 - loss)) / 2;
      rtp.packets += ((videoPackets + audioPackets) * (1 - loss)) / 2;
      rtp.lost += ((videoPackets + audioPackets) * loss) / 2;
      rtp.audioLost += (audioPackets * loss) / 2;
      rtp.samples += 24_000;
      rtp.concealed += 24_000 * concealed;
      rtp.silent += 24_000 * silent;
      rtp.rttMs = rttMs;
      this.#frozenMs += frozenMs / 2;
      this.now += 500 + this.lateMs;
      this.verdict = this.watch.sample(this.#readings(), this.now);
      if (this.verdict.poor !== null) poorAt ??= (this.now - began) / 1000;
    }
    return poorAt;
  }
}

const LOST_70: Second = { fps: 2, loss: 0.7, concealed: 0.5 };
const LOST_30: Second = { fps: 20, loss: 0.3, frozenMs: 300, concealed: 0.03 };
/** All loss is repaired. */
const REPAIRED: Second = { loss: 0.1, concealed: 0.005 };

describe('network watch', () => {
  it('a_good_network_carries_the_session', () => {
    const trace = new Trace();
    expect(trace.play(600)).toBeNull();
    expect(trace.verdict).toEqual({ poor: null, harm: 0, fit: true });
    expect(trace.watch.usualFps).toBeCloseTo(30);
  });

  it('loss_that_is_repaired_is_no_harm', () => {
    const trace = new Trace();
    trace.play(5);
    expect(trace.play(600, REPAIRED)).toBeNull();
    expect(trace.verdict.fit).toBe(true);
  });

  it('a_brief_loss_moves_nobody', () => {
    const trace = new Trace();
    trace.play(60);
    expect(trace.play(1.5, LOST_70)).toBeNull();
    expect(trace.play(60)).toBeNull();
    // Nor does an outage of which a freeze of 3 s is counted at its end.
    expect(trace.play(2.5, { fps: 0, videoPackets: 0, audioPackets: 0, concealed: 1, silent: 1 })).toBeNull();
    expect(trace.play(0.5, { frozenMs: 6000, loss: 0.5 })).toBeNull();
    expect(trace.play(60)).toBeNull();
  });

  it('a_loss_of_70_percent_is_clear_within_3_seconds', () => {
    const trace = new Trace();
    trace.play(60);
    const after = trace.play(10, LOST_70);
    expect(after).toBeGreaterThanOrEqual(1.5);
    expect(after).toBeLessThanOrEqual(3);
    expect(trace.verdict.poor).toBe('lossy');
    expect(trace.verdict.harm).toBeGreaterThan(0.5);
  });

  it.each([10, 70, 150])('a_collapse_is_seen_though_timers_are_late_by_%i_ms', (lateMs) => {
    const trace = new Trace();
    trace.play(60);
    trace.lateMs = lateMs;
    expect(trace.play(10, LOST_70)).toBeLessThanOrEqual(3);
    expect(trace.verdict.poor).toBe('lossy');
  });

  it('a_loss_of_70_percent_at_which_audio_and_some_video_play_is_borne', () => {
    const trace = new Trace();
    trace.play(60);
    expect(trace.play(60, { fps: 24, loss: 0.7, concealed: 0.03 })).toBeNull();
  });

  it('a_long_loss_that_freezes_video_is_poor_within_the_window', () => {
    const trace = new Trace();
    trace.play(60);
    const after = trace.play(20, LOST_30);
    expect(after).toBeGreaterThanOrEqual(4);
    expect(after).toBeLessThanOrEqual(10);
    expect(trace.verdict.poor).toBe('frozen');
  });

  it('a_long_loss_of_audio_is_poor', () => {
    const trace = new Trace();
    trace.play(60);
    expect(trace.play(12, { loss: 0.15, concealed: 0.08 })).toBeLessThanOrEqual(10);
    expect(trace.verdict.poor).toBe('audio_gaps');
  });

  it('video_at_less_than_half_of_its_frame_rate_counts_as_frozen', () => {
    const trace = new Trace();
    trace.play(60);
    expect(trace.play(12, { fps: 12, loss: 0.3 })).not.toBeNull();
    expect(trace.verdict.poor).toBe('frozen');
  });

  it('a_network_that_recovers_is_not_left', () => {
    const trace = new Trace();
    trace.play(60);
    expect(trace.play(4, { ...LOST_30, frozenMs: 240 })).toBeNull();
    expect(trace.play(60, REPAIRED)).toBeNull();
    expect(trace.verdict).toMatchObject({ poor: null, fit: true });
  });

  it('a_publisher_who_stutters_is_no_reason_to_leave', () => {
    const trace = new Trace();
    trace.play(60);
    expect(trace.play(30, { fps: 10, frozenMs: 400, concealed: 0.1 })).toBeNull();
  });

  it('a_publisher_with_a_slow_screen_or_a_paused_camera_is_no_reason_to_leave', () => {
    const trace = new Trace();
    trace.play(60);
    expect(trace.play(60, { fps: 5, loss: 0.01 })).toBeNull();
    expect(trace.watch.usualFps).toBeCloseTo(5);
    expect(trace.play(60, { fps: 4, loss: 0.1 })).toBeNull();
    expect(trace.play(60, { fps: 0, videoPackets: 0, loss: 0.1 })).toBeNull();
    expect(trace.play(60, { fps: 0, videoPackets: 0, audioPackets: 0, concealed: 1, silent: 1 })).toBeNull();
  });

  it('a_queue_on_the_way_is_a_reason_even_without_loss', () => {
    const trace = new Trace();
    trace.play(60);
    expect(trace.play(12, { fps: 12, frozenMs: 300, rttMs: 600 })).toBeLessThanOrEqual(10);
  });

  it('a_freeze_that_is_still_going_on_is_counted_once', () => {
    const trace = new Trace();
    trace.play(20);
    trace.play(1, { fps: 0, loss: 0.3 });
    const { harm } = trace.verdict;
    expect(harm).toBeCloseTo(0.1);
    trace.play(0.5, { frozenMs: 2000, loss: 0.3 }); // In half a second: the 1000 ms that were counted.
    expect(trace.verdict.harm).toBeCloseTo(harm);
  });

  it('the_fast_start_of_a_session_is_not_judged', () => {
    const trace = new Trace();
    trace.play(1, { fps: 150, frozenMs: 500, concealed: 0.5, loss: 0.5 });
    expect(trace.verdict).toEqual({ poor: null, harm: 0, fit: null });
    trace.play(4);
    expect(trace.verdict.fit).toBeNull();
    trace.play(2);
    expect(trace.verdict.fit).toBe(true);
    expect(trace.watch.usualFps).toBeCloseTo(30);
  });

  it.each([
    ['a good one', {}, true],
    ['repaired loss', REPAIRED, true],
    ['a freeze now and then', { loss: 0.2, frozenMs: 60 }, false],
    ['gaps in audio', { loss: 0.2, concealed: 0.03 }, false],
    ['half of the frames', { loss: 0.3, fps: 14 }, false],
    ['a loss of 70 %', LOST_70, false],
  ] as const)('a_trial_on_%s_is_judged_within_8_seconds: %j', (_name, second, fit) => {
    const trace = new Trace(30);
    trace.play(8, second);
    expect(trace.verdict.fit).toBe(fit);
  });

  it('a_page_that_was_hidden_is_judged_anew', () => {
    const trace = new Trace();
    trace.play(60);
    trace.play(1.5, LOST_70);
    trace.now += 60_000;
    expect(trace.play(1, LOST_70)).toBeNull();
  });

  it('ll_hls_is_judged_by_its_stalls_alone', () => {
    const watch = new NetworkWatch();
    let verdict: Verdict = { poor: null, harm: 0, fit: null };
    let frozenMs = 0;
    for (let now = 0; now <= 20_000; now += 500) verdict = watch.sample({ frozenMs }, now);
    expect(verdict).toEqual({ poor: null, harm: 0, fit: true });
    for (let now = 20_500; now <= 30_000; now += 500) {
      frozenMs += 300;
      verdict = watch.sample({ frozenMs }, now);
    }
    expect(verdict.poor).toBe('frozen');
    expect(verdict.harm).toBeCloseTo(0.6);
  });
});

it('the_node_counts_each_reason_under_its_own_name', () => {
  const documented = readFileSync(new URL('../../../docs/METRICS.md', import.meta.url), 'utf8');
  const section = /## Reasons to give WHEP up\n([\s\S]*?)\n## /.exec(documented)?.[1] ?? '';
  for (const reason of MEDIA_REASONS) expect(section).toContain(`\`${reason}\``);
});
