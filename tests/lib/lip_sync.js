// Measures lip sync as a viewer experiences it, and compares it with a loop-back in the same browser.

import assert from "node:assert/strict";
import { availableParallelism, loadavg } from "node:os";
import { median, rounded } from "./numbers.js";
import { pause } from "./wait.js";

const APART_MAX_MS = 60;
const SETTLING_MS = 2000;
const SECONDS = 5;

/** Returns how many milliseconds the audio is behind the video, measured from two seconds after the first frame on. */
export async function soundAfterPicture(client) {
  await client.waitForFrames(1);
  await pause(SETTLING_MS);
  return median((await client.watch(SECONDS)).lipSync);
}

/** Returns the median offset of `rounds` loop-backs of the browser. One is not enough, because connections differ. */
export async function ownSoundAfterPicture(browser, { rounds = 3 } = {}) {
  const offsets = [];
  for (let round = 0; round < rounds; round += 1) {
    const loop = await browser.play("loopback", {});
    offsets.push(await soundAfterPicture(loop));
    await loop.stop();
  }
  return median(offsets);
}

/**
 * Asserts that audio and video are in step. A busy machine is not judged: a browser that is not scheduled in time
 * enlarges its audio buffer by the time it missed.
 */
export function assertInStep(stage, what, offset, own) {
  assert.notEqual(offset, null, `${what}: no flash was seen together with its beep`);
  const isBusy = loadavg()[0] > availableParallelism();
  const figures = `audio ${rounded(offset)} ms after video, ${rounded(own)} ms in the browser's loop-back`;
  stage.say(`${what}: ${figures}${isBusy ? "; not judged, the machine is busy" : ""}`);
  if (!isBusy) assert.ok(Math.abs(offset - own) <= APART_MAX_MS, `${what}: ${figures}`);
}
