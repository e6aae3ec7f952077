// Tests video in the forms that encoders in the field make: interlaced, with false levels, other chroma, samples that are
// not square, and sizes that change. Chromium shows each by WebRTC and by LL-HLS, in its shape.

import assert from "node:assert/strict";
import { ChangingPublisher } from "../../lib/changing_publisher.js";
import { Encoder } from "../../lib/encoder.js";
import { endToEnd, lasting } from "../../lib/end_to_end.js";
import { waitFor } from "../../lib/wait.js";

const gatewayOf = lasting((stage) => stage.gateway());

/** Waits until a viewer has shown 20 frames that are not of one colour, and returns the size of the last one. */
async function shown(viewer) {
  const seen = () =>
    viewer.page.evaluate(() => {
      const video = document.querySelector("video");
      const canvas = new OffscreenCanvas(16, 16).getContext("2d");
      canvas.drawImage(video, 0, 0, 16, 16);
      const light = canvas.getImageData(0, 0, 16, 16).data.filter((_, at) => at % 4 === 1);
      const contrast = Math.max(...light) - Math.min(...light);
      return { frames: video.getVideoPlaybackQuality().totalVideoFrames, contrast, size: [video.videoWidth, video.videoHeight] };
    });
  const enough = async () => {
    const { frames, contrast, size } = await seen();
    return frames > 20 && contrast > 50 ? size : null;
  };
  return waitFor(`frames by ${viewer.kind}`, enough, { timeoutMs: 20_000, everyMs: 100 });
}

/** Another size. The filter would keep the shape of the whole by samples that are not square. */
const scale = (size) => ["-vf", `scale=${size},setsar=1`];

// The settings of the encoder, the shape that viewers see (width by height), and the advice that the publisher gets.
const FORMS = [
  ["in_interlaced_frames", ["-flags", "+ilme+ildct", "-x264opts", "tff=1"], 320 / 180],
  ["with_a_level_that_is_too_low", ["-bsf:v", "h264_metadata=level=1.0"], 320 / 180],
  ["with_a_level_that_is_too_high", ["-bsf:v", "h264_metadata=level=6.2"], 320 / 180],
  ["that_is_grey", ["-pix_fmt", "gray"], 320 / 180, "video_format"],
  ["with_a_chroma_of_4_2_2", ["-pix_fmt", "yuv422p"], 320 / 180, "video_format"],
  ["of_a_size_that_is_cropped", scale("250:142"), 250 / 142],
  ["of_a_small_size", scale("32:32"), 1],
  ["with_samples_that_are_not_square", ["-vf", "setsar=4/3"], (320 * 4) / 3 / 180, "video_shape"],
];

for (const [what, settings, shape, code] of FORMS) {
  endToEnd(`video_${what}_is_seen_in_its_shape`, async (stage) => {
    const gateway = await gatewayOf(stage);
    const room = what.replaceAll("_", "-");
    const encoder = stage.keep(new Encoder(gateway.rtmpUrl(room), settings));
    await stage.isLive(gateway, room, () => encoder.assertAlive());
    const browser = await stage.browser();
    for (const [kind, path] of [
      ["whep", `/whep/${room}`],
      ["hls", `/hls/${room}/index.m3u8`],
    ]) {
      const viewer = await browser.play(kind, { url: gateway.url(path), sound: false });
      const [width, height] = await shown(viewer);
      assert.ok(Math.abs(width / height / shape - 1) < 0.02, `${kind} shows ${width} by ${height}, not the shape ${shape}`);
      await viewer.stop();
    }
    const { advice } = (await gateway.room(room)).participants[0];
    const codes = advice.map((given) => given.code).filter((given) => given.startsWith("video_"));
    assert.deepEqual(codes, code ? [code] : []);
  });
}

const sizeOf = (viewer) =>
  viewer.page.evaluate(() => [document.querySelector("video").videoWidth, document.querySelector("video").videoHeight].join("x"));

/** Starts viewers by each protocol that Chromium has, and waits until they show video. */
async function watch(stage, gateway, room) {
  const browser = await stage.browser();
  const viewers = [
    await browser.play("whep", { url: gateway.url(`/whep/${room}`), sound: false }),
    await browser.play("hls", { url: gateway.url(`/hls/${room}/index.m3u8`), sound: false }),
  ];
  for (const viewer of viewers) await shown(viewer);
  return viewers;
}

/** Waits until each viewer shows video of this size, and goes on showing it. */
async function follow(viewers, size) {
  for (const viewer of viewers) {
    await waitFor(`${size} by ${viewer.kind}`, async () => (await sizeOf(viewer)) === size, { timeoutMs: 20_000 });
    await viewer.reset();
    await viewer.waitFor("20 frames", ({ delivered }) => delivered >= 20);
    assert.equal(await sizeOf(viewer), size);
  }
}

endToEnd("viewers_see_the_size_of_a_publisher_that_comes_back_with_another_one", async (stage) => {
  const gateway = await gatewayOf(stage);
  const url = gateway.rtmpUrl("back");
  const first = stage.keep(new Encoder(url, scale("320:180")));
  await stage.isLive(gateway, "back", () => first.assertAlive());
  const viewers = await watch(stage, gateway, "back");
  await follow(viewers, "320x180");
  await first.stop();
  stage.keep(new Encoder(url, scale("180:320")));
  await follow(viewers, "180x320");
});

endToEnd("viewers_follow_sizes_that_change_in_mid_stream_by_rtmp", async (stage) => {
  const gateway = await gatewayOf(stage);
  const sizes = ["1280x720", "1920x1080", "854x480"];
  const publisher = stage.keep(await ChangingPublisher.start(gateway.rtmpPort, "changing", sizes, stage.folder()));
  await stage.isLive(gateway, "changing");
  const viewers = await watch(stage, gateway, "changing");
  for (const [index, size] of sizes.entries()) {
    if (index > 0) publisher.change();
    await follow(viewers, size);
  }
}, { timeout: 120_000 });

for (const codec of ["VP8", "H264"]) {
  endToEnd(`viewers_follow_sizes_that_change_in_mid_stream_by_whip_in_${codec.toLowerCase()}`, async (stage) => {
    const gateway = await gatewayOf(stage);
    const room = `scaled-${codec.toLowerCase()}`;
    const browser = await stage.browser();
    const publisher = await browser.play("whip", { url: gateway.url(`/whip/${room}`), codec: `video/${codec}`, width: 640, height: 360 });
    await stage.isLive(gateway, room);
    const viewers = await watch(stage, gateway, room);
    for (const [factor, size] of [
      [1, "640x360"],
      [2, "320x180"],
      [1, "640x360"],
      [4, "160x90"],
    ]) {
      await publisher.call("scaleDown", factor);
      await follow(viewers, size);
    }
    await publisher.stop();
  }, { timeout: 120_000 });
}
