// Computes latency: the time when a frame is shown minus the time when it was captured (for pass-through streams: when
// it arrived at the node), both on the node's wall clock. Several sources give the capture time. The best available
// source is used, and the result names it.
//
// This is pure: readings in, milliseconds out. The sessions read them from the browser.

import type { ClockOffset } from './clock_offset';
import type { Dates } from './session_clock';

/**
 * Names the source of a latency figure. The best source is first.
 * - `abs-capture-time`: the RTP header extension of the shown frame.
 * - `sender-report`: RTCP sender reports map the RTP timestamp that plays to the node's clock.
 * - `capture-time`: the browser's own estimate of the frame's capture time.
 * - `program-date-time`: EXT-X-PROGRAM-DATE-TIME of the playback position (LL-HLS).
 * - `estimate`: half a round trip plus buffers. It covers only the network, not the encoder or the node.
 */
export type LatencyMethod = 'abs-capture-time' | 'sender-report' | 'capture-time' | 'program-date-time' | 'estimate';

export interface Latency {
  ms: number;
  method: LatencyMethod;
}

/** Holds what a WHEP session can read about the shown frame. Absent values are undefined. */
export interface WhepReadings {
  /** When the newest frame is shown or will be shown, on the browser's clock, in ms since 1970. */
  shownAt?: number | undefined;
  /** The RTP timestamp of that frame. */
  shownRtp?: number | undefined;
  /** The `captureTimestamp` of the newest synchronization source, in ms since 1900 or 1970. */
  captureTimestamp?: number | undefined;
  /**
   * The `senderCaptureTimeOffset`. Added to a time on the capturer's clock, it gives the time on the sender's clock.
   */
  captureClockOffset?: number | undefined;
  /** The RTP timestamp that belongs to `captureTimestamp`. */
  captureRtp?: number | undefined;
  /** The `estimatedPlayoutTimestamp` of inbound-rtp, in ms since 1900 or 1970. */
  playoutTimestamp?: number | undefined;
  /** When that report was read, on the browser's clock. */
  playoutReadAt?: number | undefined;
  /** The `captureTime` of the frame's metadata, on the browser's clock, in ms since 1970. */
  captureTime?: number | undefined;
  roundTripMs?: number | undefined;
  jitterBufferMs?: number | undefined;
  decodeMs?: number | undefined;
}

const NTP_TO_UNIX_MS = 2_208_988_800_000; // The milliseconds from 1900 to 1970.
const VIDEO_TICKS_PER_MS = 90;
const BELIEVABLE_MS = 120_000; // A larger difference comes from another clock and is not latency.
const CLOCK_SLACK_MS = 250; // A capture time up to 250 ms in the future is a clock error, and counts as latency 0.

/**
 * Converts a timestamp to ms since 1970. Browsers count from 1900, the specification allows 1970; the size tells which.
 */
export function unixMs(timestamp: number): number {
  return timestamp > 2.5e12 ? timestamp - NTP_TO_UNIX_MS : timestamp;
}

/** Returns `later` minus `earlier` in 32-bit RTP arithmetic, in milliseconds of a 90 kHz clock. */
export function rtpDifferenceMs(later: number, earlier: number): number {
  return ((later - earlier) | 0) / VIDEO_TICKS_PER_MS;
}

/** `dates` is the clock of the session. */
export function whepLatency(readings: WhepReadings, dates: Dates): Latency | null {
  const { shownAt, shownRtp, captureTimestamp, captureRtp, playoutTimestamp, playoutReadAt, captureTime } = readings;
  if (shownAt !== undefined && captureTimestamp !== undefined) {
    const step = shownRtp !== undefined && captureRtp !== undefined ? rtpDifferenceMs(shownRtp, captureRtp) : 0;
    const captured = unixMs(captureTimestamp) + (readings.captureClockOffset ?? 0) + step;
    const latency = believable(dates.toNode(shownAt) - captured, 'abs-capture-time');
    if (latency) return latency;
  }
  if (playoutTimestamp !== undefined && playoutReadAt !== undefined) {
    const latency = believable(dates.toNode(playoutReadAt) - unixMs(playoutTimestamp), 'sender-report');
    if (latency) return latency;
  }
  if (shownAt !== undefined && captureTime !== undefined) {
    const latency = believable(shownAt - captureTime, 'capture-time');
    if (latency) return latency;
  }
  if (readings.roundTripMs !== undefined && readings.jitterBufferMs !== undefined) {
    const ms = readings.roundTripMs / 2 + readings.jitterBufferMs + (readings.decodeMs ?? 0);
    return believable(ms, 'estimate');
  }
  return null;
}

/** `playing` is the program date of the playback position. `shownAt` is the browser's clock at that moment. */
export function hlsLatency(playing: number | undefined, shownAt: number, clock: ClockOffset): Latency | null {
  if (playing === undefined || Number.isNaN(playing)) return null;
  return believable(clock.toNode(shownAt) - playing, 'program-date-time');
}

function believable(ms: number, method: LatencyMethod): Latency | null {
  if (!(ms > -CLOCK_SLACK_MS && ms < BELIEVABLE_MS)) return null;
  return { ms: Math.max(0, Math.round(ms)), method };
}
