// Tests that several shards share one UDP port: Chromium publishes and watches, whichever shard the kernel hands its datagrams to.

import assert from "node:assert/strict";
import { endToEnd } from "../lib/end_to_end.js";
import { assertPlaysWell } from "../lib/expect.js";

const SMALL = { width: 320, height: 180 };

endToEnd("viewers_and_a_publisher_of_four_shards_play_by_one_udp_port", async (stage) => {
  const gateway = await stage.gateway({ set: { "rtc.shards": 4 } });
  const browser = await stage.browser();
  const publisher = await browser.play("whip", { url: gateway.url("/whip/cam"), codec: "video/H264", ...SMALL });
  await publisher.waitFor("the publisher to connect", ({ state }) => state === "connected");
  await stage.isLive(gateway, "cam");
  const viewers = [];
  for (let number = 0; number < 4; number += 1) viewers.push(await browser.play("whep", { url: gateway.url("/whep/cam") }));
  for (const viewer of viewers) await viewer.waitForFrames(15);
  const restarted = await publisher.call("restartIce");
  assert.equal(restarted.status, 200, restarted.body);
  const report = await viewers[0].watch(4);
  stage.sayFigures("one port", report);
  assertPlaysWell(report, SMALL);
  assert.ok((await gateway.metric("onmic_rtc_handed_over_total")) > 0, "the kernel knows no sessions");
  for (const reason of ["rtc_hand_over_full", "rtc_hand_over_rate"]) {
    assert.equal(await gateway.metric("onmic_drops_total", { reason }), 0, reason);
  }
});
