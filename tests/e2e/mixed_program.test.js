// Tests the program of a room with several participants. It is mixed while it must be and passed through while it can
// be, and the change between the two does not interrupt viewers.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { endToEnd } from "../lib/end_to_end.js";
import {
  assertQuietLog,
  assertUnbrokenHls,
  assertUnbrokenTimes,
  assertUnbrokenWhep,
  command,
  decibels,
  hears,
  loudness,
  programIs,
  sayContinuity,
  seatOf,
  SMALL,
  TILES,
  tilesAreReadable,
} from "../lib/mixed_room.js";
import { LIKE_OBS } from "../lib/picture.js";
import { Tap } from "../lib/tap.js";
import { pause, waitFor } from "../lib/wait.js";

const LONG = { timeout: 120_000 };

async function setUp(stage, options = {}) {
  const { "rooms.away_timeout": away = "2s", ...set } = options.set ?? {};
  const gateway = await stage.gateway({ set: { ...SMALL, "ingest.grace": "2s", "rooms.away_timeout": away, ...set } });
  await stage.live(gateway, "show", { gopFrames: 30, ...options.host });
  return gateway;
}

/** Starts a co-host by RTMP, with its own tone and without beeps. */
const joins = (stage, gateway, name, picture = {}) =>
  stage.publisher(gateway.rtmpUrl(`show/${name}`), { gopFrames: 30, beeps: false, humHertz: 700, ...picture });

/** Starts a publisher that sends only a tone, without video. */
function soundAlone(stage, url) {
  const argv = ["-hide_banner", "-loglevel", "warning", "-re", "-f", "lavfi", "-i", "sine=700:sample_rate=44100"];
  const publisher = spawn("ffmpeg", [...argv, "-c:a", "aac", "-f", "flv", url], { stdio: "ignore" });
  stage.keep({ stop: async () => publisher.kill("SIGKILL") });
}

for (const [what, host] of [
  ["without", {}],
  ["with", LIKE_OBS],
]) {
  endToEnd(`viewers_play_on_through_both_splices_${what}_b_frames`, async (stage) => {
    const gateway = await setUp(stage, { host: { ...host, gopFrames: 60 } });
    const browser = await stage.browser();
    const near = await browser.play("whep", { url: gateway.url("/whep/show"), tiles: TILES.two });
    const far = await browser.play("hls", { url: gateway.url("/hls/show/index.m3u8"), tiles: TILES.two });
    const tap = stage.keep(await Tap.start(gateway.url("/flv/show.flv")));
    await near.waitForFrames(60);
    await far.waitForFrames(60, 30_000);
    await pause(3000);
    assert.equal((await gateway.room("show")).state.program.state, "pass-through");

    for (const round of ["rtmp", "whip"]) {
      const before = await near.report();
      await Promise.all([near.reset(), far.reset(), tap.reset()]);
      const url = gateway.url("/whip/show/anna");
      const guest =
        round === "rtmp"
          ? joins(stage, gateway, "anna")
          : await browser.play("whip", { url, width: 640, height: 360, humHertz: 700, beeps: false });
      await programIs(gateway, "show", "mixed");
      await command(gateway, "show", "PUT", "/layout", { kind: "grid" });
      await Promise.all([near, far].map((viewer) => tilesAreReadable(viewer, 2)));
      await pause(2000);
      const mixed = [await near.report(), await far.report()];
      sayContinuity(stage, `${round}: one → two by WHEP`, before, mixed[0]);
      sayContinuity(stage, `${round}: one → two by hls.js`, before, mixed[1]);
      const busyMs = assertUnbrokenTimes(stage, `${round}: one → two`, tap);
      assertUnbrokenWhep(before, mixed[0], busyMs);
      assertUnbrokenHls(mixed[1], busyMs);

      await Promise.all([near.reset(), far.reset(), tap.reset()]);
      await guest.stop();
      await programIs(gateway, "show", "pass-through", { timeoutMs: 15_000 });
      await pause(5000);
      const after = [await near.report(), await far.report()];
      sayContinuity(stage, `${round}: two → one by WHEP`, mixed[0], after[0]);
      sayContinuity(stage, `${round}: two → one by hls.js`, mixed[1], after[1]);
      const stillBusyMs = assertUnbrokenTimes(stage, `${round}: two → one`, tap);
      assertUnbrokenWhep(before, after[0], stillBusyMs);
      assertUnbrokenHls(after[1], stillBusyMs);
      for (const viewer of [near, far]) await viewer.waitFor("the video of the host alone", ({ frames, lastFrameAgeMs }) => frames > 0 && lastFrameAgeMs < 1000);
    }
    assertQuietLog(gateway);
  }, LONG);
}

