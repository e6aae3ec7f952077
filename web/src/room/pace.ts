// Tells when frames come at an even pace. A player that has just started, or jumped, shows its first frames unevenly, so
// it should not be raised before that. This is pure: the caller reports when each frame is shown.

const INTERVALS = 3;
/** The most by which the intervals of even frames differ: one refresh of a display of 60 Hz, and some rounding. */
const UNEVEN_MS = 20;

export class Pace {
  #last: number | null = null;
  #intervals: number[] = [];

  /** Takes in a frame. Returns whether the last few came at an even pace. */
  picture(shownAt: number): boolean {
    if (this.#last !== null) this.#intervals = [...this.#intervals, shownAt - this.#last].slice(-INTERVALS);
    this.#last = shownAt;
    const spread = Math.max(...this.#intervals) - Math.min(...this.#intervals);
    return this.#intervals.length === INTERVALS && spread <= UNEVEN_MS;
  }
}
