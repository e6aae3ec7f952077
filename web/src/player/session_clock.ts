// Estimates the clock of one WHEP session.
//
// The node's system clock may be set. Its API then tells other times, but a session keeps the ones that it began with, in
// its sender reports and capture times: a browser that was told of a step would move its media. So a session that is
// older than the step is measured by the clock of its own reports.
//
// This is pure: times are arguments, in milliseconds since 1970 on the named clock.

import type { ClockOffset } from './clock_offset';

const REPORTS_KEPT = 8; // One comes each second.
const APART_MS = 200; // The least delayed of 8 reports is delayed by less on its way. The API is more exact than that.

/** Converts moments on the browser's clock. */
export type Dates = Pick<ClockOffset, 'toNode'>;

export class SessionClock {
  #offsets: number[] = [];
  #newest: number | undefined;

  /** Takes in a sender report: when it was written, on the session's clock, and when it arrived, on the browser's. */
  add(writtenAt: number, arrivedAt: number, roundTripMs: number): void {
    const offset = writtenAt + roundTripMs / 2 - arrivedAt;
    if (writtenAt === this.#newest || !Number.isFinite(offset)) return;
    this.#newest = writtenAt;
    this.#offsets.push(offset);
    if (this.#offsets.length > REPORTS_KEPT) this.#offsets.shift();
  }

  /** Returns the session's clock: the node's of today, unless the reports say that it is another one. */
  dates(node: ClockOffset): Dates {
    if (this.#offsets.length === 0) return node;
    const own = Math.max(...this.#offsets); // The report with the least delay.
    if (node.known && Math.abs(own - node.offsetMs) < APART_MS) return node;
    return { toNode: (browserMs) => browserMs + own };
  }
}
