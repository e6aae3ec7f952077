// Tests RTMP without B-frames in and WHEP out: the video is passed through, with audio, and starts quickly.

import assert from "node:assert/strict";
import { endToEnd } from "../lib/end_to_end.js";
import { assertPlaysWell, capacity } from "../lib/expect.js";
import { assertInStep, ownSoundAfterPicture, soundAfterPicture } from "../lib/lip_sync.js";
import { median } from "../lib/numbers.js";
import { pause, waitFor } from "../lib/wait.js";

endToEnd("rtmp_plays_by_whep_with_audio_at_the_full_frame_rate", async (stage) => {
  const gateway = await stage.gateway();
  await stage.live(gateway, "show", { gopFrames: 120 });
  const browser = await stage.browser();

  const viewer = await browser.play("whep", { url: gateway.url("/whep/show") });
  await viewer.waitForFrames(30);
  const report = await viewer.watch(6);
  stage.sayFigures("rtmp → whep", report);
  assertPlaysWell(report, { width: 640, height: 360 });
  assert.ok(report.lipSync.length > 0, "flashes are seen together with their beeps");
  assert.match(report.statistics.codecs.join(), /video\/H264/);
  assert.match(report.statistics.codecs.join(), /audio\/opus/);
  assert.match(report.statistics.transport.srtpCipher, /GCM/, "GCM is the server's first choice");
  assert.match(report.answer, /a=setup:passive/);

  const room = await gateway.room("show");
  assert.equal(room.viewers.whep, 1);
  assert.equal(room.participants[0].video.transcoding, false, "a stream without B-frames is not transcoded");

  assert.ok([200, 204].includes(await viewer.stop()), "DELETE ends the session");
  await waitFor("the viewer to be gone", async () => (await gateway.room("show")).viewers.whep === 0);
});

endToEnd("a_joining_viewer_sees_a_frame_before_the_next_keyframe", async (stage) => {
  const gateway = await stage.gateway();
  const publisher = await stage.live(gateway, "slow-keys", { gopFrames: 300 });
  const browser = await stage.browser();
  await pause(2500); // The viewer joins between two keyframes, which are 10 s apart.
  publisher.assertAlive();

  const viewer = await browser.play("whep", { url: gateway.url("/whep/slow-keys") });
  const first = await viewer.waitForFrames(1, 4000);
  stage.say(`first frame after ${Math.round(first.firstPictureMs)} ms, connected after ${first.times.connected} ms`);
  await pause(2000);
  const report = await viewer.watch(3);
  stage.sayFigures("2 s later", report);
  assertPlaysWell(report);
  assert.equal(report.backwards, 0);
  await viewer.stop();
});

// AAC arrives in bursts with the video that it was muxed with, and is re-encoded to Opus. So audio is later than video,
// and the viewer has to delay the video.
endToEnd(
  "audio_and_video_are_in_step_two_seconds_after_joining",
  async (stage) => {
    const gateway = await stage.gateway();
    await stage.live(gateway, "step", { gopFrames: 120 });
    const browser = await stage.browser();
    const own = await ownSoundAfterPicture(browser);
    const offsets = [];
    for (let round = 0; round < 3; round += 1) {
      await pause(round * 900); // Each round begins at another point between two keyframes.
      const viewer = await browser.play("whep", { url: gateway.url("/whep/step") });
      offsets.push(await soundAfterPicture(viewer));
      await viewer.stop();
    }
    stage.say(`three viewers: ${offsets.map((offset) => Math.round(offset)).join(", ")} ms`);
    assertInStep(stage, "rtmp → whep", median(offsets), own);
  },
  { timeout: 120_000 },
);

endToEnd("a_viewer_loses_nothing_while_others_come_and_go", async (stage) => {
  const gateway = await stage.gateway();
  await stage.live(gateway, "crowd", { width: 320, height: 180, bitrateKbps: 300 });
  const browser = await stage.browser();
  const url = gateway.url("/whep/crowd");
  const stays = await browser.play("whep", { url });
  const before = (await stays.waitForFrames(30)).statistics["inbound-rtp-video"];
  await stays.reset();
  for (let round = 0; round < 3; round += 1) {
    const guest = await browser.play("whep", { url, sound: false });
    await guest.waitForFrames(15);
    if (round === 1) await guest.close();
    else await guest.stop();
  }
  // A browser that opens windows on a busy machine shows fewer frames than it decodes, so count decoded frames.
  const { seconds, state, statistics } = await stays.report();
  const { framesDecoded, packetsLost } = statistics["inbound-rtp-video"];
  stage.say(`the viewer who stayed: ${framesDecoded - before.framesDecoded} frames in ${seconds} s, ${packetsLost} packets lost`);
  assert.equal(state, "connected");
  assert.equal(packetsLost, 0);
  assert.ok(framesDecoded - before.framesDecoded > seconds * 30 * 0.85 * capacity(), `${framesDecoded} less ${before.framesDecoded} in ${seconds} s`);
  const report = await stays.watch(3);
  stage.sayFigures("afterwards", report);
  assertPlaysWell(report);
  await stays.stop();
});
