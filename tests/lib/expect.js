// What "plays" means. Generous where a busy machine decides, strict where the gateway does.

import assert from "node:assert/strict";
import { availableParallelism, loadavg } from "node:os";

/** Up to so many runnable processes for each core, everything here plays in full: encoders and browsers nap a lot. */
const BUSY = 3;

/**
 * How much of the work of an idle machine can be asked for: 1, and less while others compile on it. Squared, because
 * several processes have to get their turn for each frame.
 */
export function capacity() {
  return Math.min(1, BUSY / (loadavg()[0] / availableParallelism())) ** 2;
}

/** A report over some seconds: the full frame rate arrives, what is shown is in order, with sound, and nothing broken. */
export function assertPlaysWell(report, { fps = 30, sound = true, width = null, height = null, maxLatencyMs = 5000 } = {}) {
  const brief = JSON.stringify({ ...report, samples: undefined, answer: undefined });
  const expected = fps * report.seconds * capacity();
  assert.ok(report.delivered > expected * 0.85, `${report.delivered} frames in ${report.seconds} s: ${brief}`);
  // A page on a busy machine shows fewer than it gets; a stream that is not decodable shows next to none.
  assert.ok(report.frames > expected * 0.3, `${report.frames} frames shown in ${report.seconds} s: ${brief}`);
  assert.equal(report.backwards, 0, `frames out of order: ${brief}`);
  assert.ok(report.unreadable <= report.frames * 0.02, `unreadable pictures: ${brief}`);
  if (width !== null) assert.deepEqual([report.width, report.height], [width, height]);
  if (sound) assertSound(report);
  const latencies = report.samples.map(([, latency]) => latency).sort((a, b) => a - b);
  assert.ok(latencies[latencies.length >> 1] < maxLatencyMs, `latency ${latencies[latencies.length >> 1]} ms`);
  assert.ok(latencies[0] > -50, `pictures from the future: ${latencies[0]} ms`);
}

/** The beeps are heard, once a second, and the hum between them. A short report may hold no beep. */
export function assertSound(report) {
  const [what, least] = report.seconds >= 3 ? ["beeps", 0.1] : ["hum", 0.02];
  assert.ok(report.loudness > least, `no sound: the loudest of ${report.seconds} s is ${report.loudness}, the ${what} are louder`);
  assert.ok(report.beeps >= Math.floor(report.seconds) - 2, `${report.beeps} beeps in ${report.seconds} s`);
  assert.ok(report.beeps <= Math.ceil(report.seconds) + 1, `${report.beeps} beeps in ${report.seconds} s: stuttering sound`);
}

/** An LL-HLS player that runs dry has seconds of nothing, however busy the machine; a busy page is late by less. */
export function assertNeverDry({ stalls, waiting, freezes }) {
  assert.equal(waiting, false);
  assert.ok(freezes.every(({ ms }) => ms < 2500), JSON.stringify(freezes));
  const longest = Math.max(0, ...stalls.map(({ ms }) => ms));
  assert.ok(longest * capacity() < 400, JSON.stringify(stalls));
}

/** An error answer says what happened in RFC 9457's form. */
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
