// Defines the statistics of the player: one flat record, the same for both transports.

import type { LatencyMethod } from './latency';
import type { NetworkReadings } from './network_watch';
import type { Reason, Transport } from './transport_words';

export interface Stats {
  transport: Transport;
  /** The median of the last 5 latency readings: time shown minus time captured. Null until it is known. */
  latencyMs: number | null;
  /** The source of `latencyMs`. */
  method: LatencyMethod | null;
  /** The clock by which `latencyMs` is measured: `browser` if the node's clock could not be read. */
  clock: 'node' | 'browser';
  /** The largest possible error of `latencyMs` that comes from the offset of the clocks. */
  clockErrorMs: number | null;
  width: number;
  height: number;
  /** Frames shown per second. */
  fps: number;
  /** Bits received per second, audio and video together. */
  bitrate: number;
  framesDropped: number;
  /** The number of times that the video froze since this transport began. */
  freezes: number;
  /** The round-trip time of the media path, in ms. Null for LL-HLS. */
  rtt: number | null;
  /** The video codec, such as `H264`. Empty until it is known. */
  codec: string;
  /** The key of the level that plays, `none` for audio only, or null while it is not known. */
  level: string | null;
  /** What the network carries by the newest estimate, in bits per second. Null if there is none. */
  estimate: number | null;
  /** How often the player gave WHEP up since it started, by reason. Failed attempts beside LL-HLS count too. */
  whepGivenUp: Partial<Record<Reason, number>>;
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
  level: null,
  estimate: null,
  whepGivenUp: {},
};

/** Holds what a session reads about itself at one time. The player adds the other statistics. */
export interface SessionReadings {
  bytesReceived: number;
  framesDropped: number;
  freezes: number;
  rtt: number | null;
  codec: string;
  network: NetworkReadings;
}

/** Computes the median of the last few values, so that one late frame does not change it. */
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
