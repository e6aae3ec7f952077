// Tests what follows when the system clock is set while the gateway runs, and what goes on undisturbed. Each row is a clock.

import assert from "node:assert/strict";
import { Encoder } from "../../lib/encoder.js";
import { endToEnd } from "../../lib/end_to_end.js";
import { assertNeverDry, assertPlaysWell } from "../../lib/expect.js";
import { findPlaylists } from "../../lib/hls_rules.js";
import { request } from "../../lib/http.js";
import { parseMedia } from "../../lib/playlist.js";
import { SystemClock } from "../../lib/system_clock.js";
import { SECRET, token } from "../../lib/token.js";
import { waitFor } from "../../lib/wait.js";
import { watchPage } from "../../lib/watch_page.js";

const HOUR_MS = 3_600_000;

const ROWS = [
  { name: "an_hour_slow_and_put_right", before: -HOUR_MS, after: 0 },
  { name: "an_hour_fast_and_put_right", before: HOUR_MS, after: 0 },
  { name: "set_forward_by_400_ms", before: 0, after: 400 },
  { name: "set_back_by_400_ms", before: 0, after: -400 },
];

/** Segment durations are exact, so dates that follow media are too. Dates are drawn to better estimates by 5 ms a second. */
const TOLERANCE_MS = 100;

for (const { name, before, after } of ROWS) {
  endToEnd(`dates_follow_a_clock_that_is_${name}_and_players_play_on`, async (stage) => {
    const clock = await SystemClock.make(stage, before);
    const gateway = await stage.gateway({ environment: clock.environment });
    await stage.live(gateway, "show", { gopFrames: 60 });
    const browser = await stage.browser();
    const near = await browser.play("whep", { url: gateway.url("/whep/show") });
    const far = await browser.play("hls", { url: gateway.url("/hls/show/index.m3u8") });
    await Promise.all([near.waitForFrames(30), far.waitForFrames(30, 20_000)]);
    await apiTells(gateway, clock);
    const { videoUrl, audioUrl } = await findPlaylists(gateway, "show");
    for (const url of [videoUrl, audioUrl]) assert.deepEqual(await jumps(url), []);

    await Promise.all([near.reset(), far.reset()]);
    clock.set(after);
    await apiTells(gateway, clock);
    const room = await gateway.room("show");
    const age = clock.now() - Date.parse(room.started_at);
    assert.ok(age > 0 && age < HOUR_MS / 2, `a room that began before the clock was set is ${age} ms old`);
    await datesStep([videoUrl, audioUrl], after - before);
    await near.page.waitForTimeout(4000); // The discontinuity is played.
    for (const [client, limits] of [[near, {}], [far, { maxLatencyMs: 8000 }]]) {
      const report = await client.report();
      stage.sayFigures(`${name}: ${client.kind}`, report);
      assertPlaysWell(report, limits);
      if (client === far) {
        assert.equal(report.fatal, false, JSON.stringify(report.errors));
        assertNeverDry(report);
      }
    }
    await datesStep([videoUrl, audioUrl], after - before);
    assert.match(gateway.log, / WARN .*the system clock was set/);
    const direction = after > before ? "forward" : "back";
    assert.equal(await gateway.metric("onmic_clock_steps_total", { direction }), 1);
    assert.equal(await gateway.metric("onmic_clock_steps_total"), 1);
  }, { timeout: 90_000 });
}

/** Waits until the API and the `Date` of its answers tell the time of `clock`. */
function apiTells(gateway, clock) {
  return waitFor("the API to tell the time of the system clock", async () => {
    const asked = clock.now();
    const { text, headers } = await request(gateway.url("/api/v1/server"));
    const isBetween = (from, date) => date >= from && date <= clock.now() + TOLERANCE_MS;
    const inSeconds = asked - TOLERANCE_MS - 1000; // `Date` has whole seconds.
    return isBetween(asked - TOLERANCE_MS, Date.parse(JSON.parse(text).now)) && isBetween(inSeconds, Date.parse(headers.date));
  });
}

/** Returns by how many ms dates step from one segment to the next, where they do. Only a discontinuity allows that. */
async function jumps(url) {
  const { text } = await request(url);
  const playlist = parseMedia(text);
  const segments = [...playlist.segments];
  const found = [];
  for (const [index, segment] of segments.entries()) {
    const last = segments[index - 1];
    if (!last) continue;
    const jump = Date.parse(segment.date) - Date.parse(last.date) - last.duration * 1000;
    if (segment.discontinuity) found.push(jump);
    else assert.ok(Math.abs(jump) < TOLERANCE_MS, `dates step by ${jump} ms without a discontinuity\n${text}`);
  }
  return found;
}

