import { describe, expect, it } from 'vitest';
import { ClockOffset } from '../../src/player/clock_offset';
import { hlsLatency, rtpDifferenceMs, unixMs, whepLatency } from '../../src/player/latency';
import { RunningMedian } from '../../src/player/stats';

const NOW = Date.parse('2026-11-21T08:00:00Z');
const NTP = 2_208_988_800_000;
const same = new ClockOffset();

function ahead(ms: number): ClockOffset {
  const clock = new ClockOffset();
  clock.add({ sentAt: NOW, receivedAt: NOW, nodeNow: NOW + ms });
  return clock;
}

describe('whep latency', () => {
  it('the_capture_time_of_the_shown_frame_comes_first', () => {
    // The newest source is 3 frames (9000 ticks) ahead of the shown frame.
    const readings = { shownAt: NOW, shownRtp: 1000, captureRtp: 10_000, captureTimestamp: NOW + NTP - 20 };
    expect(whepLatency(readings, same)).toEqual({ ms: 120, method: 'abs-capture-time' });
  });

  it('latency_is_measured_by_the_clock_of_the_node', () => {
    const readings = { shownAt: NOW, captureTimestamp: NOW + 5000 - 80 };
    expect(whepLatency(readings, ahead(5000))).toEqual({ ms: 80, method: 'abs-capture-time' });
  });

  it('the_offset_of_the_capture_clock_is_added', () => {
    const readings = { shownAt: NOW, captureTimestamp: NOW - 1080, captureClockOffset: 1000 };
    expect(whepLatency(readings, same)?.ms).toBe(80);
  });

  it('sender_reports_come_second', () => {
    const readings = { shownAt: NOW, playoutTimestamp: NOW + NTP - 95, playoutReadAt: NOW, captureTime: NOW - 60 };
    expect(whepLatency(readings, same)).toEqual({ ms: 95, method: 'sender-report' });
  });

  it('an_implausible_capture_time_is_ignored', () => {
    const readings = { shownAt: NOW, captureTimestamp: 12_345, playoutTimestamp: NOW - 70, playoutReadAt: NOW };
    expect(whepLatency(readings, same)).toEqual({ ms: 70, method: 'sender-report' });
  });

  it('the_capture_time_of_the_browser_needs_no_clock_of_the_node', () => {
    expect(whepLatency({ shownAt: NOW, captureTime: NOW - 60 }, ahead(9999))).toEqual({
      ms: 60,
      method: 'capture-time',
    });
  });

  it('network_and_buffers_are_the_last_resort', () => {
    const readings = { roundTripMs: 40, jitterBufferMs: 25, decodeMs: 3 };
    expect(whepLatency(readings, same)).toEqual({ ms: 48, method: 'estimate' });
  });

  it('without_readings_there_is_no_latency', () => {
    expect(whepLatency({}, same)).toBeNull();
  });
});

describe('hls latency', () => {
  it('the_program_date_is_compared_with_the_clock_of_the_node', () => {
    expect(hlsLatency(NOW + 3000 - 1500, NOW, ahead(3000))).toEqual({ ms: 1500, method: 'program-date-time' });
  });

  it('without_a_program_date_there_is_no_latency', () => {
    expect([hlsLatency(undefined, NOW, same), hlsLatency(Number.NaN, NOW, same)]).toEqual([null, null]);
  });

  it('a_date_slightly_in_the_future_is_zero_and_one_far_in_the_future_is_ignored', () => {
    expect(hlsLatency(NOW + 100, NOW, same)?.ms).toBe(0);
    expect(hlsLatency(NOW + 10_000, NOW, same)).toBeNull();
  });
});

it('rtp_timestamps_wrap', () => {
  expect(rtpDifferenceMs(900, 2 ** 32 - 900)).toBe(20);
  expect(rtpDifferenceMs(2 ** 32 - 900, 900)).toBe(-20);
});

it('timestamps_since_1900_and_since_1970_are_understood', () => {
  expect([unixMs(NOW + NTP), unixMs(NOW)]).toEqual([NOW, NOW]);
});

it('one_late_reading_does_not_change_the_median', () => {
  const median = new RunningMedian(5);
  expect([100, 101, 900, 102, 103].map((value) => median.add(value)).at(-1)).toBe(102);
});
