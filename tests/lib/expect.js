// Defines what "plays" means. The limits are generous where a busy machine decides, and strict where the gateway
// decides.

import assert from "node:assert/strict";
import { availableParallelism, loadavg } from "node:os";

/** Runnable processes per core up to which all frames are expected: encoders and browsers are idle much of the time. */
const BUSY = 3;

/**
 * Returns the share of an idle machine's work that a test may expect: 1, or less while other programs compile on it.
 * The ratio is squared, because several processes have to be scheduled for each frame.
 */
export function capacity() {
  return Math.min(1, BUSY / (loadavg()[0] / availableParallelism())) ** 2;
}

/** Asserts that a report shows the full frame rate, frames in order, audio, and no broken frames. */
export function assertPlaysWell(report, { fps = 30, sound = true, width = null, height = null, maxLatencyMs = 5000 } = {}) {
  const brief = JSON.stringify({ ...report, samples: undefined, answer: undefined });
  const expected = fps * report.seconds * capacity();
  assert.ok(report.delivered > expected * 0.85, `${report.delivered} frames in ${report.seconds} s: ${brief}`);
  // A page on a busy machine shows fewer frames than it receives. Of a stream that cannot be decoded it shows almost
  // none.
  assert.ok(report.frames > expected * 0.3, `${report.frames} frames shown in ${report.seconds} s: ${brief}`);
  assert.equal(report.backwards, 0, `frames out of order: ${brief}`);
  assert.ok(report.unreadable <= report.frames * 0.02, `unreadable frames: ${brief}`);
  if (width !== null) assert.deepEqual([report.width, report.height], [width, height]);
  if (sound) assertSound(report);
  const latencies = report.samples.map(([, latency]) => latency).sort((a, b) => a - b);
  assert.ok(latencies[latencies.length >> 1] < maxLatencyMs, `latency ${latencies[latencies.length >> 1]} ms`);
  assert.ok(latencies[0] > -50, `frames from the future: ${latencies[0]} ms`);
}

/** The gap of 95 % of all moments, and the longest gap, that an idle machine is allowed. */
const GAP_P95_MS = 100;
const GAP_MS = 1000;

/**
 * Asserts that frames kept coming to a WHEP viewer. A gateway that stops media for a second fails this, and so does one that
 * stutters for a twentieth of the time. `machineMs` is how long this machine scheduled no test process. Gateway, encoder and page
 * work one after the other, so it counts twice.
 */
export function assertKeepsComing({ receiveGapP95Ms, longestReceiveGapMs }, machineMs) {
  const allowed = (limit) => (limit + 2 * machineMs) / capacity();
  assert.ok(receiveGapP95Ms < allowed(GAP_P95_MS), `p95 gap of ${receiveGapP95Ms} ms between frames, allowed ${allowed(GAP_P95_MS)}`);
  assert.ok(longestReceiveGapMs < allowed(GAP_MS), `no frame for ${longestReceiveGapMs} ms, allowed ${allowed(GAP_MS)}`);
}

/** Asserts that the hum and one beep per second are heard. A report of less than 3 s may hold no beep. */
export function assertSound(report) {
  const [what, least] = report.seconds >= 3 ? ["beeps", 0.1] : ["hum", 0.02];
  assert.ok(report.loudness > least, `no audio: the loudest level in ${report.seconds} s is ${report.loudness}, the ${what} are louder`);
  assert.ok(report.beeps >= Math.floor(report.seconds) - 2, `${report.beeps} beeps in ${report.seconds} s`);
  assert.ok(report.beeps <= Math.ceil(report.seconds) + 1, `${report.beeps} beeps in ${report.seconds} s: the audio stutters`);
}

/**
 * Asserts that the buffer of an LL-HLS player never ran empty. A player whose buffer is empty stands still for seconds
 * on any machine. A busy page is late by less.
 */
export function assertNeverDry({ stalls, waiting, freezes }) {
  assert.equal(waiting, false);
  assert.ok(freezes.every(({ ms }) => ms < 2500), JSON.stringify(freezes));
  const longest = Math.max(0, ...stalls.map(({ ms }) => ms));
  assert.ok(longest * capacity() < 400, JSON.stringify(stalls));
}

/** Asserts that an error answer describes the problem in the format of RFC 9457, and returns the problem. */
export function assertProblem(response, statuses, what) {
  const body = response.text ?? response.body;
  assert.ok(statuses.includes(response.status), `${what}: ${response.status}, expected ${statuses}: ${body}`);
  const type = response.headers["content-type"] ?? "";
  assert.match(type, /^application\/problem\+json/, `${what}: ${type}`);
  const problem = JSON.parse(body);
  assert.equal(problem.status, response.status, what);
  assert.ok(typeof problem.title === "string" && problem.title.length > 0, `${what}: no title`);
  assert.ok(typeof problem.detail === "string" && problem.detail.length > 0, `${what}: no detail`);
  return problem;
}
