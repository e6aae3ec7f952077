// Detects whether frames arrive. It is pure: the caller reports each frame and asks from time to time.
//
// `picture` returns true for the first frame after a start, a stall or an `expect`, and false for the frames after it.
// `stalled` returns true once per stall. It never returns true while paused, because a hidden page gets no frames.

export class FrameWatch {
  readonly #limitMs: number;
  #last: number | null = null; // null: no frame since the start, stall or `expect`.
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

  /** Treats the next frame as the first one again. */
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
