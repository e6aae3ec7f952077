// Tests the two ways to time audio and video by WHEP: in step, and video first. The room chooses, or the viewer does.

import assert from "node:assert/strict";
import { availableParallelism, loadavg } from "node:os";
import { endToEnd } from "../lib/end_to_end.js";
import { assertPlaysWell, assertProblem } from "../lib/expect.js";
import { request } from "../lib/http.js";
import { median, percentile, rounded } from "../lib/numbers.js";
import { offer } from "../lib/offer.js";
import { pause, waitFor } from "../lib/wait.js";
import { watchPage } from "../lib/watch_page.js";

const ROOMS = "/api/v1/rooms";
const OFFER = offer({ audio: [["111", "opus/48000/2"]], video: [["103", "H264/90000"]] });

function post(gateway, path) {
  return request(gateway.url(path), { method: "POST", headers: { "Content-Type": "application/sdp" }, body: OFFER });
}

/** Returns the way that an answer to a viewer stands for: streams of one canonical name are played in step. */
async function syncOf(gateway, path) {
  const answer = await post(gateway, path);
  assert.equal(answer.status, 201, answer.text);
  await request(gateway.url(answer.headers.location), { method: "DELETE" });
  const names = new Set([...answer.text.matchAll(/^a=ssrc:\d+ cname:(\S+)\r?$/gm)].map((match) => match[1]));
  const streams = new Set([...answer.text.matchAll(/^a=msid:(\S+) /gm)].map((match) => match[1]));
  assert.equal(streams.size, 1, "players find both tracks in one stream");
  return names.size === 1 ? "lip-sync" : "picture-first";
}

async function setSync(gateway, room, sync) {
  await waitFor("the room to be open", async () => (await gateway.room(room))?.state);
  const body = JSON.stringify({ sync });
  const answer = await request(gateway.url(`${ROOMS}/${room}`), { method: "PATCH", headers: { "Content-Type": "application/json" }, body });
  assert.equal(answer.status, 200, answer.text);
  assert.equal((await gateway.room(room)).state.settings.sync, sync);
}

endToEnd("the_node_the_room_and_the_viewer_choose_how_audio_and_video_are_timed", async (stage) => {
  const gateway = await stage.gateway();
  const small = { width: 320, height: 180, bitrateKbps: 400 };
  await stage.live(gateway, "show", small);
  const anna = stage.publisher(gateway.rtmpUrl("show/anna"), small); // A return feed is for somebody on mic.
  await waitFor("anna to be in the room", async () => (await gateway.room("show")).participants.length === 2, { giveUp: () => anna.assertAlive() });
  for (const path of ["/whep/show", "/whep/show/host", "/whep/show/anna/return"]) {
    await setSync(gateway, "show", "lip-sync");
    assert.equal(await syncOf(gateway, path), "lip-sync", `${path}: the default`);
    assert.equal(await syncOf(gateway, `${path}?sync=picture-first`), "picture-first", `${path}: the viewer chooses`);
    await setSync(gateway, "show", "picture-first");
    assert.equal(await syncOf(gateway, path), "picture-first", `${path}: the room chooses`);
    assert.equal(await syncOf(gateway, `${path}?a=1&sync=lip-sync`), "lip-sync", `${path}: the viewer chooses otherwise`);
    const refused = assertProblem(await post(gateway, `${path}?sync=sound-first`), [400], path);
    assert.match(refused.detail, /lip-sync or picture-first/);
  }

  const other = await stage.gateway({ set: { "rooms.sync": "picture-first" } });
  await stage.live(other, "show", { width: 320, height: 180, bitrateKbps: 400 });
  assert.equal(await syncOf(other, "/whep/show"), "picture-first", "the node chooses");
  await waitFor("the setting of the room", async () => (await other.room("show"))?.state?.settings.sync === "picture-first");
});

