// Tests RTMP in and LL-HLS out, in hls.js at its defaults.

import assert from "node:assert/strict";
import { endToEnd } from "../lib/end_to_end.js";
import { assertNeverDry, assertPlaysWell, capacity } from "../lib/expect.js";
import { assertPlaylistRules } from "../lib/hls_rules.js";
import { LIKE_OBS } from "../lib/picture.js";
import { pause } from "../lib/wait.js";

// The viewer joins a stream that has just begun and has few segments. Playback must not stop after the first frame.
const START_MS = 5000;
const FREEZE_MS = 250;

function assertNoFreeze({ freezes, lastFrameAgeMs }) {
  const longest = Math.max(lastFrameAgeMs, ...freezes.map(({ ms }) => ms));
  assert.ok(longest * capacity() <= FREEZE_MS, `a freeze of ${longest} ms: ${JSON.stringify(freezes)}`);
}

for (const [name, picture, profile] of [
  ["rtmp_plays_by_ll_hls", { gopFrames: 60 }, /avc1\.42/],
  ["b_frames_are_kept_in_ll_hls", LIKE_OBS, /avc1\.64/],
]) {
  endToEnd(name, async (stage) => {
    const gateway = await stage.gateway();
    await stage.live(gateway, "show", picture);
    const browser = await stage.browser();
    const viewer = await browser.play("hls", { url: gateway.url("/hls/show/index.m3u8") });
    await viewer.waitForFrames(30, 20_000);
    await pause(START_MS);
    const start = await viewer.report();
    stage.sayFigures(`${name}: the start`, start);
    assertNoFreeze(start);
    const report = await viewer.watch(8);
    stage.sayFigures(`${name} (hls.js says ${report.latency?.toFixed(2)} s)`, report);
    assertPlaysWell(report, { width: 640, height: 360, maxLatencyMs: 8000 });
    assert.equal(report.fatal, false, JSON.stringify(report.errors));
    assert.ok(report.lowLatency, "the player uses parts");
    assertNeverDry(report);
    assertNoFreeze(report);
    assert.match(report.levels[0].codecs, profile);
    assert.match(report.levels[0].codecs, /mp4a\.40\.2/);
    assert.deepEqual([report.levels[0].width, report.levels[0].height], [640, 360]);
    const room = await gateway.room("show");
    assert.ok(room.viewers.hls >= 1, "an HLS viewer is counted");
    assert.equal(room.participants[0].video.transcoding, false, "LL-HLS takes the video as it is");
    await assertPlaylistRules(gateway.url("/hls/show/index.m3u8"), "640x360");
    await viewer.stop();
  });
}

// The last part of a segment must not be published while a player still fetches the part before it. hls.js then stopped
// asking for more.
endToEnd("ll_hls_does_not_stop_with_a_round_trip_of_80_ms", async (stage) => {
  const gateway = await stage.gateway();
  await stage.live(gateway, "show", LIKE_OBS);
  const slow = async (page) => {
    await page.route(/\.(m3u8|m4s|mp4)/, async (route) => {
      await pause(80);
      await route.continue().catch(() => {}); // The page may have been closed meanwhile.
    });
  };
  const browser = (await stage.browser()).withWindows(slow);
  const viewer = await browser.play("hls", { url: gateway.url("/hls/show/index.m3u8") });
  await viewer.waitForFrames(30, 20_000);
  await pause(15_000); // 15 s are seven segments. Playback used to stop at the end of a segment.
  const report = await viewer.report();
  stage.sayFigures(`hls.js says ${report.latency?.toFixed(2)} s`, report);
  assert.equal(report.waiting, false);
  assert.ok(report.lastFrameAgeMs * capacity() < 1000, `the last frame came ${report.lastFrameAgeMs} ms ago`);
  assert.equal(report.fatal, false, JSON.stringify(report.errors));
  // If playback stops, latency grows by 1 s each second.
  assert.ok(report.latency * capacity() < 4, `${report.latency} s`);
  await viewer.stop();
});
