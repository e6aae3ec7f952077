// Tests the qualities that a publisher makes itself: LL-HLS lists them, and other protocols get the largest.

import assert from "node:assert/strict";
import { endToEnd } from "../lib/end_to_end.js";
import { assertNeverDry } from "../lib/expect.js";
import { request } from "../lib/http.js";
import { assertAligned, findPlaylists } from "../lib/hls_rules.js";
import { MultitrackPublisher } from "../lib/multitrack_publisher.js";
import { parseMaster } from "../lib/playlist.js";
import { run } from "../lib/run.js";
import { pause, waitFor } from "../lib/wait.js";

const QUALITIES = [
  { height: 360, kbps: 800 },
  { height: 180, kbps: 300 },
  { height: 90, kbps: 100 },
];

/** Lets hls.js change its level by hand, and asserts that the picture changes and the buffer never runs dry. */
async function assertSwitches(stage, viewer, heights) {
  for (const height of heights) {
    await viewer.reset();
    await viewer.call("setHeight", height);
    const report = await viewer.waitFor(`the picture to have ${height} lines`, (now) => now.height === height, 20_000);
    await pause(1500);
    const after = await viewer.report();
    stage.sayFigures?.(`to ${height} lines`, after);
    assertNeverDry({ ...after, freezes: [] }); // A page stands still for some frames while it makes another decoder.
    assert.equal(report.fatal, false, JSON.stringify(report.errors));
  }
}

// Chromium sends two layers of 360 lines at most. It leaves out the largest as long as its estimate of the uplink is too small.
const LAYERS = [
  { rid: "low", scaleResolutionDownBy: 2, maxBitrate: 80_000 },
  { rid: "high", scaleResolutionDownBy: 1, maxBitrate: 220_000 },
];

endToEnd("the_layers_of_simulcast_are_variants_of_ll_hls", async (stage) => {
  const gateway = await stage.gateway();
  const browser = await stage.browser();
  const url = gateway.url("/whip/layers");
  const publisher = await browser.play("whip", { url, codec: "video/H264", width: 640, height: 360, layers: LAYERS });
  await publisher.waitFor("the publisher to connect", ({ state }) => state === "connected");
  const video = async () => (await gateway.room("layers"))?.participants[0]?.video;
  await waitFor("the largest layer to be the room's video", async () => (await video())?.width === 640, { timeoutMs: 45_000 });
  const masterUrl = gateway.url("/hls/layers/index.m3u8");
  const master = await waitFor("both variants", async () => {
    const answer = await request(masterUrl);
    const found = answer.status === 200 && parseMaster(answer.text);
    return found && found.variants.length === 2 && found;
  }, { timeoutMs: 30_000 });
  assert.deepEqual(master.variants.map(({ RESOLUTION }) => RESOLUTION), ["640x360", "320x180"]);
  await pause(8000);
  await assertAligned(masterUrl, master.variants);
  const viewer = await browser.play("hls", { url: masterUrl, configuration: { startLevel: 0 } });
  await viewer.waitFor("the picture", ({ delivered }) => delivered > 60, 20_000);
  await pause(3000);
  await assertSwitches(stage, viewer, [180, 360, 180, 360]);
  await viewer.stop();
  const whep = await browser.play("whep", { url: gateway.url("/whep/layers") });
  await whep.waitFor("the largest picture", ({ height, delivered }) => delivered > 30 && height === 360);
  await whep.stop();
  await publisher.stop();
}, { timeout: 180_000 });

endToEnd("the_tracks_of_a_multitrack_publisher_are_variants_of_ll_hls", async (stage) => {
  const gateway = await stage.gateway();
  const publisher = stage.keep(await MultitrackPublisher.start(gateway.rtmpPort, "ladder", stage.folder(), QUALITIES));
  const { master, masterUrl } = await findPlaylists(gateway, "ladder");
  assert.deepEqual(
    master.variants.map(({ RESOLUTION }) => RESOLUTION),
    ["640x360", "320x180", "160x90"],
  );
  const bandwidths = master.variants.map(({ BANDWIDTH }) => Number(BANDWIDTH));
  assert.ok(bandwidths[0] > bandwidths[1] && bandwidths[1] > bandwidths[2], bandwidths.join());
  assert.ok(master.variants.every(({ CODECS }) => /avc1\.\w{6},mp4a\.40\.2/.test(CODECS)));
  await pause(6000);
  await assertAligned(masterUrl, master.variants);

  const browser = await stage.browser();
  const viewer = await browser.play("hls", { url: masterUrl, configuration: { startLevel: 0 } });
  await viewer.waitFor("the picture", ({ delivered }) => delivered > 60, 20_000);
  await pause(3000);
  await assertSwitches(stage, viewer, [90, 360, 180, 360]);
  await viewer.stop();

  const probe = await run("ffprobe", ["-v", "error", "-show_streams", "-select_streams", "v", "-of", "json", gateway.url("/flv/ladder.flv")]);
  assert.deepEqual(JSON.parse(probe.stdout).streams.map(({ height }) => height), [360]);
  const whep = await browser.play("whep", { url: gateway.url("/whep/ladder") });
  assert.equal((await whep.waitFor("the largest picture", ({ height, delivered }) => delivered > 30 && height === 360)).width, 640);
  await whep.stop();
  assert.equal(await gateway.metric("onmic_drops_total", { reason: "tag_other_track" }), 0);
  assert.deepEqual((await gateway.room("ladder")).participants[0].advice.map(({ code }) => code).filter((code) => code === "other_tracks"), []);

  // A track that falls silent is not listed any more, and the others go on.
  publisher.silent.add(2);
  await waitFor("the smallest variant to go", async () => parseMaster((await request(masterUrl)).text).variants.length === 2, { timeoutMs: 20_000 });
  publisher.silent.clear();
  await waitFor("it to come again", async () => parseMaster((await request(masterUrl)).text).variants.length === 3, { timeoutMs: 20_000 });
  assert.equal(publisher.closed, false);
}, { timeout: 180_000 });