endToEnd("four_participants_are_seen_and_heard_in_a_grid", async (stage) => {
  const gateway = await setUp(stage);
  const guests = ["anna", "ben", "cleo"].map((name, index) =>
    joins(stage, gateway, name, { width: 320, height: 180, bitrateKbps: 500, humHertz: 700 + 400 * index }),
  );
  for (const name of ["anna", "ben", "cleo"]) await seatOf(gateway, "show", name);
  await command(gateway, "show", "PUT", "/layout", { kind: "grid" });
  const browser = await stage.browser();
  const tones = [300, 700, 1100, 1500];
  const viewer = await browser.play("whep", { url: gateway.url("/whep/show"), tiles: TILES.four, tones });
  const report = await tilesAreReadable(viewer, 4);
  stage.say(`frames read of each participant: ${report.tiles.map(({ frames }) => frames)}`);
  await hears(viewer, "everybody", (heard) => tones.every((hertz) => heard[hertz] > 0.02));

  await command(gateway, "show", "PUT", "/layout", { kind: "custom", places: TILES.corners });
  await viewer.call("setTiles", TILES.corners);
  await tilesAreReadable(viewer, 2);
  for (const guest of guests) guest.assertAlive();
  assertQuietLog(gateway);
}, LONG);

endToEnd("a_return_feed_leaves_out_its_own_participant_and_a_muted_co_host_is_not_heard", async (stage) => {
  const gateway = await setUp(stage, { host: { beeps: false } });
  joins(stage, gateway, "anna");
  const seat = await seatOf(gateway, "show", "anna");
  const browser = await stage.browser();
  const play = (path) => browser.play("whep", { url: gateway.url(`/whep/${path}`), tiles: TILES.two, tones: [300, 700] });
  const [program, hers, his] = [await play("show"), await play("show/anna/return"), await play("show/host/return")];
  await hears(program, "both tones in the program", (heard) => heard[300] > 0.02 && heard[700] > 0.02);
  await hears(hers, "the host's tone in her return feed", (heard) => heard[300] > 0.02);
  await hears(his, "her tone in the host's return feed", (heard) => heard[700] > 0.02);
  await pause(1000);
  const [all, without, others] = await Promise.all([program, hers, his].map((client) => client.watch(5)));
  const down = decibels(loudness(without, 700) / loudness(all, 700));
  const hostDown = decibels(loudness(others, 300) / loudness(all, 300));
  stage.say(`level in the own return feed, relative to the program: her tone ${Math.round(down)} dB, the host's tone ${Math.round(hostDown)} dB`);
  assert.ok(down < -40 && hostDown < -40, "each return feed leaves out its own participant");
  for (const [report, hertz] of [[all, 300], [all, 700], [without, 300], [others, 700]]) {
    const level = loudness(report, hertz);
    assert.ok(level > 0.04 && level < 0.06, `${hertz} Hz at ${level}, sent at 0.05`);
  }
  assert.ok(without.frames > 30, "the return feed has the program's video");

  await command(gateway, "show", "PATCH", `/seats/${seat}`, { audio: "muted" });
  await hears(program, "her tone to be gone", (heard) => heard[700] < 0.0005 && heard[300] > 0.02);
  await command(gateway, "show", "PATCH", `/seats/${seat}`, { audio: "unmuted" });
  await hears(program, "her tone to be back", (heard) => heard[700] > 0.04);
  assertQuietLog(gateway);
}, LONG);

