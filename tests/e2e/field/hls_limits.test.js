// Tests that LL-HLS keeps the limits that it states and the promises of its hints, whatever an encoder sends. Each row is
// an encoder.

import assert from "node:assert/strict";
import { describe } from "node:test";
import { Encoder } from "../../lib/encoder.js";
import { endToEnd } from "../../lib/end_to_end.js";
import { findPlaylists } from "../../lib/hls_rules.js";
import { request } from "../../lib/http.js";
import { parseMedia } from "../../lib/playlist.js";

const FALLING = "select='lt(t,6)+not(mod(n,30))'";

const ROWS = [
  { name: "a_keyframe_every_2_s", settings: ["-g", "60"], target: 2 },
  { name: "a_keyframe_twice_a_second", settings: ["-g", "15"], target: 2 },
  { name: "a_frame_rate_that_falls_from_30_to_1", settings: ["-g", "60", "-vf", FALLING, "-fps_mode", "vfr"], target: 2 },
  { name: "one_frame_a_second_from_the_start", settings: ["-g", "2", "-r", "1"], target: 2 },
  { name: "groups_of_8_s_after_one_of_2_s", settings: ["-g", "250", "-force_key_frames", "0,2"], target: 2 },
  { name: "audio_alone", settings: [], video: false, target: 2 },
  { name: "video_alone", settings: ["-g", "60"], audio: false, target: 2 },
];

const SECONDS = 14;

// Each row mostly waits, and its encoder is small.
describe("LL-HLS", { concurrency: 4 }, () => {
  for (const { name, settings, target, video = true, audio = true } of ROWS) {
    endToEnd(`${name}_breaks_no_limit_and_no_hint`, async (stage) => {
      const gateway = await stage.gateway();
      const encoder = stage.keep(new Encoder(gateway.rtmpUrl("show"), settings, { video, audio }));
      await stage.isLive(gateway, "show", () => encoder.assertAlive());
      const { videoUrl, audioUrl } = await findPlaylists(gateway, "show");
      const urls = [videoUrl, audioUrl].filter((url) => url !== null);
      await Promise.all(urls.flatMap((url) => [limitsAreKept(url, target), hintsAreFollowed(url)]));
    });
  }
});

async function limitsAreKept(url, target) {
  const until = Date.now() + SECONDS * 1000;
  let stated = null;
  let [segments, parts] = [0, 0];
  while (Date.now() < until) {
    const { text } = await request(`${url}`);
    const playlist = parseMedia(text);
    const now = [playlist.targetDuration, playlist.partTarget, playlist.serverControl];
    stated ??= now;
    assert.deepEqual(now, stated, "what a playlist has stated does not change");
    assert.equal(playlist.targetDuration, target, text);
    assert.equal(Number(playlist.serverControl["HOLD-BACK"]), 3 * target, text);
    for (const segment of playlist.segments) {
      assert.ok(Math.round(segment.duration) <= target, `a segment of ${segment.duration} s\n${text}`);
      for (const part of segment.parts) assert.ok(part.duration <= playlist.partTarget + 1e-6, `a part of ${part.duration} s\n${text}`);
    }
    segments = Math.max(segments, playlist.segments.length);
    parts += playlist.segments.flatMap((segment) => segment.parts).length;
    await request(`${url}?_HLS_msn=${playlist.nextSequence}&_HLS_part=${playlist.partsOfNext.length}`);
  }
  assert.ok(segments >= 4 && parts > 0, `${segments} segments, ${parts} parts`);
}

/** Fetches each hinted part as soon as it is hinted, as shaka does. A pause is answered by "try again". */
async function hintsAreFollowed(url) {
  const until = Date.now() + SECONDS * 1000;
  const answers = [];
  while (Date.now() < until) {
    const { preloadHint } = parseMedia((await request(url)).text);
    const answer = await request(new URL(preloadHint.URI, url));
    answers.push(`${preloadHint.URI} ${answer.status}`);
  }
  assert.ok(answers.length > 3, answers.join());
  assert.deepEqual(answers.filter((answer) => !/ (200|503)$/.test(answer)), []);
}
