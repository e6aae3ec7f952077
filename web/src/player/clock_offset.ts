// Estimates the offset between the browser's clock and the node's clock by Cristian's algorithm. It assumes that the
// reply was made halfway through the round trip, so a sample is wrong by at most half of its round trip. The sample
// with the shortest round trip is used. A sample that contradicts older ones shows that one of the clocks was set, and
// the older ones are discarded.
//
// This is pure: times are arguments, in milliseconds since 1970 on the named clock.

export interface ClockSample {
  /** On the browser's clock. */
  sentAt: number;
  /** On the browser's clock. */
  receivedAt: number;
  /** The node's `now`, on the node's clock. */
  nodeNow: number;
}

const SAMPLES_KEPT = 16;
const SAMPLE_LIFE_MS = 10 * 60_000; // Two quartz clocks drift apart by up to 50 ppm: 30 ms in 10 minutes.
const DRIFT_MS = 100; // The most by which samples within that time differ, beyond their own errors.

export class ClockOffset {
  #samples: ClockSample[] = [];

  add(sample: ClockSample): void {
    const roundTrip = sample.receivedAt - sample.sentAt;
    if (!Number.isFinite(sample.nodeNow) || !(roundTrip >= 0)) return;
    const fits = (kept: ClockSample) =>
      sample.receivedAt - kept.receivedAt < SAMPLE_LIFE_MS &&
      Math.abs(offset(sample) - offset(kept)) <= roundTrip / 2 + (kept.receivedAt - kept.sentAt) / 2 + DRIFT_MS;
    this.#samples = this.#samples.filter(fits);
    this.#samples.push(sample);
    if (this.#samples.length > SAMPLES_KEPT) this.#samples.shift();
  }

  /** Discards all samples, because the browser's clock may have jumped while the machine slept. */
  reset(): void {
    this.#samples = [];
  }

  get known(): boolean {
    return this.#samples.length > 0;
  }

  /** Returns the node's clock minus the browser's clock, or 0 while it is unknown. */
  get offsetMs(): number {
    const best = this.#best();
    return best ? offset(best) : 0;
  }

  /**
   * Returns the largest possible error of the offset: half of the shortest round trip, or Infinity while it is unknown.
   */
  get errorMs(): number {
    const best = this.#best();
    return best ? (best.receivedAt - best.sentAt) / 2 : Number.POSITIVE_INFINITY;
  }

  /** Converts a moment on the browser's clock to the node's clock. */
  toNode(browserMs: number): number {
    return browserMs + this.offsetMs;
  }

  #best(): ClockSample | undefined {
    let best: ClockSample | undefined;
    for (const sample of this.#samples) {
      if (!best || sample.receivedAt - sample.sentAt <= best.receivedAt - best.sentAt) best = sample;
    }
    return best;
  }
}

function offset({ sentAt, receivedAt, nodeNow }: ClockSample): number {
  return nodeNow - (sentAt + receivedAt) / 2;
}
