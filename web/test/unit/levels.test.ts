import type { Level as Variant } from 'hls.js';
import { expect, it } from 'vitest';
import { levelNames } from '../../src/pages/level_names';
import { levelsOf } from '../../src/player/hls_levels';
import { LevelControl } from '../../src/player/level_control';
import { type Level, type LevelWish, levelsFrom, NO_LEVELS } from '../../src/player/levels';

const LEVEL = { encodingId: 'video', width: 1280, height: 720, bitrate: 2_500_000, frameRate: 30, onDemand: false };
const STATE = { active: [LEVEL], inactive: [], current: 'video', pinned: null, automatic: true, estimate: 3_000_000 };

function level(key: string, height: number | null, more: Partial<Level> = {}): Level {
  const width = height && Math.round((height * 16) / 9);
  return { key, width, height, bitrate: 1_000_000, frameRate: 30, onDemand: false, ...more };
}

it('the_levels_of_the_media_section_are_read_from_the_event', () => {
  expect(levelsFrom(JSON.stringify({ 0: STATE, 1: {} }), '0')).toEqual({
    list: [{ key: 'video', width: 1280, height: 720, bitrate: 2_500_000, frameRate: 30, onDemand: false }],
    current: 'video',
    estimate: 3_000_000,
  });
  const sizeless = {
    ...STATE,
    active: [{ encodingId: 'video1', width: null, bitrate: -1 }],
    current: null,
    estimate: null,
  };
  expect(levelsFrom(JSON.stringify({ 7: sizeless }), '7')).toEqual({
    list: [{ key: 'video1', width: null, height: null, bitrate: null, frameRate: null, onDemand: false }],
    current: null,
    estimate: null,
  });
});

it('an_event_that_is_not_as_expected_is_no_event', () => {
  for (const data of [
    '',
    '[]',
    'null',
    '{"1":{"active":[]}}',
    '{"0":null}',
    '{"0":{"active":{}}}',
    '{"0":{"active":',
  ]) {
    expect(levelsFrom(data, '0'), data).toBe(null);
  }
  expect(levelsFrom('{"__proto__":{"active":[]}}', 'constructor')).toBe(null);
  const hostile = [
    null,
    3,
    {},
    { encodingId: '<b>' },
    { encodingId: 'none' },
    { encodingId: 'auto' },
    { encodingId: 'a'.repeat(65) },
  ];
  expect(levelsFrom(JSON.stringify({ 0: { active: hostile, current: '"' } }), '0')).toEqual(NO_LEVELS);
  const many = Array.from({ length: 1000 }, (_, at) => ({ encodingId: `video${at}` }));
  expect(levelsFrom(JSON.stringify({ 0: { active: many } }), '0')?.list.length).toBe(64);
});

it('levels_have_different_names', () => {
  const fast = level('video', 720, { frameRate: 60 });
  expect(levelNames([fast, level('video1', 720), level('video2', 360)])).toEqual(['720p60', '720p', '360p']);
  const small = level('video1', 720, { bitrate: 800_000 });
  expect(levelNames([level('video', 720, { bitrate: 3e6 }), small, level('video2', null)])).toEqual([
    '720p · 3.0 Mbit/s',
    '720p · 800 kbit/s',
    'video2',
  ]);
  expect(levelNames([level('video', 720), level('video1', 720)])).toEqual(['720p · video', '720p · video1']);
  expect(levelNames([level('video', 1280, { width: 720 })])).toEqual(['720p']);
});

it('variants_of_ll_hls_have_the_names_of_the_tracks_and_the_best_is_first', () => {
  const variant = (uri: string, height: number, bitrate: number) =>
    ({ uri, height, width: height * 2, bitrate, frameRate: 30 }) as Variant;
  const variants = [
    variant('https://n/hls/a/video2.m3u8?token=x', 180, 2),
    variant('video.m3u8', 360, 5),
    variant('video1.m3u8', 360, 3),
  ];
  expect(levelsOf(variants).map(({ key }) => key)).toEqual(['video', 'video1', 'video2']);
  expect(variants[0]?.height).toBe(180);
});

class Recorder {
  readonly wishes: LevelWish[] = [];
  choose(wish: LevelWish): void {
    this.wishes.push(wish);
  }
}

it('a_wish_is_passed_to_the_sessions_of_both_transports_and_to_later_ones', () => {
  let changes = 0;
  const control = new LevelControl('auto', () => changes++);
  const [whep, hls] = [new Recorder(), new Recorder()];
  control.add(whep);
  control.choose('video1');
  control.setSize({ width: 640, height: 360 });
  control.add(hls);
  expect(whep.wishes.map(({ choice }) => choice)).toEqual(['auto', 'video1', 'video1']);
  expect(hls.wishes).toEqual([{ choice: 'video1', size: { width: 640, height: 360 }, maxBitrate: null }]);
  expect(changes).toBe(1);
  expect(control.seen).toEqual({ levels: [], level: null, choice: 'video1', estimate: null });
});

it('people_see_the_levels_of_the_session_that_is_shown', () => {
  let changes = 0;
  const control = new LevelControl('auto', () => changes++);
  const [whep, hls] = [new Recorder(), new Recorder()];
  control.add(whep);
  control.show(whep);
  control.told(whep, { list: [level('video', 720)], current: 'video', estimate: 1 });
  control.told(whep, { list: [level('video', 720)], current: 'video', estimate: 2 }); // No change that people see.
  control.add(hls);
  control.told(hls, { list: [level('video', 720)], current: 'none', estimate: null });
  expect([changes, control.seen.level, control.seen.estimate, control.isAudioOnly]).toEqual([1, 'video', 2, false]);
  control.show(hls);
  expect([changes, control.seen.level, control.isAudioOnly]).toEqual([2, 'none', true]);
  control.remove(hls);
  control.told(hls, { list: [], current: null, estimate: null });
  expect([changes, control.seen.levels, control.isAudioOnly]).toEqual([3, [], false]);
});

it('a_choice_of_a_level_that_does_not_exist_counts_as_automatic', () => {
  const control = new LevelControl('video3', () => {});
  const session = new Recorder();
  control.add(session);
  control.show(session);
  expect(control.isAutomatic).toBe(true);
  control.told(session, { list: [level('video3', 360)], current: 'video3', estimate: null });
  expect(control.isAutomatic).toBe(false);
  control.choose('auto');
  expect(control.isAutomatic).toBe(true);
});
