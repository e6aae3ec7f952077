import { describe, expect, it } from 'vitest';
import { ClockOffset } from '../../src/player/clock_offset';
import { whepLatency } from '../../src/player/latency';
import { SessionClock } from '../../src/player/session_clock';

const NOW = Date.parse('2026-11-21T08:00:00Z');
const HOUR = 3_600_000;

function node(offset: number): ClockOffset {
  const clock = new ClockOffset();
  clock.add({ sentAt: NOW, receivedAt: NOW + 4, nodeNow: NOW + 2 + offset });
  return clock;
}

/** Returns the clock of a session whose reports are ahead of the browser by `offset`, with delays of up to 300 ms. */
function session(offset: number): SessionClock {
  const clock = new SessionClock();
  for (const [second, delay] of [90, 20, 300, 15].entries()) {
    const arrivedAt = NOW + second * 1000;
    clock.add(arrivedAt - delay + offset, arrivedAt, 20);
  }
  return clock;
}

describe('the clock of a session', () => {
  it('without_reports_it_is_the_clock_of_the_node', () => {
    expect(new SessionClock().dates(node(500)).toNode(NOW)).toBe(NOW + 500);
  });

  it('reports_that_agree_leave_it_to_the_clock_of_the_node_which_is_more_exact', () => {
    expect(session(500).dates(node(500)).toNode(NOW)).toBe(NOW + 500);
  });

  it('a_session_that_is_older_than_a_step_of_the_node_is_measured_by_its_own_reports', () => {
    for (const step of [HOUR, -HOUR, 400, -400]) {
      const dates = session(0).dates(node(step));
      const captured = { shownAt: NOW, captureTimestamp: NOW - 80 };
      expect(whepLatency(captured, dates)?.ms).toBe(75); // The fastest report took 5 ms more than half a round trip.
      const played = { playoutTimestamp: NOW - 80, playoutReadAt: NOW };
      expect(whepLatency(played, dates)?.ms).toBe(75);
    }
  });

  it('a_session_that_is_younger_than_a_step_that_the_player_has_not_heard_of_is_right_too', () => {
    const dates = session(HOUR).dates(node(0));
    expect(whepLatency({ shownAt: NOW, captureTimestamp: NOW + HOUR - 80 }, dates)?.ms).toBe(75);
  });

  it('a_congested_network_does_not_make_another_clock', () => {
    const clock = new SessionClock();
    for (let second = 0; second < 60; second++) clock.add(NOW + second * 1000 - 900, NOW + second * 1000, 920);
    expect(clock.dates(node(0)).toNode(NOW)).toBe(NOW);
  });

  it('a_report_that_is_read_twice_counts_once', () => {
    const clock = new SessionClock();
    clock.add(NOW + 1000, NOW, 0);
    for (let read = 0; read < 20; read++) clock.add(NOW, NOW, 0);
    expect(clock.dates(new ClockOffset()).toNode(NOW)).toBe(NOW + 1000);
    for (let second = 1; second <= 60; second++) clock.add(NOW + second * 1000, NOW + second * 1000, 0);
    expect(clock.dates(new ClockOffset()).toNode(NOW)).toBe(NOW);
  });
});
