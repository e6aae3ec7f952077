// Tests encoders at their own default settings: whatever format of video and distance of keyframes they choose, viewers
// by each protocol see and hear them. The encoders themselves were tried by hand (docs/CLIENTS.md).

import assert from "node:assert/strict";
import { endToEnd } from "../../lib/end_to_end.js";
import { LIKE_OBS, LIKE_X264ENC } from "../../lib/picture.js";
import { run } from "../../lib/run.js";
import { waitFor } from "../../lib/wait.js";

// A keyframe every 250 frames is the default of x264, and so of both.
const OBS = { ...LIKE_OBS, gopFrames: 250 };
const X264ENC = { ...LIKE_X264ENC, preset: "veryfast" }; // `medium` would take all of a small machine.

for (const { name, picture, advice } of [
  { name: "obs", picture: OBS, advice: ["b_frames", "keyframe_interval"] },
  { name: "x264enc_of_gstreamer", picture: X264ENC, advice: ["b_frames", "keyframe_interval", "video_format"] },
]) {
  endToEnd(`${name}_at_its_default_settings_is_seen_and_heard_by_each_protocol`, async (stage) => {
    const gateway = await stage.gateway();
    await stage.live(gateway, "show", picture);
    const browser = await stage.browser();
    for (const [kind, path] of [["whep", "/whep/show"], ["hls", "/hls/show/index.m3u8"]]) {
      const viewer = await browser.play(kind, { url: gateway.url(path) });
      const isWatched = ({ uniqueFrames, loudness }) => uniqueFrames > 60 && loudness > 0.01;
      stage.sayFigures(`${name} by ${kind}`, await viewer.waitFor(`video and audio by ${kind}`, isWatched, 40_000));
      await viewer.stop();
    }
    // A player of HTTP-FLV cannot decode other formats than 4:2:0 with 8 bits, so it gets none.
    const probe = ["-v", "error", "-show_entries", "stream=codec_name,pix_fmt", "-of", "csv=p=0"];
    const { stdout, stderr } = await run("ffprobe", [...probe, gateway.url("/flv/show.flv")], { timeoutMs: 30_000 });
    assert.deepEqual(stdout.trim().split("\n").toSorted(), ["aac", "h264,yuv420p"], stderr);
    const codes = async () => (await gateway.room("show")).participants[0].advice.map(({ code }) => code);
    await waitFor("the advice", async () => (await codes()).length === advice.length, { timeoutMs: 20_000 });
    assert.deepEqual((await codes()).toSorted(), advice);
  }, { timeout: 150_000 });
}
