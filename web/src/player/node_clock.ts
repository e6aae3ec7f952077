// Reads the node's clock over HTTP and feeds `ClockOffset`: several samples at the start and after sleep, then one a
// minute, and one when a playlist shows that the node's clock was set.
//
// Without an answer the offset stays 0 and `offset.known` stays false. Latencies are then measured with the browser's
// clock.

import { ClockOffset } from './clock_offset';
import type { Endpoint } from './endpoint';

const BURST = 5;
const INTERVAL_MS = 60_000;
const SPREAD_MS = 5000; // All viewers of a node learn at the same time that its clock was set.

/** Returns milliseconds since 1970 that never step back: the page's monotonic clock, from its wall-clock origin. */
export function browserNow(): number {
  return performance.timeOrigin + performance.now();
}

export class NodeClock {
  readonly offset = new ClockOffset();
  readonly #endpoint: Endpoint;
  readonly #life = new AbortController();
  #timer: ReturnType<typeof setInterval> | undefined;
  #soon: ReturnType<typeof setTimeout> | undefined;

  constructor(endpoint: Endpoint) {
    this.#endpoint = endpoint;
  }

  start(): void {
    if (this.#timer !== undefined || this.#life.signal.aborted) return;
    void this.#burst();
    this.#timer = setInterval(() => void this.#sample(), INTERVAL_MS);
  }

  /** Discards all samples and takes new ones, because samples from before a sleep are not valid any more. */
  restart(): void {
    this.offset.reset();
    void this.#burst();
  }

  /** Takes a sample within 5 s. */
  sampleSoon(): void {
    this.#soon ??= setTimeout(() => {
      this.#soon = undefined;
      void this.#sample();
    }, Math.random() * SPREAD_MS);
  }

  close(): void {
    clearInterval(this.#timer);
    clearTimeout(this.#soon);
    this.#life.abort();
  }

  async #burst(): Promise<void> {
    for (let i = 0; i < BURST; i++) if (!(await this.#sample())) return;
  }

  async #sample(): Promise<boolean> {
    if (this.#life.signal.aborted) return false;
    const url = this.#endpoint.server;
    const sentAt = browserNow();
    try {
      const response = await fetch(url, {
        headers: this.#endpoint.headers(url),
        cache: 'no-store',
        signal: this.#life.signal,
      });
      const receivedAt = browserNow();
      if (!response.ok) return false;
      const body = (await response.json()) as { now?: unknown };
      if (typeof body.now !== 'string') return false;
      this.offset.add({ sentAt, receivedAt, nodeNow: Date.parse(body.now) });
      return true;
    } catch {
      return false; // Playback does not depend on the latency figure.
    }
  }
}
