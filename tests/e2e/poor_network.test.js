// Tests a viewer whose network begins to lose most packets of UDP, while TCP works: the page goes over to LL-HLS by itself,
// says why, and returns when the network is good again.

import assert from "node:assert/strict";
import { endToEnd } from "../lib/end_to_end.js";
import { capacity } from "../lib/expect.js";
import { rounded } from "../lib/numbers.js";
import { waitFor } from "../lib/wait.js";
import { watchPage } from "../lib/watch_page.js";

/** Repair packets and copies let WebRTC play on with gaps, so the harm takes the whole window of the network watch to show. */
const WITHIN_MS = 16_000;

/** Measures in the page the longest time without a new frame on top, until it is asked for. */
function watchGaps() {
  const gaps = { longest: 0, last: performance.now() };
  window.gaps = gaps;
  for (const video of document.querySelectorAll('[data-onmic="player"] video')) {
    const next = () =>
      video.requestVideoFrameCallback((now) => {
        if (!video.hasAttribute("aria-hidden")) {
          gaps.longest = Math.max(gaps.longest, now - gaps.last);
          gaps.last = now;
        }
        next();
      });
    next();
  }
}

function takeGap() {
  const { gaps } = window;
  const longest = Math.max(gaps.longest, performance.now() - gaps.last);
  gaps.longest = 0;
  return longest;
}

endToEnd(
  "a_viewer_who_loses_most_packets_goes_over_to_ll_hls_and_returns_when_the_network_is_good",
  async (stage) => {
    const gateway = await stage.gateway();
    await stage.live(gateway, "poor", { gopFrames: 60 });
    const relay = await stage.relay(gateway.rtcPort);
    const browser = await stage.browser();
    const page = await watchPage(browser, gateway.url("/watch/poor"), { relay });
    await page.plays("whep");
    await page.advances(4); // The player learns the frame rate.
    await page.evaluate(watchGaps);
    await page.evaluate(takeGap);

    const began = performance.now();
    relay.up.lossPercent = 70;
    relay.down.lossPercent = 70;
    await page.plays("hls", 30_000);
    const took = performance.now() - began;
    const before = await page.evaluate(takeGap);
    await page.advances(6);
    const after = await page.evaluate(takeGap);
    const { freezes, whepGivenUp } = await page.evaluate(() => window.onmicPlayer.stats);
    stage.say(
      `70 % loss: on LL-HLS after ${rounded(took)} ms, longest time without a frame ${rounded(before)} ms before, ` +
        `${rounded(after)} ms after, ${freezes} stalls of LL-HLS; given up: ${JSON.stringify(whepGivenUp)}`,
    );
    assert.ok(took < WITHIN_MS / capacity(), `on LL-HLS after ${rounded(took)} ms`);
    assert.equal(freezes, 0, "LL-HLS plays without a stall");
    assert.match(await page.text(), /loses too much for WebRTC/);
    const reason = Object.keys(whepGivenUp)[0];
    await waitFor(`${reason} to be counted`, () => gateway.metric("onmic_whep_given_up_total", { reason }));
    assert.ok(["lossy", "frozen"].includes(reason), reason); // How much of the time is frozen decides which of them is seen first.

    relay.up.lossPercent = 0;
    relay.down.lossPercent = 0;
    const clean = performance.now();
    await page.plays("whep", 70_000);
    const back = await page.evaluate(takeGap);
    stage.say(`back on WebRTC ${rounded((performance.now() - clean) / 1000, 1)} s after the loss ended, gap ${rounded(back)} ms`);
    await page.advances();
    assert.doesNotMatch(await page.text(), /loses too much for WebRTC/);
    assert.deepEqual(page.errors(), []);
  },
  { timeout: 150_000 },
);
