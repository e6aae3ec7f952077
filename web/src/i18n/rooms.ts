// Finds the texts of rooms and the studio. They are apart from the others, so that a viewer who only watches need not
// load them.

import type { Problem } from '../player';
import { filled, type Speech } from './language';
import { type RoomKey, roomsEn } from './rooms_en';
import { roomsZh } from './rooms_zh';

export type { RoomKey } from './rooms_en';

export const ROOM_LANGUAGES = { en: roomsEn, zh: roomsZh };

export type RoomSay = (key: RoomKey, values?: Record<string, string | number>) => string;

export function roomSay({ language }: Speech): RoomSay {
  return (key, values) => filled(ROOM_LANGUAGES[language][key], values);
}

/** Returns why the server refused, in the page's language if the code is known. */
export function refusal(say: RoomSay, { code, detail, title }: Problem): string {
  const key = `refused.${code}` as RoomKey;
  if (!(key in roomsEn)) return detail || title;
  const own = say(key);
  // In English the server's own sentence says more: which seat, how long.
  return own === roomsEn[key] && detail ? detail : own;
}
