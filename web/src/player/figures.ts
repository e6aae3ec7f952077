// Keeps the figures that people see of what is shown: latency and statistics. They begin anew with each transport.

import type { ClockOffset } from './clock_offset';
import type { Latency } from './latency';
import type { PlayerEvents } from './player_options';
import { NO_STATS, RunningMedian, type SessionReadings, type Stats } from './stats';
import type { Transport } from './transport_words';

const EVERY_MS = 950; // People cannot read figures that change more than once a second.

/** What plays, and how many frames it has shown. */
export interface Shown {
  session: { video: HTMLVideoElement };
  pictures: number;
}

export class Figures {
  readonly #latency = new RunningMedian(5);
  #last: { at: number; bytes: number; pictures: number } | null = null;
  #stats: Stats = { ...NO_STATS };

  get stats(): Readonly<Stats> {
    return this.#stats;
  }

  begin(transport: Transport): void {
    this.#latency.reset();
    this.#last = null;
    this.#stats = { ...NO_STATS, transport };
  }

  addLatency({ ms, method }: Latency, offset: ClockOffset): PlayerEvents['latency'] {
    const clock = offset.known ? 'node' : 'browser';
    const errorMs = offset.known ? Math.ceil(offset.errorMs) : null;
    if (this.#stats.method !== method) this.#latency.reset();
    const latencyMs = this.#latency.add(ms);
    this.#stats = { ...this.#stats, latencyMs, method, clock, clockErrorMs: errorMs };
    return { latencyMs, method, transport: this.#stats.transport, clock, errorMs };
  }

  /** Returns whether there are new figures. */
  add({ session: { video }, pictures }: Shown, readings: SessionReadings, at: number): boolean {
    const last = this.#last;
    if (last && at - last.at < EVERY_MS) return false;
    this.#last = { at, bytes: readings.bytesReceived, pictures };
    const perSecond = (amount: number) => (last ? Math.max(0, (amount * 1000) / (at - last.at)) : 0);
    this.#stats = {
      ...this.#stats,
      width: video.videoWidth,
      height: video.videoHeight,
      fps: Math.round(perSecond(pictures - (last?.pictures ?? 0)) * 10) / 10,
      bitrate: Math.round(perSecond((readings.bytesReceived - (last?.bytes ?? 0)) * 8)),
      framesDropped: readings.framesDropped,
      freezes: readings.freezes,
      rtt: readings.rtt,
      codec: readings.codec,
    };
    return last !== null;
  }
}
