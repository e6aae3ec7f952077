// A room whose program is mixed: where each tile of a layout is, commands to the room, and what "nobody noticed" means.

import assert from "node:assert/strict";
import { capacity } from "./expect.js";
import { median, percentile, rounded } from "./numbers.js";
import { waitFor } from "./wait.js";

/** Half of the machine is what two pictures decoded, one encoded and two players need; so small they are all readable. */
export const SMALL = { "mixer.canvas": "640x360" };

const place = (x, y, width, height) => ({ x, y, width, height });

/** The places of docs/ROOMS.md's layouts that tests look at, the host's first. */
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

/** The seat that this participant is on. */
export function seatOf(gateway, room, participant) {
  return waitFor(`${participant} to be on mic`, async () => {
    const seats = (await gateway.room(room))?.state?.seats;
    return seats?.find((seat) => seat.participant === participant && seat.state === "on-mic")?.seat;
  });
}

/** Every tile is read, and not only once. */
export function tilesAreReadable(viewer, count, { frames = 10, timeoutMs = 20_000 } = {}) {
  const readable = ({ tiles }) => tiles.length === count && tiles.every((tile) => tile.frames >= frames && tile.lastAgeMs < 1500);
  return viewer.waitFor(`${count} readable tiles`, readable, timeoutMs);
}

/** The usual amplitude of a tone in what was heard. Windows in which something began or ended are left out. */
export function loudness(report, hertz) {
  return median(report.tones.slice(1).map((tones) => tones[hertz])) ?? 0;
}

export const decibels = (ratio) => 20 * Math.log10(Math.max(ratio, 1e-9));

/** Waits until the newest half second of what a client hears fits. */
export function hears(client, what, fits, timeoutMs = 15_000) {
  return client.waitFor(
    what,
    ({ tones }) => tones.length >= 2 && tones.slice(-2).every(fits),
    timeoutMs,
  );
}

/** What a viewer noticed of splices since its figures were reset. */
export function sayContinuity(stage, what, before, report) {
  const concealed = concealedMs(before, report);
  stage.say(
    `${what}: longest time without a new picture ${rounded(report.longestGapMs)} ms (received ${rounded(report.longestReceiveGapMs)} ms), ` +
      `longest silence ${rounded(report.longestSilenceMs)} ms, ${rounded(concealed)} ms of sound concealed, ` +
      `${report.discontinuities} holes, ${report.unreadable} unreadable of ${report.frames + report.unreadable}; judged at ${rounded(capacity() * 100)} %`,
  );
}

function concealedMs(before, report) {
  const samples = ({ statistics }) => statistics?.["inbound-rtp-audio"]?.concealedSamples ?? 0;
  return (samples(report) - samples(before)) / 48;
}

/** In the program's own timestamps. */
const LIMIT_MS = 100;
/**
 * At a viewer, who sees the machine's naps too: a reconnect, a wait for a keyframe or an empty buffer takes longer than this.
 * How long it usually is, is said by each test and measured by measure/mix.js.
 */
const NOTICED_MS = 300;

/** What the program itself says: no hole in its timestamps, whatever the machine was busy with. */
export function assertUnbrokenTimes(stage, what, tap) {
  const found = tap.continuity();
  stage.say(`${what}, times: ${JSON.stringify(found, (_, value) => (typeof value === "number" ? Math.round(value) : value))}`);
  assert.equal(tap.ended, false);
  assert.deepEqual([found.backwards, found.repeated], [0, 0], "in order, and nothing twice");
  // A mixer that gets no turn leaves pictures out; sound is never left out.
  assert.ok(found.pictureMs <= (LIMIT_MS + 2 * found.machineMs) / capacity(), `a hole of ${found.pictureMs} ms in the pictures`);
  assert.ok(found.soundMs <= LIMIT_MS, `a hole of ${found.soundMs} ms in the sound`);
  return found.machineMs;
}

/**
 * A WHEP viewer: the same session, and nothing that breaks off. `machineMs` is how long nobody got a turn on this machine:
 * gateway, encoder and page come one after the other, so it counts more than once.
 */
export function assertUnbrokenWhep(before, report, machineMs = 0) {
  const limit = (NOTICED_MS + 2 * machineMs) / capacity();
  assert.equal(report.state, "connected");
  assert.equal(report.times.changes, before.times.changes, "the connection has not changed its state");
  assertInOrder(report);
  assert.ok(report.longestReceiveGapMs <= limit, `no picture for ${report.longestReceiveGapMs} ms`);
  assert.ok(report.longestGapMs <= limit, `no picture shown for ${report.longestGapMs} ms`);
  assert.ok(report.longestSilenceMs <= limit, `silence of ${report.longestSilenceMs} ms`);
}

function assertInOrder({ backwardsAt }) {
  assert.deepEqual(backwardsAt, [], "pictures in order");
}

/** An hls.js viewer: the same playlist, nothing waited for, sound without a hole. `machineMs` as above. */
export function assertUnbrokenHls(report, machineMs = 0) {
  const limit = (NOTICED_MS + 2 * machineMs) / capacity();
  assert.equal(report.manifests, 1, "one multivariant playlist");
  assert.deepEqual(report.errors.filter(({ fatal }) => fatal), []);
  const brief = () => JSON.stringify({ ...report, samples: undefined, tiles: undefined, tones: undefined });
  if (capacity() === 1) assert.equal(report.waiting, false, brief());
  const longest = Math.max(0, ...report.stalls.map(({ ms }) => ms));
  assert.ok(longest <= limit, `re-buffered for ${longest} ms, ${limit} ms are allowed: ${brief()}`);
  assertInOrder(report);
  assert.ok(report.longestSilenceMs <= limit, `silence of ${report.longestSilenceMs} ms, ${limit} ms are allowed`);
}

/** Nothing that an operator would have to look at. */
export function assertQuietLog(gateway) {
  const lines = gateway.log.split("\n").filter((line) => /\b(WARN|ERROR)\b/.test(line));
  assert.deepEqual(lines, [], "the log is quiet");
}

export function latencyOf(samples) {
  const values = samples.map(([, latency]) => latency);
  return { p50: percentile(values, 50), p95: percentile(values, 95) };
}
