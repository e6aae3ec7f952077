// Tests a publisher that dies and returns within the grace period: no viewer has to reconnect.

import assert from "node:assert/strict";
import { endToEnd } from "../lib/end_to_end.js";
import { assertPlaysWell } from "../lib/expect.js";
import { assertInStep, ownSoundAfterPicture, soundAfterPicture } from "../lib/lip_sync.js";
import { median } from "../lib/numbers.js";
import { pause, waitFor } from "../lib/wait.js";

const PICTURE = { width: 320, height: 180, bitrateKbps: 400, gopFrames: 30 };

endToEnd("viewers_keep_their_sessions_when_a_publisher_dies_and_returns", async (stage) => {
  const gateway = await stage.gateway({ set: { "ingest.grace": "10s" } });
  const first = await stage.live(gateway, "show", PICTURE);
  const browser = await stage.browser();
  const near = await browser.play("whep", { url: gateway.url("/whep/show") });
  const far = await browser.play("hls", { url: gateway.url("/hls/show/index.m3u8") });
  await near.waitForFrames(30);
  await far.waitForFrames(30, 20_000);

  await first.kill();
  await waitFor(
    "the room to be interrupted",
    async () => (await gateway.room("show"))?.participants[0].state === "interrupted",
  );
  await pause(1500);
  stage.publisher(gateway.rtmpUrl("show"), PICTURE);
  await stage.isLive(gateway, "show");

  const returned = Date.now();
  // The frame counter of the new publisher starts again, so wait for frames drawn after the return.
  const isNew = ({ samples }) => samples.some(([at, latency]) => at - latency > returned);
  const nearReport = await near.waitFor("new frames by WHEP", isNew, 10_000);
  stage.say(`whep: a new frame ${nearReport.samples.find(([at, latency]) => at - latency > returned)[0] - returned} ms after the return`);
  assert.equal(nearReport.state, "connected");
  assert.equal(nearReport.times.disconnected, undefined, "the connection was never lost");
  assert.equal(nearReport.times.failed, undefined);

  const farReport = await far.waitFor("new frames by LL-HLS", isNew, 20_000);
  stage.say(`hls: a new frame ${farReport.samples.find(([at, latency]) => at - latency > returned)[0] - returned} ms after the return`);
  assert.equal(farReport.fatal, false, JSON.stringify(farReport.errors));

  const [nearAfter, farAfter] = await Promise.all([near.watch(5), far.watch(5)]);
  stage.sayFigures("whep after the return", nearAfter);
  stage.sayFigures("hls after the return", farAfter);
  assertPlaysWell(nearAfter);
  assertPlaysWell(farAfter, { maxLatencyMs: 15_000 });
  await near.stop();
  await far.stop();
});

endToEnd(
  "audio_and_video_are_in_step_two_seconds_after_each_return",
  async (stage) => {
    const gateway = await stage.gateway({ set: { "ingest.grace": "10s" } });
    let publisher = await stage.live(gateway, "show", PICTURE);
    const browser = await stage.browser();
    const own = await ownSoundAfterPicture(browser);
    const viewer = await browser.play("whep", { url: gateway.url("/whep/show") });
    await viewer.waitForFrames(30);
    const offsets = [];
    for (let round = 0; round < 3; round += 1) {
      await publisher.kill();
      await pause(1500);
      const away = Date.now();
      publisher = await stage.live(gateway, "show", PICTURE);
      await viewer.waitFor("new frames", ({ samples }) => samples.some(([at, latency]) => at - latency > away), 10_000);
      offsets.push(await soundAfterPicture(viewer));
    }
    stage.say(`three returns: ${offsets.map((offset) => Math.round(offset)).join(", ")} ms`);
    assertInStep(stage, "whep after a return", median(offsets), own);
    await viewer.stop();
  },
  { timeout: 120_000 },
);

endToEnd("a_room_ends_when_its_publisher_does_not_return", async (stage) => {
  const gateway = await stage.gateway({ set: { "ingest.grace": "1s", "rooms.empty_timeout": "1s" } });
  const publisher = await stage.live(gateway, "show", PICTURE);
  const browser = await stage.browser();
  const viewer = await browser.play("whep", { url: gateway.url("/whep/show") });
  await viewer.waitForFrames(15);
  await publisher.kill();
  await waitFor("the room to be gone", async () => (await gateway.room("show")) === null);
  await viewer.waitFor("the viewer to be told", ({ state }) => state !== "connected", 15_000);
  await viewer.close();
});
