// Tests that the default stream of OBS plays by WHEP: the gateway removes B-frames by re-encoding, and advises the
// publisher.

import assert from "node:assert/strict";
import { endToEnd } from "../lib/end_to_end.js";
import { assertPlaysWell } from "../lib/expect.js";
import { LIKE_OBS } from "../lib/picture.js";
import { waitFor } from "../lib/wait.js";

endToEnd("b_frames_play_by_whep_at_the_full_frame_rate", async (stage) => {
  const gateway = await stage.gateway({ set: { "mixer.linger": "1s" } });
  await stage.live(gateway, "obs", LIKE_OBS);
  const participant = await waitFor("the B-frames to be detected", async () => {
    const [host] = (await gateway.room("obs")).participants;
    return host.video?.b_frames ? host : null;
  });
  assert.equal(participant.protocol, "rtmp");
  assert.equal(participant.video.transcoding, false, "nothing is transcoded before a viewer watches by WHEP");
  const advice = participant.advice.find(({ code }) => code === "b_frames");
  assert.ok(advice?.message && /OBS/.test(advice.setting), JSON.stringify(participant.advice));

  const browser = await stage.browser();
  const viewer = await browser.play("whep", { url: gateway.url("/whep/obs") });
  await viewer.waitForFrames(30);
  const report = await viewer.watch(6);
  stage.sayFigures("rtmp with B-frames → whep", report);
  assertPlaysWell(report, { width: 640, height: 360 });
  assert.ok(report.statistics["inbound-rtp-video"].pliCount <= 3, "the browser asks for at most 3 keyframes");
  assert.equal((await gateway.room("obs")).participants[0].video.transcoding, true);

  await viewer.stop();
  await waitFor(
    "the re-encoding to end with its last viewer",
    async () => (await gateway.room("obs")).participants[0].video.transcoding === false,
  );
});
