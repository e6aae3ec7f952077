import { describe, expect, it } from 'vitest';
import { type Input, TIMING } from '../../src/player/transport_words';
import { Bench, hlsPoor, judged, poor, refused } from './transport_bench';

describe('transport choice', () => {
  it('whep_plays_without_ever_opening_hls', () => {
    const bench = new Bench().put('play', 'whep_answered', 'whep_connected', 'whep_frame');
    expect(bench.take()).toEqual(['connecting', 'open_whep', 'show whep', 'playing']);
    expect(bench.choice.deadline()).toBeNull();
  });

  it('blocked_udp_falls_back_to_hls_after_three_seconds', () => {
    const bench = new Bench().put('play', 'whep_answered');
    expect(bench.run(2999).take()).toEqual(['connecting', 'open_whep']);
    expect(bench.run(1).take()).toEqual(['close_whep', 'connecting: blocked', 'open_hls']);
    expect(bench.put('hls_frame').take()).toEqual(['show hls', 'playing']);
  });

  it.each([0, 400, 500, 503])('refusal_with_%i_falls_back_at_once', (status) => {
    const bench = new Bench().put('play', refused(status));
    expect(bench.take()).toContain('open_hls');
  });

  it('without_a_common_codec_it_falls_back_and_probes_once_a_minute', () => {
    const bench = new Bench().put('play', refused(406), 'hls_frame');
    expect(bench.take()).toEqual([
      'connecting',
      'open_whep',
      'close_whep',
      'connecting: no_codec',
      'open_hls',
      'show hls',
      'playing',
    ]);
    expect(bench.run(TIMING.probe.limitMs - 1).take()).toEqual([]);
    expect(bench.run(1).take()).toEqual(['open_whep']);
    expect(bench.put(refused(406)).run(TIMING.probe.limitMs).take()).toEqual(['close_whep', 'open_whep']);
    bench.put('whep_answered', 'whep_connected', 'whep_frame', judged(true));
    expect(bench.take()).toEqual(['show whep', 'close_hls']);
  });

  it.each<[('audio' | 'video')[], string]>([
    [[], 'no_packet'],
    [['audio'], 'audio_only'],
    [['video'], 'no_picture'],
    [['audio', 'video'], 'no_picture'],
  ])('three_seconds_without_a_frame_after_%j_are_a_reason_to_fall_back: %s', (media, reason) => {
    const bench = new Bench().put('play', 'whep_answered', 'whep_connected');
    for (const one of media) bench.put({ kind: 'whep_received', media: one });
    expect(bench.run(2999).take()).toEqual(['connecting', 'open_whep']);
    bench.run(1);
    expect(bench.effects[0]).toEqual({ do: 'close_whep', reason });
    expect(bench.take()).toEqual(['close_whep', `connecting: ${reason}`, 'open_hls']);
    expect(bench.put('hls_frame').take()).toEqual(['show hls', 'playing']);
    expect(bench.run(TIMING.probe.firstMs).take()).toContain('open_whep');
    // The next session begins without what this one received.
    bench.put('whep_answered', 'whep_connected').run(TIMING.firstFrameMs);
    expect(bench.effects.find((effect) => effect.do === 'close_whep')).toEqual({
      do: 'close_whep',
      reason: 'no_packet',
    });
  });

  it('audio_alone_plays_in_a_room_without_video_only', () => {
    const heard: Input[] = [{ kind: 'whep_received', media: 'audio' }, { kind: 'whep_audio' }];
    const open = () => new Bench().put('play', 'whep_answered', 'whep_connected', ...heard);
    expect(open().take()).toEqual(['connecting', 'open_whep', 'ask_room']);
    const room = (video: boolean): Input => ({ kind: 'room', room: 'live', video });
    const quiet = open().put(room(false), 'whep_frame');
    expect(quiet.take()).toEqual(['connecting', 'open_whep', 'ask_room', 'play_audio', 'show whep', 'playing']);
    const unknown = open().put({ kind: 'room', room: 'unknown' });
    expect(unknown.take()).toContain('play_audio');
    const dark = open().put(room(true));
    expect(dark.take()).not.toContain('play_audio');
    expect(dark.run(TIMING.firstFrameMs).take()).toEqual(['close_whep', 'connecting: audio_only', 'open_hls']);
  });

  it('while_audio_plays_alone_the_room_is_asked_until_there_are_frames', () => {
    const open = () =>
      new Bench()
        .put('play', 'whep_answered', 'whep_connected', { kind: 'whep_received', media: 'audio' }, 'whep_audio')
        .put({ kind: 'room', room: 'live', video: false }, 'whep_frame');
    const bench = open();
    bench.take();
    expect(bench.run(TIMING.aloneMs).take()).toEqual(['ask_room']);
    expect(bench.put({ kind: 'room', room: 'live', video: true }, 'whep_pictures').take()).toEqual([]);
    expect(bench.run(3_600_000).take()).toEqual([]);

    const dark = open();
    dark.take();
    for (let look = 0; look < 2; look++) {
      expect(dark.run(TIMING.aloneMs).take()).toEqual(['ask_room']);
      dark.put({ kind: 'room', room: 'live', video: true });
    }
    expect(dark.take()).toEqual(['close_whep', 'recovering: audio_only', 'open_hls']);
  });

  it('a_paused_camera_is_not_a_stall', () => {
    const bench = new Bench().whep();
    const room = (video: boolean): Input => ({ kind: 'room', room: 'live', video });
    expect(bench.put('whep_stalled', room(false)).take()).toEqual(['recovering: stalled', 'ask_room', 'playing']);
    for (let look = 0; look < 5; look++) {
      expect(bench.run(TIMING.aloneMs).take()).toEqual(['ask_room']);
      bench.put(room(false));
    }
    // The node sends its last frame again.
    expect(bench.put('whep_frame', 'whep_stalled', room(false)).take()).toEqual([]);
    // The camera sends again.
    expect(bench.put('whep_frame').run(TIMING.aloneMs).put(room(true)).take()).toEqual(['ask_room']);
    expect(bench.choice.deadline()).toBeNull();
    // If its frames do not come, the session is repaired.
    bench.put('whep_stalled', room(false)).take();
    for (let look = 0; look < 2; look++) bench.run(TIMING.aloneMs).put(room(true));
    expect(bench.take()).toEqual(['ask_room', 'ask_room', 'recovering: stalled', 'restart_whep']);
  });

  it.each([401, 403])('refusal_with_%i_is_final', (status) => {
    const bench = new Bench().put('play', refused(status));
    expect(bench.take()).toEqual(['connecting', 'open_whep', 'close_whep', 'failed: unauthorized']);
    expect(bench.run(3_600_000).take()).toEqual([]);
    expect(bench.put('play').take()).toEqual(['connecting', 'open_whep']);
  });

  it.each([404, 409])('a_room_that_is_not_live_%i_is_tried_again_by_whep_only', (status) => {
    const bench = new Bench().put('play', refused(status));
    expect(bench.take()).toEqual(['connecting', 'open_whep', 'close_whep', 'waiting: not_live']);
    expect(bench.run(1000).take()).toEqual(['open_whep']);
    expect(bench.put(refused(status)).take()).toEqual(['close_whep']);
    expect(bench.run(1999).take()).toEqual([]);
    expect(bench.run(1).take()).toEqual(['open_whep']);
    expect(bench.put('whep_answered', 'whep_connected', 'whep_frame').take()).toEqual(['show whep', 'playing']);
  });

  it('a_room_that_is_not_live_is_tried_at_least_every_four_seconds', () => {
    const bench = new Bench().put('play', refused(404));
    bench.take();
    for (let i = 0; i < 20; i++) bench.run(TIMING.notLive.limitMs).put(refused(404));
    expect(bench.run(TIMING.notLive.limitMs).take()).toContain('open_whep');
  });

  it('a_probe_returns_to_whep_once_it_is_fit_and_then_closes_hls', () => {
    const bench = new Bench().fallenBack();
    expect(bench.run(5000).take()).toEqual(['open_whep']);
    expect(bench.put('whep_answered', 'whep_connected').take()).toEqual([]);
    expect(bench.put('whep_frame').run(3000).take()).toEqual([]);
    expect(bench.put(judged(true)).take()).toEqual(['show whep', 'close_hls']);
    expect(bench.choice.state).toBe('playing');
    expect(bench.run(600_000).take()).toEqual([]);
  });

  it.each(['lossy', 'frozen', 'audio_gaps'] as const)(
    'a_session_that_is_%s_is_left_at_the_first_frame_of_hls',
    (reason) => {
      const bench = new Bench().whep();
      expect(bench.put(poor(reason)).take()).toEqual(['open_hls']);
      // It is found to be poor again and again meanwhile.
      expect(bench.put(poor(reason), poor(reason)).run(2000).take()).toEqual([]);
      bench.put('hls_frame');
      expect(bench.effects).toEqual([
        { do: 'show', transport: 'hls', reason },
        { do: 'close_whep', reason },
      ]);
      expect(bench.choice.state).toBe('playing');
    },
  );

  it('a_session_that_is_being_left_is_not_repaired', () => {
    const bench = new Bench().whep().put(poor(), 'whep_down');
    expect(bench.take()).toEqual(['open_hls']);
    bench.put('whep_stalled', { kind: 'room', room: 'live' }).run(5000);
    expect(bench.take()).toEqual([]);
    expect(bench.put('hls_frame').take()).toEqual(['show hls', 'close_whep']);
    // Unless LL-HLS fails as well.
    const both = new Bench().whep().put(poor(), 'whep_down', { kind: 'hls_failed', reason: 'unreachable' });
    both.run(TIMING.askRoomMs);
    const tried = ['open_hls', 'close_hls', 'recovering: unreachable', 'open_hls'];
    expect(both.take()).toEqual([...tried, 'recovering: stalled', 'restart_whep']);
  });

  it('frames_that_come_again_do_not_end_the_move_to_hls', () => {
    const bench = new Bench().whep().put(poor(), 'whep_stalled', { kind: 'room', room: 'live' }, 'whep_frame');
    expect(bench.take()).toEqual(['open_hls', 'recovering: stalled', 'ask_room', 'playing']);
    expect(bench.put('hls_frame').take()).toEqual(['show hls', 'close_whep']);
  });

  it('a_session_that_ends_while_it_is_left_is_replaced_by_hls_alone', () => {
    const bench = new Bench().whep().put(poor('lossy'), 'whep_lost');
    expect(bench.take()).toEqual(['open_hls', 'recovering: stalled', 'close_whep']);
    expect(bench.put('hls_frame').take()).toEqual(['show hls', 'playing']);
    expect(bench.run(TIMING.doubted.firstMs - 1).take()).toEqual([]);
    expect(bench.run(1).take()).toEqual(['open_whep']);
  });

  it('after_a_poor_session_whep_is_tried_after_30_seconds_and_then_twice_as_rarely_up_to_5_minutes', () => {
    const bench = new Bench().whep().put(poor(), 'hls_frame');
    bench.take();
    for (const rest of [30_000, 60_000, 120_000, 240_000, 300_000, 300_000]) {
      expect(bench.run(rest - 1).take()).toEqual([]);
      expect(bench.run(1).take()).toEqual(['open_whep']);
      bench.put('whep_answered', 'whep_connected', 'whep_frame').run(5000);
      expect(bench.put(judged(false)).take()).toEqual(['close_whep']);
    }
    expect(bench.choice.shown).toBe('hls');
  });

  it('a_trial_that_stalls_or_is_never_judged_fails_unseen', () => {
    const trial = () => {
      const bench = new Bench().whep().put(poor(), 'hls_frame').run(TIMING.doubted.firstMs);
      bench.put('whep_answered', 'whep_connected', 'whep_frame').take();
      return bench;
    };
    for (const kind of ['whep_stalled', 'whep_down', 'whep_lost'] as const)
      expect(trial().put(kind).take(), kind).toEqual(['close_whep']);
    const silent = trial();
    expect(silent.run(TIMING.trialMs - 1).take()).toEqual([]);
    silent.run(1);
    expect(silent.effects).toEqual([{ do: 'close_whep', reason: 'still_poor' }]);
  });

  it('a_trial_ends_when_the_page_is_hidden_and_another_begins_when_it_is_seen', () => {
    const bench = new Bench().whep().put(poor(), 'hls_frame').run(TIMING.doubted.firstMs);
    bench.put('whep_answered', 'whep_connected', 'whep_frame').take();
    expect(bench.put({ kind: 'visible', visible: false }).run(600_000).take()).toEqual(['close_whep']);
    expect(bench.put({ kind: 'visible', visible: true }).run(0).take()).toEqual(['open_whep']);
  });

  it('a_page_that_is_seen_again_does_not_hurry_a_doubted_whep_but_a_network_that_is_back_does', () => {
    const bench = new Bench().whep().put(poor(), 'hls_frame');
    bench.take();
    expect(bench.put('woke').run(1000).take()).toEqual([]);
    expect(bench.put('online').run(0).take()).toEqual(['open_whep']);
  });

  it('a_trial_takes_over_at_once_when_hls_fails', () => {
    const trial = () => {
      const bench = new Bench().whep().put(poor(), 'hls_frame').run(TIMING.doubted.firstMs);
      bench.put('whep_answered', 'whep_connected', 'whep_frame').take();
      return bench;
    };
    for (const input of ['hls_stalled', 'hls_not_live', { kind: 'hls_failed', reason: 'unreachable' }] as const)
      expect(trial().put(input).take(), JSON.stringify(input)).toEqual(['show whep', 'close_hls']);
  });

  it('hls_that_is_worse_than_whep_was_leads_back_and_whep_is_kept', () => {
    const bench = new Bench().whep().put(poor('frozen', 0.3), 'hls_frame');
    bench.take();
    expect(bench.run(10_000).put(hlsPoor(0.2)).take()).toEqual([]);
    expect(bench.put(hlsPoor(0.5)).take()).toEqual(['open_whep']);
    expect(bench.put('whep_answered', 'whep_connected', 'whep_frame').take()).toEqual(['show whep', 'close_hls']);
    expect(
      bench
        .run(TIMING.keptMs - 1)
        .put(poor())
        .take(),
    ).toEqual([]);
    expect(bench.run(1).put(poor()).take()).toEqual(['open_hls']);
  });

  it('a_minute_by_whep_ends_the_doubt', () => {
    const bench = new Bench().whep().put(poor(), 'hls_frame').run(TIMING.doubted.firstMs);
    bench.put('whep_answered', 'whep_connected', 'whep_frame', judged(true)).run(TIMING.steadyMs + 1);
    bench.put(poor(), 'hls_frame').take();
    expect(bench.run(TIMING.doubted.firstMs).take()).toEqual(['open_whep']);
    // A shorter time does not.
    bench.put('whep_answered', 'whep_connected', 'whep_frame', judged(true)).run(5000).put(poor(), 'hls_frame').take();
    expect(bench.run(TIMING.doubted.firstMs).take()).toEqual([]);
    expect(bench.run(TIMING.doubted.firstMs).take()).toEqual(['open_whep']);
  });

  it('a_viewer_who_chose_the_transport_is_not_moved', () => {
    const chosen = new Bench('whep').put('play', 'whep_answered', 'whep_connected', 'whep_frame', poor('lossy', 1));
    expect(chosen.take()).not.toContain('open_hls');
    const bench = new Bench().whep().put(poor(), { kind: 'prefer', choice: 'whep' });
    expect(bench.take()).toEqual(['open_hls', 'close_hls']);
    const trial = new Bench().whep().put(poor(), 'hls_frame').run(TIMING.doubted.firstMs);
    trial.put('whep_answered', 'whep_connected', 'whep_frame').take();
    expect(trial.put({ kind: 'prefer', choice: 'whep' }).take()).toEqual(['show whep', 'close_hls']);
  });

  it('a_hidden_page_and_a_still_picture_are_no_reason_to_move', () => {
    const hidden = new Bench().whep().put({ kind: 'visible', visible: false }, poor());
    expect(hidden.take()).toEqual([]);
    const still = new Bench().whep().put('whep_stalled', { kind: 'room', room: 'live', video: false });
    still.take();
    expect(still.put(poor()).take()).toEqual([]);
  });

  it('nothing_is_tried_on_mic_and_the_doubt_is_kept', () => {
    const bench = new Bench().whep().put(poor(), 'hls_frame');
    bench.take();
    expect(bench.put('park').run(600_000).take()).toEqual(['close_hls', 'show mic']);
    bench.put('unpark', 'hls_frame').take();
    expect(bench.run(TIMING.doubted.firstMs - 1).take()).toEqual([]);
    expect(bench.run(1).take()).toEqual(['open_whep']);
  });

  it('failing_probes_are_not_visible_and_become_rare', () => {
    const bench = new Bench().fallenBack();
    const openedAt: number[] = [];
    for (let i = 0; i < 600; i++) {
      const effects = bench.run(1000).take();
      expect(effects.filter((name) => !name.endsWith('_whep'))).toEqual([]);
      if (effects.includes('open_whep')) openedAt.push(bench.now);
    }
    const gaps = openedAt.slice(1).map((at, i) => at - (openedAt[i] as number));
    expect(gaps[0]).toBeLessThan(20_000);
    expect(Math.max(...gaps)).toBeLessThanOrEqual(TIMING.probe.limitMs + TIMING.askMs + 1000);
    expect(openedAt.length).toBeLessThan(15);
  });

  it('a_hidden_page_does_not_probe', () => {
    const bench = new Bench().fallenBack().put({ kind: 'visible', visible: false });
    expect(bench.run(600_000).take()).toEqual([]);
    expect(bench.put({ kind: 'visible', visible: true }).run(0).take()).toEqual(['open_whep']);
  });

  it('a_lost_connection_is_restarted_then_reopened_then_replaced_by_hls', () => {
    const bench = new Bench().whep();
    expect(bench.put('whep_down').take()).toEqual(['recovering: stalled', 'restart_whep']);
    expect(bench.put('whep_restart_failed').take()).toEqual(['close_whep', 'open_whep']);
    expect(bench.put(refused(0)).take()).toEqual(['close_whep', 'recovering: unreachable', 'open_hls']);
    expect(bench.put('hls_frame').take()).toEqual(['show hls', 'playing']);
  });

  it('a_session_that_the_node_ended_is_replaced_without_a_restart', () => {
    const bench = new Bench().whep();
    expect(bench.put('whep_lost').take()).toEqual(['recovering: stalled', 'close_whep', 'open_whep']);
    expect(bench.put('whep_answered', 'whep_connected', 'whep_frame').take()).toEqual(['playing']);
  });

  it('a_session_that_ends_before_its_first_frame_falls_back', () => {
    const bench = new Bench().put('play', 'whep_answered', 'whep_connected', 'whep_lost');
    expect(bench.take()).toEqual(['connecting', 'open_whep', 'close_whep', 'connecting: stalled', 'open_hls']);
  });

  it('a_successful_restart_keeps_the_session', () => {
    const bench = new Bench().whep().put('whep_down');
    bench.take();
    expect(bench.put('whep_frame').take()).toEqual(['playing']);
    expect(bench.run(60_000).take()).toEqual([]);
  });

  it('a_session_is_kept_while_its_publisher_is_interrupted', () => {
    const bench = new Bench().whep().put('whep_stalled');
    expect(bench.take()).toEqual(['recovering: stalled', 'ask_room']);
    expect(bench.put({ kind: 'room', room: 'interrupted' }).take()).toEqual(['waiting: interrupted']);
    for (let i = 0; i < 10; i++) {
      expect(bench.run(TIMING.askRoomMs).take()).toEqual(['ask_room']);
      bench.put({ kind: 'room', room: 'interrupted' }).take();
    }
    expect(bench.put('whep_frame').take()).toEqual(['playing']);
  });

  it('a_stall_of_a_live_room_restarts_ice', () => {
    const bench = new Bench().whep().put('whep_stalled', { kind: 'room', room: 'live' });
    expect(bench.take()).toEqual(['recovering: stalled', 'ask_room', 'restart_whep']);
  });

  it('a_stall_restarts_ice_even_if_the_room_does_not_answer', () => {
    const bench = new Bench().whep().put('whep_stalled');
    bench.take();
    expect(bench.run(TIMING.askRoomMs).take()).toEqual(['restart_whep']);
  });

  it('the_player_waits_for_the_next_program_after_one_has_ended', () => {
    const bench = new Bench().whep().put('whep_stalled', { kind: 'room', room: 'gone' });
    expect(bench.take()).toEqual(['recovering: stalled', 'ask_room', 'close_whep', 'show none', 'waiting: ended']);
    expect(bench.run(1000).take()).toEqual(['open_whep']);
    expect(bench.put(refused(404)).take()).toEqual(['close_whep']);
  });

  it('if_both_transports_fail_they_are_tried_in_turn_and_never_at_once', () => {
    const bench = new Bench().put('play', refused(0));
    let open = '';
    let opened = 0;
    bench.take();
    bench.put({ kind: 'hls_failed', reason: 'unreachable' });
    for (let i = 0; i < 300; i++) {
      for (const name of bench.run(100).take()) {
        if (name === 'open_whep' || name === 'open_hls') {
          expect(open).toBe('');
          open = name;
          opened++;
        } else if (name === 'close_whep' || name === 'close_hls') open = '';
      }
      if (open === 'open_whep') bench.put(refused(0));
      if (open === 'open_hls') bench.put({ kind: 'hls_failed', reason: 'unreachable' });
    }
    expect(opened).toBeGreaterThan(5);
    expect(bench.choice.state).toBe('recovering');
  });

  it('the_choice_hls_never_opens_whep', () => {
    const bench = new Bench('hls').put('play', 'hls_not_live');
    expect(bench.take()).toEqual(['connecting', 'open_hls', 'close_hls', 'waiting: not_live']);
    bench.run(1000).put('hls_frame').run(600_000);
    expect(bench.take()).toEqual(['open_hls', 'show hls', 'playing']);
  });

  it('the_choice_whep_never_opens_hls', () => {
    const bench = new Bench('whep').put('play', 'whep_answered').run(60_000);
    expect(bench.take().filter((name) => name.includes('hls'))).toEqual([]);
    expect(bench.choice.state).toBe('recovering');
  });

  it('the_choice_whep_fails_without_a_common_codec_and_auto_starts_again', () => {
    const bench = new Bench('whep').put('play', refused(406));
    expect(bench.take()).toEqual(['connecting', 'open_whep', 'close_whep', 'failed: no_codec']);
    expect(bench.put({ kind: 'prefer', choice: 'auto' }).take()).toEqual(['connecting', 'open_whep']);
  });

  it('after_a_change_of_choice_the_old_transport_is_shown_until_the_new_one_has_a_frame', () => {
    const bench = new Bench().whep().put({ kind: 'prefer', choice: 'hls' });
    expect(bench.take()).toEqual(['open_hls']);
    expect(bench.put('hls_frame').take()).toEqual(['show hls', 'close_whep']);
    expect(bench.put({ kind: 'prefer', choice: 'whep' }).take()).toEqual(['open_whep']);
    expect(bench.put('whep_answered', 'whep_connected', 'whep_frame').take()).toEqual(['show whep', 'close_hls']);
  });

  it('a_browser_without_whep_and_hls_fails', () => {
    const bench = new Bench().put('play', 'whep_unsupported', { kind: 'hls_failed', reason: 'unsupported' });
    expect(bench.take()).toEqual([
      'connecting',
      'open_whep',
      'close_whep',
      'connecting: unsupported',
      'open_hls',
      'close_hls',
      'failed: unsupported',
    ]);
  });

  it('a_network_that_is_back_is_used_at_once', () => {
    const bench = new Bench('whep').put('play', refused(0));
    bench.run(100_000).put(refused(0)).take();
    expect(bench.put('online').run(0).take()).toContain('open_whep');
  });

  it('a_full_node_is_not_tried_again_before_its_retry_after', () => {
    const bench = new Bench('whep').put('play', { kind: 'whep_refused', status: 503, retryAfterMs: 30_000 });
    bench.take();
    expect(bench.run(29_999).take()).toEqual([]);
    expect(bench.run(1).take()).toEqual(['open_whep']);
  });

  it.each(['auto', 'whep', 'hls'] as const)('close_ends_everything_for_%s', (prefer) => {
    const bench = new Bench(prefer).put('play');
    const opened = bench.take().find((name) => name.startsWith('open_')) ?? '';
    expect(bench.put('close').take()).toEqual([opened.replace('open', 'close'), 'closed']);
    expect(bench.put('play', 'online', 'whep_frame').take()).toEqual([]);
    expect(bench.choice.deadline()).toBeNull();
  });

  it('on_mic_the_sessions_of_the_program_end_and_the_same_transport_returns_afterwards', () => {
    const bench = new Bench().put('play', refused(503), 'hls_frame');
    bench.take();
    expect(bench.put('park').take()).toEqual(['close_hls', 'show mic']);
    expect(bench.run(100_000).put('online').take()).toEqual([]);
    expect(bench.put('unpark').take()).toEqual(['open_hls']);
    expect(bench.put('hls_frame').take()).toEqual(['show hls']);
    expect(bench.run(6000).take()).toEqual(['open_whep']);
  });

  // With any inputs in any order, one session opens at a time, and only an open session is closed.
  it('random_inputs_never_break_the_invariants', () => {
    const inputs: Input[] = [
      ...(
        ['whep_answered', 'whep_connected', 'whep_frame', 'whep_down', 'whep_stalled', 'whep_restart_failed'] as const
      ).map((kind) => ({ kind })),
      ...(['hls_frame', 'hls_not_live', 'hls_ended', 'hls_stalled', 'online', 'play'] as const).map((kind) => ({
        kind,
      })),
      ...[0, 401, 404, 406, 500, 503].map(refused),
      ...(['auto', 'whep', 'hls'] as const).map((choice) => ({ kind: 'prefer', choice }) as Input),
      ...(['live', 'interrupted', 'gone', 'unknown'] as const).map((room) => ({ kind: 'room', room }) as Input),
      ...([true, false] as const).map((video) => ({ kind: 'room', room: 'live', video }) as Input),
      ...(['audio', 'video'] as const).map((media) => ({ kind: 'whep_received', media }) as Input),
      { kind: 'whep_audio' },
      { kind: 'whep_pictures' },
      { kind: 'woke' },
      { kind: 'other_network' },
      { kind: 'whep_restart_failed', unreachable: true },
      poor('lossy', 0.9),
      poor('audio_gaps', 0.1),
      judged(true),
      judged(false),
      hlsPoor(0.2),
      hlsPoor(1),
      ...(['unsupported', 'unreachable', 'refused'] as const).map(
        (reason) => ({ kind: 'hls_failed', reason }) as Input,
      ),
      ...[true, false].map((visible) => ({ kind: 'visible', visible }) as Input),
      { kind: 'park' },
      { kind: 'unpark' },
    ];
    for (let seed = 1; seed <= 700; seed++) {
      let random = seed;
      const next = (below: number) => {
        random = (Math.imul(random, 1_664_525) + 1_013_904_223) >>> 0;
        return Math.floor((random / 2 ** 32) * below);
      };
      const bench = new Bench((['auto', 'whep', 'hls'] as const)[next(3)]).put('play');
      const open = { whep: false, hls: false };
      let shown = 'none';
      for (let step = 0; step < 120; step++) {
        for (const effect of bench.effects.splice(0)) {
          if (effect.do === 'show') shown = effect.transport;
          if (effect.do === 'open_whep' || effect.do === 'open_hls') {
            const transport = effect.do === 'open_whep' ? 'whep' : 'hls';
            expect(open[transport], `seed ${seed}: opened twice`).toBe(false);
            open[transport] = true;
            const other = transport === 'whep' ? 'hls' : 'whep';
            if (effect.do === 'open_hls') expect(bench.choice.choice, `seed ${seed}`).not.toBe('whep');
            expect(open[other] && shown === 'none', `seed ${seed}: two opening`).toBe(false);
          } else if (effect.do === 'close_whep' || effect.do === 'close_hls') {
            const transport = effect.do === 'close_whep' ? 'whep' : 'hls';
            expect(open[transport], `seed ${seed}: closed but not open`).toBe(true);
            open[transport] = false;
          } else if (effect.do === 'restart_whep' || effect.do === 'play_audio')
            expect(open.whep, `seed ${seed}`).toBe(true);
          else if (effect.do === 'show' && effect.transport !== 'none' && effect.transport !== 'mic')
            expect(open[effect.transport], `seed ${seed}`).toBe(true);
        }
        const input = inputs[next(inputs.length)] as Input;
        // The driver drops inputs of a closed session.
        const speaker = input.kind.startsWith('whep') ? 'whep' : input.kind.startsWith('hls') ? 'hls' : null;
        if (speaker === null || open[speaker]) bench.put(input);
        if (next(3) === 0) bench.run(next(5000));
      }
    }
  });
});
