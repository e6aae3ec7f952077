// Tests what the specification (rfc8216bis) says of LL-HLS over HTTP: answers, blocking requests, caching and
// compression.

import assert from "node:assert/strict";
import { endToEnd, lasting } from "../lib/end_to_end.js";
import { assertProblem } from "../lib/expect.js";
import { assertPlaylistRules, findPlaylists } from "../lib/hls_rules.js";
import { request, requestHttp2 } from "../lib/http.js";
import { parseMedia } from "../lib/playlist.js";
import { pause, waitFor } from "../lib/wait.js";

const PICTURE = { width: 320, height: 180, bitrateKbps: 400, gopFrames: 30 };

/**
 * Starts a gateway with a room that has at least three segments, and returns the URLs of its playlists. With short
 * segments and a long window the playlist becomes long quickly.
 */
const packaged = lasting(async (stage) => {
  const gateway = await stage.gateway({ set: { "hls.segment": "1s", "hls.window": "20s" } });
  await stage.live(gateway, "show", PICTURE);
  const playlists = await findPlaylists(gateway, "show");
  await waitFor("a few segments", async () => parseMedia((await request(playlists.videoUrl)).text).segments.length >= 3, {
    timeoutMs: 20_000,
  });
  return { gateway, ...playlists };
});

const maxAge = (answer) => Number(answer.headers["cache-control"]?.match(/max-age=(\d+)/)?.[1]);

endToEnd("playlists_keep_the_rules_of_ll_hls_and_allow_every_origin", async (stage) => {
  const { masterUrl, videoUrl, audioUrl } = await packaged(stage);
  await assertPlaylistRules(masterUrl, "320x180");
  for (const url of [masterUrl, videoUrl, audioUrl]) {
    const answer = await request(url, { headers: { Origin: "https://elsewhere.example" } });
    assert.equal(answer.headers["access-control-allow-origin"], "*");
    assert.equal(answer.headers["set-cookie"], undefined);
  }
});

endToEnd("a_blocking_playlist_request_is_answered_when_its_part_exists", async (stage) => {
  const { videoUrl } = await packaged(stage);
  const now = parseMedia((await request(videoUrl)).text);
  let [msn, part] = [now.nextSequence, now.partsOfNext.length];
  for (let round = 0; round < 6; round += 1) {
    const answer = await request(`${videoUrl}?_HLS_msn=${msn}&_HLS_part=${part}`);
    assert.equal(answer.status, 200, answer.text);
    const playlist = parseMedia(answer.text);
    const reached =
      playlist.nextSequence > msn || (playlist.nextSequence === msn && playlist.partsOfNext.length > part);
    assert.ok(reached, `asked for ${msn}.${part}, got ${playlist.nextSequence}.${playlist.partsOfNext.length}`);
    assert.ok(answer.tookMs < 3000, `${answer.tookMs} ms`);
    [msn, part] = [playlist.nextSequence, playlist.partsOfNext.length];
  }

  // A part number past the end of a segment means the first part of the next segment.
  // A segment has three or four parts, and nine more than there are may be asked for.
  const past = await request(`${videoUrl}?_HLS_msn=${msn}&_HLS_part=${part + 5}`);
  assert.equal(past.status, 200, past.text);
  assert.ok(parseMedia(past.text).nextSequence > msn, past.text);

  // A request without a part number waits for the whole segment. If it were answered with its first parts, the client would send
  // request after request.
  const { nextSequence } = parseMedia((await request(videoUrl)).text);
  const whole = await request(`${videoUrl}?_HLS_msn=${nextSequence}`);
  assert.equal(whole.status, 200);
  assert.ok(parseMedia(whole.text).nextSequence > nextSequence, whole.text);
});

endToEnd("a_segment_equals_its_parts_and_a_hinted_part_is_sent_when_it_exists", async (stage) => {
  const { videoUrl } = await packaged(stage);
  const playlist = parseMedia((await request(videoUrl)).text);
  const init = await request(new URL(playlist.map.URI, videoUrl));
  assert.equal(init.status, 200);
  assert.equal(init.body.toString("latin1", 4, 8), "ftyp");

  const segment = playlist.segments.findLast(({ parts }) => parts.length > 0);
  const whole = await request(new URL(segment.uri, videoUrl));
  assert.equal(whole.status, 200);
  assert.match(whole.headers["content-type"], /^video\/(mp4|iso\.segment)/);
  const parts = [];
  for (const part of segment.parts) {
    const answer = await request(new URL(part.uri, videoUrl));
    assert.equal(answer.status, 200, part.uri);
    parts.push(answer.body);
  }
  assert.ok(Buffer.concat(parts).equals(whole.body), "a segment is the concatenation of its parts");

  // The hinted part does not exist yet, so the request waits for it.
  const { preloadHint } = parseMedia((await request(videoUrl)).text);
  const hinted = await request(new URL(preloadHint.URI, videoUrl));
  assert.equal(hinted.status, 200, "the hinted part is sent when it exists");
  assert.ok(hinted.body.length > 0);
});

