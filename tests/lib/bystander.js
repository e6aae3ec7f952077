// A viewer who watches another stream while a hostile client is active, beside a neighbour that takes as much as it is allowed.
// Neither must affect this viewer.

import assert from "node:assert/strict";
import { assertKeepsComing, assertPlaysWell } from "./expect.js";
import { GreedyNeighbour, LIMITS } from "./greedy.js";
import { rounded } from "./numbers.js";
import { Readiness } from "./readiness.js";
import { Turns } from "./turns.js";
import { waitFor } from "./wait.js";

const PICTURE = { width: 320, height: 180, bitrateKbps: 400 };
// 60 MB: allocators keep some freed memory, but a hostile client that succeeds makes the gateway keep far more.
const GROWTH_KB = 60_000;
/** Memory that is not used any more goes back to the system after 10 s, and a thread that may block ends after 10 s without work. */
const BACK_WITHIN_MS = 20_000;

/** The viewer is watched for this many frames at least, 5 s of them. */
const FRAMES = 150;

/**
 * Starts a gateway, with `options` beside those in `set`, with a room "bystander" and a viewer of it, and a greedy neighbour. `check` asserts that nothing disturbed that
 * viewer, and that the gateway was ready all the time.
 */
export async function withBystander(stage, set = {}, options = {}) {
  const gateway = await stage.gateway({ ...options, set: { ...LIMITS, ...set } });
  const publisher = await stage.live(gateway, "bystander", PICTURE);
  const browser = await stage.browser();
  const viewer = await browser.play("whep", { url: gateway.url("/whep/bystander") });
  await viewer.waitForFrames(60);
  const before = gateway.resources();
  const neighbour = stage.keep(new GreedyNeighbour(gateway));
  await neighbour.isBusy();
  const readiness = stage.keep(new Readiness(gateway));
  const machine = stage.keep(new Turns());
  await viewer.reset();
  return {
    gateway,
    viewer,
    async check() {
      gateway.assertAlive();
      publisher.assertAlive();
      assert.doesNotMatch(gateway.log, /panicked/);
      await viewer.waitForFrames(FRAMES);
      const report = await viewer.report();
      neighbour.assertAlive();
      await neighbour.stop();
      await readiness.stop();
      stage.sayFigures("the bystander", report);
      const { asked, slowestMs, unready } = readiness;
      stage.say(
        `the bystander: p95 gap ${rounded(report.receiveGapP95Ms)} ms, longest ${rounded(report.longestReceiveGapMs)} ms, ` +
          `this process waited up to ${rounded(machine.longestMs)} ms for its turn; /readyz: ${asked - unready.length} of ${asked} ready, slowest ${rounded(slowestMs)} ms`,
      );
      stage.say(`the greedy neighbour got ${JSON.stringify(neighbour.got)}`);
      assertPlaysWell(report);
      assertKeepsComing(report, machine.longestMs);
      assert.deepEqual(unready, [], "/readyz");
      const after = gateway.resources();
      stage.say(`before ${JSON.stringify(before)}, after ${JSON.stringify(after)}`);
      const back = () => gateway.resources().rssKb < before.rssKb + GROWTH_KB;
      await waitFor(`memory to come back to ${before.rssKb} kB from ${after.rssKb} kB`, back, { timeoutMs: BACK_WITHIN_MS });
      await waitFor("the hostile connections to be closed", () => gateway.resources().descriptors <= before.descriptors + 3);
      await waitFor(`threads to be ${before.threads} again`, () => gateway.resources().threads <= before.threads + 4, { timeoutMs: BACK_WITHIN_MS });
      await viewer.stop();
    },
  };
}
