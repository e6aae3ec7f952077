// The sentences of rooms and the studio: apart from the others, so that a viewer who only watches need not load them.

import { filled, type Speech } from './language';
import { type RoomKey, roomsEn } from './rooms_en';
import { roomsZh } from './rooms_zh';

export type { RoomKey } from './rooms_en';

export const ROOM_LANGUAGES = { en: roomsEn, zh: roomsZh };

export type RoomSay = (key: RoomKey, values?: Record<string, string | number>) => string;

export function roomSay({ language }: Speech): RoomSay {
  return (key, values) => filled(ROOM_LANGUAGES[language][key], values);
}
