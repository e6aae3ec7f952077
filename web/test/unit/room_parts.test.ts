import { expect, it } from 'vitest';
import { initials } from '../../src/pages/room_parts';

it.each([
  ['Mia Wang', 'MW'],
  ['zoë', 'Z'],
  ['李雷', '李'],
  ['guest-7f3a', 'G7'],
  ['', '?'],
  ['😀 Anna', '😀A'],
])('initials_of_%s_are_found', (name, expected) => {
  expect(initials(name)).toBe(expected);
});
