// Tests signals. On SIGTERM clients are told, sessions end, and the process exits in time with code 0.

import assert from "node:assert/strict";
import { endToEnd } from "../lib/end_to_end.js";
import { findPlaylists } from "../lib/hls_rules.js";
import { request } from "../lib/http.js";
import { parseMedia } from "../lib/playlist.js";
import { waitFor } from "../lib/wait.js";

const PICTURE = { width: 320, height: 180, bitrateKbps: 400 };

endToEnd("sigterm_ends_sessions_and_the_process_in_time", async (stage) => {
  const gateway = await stage.gateway({ set: { drain: "3s" } });
  const publisher = await stage.live(gateway, "show", PICTURE);
  const browser = await stage.browser();
  const near = await browser.play("whep", { url: gateway.url("/whep/show") });
  const far = await browser.play("hls", { url: gateway.url("/hls/show/index.m3u8") });
  const whip = await browser.play("whip", { url: gateway.url("/whip/cam") });
  await near.waitForFrames(15);
  await far.waitForFrames(15, 20_000);
  await whip.waitFor("the WHIP publisher to connect", ({ state }) => state === "connected");

  const took = await gateway.stop({ limitMs: 8000 });
  stage.say(`gone ${Math.round(took)} ms after SIGTERM`);
  await publisher.waitForExit(5000);
  // A goodbye (DTLS close_notify) ends them at once. Without it a browser takes tens of seconds to notice.
  await near.waitFor("the viewer to be told", ({ state }) => state !== "connected", 5000);
  await whip.waitFor("the publisher to be told", ({ state }) => state !== "connected", 5000);
  for (const client of [near, far, whip]) await client.close();
});

endToEnd("sigterm_answers_or_closes_blocking_playlist_requests", async (stage) => {
  const gateway = await stage.gateway({ set: { drain: "3s" } });
  await stage.live(gateway, "show", PICTURE);
  const url = new URL((await findPlaylists(gateway, "show")).videoUrl);
  const { nextSequence } = await waitFor("a segment", async () => {
    const playlist = parseMedia((await request(url)).text);
    return playlist.segments.length > 0 ? playlist : null;
  });
  url.search = `_HLS_msn=${nextSequence + 1}&_HLS_part=0`;
  const waiting = request(url).then(
    ({ status }) => status,
    () => "closed",
  );
  const took = await gateway.stop({ limitMs: 8000 });
  stage.say(`gone ${Math.round(took)} ms after SIGTERM, the blocking request got ${await waiting}`);
  assert.ok([200, 404, 410, 503, "closed"].includes(await waiting));
});

endToEnd("sigterm_without_clients_ends_the_process_within_3_seconds", async (stage) => {
  const gateway = await stage.gateway();
  const took = await gateway.stop();
  stage.say(`gone ${Math.round(took)} ms after SIGTERM`);
  assert.ok(took < 3000, `${took} ms`);
});

endToEnd("other_signals_drain_or_change_nothing", async (stage) => {
  const gateway = await stage.gateway();
  for (const name of ["SIGHUP", "SIGUSR1", "SIGUSR2"]) gateway.signal(name);
  await waitFor("the signals to be passed over", () => gateway.log.split("a signal is passed over").length === 4);
  assert.equal((await request(gateway.url("/readyz"))).status, 200);
  await gateway.stop({ signal: "SIGQUIT" });
});
