// Tests that the measuring tools measure correctly, before other tests rely on them.

import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { test } from "node:test";
import { amf0, readAmf0 } from "../lib/amf0.js";
import { encodeCode, GRID_WIDTH, paintCode, readCode } from "../lib/barcode.js";
import { Browser, figures } from "../lib/browser.js";
import { parseMetrics, sumOf } from "../lib/gateway.js";
import { gapPercentile, rounded } from "../lib/numbers.js";
import { redirectCandidates } from "../lib/pages/session.js";
import { LIKE_OBS, ownLatency } from "../lib/picture.js";
import { parseMedia } from "../lib/playlist.js";
import { UdpRelay } from "../lib/udp_relay.js";
import { pause } from "../lib/wait.js";

test("a_painted_code_is_read_back_and_a_damaged_code_is_rejected", () => {
  const now = Date.now();
  const grid = new Float64Array(GRID_WIDTH * 36);
  paintCode(encodeCode({ timeMs: now - 1234, counter: 4321, beepAge: 2 }), (x, y, width, height, white) => {
    for (let row = y; row < y + height; row += 1) grid.fill(white ? 200 : 40, row * GRID_WIDTH + x, row * GRID_WIDTH + x + width);
  });
  const luma = (x, y) => grid[Math.floor(y) * GRID_WIDTH + Math.floor(x)];
  assert.deepEqual(readCode(luma, now), { timeMs: now - 1234, counter: 4321, beepAge: 2 });
  assert.equal(readCode((x, y) => (x >= 30 && x < 34 && y < 3 ? 255 - luma(x, y) : luma(x, y)), now), null);
  assert.equal(readCode(() => 0, now), null);
});

test("a_second_without_a_frame_is_seen_in_the_gaps_and_a_late_frame_is_not", () => {
  const even = Array(300).fill(33);
  assert.equal(gapPercentile(even, 95), 33);
  assert.equal(gapPercentile([...even, 200], 95), 33);
  assert.equal(gapPercentile([1000, ...even], 95), 1000);
  assert.equal(gapPercentile([], 95), null);
});

test("generator_and_encoder_take_less_than_100_ms_without_look_ahead", async (t) => {
  const low = await ownLatency({}, 3);
  const obs = await ownLatency(LIKE_OBS, 3);
  t.diagnostic(`bf=0: p50 ${low.p50} p95 ${low.p95} ms; like OBS: p50 ${obs.p50} p95 ${obs.p95} ms`);
  assert.ok(low.p50 < 100, `${low.p50} ms`);
  assert.ok(obs.p50 > low.p50, "look-ahead and B-frames cost time");
});

test("the_browser_measures_its_own_loop_back", async (t) => {
  const browser = await Browser.start();
  try {
    const loop = await browser.play("loopback");
    await loop.waitForFrames(30);
    const report = await loop.watch(4);
    const { fps, p50, p95, lipSync } = figures(report);
    t.diagnostic(`${rounded(fps, 1)} fps, p50 ${p50} p95 ${p95} ms, audio ${rounded(lipSync)} ms after video`);
    assert.ok(report.frames > 60 && report.unreadable === 0, JSON.stringify({ ...report, samples: 0 }));
    assert.ok(report.beeps >= 3 && report.lipSync.length >= 3);
    await loop.stop();
  } finally {
    await browser.stop();
  }
});

test("the_relay_loses_packets_and_blocks_the_connection_as_configured", async () => {
  const server = createSocket("udp4");
  await new Promise((resolve) => server.bind(0, "127.0.0.1", resolve));
  server.on("message", (packet, from) => server.send(packet, from.port, from.address));
  const relay = await UdpRelay.start(server.address().port, { up: { lossPercent: 30, burstPackets: 3 }, down: { delayMs: 20 } });
  const client = createSocket("udp4");
  let received = 0;
  client.on("message", () => {
    received += 1;
  });
  const sendMany = async (count) => {
    for (let index = 0; index < count; index += 1) {
      client.send(Buffer.from([index & 0xff]), relay.port, "127.0.0.1");
      if (index % 50 === 0) await pause(2);
    }
    await pause(200);
  };
  await sendMany(2000);
  assert.ok(received > 1200 && received < 1600, `${received} of 2000 at 30 % loss`);
  relay.up.blackhole = true;
  received = 0;
  await sendMany(100);
  assert.equal(received, 0);
  client.close();
  server.close();
  await relay.stop();
});

test("the_candidates_of_an_answer_are_redirected_to_the_relay", () => {
  const line = "a=candidate:1 1 udp 2130706431 192.0.2.7 8189 typ host\r\n";
  assert.equal(redirectCandidates(line, 4000), "a=candidate:1 1 udp 2130706431 127.0.0.1 4000 typ host\r\n");
});

test("amf0_values_are_read_as_they_were_written", () => {
  const value = { level: "status", count: 3, list: ["a", 1], nothing: null };
  assert.deepEqual(readAmf0(Buffer.concat([amf0.string("onStatus"), amf0.value(value)])), ["onStatus", value]);
});

test("metrics_are_summed_by_label_and_playlists_are_parsed", () => {
  const samples = parseMetrics('# HELP x y\nx{kind="a",b="c"} 2\nx{kind="b"} 3\nxy 9\n');
  assert.equal(sumOf(samples, "x"), 5);
  assert.equal(sumOf(samples, "x", { kind: "b" }), 3);
  const playlist = parseMedia(
    '#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:7\n#EXT-X-PART:DURATION=0.33,URI="p0",INDEPENDENT=YES\n#EXTINF:2.0,\ns7\n#EXT-X-PART:DURATION=0.3,URI="p1"\n',
  );
  assert.deepEqual([playlist.nextSequence, playlist.segments[0].parts[0].uri, playlist.partsOfNext.length], [8, "p0", 1]);
});
