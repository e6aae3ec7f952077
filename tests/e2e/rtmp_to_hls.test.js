// RTMP in, LL-HLS out, in hls.js at its defaults.

import assert from "node:assert/strict";
import { endToEnd } from "../lib/end_to_end.js";
import { assertNeverDry, assertPlaysWell, capacity } from "../lib/expect.js";
import { assertPlaylistRules } from "../lib/hls_rules.js";
import { LIKE_OBS } from "../lib/picture.js";
import { pause } from "../lib/wait.js";

// A stream is joined as it begins, where segments are few, and playback must not stop from the first picture on.
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
    stage.sayFigures(`${name}: its start`, start);
    assertNoFreeze(start);
    const report = await viewer.watch(8);
    stage.sayFigures(`${name} (hls.js says ${report.latency?.toFixed(2)} s)`, report);
    assertPlaysWell(report, { width: 640, height: 360, maxLatencyMs: 8000 });
    assert.equal(report.fatal, false, JSON.stringify(report.errors));
    assert.ok(report.lowLatency, "parts are used");
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

// The last part of a segment must not come while a player still fetches the one before it: hls.js then asked for no more.
endToEnd("a_round_trip_of_80_ms_does_not_stop_ll_hls", async (stage) => {
  const gateway = await stage.gateway();
  await stage.live(gateway, "show", LIKE_OBS);
  const slow = async (page) => {
    await page.route(/\.(m3u8|m4s|mp4)/, async (route) => {
      await pause(80);
      await route.continue().catch(() => {}); // The page was closed meanwhile.
    });
  };
  const browser = (await stage.browser()).withWindows(slow);
  const viewer = await browser.play("hls", { url: gateway.url("/hls/show/index.m3u8") });
  await viewer.waitForFrames(30, 20_000);
  await pause(15_000); // Seven segments, each of which used to be a chance to stop.
  const report = await viewer.report();
  stage.sayFigures(`hls.js says ${report.latency?.toFixed(2)} s`, report);
  assert.equal(report.waiting, false);
  assert.ok(report.lastFrameAgeMs * capacity() < 1000, `the last picture came ${report.lastFrameAgeMs} ms ago`);
  assert.equal(report.fatal, false, JSON.stringify(report.errors));
  assert.ok(report.latency * capacity() < 4, `${report.latency} s`); // Standing still adds a second each second.
  await viewer.stop();
});
