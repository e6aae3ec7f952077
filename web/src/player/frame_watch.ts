// Are pictures coming? Pure: told of each picture and asked from time to time.
//
// `picture` answers true once per spell: for the first picture after a start, a stall or an `expect`.
// `stalled` answers true once per stall; it never does while `pause`d (a hidden page gets no pictures).

export class FrameWatch {
  readonly #limitMs: number;
  #last: number | null = null; // null: none in this spell yet.
  #paused = false;

  constructor(limitMs: number) {
    this.#limitMs = limitMs;
  }

  get flowing(): boolean {
    return this.#last !== null;
  }

  picture(now: number): boolean {
    const first = this.#last === null;
    this.#last = now;
    return first;
  }

  stalled(now: number): boolean {
    if (this.#paused || this.#last === null || now - this.#last < this.#limitMs) return false;
    this.#last = null;
    return true;
  }

  /** Treat the next picture as the first of a new spell. */
  expect(): void {
    this.#last = null;
  }

  pause(): void {
    this.#paused = true;
  }

  resume(now: number): void {
    this.#paused = false;
    if (this.#last !== null) this.#last = now;
  }
}
