import { expect, it } from 'vitest';
import { en, type Key } from '../../src/i18n/en';
import { chooseLanguage, translate } from '../../src/i18n/language';
import { type RoomKey, roomsEn } from '../../src/i18n/rooms_en';
import { roomsZh } from '../../src/i18n/rooms_zh';
import { zh } from '../../src/i18n/zh';

it('both_languages_have_the_same_keys', () => {
  expect(Object.keys(zh).sort()).toEqual(Object.keys(en).sort());
});

it('both_languages_have_the_same_placeholders', () => {
  const holes = (text: string) => (text.match(/\{\w+\}/g) ?? []).sort();
  for (const key of Object.keys(en) as Key[]) expect(holes(zh[key]), key).toEqual(holes(en[key]));
});

it('every_text_is_translated', () => {
  const same = (Object.keys(en) as Key[]).filter((key) => en[key] === zh[key]);
  expect(same).toEqual(['watch.title', 'stats.none'].filter((key) => same.includes(key as Key)));
});

it('the_query_comes_before_the_stored_choice_and_that_before_the_browser', () => {
  expect(chooseLanguage('zh-TW', 'en', ['en'])).toBe('zh');
  expect(chooseLanguage(null, 'en', ['zh-CN'])).toBe('en');
  expect(chooseLanguage(null, null, ['fr', 'zh-CN', 'en'])).toBe('zh');
  expect(chooseLanguage('xx', 'constructor', ['fr'])).toBe('en');
});

it('placeholders_are_filled', () => {
  expect(translate('en', 'home.count.many', { count: 3 })).toBe('3 rooms');
});

it('rooms_and_studio_have_the_same_keys_and_placeholders_in_both_languages', () => {
  const holes = (text: string) => (text.match(/\{\w+\}/g) ?? []).sort();
  expect(Object.keys(roomsZh)).toEqual(Object.keys(roomsEn));
  for (const key of Object.keys(roomsEn) as RoomKey[]) {
    expect(holes(roomsZh[key]), key).toEqual(holes(roomsEn[key]));
    expect(roomsZh[key] !== roomsEn[key], `${key} is translated`).toBe(true);
  }
});
