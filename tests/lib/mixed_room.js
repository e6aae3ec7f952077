// Helps tests of a mixed program: it knows where each tile of a layout is, sends commands to the room, and defines what
// "no viewer noticed" means.

import assert from "node:assert/strict";
import { capacity } from "./expect.js";
import { median, percentile, rounded } from "./numbers.js";
import { waitFor } from "./wait.js";

/**
 * At this size two decoders, one encoder and two players need half of a test machine, and every tile is still readable.
 */
export const SMALL = { "mixer.canvas": "640x360" };

const place = (x, y, width, height) => ({ x, y, width, height });

/** The places of the layouts in docs/ROOMS.md that tests look at. The host's place is first. */
export const TILES = {
  two: [place(0, 0.25, 0.5, 0.5), place(0.5, 0.25, 0.5, 0.5)],
  three: [place(0, 0, 0.5, 0.5), place(0.5, 0, 0.5, 0.5), place(0.25, 0.5, 0.5, 0.5)],
  four: [place(0, 0, 0.5, 0.5), place(0.5, 0, 0.5, 0.5), place(0, 0.5, 0.5, 0.5), place(0.5, 0.5, 0.5, 0.5)],
  corners: [place(0.5, 0.5, 0.5, 0.5), place(0, 0, 0.5, 0.5)],
};

