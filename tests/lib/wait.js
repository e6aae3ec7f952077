// Waits for a condition, with a time limit and an error that names what was waited for.

import { setTimeout as pause } from "node:timers/promises";

export { pause };

/**
 * Calls `condition` until it returns a truthy value, and returns that value. Also calls `giveUp` each time, which
 * throws when waiting has become pointless.
 */
export async function waitFor(what, condition, { timeoutMs = 10_000, everyMs = 50, giveUp = () => {} } = {}) {
  const deadline = performance.now() + timeoutMs;
  let last;
  for (;;) {
    giveUp();
    last = await condition();
    if (last) return last;
    if (performance.now() > deadline) throw new Error(`waited ${timeoutMs} ms for ${what}; last answer: ${last}`);
    await pause(everyMs);
  }
}
