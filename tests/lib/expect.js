// What "plays" means. Generous where a busy machine decides, strict where the gateway does.

import assert from "node:assert/strict";

/** A report over some seconds: full frame rate, in order, with sound, and nothing broken. */
export function assertPlaysWell(report, { fps = 30, sound = true, width = null, height = null, maxLatencyMs = 5000 } = {}) {
  const brief = JSON.stringify({ ...report, samples: undefined, answer: undefined });
  assert.ok(report.frames > fps * report.seconds * 0.85, `${report.frames} frames in ${report.seconds} s: ${brief}`);
  assert.ok(report.spannedFrames - report.uniqueFrames <= report.spannedFrames * 0.15, `frames are missing: ${brief}`);
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
