// Asserts what must be true of every LL-HLS playlist (rfc8216bis, and Apple's authoring specification).

import assert from "node:assert/strict";
import { request } from "./http.js";
import { parseMaster, parseMedia } from "./playlist.js";
import { waitFor } from "./wait.js";

/** Returns the URLs of a room's playlists, as its multivariant playlist names them. */
export async function findPlaylists(gateway, room, options = {}) {
  const masterUrl = gateway.url(`/hls/${room}/index.m3u8`);
  const master = await waitFor(
    "the multivariant playlist",
    async () => {
      const answer = await request(masterUrl, options);
      return answer.status === 200 ? parseMaster(answer.text) : null;
    },
    { timeoutMs: 15_000 },
  );
  const videoUrl = new URL(master.variants[0].uri, masterUrl).href;
  const audioUrl = master.media[0] ? new URL(master.media[0].URI, masterUrl).href : null;
  return { master, masterUrl, videoUrl, audioUrl };
}

export async function assertPlaylistRules(masterUrl, resolution) {
  const answer = await request(masterUrl);
  assert.match(answer.headers["content-type"], /^application\/(vnd\.apple\.mpegurl|x-mpegurl)/i);
  const master = parseMaster(answer.text);
  const [variant] = master.variants;
  assert.equal(master.variants.length, 1, answer.text);
  assert.match(variant.CODECS, /avc1\.\w{6}/);
  assert.match(variant.CODECS, /mp4a\.40\.2/);
  assert.equal(variant.RESOLUTION, resolution);
  assert.ok(Number(variant.BANDWIDTH) > 0, answer.text);
  assert.equal(variant.AUDIO, master.media[0]["GROUP-ID"]);
  assert.equal(master.media[0].TYPE, "AUDIO");
  for (const uri of [variant.uri, master.media[0].URI]) {
    const url = new URL(uri, masterUrl);
    assert.equal(url.search, "", "playlist URLs have no query");
    assertMediaRules((await request(url)).text);
  }
}

function assertMediaRules(text) {
  const playlist = parseMedia(text);
  assert.ok(playlist.version >= 9, text);
  assert.ok(playlist.partTarget <= 0.4, `part target ${playlist.partTarget}`);
  assert.equal(playlist.serverControl["CAN-BLOCK-RELOAD"], "YES");
  assert.ok(Number(playlist.serverControl["PART-HOLD-BACK"]) >= playlist.partTarget * 3 - 1e-6, text);
  assert.ok(Number(playlist.serverControl["CAN-SKIP-UNTIL"]) >= playlist.targetDuration * 6, text);
  assert.ok(playlist.map?.URI, text);
  assert.equal(playlist.preloadHint?.TYPE, "PART", text);
  assert.ok(playlist.dates > 0, "the playlist has EXT-X-PROGRAM-DATE-TIME");
  assert.equal(playlist.renditionReports.length, 1, text);
  for (const segment of playlist.segments) {
    assert.ok(Math.round(segment.duration) <= playlist.targetDuration, text);
    if (segment.parts.length > 0) {
      assert.ok(segment.parts[0].independent, text);
      const whole = segment.parts.reduce((sum, { duration }) => sum + duration, 0);
      assert.ok(Math.abs(whole - segment.duration) < 0.01, `parts of ${whole} s in a segment of ${segment.duration} s`);
    }
    segment.parts.forEach((part, index) => {
      assert.ok(part.duration <= playlist.partTarget + 1e-6, `a part of ${part.duration} s\n${text}`);
      const mayBeShort = index === segment.parts.length - 1 || segment.parts[index + 1]?.independent;
      assert.ok(mayBeShort || part.duration >= playlist.partTarget * 0.85 - 1e-6, `a part of ${part.duration} s\n${text}`);
    });
  }
  const said = Date.now() - Date.parse(playlist.segments[0].date);
  const age = playlist.segments.reduce((sum, { duration }) => sum + duration, 0) * 1000;
  assert.ok(Math.abs(said - age) < 5000, `the first segment is dated ${said} ms ago, but the segments last ${age} ms together`);
}

/** Returns the segments of a variant by number: their lengths, and whether each begins with a keyframe. */
async function segmentsOf(masterUrl, { uri }) {
  const playlist = parseMedia((await request(new URL(uri, masterUrl).href)).text);
  return new Map(playlist.segments.map((segment, index) => [playlist.mediaSequence + playlist.skipped + index, segment.duration]));
}

/** Asserts that the variants have the same segments with the same lengths. A quality that comes later begins within its first one. */
export async function assertAligned(masterUrl, variants) {
  const [main, ...others] = await Promise.all(variants.map((variant) => segmentsOf(masterUrl, variant)));
  for (const other of others) {
    const common = [...other.keys()].slice(1).filter((number) => main.has(number));
    assert.ok(common.length >= 2, `${[...main.keys()]} and ${[...other.keys()]}`);
    for (const number of common) {
      assert.ok(Math.abs(main.get(number) - other.get(number)) < 0.02, `segment ${number}: ${main.get(number)} and ${other.get(number)}`);
    }
  }
}
