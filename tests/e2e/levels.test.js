// Tests the levels of a video that a WHEP viewer chooses from: by hand, in one stream that never stands still.

import assert from "node:assert/strict";
import { endToEnd } from "../lib/end_to_end.js";
import { capacity } from "../lib/expect.js";
import { MultitrackPublisher } from "../lib/multitrack_publisher.js";
import { pause, waitFor } from "../lib/wait.js";

const MAIN = "video";
const QUALITIES = [
  { height: 360, kbps: 800 },
  { height: 180, kbps: 300 },
  { height: 90, kbps: 100 },
];
const LAYERS = [
  { rid: "q", scaleResolutionDownBy: 4, maxBitrate: 120_000 },
  { rid: "h", scaleResolutionDownBy: 2, maxBitrate: 350_000 },
  { rid: "f", scaleResolutionDownBy: 1, maxBitrate: 900_000 },
];

const newest = (report, name) => report.events.filter((event) => event.name === name).at(-1)?.data;

/** Returns the names of the levels by their heights, as the session's events state them. */
async function levelsOf(viewer, heights) {
  const report = await viewer.waitFor("all levels", (now) => {
    const active = newest(now, "layers")?.["0"].active.map(({ height }) => height) ?? [];
    return heights.every((height) => active.includes(height));
  }, 45_000);
  return new Map(newest(report, "layers")["0"].active.map(({ height, encodingId }) => [height, encodingId]));
}

/** Chooses levels one after the other, and asserts how fast and how smoothly each comes. */
async function assertChanges(stage, viewer, levels, heights) {
  for (const height of heights) {
    await viewer.reset();
    const began = Date.now();
    assert.equal((await viewer.call("choose", { mediaId: "0", encodingId: levels.get(height) })).status, 204);
    await viewer.waitFor(`the picture to have ${height} lines`, (now) => now.height === height, 6000);
    const took = Date.now() - began;
    await pause(2500);
    const report = await viewer.report();
    const { longestGapMs, longestReceiveGapMs, backwards, concealment } = report;
    const [concealed, all] = concealment.reduce(([a, b], [c, d]) => [a + c, b + d], [0, 0]);
    stage.say(
      `${height} lines after ${took} ms, longest time without a new frame ${Math.round(longestGapMs)} ms ` +
        `(received ${Math.round(longestReceiveGapMs)} ms), ${backwards} frames back, ${concealed} of ${all} samples concealed`,
    );
    assert.ok(took * capacity() < 2000, `${height} lines after ${took} ms`);
    assert.ok(longestReceiveGapMs * capacity() < 200, `no frame received for ${longestReceiveGapMs} ms`);
    assert.ok(longestGapMs * capacity() < 200, `no frame shown for ${longestGapMs} ms`);
    assert.ok(concealed < all * 0.01, `${concealed} of ${all} samples were concealed`);
    assert.equal(newest(report, "layers")["0"].current, levels.get(height));
    assert.equal(newest(report, "layers")["0"].pinned, levels.get(height));
  }
}

endToEnd("a_viewer_chooses_among_the_layers_of_simulcast_in_one_stream", async (stage) => {
  const gateway = await stage.gateway();
  const browser = await stage.browser();
  const url = gateway.url("/whip/levels");
  const publisher = await browser.play("whip", { url, codec: "video/H264", width: 1280, height: 720, layers: LAYERS });
  await publisher.waitFor("the publisher to connect", ({ state }) => state === "connected");
  const video = async () => (await gateway.room("levels"))?.participants[0]?.video;
  await waitFor("the largest layer to be the room's video", async () => (await video())?.width === 1280, { timeoutMs: 60_000 });
  const viewer = await browser.play("whep", { url: gateway.url("/whep/levels"), concealment: true });
  await viewer.waitFor("the largest picture", ({ height, delivered }) => delivered > 30 && height === 720, 30_000);
  assert.equal((await viewer.call("listen", ["layers", "active", "inactive", "viewercount"])).status, 201);
  const levels = await levelsOf(viewer, [720, 360, 180]);
  assert.equal(levels.get(720), MAIN);
  await assertChanges(stage, viewer, levels, [180, 360, 720]);
  const { events } = await viewer.report();
  assert.ok(events.some(({ name }) => name === "active"), JSON.stringify(events));
  assert.equal(newest({ events }, "viewercount").viewercount, 1);
  await viewer.stop();
  await publisher.stop();
}, { timeout: 240_000 });

endToEnd("a_viewer_chooses_among_the_tracks_of_a_multitrack_publisher_and_audio_alone", async (stage) => {
  const gateway = await stage.gateway();
  stage.keep(await MultitrackPublisher.start(gateway.rtmpPort, "ladder", stage.folder(), QUALITIES));
  await stage.isLive(gateway, "ladder");
  const browser = await stage.browser();
  const viewer = await browser.play("whep", { url: gateway.url("/whep/ladder"), concealment: true });
  await viewer.waitFor("the largest picture", ({ height, delivered }) => delivered > 30 && height === 360);
  assert.equal((await viewer.call("listen", ["layers"])).status, 201);
  const levels = await levelsOf(viewer, [360, 180, 90]);
  await assertChanges(stage, viewer, levels, [90, 360, 180, 360]);

  // Audio alone, and then the best again.
  assert.equal((await viewer.call("choose", { encodingId: "none" })).status, 204);
  await pause(500);
  await viewer.reset();
  await pause(2000);
  const silent = await viewer.report();
  assert.ok(silent.delivered <= 1 && silent.loudness > 0.01, JSON.stringify({ delivered: silent.delivered, loudness: silent.loudness }));
  assert.equal(newest(silent, "layers")["0"].current, "none");
  assert.equal((await viewer.call("choose", {})).status, 204);
  await viewer.reset();
  await viewer.waitFor("video again", ({ delivered }) => delivered > 30, 8000);
  assert.equal(newest(await viewer.report(), "layers")["0"].automatic, true);

  // A small player gets no more than it shows.
  assert.equal((await viewer.call("choose", { maxWidth: 320, maxHeight: 180 })).status, 204);
  await viewer.waitFor("the picture to fit the player", ({ height }) => height === 180, 6000);

  for (const [wish, status] of [
    [{ encodingId: "video9" }, 400],
    [{ encodingId: "audio" }, 400],
    [{ mediaId: "7", encodingId: "video" }, 400],
    ["{", 400],
    ["[]", 400],
  ]) {
    const answer = await viewer.call("choose", wish);
    assert.equal(answer.status, status, `${JSON.stringify(wish)}: ${answer.body}`);
  }
  const streams = [];
  for (let index = 0; index < 4; index += 1) streams.push((await viewer.call("listen", ["layers"])).status);
  assert.deepEqual(streams, [201, 201, 201, 201], "a subscription keeps nothing");
  await viewer.stop();
}, { timeout: 180_000 });
