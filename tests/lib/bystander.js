// A viewer who watches another stream while a hostile client is active. The hostile client must not affect this viewer.

import assert from "node:assert/strict";
import { assertPlaysWell } from "./expect.js";
import { waitFor } from "./wait.js";

const PICTURE = { width: 320, height: 180, bitrateKbps: 400 };
// 60 MB: allocators keep some freed memory, but a hostile client that succeeds makes the gateway keep far more.
const GROWTH_KB = 60_000;

/** Starts a gateway with a room "bystander" and a viewer of it. `check` asserts that nothing disturbed that viewer. */
export async function withBystander(stage, set = {}) {
  const gateway = await stage.gateway({ set });
  const publisher = await stage.live(gateway, "bystander", PICTURE);
  const browser = await stage.browser();
  const viewer = await browser.play("whep", { url: gateway.url("/whep/bystander") });
  await viewer.waitForFrames(60);
  await viewer.reset();
  const before = gateway.resources();
  return {
    gateway,
    viewer,
    async check() {
      gateway.assertAlive();
      publisher.assertAlive();
      assert.doesNotMatch(gateway.log, /panicked/);
      await viewer.waitForFrames(60);
      const report = await viewer.report();
      stage.sayFigures("the bystander", report);
      assertPlaysWell(report);
      const after = gateway.resources();
      stage.say(`before ${JSON.stringify(before)}, after ${JSON.stringify(after)}`);
      assert.ok(after.rssKb < before.rssKb + GROWTH_KB, `memory grew from ${before.rssKb} to ${after.rssKb} kB`);
      await waitFor("the hostile connections to be closed", () => gateway.resources().descriptors <= before.descriptors + 3);
      assert.ok(after.threads <= before.threads + 4, `threads grew from ${before.threads} to ${after.threads}`);
      await viewer.stop();
    },
  };
}
