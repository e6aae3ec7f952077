// What a player can say about how it plays: one flat record, the same for both transports.

import type { LatencyMethod } from './latency';
import type { Transport } from './transport_choice';

export interface Stats {
  transport: Transport;
  /** Shown minus captured on the node's clock, the median of the last few readings. Null until known. */
  latencyMs: number | null;
  /** Where `latencyMs` comes from. */
  method: LatencyMethod | null;
  /** Whose clock `latencyMs` is against: the browser's, when the node's could not be read. */
  clock: 'node' | 'browser';
  /** The most `latencyMs` can be wrong for not knowing the clocks' offset better. */
  clockErrorMs: number | null;
  width: number;
  height: number;
  /** Pictures shown per second. */
  fps: number;
  /** Bits received per second, sound and pictures. */
  bitrate: number;
  framesDropped: number;
  /** Times the picture stood still, since this transport began. */
  freezes: number;
  /** Round trip of the media path; null for LL-HLS. */
  rtt: number | null;
  /** What is decoded, e.g. `H264`; empty until known. */
  codec: string;
}

export const NO_STATS: Readonly<Stats> = {
  transport: 'none',
  latencyMs: null,
  method: null,
  clock: 'browser',
  clockErrorMs: null,
  width: 0,
  height: 0,
  fps: 0,
  bitrate: 0,
  framesDropped: 0,
  freezes: 0,
  rtt: null,
  codec: '',
};

/** What a session reads about itself in one go; the player adds the rest. */
export interface SessionReadings {
  bytesReceived: number;
  framesDropped: number;
  freezes: number;
  rtt: number | null;
  codec: string;
}

/** The middle of the last few values: one late picture does not move it. */
export class RunningMedian {
  readonly #kept: number;
  #values: number[] = [];

  constructor(kept: number) {
    this.#kept = kept;
  }

  add(value: number): number {
    this.#values.push(value);
    if (this.#values.length > this.#kept) this.#values.shift();
    const sorted = [...this.#values].sort((a, b) => a - b);
    return sorted[sorted.length >> 1] as number;
  }

  reset(): void {
    this.#values = [];
  }
}