// The audio of an RTMP source comes later than its video, because it is interleaved with it and encoded anew.
endToEnd(
  "video_first_shows_video_earlier_and_leaves_audio_behind",
  async (stage) => {
    const gateway = await stage.gateway();
    await stage.live(gateway, "show", { gopFrames: 60 });
    const browser = await stage.browser();
    // One after the other, because Chromium plays the audio of the page that was opened last sooner than that of others.
    const reports = [];
    for (const sync of ["lip-sync", "picture-first"]) {
      const viewer = await browser.play("whep", { url: gateway.url(`/whep/show?sync=${sync}`) });
      await viewer.waitForFrames(30);
      await pause(3000);
      reports.push(await viewer.watch(6));
      stage.sayFigures(sync, reports.at(-1));
      await viewer.stop();
    }
    const [inStep, first] = reports;
    for (const report of [inStep, first]) assertPlaysWell(report);
    // A browser that is not scheduled in time enlarges its buffers, each viewer's by another amount, and a server that is
    // not finds video as late as audio.
    if (loadavg()[0] > availableParallelism()) return stage.say("the machine is busy: which is later is not judged");
    const latency = (report) => percentile(report.samples.map(([, ms]) => ms), 50);
    assert.ok(latency(first) < latency(inStep), `video after ${rounded(latency(first))} and ${rounded(latency(inStep))} ms`);
    const behind = [first, inStep].map((report) => median(report.lipSync));
    assert.ok(behind[0] > behind[1], `audio ${behind.map((ms) => rounded(ms)).join(" and ")} ms after video`);
  },
  { timeout: 90_000 },
);

endToEnd("the_node_the_room_and_the_viewer_choose_how_far_behind_it_plays", async (stage) => {
  const gateway = await stage.gateway({ set: { "rooms.playout_delay": "300ms" } });
  const small = { width: 320, height: 180, bitrateKbps: 400 };
  await stage.live(gateway, "show", small);
  const anna = stage.publisher(gateway.rtmpUrl("show/anna"), small);
  await waitFor("anna to be in the room", async () => (await gateway.room("show")).participants.length === 2, { giveUp: () => anna.assertAlive() });
  const delayOf = async (path) => {
    const answer = await post(gateway, path);
    assert.equal(answer.status, 201, answer.text);
    await request(gateway.url(answer.headers.location), { method: "DELETE" });
    return answer.headers["onmic-playout-delay"];
  };
  assert.equal(await delayOf("/whep/show"), "300", "the node chooses");
  assert.equal(await delayOf("/whep/show?playout_delay=1000&sync=picture-first"), "1000", "the viewer chooses");
  assert.equal(await delayOf("/whep/show?playout_delay=0"), undefined, "the viewer chooses to be close");
  assert.equal(await delayOf("/whep/show/anna/return"), undefined, "whoever is on mic talks with others");
  assert.match(assertProblem(await post(gateway, "/whep/show?playout_delay=2001"), [400]).detail, /0 to 2000 ms/);

  const set = (ms) => {
    const body = JSON.stringify({ playout_delay_ms: ms });
    return request(gateway.url(`${ROOMS}/show`), { method: "PATCH", headers: { "Content-Type": "application/json" }, body });
  };
  assert.equal((await set(700)).status, 200);
  assert.equal(await delayOf("/whep/show"), "700", "the room chooses");
  assert.equal((await gateway.room("show")).state.settings.playout_delay_ms, 700);
  assertProblem(await set(2001), [400, 422]);
});

endToEnd("a_viewer_who_plays_one_second_behind_has_audio_and_video_in_step", async (stage) => {
  const gateway = await stage.gateway();
  await stage.live(gateway, "show", { gopFrames: 60 });
  const browser = await stage.browser();
  const page = await watchPage(browser, gateway.url("/watch/show?transport=whep&playout_delay=1000"));
  await page.plays("whep");
  await pause(4000);
  const latency = await page.evaluate(() => window.onmicPlayer.stats.latencyMs);
  stage.say(`asked for 1000 ms, video shown after ${latency} ms`);
  assert.ok(latency >= 800, `${latency} ms`);
  await page.advances();
});
