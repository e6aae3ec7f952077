// Latency: the moment a picture is shown minus the moment it was captured (for pass-through streams: arrived),
// both on the node's wall clock. Several sources say when it was captured; the best that answers is used, and named.
//
// Pure: readings in, milliseconds out. Reading them from the browser is the sessions' work.

import type { ClockOffset } from './clock_offset';

/**
 * Where a latency figure comes from, best first.
 * - `abs-capture-time`: the RTP header extension of the very frame shown.
 * - `sender-report`: RTCP sender reports map the playing RTP timestamp to the node's clock.
 * - `capture-time`: the browser's own estimate of the frame's capture time.
 * - `program-date-time`: EXT-X-PROGRAM-DATE-TIME of the position that plays (LL-HLS).
 * - `estimate`: half a round trip plus buffers; the network's share only, no encoder or node.
 */
export type LatencyMethod = 'abs-capture-time' | 'sender-report' | 'capture-time' | 'program-date-time' | 'estimate';

export interface Latency {
  ms: number;
  method: LatencyMethod;
}

/** What a WHEP session can read about the picture that is shown. Absent values are undefined. */
export interface WhepReadings {
  /** Browser clock, ms since 1970: when the newest picture is (to be) shown. */
  shownAt?: number | undefined;
  /** RTP timestamp of that picture. */
  shownRtp?: number | undefined;
  /** `captureTimestamp` of the newest synchronization source (ms since 1900 or 1970). */
  captureTimestamp?: number | undefined;
  /** `senderCaptureTimeOffset`: add to come from the capturer's clock to the sender's. */
  captureClockOffset?: number | undefined;
  /** RTP timestamp that belongs to `captureTimestamp`. */
  captureRtp?: number | undefined;
  /** `estimatedPlayoutTimestamp` of inbound-rtp (ms since 1900 or 1970), and the browser's time of the report. */
  playoutTimestamp?: number | undefined;
  playoutReadAt?: number | undefined;
  /** `captureTime` of the frame's metadata, on the browser's clock, ms since 1970. */
  captureTime?: number | undefined;
  roundTripMs?: number | undefined;
  jitterBufferMs?: number | undefined;
  decodeMs?: number | undefined;
}

const NTP_TO_UNIX_MS = 2_208_988_800_000; // 1900 to 1970.
const VIDEO_TICKS_PER_MS = 90;
const BELIEVABLE_MS = 120_000; // Further from now than this is another clock, not latency.
const CLOCK_SLACK_MS = 250; // A little in the future is clock error, not nonsense.

/** Browsers give NTP times since 1900, the specification's text allows 1970: tell them apart by size. */
export function unixMs(timestamp: number): number {
  return timestamp > 2.5e12 ? timestamp - NTP_TO_UNIX_MS : timestamp;
}

/** `later` minus `earlier` in 32-bit RTP arithmetic, in milliseconds of a 90 kHz clock. */
export function rtpDifferenceMs(later: number, earlier: number): number {
  return ((later - earlier) | 0) / VIDEO_TICKS_PER_MS;
}

export function whepLatency(readings: WhepReadings, clock: ClockOffset): Latency | null {
  const { shownAt, shownRtp, captureTimestamp, captureRtp, playoutTimestamp, playoutReadAt, captureTime } = readings;
  if (shownAt !== undefined && captureTimestamp !== undefined) {
    const step = shownRtp !== undefined && captureRtp !== undefined ? rtpDifferenceMs(shownRtp, captureRtp) : 0;
    const captured = unixMs(captureTimestamp) + (readings.captureClockOffset ?? 0) + step;
    const latency = believable(clock.toNode(shownAt) - captured, 'abs-capture-time');
    if (latency) return latency;
  }
  if (playoutTimestamp !== undefined && playoutReadAt !== undefined) {
    const latency = believable(clock.toNode(playoutReadAt) - unixMs(playoutTimestamp), 'sender-report');
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

/** `playing` is the program date of the position that plays, `shownAt` the browser's clock at that moment. */
export function hlsLatency(playing: number | undefined, shownAt: number, clock: ClockOffset): Latency | null {
  if (playing === undefined || Number.isNaN(playing)) return null;
  return believable(clock.toNode(shownAt) - playing, 'program-date-time');
}

function believable(ms: number, method: LatencyMethod): Latency | null {
  if (!(ms > -CLOCK_SLACK_MS && ms < BELIEVABLE_MS)) return null;
  return { ms: Math.max(0, Math.round(ms)), method };
}
