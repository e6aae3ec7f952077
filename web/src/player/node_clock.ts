// Reads the node's clock over HTTP and feeds the estimator: a burst at the start and after sleep, then one a minute.
//
// Without an answer the offset stays 0, and `clock.known` says that latencies are against the browser's own clock.

import { ClockOffset } from './clock_offset';
import type { Endpoint } from './endpoint';

const BURST = 5;
const INTERVAL_MS = 60_000;

/** Milliseconds since 1970 that never step backwards: the page's monotonic clock from its wall-clock origin. */
export function browserNow(): number {
  return performance.timeOrigin + performance.now();
}

export class NodeClock {
  readonly offset = new ClockOffset();
  readonly #endpoint: Endpoint;
  readonly #life = new AbortController();
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor(endpoint: Endpoint) {
    this.#endpoint = endpoint;
  }

  start(): void {
    if (this.#timer !== undefined || this.#life.signal.aborted) return;
    void this.#burst();
    this.#timer = setInterval(() => void this.#sample(), INTERVAL_MS);
  }

  /** After sleep: earlier samples say nothing any more. */
  restart(): void {
    this.offset.reset();
    void this.#burst();
  }

  close(): void {
    clearInterval(this.#timer);
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
      return false; // Latency is a figure to look at; playing does not depend on it.
    }
  }
}
