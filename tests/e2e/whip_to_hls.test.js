// Tests WHIP in and LL-HLS out: Opus becomes AAC, H.264 is kept, and VP8 becomes H.264.

import assert from "node:assert/strict";
import { endToEnd } from "../lib/end_to_end.js";
import { assertNeverDry, assertPlaysWell } from "../lib/expect.js";

for (const codec of ["H264", "VP8"]) {
  endToEnd(`whip_${codec.toLowerCase()}_plays_by_ll_hls_with_audio`, async (stage) => {
    const gateway = await stage.gateway();
    const browser = await stage.browser();
    const publisher = await browser.play("whip", { url: gateway.url("/whip/cam"), codec: `video/${codec}` });
    await publisher.waitFor("the publisher to connect", ({ state }) => state === "connected");
    await stage.isLive(gateway, "cam");
    const viewer = await browser.play("hls", { url: gateway.url("/hls/cam/index.m3u8") });
    await viewer.waitForFrames(30, 30_000);
    const report = await viewer.watch(6);
    stage.sayFigures(`whip ${codec} → ll-hls`, report);
    assertPlaysWell(report, { maxLatencyMs: 8000 });
    assertNeverDry(report);
    assert.equal(report.fatal, false, JSON.stringify(report.errors));
    assert.match(report.levels[0].codecs, /avc1\./);
    assert.match(report.levels[0].codecs, /mp4a\.40\.2/);
    await viewer.stop();
    await publisher.stop();
  });
}
