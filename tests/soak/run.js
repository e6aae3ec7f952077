// Lets publishers, viewers, co-hosts and hostile clients come and go for N minutes: `node soak/run.js [minutes]`. Prints at
// intervals what the process holds.
//
// Their streams are passed through, converted (B-frames for WebRTC, VP8 for LL-HLS, audio for both) and mixed. Fails if the
// resident memory of the last third is on average more than 5 % above that of the middle third, if descriptors or threads are more
// than 15 % above it, if memory does not come back or more than 40 descriptors or a viewer remain after all clients have left, or if
// more than 2 % of the attempts failed.

import { Browser } from "../lib/browser.js";
import { Gateway } from "../lib/gateway.js";
import { GreedyNeighbour, LIMITS } from "../lib/greedy.js";
import { request } from "../lib/http.js";
import { badRequests } from "../lib/http_abuse.js";
import { BAD_OFFERS, offer } from "../lib/offer.js";
import { LIKE_OBS, Publisher } from "../lib/picture.js";
import { parseMaster } from "../lib/playlist.js";
import { RTMP_ABUSE } from "../lib/rtmp_abuse.js";
import { makeNoise } from "../lib/udp_abuse.js";
import { pause, waitFor } from "../lib/wait.js";

const minutes = Number(process.argv[2] ?? 30);
const SMALL = { width: 320, height: 180, bitrateKbps: 300 };
const SDP = { "Content-Type": "application/sdp" };
const MEMORY_GROWTH = 1.05;
const OTHER_GROWTH = 1.15;
const LOOK_EVERY_MS = 1000;
const BACK_WITHIN_MS = 60_000; // Windows of programs that have ended leave after 36 s, and the allocator returns memory in 10 s.

const gateway = await Gateway.start({
  set: { ...LIMITS, "rtc.sessions": 400, "ingest.grace": "2s", "rtc.consent_timeout": "10s", "mixer.linger": "2s", "mixer.canvas": "640x360" },
});
const browser = await Browser.start();
const started = Date.now();
const endsAt = started + minutes * 60_000;
const attempts = {};
const counts = { abandoned: 0, flv: 0, requests: 0, abuses: 0, noise: 0, failures: 0 };
const held = [];
const running = () => Date.now() < endsAt;

async function attempt(what, action) {
  attempts[what] = (attempts[what] ?? 0) + 1;
  try {
    await action();
  } catch (error) {
    gateway.assertAlive();
    counts.failures += 1;
    process.stderr.write(`${what}: ${error.message.split("\n")[0]}\n`);
  }
}

/** These publishers stay for the whole time, so that there are always rooms to watch: one as it comes, one with B-frames, one host. */
const steady = ["steady", "tv", "show"].map((room) => ({
  room,
  publisher: new Publisher(gateway.rtmpUrl(room), { ...SMALL, ...(room === "tv" ? LIKE_OBS : {}) }),
}));
for (const { room, publisher } of steady) {
  await waitFor(`the room ${room}`, async () => (await gateway.room(room))?.live, { giveUp: () => publisher.assertAlive(), timeoutMs: 30_000 });
}

async function publishersComeAndGo() {
  for (let round = 0; running(); round += 1) {
    await attempt("publisher", async () => {
      const publisher = new Publisher(gateway.rtmpUrl(`guest-${round % 3}`), { ...SMALL, bframes: round % 2 ? 2 : 0, profile: "main" });
      await pause(6000);
      if (round % 2) await publisher.kill();
      else await publisher.stop();
    });
  }
}

/** Lets a co-host join the host, so that the program is mixed, and leave, so that it is passed through again. */
async function mixesComeAndGo() {
  const state = async () => (await gateway.room("show"))?.state?.program.state;
  for (let round = 0; running(); round += 1) {
    await attempt("mix", async () => {
      const guest = new Publisher(gateway.rtmpUrl(`show/anna-${round % 3}`), { ...SMALL, beeps: false, humHertz: 700 });
      await waitFor("the mix", async () => (await state()) === "mixed", { timeoutMs: 20_000, giveUp: () => guest.assertAlive() });
      await pause(8000);
      await guest.stop();
      await waitFor("the end of the mix", async () => (await state()) === "pass-through", { timeoutMs: 30_000 });
    });
  }
}