endToEnd("an_overlay_starts_the_mixer_for_one_participant_and_changes_of_the_scene_do_not_interrupt_viewers", async (stage) => {
  const gateway = await setUp(stage);
  const browser = await stage.browser();
  const viewer = await browser.play("whep", { url: gateway.url("/whep/show"), tiles: TILES.two });
  const tap = stage.keep(await Tap.start(gateway.url("/flv/show.flv")));
  await viewer.waitForFrames(60);
  await pause(2000);
  const before = await viewer.report();
  const goesOn = async (what) => {
    await pause(2500);
    const report = await viewer.report();
    sayContinuity(stage, what, before, report);
    assertUnbrokenWhep(before, report, assertUnbrokenTimes(stage, what, tap));
    assert.ok(report.lastFrameAgeMs < 1000, `the newest readable frame is ${report.lastFrameAgeMs} ms old`);
    await viewer.reset();
    tap.reset();
  };
  await viewer.reset();
  tap.reset();
  const card = { id: "card", kind: "text", place: { x: 0.05, y: 0.75, width: 0.4, height: 0.2 }, z: 10, opacity: 1 };
  const words = { title: "Tea", lines: ["¥ 28", "100 g"], colour: "#ffffff", background: "#000000b0" };
  await command(gateway, "show", "PUT", "/overlays", { overlays: [{ ...card, ...words }] });
  await programIs(gateway, "show", "mixed");
  await goesOn("an overlay");
  await command(gateway, "show", "PUT", "/overlays", { overlays: [] });
  await programIs(gateway, "show", "pass-through");
  await goesOn("no overlay");

  joins(stage, gateway, "anna");
  await seatOf(gateway, "show", "anna");
  await tilesAreReadable(viewer, 2);
  await goesOn("a second participant");
  const key = { colour: "#00ff00", similarity: 0.3, blend: 0.1 };
  await command(gateway, "show", "PATCH", "/sources/anna", { chroma_key: key });
  await goesOn("a chroma key");
  for (const kind of ["side-by-side", "host-and-strip", "picture-in-picture", "grid"]) {
    await command(gateway, "show", "PUT", "/layout", { kind });
    await pause(300);
  }
  await goesOn("four layouts");
  await tilesAreReadable(viewer, 2);
  assertQuietLog(gateway);
}, LONG);

// Whatever a co-host sends, viewers see and hear the host without interruption.
for (const [what, picture, visible] of [
  ["sends_no_audio", { channels: 0 }, true],
  ["sends_five_frames_a_second", { fps: 5, gopFrames: 5 }, true],
  ["sends_4k", { width: 3840, height: 2160, fps: 5, gopFrames: 10, bitrateKbps: 3000 }, true],
  ["has_b_frames_and_44100_hz", LIKE_OBS, true],
  ["sends_corrupted_video", { brokenByteIn: 300 }, false],
]) {
  endToEnd(`a_co_host_who_${what}_${visible ? "is_seen_and_" : ""}does_not_interrupt_viewers`, async (stage) => {
    const gateway = await setUp(stage);
    const browser = await stage.browser();
    const viewer = await browser.play("whep", { url: gateway.url("/whep/show"), tiles: TILES.two, tones: [300, 700] });
    const tap = stage.keep(await Tap.start(gateway.url("/flv/show.flv")));
    await viewer.waitForFrames(60);
    await pause(1500);
    const before = await viewer.report();
    await viewer.reset();
    tap.reset();
    const guest = joins(stage, gateway, "anna", picture);
    await seatOf(gateway, "show", "anna");
    if (visible) await tilesAreReadable(viewer, 2, { frames: 5 });
    if (picture.channels !== 0) await hears(viewer, "the co-host", (heard) => heard[700] > 0.02);
    await pause(2000);
    // Her encoder dies without a goodbye, and the kernel closes her connection.
    await guest.kill();
    await programIs(gateway, "show", "pass-through", { timeoutMs: 15_000 });
    await pause(2000);
    const report = await viewer.report();
    sayContinuity(stage, what, before, report);
    assertUnbrokenWhep(before, report, assertUnbrokenTimes(stage, what, tap));
    assert.ok(report.lastFrameAgeMs < 1000);
    assertQuietLog(gateway);
  }, LONG);
}

