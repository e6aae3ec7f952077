// Measures for how long this process was ready but not scheduled. A busy machine delays every process in this way.

const TURN_MS = 10;

export class Turns {
  #timer;
  #last = performance.now();
  /** By how much the latest turn since the start or the last reset was late. */
  longestMs = 0;

  constructor() {
    this.#timer = setInterval(() => {
      const now = performance.now();
      this.longestMs = Math.max(this.longestMs, now - this.#last - TURN_MS);
      this.#last = now;
    }, TURN_MS);
  }

  reset() {
    this.longestMs = 0;
  }

  async stop() {
    clearInterval(this.#timer);
  }
}