const plays = (kind, path, options = {}) => async () => {
  const client = await browser.play(kind, { url: gateway.url(path), ...SMALL, ...options });
  await client.waitForFrames(60, 30_000);
  return [client];
};

async function publishes(path, codec) {
  const client = await browser.play("whip", { url: gateway.url(path), codec, ...SMALL });
  await client.waitFor("the publisher", ({ state }) => state === "connected");
  return client;
}

/** What browsers do in turn. Each returns its windows. */
const BROWSERS = {
  "WHEP": plays("whep", "/whep/steady"),
  "LL-HLS": plays("hls", "/hls/steady/index.m3u8"),
  "WHIP": async (round) => [await publishes(`/whip/cam-${round % 2}`, "video/H264")],
  "WHEP of B-frames": plays("whep", "/whep/tv"),
  "WHEP of a program that is mixed": plays("whep", "/whep/show"),
  "LL-HLS of VP8 by WHIP": async (round) => {
    const publisher = await publishes(`/whip/vp8-${round % 2}`, "video/VP8");
    const [viewer] = await plays("hls", `/hls/vp8-${round % 2}/index.m3u8`)().catch(async (error) => {
      await publisher.stop();
      throw error;
    });
    return [viewer, publisher];
  },
  "LL-HLS of a program that is mixed": plays("hls", "/hls/show/index.m3u8"),
};

async function browsersComeAndGo() {
  for (let round = 0; running(); round += 1) {
    for (const [what, open] of Object.entries(BROWSERS)) {
      if (!running()) return;
      await attempt(what, async () => {
        for (const client of await open(round)) await (round % 4 === 3 ? client.close() : client.stop());
      });
    }
  }
}

/** Runs cheap clients: sessions that are deleted or abandoned, playlist requests, and FLV requests that are aborted. */
async function crowdComesAndGoes() {
  for (let round = 0; running(); round += 1) {
    await attempt("crowd", async () => {
      const made = await request(gateway.url("/whep/steady"), { method: "POST", headers: SDP, body: offer() });
      counts.abandoned += 1;
      if (made.status === 201 && round % 2) await request(new URL(made.headers.location, gateway.url("/whep/")), { method: "DELETE" });
      const masterUrl = gateway.url("/hls/steady/index.m3u8");
      const master = parseMaster((await request(masterUrl)).text);
      await request(new URL(master.variants[0].uri, masterUrl));
      const cut = new AbortController();
      const flv = await fetch(gateway.url("/flv/steady.flv"), { signal: cut.signal });
      counts.flv += 1;
      await flv.body.getReader().read();
      cut.abort();
      await pause(100);
    });
  }
}

async function greedyNeighboursComeAndGo() {
  while (running()) {
    await attempt("greedy neighbour", async () => {
      const neighbour = new GreedyNeighbour(gateway);
      try {
        await neighbour.isBusy();
        await pause(15_000);
        neighbour.assertAlive();
      } finally {
        await neighbour.stop();
      }
      await pause(10_000);
    });
  }
}

/** Sends what no server should take: noise, offers that are none, wrong requests, and RTMP that breaks its rules. */
async function abuseComesAndGoes() {
  const offers = Object.values(BAD_OFFERS);
  for (let round = 0; running(); round += 1) {
    await attempt("abuse", async () => {
      await makeNoise(gateway.rtcPort, { rounds: 2 });
      counts.noise += 1;
      await request(gateway.url("/whep/steady"), { method: "POST", headers: SDP, body: offers[round % offers.length] });
      for (const [, method, path, headers, body] of badRequests("steady")) {
        await request(gateway.url(path), { method, headers, body }).catch(() => {}); // It may be cut off before its end is read.
        counts.requests += 1;
      }
      // The server may close the connection in the middle.
      const client = await RTMP_ABUSE[round % RTMP_ABUSE.length].run(gateway.rtmpPort, `abuse-${round % 3}`).catch(() => null);
      counts.abuses += 1;
      await pause(2000);
      await client?.stop();
    });
  }
}

