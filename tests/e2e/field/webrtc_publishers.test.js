// Tests WHIP publishers as browsers are when nobody tunes them: simulcast in any order, and one keyframe for minutes.

import assert from "node:assert/strict";
import { endToEnd } from "../../lib/end_to_end.js";
import { waitFor } from "../../lib/wait.js";

// Chromium sends two layers of 360 lines, however many are offered. It leaves out the largest as long as its estimate of
// the uplink is too small for all of them. Both fit into the 300 kbit/s that it begins with.
const LAYERS = {
  low: { rid: "low", scaleResolutionDownBy: 2, maxBitrate: 60_000 },
  high: { rid: "high", scaleResolutionDownBy: 1, maxBitrate: 200_000 },
};

for (const order of [
  ["low", "high"],
  ["high", "low"],
]) {
  endToEnd(`of_simulcast_layers_in_the_order_${order.join("_")}_the_largest_is_published`, async (stage) => {
    const gateway = await stage.gateway();
    const browser = await stage.browser();
    const publisher = await browser.play("whip", {
      url: gateway.url("/whip/layers"),
      codec: "video/VP8",
      width: 640,
      height: 360,
      layers: order.map((rid) => LAYERS[rid]),
    });
    const sent = await publisher.waitFor("the publisher to connect", ({ state }) => state === "connected");
    assert.match(sent.answer, new RegExp(`^a=simulcast:recv ${order.join(";")}\\r$`, "m"));
    const video = async () => (await gateway.room("layers"))?.participants[0]?.video;
    await waitFor("the largest layer to be the room's video", async () => (await video())?.width === 640, { timeoutMs: 45_000 });
    const viewer = await browser.play("whep", { url: gateway.url("/whep/layers") });
    await viewer.waitForFrames(30);
    assert.equal((await video()).width, 640);
    await viewer.stop();
    await publisher.stop();
  }, { timeout: 120_000 });
}

// Some applications ask browsers for layers of one stream, spatial (L) and temporal (T). The spatial layers of a picture come as
// frames one behind the other, of which viewers see the largest.
for (const [codec, mode] of [
  ["VP9", "L2T3_KEY"],
  ["VP9", "L1T3"],
  ["AV1", "L2T3_KEY"],
  ["AV1", "L1T3"],
]) {
  endToEnd(`of_the_layers_${mode.toLowerCase()}_of_${codec.toLowerCase()}_the_largest_is_seen`, async (stage) => {
    const gateway = await stage.gateway();
    const browser = await stage.browser();
    const publisher = await browser.play("whip", {
      url: gateway.url("/whip/layered"),
      codec: `video/${codec}`,
      width: 640,
      height: 360,
      layers: [{ scalabilityMode: mode, maxBitrate: 600_000 }],
    });
    await stage.isLive(gateway, "layered");
    const sent = await publisher.waitFor("layers of the whole size", ({ statistics }) => statistics["outbound-rtp-video"]?.frameWidth === 640, 30_000);
    assert.equal(sent.statistics["outbound-rtp-video"].scalabilityMode, mode);
    const stated = async () => (await gateway.room("layered"))?.participants[0]?.video?.width;
    await waitFor("the largest layer to be the room's video", async () => (await stated()) === 640, { timeoutMs: 30_000 });
    for (const [kind, path] of [
      ["hls", "/hls/layered/index.m3u8"],
      ["whep", "/whep/layered"],
    ]) {
      const viewer = await browser.play(kind, { url: gateway.url(path) });
      await viewer.waitFor("frames of the largest layer", ({ frames, width }) => frames >= 30 && width === 640, 20_000);
      const seen = await viewer.watch(5);
      stage.sayFigures(`${codec} ${mode} by ${kind}`, seen);
      assert.equal(seen.width, 640, kind);
      assert.ok(seen.uniqueFrames > 30 && seen.longestGapMs < 1500, `${kind}: ${seen.uniqueFrames} frames, ${seen.longestGapMs} ms without one`);
      await viewer.stop();
    }
    await publisher.stop();
  }, { timeout: 120_000 });
}

// A browser sends no keyframe until it is asked. LL-HLS asks for some, if it is made all the time and from this codec.
for (const [codec, set] of [
  ["VP8", {}],
  ["H264", { "hls.on_demand": true }],
]) {
  endToEnd(`a_viewer_who_joins_a_publisher_of_${codec.toLowerCase()}_late_is_not_shown_the_past`, async (stage) => {
    const gateway = await stage.gateway({ set });
    const browser = await stage.browser();
    const url = gateway.url("/whip/old");
    const publisher = await browser.play("whip", { url, codec: `video/${codec}`, width: 320, height: 180 });
    await stage.isLive(gateway, "old");
    await publisher.waitFor("ten seconds of frames", ({ framesDrawn }) => framesDrawn > 300, 20_000);
    const viewer = await browser.play("whep", { url: gateway.url("/whep/old") });
    await viewer.waitForFrames(30);
    const { samples } = await viewer.report();
    const oldest = Math.max(...samples.map(([, latency]) => latency));
    stage.say(`the oldest frame shown was ${Math.round(oldest)} ms old`);
    assert.ok(oldest < 2500, "at most 2 s of the past, and what the machine takes");
    await viewer.stop();
    await publisher.stop();
  });
}

for (const codec of ["VP8", "H264"]) {
  endToEnd(`the_audio_goes_on_by_ll_hls_while_the_camera_is_off_in_${codec.toLowerCase()}`, async (stage) => {
    const gateway = await stage.gateway();
    const browser = await stage.browser();
    const publisher = await browser.play("whip", { url: gateway.url("/whip/show"), codec: `video/${codec}`, width: 320, height: 180 });
    await stage.isLive(gateway, "show");
    const viewer = await browser.play("hls", { url: gateway.url("/hls/show/index.m3u8") });
    await viewer.waitForFrames(60);
    stage.say(`the first frame after ${Math.round((await viewer.report()).firstPictureMs)} ms`);
    const position = () => viewer.page.evaluate(() => document.querySelector("video").currentTime);
    await publisher.call("camera", false);
    const before = await position();
    // Without video the player would play what it had, which is a second, and stop.
    await viewer.page.waitForTimeout(8000);
    const played = (await position()) - before;
    stage.say(`${played.toFixed(1)} s played in 8 s`);
    assert.ok(played > 4, "the player plays on");
    await publisher.call("camera", true);
    const age = ({ samples }) => samples.at(-1)?.[1] ?? Infinity;
    await viewer.reset();
    await viewer.waitFor("frames of the present", (report) => report.frames >= 30 && age(report) < 4000, 20_000);
    await viewer.stop();
    await publisher.stop();
  });
}
