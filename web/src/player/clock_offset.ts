// How far the browser's clock is from the node's, by Cristian's rule: the reply was made halfway through the
// round trip, so half of it is the most one sample can be wrong. The sample with the shortest round trip wins.
//
// Pure: times come in as arguments, in milliseconds since 1970 of the clock named.

export interface ClockSample {
  /** Browser clock. */
  sentAt: number;
  /** Browser clock. */
  receivedAt: number;
  /** The node's `now`. */
  nodeNow: number;
}

const SAMPLES_KEPT = 16;
const SAMPLE_LIFE_MS = 10 * 60_000; // Two quartz clocks part by up to 50 ppm: 30 ms in ten minutes.

export class ClockOffset {
  #samples: ClockSample[] = [];

  add(sample: ClockSample): void {
    const roundTrip = sample.receivedAt - sample.sentAt;
    if (!Number.isFinite(sample.nodeNow) || !(roundTrip >= 0)) return;
    this.#samples = this.#samples.filter((kept) => sample.receivedAt - kept.receivedAt < SAMPLE_LIFE_MS);
    this.#samples.push(sample);
    if (this.#samples.length > SAMPLES_KEPT) this.#samples.shift();
  }

  /** Forgets everything: after sleep the browser's clock may have jumped. */
  reset(): void {
    this.#samples = [];
  }

  get known(): boolean {
    return this.#samples.length > 0;
  }

  /** Node clock minus browser clock, 0 while unknown. */
  get offsetMs(): number {
    const best = this.#best();
    return best ? best.nodeNow - (best.sentAt + best.receivedAt) / 2 : 0;
  }

  /** The most the offset can be wrong: half the best round trip. Infinity while unknown. */
  get errorMs(): number {
    const best = this.#best();
    return best ? (best.receivedAt - best.sentAt) / 2 : Number.POSITIVE_INFINITY;
  }

  /** A moment of the browser's clock on the node's. */
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
