// Sound against picture, as a viewer has them: judged by what the same browser makes of its own loop-back.

import assert from "node:assert/strict";
import { availableParallelism, loadavg } from "node:os";
import { median, rounded } from "./numbers.js";
import { pause } from "./wait.js";

const APART_MAX_MS = 60;
const SETTLING_MS = 2000;
const SECONDS = 5;

/** How much later the sound is than the picture, from two seconds after the first pictures on. */
export async function soundAfterPicture(client) {
  await client.waitForFrames(1);
  await pause(SETTLING_MS);
  return median((await client.watch(SECONDS)).lipSync);
}

/** Of so many loop-backs of the browser, one after the other: it differs from one connection to the next. */
export async function ownSoundAfterPicture(browser, { rounds = 3 } = {}) {
  const offsets = [];
  for (let round = 0; round < rounds; round += 1) {
    const loop = await browser.play("loopback", {});
    offsets.push(await soundAfterPicture(loop));
    await loop.stop();
  }
  return median(offsets);
}

/** A browser that does not get its turn enlarges its buffer for sound by whatever it missed: not judged on a busy machine. */
export function assertInStep(stage, what, offset, own) {
  assert.notEqual(offset, null, `${what}: no flash with its beep`);
  const isBusy = loadavg()[0] > availableParallelism();
  const figures = `sound ${rounded(offset)} ms after picture, ${rounded(own)} in the browser's loop-back`;
  stage.say(`${what}: ${figures}${isBusy ? "; not judged on a busy machine" : ""}`);
  if (!isBusy) assert.ok(Math.abs(offset - own) <= APART_MAX_MS, `${what}: ${figures}`);
}
