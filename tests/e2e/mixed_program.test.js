// The program of a room with several participants: mixed while it must be, passed through while it can be, and nobody who
// watches is interrupted by the change.

import assert from "node:assert/strict";
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

/** A co-host by RTMP, with a tone of its own and no beeps. */
const joins = (stage, gateway, name, picture = {}) =>
  stage.publisher(gateway.rtmpUrl(`show/${name}`), { gopFrames: 30, beeps: false, humHertz: 700, ...picture });

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
      assertUnbrokenTimes(stage, `${round}: one → two`, tap);
      assertUnbrokenWhep(before, mixed[0]);
      assertUnbrokenHls(mixed[1]);

      await Promise.all([near.reset(), far.reset(), tap.reset()]);
      await guest.stop();
      await programIs(gateway, "show", "pass-through", { timeoutMs: 15_000 });
      await pause(5000);
      const after = [await near.report(), await far.report()];
      sayContinuity(stage, `${round}: two → one by WHEP`, mixed[0], after[0]);
      sayContinuity(stage, `${round}: two → one by hls.js`, mixed[1], after[1]);
      assertUnbrokenTimes(stage, `${round}: two → one`, tap);
      assertUnbrokenWhep(before, after[0]);
      assertUnbrokenHls(after[1]);
      for (const viewer of [near, far]) await viewer.waitFor("the whole picture", ({ frames, lastFrameAgeMs }) => frames > 0 && lastFrameAgeMs < 1000);
    }
    assertQuietLog(gateway);
  }, LONG);
}
