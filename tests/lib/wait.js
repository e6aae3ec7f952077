// Waiting for something to become true, with a limit and a sentence that says what was waited for.

import { setTimeout as pause } from "node:timers/promises";

export { pause };

/**
 * Asks `condition` until its answer is truthy and returns that answer. `giveUp`, asked each time too, may throw when
 * waiting has become pointless.
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
