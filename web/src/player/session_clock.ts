// Estimates the clock of one WHEP session.
//
// The node's system clock may be set. Its API then tells other times, but a session keeps the ones that it began with, in
// its sender reports and capture times: a browser that was told of a step would move its media. So a session that is
// older than the step is measured by the clock of its own reports.
//
// This is pure: times are arguments, in milliseconds since 1970 on the named clock.

import type { ClockOffset } from './clock_offset';

const REPORTS_KEPT = 60; // One comes each second, and drift is 3 ms in a minute.
const APART_MS = 200; // A smaller difference, and one of a round trip, may come from delays. The API is more exact then.

/** Converts moments on the browser's clock. */
export type Dates = Pick<ClockOffset, 'toNode'>;

export class SessionClock {
  #reports: { offset: number; roundTripMs: number }[] = [];
  #newest: number | undefined;

  /** Takes in a sender report: when it was written, on the session's clock, and when it arrived, on the browser's. */
  add(writtenAt: number, arrivedAt: number, roundTripMs: number): void {
    const offset = writtenAt + roundTripMs / 2 - arrivedAt;
    if (writtenAt === this.#newest || !Number.isFinite(offset)) return;
    this.#newest = writtenAt;
    this.#reports.push({ offset, roundTripMs });
    if (this.#reports.length > REPORTS_KEPT) this.#reports.shift();
  }

  /** Returns the session's clock: the node's of today, unless the reports say that it is another one. */
  dates(node: ClockOffset): Dates {
    const [first, ...others] = this.#reports;
    if (!first) return node;
    const own = others.reduce((best, report) => (report.offset > best.offset ? report : best), first); // The least delayed.
    if (node.known && Math.abs(own.offset - node.offsetMs) < APART_MS + own.roundTripMs) return node;
    return { toNode: (browserMs) => browserMs + own.offset };
  }
}