endToEnd("wrong_queries_are_refused_with_a_reason", async (stage) => {
  const { videoUrl } = await packaged(stage);
  const { nextSequence } = parseMedia((await request(videoUrl)).text);
  for (const [query, what] of [
    ["_HLS_part=1", "a part without a sequence number"],
    [`_HLS_msn=${nextSequence + 50}`, "a sequence number far ahead"],
    [`_HLS_msn=${nextSequence + 50}&_HLS_part=0`, "a part far ahead"],
    ["_HLS_msn=abc", "a sequence number that is not a number"],
    ["_HLS_msn=-1", "a negative sequence number"],
    ["_HLS_msn=99999999999999999999999", "a sequence number of 23 digits"],
    [`_HLS_msn=${nextSequence}&_HLS_part=-1`, "a negative part"],
    [`_HLS_msn=${nextSequence + 1}&_HLS_part=50`, "a part more than three seconds ahead"],
    [`_HLS_msn=${nextSequence}&_HLS_part=x`, "a part that is not a number"],
  ]) {
    const answer = await request(`${videoUrl}?${query}`);
    assertProblem(answer, [400], what);
    assert.ok(maxAge(answer) <= 4, `errors are cached for up to 4 s: ${answer.headers["cache-control"]}`);
  }
});

endToEnd("cache_lifetimes_follow_the_specification", async (stage) => {
  const { masterUrl, videoUrl } = await packaged(stage);
  const plain = await request(videoUrl);
  const playlist = parseMedia(plain.text);
  const target = playlist.targetDuration;
  assert.ok(maxAge(plain) <= target / 2 + 0.5, `non-blocking: ${plain.headers["cache-control"]}, target ${target} s`);
  const blocking = await request(`${videoUrl}?_HLS_msn=${playlist.nextSequence}&_HLS_part=${playlist.partsOfNext.length}`);
  assert.ok(maxAge(blocking) >= target, `blocking: ${blocking.headers["cache-control"]}`);
  const segment = await request(new URL(playlist.segments.at(-1).uri, videoUrl));
  assert.ok(maxAge(segment) >= target * 6, `media: ${segment.headers["cache-control"]}`);
  const master = await request(masterUrl);
  assert.ok(maxAge(master) >= 0, `multivariant: ${master.headers["cache-control"]}`);
  const missing = await request(new URL("no-such-segment.m4s", videoUrl));
  assertProblem(missing, [404], "a segment that never existed");
  assert.ok(maxAge(missing) >= 1 && maxAge(missing) <= 4, `error: ${missing.headers["cache-control"]}`);
});

endToEnd("playlists_are_compressed_for_clients_that_accept_gzip", async (stage) => {
  const { masterUrl, videoUrl } = await packaged(stage);
  for (const url of [masterUrl, videoUrl]) {
    const small = await request(url, { headers: { "Accept-Encoding": "gzip, deflate, br" } });
    assert.equal(small.headers["content-encoding"], "gzip");
    assert.match(small.headers.vary ?? "", /accept-encoding/i);
    assert.ok(small.text.startsWith("#EXTM3U"));
    const plain = await request(url);
    assert.equal(plain.headers["content-encoding"], undefined);
    assert.match(plain.headers.vary ?? "", /accept-encoding/i, "Vary tells caches to keep both forms apart");
    assert.ok(small.raw.length < plain.raw.length);
  }
});

endToEnd("playlists_answer_head_requests_and_http2", async (stage) => {
  const { videoUrl } = await packaged(stage);
  const head = await request(videoUrl, { method: "HEAD" });
  assert.equal(head.status, 200);
  assert.equal(head.raw.length, 0);
  const second = await requestHttp2(videoUrl);
  assert.equal(second.status, 200);
  assert.ok(second.text.startsWith("#EXTM3U"));
});

endToEnd("300_blocking_requests_are_answered_together_with_the_same_playlist", async (stage) => {
  const { gateway, videoUrl } = await packaged(stage);
  const { nextSequence, partsOfNext } = parseMedia((await request(videoUrl)).text);
  const url = `${videoUrl}?_HLS_msn=${nextSequence}&_HLS_part=${partsOfNext.length + 2}`;
  const before = gateway.resources();
  const ends = [];
  const waiting = Array.from({ length: 300 }, async () => {
    const answer = await request(url);
    ends.push(performance.now());
    return answer;
  });
  const answers = await Promise.all(waiting);
  assert.ok(answers.every(({ status }) => status === 200));
  const bodies = new Set(answers.map(({ text }) => text));
  assert.ok(bodies.size <= 2, `${bodies.size} different playlists for the same request`);
  stage.say(`300 answers within ${Math.round(Math.max(...ends) - Math.min(...ends))} ms of each other`);
  await pause(500);
  assert.ok(gateway.resources().descriptors < before.descriptors + 20, "the connections are closed");
});

endToEnd("delta_updates_leave_out_segments_that_the_client_has", async (stage) => {
  const { videoUrl } = await packaged(stage);
  // Only segments older than the skip boundary can be left out, so the playlist must hold more than six target
  // durations.
  const full = await waitFor(
    "a playlist longer than six target durations",
    async () => {
      const playlist = parseMedia((await request(videoUrl)).text);
      return playlist.segments.length >= playlist.targetDuration * 6 + 4 ? playlist : null;
    },
    { timeoutMs: 30_000, everyMs: 500 },
  );
  const delta = parseMedia((await request(`${videoUrl}?_HLS_skip=YES`)).text);
  assert.ok(delta.skipped > 0, "the delta update has EXT-X-SKIP");
  assert.ok(delta.segments.length < full.segments.length);
  assert.ok(delta.nextSequence >= full.nextSequence && delta.nextSequence <= full.nextSequence + 2);
  const known = new Set(full.segments.map(({ uri }) => uri));
  assert.ok(delta.segments.some(({ uri }) => known.has(uri)), "the delta update overlaps the full playlist");
});