/** Waits until the playlists have one discontinuity each, at which dates step by `byMs`. */
async function datesStep(urls, byMs) {
  for (const url of urls) {
    const found = await waitFor(`a discontinuity in ${url}`, async () => {
      const found = await jumps(url);
      return found.length > 0 && found;
    }, { timeoutMs: 20_000, everyMs: 300 });
    assert.equal(found.length, 1, found.join());
    assert.ok(Math.abs(found[0] - byMs) < TOLERANCE_MS, `${url} steps by ${found[0]} ms, not ${byMs}`);
  }
}

endToEnd("the_dates_of_audio_alone_follow_where_it_cuts", async (stage) => {
  const clock = await SystemClock.make(stage, -HOUR_MS);
  const gateway = await stage.gateway({ environment: clock.environment });
  const encoder = stage.keep(new Encoder(gateway.rtmpUrl("show"), [], { video: false }));
  await stage.isLive(gateway, "show", () => encoder.assertAlive());
  const { videoUrl, audioUrl } = await findPlaylists(gateway, "show");
  clock.set(0);
  await datesStep([audioUrl ?? videoUrl], HOUR_MS); // Audio alone is the only variant.
});

endToEnd("a_program_that_begins_after_the_clock_was_put_right_has_its_dates_and_no_discontinuity", async (stage) => {
  const clock = await SystemClock.make(stage, -HOUR_MS);
  const gateway = await stage.gateway({ environment: clock.environment });
  clock.set(0);
  await apiTells(gateway, clock);
  await stage.live(gateway, "show", { gopFrames: 60 });
  const { videoUrl } = await findPlaylists(gateway, "show");
  const { segments } = parseMedia((await request(videoUrl)).text);
  assert.deepEqual(await jumps(videoUrl), []);
  const age = clock.now() - Date.parse(segments[0].date);
  assert.ok(age > 0 && age < HOUR_MS / 2, `the first date is ${age} ms old`);
});

endToEnd("a_token_is_good_by_the_clock_of_today", async (stage) => {
  const clock = await SystemClock.make(stage, HOUR_MS);
  const gateway = await stage.gateway({ secret: SECRET, environment: clock.environment });
  const status = async () => {
    const headers = { Authorization: `Bearer ${token({ room: "*", role: "admin" }, { seconds: 600 })}` };
    return (await request(gateway.url("/api/v1/rooms"), { headers })).status;
  };
  assert.equal(await status(), 401, "it ended 50 minutes ago");
  clock.set(0);
  assert.equal(await status(), 200);
});

for (const [transport, method] of [["whep", "abs-capture-time"], ["hls", "program-date-time"]]) {
  for (const { name, before, after } of ROWS.slice(0, 2)) {
    endToEnd(`the_page_goes_on_to_measure_latency_by_${transport}_when_the_clock_is_${name}`, async (stage) => {
      const clock = await SystemClock.make(stage, before);
      const gateway = await stage.gateway({ environment: clock.environment });
      await stage.live(gateway, "show", { gopFrames: 60 });
      const page = await watchPage(await stage.browser(), gateway.url(`/watch/show?transport=${transport}`));
      await page.plays(transport, 20_000);
      await page.until(`latency by ${method}`, async () => (await page.player()).latencyMethod === method);
      clock.set(after);
      await apiTells(gateway, clock);
      // A player by WHEP reads the node's clock once a minute, and when its page is shown again.
      if (transport === "whep") await page.evaluate(() => document.dispatchEvent(new Event("visibilitychange")));
      const nodeNow = () => page.evaluate(() => window.onmicPlayer.nodeNow());
      await page.until("the player to know the node's new time", async () => Math.abs((await nodeNow()) - clock.now()) < HOUR_MS / 2, 30_000);
      // An implausible latency is not told, and a worse method takes its place.
      const told = await page.evaluate(
        () => new Promise((resolve) => {
          const heard = [];
          window.onmicPlayer.on("latency", (latency) => heard.push(latency) === 8 && resolve(heard));
        }),
      );
      stage.say(`latency by ${transport}: ${told.map(({ latencyMs }) => latencyMs).join(" ")} ms`);
      for (const latency of told) assert.deepEqual([latency.method, latency.clock], [method, "node"], JSON.stringify(told));
    }, { timeout: 90_000 });
  }
}