endToEnd("a_co_host_with_audio_alone_is_heard", async (stage) => {
  const gateway = await setUp(stage);
  soundAlone(stage, gateway.rtmpUrl("show/anna"));
  const browser = await stage.browser();
  const viewer = await browser.play("whep", { url: gateway.url("/whep/show"), tiles: TILES.two, tones: [300, 700] });
  await seatOf(gateway, "show", "anna");
  await hears(viewer, "both participants", (heard) => heard[700] > 0.05 && heard[300] > 0.02);
  await viewer.waitFor("the host's tile beside a placeholder", ({ tiles }) => tiles[0].frames > 30);
  assertQuietLog(gateway);
}, LONG);

endToEnd("a_viewer_of_a_program_without_audio_hears_a_joining_co_host_in_the_same_session", async (stage) => {
  const gateway = await setUp(stage, { host: { channels: 0 } });
  const browser = await stage.browser();
  const viewer = await browser.play("whep", { url: gateway.url("/whep/show"), tiles: TILES.two, tones: [300, 700] });
  await viewer.waitForFrames(60);
  const silent = await viewer.watch(3);
  assert.equal((await gateway.room("show")).state.program.state, "pass-through");
  assert.match(silent.answer, /m=audio 9 [\s\S]*a=sendonly[\s\S]*a=ssrc:/, "the answer accepts audio before the program has audio");
  assert.ok(silent.loudness < 0.001, `audio of level ${silent.loudness}, although nobody sends audio`);
  stage.sayFigures("without audio", silent);

  const joined = Date.now();
  joins(stage, gateway, "anna");
  await seatOf(gateway, "show", "anna");
  await hears(viewer, "the co-host", (heard) => heard[700] > 0.02);
  stage.say(`heard ${Date.now() - joined} ms after her encoder started`);
  await tilesAreReadable(viewer, 2);
  const mixed = await viewer.watch(3);
  stage.sayFigures("with the co-host's audio", mixed);
  assert.equal(mixed.state, "connected");
  assert.deepEqual([mixed.resource, mixed.times.changes], [silent.resource, silent.times.changes], "the same session");
  assert.equal(mixed.backwards, 0);
  assert.ok(mixed.statistics["inbound-rtp-audio"].packetsReceived > 50);
  assertQuietLog(gateway);
}, LONG);

endToEnd("a_viewer_of_a_program_without_video_sees_a_joining_co_host_in_the_same_session", async (stage) => {
  const gateway = await stage.gateway({ set: SMALL });
  soundAlone(stage, gateway.rtmpUrl("show"));
  await stage.isLive(gateway, "show");
  const browser = await stage.browser();
  const viewer = await browser.play("whep", { url: gateway.url("/whep/show"), tiles: [TILES.two[1]], tones: [300, 700] });
  await hears(viewer, "the host", (heard) => heard[700] > 0.02);
  const before = await viewer.report();
  joins(stage, gateway, "anna", { humHertz: 300 });
  await tilesAreReadable(viewer, 1);
  await hears(viewer, "both participants", (heard) => heard[300] > 0.02 && heard[700] > 0.02);
  const mixed = await viewer.report();
  assert.equal(mixed.state, "connected");
  assert.deepEqual([mixed.resource, mixed.times.changes], [before.resource, before.times.changes], "the same session");
  assertQuietLog(gateway);
}, LONG);