export async function command(gateway, room, method, path, body) {
  const response = await fetch(gateway.url(`/api/v1/rooms/${room}${path}`), {
    method,
    headers: { "Content-Type": "application/json" },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const text = await response.text();
  assert.ok(response.ok, `${method} ${path} answered ${response.status}: ${text}`);
  return text ? JSON.parse(text) : null;
}

export const programState = async (gateway, room) => (await gateway.room(room))?.state?.program.state ?? "off";

export function programIs(gateway, room, state, options) {
  return waitFor(`the program of ${room} to be ${state}`, async () => (await programState(gateway, room)) === state, {
    everyMs: 20,
    ...options,
  });
}

/** Waits until this participant is on mic, and returns the number of the seat. */
export function seatOf(gateway, room, participant) {
  return waitFor(`${participant} to be on mic`, async () => {
    const seats = (await gateway.room(room))?.state?.seats;
    return seats?.find((seat) => seat.participant === participant && seat.state === "on-mic")?.seat;
  });
}

/** Waits until every tile has been read at least `frames` times and was read within the last 1.5 s. */
export function tilesAreReadable(viewer, count, { frames = 10, timeoutMs = 20_000 } = {}) {
  const readable = ({ tiles }) => tiles.length === count && tiles.every((tile) => tile.frames >= frames && tile.lastAgeMs < 1500);
  return viewer.waitFor(`${count} readable tiles`, readable, timeoutMs);
}

/**
 * Returns the median amplitude of a tone in a report. Leaves out the first window, in which the tone may have begun.
 */
export function loudness(report, hertz) {
  return median(report.tones.slice(1).map((tones) => tones[hertz])) ?? 0;
}

export const decibels = (ratio) => 20 * Math.log10(Math.max(ratio, 1e-9));

/** Waits until the newest half second of the client's audio (two windows) fits. */
export function hears(client, what, fits, timeoutMs = 15_000) {
  return client.waitFor(
    what,
    ({ tones }) => tones.length >= 2 && tones.slice(-2).every(fits),
    timeoutMs,
  );
}

/** Prints how a viewer saw and heard the splices since its figures were reset. */
export function sayContinuity(stage, what, before, report) {
  const concealed = concealedMs(before, report);
  stage.say(
    `${what}: longest time without a new frame ${rounded(report.longestGapMs)} ms (received ${rounded(report.longestReceiveGapMs)} ms), ` +
      `longest silence ${rounded(report.longestSilenceMs)} ms, ${rounded(concealed)} ms of audio concealed, ` +
      `${report.discontinuities} gaps, ${report.unreadable} unreadable of ${report.frames + report.unreadable}; limits scaled to ${rounded(capacity() * 100)} %`,
  );
  if (report.waiting) stage.say(`${what}: the player waits: ${JSON.stringify(report.loading)} at ${report.currentTime}`);
}

function concealedMs(before, report) {
  const samples = ({ statistics }) => statistics?.["inbound-rtp-audio"]?.concealedSamples ?? 0;
  return (samples(report) - samples(before)) / 48;
}

/** The longest gap allowed in the program's own timestamps. */
const LIMIT_MS = 100;
/**
 * The longest gap allowed at a viewer, who also sees the pauses of a busy machine. A reconnect, a wait for a keyframe
 * or an empty buffer takes longer than this. Each test prints the actual gap, and measure/mix.js measures it.
 */
const NOTICED_MS = 300;

/**
 * Asserts that the program's timestamps have no gap, however busy the machine was. Returns for how many milliseconds
 * the machine did not schedule this process.
 */
export function assertUnbrokenTimes(stage, what, tap) {
  const found = tap.continuity();
  stage.say(`${what}, times: ${JSON.stringify(found, (_, value) => (typeof value === "number" ? Math.round(value) : value))}`);
  assert.equal(tap.ended, false);
  assert.deepEqual([found.backwards, found.repeated], [0, 0], "timestamps are in order and none is repeated");
  // A mixer that is not scheduled in time leaves out frames of video. It never leaves out audio.
  assert.ok(found.pictureMs <= (LIMIT_MS + 2 * found.machineMs) / capacity(), `a gap of ${found.pictureMs} ms in the video`);
  assert.ok(found.soundMs <= LIMIT_MS, `a gap of ${found.soundMs} ms in the audio`);
  return found.machineMs;
}

/**
 * Asserts that a WHEP viewer kept its session and that neither its video nor its audio broke off. `machineMs` is how
 * long this machine scheduled no test process. Gateway, encoder and page work one after the other, so it counts twice.
 */
export function assertUnbrokenWhep(before, report, machineMs = 0) {
  const limit = (NOTICED_MS + 2 * machineMs) / capacity();
  assert.equal(report.state, "connected");
  assert.equal(report.times.changes, before.times.changes, "the connection did not change its state");
  assertInOrder(report);
  assert.ok(report.longestReceiveGapMs <= limit, `no frame received for ${report.longestReceiveGapMs} ms`);
  assert.ok(report.longestGapMs <= limit, `no frame shown for ${report.longestGapMs} ms`);
  assert.ok(report.longestSilenceMs <= limit, `silence of ${report.longestSilenceMs} ms`);
}

function assertInOrder({ backwardsAt }) {
  assert.deepEqual(backwardsAt, [], "frames are in order");
}

/**
 * Asserts that an hls.js viewer kept its playlist, did not rebuffer, and heard audio without a gap. `machineMs` means
 * the same as in `assertUnbrokenWhep`.
 */
export function assertUnbrokenHls(report, machineMs = 0) {
  const limit = (NOTICED_MS + 2 * machineMs) / capacity();
  assert.equal(report.manifests, 1, "one multivariant playlist");
  assert.deepEqual(report.errors.filter(({ fatal }) => fatal), []);
  const brief = () => JSON.stringify({ ...report, samples: undefined, tiles: undefined, tones: undefined });
  if (capacity() === 1) assert.equal(report.waiting, false, brief());
  const longest = Math.max(0, ...report.stalls.map(({ ms }) => ms));
  assert.ok(longest <= limit, `rebuffered for ${longest} ms, ${limit} ms are allowed: ${brief()}`);
  assertInOrder(report);
  assert.ok(report.longestSilenceMs <= limit, `silence of ${report.longestSilenceMs} ms, ${limit} ms are allowed`);
}

/** Asserts that the log has no warning and no error, so that an operator has nothing to look at. */
export function assertQuietLog(gateway) {
  const lines = gateway.log.split("\n").filter((line) => /\b(WARN|ERROR)\b/.test(line));
  assert.deepEqual(lines, [], "the log has no warnings and no errors");
}

export function latencyOf(samples) {
  const values = samples.map(([, latency]) => latency);
  return { p50: percentile(values, 50), p95: percentile(values, 95) };
}
