// RTMP in, LL-HLS out, in hls.js at its defaults.

import assert from "node:assert/strict";
import { endToEnd } from "../lib/end_to_end.js";
import { assertNeverDry, assertPlaysWell } from "../lib/expect.js";
import { assertPlaylistRules } from "../lib/hls_rules.js";
import { LIKE_OBS } from "../lib/picture.js";

// A player that joins in the first seconds of a stream with B-frames appends the first part of the second segment before
// the first segment; the browser then wants a keyframe and shows the next picture 3 s later. How it starts is said, and
// what is judged is how it goes on.
const START_MS = 6000;

for (const [name, picture, profile, startMs] of [
  ["rtmp_plays_by_ll_hls", { gopFrames: 60 }, /avc1\.42/, 0],
  ["b_frames_are_kept_in_ll_hls", LIKE_OBS, /avc1\.64/, START_MS],
]) {
  endToEnd(name, async (stage) => {
    const gateway = await stage.gateway();
    await stage.live(gateway, "show", picture);
    const browser = await stage.browser();
    const viewer = await browser.play("hls", { url: gateway.url("/hls/show/index.m3u8") });
    await viewer.waitForFrames(30, 20_000);
    if (startMs > 0) stage.sayFigures(`${name}: its start`, await viewer.watch(startMs / 1000));
    const report = await viewer.watch(8);
    stage.sayFigures(`${name} (hls.js says ${report.latency?.toFixed(2)} s)`, report);
    assertPlaysWell(report, { width: 640, height: 360, maxLatencyMs: 8000 });
    assert.equal(report.fatal, false, JSON.stringify(report.errors));
    assert.ok(report.lowLatency, "parts are used");
    assertNeverDry(report);
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
