import { describe, expect, it, vi } from 'vitest';
import { watchNetworkChange } from '../../src/player/network_change';
import { Restart } from '../../src/player/restart';
import { type Input, TIMING } from '../../src/player/transport_words';
import { Bench, judged, refused } from './transport_bench';

const OVER_TCP_MS = 3700; // As measured where UDP became blocked.
const unreachable: Input = { kind: 'whep_restart_failed', unreachable: true };

/** Lets WHEP play until the connection is lost. */
const lost = (prefer?: 'auto' | 'whep') => {
  const bench = new Bench(prefer).whep().run(1000).put('whep_down');
  expect(bench.take()).toEqual(['recovering: stalled', 'restart_whep']);
  return bench;
};

describe('ICE restart', () => {
  it('the_session_is_kept_until_tcp_works_and_ll_hls_gets_ready_meanwhile', () => {
    const bench = lost();
    expect(bench.run(TIMING.standbyMs - 1).take()).toEqual([]);
    expect(bench.run(1).take()).toEqual(['open_hls']);
    expect(
      bench
        .run(OVER_TCP_MS - TIMING.standbyMs)
        .put('whep_frame')
        .take(),
    ).toEqual(['close_hls', 'playing']);
    expect(bench.run(60_000).take()).toEqual([]);
  });

  it('if_ll_hls_is_sooner_the_restarted_session_is_on_trial_beside_it', () => {
    const bench = lost().run(3000).put('hls_frame');
    expect(bench.effects.find((effect) => effect.do === 'show')).toMatchObject({ transport: 'hls', reason: 'stalled' });
    expect(bench.take()).toEqual(['open_hls', 'show hls', 'playing']);
    expect(
      bench
        .put('whep_down')
        .run(OVER_TCP_MS - 3000)
        .put('whep_frame')
        .take(),
    ).toEqual([]);
    expect(bench.run(4000).put(judged(true)).take()).toEqual(['show whep', 'close_hls']);
  });

  it('a_restart_that_does_not_succeed_ends_unseen_while_ll_hls_plays', () => {
    const bench = lost().run(3000).put('hls_frame');
    bench.take();
    expect(bench.run(TIMING.restartMs - 3000).take()).toEqual(['close_whep']);
    expect(bench.run(TIMING.probe.firstMs).take()).toEqual(['open_whep']);
  });

  it('if_neither_plays_the_session_is_given_up_and_ll_hls_goes_on', () => {
    const bench = lost();
    expect(bench.run(TIMING.restartMs).take()).toEqual(['open_hls', 'close_whep']);
    expect(bench.put('hls_frame').take()).toEqual(['show hls', 'playing']);
  });

  it('without_ll_hls_a_new_session_follows_in_time', () => {
    expect(lost('whep').run(TIMING.restartMs).take()).toEqual(['close_whep', 'open_whep']);
    const failed = lost().run(TIMING.standbyMs).put({ kind: 'hls_failed', reason: 'refused' });
    failed.take();
    expect(failed.run(TIMING.restartMs - TIMING.standbyMs).take()).toEqual(['close_whep', 'open_whep']);
  });

  it('a_session_that_the_node_does_not_know_is_replaced_at_once', () => {
    const bench = lost().put('whep_restart_failed');
    expect(bench.take()).toEqual(['close_whep', 'open_whep']);
    expect(bench.put(refused(503)).take()).toContain('open_hls');
  });

  it('while_the_node_is_out_of_reach_the_restart_is_asked_for_again', () => {
    const bench = lost().put(unreachable);
    expect(bench.run(TIMING.askAgainMs).take()).toEqual(['restart_whep']);
    expect(bench.put(unreachable).run(TIMING.askAgainMs).take()).toEqual(['restart_whep']);
    expect(bench.put('whep_frame').take()).toEqual(['playing']);
  });

  it.each(['online', 'other_network'] as const)('%s_restarts_ice_before_frames_stop', (kind) => {
    const bench = new Bench().whep().put(kind);
    expect(bench.effects).toEqual([{ do: 'restart_whep', early: true }]);
    expect(bench.put('other_network', 'online').take()).toEqual(['restart_whep']); // All three are one change.
    expect(bench.run(60_000).take()).toEqual([]);
    expect(bench.put(kind).take()).toEqual(['restart_whep']);
  });

  it('an_early_restart_goes_on_when_frames_stop', () => {
    const bench = new Bench().whep().put('online').run(2000).put('whep_stalled', { kind: 'room', room: 'live' });
    expect(bench.take()).toEqual(['restart_whep', 'recovering: stalled', 'ask_room']);
    expect(
      bench
        .run(OVER_TCP_MS - 2000)
        .put('whep_frame')
        .take(),
    ).toEqual(['open_hls', 'close_hls', 'playing']);
  });

  it('an_early_restart_that_failed_is_repeated_when_frames_stop', () => {
    const bench = new Bench().whep().put('online', unreachable).run(1000).put('whep_down');
    expect(bench.take()).toEqual(['restart_whep', 'recovering: stalled', 'restart_whep']);
  });

  it('a_network_that_is_back_gives_the_restart_its_whole_time_again', () => {
    const bench = lost().put(unreachable).run(900).put('online');
    expect(bench.take()).toEqual(['restart_whep']);
    expect(bench.run(TIMING.restartMs - 1).take()).toEqual(['open_hls']);
    expect(bench.run(1).take()).toEqual(['close_whep']);
  });

  it('nothing_is_restarted_that_does_not_play', () => {
    expect(new Bench().put('online', 'other_network').take()).toEqual([]);
    expect(new Bench().put('play', 'whep_answered', 'online').take()).toEqual(['connecting', 'open_whep']);
  });

  it('each_step_is_due_once', () => {
    const restart = new Restart({ restartMs: 100, standbyMs: 50, askAgainMs: 10 }, 1000);
    restart.unreachable(1000);
    expect([restart.deadline, restart.due(1009), restart.due(1010), restart.due(1010)]).toEqual([
      1010,
      null,
      'again',
      null,
    ]);
    expect([restart.deadline, restart.due(1050), restart.due(1050)]).toEqual([1050, 'standby', null]);
    expect([restart.deadline, restart.due(1100)]).toEqual([1100, 'over']);
  });
});

describe('network change', () => {
  it('another_kind_of_network_counts_and_a_new_guess_of_the_speed_does_not', () => {
    const page = new EventTarget();
    const connection = Object.assign(new EventTarget(), { type: 'wifi' });
    vi.stubGlobal('window', page);
    vi.stubGlobal('navigator', { connection });
    const seen: boolean[] = [];
    const life = new AbortController();
    watchNetworkChange((isBack) => seen.push(isBack), life.signal);
    const changes = (type: string) => {
      connection.type = type;
      connection.dispatchEvent(new Event('change'));
    };
    for (const type of ['wifi', 'cellular', 'cellular', 'none', 'wifi']) changes(type);
    expect(seen).toEqual([false, false]);
    page.dispatchEvent(new Event('online'));
    expect(seen).toEqual([false, false, true]);
    life.abort();
    page.dispatchEvent(new Event('online'));
    changes('cellular');
    expect(seen.length).toBe(3);
    vi.unstubAllGlobals();
  });
});
