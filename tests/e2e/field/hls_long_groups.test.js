// Tests that a viewer who joins starts at once, however far apart the encoder's keyframes are, and what that costs.

import assert from "node:assert/strict";
import { Encoder } from "../../lib/encoder.js";
import { endToEnd } from "../../lib/end_to_end.js";
import { findPlaylists } from "../../lib/hls_rules.js";
import { request } from "../../lib/http.js";
import { LIKE_OBS } from "../../lib/picture.js";
import { parseMedia } from "../../lib/playlist.js";
import { waitFor } from "../../lib/wait.js";

const START_LIMIT_MS = 6000; // One of two segments of 2 s, and a browser on a busy machine.

for (const { name, settings } of [
  { name: "a_keyframe_every_20_s", settings: ["-g", "600", "-keyint_min", "600"] },
  { name: "one_keyframe_and_intra_refresh", settings: ["-x264-params", "intra-refresh=1:keyint=60"] },
]) {
  endToEnd(`${name}_does_not_delay_a_player_that_joins`, async (stage) => {
    const gateway = await stage.gateway();
    const encoder = stage.keep(new Encoder(gateway.rtmpUrl("show"), settings));
    await stage.isLive(gateway, "show", () => encoder.assertAlive());
    const { videoUrl } = await findPlaylists(gateway, "show");
    // After 2.5 s without a keyframe the video is converted. From then on each segment begins with a keyframe.
    const newest = async () => parseMedia((await request(videoUrl)).text).segments.slice(3);
    await waitFor("segments after the first group", async () => (await newest()).length >= 2, { timeoutMs: 25_000 });
    const independent = (await newest()).map(({ parts }) => parts[0]?.independent);
    assert.deepEqual(independent, independent.map(() => true));
    const browser = await stage.browser();
    const viewer = await browser.play("hls", { url: gateway.url("/hls/show/index.m3u8") });
    await waitFor("two seconds of video", async () => (await viewer.report()).delivered >= 60, { timeoutMs: START_LIMIT_MS });
    const report = await viewer.report();
    stage.say(`the first picture after ${report.firstPictureMs} ms`);
    assert.equal(report.fatal, false, JSON.stringify(report.errors));
    await viewer.stop();
  });
}

endToEnd("viewers_by_all_protocols_share_one_encoder_where_keyframes_come_every_8_s_and_nobody_costs_none", async (stage) => {
  const gateway = await stage.gateway();
  await stage.live(gateway, "obs", { ...LIKE_OBS, gopFrames: 250 });
  const advice = async () => (await gateway.room("obs")).participants[0].advice.map(({ code }) => code);
  await waitFor("the advice", async () => (await advice()).includes("keyframe_interval"), { timeoutMs: 30_000 });
  const encoders = () => gateway.metric("onmic_derived_tracks", { recipe: "h264" });
  assert.equal(await encoders(), 0);
  const browser = await stage.browser();
  const hls = await browser.play("hls", { url: gateway.url("/hls/obs/index.m3u8") });
  const whep = await browser.play("whep", { url: gateway.url("/whep/obs") });
  for (const viewer of [hls, whep]) {
    await viewer.waitFor("two seconds of video", ({ delivered }) => delivered >= 60, 20_000);
    const report = await viewer.report();
    stage.say(`${viewer.kind}: the first frame after ${Math.round(report.firstPictureMs)} ms`);
  }
  assert.equal(await encoders(), 1);
  const { videoUrl } = await findPlaylists(gateway, "obs");
  const { segments } = parseMedia((await request(videoUrl)).text);
  assert.deepEqual(segments.map(({ parts }) => parts[0]?.independent ?? true), segments.map(() => true));
  await hls.stop();
  await whep.stop();
});
