// Tests a server that has IPv6 alone: each protocol in and out, with addresses in brackets.

import assert from "node:assert/strict";
import { endToEnd } from "../../lib/end_to_end.js";

endToEnd("every_protocol_works_over_ipv6_alone", async (stage) => {
  const gateway = await stage.gateway({ set: { host: "::1" } });
  await stage.live(gateway, "show", { gopFrames: 30 });
  const browser = await stage.browser();
  const camera = await browser.play("whip", { url: gateway.url("/whip/camera"), width: 320, height: 180 });
  const viewers = [
    await browser.play("whep", { url: gateway.url("/whep/show") }),
    await browser.play("hls", { url: gateway.url("/hls/show/index.m3u8") }),
    await browser.play("whep", { url: gateway.url("/whep/camera") }),
  ];
  for (const viewer of viewers) await viewer.waitForFrames(30, 20_000);
  assert.match((await viewers[0].report()).answer, /^a=candidate:.* ::1 \d+ typ host/m);
  assert.equal((await gateway.room("show")).participants[0].protocol, "rtmp");
  for (const viewer of [...viewers, camera]) await viewer.stop();
});
