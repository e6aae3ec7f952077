// Tests WHIP in, and RTMP and HTTP-FLV out, with the real ffprobe and ffmpeg.

import assert from "node:assert/strict";
import { endToEnd } from "../lib/end_to_end.js";
import { run } from "../lib/run.js";

async function assertPlaysInFfmpeg(stage, url) {
  const probe = await run("ffprobe", ["-v", "error", "-show_streams", "-of", "json", "-analyzeduration", "3M", url]);
  assert.equal(probe.code, 0, `${url}: ${probe.stderr}`);
  const streams = JSON.parse(probe.stdout).streams;
  const video = streams.find(({ codec_type }) => codec_type === "video");
  const audio = streams.find(({ codec_type }) => codec_type === "audio");
  assert.equal(video?.codec_name, "h264", probe.stdout);
  assert.deepEqual([video.width, video.height], [640, 360]);
  assert.equal(audio?.codec_name, "aac", probe.stdout);

  const played = await run("ffmpeg", [
    ...["-hide_banner", "-nostdin", "-xerror", "-i", url, "-t", "4"],
    ...["-map", "0:v", "-map", "0:a", "-af", "volumedetect", "-f", "null", "-"],
  ]);
  assert.equal(played.code, 0, played.stderr.slice(-2000));
  const frames = Number(played.stderr.match(/frame=\s*(\d+)(?![\s\S]*frame=)/)?.[1]);
  const loudest = Number(played.stderr.match(/max_volume: (-?[\d.]+) dB/)?.[1]);
  stage.say(`${url}: ${frames} frames in 4 s, peak level ${loudest} dB`);
  assert.ok(frames > 4 * 30 * 0.8, `${frames} frames in 4 s`);
  assert.ok(loudest > -20, `the beeps are sent at -4 dB, but the peak level is ${loudest} dB`);
}

endToEnd("whip_plays_in_ffmpeg_by_http_flv_and_by_rtmp", async (stage) => {
  const gateway = await stage.gateway();
  const browser = await stage.browser();
  const publisher = await browser.play("whip", { url: gateway.url("/whip/cam") });
  await publisher.waitFor("the publisher to connect", ({ state }) => state === "connected");
  await stage.isLive(gateway, "cam");
  await assertPlaysInFfmpeg(stage, gateway.url("/flv/cam.flv"));
  await assertPlaysInFfmpeg(stage, gateway.rtmpUrl("cam"));
  await publisher.stop();
});

endToEnd("rtmp_with_b_frames_plays_in_ffmpeg_by_http_flv_and_by_rtmp", async (stage) => {
  const gateway = await stage.gateway();
  await stage.live(gateway, "show", { bframes: 2, lookaheadFrames: 5, profile: "high", preset: "veryfast" });
  await assertPlaysInFfmpeg(stage, gateway.url("/flv/show.flv"));
  await assertPlaysInFfmpeg(stage, gateway.rtmpUrl("show"));
});