async function look() {
  const every = Math.max(5000, Math.min(60_000, (minutes * 60_000) / 30));
  process.stdout.write("| minute | RSS MB | descriptors | threads | CPU % | sources | viewers | drops |\n| --- | --- | --- | --- | --- | --- | --- | --- |\n");
  let [lastCpu, lastAt] = [0, started];
  while (running()) {
    await pause(LOOK_EVERY_MS);
    gateway.assertAlive();
    const [now, seen] = [Date.now(), gateway.resources()];
    held.push(seen);
    if (now - lastAt < every) continue;
    const metrics = await gateway.metrics();
    const sum = (name) => [...metrics].filter(([key]) => key.startsWith(name)).reduce((total, [, value]) => total + value, 0);
    const cpu = (100 * (seen.cpuMs - lastCpu)) / (now - lastAt);
    [lastCpu, lastAt] = [seen.cpuMs, now];
    const cells = [
      ((now - started) / 60_000).toFixed(1),
      (seen.rssKb / 1024).toFixed(1),
      ...[seen.descriptors, seen.threads, cpu.toFixed(0), sum("onmic_sources"), sum("onmic_viewers"), sum("onmic_drops_total")],
    ];
    process.stdout.write(`| ${cells.join(" | ")} |\n`);
  }
}

let failed = false;
function verdict(fine, sentence) {
  process.stdout.write(`${fine ? "ok" : "FAILED"}: ${sentence}\n`);
  if (!fine) failed = true;
}

/** Compares the averages of the last two thirds. The first one is the way to a steady state. */
function compareThirds() {
  const third = Math.floor(held.length / 3);
  const [middle, last] = [held.slice(third, 2 * third), held.slice(2 * third)];
  const mean = (seen, field) => seen.reduce((sum, each) => sum + each[field], 0) / seen.length;
  for (const [field, growth] of [
    ["rssKb", MEMORY_GROWTH],
    ["descriptors", OTHER_GROWTH],
    ["threads", OTHER_GROWTH],
  ]) {
    const [before, after] = [mean(middle, field), mean(last, field)];
    verdict(after <= before * growth, `${field}: on average ${before.toFixed(0)} in the middle third, ${after.toFixed(0)} in the last third`);
  }
  return mean(middle, "rssKb");
}

try {
  await Promise.all([
    ...[look(), publishersComeAndGo(), mixesComeAndGo(), browsersComeAndGo(), crowdComesAndGoes()],
    ...[greedyNeighboursComeAndGo(), abuseComesAndGoes()],
  ]);
  const working = compareThirds();
  for (const { publisher } of steady) await publisher.stop();
  await waitFor("all participants to be gone", async () => (await gateway.json("/api/v1/rooms")).rooms.every(({ participants }) => participants.length === 0), { timeoutMs: 60_000 });
  const left = await waitFor("memory to come back", () => gateway.resources().rssKb < working && gateway.resources(), { timeoutMs: BACK_WITHIN_MS, everyMs: 1000 }).catch(() => null);
  verdict(left, `after all clients have left the process has ${gateway.resources().rssKb} kB`);
  await pause(12_000); // Abandoned sessions end by their consent timeout of 10 s.
  const end = gateway.resources();
  process.stdout.write(`${JSON.stringify({ ...attempts, ...counts })}\nat the end: ${JSON.stringify(end)}\n`);
  verdict(end.descriptors <= 40, `${end.descriptors} descriptors after all clients have left`);
  verdict((await gateway.metric("onmic_viewers")) === 0, "onmic_viewers is 0 after all clients have left");
  const all = Object.values(attempts).reduce((sum, count) => sum + count, 0);
  verdict(counts.failures <= all * 0.02, `${counts.failures} of ${all} attempts failed`);
  verdict((await gateway.metric("onmic_threads_died_total")) === 0, "no thread has died");
  await gateway.stop();
} finally {
  await browser.stop();
}
process.exit(failed ? 1 : 0);