endToEnd("a_co_host_who_returns_with_another_resolution_is_shown_in_the_same_tile", async (stage) => {
  const gateway = await setUp(stage);
  const browser = await stage.browser();
  const viewer = await browser.play("whep", { url: gateway.url("/whep/show"), tiles: TILES.two });
  let guest = joins(stage, gateway, "anna");
  await seatOf(gateway, "show", "anna");
  await tilesAreReadable(viewer, 2);
  for (const size of [{ width: 854, height: 480 }, { width: 320, height: 180 }]) {
    await guest.kill();
    guest = joins(stage, gateway, "anna", size);
    await viewer.reset();
    await tilesAreReadable(viewer, 2);
  }
  assertQuietLog(gateway);
}, LONG);

endToEnd("the_program_goes_on_with_the_co_host_when_the_host_disconnects", async (stage) => {
  const gateway = await stage.gateway({ set: { ...SMALL, "ingest.grace": "2s" } });
  const host = await stage.live(gateway, "show", { gopFrames: 30, beeps: false });
  const browser = await stage.browser();
  const tones = [300, 700];
  const near = await browser.play("whep", { url: gateway.url("/whep/show"), tiles: TILES.two, tones });
  const far = await browser.play("hls", { url: gateway.url("/hls/show/index.m3u8"), tiles: TILES.two, tones });
  joins(stage, gateway, "anna");
  await seatOf(gateway, "show", "anna");
  await Promise.all([near, far].map((viewer) => tilesAreReadable(viewer, 2)));
  const before = await near.report();
  await Promise.all([near.reset(), far.reset()]);
  await host.kill();
  await pause(6000);
  await Promise.all([near.reset(), far.reset()]);
  const alone = (heard) => heard[700] > 0.02 && heard[300] < 0.005;
  for (const viewer of [near, far]) {
    await hears(viewer, "the co-host alone", alone);
    await viewer.waitFor("her video", ({ frames, lastFrameAgeMs }) => frames > 30 && lastFrameAgeMs < 1000);
  }
  const report = await near.report();
  assert.equal(report.state, "connected");
  assert.equal(report.times.changes, before.times.changes);
  assert.equal((await far.report()).manifests, 1);

  await stage.live(gateway, "show", { gopFrames: 30, beeps: false });
  await Promise.all([near.reset(), far.reset()]);
  await Promise.all([near, far].map((viewer) => tilesAreReadable(viewer, 2)));
  await hears(near, "both participants again", (heard) => heard[700] > 0.02 && heard[300] > 0.02);
}, LONG);

endToEnd("a_pk_shows_both_hosts_in_both_programs_and_ends_when_one_host_disconnects", async (stage) => {
  const gateway = await setUp(stage, { host: { beeps: false }, set: { "rooms.pk_away_timeout": "2s" } });
  const partner = await stage.live(gateway, "other", { gopFrames: 30, beeps: false, humHertz: 700 });
  const browser = await stage.browser();
  const tones = [300, 700];
  const watch = (room, tiles) => browser.play("whep", { url: gateway.url(`/whep/${room}`), tiles, tones });
  const viewers = [await watch("show", TILES.two), await watch("other", TILES.two)];
  for (const viewer of viewers) await viewer.waitForFrames(30);
  const before = await viewers[0].report();

  await command(gateway, "show", "PUT", "/pk", { room: "other" });
  await command(gateway, "other", "POST", "/pk/accept");
  for (const viewer of viewers) {
    await tilesAreReadable(viewer, 2);
    await hears(viewer, "both hosts", (heard) => heard[300] > 0.02 && heard[700] > 0.02);
  }

  await partner.kill();
  await programIs(gateway, "show", "pass-through", { timeoutMs: 15_000 });
  await viewers[0].reset();
  await hears(viewers[0], "its own host alone", (heard) => heard[300] > 0.02 && heard[700] < 0.005);
  const report = await viewers[0].waitFor("the video of its own host", ({ frames, lastFrameAgeMs }) => frames > 30 && lastFrameAgeMs < 1000);
  assert.equal(report.state, "connected");
  assert.equal(report.times.changes, before.times.changes);
  await waitFor("the PK to be over", async () => (await gateway.room("show")).state.pk === null);
}, LONG);
